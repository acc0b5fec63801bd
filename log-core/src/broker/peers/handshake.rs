//! How two nodes make sure of each other before anything else is said. Bytes and judgements only; no sockets.
//!
//! ```text
//! caller                                              answerer
//!   Hello     who I am, whom I want, a random number ──>
//!         <── Greeting   who I am, a random number, proof that I know the secret
//!   Proof     that I know it too                     ──>
//!         <── Welcome                                        at any point, from either end: Refusal, with its reason
//! ```
//!
//! A proof covers the Hello and the Greeting as they went over the wire, both random numbers and all names among them,
//! so that it holds for this one connection. Nothing after the handshake is encrypted or signed: the secret keeps
//! strangers out, not those who can change what passes on the cable.

use std::fmt;
use std::ops::RangeInclusive;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::secret::{End, PROOF_BYTES, PeerSecret};
use crate::ids::{NodeId, ReplicaId};

/// The first bytes of every Hello and Greeting, in every version.
const MAGIC: [u8; 4] = *b"MdyP";
/// The oldest and the newest version of what nodes say to each other that this software speaks. The layout of Hello is
/// that of the first version for ever; a later one may append to it.
pub(super) const VERSIONS: RangeInclusive<u16> = 1..=2;
/// From which version on a node tells how many files of partitions it keeps open.
pub(super) const WITH_PARTITION_FILES: u16 = 2;
/// Longest name of a cluster, of a host and port.
const NAME_BYTES_MAX: usize = 512;

/// Chance, so that a proof is never good for a second handshake.
pub(super) type Nonce = [u8; 16];

/// What the caller wants the connection for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// To say what the consensus says, one way.
    Messages,
    /// To ask.
    Requests,
}

/// Who an end of a connection is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Name {
    pub(super) node: NodeId,
    pub(super) replica: ReplicaId,
    /// None while it is part of no cluster.
    pub(super) cluster: Option<String>,
    /// Where it listens for its peers.
    pub(super) address: String,
}

/// Whom a caller wants to reach, as far as it knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ExpectedPeer {
    pub(super) node: Option<NodeId>,
    pub(super) replica: Option<ReplicaId>,
}

/// The caller's first word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) purpose: Purpose,
    pub(super) from: Name,
    pub(super) to: ExpectedPeer,
    /// Chance of the caller's process: tells a restart from a second process on a copy of its folder.
    pub(super) process: u64,
    pub(super) nonce: Nonce,
}

/// The answerer's first word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Greeting {
    pub(super) from: Name,
    pub(super) nonce: Nonce,
}

/// Why a handshake ended without a connection. Both ends log it: each text tells the operator what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error(
        "a node of protocol version {heard} met one of version {spoken}: run releases that are next to each other"
    )]
    Version { heard: u16, spoken: u16 },
    #[error(
        "a node of cluster {caller} called one of cluster {called}: either an address in --peers leads to another cluster, or \
         a data folder of another cluster was mounted; a node changes its cluster only with an empty data folder"
    )]
    OtherCluster { caller: String, called: String },
    #[error(
        "node {called} was called and node {found} answered: correct the addresses in --peers, or the --node-id of one"
    )]
    OtherNode { called: NodeId, found: NodeId },
    #[error(
        "node {node} has another data folder than the cluster knows (replica {found}, not {called}): if its disk was lost or \
         wiped, run `log-core nodes replace {node}`; else give it back the folder it had"
    )]
    OtherReplica {
        node: NodeId,
        called: ReplicaId,
        found: ReplicaId,
    },
    #[error("two nodes call themselves node {node}: give each a --node-id of its own")]
    SameNode { node: NodeId },
    #[error(
        "nodes {caller} and {called} run on copies of one data folder: a replica that votes twice loses records; stop one and \
         empty its folder"
    )]
    SameReplica { caller: NodeId, called: NodeId },
    #[error(
        "two processes run as node {node} with copies of one data folder: a replica that votes twice loses records; stop the \
         one that was started last and empty its folder"
    )]
    TwoProcesses { node: NodeId },
    #[error("the two nodes hold different secrets: give every node the same --peer-secret-file")]
    WrongSecret,
    #[error(
        "one of the two nodes has a secret and the other has none: give every node the same --peer-secret-file"
    )]
    OneSecret,
    #[error("the node is part of no cluster yet; it takes messages once it is")]
    NotFormed,
    #[error("too many connections of peers at once")]
    Crowded,
    #[error(
        "not what a node says: another program is at one of the ends, or the connection damages what it carries"
    )]
    Malformed,
    /// Of a later version.
    #[error("for a reason that only a later release knows")]
    Unknown,
    #[error(
        "node {node} called itself: it has the address of a node whose place it is to take, or an address in --peers leads back          to it"
    )]
    Itself { node: NodeId },
}

impl HandshakeError {
    /// Whether it is part of a normal start, and nobody's mistake.
    pub(super) fn is_expected(&self) -> bool {
        matches!(self, Self::NotFormed | Self::Itself { .. })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain values encode")
    }

    pub(super) fn decode(body: &[u8]) -> Self {
        match postcard::from_bytes(body) {
            // A stranger's text ends up in our log: nothing that could pass for another line.
            Ok(Self::OtherCluster { caller, called }) if !fits(&caller) || !fits(&called) => {
                Self::Malformed
            }
            Ok(refusal) => refusal,
            Err(_) => Self::Unknown,
        }
    }
}

impl Name {
    fn is_sane(&self) -> bool {
        let cluster = self.cluster.as_deref().is_none_or(fits);
        cluster && fits(&self.address) && self.replica != ReplicaId(0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} at {}", self.node, self.address)
    }
}

/// Short, and printable: it may be logged.
fn fits(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Hello {
    pub(super) fn encode(&self) -> Bytes {
        encode(&VERSIONS, self)
    }

    /// With the version that both ends speak from here on.
    pub(super) fn decode(body: &[u8]) -> Result<(u16, Self), HandshakeError> {
        let (version, hello): (_, Self) = decode(body)?;
        if hello.from.is_sane() {
            Ok((version, hello))
        } else {
            Err(HandshakeError::Malformed)
        }
    }
}

impl Greeting {
    pub(super) fn encode(&self) -> Bytes {
        encode(&VERSIONS, self)
    }

    /// With the version that both ends speak from here on.
    pub(super) fn decode(body: &[u8]) -> Result<(u16, Self), HandshakeError> {
        let (version, greeting): (_, Self) = decode(body)?;
        if greeting.from.is_sane() {
            Ok((version, greeting))
        } else {
            Err(HandshakeError::Malformed)
        }
    }
}

/// The versions come first, outside of everything that may change with them.
fn encode(versions: &RangeInclusive<u16>, value: &impl Serialize) -> Bytes {
    let mut body = BytesMut::new();
    body.put_slice(&MAGIC);
    body.put_u16(*versions.start());
    body.put_u16(*versions.end());
    body.put_slice(&postcard::to_stdvec(value).expect("plain values encode"));
    body.freeze()
}

/// Reads a value and the newest version that both ends speak.
fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<(u16, T), HandshakeError> {
    let Some((magic, mut rest)) = body.split_first_chunk::<4>() else {
        return Err(HandshakeError::Malformed);
    };
    if *magic != MAGIC || rest.len() < 4 {
        return Err(HandshakeError::Malformed);
    }
    let heard = rest.get_u16()..=rest.get_u16();
    let version = *heard.end().min(VERSIONS.end());
    if !heard.contains(&version) || !VERSIONS.contains(&version) {
        return Err(HandshakeError::Version {
            heard: *heard.end(),
            spoken: *VERSIONS.end(),
        });
    }
    let value = postcard::from_bytes(rest).map_err(|_| HandshakeError::Malformed)?;
    Ok((version, value))
}

/// A proof with the word whether there is a secret at all: two nodes without one get along too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proof(Option<[u8; PROOF_BYTES]>);

impl Proof {
    pub(super) fn of(secret: Option<&PeerSecret>, end: End, said: &Transcript) -> Self {
        Self(secret.map(|secret| secret.proof(end, &said.0)))
    }

    /// Judges the other end's proof.
    ///
    /// # Errors
    /// [`HandshakeError::WrongSecret`], [`HandshakeError::OneSecret`].
    pub(super) fn check(
        &self,
        secret: Option<&PeerSecret>,
        end: End,
        said: &Transcript,
    ) -> Result<(), HandshakeError> {
        match (secret, &self.0) {
            (None, None) => Ok(()),
            (Some(secret), Some(proof)) if secret.accepts(proof, end, &said.0) => Ok(()),
            (Some(_), Some(_)) => Err(HandshakeError::WrongSecret),
            (Some(_), None) | (None, Some(_)) => Err(HandshakeError::OneSecret),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain values encode")
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, HandshakeError> {
        postcard::from_bytes(body).map_err(|_| HandshakeError::Malformed)
    }
}

/// What both ends have said so far, as it went over the wire.
pub(super) struct Transcript(Vec<u8>);

impl Transcript {
    pub(super) fn new(hello: &[u8], greeting: &[u8]) -> Self {
        // The lengths keep bytes from moving between the two.
        let mut said = Vec::with_capacity(16 + hello.len() + greeting.len());
        for part in [hello, greeting] {
            said.extend_from_slice(&(part.len() as u64).to_be_bytes());
            said.extend_from_slice(part);
        }
        Self(said)
    }
}

/// Judges a caller by what it says of itself, before any proof.
///
/// # Errors
/// The reason to refuse it.
pub(super) fn judge_caller(
    local: &Name,
    process: u64,
    hello: &Hello,
) -> Result<(), HandshakeError> {
    // A node on an empty disk has the address of the replica whose place it is to take, and looks for that one there.
    if hello.from.replica == local.replica && hello.process == process {
        return Err(HandshakeError::Itself { node: local.node });
    }
    judge_kin(&hello.from, local)?;
    judge_wanted(hello.to, local)?;
    let both_formed = local.cluster.is_some() && hello.from.cluster.is_some();
    if hello.purpose == Purpose::Messages && !both_formed {
        return Err(HandshakeError::NotFormed);
    }
    Ok(())
}

/// Judges an answerer by what it says of itself, before any proof.
///
/// # Errors
/// The reason to refuse it.
pub(super) fn judge_answerer(
    local: &Name,
    wanted: ExpectedPeer,
    greeting: &Greeting,
) -> Result<(), HandshakeError> {
    judge_kin(local, &greeting.from)?;
    judge_wanted(wanted, &greeting.from)
}

fn judge_kin(caller: &Name, called: &Name) -> Result<(), HandshakeError> {
    if caller.replica == called.replica {
        return Err(HandshakeError::SameReplica {
            caller: caller.node,
            called: called.node,
        });
    }
    if caller.node == called.node {
        return Err(HandshakeError::SameNode { node: caller.node });
    }
    match (&caller.cluster, &called.cluster) {
        (Some(caller), Some(called)) if caller != called => Err(HandshakeError::OtherCluster {
            caller: caller.clone(),
            called: called.clone(),
        }),
        _ => Ok(()),
    }
}

fn judge_wanted(wanted: ExpectedPeer, found: &Name) -> Result<(), HandshakeError> {
    match (wanted.node, wanted.replica) {
        (Some(called), _) if called != found.node => Err(HandshakeError::OtherNode {
            called,
            found: found.node,
        }),
        (_, Some(called)) if called != found.replica => Err(HandshakeError::OtherReplica {
            node: found.node,
            called,
            found: found.replica,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OUR_PROCESS: u64 = 9;

    fn name(node: u32, cluster: Option<&str>) -> Name {
        Name {
            node: NodeId(node),
            replica: ReplicaId(u64::from(node) * 11),
            cluster: cluster.map(str::to_owned),
            address: format!("10.0.0.{node}:9093"),
        }
    }

    fn hello(node: u32, cluster: Option<&str>) -> Hello {
        Hello {
            purpose: Purpose::Messages,
            from: name(node, cluster),
            to: ExpectedPeer::default(),
            process: 5,
            nonce: [7; 16],
        }
    }

    #[test]
    fn nodes_of_one_cluster_take_each_other() {
        let local = name(1, Some("a"));
        assert_eq!(
            judge_caller(&local, OUR_PROCESS, &hello(2, Some("a"))),
            Ok(())
        );
        let greeting = Greeting {
            from: name(2, Some("a")),
            nonce: [8; 16],
        };
        let wanted = ExpectedPeer {
            node: Some(NodeId(2)),
            replica: Some(ReplicaId(22)),
        };
        assert_eq!(judge_answerer(&local, wanted, &greeting), Ok(()));
    }

    #[test]
    fn each_mismatch_is_refused_by_its_name() {
        let local = name(1, Some("a"));
        let refused = |change: &dyn Fn(&mut Hello)| {
            let mut hello = hello(2, Some("a"));
            change(&mut hello);
            judge_caller(&local, OUR_PROCESS, &hello).expect_err("refused")
        };
        assert!(matches!(
            refused(&|hello| hello.from.cluster = Some("b".to_owned())),
            HandshakeError::OtherCluster { .. }
        ));
        assert_eq!(
            refused(&|hello| hello.from.cluster = None),
            HandshakeError::NotFormed
        );
        assert!(matches!(
            refused(&|hello| hello.to.replica = Some(ReplicaId(9))),
            HandshakeError::OtherReplica { .. }
        ));
        assert!(matches!(
            refused(&|hello| hello.to.node = Some(NodeId(3))),
            HandshakeError::OtherNode { .. }
        ));
        assert!(matches!(
            refused(&|hello| hello.from.node = NodeId(1)),
            HandshakeError::SameNode { .. }
        ));
        assert!(matches!(
            refused(&|hello| hello.from.replica = local.replica),
            HandshakeError::SameReplica { .. }
        ));
    }

    #[test]
    fn a_node_of_no_cluster_may_ask_and_be_asked() {
        let mut asks = hello(2, None);
        asks.purpose = Purpose::Requests;
        assert_eq!(
            judge_caller(&name(1, Some("a")), OUR_PROCESS, &asks),
            Ok(())
        );
        assert_eq!(judge_caller(&name(1, None), OUR_PROCESS, &asks), Ok(()));
    }

    #[test]
    fn a_proof_is_judged_by_the_secret_and_by_what_was_said() {
        let secret = |text: &str| PeerSecret::new(text.as_bytes()).expect("long enough");
        let ours = secret("a secret of ours");
        let said = Transcript::new(b"hello", b"greeting");
        let proof = Proof::of(Some(&ours), End::Caller, &said);

        assert_eq!(proof.check(Some(&ours), End::Caller, &said), Ok(()));
        assert_eq!(
            proof.check(Some(&ours), End::Answerer, &said),
            Err(HandshakeError::WrongSecret),
            "our own proof sent back"
        );
        assert_eq!(
            proof.check(Some(&secret("a secret of others")), End::Caller, &said),
            Err(HandshakeError::WrongSecret)
        );
        assert_eq!(
            proof.check(
                Some(&ours),
                End::Caller,
                &Transcript::new(b"hell", b"ogreeting")
            ),
            Err(HandshakeError::WrongSecret)
        );
        assert_eq!(
            proof.check(None, End::Caller, &said),
            Err(HandshakeError::OneSecret)
        );
        let none = Proof::of(None, End::Caller, &said);
        assert_eq!(
            none.check(Some(&ours), End::Caller, &said),
            Err(HandshakeError::OneSecret)
        );
        assert_eq!(none.check(None, End::Caller, &said), Ok(()));
    }

    #[test]
    fn other_versions_are_named_whatever_follows_them_and_a_common_one_is_found() {
        let body_of = |oldest: u16, newest: u16| {
            let mut body = MAGIC.to_vec();
            body.extend_from_slice(&oldest.to_be_bytes());
            body.extend_from_slice(&newest.to_be_bytes());
            body.extend_from_slice(&hello(2, None).encode()[8..]);
            body.extend_from_slice(b"what a later version says besides");
            body
        };
        assert_eq!(Hello::decode(&body_of(1, 1)), Ok((1, hello(2, None))));
        assert_eq!(Hello::decode(&body_of(1, 9)), Ok((2, hello(2, None))));
        for (oldest, newest) in [(3, 9), (0, 0), (9, 1)] {
            let refused = Hello::decode(&body_of(oldest, newest));
            let named = HandshakeError::Version {
                heard: newest,
                spoken: 2,
            };
            assert_eq!(refused, Err(named), "{oldest} to {newest}");
        }
    }

    #[test]
    fn a_text_that_could_pass_for_another_log_line_is_malformed() {
        let forged = HandshakeError::OtherCluster {
            caller: "a\nERROR the cluster is on fire".to_owned(),
            called: "b".to_owned(),
        };
        assert_eq!(
            HandshakeError::decode(&forged.encode()),
            HandshakeError::Malformed
        );
        assert_eq!(
            HandshakeError::decode(&[200, 1, 2]),
            HandshakeError::Unknown
        );
        let mut hello = hello(2, None);
        hello.from.address = "10.0.0.2:1\u{1b}[2J".to_owned();
        assert_eq!(
            Hello::decode(&hello.encode()),
            Err(HandshakeError::Malformed)
        );
    }

    proptest! {
        #[test]
        fn what_was_encoded_reads_back(node in 1..9_u32, cluster in proptest::option::of("[a-z]{1,22}"), nonce: Nonce) {
            let hello = Hello { nonce, ..hello(node, cluster.as_deref()) };
            prop_assert_eq!(Hello::decode(&hello.encode()), Ok((2, hello.clone())));
            let greeting = Greeting { from: hello.from, nonce };
            prop_assert_eq!(Greeting::decode(&greeting.encode()), Ok((2, greeting)));
        }

        #[test]
        fn nonsense_is_refused_and_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Hello::decode(&body).is_err());
            let mut ours = MAGIC.to_vec();
            ours.extend_from_slice(&[0, 1, 0, 1]);
            ours.extend_from_slice(&body);
            let _may_be_a_greeting_by_chance = Greeting::decode(&ours).is_ok();
            let _may_be_a_proof_by_chance = Proof::decode(&body).is_ok();
            let _always_some_refusal = HandshakeError::decode(&body);
        }
    }
}
