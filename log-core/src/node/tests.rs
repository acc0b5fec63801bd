use std::path::Path;

use bytes::Bytes;
use journal::disk::Disk;
use journal::sim_disk::SimDisk;
use uuid::Uuid;

use super::*;
use crate::group::{self, GroupConfig, Join, JoinAbility, Profile, Protocol};
use crate::ids::{
    GroupId, NodeId, PartitionIndex, TimestampMs, TopicId, TopicName, TopicPartition,
};
use crate::state::Produce;
use crate::storage::{Identity, StorageConfig, recover};

/// A node that is the only one, on a disk that is as quick as it is asked.
struct TestNode {
    node: Node,
    now: Duration,
}

impl TestNode {
    fn alone() -> Self {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::with_seed(1));
        let folder = Path::new("/data");
        disk.create_folder(folder).unwrap();
        let identity = Identity::founder_alone(NodeId(1), Uuid::from_u128(1), Uuid::from_u128(2));
        let limits = Limits {
            checkpoint_bytes: u64::MAX,
            disk_reserve_bytes: 0,
            partition_files_max: 10,
            groups: GroupConfig {
                initial_rebalance_delay: ms(100),
                ..GroupConfig::default()
            },
            housekeeping: HousekeepingConfig::default(),
        };
        let recovered = recover(&disk, folder, &StorageConfig::default()).unwrap();
        let (node, _, _) =
            assemble(folder, limits, &identity, recovered, at(Duration::ZERO)).unwrap();
        Self {
            node,
            now: Duration::ZERO,
        }
    }

    fn leading() -> Self {
        let mut test = Self::alone();
        test.node.campaign();
        test.work();
        assert!(
            test.node.coordinates().is_some(),
            "it has nobody to wait for"
        );
        test
    }

    fn take(&mut self, input: Input) {
        self.node.take(at(self.now), input, &mut Vec::new());
        self.work();
    }

    /// Until nothing is left to be written.
    fn work(&mut self) {
        loop {
            let mut effects = Vec::new();
            self.node.work(at(self.now), &mut effects).unwrap();
            let mut written = effects.into_iter().filter_map(|effect| match effect {
                Effect::Persist(step) => Some(step.number),
                _ => None,
            });
            let Some(number) = written.next_back() else {
                return;
            };
            self.node
                .take(at(self.now), Input::Persisted { number }, &mut Vec::new());
        }
    }

    /// How long after the last tick the next is due.
    fn rest(&self) -> Duration {
        self.node.tick_due(self.now) - self.now
    }
}

fn at(elapsed: Duration) -> Now {
    Now {
        elapsed,
        wall: TimestampMs(0),
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn join(from: RequestId) -> GroupRequest {
    let profile = Profile {
        instance_id: None,
        client_id: "kim".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout: ms(10_000),
        rebalance_timeout: ms(10_000),
        protocols: vec![Protocol {
            name: "range".to_owned(),
            metadata: Bytes::new(),
        }],
    };
    GroupRequest::Member {
        group: GroupId::new("gateways"),
        input: group::Input::Join(Join {
            from,
            ability: JoinAbility::OneStep,
            member_id: None,
            fresh: Uuid::from_u128(3),
            protocol_type: "consumer".to_owned(),
            profile,
        }),
    }
}

#[test]
fn a_node_that_leads_nobody_but_itself_is_woken_four_times_a_second() {
    let mut test = TestNode::alone();
    assert_eq!(test.rest(), ms(25), "it stands for election");

    test = TestNode::leading();
    assert_eq!(test.rest(), ms(250));

    test.take(Input::Stop);
    assert_eq!(test.rest(), ms(25), "it ends");
}

#[test]
fn a_group_that_wants_to_be_woken_does_not_wait_for_a_node_that_rests() {
    let mut test = TestNode::leading();
    let id = RequestId(1);
    test.take(Input::Request {
        id,
        request: NodeRequest::Group(join(id)),
    });
    assert_eq!(test.rest(), ms(100), "its first rebalance begins then");

    test.now = ms(90);
    assert_eq!(test.rest(), ms(25), "no two ticks come closer");
    test.now = ms(100);
    test.take(Input::Tick);
    assert_eq!(test.rest(), ms(250));
}

#[test]
fn the_deadline_of_a_request_does_not_wait_for_a_node_that_rests() {
    let mut test = TestNode::leading();
    let produce = Produce {
        topic_id: TopicId(Uuid::from_u128(4)),
        partition: TopicPartition {
            topic: TopicName::parse("an-alert").unwrap(),
            partition: PartitionIndex(0),
        },
        batch: Bytes::new(),
    };
    let request = NodeRequest::Produce {
        command: Command::Produce(produce),
        until: Until::Applied,
        deadline: ms(1_000),
    };
    let id = RequestId(1);
    let mut effects = Vec::new();
    test.node
        .take(at(test.now), Input::Request { id, request }, &mut effects);
    assert_eq!(test.rest(), ms(25), "it is not answered yet");

    test.work();
    assert_eq!(test.rest(), ms(250));
}
