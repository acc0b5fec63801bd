//! Who subscribes to what, in one shard. Knows no sockets, no frames and no names; never waits.

use std::collections::BTreeMap;

use slab::Slab;

/// Where a subscriber stands: what its connection keeps in order to leave, once.
#[derive(Debug)]
pub(crate) struct Seat<Channel> {
    channel: Channel,
    at: usize,
}

/// The subscribers of a shard, by channel.
#[derive(Debug)]
pub(crate) struct Hub<Channel, Subscriber> {
    channels: BTreeMap<Channel, Slab<Subscriber>>,
}

impl<Channel: Ord + Clone, Subscriber> Hub<Channel, Subscriber> {
    pub(crate) fn new() -> Self {
        Self {
            channels: BTreeMap::new(),
        }
    }

    /// From now on `subscriber` is among those of `channel`.
    pub(crate) fn join(&mut self, channel: Channel, subscriber: Subscriber) -> Seat<Channel> {
        let at = self
            .channels
            .entry(channel.clone())
            .or_default()
            .insert(subscriber);
        Seat { channel, at }
    }

    /// From now on it is not.
    pub(crate) fn leave(&mut self, seat: Seat<Channel>) {
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
    pub(crate) fn subscriber(&self, seat: &Seat<Channel>) -> Option<&Subscriber> {
        self.channels.get(&seat.channel)?.get(seat.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(hub: &Hub<&str, u64>, channel: &'static str) -> Vec<u64> {
        hub.subscribers(&channel).copied().collect()
    }

    #[test]
    fn each_channel_has_its_own_subscribers_until_they_leave() {
        let mut hub = Hub::new();
        let kim = hub.join("a", 1);
        let _lee = hub.join("a", 2);
        let _park = hub.join("b", 3);
        assert_eq!(heard(&hub, "a"), [1, 2]);

        hub.leave(kim);

        assert_eq!(heard(&hub, "a"), [2]);
        assert_eq!(heard(&hub, "b"), [3]);
    }

    #[test]
    fn a_channel_that_all_have_left_costs_nothing() {
        let mut hub = Hub::new();
        let seat = hub.join("a", 1);

        hub.leave(seat);

        assert!(hub.channels.is_empty());
    }

    #[test]
    fn a_seat_that_was_left_is_given_to_the_next_and_only_to_one() {
        let mut hub = Hub::new();
        let _lee = hub.join("a", 2);
        let kim = hub.join("a", 1);
        hub.leave(kim);

        let park = hub.join("a", 3);
        let choi = hub.join("a", 4);

        assert_eq!(
            (hub.subscriber(&park), hub.subscriber(&choi)),
            (Some(&3), Some(&4))
        );
        assert_eq!(heard(&hub, "a"), [2, 3, 4]);
    }
}
