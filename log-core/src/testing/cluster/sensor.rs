//! A producer whose records are kept for seconds only: what is deleted, and not before its time, is seen in its topic.

use super::request::{Asking, Hearing, Request, Said, Season, Then};
use super::topic;
use crate::node::ProposeError;
use crate::state::CommandError;

#[derive(Default)]
pub(super) struct Sensor {
    has_topic: bool,
    written: u32,
}

impl Sensor {
    pub(super) fn next(&mut self, asking: Asking<'_>) -> Option<Request> {
        if Season::Trouble < asking.season {
            return None;
        }
        Some(Request::Propose(if self.has_topic {
            topic::produce_brief(self.written)
        } else {
            topic::brief_creation()
        }))
    }

    pub(super) fn hear(&mut self, said: Said, hearing: &mut Hearing<'_>) -> Then {
        let Said::Outcome(outcome) = said else {
            unreachable!("it only proposes")
        };
        match outcome {
            Ok(Err(CommandError::ProposerDeposed)) | Err(ProposeError::NotLeader) => {
                return Then::Elsewhere;
            }
            Ok(Ok(_)) if self.has_topic => self.written += 1,
            Ok(Ok(_) | Err(CommandError::TopicExists { .. })) => self.has_topic = true,
            Ok(Err(refusal)) => hearing.history.refused(hearing.client, &refusal),
            Err(_) => {}
        }
        Then::Stay
    }
}
