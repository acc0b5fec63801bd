use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use event_model::{EventId, EventTime, Line, Place, Topic};
use log_core::{JournalConfig, testing::SimDisk};
use proptest::prelude::*;

use super::{
    Fate, Owner, QueuedCall,
    backlog::{Backlog, LineHead, Turn},
    store::{Found, Store},
    writer::Write,
};

fn call(line: &str, number: u8) -> Arc<QueuedCall> {
    Arc::new(QueuedCall {
        id: EventId::new(EventTime::from_millis(i64::from(number)), [number; 10]),
        at: EventTime::from_millis(i64::from(number)),
        line: Line::new(line).unwrap(),
        owner: owner("kim"),
        topic: if number.is_multiple_of(2) {
            Topic::Alert
        } else {
            Topic::Accept
        },
        headers: vec![("ce_id".to_owned(), vec![number])],
        value: vec![b'{'; usize::from(number)],
    })
}

fn owner(subject: &str) -> Owner {
    Owner {
        issuer: String::new(),
        subject: subject.to_owned(),
    }
}

fn stored(offset: u64) -> Fate {
    Fate::Stored(Place {
        topic: Topic::Alert,
        partition: 1,
        offset,
    })
}

fn backlog() -> Backlog {
    Backlog::new(1 << 20)
}

fn taken(backlog: &mut Backlog, call: &Arc<QueuedCall>) -> u64 {
    backlog.take(Arc::clone(call), None, None).unwrap()
}

fn next(backlog: &mut Backlog, line: &str) -> Option<u64> {
    backlog
        .next(&Line::new(line).unwrap())
        .map(|Turn { number, .. }| number)
}

#[test]
fn a_line_is_sent_one_call_at_a_time_in_the_order_it_called() {
    let mut backlog = backlog();
    let numbers = [1, 2].map(|number| taken(&mut backlog, &call("a", number)));
    let other = taken(&mut backlog, &call("b", 3));
    assert_eq!(
        backlog.synced(numbers[1]).1,
        LineHead::Busy,
        "its turn comes after the first"
    );
    assert_eq!(
        next(&mut backlog, "a"),
        None,
        "the first is not on the disk yet"
    );
    assert_eq!(backlog.synced(numbers[0]).1, LineHead::Ready);
    assert_eq!(backlog.synced(other).1, LineHead::Ready);

    assert_eq!(next(&mut backlog, "a"), Some(numbers[0]));
    assert_eq!(next(&mut backlog, "a"), None, "its report is awaited");
    assert_eq!(next(&mut backlog, "b"), Some(other));

    backlog.end(numbers[0], stored(7));
    assert_eq!(next(&mut backlog, "a"), Some(numbers[1]));
}

#[test]
fn a_line_is_held_until_its_last_call_has_ended() {
    let mut backlog = backlog();
    let line = Line::new("a").unwrap();
    let number = taken(&mut backlog, &call("a", 1));
    assert!(backlog.holds(&line), "from before it is written");

    let (fate, _) = backlog.synced(number);
    next(&mut backlog, "a").unwrap();
    assert_eq!(*fate.borrow(), Fate::Queued);
    backlog.end(number, stored(7));

    assert!(!backlog.holds(&line));
    assert_eq!(*fate.borrow(), stored(7));
    assert_eq!(
        backlog.fate(call("a", 1).id, &owner("kim")).unwrap().0,
        stored(7)
    );
    assert_eq!(
        backlog.fate(call("a", 1).id, &owner("lee")),
        None,
        "told to who called"
    );
}

#[test]
fn a_call_that_could_not_be_written_leaves_its_place_to_the_next() {
    let mut backlog = backlog();
    let first = taken(&mut backlog, &call("a", 1));
    let second = taken(&mut backlog, &call("a", 2));
    assert_eq!(backlog.synced(second).1, LineHead::Busy);

    assert_eq!(backlog.abandon(first), LineHead::Ready);

    assert_eq!(next(&mut backlog, "a"), Some(second));
    assert_eq!(backlog.fate(call("a", 1).id, &owner("kim")), None);
}

#[test]
fn only_so_many_bytes_wait_and_room_comes_back_when_calls_end() {
    let mut backlog = Backlog::new(call("a", 1).bytes() + call("a", 2).bytes());
    let first = taken(&mut backlog, &call("a", 1));
    taken(&mut backlog, &call("a", 2));
    assert!(backlog.take(call("a", 3), None, None).is_err());

    backlog.synced(first);
    next(&mut backlog, "a").unwrap();
    backlog.end(first, Fate::Dead);

    assert!(backlog.take(call("a", 1), None, None).is_ok());
}

/// The store beside a map that lives through the same, on a disk whose power fails.
struct Model {
    disk: SimDisk,
    store: Store,
    next_number: u64,
    waiting: BTreeMap<u64, Arc<QueuedCall>>,
    /// Written when the power failed: there or not.
    perhaps_taken: BTreeMap<u64, Arc<QueuedCall>>,
    perhaps_ended: BTreeSet<u64>,
}

#[derive(Debug, Clone)]
enum Step {
    Take(Vec<u8>),
    End(prop::sample::Index),
    PowerFails { operations_from_now: u64 },
}

const FOLDER: &str = "/outbox";

/// A few records fill a segment, so that beginning and trimming them is part of the play.
const SMALL: JournalConfig = JournalConfig {
    segment_bytes: 4096,
    record_bytes_max: 2048,
};

fn open(disk: &SimDisk) -> (Store, Found) {
    Store::open(Arc::new(disk.clone()), Path::new(FOLDER), SMALL).unwrap()
}

impl Model {
    fn start(seed: u64) -> Self {
        let disk = SimDisk::with_seed(seed);
        let (store, found) = open(&disk);
        assert!(found.waiting.is_empty());
        Self {
            disk,
            store,
            next_number: 0,
            waiting: BTreeMap::new(),
            perhaps_taken: BTreeMap::new(),
            perhaps_ended: BTreeSet::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Take(numbers) => self.take(&numbers),
            Step::End(index) => self.end(index),
            Step::PowerFails {
                operations_from_now,
            } => {
                self.disk
                    .crash_at(self.disk.operations() + operations_from_now);
            }
        }
        if self.disk.is_down() {
            self.recover();
        }
    }

    fn take(&mut self, numbers: &[u8]) {
        let calls: BTreeMap<u64, _> = numbers
            .iter()
            .map(|number| (self.number(), call("a", *number)))
            .collect();
        let writes: Vec<Write> = calls
            .iter()
            .map(|(number, call)| Write::Taken {
                number: *number,
                call: Arc::clone(call),
            })
            .collect();
        match self.store.write(&writes.iter().collect::<Vec<_>>()) {
            Ok(()) => self.waiting.extend(calls),
            Err(_) => self.perhaps_taken.extend(calls),
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    fn end(&mut self, index: prop::sample::Index) {
        if self.waiting.is_empty() {
            return;
        }
        let number = *self
            .waiting
            .keys()
            .nth(index.index(self.waiting.len()))
            .unwrap();
        match self.store.write(&[&Write::Ended {
            number,
            fate: stored(number),
        }]) {
            Ok(()) => {
                self.waiting.remove(&number);
            }
            Err(_) => {
                self.perhaps_ended.insert(number);
            }
        }
    }

    /// What comes back: all that was acknowledged and did not end, nothing that ended, in the order it was taken.
    fn recover(&mut self) {
        self.disk.reboot();
        let (store, found) = open(&self.disk);
        for (number, call) in &self.waiting {
            let there = found.waiting.get(number);
            assert!(
                there == Some(call) || self.perhaps_ended.contains(number),
                "call {number} was lost"
            );
        }
        for (number, call) in &found.waiting {
            let known = self.waiting.get(number).or(self.perhaps_taken.get(number));
            assert_eq!(
                known,
                Some(call),
                "call {number} was never taken, or had ended"
            );
        }
        self.store = store;
        self.waiting = found.waiting;
        self.perhaps_taken.clear();
        self.perhaps_ended.clear();
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 1..4).prop_map(Step::Take),
        4 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => (1u64..8).prop_map(|operations_from_now| Step::PowerFails { operations_from_now }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_power_cut_loses_a_call_or_brings_back_one_that_ended(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut model = Model::start(seed);
        for step in steps {
            model.step(step);
        }
        model.disk.crash();
        model.recover();
    }
}

#[test]
fn the_journal_is_trimmed_once_its_calls_have_ended() {
    let disk = SimDisk::with_seed(1);
    let (mut store, _) = open(&disk);
    let big = |number: u64| {
        let call = Arc::new(QueuedCall {
            value: vec![b'x'; 1000],
            ..call("a", 1).as_ref().clone()
        });
        Write::Taken { number, call }
    };

    for number in 0..200 {
        store.write(&[&big(number)]).unwrap();
        store
            .write(&[&Write::Ended {
                number,
                fate: Fate::Dead,
            }])
            .unwrap();
    }

    let kept: usize = disk.files().values().map(Vec::len).sum();
    assert!(kept <= 4 * 4096, "{kept} bytes of 200,000 are kept");
}
