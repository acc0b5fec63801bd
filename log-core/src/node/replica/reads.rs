//! Reads on their way to being allowed: gathered, asked together, and waiting for their index to be applied (Raft
//! thesis, section 6.4).

use std::collections::BTreeMap;

use super::Replica;
use crate::consensus::ReadTicket;
use crate::ids::EntryIndex;
use crate::node::effect::Effect;
use crate::node::input::Ticket;
use crate::node::propose_error::ProposeError;
use crate::node::view::Leadership;

/// Who waits for what.
#[derive(Default)]
pub(super) struct Reads {
    pub(super) waiting: Vec<Ticket>,
    pub(super) asked: BTreeMap<ReadTicket, Vec<Ticket>>,
    pub(super) at_index: BTreeMap<EntryIndex, Vec<Ticket>>,
}

impl Replica {
    pub(super) fn read(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        match self.current_leadership() {
            Leadership::Leader { .. } => self.reads.waiting.push(ticket),
            Leadership::Starting | Leadership::Follower { .. } => {
                effects.push(Effect::Readable {
                    ticket,
                    allowed: Err(ProposeError::NotLeader),
                });
            }
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
            let tickets = first.remove();
            effects.extend(tickets.into_iter().map(|ticket| Effect::Readable {
                ticket,
                allowed: Ok(()),
            }));
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
        for ticket in asked.chain(reads.waiting) {
            effects.push(Effect::Readable {
                ticket,
                allowed: Err(ProposeError::OutcomeUnknown),
            });
        }
    }
}
