//! Command time: what a leader stamps its commands with, and how much of it a leader lived through.
//!
//! A stamp is the leader's wall clock where that is ahead, else the last stamp and the elapsed time since: it never falls
//! and never stands still. Where the wall is ahead of what elapsed since the last command, by more than clocks are trimmed,
//! the difference was lived through by no leader: the log stood still, or a clock was wrong. It is noted with the stamp
//! (`Command::NoteClockJump`), and no age counts it.

use std::time::Duration;

use crate::ids::TimestampMs;

/// From here on, an advance of the wall is a jump: clocks are trimmed by far less in the life of a leader, and a stop of
/// seconds is not worth a note. 10 s.
pub(super) const JUMP_MS_MIN: u64 = 10_000;

/// The time that commands get.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommandClock {
    /// Command time goes on from here.
    base: Moment,
    /// Up to here every jump is noted; from here on elapsed time is the witness.
    witnessed: Moment,
    /// The last command that was applied. What a leader proposed after it may never be committed, its notes of jumps included.
    applied: Moment,
    /// Since then this process has seen no jump by itself: what counts as long as jumps cannot be noted.
    known_since: TimestampMs,
}

/// A command time, and this process's elapsed time then.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: TimestampMs,
    elapsed: Duration,
}

/// What a command would get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommandStamp {
    /// Its time.
    pub(crate) at: TimestampMs,
    /// How much of the way there nobody has lived through, in milliseconds, if that is a jump.
    pub(crate) unwitnessed_ms: Option<u64>,
}

impl Moment {
    fn after(self, elapsed: Duration) -> TimestampMs {
        let passed = elapsed.saturating_sub(self.elapsed).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        TimestampMs(self.at.0.saturating_add_unsigned(passed))
    }
}

impl CommandClock {
    /// Goes on from the last command's time, `TimestampMs(0)` where there was none.
    pub(crate) fn from(at: TimestampMs, elapsed: Duration) -> Self {
        let moment = Moment { at, elapsed };
        Self {
            base: moment,
            witnessed: moment,
            applied: moment,
            known_since: at,
        }
    }

    /// Command time as elapsed time has it: whatever the wall shows by now is not in it.
    pub(crate) fn now(&self, elapsed: Duration) -> TimestampMs {
        self.base.after(elapsed)
    }

    /// Command time as of the last command that was applied: the one that goes with the state, whose jumps are those noted
    /// up to there. What was stamped since may be behind a jump whose note is still under way.
    pub(crate) fn applied_now(&self, elapsed: Duration) -> TimestampMs {
        self.applied.after(elapsed)
    }

    /// Since when this process has seen no jump, noted or not.
    pub(crate) fn known_since(&self) -> TimestampMs {
        self.known_since
    }

    /// What a command would get now.
    pub(crate) fn stamp(&self, wall: TimestampMs, elapsed: Duration) -> CommandStamp {
        let at = wall.max(self.now(elapsed));
        let ahead = at.0.saturating_sub(self.witnessed.after(elapsed).0);
        let ahead_ms = u64::try_from(ahead).unwrap_or(0);
        // Before the first command of all there was no time to live through.
        let is_jump = self.witnessed.at != TimestampMs(0) && JUMP_MS_MIN <= ahead_ms;
        CommandStamp {
            at,
            unwitnessed_ms: is_jump.then_some(ahead_ms),
        }
    }

    /// A command got this stamp, and the jump before it, if there was one, is not noted yet.
    pub(super) fn stamped(&mut self, at: TimestampMs, elapsed: Duration) {
        self.look_for_a_jump(at, elapsed);
        if self.now(elapsed) < at {
            self.base = Moment { at, elapsed };
        }
        if self.witnessed.at == TimestampMs(0) {
            self.witnessed = self.base;
        }
    }

    /// The jump before this stamp is noted.
    pub(super) fn noted(&mut self, at: TimestampMs, elapsed: Duration) {
        self.base = Moment { at, elapsed };
        self.witnessed = self.base;
    }

    /// A follower has applied a command of this time. What the leader lived through it has noted.
    pub(crate) fn follow(&mut self, at: TimestampMs, elapsed: Duration) {
        self.look_for_a_jump(at, elapsed);
        self.applied = Moment { at, elapsed };
        self.begin_to_lead();
    }

    /// A new leader goes on from the last command that was applied.
    pub(super) fn begin_to_lead(&mut self) {
        self.base = self.applied;
        self.witnessed = self.applied;
    }

    /// From the command on that was applied last jumps are noted. What was stamped after it and is under way may be behind
    /// one: that is noted next.
    pub(super) fn begin_to_note(&mut self) {
        self.witnessed = self.applied;
    }

    fn look_for_a_jump(&mut self, at: TimestampMs, elapsed: Duration) {
        if self.stamp(at, elapsed).unwitnessed_ms.is_some() {
            self.known_since = at;
        }
    }

    /// A leader has applied a command of this time: its own, or one of a leader before it, that may be later than all that
    /// this one knew of.
    pub(super) fn lead(&mut self, at: TimestampMs, elapsed: Duration) {
        self.applied = Moment { at, elapsed };
        if self.now(elapsed) < at {
            self.noted(at, elapsed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn plain(at: i64) -> CommandStamp {
        CommandStamp {
            at: TimestampMs(at),
            unwitnessed_ms: None,
        }
    }

    #[test]
    fn command_time_follows_the_wall_and_goes_on_with_elapsed_time_where_the_wall_is_behind() {
        let mut clock = CommandClock::from(TimestampMs(1_000_000), s(5));
        assert_eq!(clock.stamp(TimestampMs(1_003_000), s(8)), plain(1_003_000));
        clock.stamped(TimestampMs(1_003_000), s(8));

        let behind = TimestampMs(1_003_000 - 400 * DAY_MS);
        assert_eq!(
            clock.stamp(behind, s(9)),
            plain(1_004_000),
            "it never stands still"
        );
        clock.stamped(TimestampMs(1_004_000), s(9));
        assert_eq!(clock.stamp(behind, s(11)), plain(1_006_000));
    }

    #[test]
    fn small_steps_of_elapsed_time_add_up() {
        let mut clock = CommandClock::from(TimestampMs(1_000), s(0));
        for step in 1..=10_u64 {
            let elapsed = Duration::from_micros(step * 500);
            let at = clock.stamp(TimestampMs(0), elapsed).at;
            clock.stamped(at, elapsed);
        }
        assert_eq!(clock.now(Duration::from_millis(5)), TimestampMs(1_005));
    }

    #[test]
    fn what_the_wall_is_ahead_of_elapsed_time_is_a_jump_until_it_is_noted() {
        let mut clock = CommandClock::from(TimestampMs(1_000), s(0));
        let jumped = TimestampMs(1_000 + 401 * DAY_MS);
        let stamp = clock.stamp(jumped, s(60));
        let unwitnessed_ms = Some((401 * DAY_MS).unsigned_abs() - 60_000);
        assert_eq!(stamp.unwitnessed_ms, unwitnessed_ms);
        assert_eq!(
            clock.now(s(60)),
            TimestampMs(61_000),
            "a look moves nothing"
        );

        clock.stamped(stamp.at, s(60));
        let again = clock.stamp(TimestampMs(0), s(60));
        assert_eq!(
            again.unwitnessed_ms, unwitnessed_ms,
            "it still waits to be noted"
        );
        clock.noted(stamp.at, s(60));
        assert_eq!(clock.stamp(TimestampMs(0), s(61)), plain(jumped.0 + 1_000));
    }

    #[test]
    fn a_wall_that_runs_too_fast_is_a_jump_once_its_steps_add_up() {
        let mut clock = CommandClock::from(TimestampMs(1_000_000), s(0));
        let mut noted = 0;
        for second in 1..=100_u32 {
            let wall = TimestampMs(1_000_000 + i64::from(second) * 2_000);
            let stamp = clock.stamp(wall, s(second.into()));
            clock.stamped(stamp.at, s(second.into()));
            if let Some(unwitnessed_ms) = stamp.unwitnessed_ms {
                noted += unwitnessed_ms;
                clock.noted(stamp.at, s(second.into()));
            }
        }
        assert_eq!(noted, 100_000);
    }

    #[test]
    fn the_first_command_of_all_is_after_no_jump() {
        let mut clock = CommandClock::from(TimestampMs(0), s(1));
        assert_eq!(
            clock.stamp(TimestampMs(1_800_000_000_000), s(2)),
            plain(1_800_000_000_000)
        );
        clock.stamped(TimestampMs(1_800_000_000_000), s(2));
        let stamp = clock.stamp(TimestampMs(1_800_000_020_000), s(3));
        assert_eq!(stamp.unwitnessed_ms, Some(19_000));
    }

    #[test]
    fn a_jump_while_the_raise_of_the_level_was_under_way_is_noted_once_it_is_applied() {
        let mut clock = CommandClock::from(TimestampMs(1_000), s(0));
        let jumped = TimestampMs(1_000 + 401 * DAY_MS);
        clock.stamped(clock.stamp(jumped, s(1)).at, s(1));
        clock.lead(TimestampMs(1_000), s(2));
        clock.begin_to_note();
        let stamp = clock.stamp(TimestampMs(0), s(2));
        assert_eq!(stamp.at, TimestampMs(jumped.0 + 1_000));
        assert_eq!(
            stamp.unwitnessed_ms,
            Some((401 * DAY_MS).unsigned_abs() + 1_000)
        );
    }

    #[test]
    fn a_jump_whose_note_was_lost_with_leadership_is_noted_again() {
        let mut clock = CommandClock::from(TimestampMs(1_000), s(0));
        clock.lead(TimestampMs(5_000), s(4));
        let jumped = TimestampMs(5_000 + 401 * DAY_MS);
        let noted = clock.stamp(jumped, s(5));
        clock.noted(noted.at, s(5));
        assert_eq!(clock.stamp(jumped, s(5)).unwitnessed_ms, None);

        // Another leads, and overwrites it; then this one again.
        clock.begin_to_lead();
        assert_eq!(clock.stamp(jumped, s(5)), noted);
        assert_eq!(clock.now(s(6)), TimestampMs(7_000));
    }

    #[test]
    fn a_new_leader_goes_on_from_what_it_has_applied() {
        let mut clock = CommandClock::from(TimestampMs(1_000), s(0));
        clock.follow(TimestampMs(500_000), s(100));
        assert_eq!(clock.stamp(TimestampMs(0), s(110)), plain(510_000));
        clock.lead(TimestampMs(505_000), s(112));
        assert_eq!(clock.now(s(112)), TimestampMs(512_000));
        clock.lead(TimestampMs(600_000), s(113));
        assert_eq!(clock.now(s(113)), TimestampMs(600_000));
    }
}
