use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use event_model::{EventId, EventTime, Line, RecordPosition, Topic};
use journal::{
    JournalConfig,
    disk::{Disk, OpenMode},
    sim_disk::{Fault, Operation, SimDisk},
};
use proptest::prelude::*;
use tokio::sync::watch;

use super::{
    DeliveryStatus, OutboxHealth, QueuedCall, WriteError,
    backlog::{Backlog, LineHead, NextDelivery},
    deliver,
    reserved_disk::ReservedDisk,
    store::{Store, StoreContents, StoreError, StoreWrite},
    writer::Writer,
};
use crate::{
    clock,
    earlier_try::{EarlierTry, LookUp, OpenTry},
    kafka::{LogProducer, LogSettings, PendingDelivery},
    owner::Owner,
    recent_calls::RecentCalls,
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

fn stored(offset: u64) -> DeliveryStatus {
    DeliveryStatus::Stored(Some(RecordPosition {
        topic: Topic::Alert,
        partition: 1,
        offset,
    }))
}

fn backlog() -> Backlog {
    Backlog::new(1 << 20)
}

fn taken(backlog: &mut Backlog, call: &Arc<QueuedCall>) -> u64 {
    let enqueued = backlog.enqueue(Arc::clone(call), never_tried());
    enqueued.ok().expect("there is room")
}

fn next(backlog: &mut Backlog, line: &str) -> Option<u64> {
    backlog
        .next(&Line::new(line).unwrap())
        .map(|NextDelivery { number, .. }| number)
}

fn never_tried() -> OpenTry {
    OpenTry {
        earlier: EarlierTry::NotStored,
        guard: None,
    }
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

    let (status, _) = backlog.synced(number);
    next(&mut backlog, "a").unwrap();
    assert_eq!(*status.borrow(), DeliveryStatus::Queued);
    backlog.end(number, stored(7));

    assert!(!backlog.holds(&line));
    assert_eq!(*status.borrow(), stored(7));
    assert_eq!(
        backlog.status(call("a", 1).id, &owner("kim")).unwrap().0,
        stored(7)
    );
    assert_eq!(
        backlog.status(call("a", 1).id, &owner("lee")),
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

    assert_eq!(backlog.abandon(first).0, LineHead::Ready);

    assert_eq!(next(&mut backlog, "a"), Some(second));
    assert_eq!(backlog.status(call("a", 1).id, &owner("kim")), None);
}

#[test]
fn only_so_many_bytes_wait_and_room_comes_back_when_calls_end() {
    let mut backlog = Backlog::new(call("a", 1).bytes() + call("a", 2).bytes());
    let first = taken(&mut backlog, &call("a", 1));
    taken(&mut backlog, &call("a", 2));
    assert!(backlog.enqueue(call("a", 3), never_tried()).is_err());

    backlog.synced(first);
    next(&mut backlog, "a").unwrap();
    backlog.end(first, DeliveryStatus::Dead);

    assert!(backlog.enqueue(call("a", 1), never_tried()).is_ok());
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
    SyncsFail { syncs: u32 },
}

const FOLDER: &str = "/outbox";

/// A few records fill a segment, so that beginning and trimming them is part of the play.
const SMALL: JournalConfig = JournalConfig {
    segment_bytes: 4096,
    record_bytes_max: 2048,
};

fn open(disk: &SimDisk) -> (Store, StoreContents) {
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
            Step::SyncsFail { syncs } => fail_syncs(&self.disk, syncs),
        }
        if self.disk.is_down() {
            self.recover();
        } else if self.store.recover().is_err() {
            self.disk.heal();
            let healed = self.disk.is_down() || self.store.recover().is_ok();
            assert!(healed, "a disk that works again has a new journal");
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
        let writes: Vec<StoreWrite> = calls
            .iter()
            .map(|(number, call)| StoreWrite::Taken {
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
        match self.store.write(&[&StoreWrite::Ended {
            number,
            status: stored(number),
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
        self.disk.heal();
        self.disk.reboot();
        let (store, found) = open(&self.disk);
        assert!(found.damaged.is_empty(), "{:?}", found.damaged);
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
        1 => (1u32..4).prop_map(|syncs| Step::SyncsFail { syncs }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_power_cut_and_no_failed_sync_loses_a_call_or_brings_back_one_that_ended(
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
        StoreWrite::Taken { number, call }
    };

    for number in 0..200 {
        store.write(&[&big(number)]).unwrap();
        store
            .write(&[&StoreWrite::Ended {
                number,
                status: DeliveryStatus::Dead,
            }])
            .unwrap();
    }

    let kept: usize = disk.files().values().map(Vec::len).sum();
    assert!(kept <= 4 * 4096, "{kept} bytes of 200,000 are kept");
}

fn fail_syncs(disk: &SimDisk, mut syncs: u32) {
    disk.inject(move |call| {
        let fails = call.operation == Operation::SyncFile && 0 < syncs;
        syncs -= u32::from(fails);
        fails.then_some(Fault::Fails(ErrorKind::Other))
    });
}

fn write_taken(number: u64) -> StoreWrite {
    let call = call("a", u8::try_from(number).unwrap());
    StoreWrite::Taken { number, call }
}

fn write_ended(number: u64) -> StoreWrite {
    let status = stored(number);
    StoreWrite::Ended { number, status }
}

fn numbers(found: &StoreContents) -> Vec<u64> {
    found.waiting.keys().copied().collect()
}

fn reopen(disk: &SimDisk, store: Store) -> (Store, StoreContents) {
    drop(store);
    open(disk)
}

#[test]
fn a_journal_whose_sync_failed_is_left_for_a_new_one_and_never_written_again() {
    let disk = SimDisk::with_seed(1);
    let (mut store, _) = open(&disk);
    store.write(&[&write_taken(0), &write_taken(1)]).unwrap();
    store.write(&[&write_ended(0)]).unwrap();
    let (failed, touched) = (
        Arc::new(Mutex::new(None)),
        Arc::new(Mutex::new(BTreeSet::new())),
    );
    disk.inject({
        let (failed, touched) = (Arc::clone(&failed), Arc::clone(&touched));
        move |call| {
            let mut failed = failed.lock().unwrap();
            let written = matches!(call.operation, Operation::Write | Operation::SyncFile);
            if failed.is_some() && written {
                touched.lock().unwrap().insert(call.path.to_owned());
            }
            let fails = failed.is_none() && call.operation == Operation::SyncFile;
            if fails {
                *failed = Some(call.path.to_owned());
            }
            fails.then_some(Fault::Fails(ErrorKind::Other))
        }
    });

    store.write(&[&write_taken(2)]).unwrap();
    store.write(&[&write_taken(3), &write_ended(1)]).unwrap();

    let failed: PathBuf = failed.lock().unwrap().clone().unwrap();
    assert!(!touched.lock().unwrap().contains(&failed));
    assert!(disk.file(&failed).is_none(), "it is done with");
    let (_, found) = reopen(&disk, store);
    assert_eq!(numbers(&found), [2, 3]);
}

#[test]
fn while_no_file_can_be_written_the_outbox_says_so_and_goes_on_when_one_can() {
    let disk = SimDisk::with_seed(1);
    let (mut store, _) = open(&disk);
    store.write(&[&write_taken(0), &write_taken(1)]).unwrap();
    disk.inject(|call| {
        let fails = call.operation == Operation::SyncFile;
        fails.then_some(Fault::Fails(ErrorKind::Other))
    });

    assert!(matches!(
        store.write(&[&write_taken(2), &write_ended(0)]),
        Err(StoreError::Journal(_))
    ));
    assert!(matches!(
        store.write(&[&write_taken(3)]),
        Err(StoreError::Unusable)
    ));
    for _ in 0..3 {
        assert!(store.recover().is_err());
    }
    let bytes: usize = disk.files().values().map(Vec::len).sum();
    assert!(
        bytes < 2 * 4096,
        "tries in vain take no room: {bytes} bytes"
    );

    disk.heal();
    store.recover().unwrap();
    store.write(&[&write_taken(4)]).unwrap();
    let (_, found) = reopen(&disk, store);
    assert_eq!(numbers(&found), [1, 4], "what ended meanwhile stays ended");
}

#[test]
fn a_journal_that_became_zeros_is_said_to_be_damaged_and_kept() {
    let disk = SimDisk::with_seed(1);
    let (mut store, _) = open(&disk);
    store.write(&[&write_taken(0)]).unwrap();
    drop(store);
    let journal = journals(&disk).remove(0);
    let zeros = vec![0; disk.file(&journal).unwrap().len()];
    let file = disk.open(&journal, OpenMode::Write).unwrap();
    file.write_at(&zeros, 0).unwrap();
    file.sync_data().unwrap();

    let (mut store, found) = open(&disk);

    let [kept] = &found.damaged[..] else {
        panic!("{:?}", found.damaged)
    };
    let kept = kept.join(journal.file_name().unwrap());
    assert!(disk.file(&kept).is_some(), "kept for a person to look at");
    store.write(&[&write_taken(1)]).unwrap();
    let (_, found) = reopen(&disk, store);
    assert_eq!(numbers(&found), [1]);
    assert_eq!(found.damaged.len(), 1, "said until a person has looked");
}

#[test]
fn damage_that_the_journal_finds_costs_no_start() {
    let disk = SimDisk::with_seed(1);
    let (mut store, _) = open(&disk);
    for number in 0..3 {
        store.write(&[&write_taken(number)]).unwrap();
    }
    drop(store);
    disk.flip_bit(&journals(&disk)[0], 100, 0);

    let (mut store, found) = open(&disk);

    assert_eq!(found.damaged.len(), 1);
    store.write(&[&write_taken(3)]).unwrap();
    assert_eq!(numbers(&reopen(&disk, store).1), [3]);
}

#[test]
fn a_folder_of_an_earlier_version_without_a_witness_opens() {
    let disk = SimDisk::with_seed(1);
    let (mut store, _) = open(&disk);
    store.write(&[&write_taken(0)]).unwrap();
    drop(store);
    assert_eq!(
        journals(&disk)[0].parent(),
        Some(&*Path::new(FOLDER).join("journal"))
    );
    disk.remove_file(&Path::new(FOLDER).join("witness"))
        .unwrap();

    let (_, found) = open(&disk);

    assert_eq!((numbers(&found), found.damaged), (vec![0], vec![]));
}

/// The segments of the journals in use.
fn journals(disk: &SimDisk) -> Vec<PathBuf> {
    let segments = disk.files().into_keys();
    segments
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "journal")
        })
        .collect()
}

#[test]
fn a_clock_that_jumps_neither_drops_nor_reorders_what_waits() {
    let disk = SimDisk::with_seed(1);
    let (mut store, _) = open(&disk);
    let times = [EventTime::MAX, EventTime::MIN, EventTime::from_millis(7)];
    for (number, at) in (0..).zip(times) {
        let call = QueuedCall {
            at,
            ..call("a", 1).as_ref().clone()
        };
        let call = Arc::new(call);
        store.write(&[&StoreWrite::Taken { number, call }]).unwrap();
    }

    let (_, found) = reopen(&disk, store);

    let waiting: Vec<_> = found.waiting.values().map(|call| call.at).collect();
    assert_eq!(waiting, times);
}

#[tokio::test]
async fn the_outbox_recovers_by_itself_and_tells_what_is_unknown() {
    let disk = SimDisk::with_seed(1);
    let (store, _) = open(&disk);
    let health = watch::Sender::new(OutboxHealth::default());
    let mut told = health.subscribe();
    let writer = Writer::start(store, health);
    disk.inject(|call| {
        let fails = call.operation == Operation::SyncFile;
        fails.then_some(Fault::Fails(ErrorKind::Other))
    });

    assert_eq!(writer.write(write_taken(0)).await, Err(WriteError::Unknown));
    assert!(!told.borrow_and_update().readiness().usable);
    assert_eq!(
        writer.write(write_taken(1)).await,
        Err(WriteError::NotWritten)
    );

    disk.heal();
    told.wait_for(|health| health.readiness().usable)
        .await
        .unwrap();
    assert_eq!(writer.write(write_taken(2)).await, Ok(()));
}

/// On a real disk: these are the names and descriptors that a full one leaves us.
#[test]
fn the_journal_lives_on_the_files_that_were_held_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let reserve = folder.path().join("reserve");
    let open = || {
        let disk = ReservedDisk::open(&reserve, SMALL, 6 * u64::from(SMALL.segment_bytes));
        Store::open(Arc::new(disk), folder.path(), SMALL).unwrap().0
    };
    let inodes = |folder: &Path| -> BTreeSet<u64> {
        let files = std::fs::read_dir(folder).unwrap();
        files
            .map(|file| file.unwrap().metadata().unwrap().ino())
            .collect()
    };
    let mut store = open();
    let journal = folder.path().join("journal");
    let held: BTreeSet<u64> = inodes(&reserve).union(&inodes(&journal)).copied().collect();
    assert_eq!(held.len(), 6);

    for number in 0..200 {
        let call = QueuedCall {
            value: vec![b'x'; 1000],
            ..call("a", 1).as_ref().clone()
        };
        let call = Arc::new(call);
        store.write(&[&StoreWrite::Taken { number, call }]).unwrap();
        store.write(&[&write_ended(number)]).unwrap();
    }

    let now: BTreeSet<u64> = inodes(&reserve).union(&inodes(&journal)).copied().collect();
    assert_eq!(now, held);
    drop(store);
    drop(open());
    assert_eq!(
        inodes(&reserve).len(),
        6,
        "a start makes up for what is in use"
    );
}

/// A log that is not there: what is sent to it waits for ever.
fn no_log() -> Arc<LogProducer> {
    let settings = LogSettings {
        bootstrap_servers: "127.0.0.1:9".to_owned(),
        nodes: log_client::LogNodes::default(),
        properties: BTreeMap::new(),
        delivery: Default::default(),
        message_timeout: Duration::from_secs(1),
        alerts_in_flight_max: 1,
        accepts_in_flight_max: 1,
    };
    Arc::new(LogProducer::connect(&settings).unwrap())
}

#[tokio::test]
async fn a_call_leaves_the_outbox_when_its_report_says_stored_though_not_where() {
    let (log, recent) = (no_log(), RecentCalls::new(10));
    let call = call("a", 2);
    let place = RecordPosition {
        topic: Topic::Alert,
        partition: 1,
        offset: 7,
    };

    let implicitly_acknowledged = PendingDelivery::reported(Topic::Alert, 1, -1001);
    let mut look_up = LookUp::new(&log, &recent);
    let (status, ()) = tokio::join!(
        deliver(
            &call,
            EarlierTry::Pending(implicitly_acknowledged),
            &mut look_up
        ),
        async {
            recent.add(call.recent_call(Some(place)), clock::steady());
        }
    );
    assert_eq!(status, DeliveryStatus::Stored(Some(place)), "looked up");

    let unknown = RecentCalls::new(10);
    let implicitly_acknowledged = PendingDelivery::reported(Topic::Alert, 1, -1001);
    let status = deliver(
        &call,
        EarlierTry::Pending(implicitly_acknowledged),
        &mut LookUp::new(&log, &unknown),
    )
    .await;
    assert_eq!(
        status,
        DeliveryStatus::Stored(None),
        "never sent again, and its line goes on"
    );
}
