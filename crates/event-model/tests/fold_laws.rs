//! The laws of the fold, and its answers against a slow and obvious computation.

#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]

use std::time::Duration;

use event_model::fold::{
    AcceptStatus, Added, CLOCK_TOLERANCE, Fold, ID_MEMORY, LIVE_FOR, Repeats, correct_times_ahead,
};
use event_model::{
    AlertAccepted, AlertRaised, Event, EventId, EventTime, House, Line, RecordPosition, Recorded,
    Status, Text, Topic,
};
use proptest::prelude::*;
use uuid::Uuid;

const HOUR: i64 = 60 * 60 * 1_000;
const START: i64 = 1_790_000_000_000;

fn line() -> Line {
    Line::new("demo").unwrap()
}

fn house(number: u8) -> House {
    House::new(&format!("{number}")).unwrap()
}

fn id(number: u8) -> EventId {
    EventId::Uuid(Uuid::from_u128(u128::from(number)))
}

fn at(millis: i64) -> EventTime {
    EventTime::from_millis(START + millis)
}

fn place(topic: Topic, offset: u64) -> RecordPosition {
    RecordPosition {
        topic,
        partition: 0,
        offset,
    }
}

fn alert(offset: u64, number: u8, caller: u8, millis: i64) -> Recorded {
    let event = Event::Raised(AlertRaised {
        id: id(number),
        line: line(),
        house: house(caller),
        text: Text::new("").0,
        position: None,
        at: at(millis),
        status: Status::Actual,
        warnings: vec![],
    });
    Recorded {
        event,
        place: place(Topic::Alert, offset),
        time: at(millis),
    }
}

fn accept(
    offset: u64,
    number: u8,
    responder: u8,
    target: u8,
    named: Option<u8>,
    millis: i64,
) -> Recorded {
    let event = Event::Accepted(AlertAccepted {
        seen: None,
        id: id(number),
        line: line(),
        responder: house(responder),
        target: house(target),
        alert_id: named.map(id),
        at: at(millis),
        status: Status::Actual,
        warnings: vec![],
    });
    Recorded {
        event,
        place: place(Topic::Accept, offset),
        time: at(millis),
    }
}

fn fold_of<'a>(records: impl IntoIterator<Item = &'a Recorded>) -> Fold {
    let mut fold = Fold::new();
    for recorded in records {
        fold.add(recorded);
    }
    fold
}

fn bound(alert: u8, rank: u32) -> AcceptStatus {
    AcceptStatus {
        alert_id: Some(id(alert)),
        rank: Some(rank),
    }
}

/// A few houses that press, accept, press again and accept again over two days: ids, houses and times collide often.
fn records() -> impl Strategy<Value = Vec<Recorded>> {
    let millis = prop_oneof![
        0..20_000i64,
        0..50 * HOUR,
        Just(24 * HOUR),
        Just(5_000),
        Just(4_999)
    ];
    let alert = (0..6u8, 0..3u8, millis.clone())
        .prop_map(|(number, caller, millis)| alert(0, number, caller, millis));
    let accept = (
        100..110u8,
        3..7u8,
        0..3u8,
        prop::option::weighted(0.3, 0..8u8),
        millis,
    )
        .prop_map(|(number, responder, target, named, millis)| {
            accept(0, number, responder, target, named, millis)
        });
    // The log gives each record a place of its own; the record's time may differ from the event's.
    let record = (
        prop_oneof![2 => alert, 3 => accept],
        0..2u32,
        -HOUR..26 * HOUR,
    );
    prop::collection::vec(record, 0..40).prop_map(|records| {
        let placed = records.into_iter().enumerate();
        placed
            .map(|(offset, (mut recorded, partition, late))| {
                recorded.place.offset = offset as u64;
                recorded.place.partition = partition;
                recorded.time = at(recorded.time.as_millis() - START + late);
                recorded
            })
            .collect()
    })
}

fn shuffled_and_repeated() -> impl Strategy<Value = (Vec<Recorded>, Vec<Recorded>)> {
    records().prop_flat_map(|records| {
        let repeated = prop::collection::vec(any::<prop::sample::Index>(), 0..20);
        (Just(records), repeated).prop_flat_map(|(records, repeated)| {
            let mut again = records.clone();
            if !records.is_empty() {
                again.extend(repeated.iter().map(|index| index.get(&records).clone()));
            }
            (Just(records), Just(again).prop_shuffle())
        })
    })
}

/// The events of one line by the definition's words: no index, every question a walk over all records.
struct Obvious {
    alerts: Vec<(AlertRaised, RecordPosition)>,
    accepts: Vec<(AlertAccepted, RecordPosition)>,
}

impl Obvious {
    fn of(records: &[Recorded]) -> Self {
        let mut sorted = records.to_vec();
        sorted.sort_by_key(|recorded| recorded.place);
        let mut obvious = Self {
            alerts: vec![],
            accepts: vec![],
        };
        for recorded in sorted {
            match recorded.event {
                Event::Raised(alert)
                    if obvious.alerts.iter().all(|(known, _)| known.id != alert.id) =>
                {
                    obvious.alerts.push((alert, recorded.place));
                }
                Event::Accepted(accept)
                    if obvious
                        .accepts
                        .iter()
                        .all(|(known, _)| known.id != accept.id) =>
                {
                    obvious.accepts.push((accept, recorded.place));
                }
                _ => {}
            }
        }
        obvious
    }

    fn alert_of(&self, accept: &AlertAccepted) -> Option<EventId> {
        if let Some(named) = accept.alert_id {
            return self
                .alerts
                .iter()
                .any(|(alert, _)| alert.id == named)
                .then_some(named);
        }
        let live = |alert: &AlertRaised| accept.at.millis_since(alert.at) < 24 * HOUR;
        let of_house = self
            .alerts
            .iter()
            .filter(|(alert, _)| alert.house == accept.target && live(alert));
        let (earlier, later): (Vec<_>, Vec<_>) =
            of_house.partition(|(alert, _)| alert.at <= accept.at);
        let newest = earlier
            .into_iter()
            .max_by_key(|(alert, place)| (alert.at, *place));
        let oldest_in_grace = later
            .into_iter()
            .filter(|(alert, _)| alert.at <= accept.at.plus(CLOCK_TOLERANCE))
            .min_by_key(|(alert, place)| (alert.at, *place));
        newest.or(oldest_in_grace).map(|(alert, _)| alert.id)
    }

    fn accept_status(&self, accept: &AlertAccepted) -> AcceptStatus {
        let Some(alert_id) = self.alert_of(accept) else {
            return AcceptStatus {
                alert_id: accept.alert_id,
                rank: None,
            };
        };
        let mut houses: Vec<&House> = vec![];
        for (other, _) in self
            .accepts
            .iter()
            .filter(|(other, _)| self.alert_of(other) == Some(alert_id))
        {
            if !houses.contains(&&other.responder) {
                houses.push(&other.responder);
            }
        }
        let position = houses.iter().position(|house| **house == accept.responder);
        AcceptStatus {
            alert_id: Some(alert_id),
            rank: position.map(|position| u32::try_from(position + 1).unwrap()),
        }
    }
}

proptest! {
    #[test]
    fn any_order_and_repetition_give_the_same_fold((records, again) in shuffled_and_repeated()) {
        prop_assert_eq!(fold_of(&records), fold_of(&again));
    }

    #[test]
    fn the_answers_are_those_of_the_definition(records in records()) {
        let fold = fold_of(&records);
        let obvious = Obvious::of(&records);
        for (accept, _) in &obvious.accepts {
            prop_assert_eq!(fold.accept_status(&line(), accept.id), obvious.accept_status(accept));
        }
        let orphans: Vec<EventId> = fold.orphans(&line()).iter().map(|accept| accept.id).collect();
        let expected = obvious.accepts.iter().filter(|(accept, _)| obvious.alert_of(accept).is_none());
        prop_assert_eq!(orphans, expected.map(|(accept, _)| accept.id).collect::<Vec<_>>());
        prop_assert_eq!(fold.len(), obvious.alerts.len() + obvious.accepts.len());
    }

    /// What was told when an accept was read stays true unless an alert of the same house that was raised before the
    /// accept, and after the one that was told, is read later.
    #[test]
    fn what_was_told_is_changed_only_by_an_alert_that_was_raised_in_between((records, again) in shuffled_and_repeated()) {
        let last = fold_of(&records);
        let mut fold = Fold::new();
        for (read, recorded) in again.iter().enumerate() {
            fold.add(recorded);
            let Event::Accepted(accept) = &recorded.event else { continue };
            let told = fold.accept_status(&line(), accept.id).alert_id;
            let Some(alert) = told.and_then(|id| fold.alert(&line(), id).cloned()) else { continue };
            if last.accept_status(&line(), accept.id).alert_id == told {
                continue;
            }
            let in_between = again[read..].iter().any(|later| match &later.event {
                Event::Raised(raised) => raised.house == accept.target && raised.at <= accept.at && alert.at <= raised.at
                    || alert.at > accept.at && raised.house == accept.target && raised.at <= alert.at
                    // A second record with the same id that stands earlier in the log counts instead of the first.
                    || raised.id == alert.id,
                Event::Accepted(other) => other.id == accept.id,
                Event::Life(_) => false,
            });
            prop_assert!(in_between, "{accept:?} was told with {alert:?}");
        }
    }

    #[test]
    fn every_accept_is_listed_with_its_alert_or_among_the_orphans(records in records()) {
        let fold = fold_of(&records);
        let listed: usize = fold.alerts(&line()).iter().map(|alert| fold.accepts(&line(), alert.id).len()).sum();
        prop_assert_eq!(listed + fold.orphans(&line()).len(), Obvious::of(&records).accepts.len());
    }

    #[test]
    fn a_pruned_fold_is_one_that_only_saw_the_younger_records(
        (records, again) in shuffled_and_repeated(),
        horizons in prop::collection::vec(-HOUR..60 * HOUR, 1..4),
    ) {
        let mut pruned = Fold::new();
        for (index, recorded) in again.iter().enumerate() {
            pruned.add(recorded);
            if let Some(horizon) = horizons.get(index % 7) {
                pruned.prune(at(*horizon));
            }
        }
        for horizon in &horizons {
            pruned.prune(at(*horizon));
        }
        let last = at(*horizons.iter().max().unwrap());
        let mut young = fold_of(records.iter().filter(|recorded| recorded.time >= last));
        young.prune(last);
        prop_assert_eq!(pruned, young);
    }
}

#[test]
fn the_first_house_in_the_log_is_the_primary_responder() {
    let records = [
        alert(0, 1, 0, 0),
        accept(0, 10, 7, 0, None, 9_000),
        accept(1, 11, 8, 0, Some(1), 3_000),
        accept(2, 12, 7, 0, None, 9_500),
    ];
    let fold = fold_of(records.iter().rev());
    let standings = [10, 11, 12].map(|accept| fold.accept_status(&line(), id(accept)));
    assert_eq!(standings, [bound(1, 1), bound(1, 2), bound(1, 1)]);
}

#[test]
fn an_accept_that_names_no_alert_means_the_newest_live_one_and_only_for_want_of_one_the_next_within_five_seconds()
 {
    let alerts = [
        alert(0, 1, 0, 0),
        alert(1, 2, 0, 60_000),
        alert(2, 3, 0, 61_000),
    ];
    let alert_of = |millis, alerts: &[Recorded]| {
        let accept = accept(0, 10, 7, 0, None, millis);
        fold_of(alerts.iter().chain([&accept]))
            .accept_status(&line(), id(10))
            .alert_id
    };
    assert_eq!(alert_of(59_999, &alerts), Some(id(1)));
    assert_eq!(alert_of(60_000, &alerts), Some(id(2)));
    assert_eq!(alert_of(61_000 + 24 * HOUR - 1, &alerts), Some(id(3)));
    assert_eq!(alert_of(61_000 + 24 * HOUR, &alerts), None);
    assert_eq!(alert_of(-5_000, &alerts), Some(id(1)));
    assert_eq!(alert_of(-5_001, &alerts), None);
    let later = &alerts[1..];
    assert_eq!(alert_of(57_000, later), Some(id(2)), "the oldest of two");
    assert_eq!(alert_of(54_999, later), None);
}

#[test]
fn a_later_press_never_takes_over_an_accept_that_was_told() {
    let (first, accepted) = (alert(0, 1, 0, 0), accept(0, 10, 7, 0, None, 3_000));
    let mut fold = fold_of([&first, &accepted]);
    assert_eq!(fold.accept_status(&line(), id(10)), bound(1, 1));

    fold.add(&alert(1, 2, 0, 3_001));

    assert_eq!(fold.accept_status(&line(), id(10)), bound(1, 1));
}

#[test]
fn an_accept_read_before_its_alert_is_known_by_what_it_names_and_has_no_rank_yet() {
    let mut fold = fold_of([
        &accept(0, 10, 7, 0, Some(1), 1_000),
        &accept(1, 11, 8, 0, None, 1_000),
    ]);
    assert_eq!(
        fold.accept_status(&line(), id(10)),
        AcceptStatus {
            alert_id: Some(id(1)),
            rank: None
        }
    );
    assert_eq!(fold.accept_status(&line(), id(11)), AcceptStatus::default());
    assert_eq!(fold.orphans(&line()).len(), 2);

    fold.add(&alert(0, 1, 0, 0));
    assert_eq!(fold.accept_status(&line(), id(10)), bound(1, 1));
    assert_eq!(fold.accept_status(&line(), id(11)), bound(1, 2));
    assert!(fold.orphans(&line()).is_empty());
}

#[test]
fn an_alert_is_live_for_a_day_accepted_or_not() {
    let fold = fold_of([
        &alert(0, 1, 0, 0),
        &alert(1, 2, 1, 1),
        &accept(0, 10, 7, 0, Some(1), 9),
    ]);
    let live = |millis| {
        fold.live(&line(), at(millis))
            .iter()
            .map(|alert| alert.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(live(24 * HOUR - 1), [id(1), id(2)]);
    assert_eq!(live(24 * HOUR), [id(2)]);
    assert_eq!(live(24 * HOUR + 1), []);
}

#[test]
fn a_second_record_with_the_same_id_is_a_duplicate_and_after_a_day_a_late_one() {
    let mut fold = fold_of([&alert(0, 1, 0, 0)]);
    assert_eq!(fold.add(&alert(0, 1, 0, 0)), Added::Again);
    assert_eq!(fold.add(&alert(1, 1, 0, 25 * HOUR)), Added::Duplicate);
    assert_eq!(fold.add(&alert(2, 1, 0, 25 * HOUR + 1)), Added::Duplicate);
    assert_eq!(
        fold.repeats(&line()),
        Repeats {
            duplicates: 1,
            late: 1
        }
    );
    assert_eq!(fold.alerts(&line()).len(), 1);
}

#[test]
fn pruning_beyond_the_memory_of_ids_changes_no_answer_about_a_live_alert() {
    let now = 30 * HOUR;
    let records = [
        alert(0, 1, 0, 0),
        alert(1, 2, 0, 7 * HOUR),
        accept(0, 10, 7, 0, None, 8 * HOUR),
        accept(1, 11, 8, 0, Some(2), 9 * HOUR),
    ];
    let whole = fold_of(&records);
    let mut pruned = whole.clone();
    pruned.prune(at(now).minus(ID_MEMORY));

    assert_eq!(pruned.alert(&line(), id(1)), None);
    assert_eq!(pruned.live(&line(), at(now)), whole.live(&line(), at(now)));
    assert_eq!(
        pruned.accepts(&line(), id(2)),
        whole.accepts(&line(), id(2))
    );
    assert_eq!(pruned.add(&alert(0, 1, 0, 0)), Added::TooOld);
}

#[test]
fn ids_are_looked_up_within_a_line() {
    let mut elsewhere = accept(0, 10, 7, 0, Some(1), 1_000);
    let Event::Accepted(accept) = &mut elsewhere.event else {
        panic!("an accept")
    };
    accept.line = Line::new("other").unwrap();
    let other = accept.line.clone();
    let fold = fold_of([&alert(0, 1, 0, 0), &elsewhere]);
    assert_eq!(
        fold.accept_status(&other, id(10)),
        AcceptStatus {
            alert_id: Some(id(1)),
            rank: None
        }
    );
    assert_eq!(fold.lines().collect::<Vec<_>>(), [&line(), &other]);
    assert!(Duration::ZERO < LIVE_FOR && LIVE_FOR < ID_MEMORY);
}

#[test]
fn a_time_that_every_later_record_refutes_is_that_of_the_next_record() {
    const DECADE: i64 = 87_600 * HOUR;
    let corrected = |millis: &[i64]| {
        let mut times: Vec<EventTime> = millis.iter().copied().map(at).collect();
        correct_times_ahead(&mut times);
        times
            .into_iter()
            .map(|time| time.as_millis() - START)
            .collect::<Vec<_>>()
    };
    assert_eq!(corrected(&[0, DECADE, 5, 6]), [0, 5, 5, 6]);
    assert_eq!(corrected(&[0, DECADE, DECADE + 1, 6]), [0, 6, 6, 6]);
    let two_hours_apart = [2 * HOUR, 1, 2 * HOUR + 2, 3];
    assert_eq!(corrected(&two_hours_apart), two_hours_apart);
    assert_eq!(
        corrected(&[0, DECADE]),
        [0, DECADE],
        "nothing refutes the last"
    );
    let one_that_waited_long = [50 * HOUR, 0, 51 * HOUR];
    assert_eq!(corrected(&one_that_waited_long), one_that_waited_long);
}
