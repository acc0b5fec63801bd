//! What waits for a node's own thread. It takes several of a kind before it works, messages before what it is asked.

use std::collections::VecDeque;

use crate::consensus::Message;
use crate::node::Input;

#[derive(Default)]
pub(super) struct Inboxes {
    messages: VecDeque<Message>,
    asked: VecDeque<Input>,
    /// Whether a round is planned.
    planned: bool,
}

impl Inboxes {
    pub(super) fn hear(&mut self, message: Message) {
        self.messages.push_back(message);
    }

    pub(super) fn ask(&mut self, input: Input) {
        self.asked.push_back(input);
    }

    /// Whether a round is to be planned: something waits, and none is planned yet.
    pub(super) fn want_a_round(&mut self) -> bool {
        let waits = !(self.messages.is_empty() && self.asked.is_empty());
        waits && !std::mem::replace(&mut self.planned, true)
    }

    /// A round that was planned takes nothing.
    pub(super) fn put_off(&mut self) {
        self.planned = false;
    }

    /// The inputs of a round, `most` of them at most.
    pub(super) fn take(&mut self, most: usize) -> Vec<Input> {
        self.planned = false;
        if self.messages.is_empty() {
            let count = most.min(self.asked.len());
            self.asked.drain(..count).collect()
        } else {
            let count = most.min(self.messages.len());
            self.messages.drain(..count).map(Input::Message).collect()
        }
    }
}
