//! Who subscribes to what, in one shard. Knows no sockets and no frames; never waits.

use std::collections::HashMap;

use slab::Slab;

use crate::{
    destination::Channel,
    stomp::{MessageHead, SubscriptionKey},
};

/// A connection of the shard. Never used for two connections, so a late word to one that is gone reaches nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionKey {
    /// Where it stands in the shard.
    pub(crate) slot: usize,
    /// How many connections were there before it.
    pub(crate) number: u64,
}

/// One subscription of one connection.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) connection: ConnectionKey,
    pub(crate) subscription: SubscriptionKey,
    /// What each of its messages begins with.
    pub(crate) head: MessageHead,
    /// Whether its session counts what it was sent.
    pub(crate) acknowledges: bool,
}

/// Where a subscriber stands: what its connection keeps in order to leave, once.
#[derive(Debug)]
pub(crate) struct Seat {
    channel: Channel,
    at: usize,
}

/// The subscribers of a shard, by channel.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    channels: HashMap<Channel, Slab<Subscriber>>,
}

impl Hub {
    /// From now on `subscriber` is among those of `channel`.
    pub(crate) fn join(&mut self, channel: Channel, subscriber: Subscriber) -> Seat {
        let at = self
            .channels
            .entry(channel.clone())
            .or_default()
            .insert(subscriber);
        Seat { channel, at }
    }

    /// From now on it is not.
    pub(crate) fn leave(&mut self, seat: Seat) {
        let Some(subscribers) = self.channels.get_mut(&seat.channel) else {
            return;
        };
        subscribers.remove(seat.at);
        if subscribers.is_empty() {
            self.channels.remove(&seat.channel);
        }
    }

    /// Those who hear what is said on `channel`.
    pub(crate) fn subscribers(&self, channel: &Channel) -> impl Iterator<Item = &Subscriber> {
        self.channels
            .get(channel)
            .into_iter()
            .flat_map(Slab::iter)
            .map(|(_, subscriber)| subscriber)
    }

    /// The subscriber of a seat.
    pub(crate) fn subscriber(&self, seat: &Seat) -> Option<&Subscriber> {
        self.channels.get(&seat.channel)?.get(seat.at)
    }
}

#[cfg(test)]
mod tests {
    use event_model::Line;

    use super::*;
    use crate::stomp::Version;

    fn line(name: &str) -> Channel {
        Channel::Line(Line::new(name).unwrap())
    }

    fn subscriber(number: u64) -> Subscriber {
        Subscriber {
            connection: ConnectionKey { slot: 0, number },
            subscription: SubscriptionKey(0),
            head: MessageHead::new(Version::V1_2, Some("sub-0"), "/sub/line/a"),
            acknowledges: false,
        }
    }

    fn heard(hub: &Hub, channel: &Channel) -> Vec<u64> {
        hub.subscribers(channel)
            .map(|subscriber| subscriber.connection.number)
            .collect()
    }

    #[test]
    fn each_channel_has_its_own_subscribers_until_they_leave() {
        let mut hub = Hub::default();
        let kim = hub.join(line("a"), subscriber(1));
        let _lee = hub.join(line("a"), subscriber(2));
        let _park = hub.join(line("b"), subscriber(3));
        assert_eq!(heard(&hub, &line("a")), [1, 2]);

        hub.leave(kim);

        assert_eq!(heard(&hub, &line("a")), [2]);
        assert_eq!(heard(&hub, &line("b")), [3]);
    }

    #[test]
    fn a_channel_that_all_have_left_costs_nothing() {
        let mut hub = Hub::default();
        let seat = hub.join(line("a"), subscriber(1));

        hub.leave(seat);

        assert!(hub.channels.is_empty());
    }
}
