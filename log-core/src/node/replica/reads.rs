//! Reads on their way to being allowed: gathered, asked together, and waiting for their index to be applied (Raft
//! thesis, section 6.4).

use std::collections::BTreeMap;

use super::Replica;
use crate::consensus::ReadRequestId;
use crate::ids::{EntryIndex, RequestId};
use crate::node::effect::Effect;
use crate::node::propose_error::ProposeError;
use crate::node::reply::NodeReply;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reader {
    /// Its reply tells.
    Request(RequestId),
    /// The node itself, about a request; it asks with [`Replica::take_confirmed`].
    Node(RequestId),
}

/// Who waits for what.
#[derive(Default)]
pub(super) struct Reads {
    pub(super) waiting: Vec<Reader>,
    pub(super) asked: BTreeMap<ReadRequestId, Vec<Reader>>,
    pub(super) at_index: BTreeMap<EntryIndex, Vec<Reader>>,
}

impl Replica {
    pub(in crate::node) fn read(&mut self, id: RequestId, effects: &mut Vec<Effect>) {
        self.ask_to_read(Reader::Request(id), effects);
    }

    /// Has a majority confirm that this node leads, before something final is said about a request.
    pub(in crate::node) fn confirm(&mut self, id: RequestId, effects: &mut Vec<Effect>) {
        self.ask_to_read(Reader::Node(id), effects);
    }

    fn ask_to_read(&mut self, reader: Reader, effects: &mut Vec<Effect>) {
        match self.leads() {
            Some(_) => self.reads.waiting.push(reader),
            None => self.tell_reader(reader, Err(ProposeError::NotLeader), effects),
        }
    }

    fn tell_reader(
        &mut self,
        reader: Reader,
        allowed: Result<(), ProposeError>,
        effects: &mut Vec<Effect>,
    ) {
        match reader {
            Reader::Request(to) => {
                let reply = NodeReply::Readable(allowed);
                effects.push(Effect::Reply { to, reply });
            }
            Reader::Node(id) => self.confirmed.push((id, allowed)),
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
            for reader in first.remove() {
                self.tell_reader(reader, Ok(()), effects);
            }
        }
    }

    /// Leadership is lost: nobody knows any more what is current here.
    pub(super) fn fail_pending_reads(&mut self, effects: &mut Vec<Effect>) {
        let reads = std::mem::take(&mut self.reads);
        let asked = reads
            .asked
            .into_values()
            .chain(reads.at_index.into_values())
            .flatten();
        for reader in asked.chain(reads.waiting) {
            self.tell_reader(reader, Err(ProposeError::OutcomeUnknown), effects);
        }
    }
}
