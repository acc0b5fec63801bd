//! What replicas say to each other, as bytes: a small encoding of our own, so that a stranger's bytes never reach a
//! general protobuf reader. Only what one replica may say to another can be written or read: local messages, forwarded
//! proposals and forwarded reads cannot.

use bytes::Bytes;
use raft::eraftpb::{Entry as RaftEntry, EntryType, Message, MessageType, Snapshot};
use serde::{Deserialize, Serialize};

use super::membership::Membership;
use super::tail;
use crate::ids::{EntryIndex, LeaderEpoch};

/// Why bytes are no message between replicas.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMessage {
    /// They are not in the encoding.
    #[error("message of {len} bytes is not readable")]
    Unreadable {
        /// How many.
        len: usize,
        /// Where it ends to make sense.
        #[source]
        source: postcard::Error,
    },
    /// They are, and say something that a replica never says to another.
    #[error("message of {len} bytes: {found}")]
    Nonsense {
        /// How many.
        len: usize,
        /// What is wrong.
        found: &'static str,
    },
}

/// Far beyond any journal, and far enough from the end of the numbers to count on from.
const INDEX_MAX: u64 = 1 << 62;

/// What may be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Append,
    AppendResponse,
    RequestVote,
    RequestVoteResponse,
    RequestPreVote,
    RequestPreVoteResponse,
    Heartbeat,
    HeartbeatResponse,
    Snapshot,
    TimeoutNow,
}

#[derive(Serialize, Deserialize)]
struct Layout {
    kind: Kind,
    to: u64,
    from: u64,
    term: u64,
    log_term: u64,
    index: u64,
    commit: u64,
    commit_term: u64,
    reject: bool,
    reject_hint: u64,
    request_snapshot: u64,
    context: Bytes,
    entries: Vec<EntryLayout>,
    snapshot: Option<SnapshotLayout>,
}

#[derive(Serialize, Deserialize)]
struct EntryLayout {
    membership: bool,
    term: u64,
    index: u64,
    payload: Bytes,
}

#[derive(Serialize, Deserialize)]
struct SnapshotLayout {
    index: u64,
    term: u64,
    membership: Membership,
    manifest: Bytes,
}

/// A snapshot that a leader tells a follower to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldSnapshot {
    /// The last entry it covers.
    pub applied: EntryIndex,
    /// That entry's epoch.
    pub epoch: LeaderEpoch,
    /// Which files it is made of.
    pub manifest: Bytes,
}

/// The snapshot that a message tells of, if it does.
pub fn told_snapshot(message: &Message) -> Option<ToldSnapshot> {
    if message.get_msg_type() != MessageType::MsgSnapshot {
        return None;
    }
    let snapshot = message.get_snapshot();
    Some(ToldSnapshot {
        applied: EntryIndex(snapshot.get_metadata().index),
        epoch: tail::epoch_of(snapshot.get_metadata().term),
        manifest: snapshot.data.clone(),
    })
}

/// The bytes of a message to another replica.
///
/// # Panics
/// When the message is of a kind that never leaves a replica: the driver hands out none.
pub fn encode_message(message: &Message) -> Vec<u8> {
    let layout = Layout {
        kind: kind_of(message.get_msg_type()).expect("the driver sends what replicas may say"),
        to: message.to,
        from: message.from,
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        commit: message.commit,
        commit_term: message.commit_term,
        reject: message.reject,
        reject_hint: message.reject_hint,
        request_snapshot: message.request_snapshot,
        context: message.context.clone(),
        entries: message.get_entries().iter().map(entry_layout).collect(),
        snapshot: message
            .has_snapshot()
            .then(|| snapshot_layout(message.get_snapshot())),
    };
    postcard::to_stdvec(&layout).expect("plain values always encode into a growing buffer")
}

/// Reads what [`encode_message`] wrote.
///
/// # Errors
/// [`InvalidMessage`] when the bytes are anything else, or leave something over.
pub fn decode_message(bytes: &[u8]) -> Result<Message, InvalidMessage> {
    let len = bytes.len();
    let nonsense = |found| InvalidMessage::Nonsense { len, found };
    let (layout, rest): (Layout, _) = postcard::take_from_bytes(bytes)
        .map_err(|source| InvalidMessage::Unreadable { len, source })?;
    if !rest.is_empty() {
        return Err(nonsense("bytes are left over"));
    }
    if layout.to == 0 || layout.from == 0 {
        return Err(nonsense("a replica is never 0"));
    }
    let terms = [layout.term, layout.log_term, layout.commit_term];
    let of_entries = layout.entries.iter().map(|entry| entry.term);
    let of_snapshot = layout.snapshot.iter().map(|snapshot| snapshot.term);
    if !terms
        .into_iter()
        .chain(of_entries)
        .chain(of_snapshot)
        .all(is_epoch)
    {
        return Err(nonsense("an epoch has 31 bits"));
    }
    let indexes = [layout.index, layout.commit, layout.reject_hint];
    if indexes.into_iter().any(|index| INDEX_MAX < index) {
        return Err(nonsense("no journal is that long"));
    }
    if (layout.kind == Kind::Snapshot) != layout.snapshot.is_some() {
        return Err(nonsense(
            "a snapshot comes with its manifest, and nothing else does",
        ));
    }
    if !follow_each_other(layout.index, &layout.entries) {
        return Err(nonsense("the entries leave a hole"));
    }
    Ok(layout.into_message())
}

/// Kafka's leader epochs have 31 bits, and an epoch is the term.
fn is_epoch(term: u64) -> bool {
    term <= u64::from(LeaderEpoch::MAX.0)
}

fn follow_each_other(before: u64, entries: &[EntryLayout]) -> bool {
    let expected = (1..).map(|step| before.checked_add(step));
    entries
        .iter()
        .zip(expected)
        .all(|(entry, expected)| Some(entry.index) == expected)
}

impl Layout {
    fn into_message(self) -> Message {
        let mut message = Message::default();
        message.set_msg_type(type_of(self.kind));
        message.to = self.to;
        message.from = self.from;
        message.term = self.term;
        message.log_term = self.log_term;
        message.index = self.index;
        message.commit = self.commit;
        message.commit_term = self.commit_term;
        message.reject = self.reject;
        message.reject_hint = self.reject_hint;
        message.request_snapshot = self.request_snapshot;
        message.context = self.context;
        message.set_entries(self.entries.into_iter().map(raft_entry).collect());
        if let Some(snapshot) = self.snapshot {
            message.set_snapshot(raft_snapshot(snapshot));
        }
        message
    }
}

fn entry_layout(entry: &RaftEntry) -> EntryLayout {
    EntryLayout {
        membership: entry.get_entry_type() != EntryType::EntryNormal,
        term: entry.term,
        index: entry.index,
        payload: entry.data.clone(),
    }
}

fn raft_entry(layout: EntryLayout) -> RaftEntry {
    let mut entry = RaftEntry::default();
    entry.set_entry_type(if layout.membership {
        EntryType::EntryConfChangeV2
    } else {
        EntryType::EntryNormal
    });
    entry.term = layout.term;
    entry.index = layout.index;
    entry.data = layout.payload;
    entry
}

fn snapshot_layout(snapshot: &Snapshot) -> SnapshotLayout {
    let metadata = snapshot.get_metadata();
    SnapshotLayout {
        index: metadata.index,
        term: metadata.term,
        membership: Membership::from_raft(metadata.get_conf_state()),
        manifest: snapshot.data.clone(),
    }
}

fn raft_snapshot(layout: SnapshotLayout) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.mut_metadata().index = layout.index;
    snapshot.mut_metadata().term = layout.term;
    snapshot
        .mut_metadata()
        .set_conf_state(layout.membership.to_raft());
    snapshot.data = layout.manifest;
    snapshot
}

fn kind_of(message: MessageType) -> Option<Kind> {
    match message {
        MessageType::MsgAppend => Some(Kind::Append),
        MessageType::MsgAppendResponse => Some(Kind::AppendResponse),
        MessageType::MsgRequestVote => Some(Kind::RequestVote),
        MessageType::MsgRequestVoteResponse => Some(Kind::RequestVoteResponse),
        MessageType::MsgRequestPreVote => Some(Kind::RequestPreVote),
        MessageType::MsgRequestPreVoteResponse => Some(Kind::RequestPreVoteResponse),
        MessageType::MsgHeartbeat => Some(Kind::Heartbeat),
        MessageType::MsgHeartbeatResponse => Some(Kind::HeartbeatResponse),
        MessageType::MsgSnapshot => Some(Kind::Snapshot),
        MessageType::MsgTimeoutNow => Some(Kind::TimeoutNow),
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp => None,
    }
}

fn type_of(kind: Kind) -> MessageType {
    match kind {
        Kind::Append => MessageType::MsgAppend,
        Kind::AppendResponse => MessageType::MsgAppendResponse,
        Kind::RequestVote => MessageType::MsgRequestVote,
        Kind::RequestVoteResponse => MessageType::MsgRequestVoteResponse,
        Kind::RequestPreVote => MessageType::MsgRequestPreVote,
        Kind::RequestPreVoteResponse => MessageType::MsgRequestPreVoteResponse,
        Kind::Heartbeat => MessageType::MsgHeartbeat,
        Kind::HeartbeatResponse => MessageType::MsgHeartbeatResponse,
        Kind::Snapshot => MessageType::MsgSnapshot,
        Kind::TimeoutNow => MessageType::MsgTimeoutNow,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::ReplicaId;

    fn any_kind() -> impl Strategy<Value = Kind> {
        prop::sample::select(vec![
            Kind::Append,
            Kind::AppendResponse,
            Kind::RequestVote,
            Kind::RequestVoteResponse,
            Kind::RequestPreVote,
            Kind::RequestPreVoteResponse,
            Kind::Heartbeat,
            Kind::HeartbeatResponse,
            Kind::Snapshot,
            Kind::TimeoutNow,
        ])
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let numbers = (1..=u64::MAX, 1..=u64::MAX, 0..1_u64 << 31, 0..1_u64 << 31);
        let payloads = prop::collection::vec((any::<bool>(), any::<Vec<u8>>()), 0..4);
        (any_kind(), numbers, 0..1_u64 << 40, any::<bool>(), payloads).prop_map(
            |(kind, (to, from, term, log_term), index, reject, payloads)| {
                let entries = payloads.into_iter().zip(index + 1..);
                let entries = entries.map(|((membership, payload), index)| EntryLayout {
                    membership,
                    term,
                    index,
                    payload: payload.into(),
                });
                let snapshot = (kind == Kind::Snapshot).then(|| SnapshotLayout {
                    index,
                    term,
                    membership: Membership::of_voters([ReplicaId(1), ReplicaId(2)]),
                    manifest: Bytes::from_static(b"files"),
                });
                let layout = Layout {
                    kind,
                    to,
                    from,
                    term,
                    log_term,
                    index,
                    commit: index,
                    commit_term: log_term,
                    reject,
                    reject_hint: index,
                    request_snapshot: 0,
                    context: Bytes::from_static(b"read"),
                    entries: entries.collect(),
                    snapshot,
                };
                layout.into_message()
            },
        )
    }

    proptest! {
        #[test]
        fn a_message_is_read_back_as_it_was_written(message in any_message()) {
            prop_assert_eq!(decode_message(&encode_message(&message)).unwrap(), message);
        }

        #[test]
        fn a_message_cut_short_or_with_something_behind_it_is_refused(message in any_message(), cut in any::<prop::sample::Index>()) {
            let bytes = encode_message(&message);
            prop_assert!(decode_message(&bytes[..cut.index(bytes.len())]).is_err());
            let longer = [bytes.as_slice(), &[0]].concat();
            prop_assert!(decode_message(&longer).is_err());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in any::<Vec<u8>>()) {
            drop(decode_message(&bytes));
        }
    }

    fn refusal(change: impl Fn(&mut Message)) -> Option<String> {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgAppend);
        (message.to, message.from) = (1, 2);
        change(&mut message);
        let read = decode_message(&encode_message(&message));
        read.err().map(|error| error.to_string())
    }

    fn entries(indexes: impl IntoIterator<Item = u64>) -> Vec<RaftEntry> {
        let entry = |index| RaftEntry {
            index,
            ..RaftEntry::default()
        };
        indexes.into_iter().map(entry).collect()
    }

    /// What is wrong, and how a message gets it.
    type Case<'a> = (&'static str, &'a dyn Fn(&mut Message));

    #[test]
    fn what_a_replica_never_says_is_refused() {
        let cases: [Case<'_>; 6] = [
            ("a replica is never 0", &|message| message.to = 0),
            ("a replica is never 0", &|message| message.from = 0),
            ("an epoch has 31 bits", &|message| message.term = 1 << 31),
            ("no journal is that long", &|message| {
                message.index = u64::MAX
            }),
            ("a snapshot comes with its manifest", &|message| {
                message.set_msg_type(MessageType::MsgSnapshot)
            }),
            ("the entries leave a hole", &|message| {
                message.set_entries(entries([1, 3]).into())
            }),
        ];
        assert_eq!(
            refusal(|message| message.set_entries(entries([1, 2]).into())),
            None
        );
        for (found, change) in cases {
            let refused = refusal(change).expect(found);
            assert!(refused.contains(found), "{refused}");
        }
    }
}
