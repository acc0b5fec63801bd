use super::world::World;
use crate::ids::{LeaderEpoch, NodeId, ReplicaId, TimestampMs};
use crate::state::{
    Command, CommandError, Envelope, EnvelopeError, FeatureLevel, Listener, RaiseFeatureLevel,
    RegisterNode, Response, State, StateDecodeError, UnregisterNode,
};

fn register(node: u32, level: u16) -> Command {
    let listener = Listener {
        name: "PLAINTEXT".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: 9092,
    };
    Command::RegisterNode(RegisterNode {
        node: NodeId(node),
        replica: ReplicaId(77),
        listeners: vec![listener],
        rack: None,
        feature_level_max: FeatureLevel(level),
    })
}

fn raise(level: u16) -> Command {
    Command::RaiseFeatureLevel(RaiseFeatureLevel {
        level: FeatureLevel(level),
    })
}

#[test]
fn a_broker_is_known_by_its_last_registration_until_it_leaves() {
    let mut world = World::new();
    world.tell(register(1, 1)).unwrap();
    world.tell(register(1, 1)).unwrap();
    assert_eq!(world.state.nodes().count(), 1);

    let leave = || Command::UnregisterNode(UnregisterNode { node: NodeId(1) });

    assert_eq!(world.tell(leave()), Ok(Response::Done));
    assert_eq!(
        world.tell(leave()),
        Err(CommandError::UnknownNode { node: NodeId(1) })
    );
}

#[test]
fn the_feature_level_does_not_fall_and_does_not_rise_past_the_weakest_broker() {
    let mut world = World::new();
    world.tell(register(1, 0)).unwrap_err();
    world.tell(register(2, 1)).unwrap();

    assert_eq!(world.tell(raise(1)), Ok(Response::Done));
    assert!(matches!(
        world.tell(raise(0)),
        Err(CommandError::FeatureLevelFalls { .. })
    ));
    assert_eq!(world.state.feature_level(), FeatureLevel::FIRST);
}

#[test]
fn a_replica_that_cannot_read_a_command_says_why_it_must_stop() {
    let beyond = FeatureLevel(FeatureLevel::LATEST.0 + 1);
    let envelope = Envelope {
        proposer: LeaderEpoch(1),
        at: TimestampMs(0),
        command: raise(beyond.0),
    };
    let mut unknown = Envelope {
        command: Command::AllocateProducerId,
        ..envelope.clone()
    }
    .encode();
    *unknown.last_mut().unwrap() = 0x7f;

    assert_eq!(
        Envelope::decode(&envelope.encode()),
        Err(EnvelopeError::FeatureLevel { found: beyond })
    );
    assert_eq!(Envelope::decode(&unknown), Err(EnvelopeError::Unknown));
    assert_eq!(
        Envelope::decode(&[9, 0]),
        Err(EnvelopeError::Version { found: 9 })
    );
    assert_eq!(Envelope::decode(&[]), Err(EnvelopeError::Empty));
}

#[test]
fn a_checkpoint_of_other_software_or_with_damage_is_not_read() {
    let mut bytes = State::new().encode();
    bytes.push(0);
    assert_eq!(State::decode(&bytes), Err(StateDecodeError::Damaged));
    bytes[0] = 9;
    assert_eq!(
        State::decode(&bytes),
        Err(StateDecodeError::Version { found: 9 })
    );
    assert_eq!(State::decode(&[]), Err(StateDecodeError::Empty));
}
