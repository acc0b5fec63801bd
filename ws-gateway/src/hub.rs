//! Who subscribes to what, in one shard. Knows no sockets, no frames and no names; never waits.

use std::collections::BTreeMap;

use slab::Slab;

/// Where a subscriber stands: what its connection keeps in order to unsubscribe, once.
#[derive(Debug)]
pub(crate) struct SubscriptionHandle<Channel> {
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
    pub(crate) fn subscribe(
        &mut self,
        channel: Channel,
        subscriber: Subscriber,
    ) -> SubscriptionHandle<Channel> {
        let at = self
            .channels
            .entry(channel.clone())
            .or_default()
            .insert(subscriber);
        SubscriptionHandle { channel, at }
    }

    /// From now on it is not.
    pub(crate) fn unsubscribe(&mut self, handle: SubscriptionHandle<Channel>) {
        let Some(subscribers) = self.channels.get_mut(&handle.channel) else {
            return;
        };
        subscribers.remove(handle.at);
        if subscribers.is_empty() {
            self.channels.remove(&handle.channel);
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

    /// The subscriber of a handle.
    pub(crate) fn subscriber(&self, handle: &SubscriptionHandle<Channel>) -> Option<&Subscriber> {
        self.channels.get(&handle.channel)?.get(handle.at)
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
        let kim = hub.subscribe("a", 1);
        let _lee = hub.subscribe("a", 2);
        let _park = hub.subscribe("b", 3);
        assert_eq!(heard(&hub, "a"), [1, 2]);

        hub.unsubscribe(kim);

        assert_eq!(heard(&hub, "a"), [2]);
        assert_eq!(heard(&hub, "b"), [3]);
    }

    #[test]
    fn a_channel_that_all_have_left_costs_nothing() {
        let mut hub = Hub::new();
        let handle = hub.subscribe("a", 1);

        hub.unsubscribe(handle);

        assert!(hub.channels.is_empty());
    }

    #[test]
    fn a_seat_that_was_left_is_given_to_the_next_and_only_to_one() {
        let mut hub = Hub::new();
        let _lee = hub.subscribe("a", 2);
        let kim = hub.subscribe("a", 1);
        hub.unsubscribe(kim);

        let park = hub.subscribe("a", 3);
        let choi = hub.subscribe("a", 4);

        assert_eq!(
            (hub.subscriber(&park), hub.subscriber(&choi)),
            (Some(&3), Some(&4))
        );
        assert_eq!(heard(&hub, "a"), [2, 3, 4]);
    }
}
