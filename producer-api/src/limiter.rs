//! So many at once, then one per interval, for each of many keys. Decides only: time is an argument.
//!
//! The generic cell rate algorithm: a key's one number is the moment until which its past use has been paid for. A
//! key that has paid up is the same as one never seen, and is forgotten.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use dashmap::{DashMap, mapref::entry::Entry};

/// The limits of many keys.
pub(crate) struct Limiter<K: Eq + Hash> {
    interval: Duration,
    /// How far a key's debt may reach into the future: `burst - 1` intervals.
    debt_max: Duration,
    keys_max: usize,
    paid_until: DashMap<K, Instant>,
    /// Looking for keys that owe nothing reads the whole map: at most once per interval.
    swept_at: Mutex<Option<Instant>>,
}

/// The key has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetryAfter(pub(crate) Duration);

impl<K: Hash + Eq> Limiter<K> {
    /// At most `keys_max` keys that still owe are remembered; beyond that, unknown keys pass unrecorded, because
    /// a limiter that is full must not silence a house.
    pub(crate) fn new(burst: NonZeroU32, interval: Duration, keys_max: usize) -> Self {
        Self {
            interval,
            debt_max: interval.saturating_mul(burst.get() - 1),
            keys_max,
            paid_until: DashMap::new(),
            swept_at: Mutex::default(),
        }
    }

    /// Takes one from the key's allowance.
    pub(crate) fn take(&self, key: K, now: Instant) -> Result<(), RetryAfter> {
        // Before the entry is held: counting the keys looks at every part of the map.
        let has_room = self.has_room(now);
        match self.paid_until.entry(key) {
            Entry::Occupied(mut paid) => {
                let from = (*paid.get()).max(now);
                self.check_debt(from - now)?;
                paid.insert(from + self.interval);
            }
            Entry::Vacant(unknown) if has_room => drop(unknown.insert(now + self.interval)),
            Entry::Vacant(_) => {}
        }
        Ok(())
    }

    /// Gives one back: what was taken came to nothing.
    pub(crate) fn give_back(&self, key: &K) {
        if let Some(mut paid) = self.paid_until.get_mut(key) {
            *paid = paid.checked_sub(self.interval).unwrap_or(*paid);
        }
    }

    fn check_debt(&self, debt: Duration) -> Result<(), RetryAfter> {
        if self.debt_max < debt {
            Err(RetryAfter(debt - self.debt_max))
        } else {
            Ok(())
        }
    }

    fn has_room(&self, now: Instant) -> bool {
        if self.paid_until.len() < self.keys_max {
            return true;
        }
        let mut swept_at = self.swept_at.lock().unwrap_or_else(PoisonError::into_inner);
        if swept_at.is_none_or(|swept_at| self.interval <= now.saturating_duration_since(swept_at))
        {
            *swept_at = Some(now);
            self.paid_until.retain(|_, paid| now < *paid);
        }
        self.paid_until.len() < self.keys_max
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    const INTERVAL: Duration = Duration::from_secs(20);

    fn five_then_one_in_20_s() -> Limiter<&'static str> {
        Limiter::new(NonZeroU32::new(5).unwrap(), INTERVAL, 100)
    }

    #[test]
    fn five_pass_at_once_and_the_sixth_waits_for_its_interval() {
        let limiter = five_then_one_in_20_s();
        let start = clock::steady();
        for _ in 0..5 {
            assert_eq!(limiter.take("kim", start), Ok(()));
        }

        assert_eq!(limiter.take("kim", start), Err(RetryAfter(INTERVAL)));
        assert_eq!(
            limiter.take("kim", start + INTERVAL / 4),
            Err(RetryAfter(INTERVAL * 3 / 4))
        );
        assert_eq!(limiter.take("kim", start + INTERVAL), Ok(()));
        assert_eq!(
            limiter.take("kim", start + INTERVAL),
            Err(RetryAfter(INTERVAL))
        );
    }

    #[test]
    fn one_house_does_not_use_up_anothers_allowance() {
        let limiter = five_then_one_in_20_s();
        let start = clock::steady();
        while limiter.take("kim", start).is_ok() {}

        assert_eq!(limiter.take("lee", start), Ok(()));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let limiter = five_then_one_in_20_s();
        let start = clock::steady();
        while limiter.take("kim", start).is_ok() {}

        limiter.give_back(&"kim");

        assert_eq!(limiter.take("kim", start), Ok(()));
        assert_eq!(limiter.take("kim", start), Err(RetryAfter(INTERVAL)));
    }

    #[test]
    fn a_full_limiter_forgets_who_owes_nothing_and_lets_strangers_pass() {
        let limiter = Limiter::new(NonZeroU32::new(1).unwrap(), INTERVAL, 3);
        let start = clock::steady();
        for house in 0..3 {
            assert_eq!(limiter.take(house, start), Ok(()));
        }

        assert_eq!(limiter.take(9, start), Ok(()));
        assert_eq!(
            limiter.take(9, start),
            Ok(()),
            "not remembered: there was no room"
        );
        assert_eq!(limiter.take(9, start + INTERVAL), Ok(()), "now there is");
        assert_eq!(limiter.take(9, start + INTERVAL), Err(RetryAfter(INTERVAL)));
    }

    proptest! {
        #[test]
        fn in_any_stretch_of_time_no_more_pass_than_the_burst_and_one_per_interval(
            gaps in prop::collection::vec(0u64..30_000, 1..100),
        ) {
            let limiter = five_then_one_in_20_s();
            let mut now = clock::steady();
            let mut passed = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                if limiter.take("kim", now).is_ok() {
                    passed.push(now);
                }
            }
            for (index, first) in passed.iter().enumerate() {
                for (count, last) in passed[index..].iter().enumerate() {
                    let intervals = (*last - *first).as_secs_f64() / INTERVAL.as_secs_f64();
                    prop_assert!(count as f64 <= 4.0 + intervals.floor() + 1e-9);
                }
            }
        }
    }
}
