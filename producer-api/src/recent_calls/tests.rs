use std::cell::Cell;

use event_model::IdempotencyScope;
use futures_util::FutureExt;

use super::*;
use crate::clock;

const HOUR: Duration = Duration::from_secs(60 * 60);
const TODAY: EventTime = EventTime::MIN;

fn today() -> EventTime {
    TODAY.plus(1000 * 24 * HOUR)
}

fn id(number: u8) -> EventId {
    EventId::new(EventTime::MIN, [number; 10])
}

/// The fingerprint of one of Kim's keys.
fn key(key: &str) -> Tag {
    let scope = IdempotencyScope {
        issuer: "",
        subject: "kim",
        path: "/accept",
        key,
    };
    scope.tag()
}

fn owner(subject: &str) -> Owner {
    Owner {
        issuer: String::new(),
        subject: subject.to_owned(),
    }
}

/// A call of Kim's under the key "one".
fn call(topic: Topic, number: u8, at: EventTime) -> RecentCall {
    let place = RecordPosition {
        topic,
        partition: 0,
        offset: number.into(),
    };
    RecentCall {
        id: id(number),
        topic,
        at,
        place: Some(place),
        caller: Some(owner("kim").tag(id(number))),
        key: Some(key("one")),
        house: (topic == Topic::Alert).then(house),
    }
}

fn house() -> (Line, House) {
    (Line::new("dong-101").unwrap(), House::new("1502").unwrap())
}

fn caught_up(tail: Vec<RecentCall>, wall: EventTime, now: Instant) -> RecentCalls {
    let calls = RecentCalls::new(100);
    calls.add_tail(tail, wall, now);
    calls.end_was_read(1);
    calls
}

fn is_repeated(calls: &RecentCalls, number: u8, now: Instant) -> bool {
    let used = calls.key_use(key("one"), Topic::Alert, id(number), now);
    matches!(used, KeyUse::Repeated(Receipt { place: Some(_), .. }))
}

fn accept_under_the_key(calls: &RecentCalls, number: u8, now: Instant) -> KeyUse {
    calls.key_use(key("one"), Topic::Accept, id(number), now)
}

#[test]
fn a_key_that_an_earlier_run_stored_is_known_again_from_the_tail() {
    let now = clock::steady();
    let calls = caught_up(vec![call(Topic::Accept, 1, today())], today(), now);

    assert!(is_repeated(&calls, 1, now));
    assert_eq!(accept_under_the_key(&calls, 2, now), KeyUse::Reused);
    let other = calls.key_use(key("two"), Topic::Accept, id(2), now);
    assert_eq!(other, KeyUse::New);
}

#[test]
fn nothing_is_judged_before_the_tail_has_been_read() {
    let now = clock::steady();
    let calls = RecentCalls::new(100);
    calls.add(call(Topic::Accept, 1, today()), now);

    assert_eq!(accept_under_the_key(&calls, 2, now), KeyUse::New);
    let (line, house) = house();
    assert_eq!(calls.has_live_call(&line, &house, None, now), None);
    assert!(is_repeated(&calls, 1, now), "what is known is told");
}

#[tokio::test]
async fn a_call_is_known_to_be_missing_only_once_the_tail_is_read_to_where_the_log_ends_now() {
    let calls = caught_up(Vec::new(), today(), clock::steady());
    assert_eq!(calls.unread_end(), None);
    let mut look = Box::pin(calls.read_to_end());
    assert!(look.as_mut().now_or_never().is_none());
    let wanted = calls.unread_end().unwrap();

    calls.end_was_read(wanted - 1);
    assert!(
        look.as_mut().now_or_never().is_none(),
        "the log was read before it was looked for"
    );
    calls.end_was_read(wanted);
    assert!(look.as_mut().now_or_never().is_some());
    assert_eq!(calls.unread_end(), None);
}

#[test]
fn a_tail_that_was_waited_for_in_vain_is_waited_for_again_once_it_was_read() {
    let calls = RecentCalls::new(10);
    assert!(calls.is_catching_up());
    calls.note_tail_unreadable();
    assert!(!calls.is_catching_up() && calls.tail_is_unreadable());

    calls.end_was_read(1);

    assert!(!calls.tail_is_unreadable());
}

#[test]
fn a_key_is_remembered_for_25_hours_of_elapsed_time_whatever_the_wall_clock_does() {
    let now = clock::steady();
    let at_start = vec![call(Topic::Alert, 1, today().minus(20 * HOUR))];
    let calls = caught_up(at_start, today(), now);
    calls.add(call(Topic::Alert, 2, EventTime::MAX), now);
    calls.add(call(Topic::Alert, 3, EventTime::MIN), now);

    let later = |hours| now + hours * HOUR;
    assert!(is_repeated(&calls, 1, later(4)));
    assert!(!is_repeated(&calls, 1, later(6)));
    for number in [2, 3] {
        assert!(is_repeated(&calls, number, later(24)));
        assert!(!is_repeated(&calls, number, later(26)));
    }
}

#[test]
fn a_start_under_a_clock_far_ahead_still_knows_a_retry() {
    let now = clock::steady();
    let years_ahead = today().plus(500 * 24 * HOUR);
    let calls = caught_up(vec![call(Topic::Accept, 1, today())], years_ahead, now);

    assert!(is_repeated(&calls, 1, now + HOUR / 2));
    assert_eq!(
        accept_under_the_key(&calls, 2, now),
        KeyUse::New,
        "a key that may be years old is held against nothing"
    );
    assert!(!is_repeated(&calls, 1, now + 2 * HOUR));
}

#[test]
fn after_a_quiet_year_an_old_call_under_a_key_is_no_reason_to_silence_another_for_long() {
    let now = clock::steady();
    let calls = caught_up(
        vec![call(Topic::Alert, 1, today().minus(365 * 24 * HOUR))],
        today(),
        now,
    );

    assert!(!is_repeated(&calls, 1, now + 2 * HOUR));
}

#[tokio::test]
async fn a_call_whose_report_named_no_place_is_told_where_it_is_once_the_tail_has_it() {
    let now = clock::steady();
    let calls = caught_up(Vec::new(), today(), now);
    let known = call(Topic::Alert, 1, today());
    let placeless = RecentCall {
        place: None,
        ..known.clone()
    };
    calls.add(placeless, now);
    let queued = Some(Receipt {
        id: id(1),
        at: today(),
        place: None,
    });
    assert_eq!(calls.find(id(1), &owner("kim")), queued);

    let (place, ()) = tokio::join!(calls.place_of(id(1)), async {
        calls.add(call(Topic::Alert, 2, today()), now);
        calls.add(known.clone(), now);
    });

    assert_eq!(Some(place), known.place);
    assert_eq!(calls.find(id(1), &owner("kim")), Some(known.receipt()));
    assert_eq!(calls.find(id(1), &owner("lee")), None, "told to who called");
    assert_eq!(calls.place_of(id(1)).await, place, "at once");
}

#[test]
fn of_two_records_with_one_id_the_first_counts() {
    let now = clock::steady();
    let calls = caught_up(Vec::new(), today(), now);
    let first = call(Topic::Alert, 1, today());
    let place = first
        .place
        .map(|place| RecordPosition { offset: 7, ..place });
    calls.add(
        RecentCall {
            place,
            ..first.clone()
        },
        now,
    );

    calls.add(first.clone(), now);

    assert_eq!(calls.find(id(1), &owner("kim")), Some(first.receipt()));
}

#[test]
fn an_accept_is_known_to_have_a_live_call_for_24_hours() {
    let now = clock::steady();
    let calls = caught_up(vec![call(Topic::Alert, 1, today())], today(), now);
    let (line, house) = house();
    let other = House::new("1503").unwrap();

    let lives = |house, id, hours: u32| calls.has_live_call(&line, house, id, now + hours * HOUR);
    assert_eq!(lives(&house, None, 23), Some(true));
    assert_eq!(lives(&house, None, 25), Some(false));
    assert_eq!(lives(&other, None, 0), Some(false));
    assert_eq!(
        lives(&other, Some(id(1)), 0),
        Some(true),
        "the named one counts"
    );
    assert_eq!(lives(&house, Some(id(2)), 0), Some(false));
}

#[test]
fn only_so_many_calls_are_remembered_and_the_oldest_is_forgotten_first() {
    let now = clock::steady();
    let calls = RecentCalls::new(2);
    calls.add_tail(Vec::new(), today(), now);
    for number in 1..=3 {
        calls.add(call(Topic::Alert, number, today()), now);
    }

    assert_eq!(
        [1, 2, 3].map(|number| is_repeated(&calls, number, now)),
        [false, true, true]
    );
    let table = calls.table();
    let indexed: Vec<_> = table.keys.values().flatten().copied().collect();
    assert_eq!(indexed, [id(2), id(3)]);
    assert_eq!(table.houses.get(&house()), Some(&id(3)));
}

#[test]
fn a_late_call_of_one_partition_is_not_forgotten_for_early_ones_of_another() {
    let now = clock::steady();
    let calls = RecentCalls::new(4);
    let of = |topic, numbers: std::ops::RangeInclusive<u8>| {
        numbers.map(move |number| call(topic, number, today()))
    };
    let tail = of(Topic::Alert, 1..=3).chain(of(Topic::Accept, 11..=19));
    calls.add_tail(tail.collect(), today(), now);

    let known = |number| calls.known_place(id(number)).is_some();
    assert_eq!([1, 2, 3].map(known), [false, true, true]);
    assert_eq!([11, 17, 18, 19].map(known), [false, false, true, true]);
}

#[tokio::test]
async fn a_tail_is_waited_for_as_long_as_it_is_being_read_and_no_longer() {
    let calls = RecentCalls::new(100);
    let pauses = Cell::new(0);
    let a_record_a_pause = || async {
        pauses.set(pauses.get() + 1);
        calls.note_record_read();
        if pauses.get() == 1000 {
            calls.end_was_read(calls.unread_end().unwrap());
        }
    };
    assert!(calls.read_to_end_unless_stalled(a_record_a_pause).await);
    assert_eq!(pauses.get(), 1000);

    assert!(!calls.read_to_end_unless_stalled(|| async {}).await);
}
