//! Reads on their way to being allowed: gathered, asked together, and waiting for their index to be applied (Raft
//! thesis, section 6.4).

use std::collections::BTreeMap;

use super::Replica;
use crate::consensus::ReadRequestId;
use crate::ids::{EntryIndex, RequestId};
use crate::node::effect::Effect;
use crate::node::propose_error::ProposeError;
use crate::node::reply::NodeReply;

/// Who waits for what.
#[derive(Default)]
pub(super) struct Reads {
    pub(super) waiting: Vec<RequestId>,
    pub(super) asked: BTreeMap<ReadRequestId, Vec<RequestId>>,
    pub(super) at_index: BTreeMap<EntryIndex, Vec<RequestId>>,
}

impl Replica {
    pub(in crate::node) fn read(&mut self, id: RequestId, effects: &mut Vec<Effect>) {
        match self.leads() {
            Some(_) => self.reads.waiting.push(id),
            None => effects.push(readable(id, Err(ProposeError::NotLeader))),
        }
    }

    /// One question to the voters serves everybody who has asked by now.
    pub(super) fn ask_reads_together(&mut self) {
        if self.reads.waiting.is_empty() {
            return;
        }
        let asked = self.driver.read_index();
        self.reads
            .asked
            .insert(asked, std::mem::take(&mut self.reads.waiting));
    }

    pub(super) fn answer_reads(&mut self, effects: &mut Vec<Effect>) {
        while let Some(first) = self.reads.at_index.first_entry() {
            if self.applied < *first.key() {
                break;
            }
            let readers = first.remove().into_iter();
            effects.extend(readers.map(|id| readable(id, Ok(()))));
        }
    }

    /// Leadership is lost: nobody knows any more what is current here.
    pub(super) fn let_readers_go(&mut self, effects: &mut Vec<Effect>) {
        let reads = std::mem::take(&mut self.reads);
        let asked = reads
            .asked
            .into_values()
            .chain(reads.at_index.into_values())
            .flatten();
        for id in asked.chain(reads.waiting) {
            effects.push(readable(id, Err(ProposeError::OutcomeUnknown)));
        }
    }
}

fn readable(to: RequestId, allowed: Result<(), ProposeError>) -> Effect {
    Effect::Reply {
        to,
        reply: NodeReply::Readable(allowed),
    }
}
