//! Who has said that they received what. Nothing is sent again here because of it: an ACK is evidence of receipt.

use std::collections::VecDeque;

use super::{AckMode, SubscriptionKey};

/// Which message an ACK or NACK means: each version has its own way to say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AckTarget {
    /// 1.2: the `ack` header of the MESSAGE.
    Number(Option<u64>),
    /// 1.1: the subscription and the `message-id`.
    MessageOn(SubscriptionKey, String),
    /// 1.0: the `message-id`.
    Message(String),
}

#[derive(Debug)]
struct Delivery {
    number: u64,
    subscription: SubscriptionKey,
    mode: AckMode,
    message_id: Box<str>,
}

/// Messages of one session that wait for an ACK, in the order they were sent.
///
/// At most [`WAITING_MAX`] are remembered and the oldest goes first, since a client that never acknowledges
/// would otherwise own our memory. So an ACK for something not remembered is not an error: it is passed over.
#[derive(Debug, Default)]
pub(super) struct PendingAcks {
    last: u64,
    waiting: VecDeque<Delivery>,
}

/// A quarter of an hour of a very bad night.
pub(super) const WAITING_MAX: usize = 1_000;

impl PendingAcks {
    /// Remembers a message; the number goes into its `ack` header.
    pub(super) fn delivered(
        &mut self,
        subscription: SubscriptionKey,
        mode: AckMode,
        message_id: &str,
    ) -> u64 {
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.last += 1;
        self.waiting.push_back(Delivery {
            number: self.last,
            subscription,
            mode,
            message_id: message_id.into(),
        });
        self.last
    }

    /// Forgets what an ACK or NACK stands for, and says how many messages that were.
    pub(super) fn settle(&mut self, reference: &AckTarget) -> usize {
        let Some(named) = self.waiting.iter().find(|delivery| delivery.is(reference)) else {
            return 0;
        };
        let (number, subscription, mode) = (named.number, named.subscription, named.mode);
        let before = self.waiting.len();
        self.waiting.retain(|delivery| match mode {
            AckMode::Client => delivery.subscription != subscription || number < delivery.number,
            AckMode::Auto | AckMode::ClientIndividual => delivery.number != number,
        });
        before - self.waiting.len()
    }

    pub(super) fn forget(&mut self, subscription: SubscriptionKey) {
        self.waiting
            .retain(|delivery| delivery.subscription != subscription);
    }
}

impl Delivery {
    fn is(&self, reference: &AckTarget) -> bool {
        match reference {
            AckTarget::Number(number) => *number == Some(self.number),
            AckTarget::MessageOn(subscription, id) => {
                *subscription == self.subscription && **id == *self.message_id
            }
            AckTarget::Message(id) => **id == *self.message_id,
        }
    }
}
