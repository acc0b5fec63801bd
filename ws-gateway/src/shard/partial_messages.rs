//! What the clients of a shard have begun to send and not ended. Each has a time to end it in, and all together a bound on
//! their memory, so that clients who end nothing cost the others nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::connection_key::ConnectionKey;
use crate::connection::PartialMessage;

/// One entry for a connection that has begun something, none for any other.
#[derive(Debug)]
pub(super) struct PartialMessages {
    by_connection: BTreeMap<ConnectionKey, PartialMessage>,
    by_age: BTreeSet<(Duration, ConnectionKey)>,
    /// The sum of all.
    bytes: usize,
    bytes_max: usize,
    /// How long each may take.
    within: Duration,
}

impl PartialMessages {
    pub(super) fn new(bytes_max: usize, within: Duration) -> Self {
        Self {
            by_connection: BTreeMap::new(),
            by_age: BTreeSet::new(),
            bytes: 0,
            bytes_max,
            within,
        }
    }

    /// This is what the connection has begun now.
    pub(super) fn set(&mut self, key: ConnectionKey, partial: Option<PartialMessage>) {
        let before = match partial {
            Some(partial) => self.by_connection.insert(key, partial),
            None => self.by_connection.remove(&key),
        };
        if let Some(before) = before {
            self.bytes -= before.bytes;
            self.by_age.remove(&(before.since, key));
        }
        if let Some(partial) = partial {
            self.bytes += partial.bytes;
            self.by_age.insert((partial.since, key));
        }
    }

    /// The oldest, if it has had its time or if all are too much.
    pub(super) fn to_refuse(&self, now: Duration) -> Option<ConnectionKey> {
        let (since, oldest) = *self.by_age.first()?;
        let is_refused = since + self.within <= now || self.bytes_max < self.bytes;
        is_refused.then_some(oldest)
    }

    /// When the oldest has had its time.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.by_age.first().map(|(since, _)| *since + self.within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hundred_bytes() -> PartialMessages {
        PartialMessages::new(100, Duration::from_secs(10))
    }

    fn key(slot: usize) -> ConnectionKey {
        ConnectionKey { slot, number: 1 }
    }

    fn begun(second: u64, bytes: usize) -> Option<PartialMessage> {
        let since = Duration::from_secs(second);
        Some(PartialMessage { since, bytes })
    }

    #[test]
    fn the_oldest_goes_first_until_the_rest_is_within_the_bound() {
        let mut partial = hundred_bytes();
        partial.set(key(1), begun(2, 40));
        partial.set(key(2), begun(1, 40));
        let now = Duration::from_secs(3);
        assert_eq!(partial.to_refuse(now), None);

        partial.set(key(3), begun(3, 40));

        assert_eq!(partial.to_refuse(now), Some(key(2)));
        partial.set(key(2), None);
        assert_eq!(partial.to_refuse(now), None);
    }

    #[test]
    fn what_was_ended_gives_its_memory_back_and_what_is_begun_next_is_young() {
        let mut partial = hundred_bytes();
        for second in 0..50 {
            partial.set(key(1), begun(second, 90));
            assert_eq!(partial.to_refuse(Duration::from_secs(second)), None);
        }
        partial.set(key(1), begun(50, 10));
        partial.set(key(2), begun(50, 90));
        assert_eq!(partial.to_refuse(Duration::from_secs(50)), None);
    }

    #[test]
    fn ten_seconds_after_its_beginning_it_is_refused() {
        let mut partial = hundred_bytes();
        assert_eq!(partial.next_deadline(), None);
        partial.set(key(1), begun(5, 10));

        assert_eq!(partial.next_deadline(), Some(Duration::from_secs(15)));
        assert_eq!(partial.to_refuse(Duration::from_secs(14)), None);
        assert_eq!(partial.to_refuse(Duration::from_secs(15)), Some(key(1)));
    }
}
