//! What new subscriptions are sent before anything live, as the socket takes it: frames that all sockets share, and what
//! came meanwhile, since on one subscription nothing overtakes.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    outbound_event::OutboundEvent, position::Position, stomp::SubscriptionKey,
    write_queue::SendError,
};

/// How long a client may take none of what it missed. Phones in a lift come back; a client that does not read holds our memory.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// The backlogs of one socket's subscriptions, sent one after the other.
#[derive(Debug)]
pub(crate) struct Backlogs {
    waiting: Vec<Backlog>,
    /// When something was last taken from them.
    moved_at: Duration,
    /// Bytes of what comes meanwhile, for each.
    live_bytes_max: usize,
}

#[derive(Debug)]
struct Backlog {
    subscription: SubscriptionKey,
    items: VecDeque<BacklogItem>,
    /// Bytes of what came meanwhile.
    live_bytes: usize,
}

/// One message of a backlog.
#[derive(Debug)]
pub(crate) enum BacklogItem {
    /// An event that was missed.
    Missed {
        /// Which.
        event: Arc<OutboundEvent>,
        /// The position that the client came back with, if it is gone on from.
        resumed_from: Option<Position>,
    },
    /// An event that came while others were still to be sent.
    Live(Arc<OutboundEvent>),
    /// A message that only this subscription is sent.
    Note {
        /// The second half of the MESSAGE.
        rest: Bytes,
        /// Its `message-id`.
        message_id: String,
    },
    /// Another frame, whole: the RECEIPT of the SUBSCRIBE.
    Frame(Vec<u8>),
}

impl Backlogs {
    pub(crate) fn new(live_bytes_max: usize, now: Duration) -> Self {
        Self {
            waiting: Vec::new(),
            moved_at: now,
            live_bytes_max,
        }
    }

    /// From now on a subscription is sent these before anything else.
    pub(crate) fn begin(
        &mut self,
        subscription: SubscriptionKey,
        items: VecDeque<BacklogItem>,
        now: Duration,
    ) {
        if self.waiting.is_empty() {
            self.moved_at = now;
        }
        self.waiting.push(Backlog {
            subscription,
            items,
            live_bytes: 0,
        });
    }

    /// Whether a subscription is still sent what it missed.
    pub(crate) fn has(&self, subscription: SubscriptionKey) -> bool {
        self.position(subscription).is_some()
    }

    fn position(&self, subscription: SubscriptionKey) -> Option<usize> {
        self.waiting
            .iter()
            .position(|backlog| backlog.subscription == subscription)
    }

    /// An event for a subscription that is still sent what it missed. Bounded as the socket's queue is.
    pub(crate) fn append(
        &mut self,
        subscription: SubscriptionKey,
        item: BacklogItem,
        now: Duration,
    ) -> Result<(), SendError> {
        if !self.has(subscription) {
            self.begin(subscription, VecDeque::new(), now);
        }
        let at = self.position(subscription).expect("begun above");
        let backlog = &mut self.waiting[at];
        backlog.live_bytes += item.len();
        backlog.items.push_back(item);
        if self.live_bytes_max < backlog.live_bytes {
            return Err(SendError::Slow);
        }
        Ok(())
    }

    /// The next message.
    pub(crate) fn next(&mut self, now: Duration) -> Option<(SubscriptionKey, BacklogItem)> {
        let backlog = self.waiting.first_mut()?;
        let subscription = backlog.subscription;
        let item = backlog.items.pop_front();
        if backlog.items.is_empty() {
            self.waiting.remove(0);
        }
        self.moved_at = now;
        item.map(|item| (subscription, item))
    }

    /// A subscription has ended: it is sent nothing more. The frames that are not messages are left to be sent.
    pub(crate) fn end(&mut self, subscription: SubscriptionKey) -> Vec<Vec<u8>> {
        let Some(at) = self.position(subscription) else {
            return Vec::new();
        };
        let items = self.waiting.remove(at).items.into_iter();
        items
            .filter_map(|item| match item {
                BacklogItem::Frame(frame) => Some(frame),
                BacklogItem::Missed { .. } | BacklogItem::Live(_) | BacklogItem::Note { .. } => {
                    None
                }
            })
            .collect()
    }

    /// All subscriptions have ended.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// When the client has taken nothing for too long.
    pub(crate) fn stalled_at(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then(|| self.moved_at + STALLED_AFTER)
    }
}

impl BacklogItem {
    /// Bytes of its message, but for the head of the subscription.
    pub(crate) fn len(&self) -> usize {
        match self {
            BacklogItem::Missed { event, .. } | BacklogItem::Live(event) => event.rest().len(),
            BacklogItem::Note { rest, .. } => rest.len(),
            BacklogItem::Frame(frame) => frame.len(),
        }
    }
}
