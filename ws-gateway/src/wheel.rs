//! One timing wheel for all deadlines of a shard (Varghese and Lauck, scheme 6): setting one costs a push.
//!
//! A deadline beyond the wheel's span comes round early and is set again. Deadlines are not taken back: what
//! is woken looks at what is due, and at nothing if nothing is.

use std::time::Duration;

/// How exact a deadline is. Finer costs wake-ups, coarser would be seen in short heart-beats.
const SLOT: Duration = Duration::from_millis(64);
/// The wheel spans a minute: what is set most often (pings, heart-beats, CONNECT in time) fits in.
const SLOTS: usize = 1024;

/// Wakes a `T` at or a little after its time, never before, unless its time is more than the span away.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    slots: Vec<Vec<T>>,
    /// The first slot that was not emptied yet, counted from the start of time.
    next_slot: u64,
    waiting: usize,
}

impl<T> Wheel<T> {
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            slots: std::iter::repeat_with(Vec::new).take(SLOTS).collect(),
            next_slot: slot_of(now),
            waiting: 0,
        }
    }

    /// Wakes `sleeper` at `at`.
    pub(crate) fn wake_at(&mut self, at: Duration, sleeper: T) {
        let last = self.next_slot + SLOTS as u64 - 1;
        let slot = (slot_of(at) + 1).clamp(self.next_slot, last);
        self.slots[Self::index(slot)].push(sleeper);
        self.waiting += 1;
    }

    /// Moves those whose time has come into `awake`.
    pub(crate) fn advance(&mut self, now: Duration, awake: &mut Vec<T>) {
        let now = slot_of(now);
        // After a long stop (a laptop asleep) one round meets all.
        let first = self.next_slot.max(now.saturating_sub(SLOTS as u64 - 1));
        for slot in first..=now {
            let mut woken = std::mem::take(&mut self.slots[Self::index(slot)]);
            self.waiting -= woken.len();
            awake.append(&mut woken);
        }
        self.next_slot = self.next_slot.max(now + 1);
    }

    /// How long until one may have to be woken. `None`: none sleeps.
    pub(crate) fn sleep(&self, now: Duration) -> Option<Duration> {
        if self.waiting == 0 {
            return None;
        }
        let ahead = (0..SLOTS as u64)
            .find(|ahead| !self.slots[Self::index(self.next_slot + ahead)].is_empty())?;
        let millis = (self.next_slot + ahead) * slot_ms();
        Some(Duration::from_millis(millis).saturating_sub(now))
    }

    fn index(slot: u64) -> usize {
        usize::try_from(slot % SLOTS as u64).expect("less than SLOTS")
    }
}

fn slot_ms() -> u64 {
    u64::try_from(SLOT.as_millis()).expect("a few dozen")
}

fn slot_of(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX / 2) / slot_ms()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    proptest! {
        #[test]
        fn nobody_within_the_span_is_woken_early_or_forgotten(
            deadlines in proptest::collection::vec(0u64..60_000, 1..50),
            steps in proptest::collection::vec(1u64..9_000, 1..60),
        ) {
            let mut wheel = Wheel::new(ms(0));
            for &deadline in &deadlines {
                wheel.wake_at(ms(deadline), deadline);
            }
            let (mut now, mut woken) = (0, 0);
            for step in steps {
                now += step;
                let mut awake = Vec::new();
                wheel.advance(ms(now), &mut awake);
                prop_assert!(awake.iter().all(|deadline| *deadline <= now), "{now}: {awake:?}");
                woken += awake.len();
                let late = deadlines.iter().filter(|deadline| **deadline + 2 * slot_ms() <= now).count();
                prop_assert!(late <= woken, "{now}: {late} were due, {woken} woken");
            }
        }

        #[test]
        fn it_sleeps_no_longer_than_to_the_next_deadline(deadline in 0u64..60_000) {
            let mut wheel = Wheel::new(ms(0));
            wheel.wake_at(ms(deadline), ());
            let sleep = wheel.sleep(ms(0)).unwrap();
            let mut awake = Vec::new();
            wheel.advance(sleep, &mut awake);
            prop_assert_eq!(awake.len(), 1);
            prop_assert!(sleep <= ms(deadline + 2 * slot_ms()));
        }
    }

    #[test]
    fn an_empty_wheel_lets_everybody_sleep() {
        assert_eq!(Wheel::<()>::new(ms(5)).sleep(ms(9)), None);
    }

    #[test]
    fn a_deadline_beyond_the_span_comes_round_early() {
        let mut wheel = Wheel::new(ms(0));
        wheel.wake_at(Duration::from_secs(3600), ());

        let mut awake = Vec::new();
        wheel.advance(Duration::from_secs(70), &mut awake);

        assert_eq!(awake.len(), 1);
    }
}
