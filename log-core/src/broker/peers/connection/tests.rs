//! Two nodes over a real socket: those that fit talk, and of those that do not, both learn why.

use tokio::net::TcpListener;
use uuid::Uuid;

use super::*;
use crate::broker::peers::secret::PeerSecret;
use crate::ids::{NodeId, ReplicaId};
use crate::storage::{Identity, InitialVoter};

const SECRET: &str = "a secret of ours, long enough";

fn local(node: u32, cluster: Option<&str>, secret: Option<&str>) -> LocalNode {
    let mut identity = Identity::unformed(NodeId(node), Uuid::from_u128(u128::from(node) << 64));
    if let Some(cluster) = cluster {
        let founder = InitialVoter {
            replica: identity.replica,
            node: identity.node,
            address: None,
        };
        identity.form(cluster.to_owned(), vec![founder]);
    }
    let secret = secret.map(|secret| PeerSecret::new(secret.as_bytes()).expect("long enough"));
    LocalNode::new(&identity, format!("node-{node}:9093"), Vec::new(), secret)
}

struct Meeting {
    caller: Result<PeerConnection, PeerError>,
    answerer: Result<PeerConnection, PeerError>,
}

impl Meeting {
    /// What both ends say when there is no connection.
    fn sentences(self) -> [String; 2] {
        [self.caller, self.answerer].map(|end| end.err().expect("no connection").to_string())
    }

    fn both_say(self, part: &str) {
        for sentence in self.sentences() {
            assert!(sentence.contains(part), "{part:?} in {sentence:?}");
        }
    }
}

async fn meet(
    caller: &LocalNode,
    answerer: &LocalNode,
    wanted: ExpectedPeer,
    purpose: Purpose,
) -> Meeting {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let answering = async {
        let (stream, _) = listener.accept().await.expect("a caller");
        answer(answerer, stream, |_| Ok(())).await
    };
    let (caller, answerer) = tokio::join!(call(caller, &address, wanted, purpose), answering);
    Meeting { caller, answerer }
}

async fn meet_for_messages(caller: &LocalNode, answerer: &LocalNode) -> Meeting {
    meet(caller, answerer, ExpectedPeer::default(), Purpose::Messages).await
}

#[tokio::test]
async fn nodes_of_one_cluster_talk_and_know_who_the_other_is() {
    let (one, two) = (
        local(1, Some("a"), Some(SECRET)),
        local(2, Some("a"), Some(SECRET)),
    );
    let meeting = meet_for_messages(&one, &two).await;
    let mut caller = meeting.caller.expect("a connection");
    let mut answerer = meeting.answerer.expect("a connection");
    assert_eq!(caller.peer, two.name());
    assert_eq!(answerer.peer, one.name());
    assert_eq!(answerer.purpose, Purpose::Messages);

    let mut frames = BytesMut::new();
    put_frame(&mut frames, FrameKind::Status, |to| to.put_slice(b"well"));
    put_frame(&mut frames, FrameKind::Message, |to| {
        to.put_bytes(7, 300_000)
    });
    let wait = Duration::from_secs(10);
    let heard = async {
        let first = answerer.next(wait).await.expect("heard").expect("a frame");
        let second = answerer.next(wait).await.expect("heard").expect("a frame");
        (first.body, second.body.len())
    };
    let (sent, heard) = tokio::join!(caller.send(&frames), heard);
    sent.expect("sent");
    assert_eq!(heard, (Bytes::from_static(b"well"), 300_000));

    drop(caller);
    assert!(answerer.next(wait).await.expect("a clean end").is_none());
}

#[tokio::test]
async fn without_a_secret_at_either_end_nodes_talk_too() {
    let meeting = meet_for_messages(&local(1, Some("a"), None), &local(2, Some("a"), None)).await;
    assert!(meeting.caller.is_ok() && meeting.answerer.is_ok());
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_both_say_so() {
    let ours = local(1, Some("a"), Some(SECRET));
    let other = local(2, Some("a"), Some("another secret of others"));
    let meeting = meet_for_messages(&ours, &other).await;
    meeting.both_say("hold different secrets: give every node the same --peer-secret-file");
    let none = local(2, Some("a"), None);
    for (caller, answerer) in [(&ours, &none), (&none, &ours)] {
        let meeting = meet_for_messages(caller, answerer).await;
        meeting.both_say("one of the two nodes has a secret");
    }
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused_and_both_say_so() {
    let (one, two) = (local(1, Some("a"), None), local(2, Some("b"), None));
    for purpose in [Purpose::Messages, Purpose::Requests] {
        let meeting = meet(&one, &two, ExpectedPeer::default(), purpose).await;
        meeting.both_say("a node of cluster a called one of cluster b");
    }
}

#[tokio::test]
async fn another_folder_than_the_cluster_knows_is_refused_and_both_say_what_to_do() {
    let wanted = ExpectedPeer {
        node: None,
        replica: Some(ReplicaId(12345)),
    };
    let (one, two) = (local(1, Some("a"), None), local(2, Some("a"), None));
    let meeting = meet(&one, &two, wanted, Purpose::Messages).await;
    meeting.both_say("log-core nodes replace 2");

    let wanted = ExpectedPeer {
        node: Some(NodeId(3)),
        replica: None,
    };
    let meeting = meet(&one, &two, wanted, Purpose::Requests).await;
    meeting.both_say("node 3 was called and node 2 answered");
    let meeting = meet_for_messages(&one, &local(1, Some("a"), None)).await;
    meeting.both_say("copies of one data folder");
}

/// As a node on an empty disk does, which looks for the replica whose place it is to take at the address that is now its own.
#[tokio::test]
async fn a_node_that_calls_itself_is_no_copy_of_itself() {
    let one = local(1, Some("a"), None);
    let gone = ExpectedPeer {
        node: None,
        replica: Some(ReplicaId(12345)),
    };
    for wanted in [ExpectedPeer::default(), gone] {
        let meeting = meet(&one, &one, wanted, Purpose::Messages).await;
        meeting.both_say("node 1 called itself");
    }
    let node = NodeId(1);
    assert!(
        HandshakeError::Itself { node }.is_expected(),
        "nobody's mistake"
    );
}

#[tokio::test]
async fn a_node_of_no_cluster_yet_takes_questions_and_no_messages() {
    let (formed, unformed) = (local(1, Some("a"), None), local(2, None, None));
    let meeting = meet_for_messages(&formed, &unformed).await;
    meeting.both_say("part of no cluster yet");
    let meeting = meet(
        &unformed,
        &formed,
        ExpectedPeer::default(),
        Purpose::Requests,
    )
    .await;
    assert!(meeting.caller.is_ok() && meeting.answerer.is_ok());
}

#[tokio::test]
async fn whoever_has_proved_itself_and_is_not_welcome_is_told_why() {
    let (one, two) = (
        local(1, Some("a"), Some(SECRET)),
        local(2, Some("a"), Some(SECRET)),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let twice = |caller: &Hello| {
        assert_eq!((caller.from.node, caller.process), (one.node, one.process));
        let node = caller.from.node;
        Err(HandshakeError::TwoProcesses { node })
    };
    let answering = async {
        let (stream, _) = listener.accept().await.expect("a caller");
        answer(&two, stream, twice).await
    };
    let calling = call(&one, &address, ExpectedPeer::default(), Purpose::Messages);
    let (caller, answerer) = tokio::join!(calling, answering);
    let meeting = Meeting { caller, answerer };
    meeting.both_say("two processes run as node 1");
}

/// What a node makes of a caller that says these bytes and then waits.
async fn answered_to(bytes: &'static [u8]) -> PeerError {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut stranger = TcpStream::connect(address).await.expect("connected");
    let (stream, _) = listener.accept().await.expect("a caller");
    stranger.write_all(bytes).await.expect("said");
    let node = local(1, Some("a"), Some(SECRET));
    let answered = answer(&node, stream, |_| Ok(())).await;
    answered.err().expect("no connection")
}

#[tokio::test]
async fn garbage_is_refused_by_its_first_bytes() {
    let error = answered_to(b"GET / HTTP/1.1\r\nHost: log\r\n\r\n").await;
    assert!(
        matches!(error, PeerError::Frame(FrameError::TooLong { .. })),
        "{error}"
    );
    let error = answered_to(&[0, 0, 0, 4, 9, 9, 9, 9, 1, 2, 3, 4]).await;
    assert!(
        matches!(error, PeerError::Frame(FrameError::Checksum)),
        "{error}"
    );
    let error = answered_to(&[0; 8]).await;
    assert!(
        matches!(error, PeerError::Frame(FrameError::Empty)),
        "{error}"
    );
}

#[tokio::test]
async fn whoever_dawdles_over_the_handshake_loses_its_place() {
    let error = answered_to(&[0, 0, 0]).await;
    assert!(matches!(error, PeerError::Silent), "{error}");
}

#[tokio::test]
async fn a_port_where_nobody_answers_is_given_up_within_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let node = local(1, Some("a"), None);
    let called = call(&node, &address, ExpectedPeer::default(), Purpose::Requests).await;
    let error = called.err().expect("no connection");
    assert!(matches!(error, PeerError::Silent), "{error}");

    drop(listener);
    let called = call(&node, &address, ExpectedPeer::default(), Purpose::Requests).await;
    let error = called.err().expect("no connection");
    assert!(matches!(error, PeerError::Connect(_)), "{error}");
}
