//! A producer whose records are kept for seconds only: what is deleted, and not before its time, is seen in its topic.

use super::request::{FaultPhase, NextNode, Reply, ReplyContext, Request, RequestContext};
use super::topic;
use crate::node::ProposeError;
use crate::state::CommandError;

#[derive(Default)]
pub(super) struct Sensor {
    has_topic: bool,
    written: u32,
}

impl Sensor {
    pub(super) fn next(&mut self, context: RequestContext<'_>) -> Option<Request> {
        if FaultPhase::Trouble < context.phase {
            return None;
        }
        Some(Request::Propose(if self.has_topic {
            topic::produce_brief(self.written)
        } else {
            topic::brief_creation()
        }))
    }

    pub(super) fn hear(&mut self, said: Reply, context: &mut ReplyContext<'_>) -> NextNode {
        let Reply::Outcome(outcome) = said else {
            unreachable!("it only proposes")
        };
        match outcome {
            Ok(Err(CommandError::ProposerDeposed)) | Err(ProposeError::NotLeader) => {
                return NextNode::Elsewhere;
            }
            Ok(Ok(_)) if self.has_topic => self.written += 1,
            Ok(Ok(_) | Err(CommandError::TopicExists { .. })) => self.has_topic = true,
            Ok(Err(refusal)) => context.history.refused(context.client, &refusal),
            Err(_) => {}
        }
        NextNode::Stay
    }
}
