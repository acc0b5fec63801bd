//! The checker of the tests with real faults finds each breach in a history made by hand, and none in a good one.

mod support {
    pub mod cluster;
}

use std::collections::BTreeMap;

use support::cluster::checker::{
    Breach, GroupEvent, History, Outcome, Place, Reading, Record, Report,
};

/// Two producers wrote two records of one key each, all acknowledged; a group read and committed them.
fn good() -> History {
    let ids = ["1.0", "2.0", "1.1", "2.1"];
    let place = |offset| Place(0, offset);
    let records: BTreeMap<_, _> = (0..).map(place).zip(ids.map(record)).collect();
    let report = |(place, record): (&Place, &Record)| Report {
        id: record.id.clone(),
        key: record.key.clone(),
        outcome: Outcome::Acknowledged(*place),
    };
    let reports = records.iter().map(report).collect();
    let mut events = vec![assigned(0)];
    events.extend((0..2).map(read));
    events.push(GroupEvent::Committed {
        partition: 0,
        next: 2,
    });
    events.extend((2..4).map(read));
    let committed = [(0, 2)].into();
    History {
        reports,
        reading: Reading { events, committed },
        records,
        excused: None,
    }
}

fn record(id: &str) -> Record {
    let producer = id.split('.').next().expect("a producer");
    Record {
        key: format!("key-{producer}"),
        id: id.to_owned(),
    }
}

fn assigned(member: usize) -> GroupEvent {
    GroupEvent::Assigned {
        member,
        partition: 0,
    }
}

fn read(offset: i64) -> GroupEvent {
    read_by(0, offset)
}

fn read_by(member: usize, offset: i64) -> GroupEvent {
    let ids = ["1.0", "2.0", "1.1", "2.1"];
    let id = ids[usize::try_from(offset).expect("small")].to_owned();
    GroupEvent::Read {
        member,
        place: Place(0, offset),
        id,
    }
}

#[track_caller]
fn assert_found(history: &History, wanted: impl Fn(&Breach) -> bool) {
    let breaches = history.breaches();
    assert!(breaches.iter().any(wanted), "{breaches:?}");
}

#[test]
fn a_history_that_kept_every_promise_is_let_pass() {
    assert_eq!(good().breaches(), []);
}

#[test]
fn a_member_may_repeat_what_was_read_but_not_committed() {
    let mut history = good();
    history.reading.events.push(assigned(0));
    history.reading.events.extend((2..4).map(read));
    assert_eq!(history.breaches(), []);
}

#[test]
fn a_member_that_was_cut_off_may_read_on_beside_its_successor() {
    let mut history = good();
    let late = [assigned(1), read_by(1, 0), read_by(1, 1)];
    let [assignment, reads @ ..] = late;
    history.reading.events.insert(0, assignment);
    history.reading.events.extend(reads);
    assert_eq!(history.breaches(), []);
}

#[test]
fn an_acknowledged_record_that_is_missing_is_lost() {
    let mut history = good();
    history.records.remove(&Place(0, 3));
    assert_found(
        &history,
        |breach| matches!(breach, Breach::Lost { id, .. } if id == "2.1"),
    );
}

#[test]
fn an_acknowledged_record_that_stands_elsewhere_is_lost() {
    let mut history = good();
    let moved = history.records.remove(&Place(0, 3)).expect("there");
    history.records.insert(Place(0, 4), moved);
    assert_found(&history, |breach| matches!(breach, Breach::Lost { .. }));
}

#[test]
fn a_record_that_was_acknowledged_without_its_place_must_stand_somewhere() {
    let mut history = good();
    history.reports[3].outcome = Outcome::AcknowledgedSomewhere;
    assert_eq!(history.breaches(), []);

    history.records.remove(&Place(0, 3));
    assert_found(&history, |breach| {
        matches!(breach, Breach::LostSomewhere { .. })
    });
}

#[test]
fn a_record_that_its_client_gave_up_is_a_breach_whether_it_is_stored_or_not() {
    let mut history = good();
    history.reports[0].outcome = Outcome::Refused("MessageTimedOut".to_owned());
    assert_found(&history, |breach| matches!(breach, Breach::GivenUp { .. }));
}

#[test]
fn a_record_that_a_full_log_refused_must_not_be_there() {
    let mut history = good();
    history.excused = Some("PolicyViolation");
    history.reports[3].outcome = Outcome::Refused("PolicyViolation".to_owned());
    assert_found(&history, |breach| {
        matches!(breach, Breach::StoredAllTheSame { .. })
    });

    history.records.remove(&Place(0, 3));
    history.reading.events.pop();
    assert_eq!(history.breaches(), []);
}

#[test]
fn a_record_that_stands_twice_is_doubled() {
    let mut history = good();
    history.records.insert(Place(0, 4), record("2.1"));
    assert_found(&history, |breach| matches!(breach, Breach::Doubled { .. }));
}

#[test]
fn a_record_that_nobody_sent_is_invented() {
    let mut history = good();
    history.records.insert(Place(0, 4), record("9.9"));
    assert_found(&history, |breach| matches!(breach, Breach::Invented { .. }));
}

#[test]
fn a_record_before_an_earlier_one_of_its_key_has_overtaken_it() {
    let mut history = good();
    history.records.insert(Place(0, 0), record("1.1"));
    history.records.insert(Place(0, 2), record("1.0"));
    assert_found(&history, |breach| {
        matches!(breach, Breach::Overtaken { .. })
    });
}

#[test]
fn a_record_that_was_read_and_then_was_another_has_changed() {
    let mut history = good();
    history.records.insert(Place(0, 1), record("2.1"));
    assert_found(&history, |breach| matches!(breach, Breach::Changed { .. }));
}

#[test]
fn a_member_that_begins_below_the_commit_went_back() {
    let mut history = good();
    history.reading.events.push(assigned(0));
    history.reading.events.push(read(1));
    assert_found(&history, |breach| {
        matches!(breach, Breach::WentBack { committed: 2, .. })
    });
}

#[test]
fn a_member_that_passes_over_a_record_skipped_it() {
    let mut history = good();
    history.reading.events.remove(2);
    assert_found(&history, |breach| matches!(breach, Breach::Skipped { .. }));
}

#[test]
fn a_member_that_begins_above_what_was_read_skipped_it() {
    let mut history = good();
    history.reading.events.truncate(4);
    history.reading.events.push(assigned(0));
    history.reading.events.push(read(3));
    assert_found(&history, |breach| {
        matches!(breach, Breach::Skipped { to: 3, .. })
    });
}

#[test]
fn an_acknowledged_commit_that_the_log_forgot_is_a_breach() {
    let mut history = good();
    history.reading.committed = BTreeMap::new();
    assert_found(&history, |breach| {
        matches!(breach, Breach::CommitLost { .. })
    });
}
