//! The life of a call, promise by promise. The laws over all histories are in `src/fold/laws.rs`.

#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]

use std::sync::Arc;

use event_model::fold::{
    Call, Fold, Gone, Phase, Progress, Responder, ResponderState, Spell, UNDO_WITHIN,
};
use event_model::{
    AlertAccepted, AlertRaised, CloseReason, Correction, Escalation, Event, EventId, EventTime,
    House, LifeEvent, LifeKind, Line, RecordPosition, Recorded, Resolution, Role, Seen, Status,
    Text, Topic, Track, WithdrawReason,
};
use uuid::Uuid;

const CALLER: &str = "101";
const KIM: &str = "201";
const LEE: &str = "202";
const GUARDS: &str = "guards";
const START: i64 = 1_790_000_000_000;

fn line() -> Line {
    Line::new("demo").unwrap()
}

/// A moment so many seconds after the raise.
fn at(seconds: i64) -> EventTime {
    EventTime::from_millis(START + 1_000 * seconds)
}

/// A line to which people do things, one after the other. Whoever does something knows nothing of lives, unless it is said.
#[derive(Default)]
struct World {
    fold: Fold,
    ids: u128,
    ends: [u64; 3],
    seen: Option<Seen>,
    told: Vec<EventId>,
}

impl World {
    /// A line with one call of [`CALLER`].
    fn with_call() -> (Self, EventId) {
        let mut world = Self::default();
        let alert = world.raise(0);
        (world, alert)
    }

    /// What is done next is done by somebody who had read everything so far.
    fn knowing(&mut self) -> &mut Self {
        let [_, _, end] = self.ends;
        self.seen = Some(end.checked_sub(1).map_or(Seen::NOTHING, Seen::up_to));
        self
    }

    fn next_id(&mut self) -> EventId {
        self.ids += 1;
        EventId::Uuid(Uuid::from_u128(self.ids))
    }

    fn raise(&mut self, seconds: i64) -> EventId {
        let id = self.next_id();
        self.add(Event::Raised(AlertRaised {
            id,
            line: line(),
            house: House::new(CALLER).unwrap(),
            text: Text::new("").0,
            position: None,
            at: at(seconds),
            status: Status::Actual,
            warnings: vec![],
        }));
        id
    }

    fn accept(&mut self, alert: EventId, house: &str, seconds: i64) -> EventId {
        let id = self.next_id();
        let seen = self.seen.take();
        self.add(Event::Accepted(AlertAccepted {
            id,
            line: line(),
            responder: House::new(house).unwrap(),
            target: House::new(CALLER).unwrap(),
            alert_id: Some(alert),
            at: at(seconds),
            seen,
            status: Status::Actual,
            warnings: vec![],
        }));
        id
    }

    fn act(&mut self, alert: EventId, house: &str, seconds: i64, kind: LifeKind) -> EventId {
        let id = self.next_id();
        let role = match house {
            GUARDS => Role::Guard,
            LifeEvent::NOTIFIER => Role::System,
            _ => Role::Resident,
        };
        let seen = self.seen.take();
        self.add(Event::Life(Arc::new(LifeEvent {
            id,
            line: line(),
            house: House::even_reserved(house).unwrap(),
            alert_id: alert,
            at: at(seconds),
            role,
            seen,
            note: None,
            kind,
            status: Status::Actual,
            warnings: vec![],
        })));
        id
    }

    fn withdraw(
        &mut self,
        alert: EventId,
        house: &str,
        seconds: i64,
        why: WithdrawReason,
        accept_ids: &[EventId],
    ) -> EventId {
        let accept_ids = accept_ids.to_vec();
        self.act(
            alert,
            house,
            seconds,
            LifeKind::Withdrawn { why, accept_ids },
        )
    }

    fn escalate(&mut self, alert: EventId, cycle: EventId, step_ms: u64, turn: u32) -> EventId {
        let escalation = Escalation {
            cycle: Some(cycle),
            track: Track::Unanswered,
            step_ms,
            turn,
            due: None,
            does: None,
            late: false,
            policy: None,
        };
        self.act(
            alert,
            LifeEvent::NOTIFIER,
            60,
            LifeKind::Escalated(escalation),
        )
    }

    fn add(&mut self, event: Event) {
        let topic = event.topic();
        let end = match topic {
            Topic::Alert => &mut self.ends[0],
            Topic::Accept => &mut self.ends[1],
            Topic::Life => &mut self.ends[2],
        };
        let (partition, offset) = (0, *end);
        *end += 1;
        let place = RecordPosition {
            topic,
            partition,
            offset,
        };
        let time = event.at();
        self.told = self
            .fold
            .apply(&Recorded { event, place, time })
            .now_counted;
    }

    fn call(&self, alert: EventId) -> Call<'_> {
        self.fold.call(&line(), alert).unwrap()
    }

    fn phase(&self, alert: EventId) -> Phase {
        self.call(alert).phase(at(3_600))
    }

    fn responder(&self, alert: EventId, house: &str) -> Option<(Option<u32>, ResponderState)> {
        let responders = self.call(alert).responders();
        let of_house = |responder: &&Responder<'_>| responder.house.as_str() == house;
        let responder = responders.iter().find(of_house)?;
        Some((responder.rank, responder.state))
    }
}

fn standing(progress: Progress, seconds: i64) -> ResponderState {
    let since = at(seconds);
    ResponderState::Standing { progress, since }
}

fn gone(rank: u32, gone: Gone) -> Option<(Option<u32>, ResponderState)> {
    Some((Some(rank), ResponderState::Gone(gone)))
}

#[test]
fn a_call_is_open_answered_attended_ended_and_a_day_old() {
    let (mut world, alert) = World::with_call();
    assert_eq!(world.phase(alert), Phase::Open);
    let accept = world.accept(alert, KIM, 10);
    assert_eq!(world.phase(alert), Phase::Answered);
    let accept_id = Some(accept);
    world.act(alert, KIM, 60, LifeKind::Departed { accept_id });
    assert_eq!(world.phase(alert), Phase::Answered);
    world.act(alert, KIM, 120, LifeKind::Arrived { accept_id });
    assert_eq!(world.phase(alert), Phase::Attended);
    assert_eq!(
        world.responder(alert, KIM),
        Some((Some(1), standing(Progress::Arrived, 120)))
    );
    assert_eq!(world.call(alert).phase(at(24 * 3_600)), Phase::Expired);

    let how = Resolution::Helped;
    world.act(alert, KIM, 600, LifeKind::Resolved { how });

    assert_eq!(world.phase(alert), Phase::Resolved);
    assert_eq!(world.call(alert).phase(at(24 * 3_600)), Phase::Resolved);
    assert!(world.fold.live(&line(), at(601)).is_empty());
}

#[test]
fn who_has_no_part_in_a_call_ends_it_for_nobody() {
    let (mut world, alert) = World::with_call();
    let reason = CloseReason::FalseAlarm;
    let how = Resolution::Safe;
    world.accept(alert, KIM, 10);
    let misplaced = [
        world.act(alert, KIM, 20, LifeKind::Cancelled),
        world.act(alert, KIM, 20, LifeKind::Resolved { how }),
        world.act(alert, CALLER, 20, LifeKind::Closed { reason }),
        world.act(alert, LEE, 20, LifeKind::Reopened),
        world.act(alert, CALLER, 20, LifeKind::Arrived { accept_id: None }),
    ];

    assert_eq!(world.phase(alert), Phase::Answered);
    assert!(misplaced.iter().all(|id| !world.call(alert).counts(*id)));
    assert_eq!(world.fold.misplaced(&line()), misplaced.len());

    world.act(alert, GUARDS, 30, LifeKind::Closed { reason });
    assert_eq!(world.phase(alert), Phase::Closed);
}

#[test]
fn an_end_that_did_not_know_of_the_reopening_does_not_end_the_call_again() {
    let (mut world, alert) = World::with_call();
    world.act(alert, CALLER, 100, LifeKind::Cancelled);
    world.act(alert, CALLER, 300, LifeKind::Reopened);
    let how = Resolution::Safe;

    world.act(alert, CALLER, 200, LifeKind::Resolved { how });
    assert_eq!(world.phase(alert), Phase::Open, "it sat in an outbox");
    world.act(alert, CALLER, 300, LifeKind::Resolved { how });
    assert_eq!(
        world.phase(alert),
        Phase::Resolved,
        "by the clocks it came after"
    );

    world.act(alert, GUARDS, 400, LifeKind::Reopened);
    world.seen = Some(Seen::up_to(1));
    world.act(alert, CALLER, 900, LifeKind::Resolved { how });
    assert_eq!(
        world.phase(alert),
        Phase::Open,
        "it had read less, whatever its clock says"
    );
    world
        .knowing()
        .act(alert, CALLER, -3_000, LifeKind::Resolved { how });
    assert_eq!(
        world.phase(alert),
        Phase::Resolved,
        "it had read all, whatever its clock says"
    );
    assert_eq!(world.call(alert).held_ends().count(), 3);
}

#[test]
fn a_withdrawal_takes_back_what_it_names_and_an_accept_made_again_at_once_stands() {
    let (mut world, alert) = World::with_call();
    let first = world.accept(alert, KIM, 10);
    let again = world.accept(alert, KIM, 12);

    world.withdraw(alert, KIM, 11, WithdrawReason::Cannot, &[first]);

    assert_eq!(world.call(alert).standing_accepts(None), [again]);
    assert_eq!(
        world.responder(alert, KIM),
        Some((Some(1), standing(Progress::Coming, 12)))
    );
}

#[test]
fn a_withdrawal_that_names_none_takes_back_what_had_not_seen_it_also_with_a_slow_clock() {
    let (mut world, alert) = World::with_call();
    world.accept(alert, KIM, 10);
    let unnamed = world.withdraw(alert, KIM, -3_600, WithdrawReason::Left, &[]);
    assert_eq!(world.responder(alert, KIM), gone(1, Gone::Left));
    assert_eq!(world.call(alert).cycle(), unnamed);

    world.knowing().accept(alert, KIM, 5);
    assert_eq!(
        world.responder(alert, KIM),
        Some((Some(1), standing(Progress::Coming, 5)))
    );
}

#[test]
fn nobody_takes_back_anothers_accept() {
    let (mut world, alert) = World::with_call();
    let kims = world.accept(alert, KIM, 10);
    let withdrawal = world.withdraw(alert, LEE, 20, WithdrawReason::Cannot, &[kims]);
    assert!(!world.call(alert).counts(withdrawal));
    assert_eq!(world.phase(alert), Phase::Answered);
}

#[test]
fn a_mis_tap_that_is_undone_restarts_no_ladder_and_a_late_undo_does() {
    let (mut world, alert) = World::with_call();
    let accept = world.accept(alert, KIM, 10);
    world.withdraw(alert, KIM, 15, WithdrawReason::Undo, &[accept]);
    assert_eq!(world.responder(alert, KIM), None);
    assert_eq!(world.call(alert).cycle(), alert);
    assert_eq!(world.call(alert).spells().len(), 1);

    let accept = world.accept(alert, KIM, 100);
    let late = 101 + i64::try_from(UNDO_WITHIN.as_secs()).unwrap();
    let withdrawal = world.withdraw(alert, KIM, late, WithdrawReason::Undo, &[accept]);
    assert_eq!(world.responder(alert, KIM), gone(1, Gone::Cannot));
    let call = world.call(alert);
    assert_eq!(call.cycle(), withdrawal);
    let spell = |start, end, cycle, ended_by| Spell {
        start: at(start),
        end,
        cycle,
        ended_by,
    };
    let first = spell(0, Some(at(100)), alert, Some(accept));
    assert_eq!(call.spells(), [first, spell(late, None, withdrawal, None)]);
}

#[test]
fn the_rank_that_was_told_stays_and_the_lowest_that_stands_is_primary() {
    let (mut world, alert) = World::with_call();
    world.accept(alert, KIM, 10);
    world.accept(alert, LEE, 20);
    world.withdraw(alert, KIM, 30, WithdrawReason::Cannot, &[]);

    assert_eq!(world.responder(alert, KIM), gone(1, Gone::Cannot));
    assert_eq!(
        world.responder(alert, LEE),
        Some((Some(2), standing(Progress::Coming, 20)))
    );
    assert_eq!(world.call(alert).primary().unwrap().as_str(), LEE);

    world.knowing().accept(alert, KIM, 40);
    assert_eq!(world.call(alert).primary().unwrap().as_str(), KIM);
}

#[test]
fn a_reopening_clears_who_came_before_and_rings_whoever_stands() {
    let (mut world, alert) = World::with_call();
    world.accept(alert, KIM, 10);
    world.act(alert, KIM, 60, LifeKind::Arrived { accept_id: None });
    world.act(
        alert,
        KIM,
        600,
        LifeKind::Resolved {
            how: Resolution::Helped,
        },
    );
    let reopened = world.act(alert, CALLER, 900, LifeKind::Reopened);

    assert_eq!(world.phase(alert), Phase::Open);
    assert_eq!(world.responder(alert, KIM), gone(1, Gone::Cleared));
    assert!(world.call(alert).is_ringing_reopened(reopened));
    assert_eq!(world.call(alert).cycle(), reopened);

    world.accept(alert, LEE, 910);
    assert_eq!(world.phase(alert), Phase::Answered);
}

#[test]
fn who_undoes_an_end_of_their_own_within_a_minute_keeps_the_helpers() {
    for (seconds, house, phase) in [
        (160, CALLER, Phase::Answered),
        (161, CALLER, Phase::Open),
        (160, GUARDS, Phase::Open),
    ] {
        let (mut world, alert) = World::with_call();
        world.accept(alert, KIM, 10);
        world.act(alert, CALLER, 100, LifeKind::Cancelled);
        let reopened = world.act(alert, house, seconds, LifeKind::Reopened);
        assert_eq!(world.phase(alert), phase, "{house} after {seconds} s");
        assert_eq!(world.call(alert).cycle(), reopened, "rung whoever stands");
    }
}

#[test]
fn the_caller_opens_a_call_that_nobody_ended_and_a_helper_does_not() {
    let (mut world, alert) = World::with_call();
    world.accept(alert, KIM, 10);
    let by_helper = world.act(alert, KIM, 100, LifeKind::Reopened);
    assert_eq!(world.phase(alert), Phase::Answered);
    assert!(!world.call(alert).is_ringing_reopened(by_helper));

    let nobody_is_here = world.act(alert, CALLER, 300, LifeKind::Reopened);
    assert_eq!(world.phase(alert), Phase::Open);
    assert_eq!(world.call(alert).cycle(), nobody_is_here);

    let again = world.act(alert, CALLER, 310, LifeKind::Reopened);
    assert!(
        !world.call(alert).is_ringing_reopened(again),
        "it clears nobody"
    );
    assert_eq!(world.call(alert).cycle(), nobody_is_here);
}

#[test]
fn who_is_there_without_an_accept_attends_the_call_without_a_rank() {
    let (mut world, alert) = World::with_call();
    world.act(alert, LEE, 30, LifeKind::Departed { accept_id: None });
    assert_eq!(world.phase(alert), Phase::Answered);
    world.act(alert, LEE, 90, LifeKind::Arrived { accept_id: None });
    assert_eq!(world.phase(alert), Phase::Attended);
    assert_eq!(
        world.responder(alert, LEE),
        Some((None, standing(Progress::Arrived, 90)))
    );
    assert_eq!(
        (world.call(alert).coming(), world.call(alert).arrived()),
        (0, 1)
    );
    assert_eq!(world.call(alert).primary(), None);

    let left = world.withdraw(alert, LEE, 300, WithdrawReason::Left, &[]);
    assert_eq!(world.phase(alert), Phase::Open);
    assert_eq!(world.call(alert).cycle(), left);
}

#[test]
fn an_arrival_follows_an_accept_that_is_not_younger_or_that_it_names() {
    let arrived_with = |named: bool, seconds| {
        let (mut world, alert) = World::with_call();
        let accept = world.accept(alert, KIM, 100);
        let accept_id = named.then_some(accept);
        world.act(alert, KIM, seconds, LifeKind::Arrived { accept_id });
        world.phase(alert) == Phase::Attended
    };
    assert!(arrived_with(false, 95));
    assert!(!arrived_with(false, 94), "it may be of an earlier accept");
    assert!(arrived_with(true, -3_600));
}

#[test]
fn what_comes_too_early_counts_once_that_comes_which_it_needs() {
    let mut world = World::default();
    let alert = EventId::Uuid(Uuid::from_u128(4));
    let arrived = world.act(alert, KIM, 60, LifeKind::Arrived { accept_id: None });
    let resolved = world.act(
        alert,
        KIM,
        90,
        LifeKind::Resolved {
            how: Resolution::Helped,
        },
    );
    let reopened = world.act(alert, LEE, 100, LifeKind::Reopened);
    assert_eq!(world.fold.misplaced(&line()), 3);
    assert!(world.fold.call(&line(), alert).is_none());

    assert_eq!(world.raise(0), alert);
    assert_eq!(world.told, [arrived, resolved]);
    assert_eq!(world.phase(alert), Phase::Resolved);

    world.accept(alert, LEE, 20);
    assert_eq!(world.told, [reopened]);
    assert_eq!(world.phase(alert), Phase::Open);
    assert_eq!(world.fold.misplaced(&line()), 0);
}

#[test]
fn the_level_counts_the_distinct_steps_of_the_current_cycle() {
    let (mut world, alert) = World::with_call();
    world.escalate(alert, alert, 20_000, 0);
    world.escalate(alert, alert, 60_000, 0);
    world.escalate(alert, alert, 60_000, 1);
    assert_eq!(world.call(alert).level(), 2);

    let accept = world.accept(alert, KIM, 100);
    assert_eq!(
        (world.call(alert).cycle(), world.call(alert).level()),
        (accept, 0)
    );
    let left = world.withdraw(alert, KIM, 200, WithdrawReason::Left, &[accept]);
    assert_eq!(world.call(alert).level(), 0);
    world.escalate(alert, left, 20_000, 0);
    assert_eq!(world.call(alert).level(), 1);
}

#[test]
fn of_each_key_the_callers_last_correction_stands_and_of_others_the_note() {
    let (mut world, alert) = World::with_call();
    let floor = |floor: &str| Correction {
        floor: Some(floor.to_owned()),
        ..Correction::default()
    };
    let text = Correction {
        text: Some(Text::new("fire").0),
        ..floor("3")
    };
    world.act(alert, CALLER, 10, LifeKind::Corrected(text));
    world.act(alert, CALLER, 5, LifeKind::Corrected(floor("4")));
    let strangers = world.act(alert, KIM, 20, LifeKind::Corrected(floor("5")));

    let call = world.call(alert);
    let corrected = call.corrected();
    assert_eq!(corrected.text.unwrap().as_str(), "fire");
    assert_eq!(corrected.floor, Some("4"));
    assert!(!call.counts(strangers), "it has no note");
    assert_eq!(call.notes().count(), 0);
}
