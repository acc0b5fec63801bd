//! Whether those who vote have proved that they are there before they were let.

use std::collections::BTreeMap;

use super::super::disks::OnDisks;
use super::super::voters::NewVoters;
use super::Violation;
use crate::consensus::Message;
use crate::ids::{EntryIndex, LeaderEpoch, ReplicaId};

/// How far each replica has said that it has stored the entries of the latest leader it knows.
#[derive(Default)]
pub(super) struct Voters {
    stored: BTreeMap<ReplicaId, (LeaderEpoch, EntryIndex)>,
    /// The same, whoever led.
    furthest: BTreeMap<ReplicaId, EntryIndex>,
}

impl Voters {
    /// A message leaves: what it promises is on its sender's disk.
    pub(super) fn sent(&mut self, message: &Message) {
        use raft::eraftpb::MessageType::MsgAppendResponse;
        if message.get_msg_type() != MsgAppendResponse || message.reject {
            return;
        }
        let epoch = u32::try_from(message.term).expect("few elections");
        let stored = (LeaderEpoch(epoch), EntryIndex(message.index));
        let known = self.stored.entry(ReplicaId(message.from)).or_default();
        *known = stored.max(*known);
        let furthest = self.furthest.entry(ReplicaId(message.from)).or_default();
        *furthest = stored.1.max(*furthest);
    }

    /// A node has acknowledged a record: so many voters have said that they have stored its entry, or it is the node itself
    /// that has.
    pub(super) fn on_disks(
        &self,
        node: usize,
        me: ReplicaId,
        acknowledged: &OnDisks,
    ) -> Result<(), Violation> {
        let OnDisks {
            entry,
            required,
            voters,
        } = acknowledged;
        let has = |voter: &&ReplicaId| {
            let furthest = self.furthest.get(voter);
            **voter == me || furthest.is_some_and(|furthest| entry <= furthest)
        };
        let disks = voters.iter().filter(has).count();
        if disks < *required {
            let required = *required;
            return Err(Violation::OnTooFewDisks {
                node,
                disks,
                required,
            });
        }
        Ok(())
    }

    /// A leader has changed who votes: whoever does for the first time, and a majority, have stored an entry that it
    /// proposed after its epoch's first.
    pub(super) fn changed(&self, node: usize, new: &NewVoters) -> Result<(), Violation> {
        let has_proved = |replica: &&ReplicaId| {
            let stored = self.stored.get(replica);
            let of_epoch = stored.filter(|(epoch, _)| *epoch == new.epoch);
            **replica == new.leader || of_epoch.is_some_and(|(_, entry)| new.since < *entry)
        };
        let added = new.added.iter().all(|replica| has_proved(&replica));
        let majority = new.voters.len() / 2 < new.voters.iter().filter(has_proved).count();
        if added && majority {
            return Ok(());
        }
        let epoch = new.epoch;
        Err(Violation::UnprovedVoters { node, epoch })
    }
}
