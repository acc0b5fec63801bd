//! What can happen next, and the mark that it leaves.

use super::disks::Status;
use super::request::{Request, RequestOrigin};
use crate::consensus::Message;
use crate::ids::LeaderEpoch;

/// What can happen next.
#[derive(Debug)]
pub(super) enum Event {
    /// A node's clock ticks.
    Tick { node: usize, life: u64 },
    /// A node's thread takes what has come meanwhile.
    Round { node: usize, life: u64 },
    /// A node's journal is written.
    Journal { node: usize, life: u64 },
    /// A node's checkpoint is completed.
    Checkpoint { node: usize, life: u64 },
    /// A node's checkpoint is held for its followers.
    Hold { node: usize, life: u64 },
    /// A node asks for another part of a snapshot.
    Fetch { node: usize, life: u64 },
    /// A message arrives.
    Deliver { to: usize, message: Message },
    /// A node says to another how it is.
    Status { to: usize, status: Status },
    /// A client wants something.
    Act { client: usize },
    /// A client's request arrives.
    Arrive {
        node: usize,
        asker: RequestOrigin,
        request: Request,
    },
    /// A client no longer waits.
    GiveUp { asker: RequestOrigin },
    /// Something goes wrong.
    Trouble,
    /// A node comes back.
    Restart { node: usize },
    /// A node's process goes on.
    Resume { node: usize },
    /// A disk that was full has room again.
    Room { node: usize },
    /// A disk that was slow is quick again.
    Quick { node: usize },
    /// A leader whose disk is slow beside quick ones has had its time to hand over.
    Overdue { node: usize, epoch: LeaderEpoch },
    /// A link carries messages again.
    Heal { link: (usize, usize) },
    /// The operator does something about a node that was lost.
    Operate { node: usize },
}

impl Event {
    /// The node whose process must run for it to happen.
    pub(super) fn needs(&self) -> Option<usize> {
        match self {
            Self::Tick { node, .. }
            | Self::Round { node, .. }
            | Self::Journal { node, .. }
            | Self::Checkpoint { node, .. }
            | Self::Hold { node, .. }
            | Self::Fetch { node, .. }
            | Self::Deliver { to: node, .. }
            | Self::Status { to: node, .. }
            | Self::Arrive { node, .. } => Some(*node),
            Self::Act { .. }
            | Self::GiveUp { .. }
            | Self::Trouble
            | Self::Restart { .. }
            | Self::Resume { .. }
            | Self::Room { .. }
            | Self::Quick { .. }
            | Self::Overdue { .. }
            | Self::Heal { .. }
            | Self::Operate { .. } => None,
        }
    }

    /// What tells it from every other.
    fn mark(&self) -> [u64; 4] {
        let number = |number: usize| u64::try_from(number).expect("few");
        match self {
            Self::Tick { node, life } => [1, number(*node), *life, 0],
            Self::Journal { node, life } => [2, number(*node), *life, 0],
            Self::Checkpoint { node, life } => [3, number(*node), *life, 0],
            Self::Deliver { to, message } => [4, number(*to), mark_of(message), message.from],
            Self::Act { client } => [5, number(*client), 0, 0],
            Self::Arrive { node, asker, .. } => {
                [6, number(*node), number(asker.client), asker.attempt]
            }
            Self::GiveUp { asker } => [7, number(asker.client), asker.attempt, 0],
            Self::Trouble => [8, 0, 0, 0],
            Self::Restart { node } => [9, number(*node), 0, 0],
            Self::Resume { node } => [10, number(*node), 0, 0],
            Self::Room { node } => [11, number(*node), 0, 0],
            Self::Heal { link } => [12, number(link.0), number(link.1), 0],
            Self::Hold { node, life } => [13, number(*node), *life, 0],
            Self::Fetch { node, life } => [14, number(*node), *life, 0],
            Self::Operate { node } => [15, number(*node), 0, 0],
            Self::Quick { node } => [16, number(*node), 0, 0],
            Self::Round { node, life } => [18, number(*node), *life, 0],
            Self::Status { to, status } => [19, number(*to), status.from.0, 0],
            Self::Overdue { node, epoch } => [17, number(*node), u64::from(epoch.0), 0],
        }
    }
}

fn mark_of(message: &Message) -> u64 {
    let mut trace = Trace::default();
    let kind = u64::from(message.get_msg_type() as u32);
    let entries = message.entries.iter();
    let payload = entries
        .map(|entry| entry.term ^ entry.data.len() as u64)
        .sum();
    trace.note([kind, message.term, message.index, message.log_term]);
    trace.note([
        message.commit,
        message.reject_hint,
        u64::from(message.reject),
        payload,
    ]);
    trace.0
}

/// A fingerprint of everything that happened, in order.
#[derive(Clone, Copy)]
pub(super) struct Trace(pub(super) u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    pub(super) fn note_event(&mut self, at_ns: u64, event: &Event) {
        let [kind, first, second, third] = event.mark();
        self.note([at_ns, kind, first, second]);
        self.note([third, 0, 0, 0]);
    }

    pub(super) fn note(&mut self, numbers: [u64; 4]) {
        for number in numbers {
            // Multiplying only moves bits up, so the upper ones are folded down (as in wyhash and its kin).
            let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.0 = mixed ^ (mixed >> 29);
        }
    }
}
