//! Stretches of command time that no leader lived through: where the wall clock went ahead further than the leader's own
//! elapsed time. Either nothing ran for so long, or the clock was wrong; nothing here can tell which.
//!
//! Every age is therefore counted without them. What is old by the wall clock alone is not old yet: it waits until elapsed
//! time says the same, or until an operator says that the time did pass.
//!
//! Invariants: ordered by their places, each place once; at most [`JUMPS_MAX`].

use serde::{Deserialize, Serialize};

use super::command::JumpVerdict;
use crate::ids::TimestampMs;

/// So many jumps are told apart; beyond it the two that are nearest to each other count as one.
const JUMPS_MAX: usize = 64;

/// One stretch that nobody lived through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockJump {
    /// The first command time after it.
    pub at: TimestampMs,
    /// How long it was, in milliseconds.
    pub unwitnessed_ms: u64,
    /// Whether an operator has said that the clock was wrong: it never counts, and nobody needs to hear of it.
    pub dismissed: bool,
}

/// All that are known, and not confirmed by an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockJumps {
    /// Whether there were jumps before this command time is not known: what is older counts as of this time.
    known_since: TimestampMs,
    jumps: Vec<ClockJump>,
}

impl ClockJumps {
    /// None since this command time, and nothing known from before.
    pub fn known_since(at: TimestampMs) -> Self {
        Self {
            known_since: at,
            jumps: Vec::new(),
        }
    }

    /// The jumps, in order.
    pub fn iter(&self) -> impl Iterator<Item = &ClockJump> + '_ {
        self.jumps.iter()
    }

    /// Milliseconds of all jumps that no operator has judged.
    pub fn open_ms(&self) -> u64 {
        let open = self.jumps.iter().filter(|jump| !jump.dismissed);
        open.fold(0, |sum, jump| sum.saturating_add(jump.unwitnessed_ms))
    }

    /// The same without the jumps that no operator has judged: how old things are if that time did pass.
    #[must_use]
    pub fn dismissed_only(&self) -> Self {
        let jumps = self.jumps.iter().copied();
        Self {
            known_since: self.known_since,
            jumps: jumps.filter(|jump| jump.dismissed).collect(),
        }
    }

    /// Notes a jump that ends at this command time.
    pub fn note(&mut self, at: TimestampMs, unwitnessed_ms: u64) {
        match self.jumps.last_mut() {
            Some(last) if at <= last.at => {
                last.unwitnessed_ms = last.unwitnessed_ms.saturating_add(unwitnessed_ms);
                last.dismissed = false;
            }
            Some(_) | None => self.jumps.push(ClockJump {
                at,
                unwitnessed_ms,
                dismissed: false,
            }),
        }
        if JUMPS_MAX < self.jumps.len() {
            self.join_the_nearest();
        }
    }

    /// Two become one at the later one's place: what lies between them is then taken for younger than it is, never for older.
    fn join_the_nearest(&mut self) {
        let distance = |later: &usize| {
            self.jumps[*later]
                .at
                .0
                .saturating_sub(self.jumps[*later - 1].at.0)
        };
        let Some(later) = (1..self.jumps.len()).min_by_key(distance) else {
            return;
        };
        let earlier = self.jumps.remove(later - 1);
        let joined = &mut self.jumps[later - 1];
        joined.unwitnessed_ms = joined.unwitnessed_ms.saturating_add(earlier.unwitnessed_ms);
        joined.dismissed &= earlier.dismissed;
    }

    /// An operator says what the jumps up to this command time were; answers how many that were.
    pub(super) fn judge(&mut self, until: TimestampMs, verdict: JumpVerdict) -> usize {
        let asked = self.jumps.partition_point(|jump| jump.at <= until);
        let open = self.jumps[..asked]
            .iter()
            .filter(|jump| !jump.dismissed)
            .count();
        match verdict {
            JumpVerdict::TimePassed => {
                let mut index = 0;
                self.jumps.retain(|jump| {
                    index += 1;
                    asked < index || jump.dismissed
                });
            }
            JumpVerdict::ClockWasWrong => {
                for jump in &mut self.jumps[..asked] {
                    jump.dismissed = true;
                }
            }
        }
        open
    }

    /// How long ago, in milliseconds that leaders lived through, something of this command time was.
    pub fn age_ms(&self, since: TimestampMs, now: TimestampMs) -> u64 {
        let since = since.max(self.known_since);
        let all = u64::try_from(now.0.saturating_sub(since.0)).unwrap_or(0);
        all.saturating_sub(self.unwitnessed_since(since))
    }

    /// The command time at which something of `since` will be `after_ms` old, as far as jumps are known now.
    pub fn due_at(&self, since: TimestampMs, after_ms: u64) -> TimestampMs {
        let since = since.max(self.known_since);
        let unwitnessed_ms = self.unwitnessed_since(since);
        TimestampMs(
            since
                .0
                .saturating_add_unsigned(after_ms)
                .saturating_add_unsigned(unwitnessed_ms),
        )
    }

    /// What is stamped before this is older than `age_ms`; nothing else is.
    pub fn before(&self, now: TimestampMs, age_ms: u64) -> TimestampMs {
        let mut before = TimestampMs(now.0.saturating_sub_unsigned(age_ms));
        for jump in self.jumps.iter().rev().take_while(|jump| jump.at <= now) {
            if jump.at < before {
                break;
            }
            // Nothing was stamped inside of the jump: the time goes on before it.
            before = TimestampMs(before.0.saturating_sub_unsigned(jump.unwitnessed_ms));
        }
        match self.known_since < before {
            true => before,
            false => TimestampMs(i64::MIN),
        }
    }

    fn unwitnessed_since(&self, since: TimestampMs) -> u64 {
        let later = self.jumps.iter().rev().take_while(|jump| since < jump.at);
        later.fold(0, |sum, jump| sum.saturating_add(jump.unwitnessed_ms))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400_000;

    fn jumps(noted: &[(i64, u64)]) -> ClockJumps {
        let mut jumps = ClockJumps::default();
        for (at, unwitnessed_ms) in noted {
            jumps.note(TimestampMs(*at), *unwitnessed_ms);
        }
        jumps
    }

    fn of(all: &[ClockJump]) -> ClockJumps {
        let known_since = TimestampMs(0);
        let jumps = all.to_vec();
        ClockJumps { known_since, jumps }
    }

    #[test]
    fn what_is_from_before_jumps_were_noted_counts_as_of_when_they_began_to_be() {
        let known = ClockJumps::known_since(TimestampMs(5_000));
        let now = TimestampMs(5_100);
        assert_eq!(known.age_ms(TimestampMs(1), now), 100);
        assert_eq!(known.due_at(TimestampMs(1), 200), TimestampMs(5_200));
        assert_eq!(known.before(now, 200), TimestampMs(i64::MIN));
        assert_eq!(known.before(now, 50), TimestampMs(5_050));
    }

    #[test]
    fn what_was_before_a_jump_ahead_is_as_old_as_elapsed_time_says() {
        let jumped = 401 * DAY;
        let jumps = jumps(&[(1_000 + jumped, jumped.unsigned_abs())]);
        let now = TimestampMs(1_500 + jumped);
        assert_eq!(jumps.age_ms(TimestampMs(900), now), 600);
        assert_eq!(jumps.age_ms(TimestampMs(1_000 + jumped), now), 500);
        assert_eq!(jumps.due_at(TimestampMs(900), 600), now);
        assert_eq!(jumps.before(now, 499), TimestampMs(1_001 + jumped));
        assert_eq!(
            jumps.before(now, 500),
            TimestampMs(1_000),
            "nothing is of the jump"
        );
        assert_eq!(jumps.before(now, 600), TimestampMs(900));
    }

    #[test]
    fn an_operator_may_say_that_the_time_did_pass_or_that_the_clock_was_wrong() {
        let known = jumps(&[(1_000, 500), (3_000, 700)]);
        let now = TimestampMs(4_000);
        assert_eq!(known.age_ms(TimestampMs(0), now), 2_800);
        assert_eq!(known.open_ms(), 1_200);

        let mut passed = known.clone();
        assert_eq!(passed.judge(TimestampMs(1_000), JumpVerdict::TimePassed), 1);
        assert_eq!(passed.age_ms(TimestampMs(0), now), 3_300);
        assert_eq!(passed.open_ms(), 700);

        let mut wrong = known;
        assert_eq!(wrong.judge(now, JumpVerdict::ClockWasWrong), 2);
        assert_eq!(wrong.age_ms(TimestampMs(0), now), 2_800);
        assert_eq!(wrong.open_ms(), 0);
        assert_eq!(
            wrong.judge(now, JumpVerdict::TimePassed),
            0,
            "it stays as judged"
        );
        assert_eq!(wrong.age_ms(TimestampMs(0), now), 2_800);
    }

    proptest! {
        #[test]
        fn joining_jumps_makes_nothing_older(
            noted in proptest::collection::vec((1_i64..1_000, 1_u64..5_000), 0..200),
            since in 0_i64..200_000,
        ) {
            let mut all = Vec::new();
            let mut joined = ClockJumps::default();
            let mut at = 0;
            for (passed, unwitnessed_ms) in noted {
                at += passed + i64::try_from(unwitnessed_ms).expect("small");
                all.push(ClockJump { at: TimestampMs(at), unwitnessed_ms, dismissed: false });
                joined.note(TimestampMs(at), unwitnessed_ms);
            }
            let (now, since) = (TimestampMs(at + 1), TimestampMs(since));
            prop_assert!(joined.iter().count() <= JUMPS_MAX);
            prop_assert_eq!(joined.open_ms(), of(&all).open_ms());
            prop_assert!(joined.age_ms(since, now) <= of(&all).age_ms(since, now));
        }

        #[test]
        fn what_is_stamped_before_the_limit_is_older_and_nothing_else_is(
            noted in proptest::collection::vec((1_i64..1_000, 1_u64..5_000), 0..20),
            passed in 1_i64..1_000,
            age_ms in 0_u64..100_000,
            back in 0_i64..1_000,
            known_since in 990_000_i64..=1_000_000,
        ) {
            let mut jumps = ClockJumps::known_since(TimestampMs(known_since));
            let mut at = 1_000_000;
            let mut stamps = vec![TimestampMs(at)];
            for (passed, unwitnessed_ms) in noted {
                stamps.push(TimestampMs(at + passed * back / 1_000));
                at += passed + i64::try_from(unwitnessed_ms).expect("small");
                jumps.note(TimestampMs(at), unwitnessed_ms);
                stamps.push(TimestampMs(at));
            }
            let now = TimestampMs(at + passed);
            for stamp in stamps {
                prop_assert_eq!(
                    stamp < jumps.before(now, age_ms),
                    age_ms < jumps.age_ms(stamp, now),
                    "{:?} of {:?}", stamp, jumps
                );
                prop_assert_eq!(jumps.due_at(stamp, age_ms) <= now, age_ms <= jumps.age_ms(stamp, now));
            }
        }
    }
}
