//! From an event or a notice to the sockets of a shard: who subscribes to what, what was said, for those who were away, and
//! the buffer that every message goes out from.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use slab::Slab;

use super::{
    command::{Notice, ReadRecord},
    connection_key::ConnectionKey,
    log_ends::LogEnds,
};
use crate::{
    backlog::BacklogItem,
    connection::Connection,
    destination::Channel,
    frame_buffer::FrameBuffer,
    hub::{Hub, SubscriptionHandle},
    outbound_event::{self, OutboundEvent},
    position::Position,
    replay_buffer::ReplayBuffer,
    stomp::{MessageHead, SubscriptionKey},
    write_queue::SendError,
};

/// One subscription of one connection.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) connection: ConnectionKey,
    pub(super) subscription: SubscriptionKey,
    /// What each of its messages begins with.
    pub(super) head: MessageHead,
    /// Whether its session counts what it was sent.
    pub(super) acknowledges: bool,
    /// The position that it came with, which this gateway had not reached, and when: what is older was heard before.
    pub(super) ahead: Option<(Position, Duration)>,
}

/// The connections that a message could not be sent to.
pub(super) type SendFailures = Vec<(ConnectionKey, SendError)>;

/// What became of an event.
#[derive(Debug, Default)]
pub(super) struct PublishOutcome {
    /// Subscriptions that were sent it, or will be after what they missed.
    pub(super) delivered: u64,
    /// Connections that are to be sent more of what they missed.
    pub(super) to_fill: Vec<ConnectionKey>,
    pub(super) failed: SendFailures,
}

#[derive(Debug)]
pub(super) struct Publisher {
    hub: Hub<Channel, Subscriber>,
    replay_buffer: ReplayBuffer,
    frame_buffer: FrameBuffer,
    notices_made: u64,
    /// The notice that is still true.
    current_notice: Option<Notice>,
}

impl Publisher {
    pub(super) fn new(recent_bytes_max: usize) -> Self {
        Self {
            hub: Hub::new(),
            replay_buffer: ReplayBuffer::new(recent_bytes_max),
            frame_buffer: FrameBuffer::default(),
            notices_made: 0,
            current_notice: None,
        }
    }

    /// What was said, for those who were away.
    pub(super) fn replay_buffer(&self) -> &ReplayBuffer {
        &self.replay_buffer
    }

    pub(super) fn current_notice(&self) -> Option<Notice> {
        self.current_notice.clone()
    }

    pub(super) fn subscribe(
        &mut self,
        channel: Channel,
        subscriber: Subscriber,
    ) -> SubscriptionHandle<Channel> {
        self.hub.subscribe(channel, subscriber)
    }

    pub(super) fn unsubscribe(
        &mut self,
        subscriptions: impl IntoIterator<Item = SubscriptionHandle<Channel>>,
    ) {
        for handle in subscriptions {
            self.hub.unsubscribe(handle);
        }
    }

    /// Keeps what was read, and hands back the event in it.
    pub(super) fn store(&mut self, read: ReadRecord) -> Option<Arc<OutboundEvent>> {
        self.replay_buffer
            .read(read.topic, read.partition, read.mark);
        if let Some(event) = &read.event {
            self.replay_buffer.add(Arc::clone(event));
        }
        for (recorded, accept_status) in &read.corrected {
            self.replay_buffer.correct(recorded, *accept_status);
        }
        read.event
    }

    /// An event, to all who subscribe to its line.
    pub(super) fn publish(
        &mut self,
        connections: &mut Slab<Connection>,
        event: &Arc<OutboundEvent>,
        log_ends: &LogEnds,
        now: Duration,
    ) -> PublishOutcome {
        let mut published = PublishOutcome::default();
        self.frame_buffer.load(event.rest());
        let channel = Channel::Line(event.line.clone());
        published.failed = self.send(
            connections,
            &channel,
            |subscriber, connection, frame_buffer| {
                let ahead = subscriber.ahead.as_ref();
                let was_heard = ahead.is_some_and(|ahead| log_ends.covered(ahead, event));
                if was_heard || connection.backlogs().has(subscriber.subscription) {
                    published.to_fill.push(subscriber.connection);
                    let item = if was_heard {
                        BacklogItem::Missed {
                            event: Arc::clone(event),
                            resumed_from: None,
                        }
                    } else {
                        BacklogItem::Live(Arc::clone(event))
                    };
                    connection
                        .backlogs()
                        .append(subscriber.subscription, item, now)?;
                } else {
                    deliver_to(connection, subscriber, frame_buffer, &event.message_id, now)?;
                }
                published.delivered += 1;
                Ok(())
            },
        );
        published
    }

    /// A notice, to all who subscribe to them now; and if it lasts, to those who do later.
    pub(super) fn notify(
        &mut self,
        connections: &mut Slab<Connection>,
        notice: Notice,
        now: Duration,
    ) -> SendFailures {
        let message_id = self.load_notice(&notice);
        self.current_notice = Some(notice).filter(|notice| notice.lasts);
        self.send(
            connections,
            &Channel::Notice,
            |subscriber, connection, frame_buffer| {
                deliver_to(connection, subscriber, frame_buffer, &message_id, now)
            },
        )
    }

    /// A notice, to one connection that subscribes to them.
    pub(super) fn tell(
        &mut self,
        connections: &mut Slab<Connection>,
        key: ConnectionKey,
        notice: &Notice,
        now: Duration,
    ) -> SendFailures {
        let message_id = self.load_notice(notice);
        self.send(
            connections,
            &Channel::Notice,
            |subscriber, connection, frame_buffer| {
                if subscriber.connection != key {
                    return Ok(());
                }
                deliver_to(connection, subscriber, frame_buffer, &message_id, now)
            },
        )
    }

    /// A message, on one subscription of one connection.
    pub(super) fn deliver_on(
        &mut self,
        connection: &mut Connection,
        subscription: SubscriptionKey,
        rest: &Bytes,
        message_id: &str,
        now: Duration,
    ) -> Result<(), SendError> {
        let handle = connection.subscription_handle(subscription);
        let Some(subscriber) = handle.and_then(|handle| self.hub.subscriber(handle)) else {
            return Ok(());
        };
        self.frame_buffer.load(rest);
        deliver_to(
            connection,
            subscriber,
            &mut self.frame_buffer,
            message_id,
            now,
        )
    }

    /// The one loop over subscribers: `send` sends what is in the frame buffer.
    fn send(
        &mut self,
        connections: &mut Slab<Connection>,
        channel: &Channel,
        mut send: impl FnMut(&Subscriber, &mut Connection, &mut FrameBuffer) -> Result<(), SendError>,
    ) -> SendFailures {
        let mut failed = SendFailures::new();
        for subscriber in self.hub.subscribers(channel) {
            let Some(connection) = connections.get_mut(subscriber.connection.slot) else {
                continue;
            };
            if let Err(error) = send(subscriber, connection, &mut self.frame_buffer) {
                failed.push((subscriber.connection, error));
            }
        }
        failed
    }

    /// Puts a notice into the frame buffer, under an id that no other has.
    fn load_notice(&mut self, notice: &Notice) -> String {
        self.notices_made += 1;
        let message_id = format!("notice-{}-{}", notice.name, self.notices_made);
        self.frame_buffer.load(&outbound_event::note(
            notice.name,
            &message_id,
            &notice.body,
        ));
        message_id
    }
}

/// Sends one message to one subscription. The frame buffer holds it.
fn deliver_to(
    connection: &mut Connection,
    subscriber: &Subscriber,
    frame_buffer: &mut FrameBuffer,
    message_id: &str,
    now: Duration,
) -> Result<(), SendError> {
    if !subscriber.acknowledges {
        return connection.deliver(frame_buffer, subscriber.head.as_bytes(), now);
    }
    let number = connection.delivered(subscriber.subscription, message_id);
    connection.deliver(frame_buffer, &subscriber.head.with_ack(number), now)
}
