//! The journal against a list that lived through the same, on a disk that crashes at any operation.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::disk::OpenMode;
use crate::sim_disk::{DiskCall, Fault, Operation, SimDisk};

const FOLDER: &str = "/data/journal";
const SMALL: JournalConfig = JournalConfig {
    segment_bytes: 4_096,
    record_bytes_max: 1_000,
};

fn open(disk: &SimDisk) -> Result<(Journal, RecoveredJournal), JournalError> {
    Journal::open(Arc::new(disk.clone()), Path::new(FOLDER), SMALL)
}

fn payloads(found: &RecoveredJournal) -> Vec<Vec<u8>> {
    found
        .records
        .iter()
        .map(|(_, payload)| payload.to_vec())
        .collect()
}

fn segment(start: u64) -> PathBuf {
    segment_file::path(Path::new(FOLDER), JournalPosition(start))
}

/// A journal of two segments, the first of them full.
fn two_segments(disk: &SimDisk) -> Vec<Vec<u8>> {
    let (mut journal, _) = open(disk).unwrap();
    let records: Vec<Vec<u8>> = (0..12)
        .map(|number| vec![number + 1; 10 + 60 * usize::from(number)])
        .collect();
    for batch in records.chunks(3) {
        journal.append(batch).unwrap();
    }
    assert_eq!(journal.sealed.len(), 1);
    records
}

#[test]
fn records_come_back_in_order_with_their_positions() {
    let disk = SimDisk::with_seed(1);
    let (mut journal, found) = open(&disk).unwrap();
    assert!(found.records.is_empty());
    let mut positions = journal.append(&[b"one".as_slice(), b"", b"three"]).unwrap();
    positions.extend(journal.append(&[b"four"]).unwrap());
    drop(journal);

    let (journal, found) = open(&disk).unwrap();

    assert_eq!(
        payloads(&found),
        [b"one".as_slice(), b"", b"three", b"four"]
    );
    let found_positions: Vec<_> = found
        .records
        .iter()
        .map(|(position, _)| *position)
        .collect();
    assert_eq!(found_positions, positions);
    assert_eq!(found.cut, None);
    assert!(positions.last() < Some(&journal.end()));
}

#[test]
fn an_append_larger_than_a_segment_goes_into_several() {
    let disk = SimDisk::with_seed(1);
    let (mut journal, _) = open(&disk).unwrap();
    let records: Vec<_> = (0..20).map(|number| vec![number; 900]).collect();

    journal.append(&records).unwrap();

    assert_eq!(payloads(&open(&disk).unwrap().1), records);
    assert!(4 < disk.list(Path::new(FOLDER)).unwrap().len());
}

#[test]
fn a_record_above_the_limit_is_refused_and_nothing_is_written() {
    let disk = SimDisk::with_seed(1);
    let (mut journal, _) = open(&disk).unwrap();
    let before = disk.files();

    let refused = journal.append(&[vec![1; 10], vec![2; 1_001]]);

    assert!(matches!(
        refused,
        Err(JournalError::RecordTooLarge {
            bytes: 1_001,
            bytes_max: 1_000
        })
    ));
    assert_eq!(disk.files(), before);
    journal.append(&[vec![1; 1_000]]).unwrap();
}

#[test]
fn trimming_removes_whole_segments_before_the_position_and_keeps_the_rest() {
    let disk = SimDisk::with_seed(1);
    let (mut journal, _) = open(&disk).unwrap();
    let positions: Vec<_> = (0..40)
        .map(|number| journal.append(&[vec![number; 500]]).unwrap()[0])
        .collect();

    journal.trim_before(positions[20]).unwrap();
    assert!(journal.start() <= positions[20]);
    assert!(positions[20].0 < journal.start().0 + u64::from(SMALL.segment_bytes));

    let (_, found) = open(&disk).unwrap();
    assert_eq!(found.records.last().unwrap().0, positions[39]);
    assert!(
        found
            .records
            .iter()
            .any(|(position, _)| *position == positions[20])
    );
    assert!(
        !found
            .records
            .iter()
            .any(|(position, _)| *position == positions[0])
    );
}

#[test]
fn after_a_failed_sync_nothing_is_written_until_the_journal_is_opened_again() {
    let disk = SimDisk::with_seed(1);
    let (mut journal, _) = open(&disk).unwrap();
    journal.append(&[b"kept"]).unwrap();
    disk.inject(|call| {
        (call.operation == Operation::SyncFile).then_some(Fault::Fails(ErrorKind::Other))
    });

    let failed = journal.append(&[b"unknown"]);
    disk.heal();

    assert!(matches!(
        failed,
        Err(JournalError::Io { action: "sync", .. })
    ));
    assert!(matches!(
        journal.append(&[b"refused"]),
        Err(JournalError::Broken { .. })
    ));
    assert!(matches!(
        journal.trim_before(journal.end()),
        Err(JournalError::Broken { .. })
    ));
    assert_eq!(payloads(&open(&disk).unwrap().1)[0], b"kept");
}

#[test]
fn what_a_start_finds_after_a_failed_sync_is_there_after_the_next_power_cut() {
    for seed in 0..100 {
        let disk = SimDisk::with_seed(seed);
        let (mut journal, _) = open(&disk).unwrap();
        disk.inject(|call| {
            (call.operation == Operation::SyncFile).then_some(Fault::Fails(ErrorKind::Other))
        });
        journal.append(&[[7; 900], [8; 900]]).unwrap_err();
        disk.heal();
        disk.kill();

        let (_, found) = open(&disk).unwrap();
        assert_eq!(found.records.len(), 2, "the page cache shows them");
        disk.crash();
        disk.reboot();

        assert_eq!(
            payloads(&open(&disk).unwrap().1),
            payloads(&found),
            "seed {seed}"
        );
    }
}

#[test]
fn a_full_disk_refuses_the_next_segment_and_takes_it_once_there_is_room() {
    let disk = SimDisk::with_seed(1);
    disk.set_capacity(Some(6_000));
    let (mut journal, _) = open(&disk).unwrap();
    let record = vec![7; 900];
    for _ in 0..3 {
        journal.append(&[&record]).unwrap();
    }

    assert!(matches!(
        journal.append(&[&record]),
        Err(JournalError::Full { .. })
    ));
    disk.set_capacity(None);
    journal.append(&[&record]).unwrap();

    assert_eq!(open(&disk).unwrap().1.records.len(), 4);
}

#[test]
fn the_next_segment_is_filled_beside_the_appends_and_only_named_when_its_time_comes() {
    let disk = SimDisk::with_seed(1);
    let (mut journal, _) = open(&disk).unwrap();
    let prepared = Path::new(FOLDER).join("next.journal.new");
    while journal.active.room_behind(journal.end()) >= 256 {
        journal.append(&[[7; 100]]).unwrap();
    }
    assert_eq!(
        disk.file(&prepared).unwrap().len(),
        SMALL.segment_bytes as usize
    );

    let before = disk.operations();
    journal.append(&[[7; 300]]).unwrap();

    assert_eq!(journal.sealed.len(), 1);
    assert_eq!(
        disk.operations() - before,
        7,
        "rename and its sync; the seal and its sync; write, its sync and the marker"
    );
    assert!(!disk.exists(&prepared));
}

#[test]
fn a_journal_that_is_closed_leaves_nothing_unfinished() {
    let disk = SimDisk::with_seed(1);
    let (mut journal, _) = open(&disk).unwrap();
    for _ in 0..20 {
        journal.append(&[[7; 100]]).unwrap();
    }
    assert_eq!(disk.list(Path::new(FOLDER)).unwrap().len(), 2);

    drop(journal);

    assert_eq!(disk.list(Path::new(FOLDER)).unwrap().len(), 1);
}

#[test]
fn a_missing_segment_in_the_middle_is_damage() {
    let disk = SimDisk::with_seed(1);
    let (mut journal, _) = open(&disk).unwrap();
    for _ in 0..20 {
        journal.append(&[vec![7; 900]]).unwrap();
    }
    let middle = disk.list(Path::new(FOLDER)).unwrap()[2].clone();
    disk.remove_file(&Path::new(FOLDER).join(middle)).unwrap();

    assert!(matches!(open(&disk), Err(JournalError::Damaged { .. })));
}

#[test]
fn a_newest_segment_that_is_gone_is_damage_and_not_a_shorter_journal() {
    let disk = SimDisk::with_seed(1);
    let records = two_segments(&disk);
    let [oldest, newest] = disk_starts(&disk)[..] else {
        panic!("two segments");
    };
    let gone = disk.copy(1);
    gone.remove_file(&segment(newest)).unwrap();

    let error = open(&gone).err().expect("refused").to_string();
    assert!(
        error.contains("the segment that follows is missing"),
        "{error}"
    );
    assert!(
        error.contains(&segment(oldest).display().to_string()),
        "{error}"
    );
    assert_eq!(payloads(&open(&disk).unwrap().1), records);
}

#[test]
fn a_segment_cut_short_is_damage() {
    let disk = SimDisk::with_seed(1);
    two_segments(&disk);
    let newest = segment(disk_starts(&disk)[1]);
    for len in [0, 64, 128, 1_000, 2_048, 4_095] {
        let damaged = disk.copy(1);
        damaged.truncate(&newest, len);
        assert!(
            matches!(open(&damaged), Err(JournalError::Damaged { .. })),
            "{len} bytes left"
        );
    }
}

fn disk_starts(disk: &SimDisk) -> Vec<u64> {
    let starts = segment_file::list(disk, Path::new(FOLDER)).unwrap();
    starts.into_iter().map(|start| start.0).collect()
}

#[test]
fn every_flipped_bit_is_found_or_changes_nothing() {
    let disk = SimDisk::with_seed(1);
    let records = two_segments(&disk);
    let mut found_bits = 0;
    for start in disk_starts(&disk) {
        for byte in 0..SMALL.segment_bytes as usize {
            let damaged = disk.copy(1);
            damaged.flip_bit(&segment(start), byte, u8::try_from(byte % 8).unwrap());
            match open(&damaged) {
                Ok((_, found)) => {
                    assert_eq!(payloads(&found), records, "segment {start} byte {byte}")
                }
                Err(JournalError::Damaged { .. }) => found_bits += 1,
                Err(error) => panic!("segment {start} byte {byte}: {error}"),
            }
        }
    }
    let payload_bytes: usize = records.iter().map(Vec::len).sum();
    assert!(
        payload_bytes < found_bits,
        "only {found_bits} of {payload_bytes} bytes of records were guarded"
    );
}

#[test]
fn damage_names_the_file_and_the_byte() {
    let disk = SimDisk::with_seed(1);
    two_segments(&disk);
    disk.flip_bit(&segment(0), 70, 0);

    let error = open(&disk).err().unwrap().to_string();

    assert!(error.contains(&segment(0).display().to_string()), "{error}");
    assert!(error.contains("byte 64"), "{error}");
}

#[test]
fn nothing_of_a_cut_batch_comes_back_behind_a_later_one() {
    // The records of both batches have the same sizes, so that a stale one would fit where a new one is torn off.
    let mut cuts = 0;
    for seed in 0..400 {
        let disk = SimDisk::with_seed(seed);
        let (mut journal, _) = open(&disk).unwrap();
        disk.crash_at(disk.operations() + 2);
        journal.append(&vec![vec![b'a'; 300]; 8]).unwrap_err();
        disk.reboot();
        let (mut journal, found) = open(&disk).unwrap();
        let kept = found.records.len();
        cuts += usize::from(found.cut.is_some());
        disk.crash_at(disk.operations() + 2);
        journal.append(&vec![vec![b'b'; 300]; 8 - kept]).err();
        disk.reboot();

        let (_, found) = open(&disk).unwrap();

        let letters: Vec<u8> = found.records[kept..]
            .iter()
            .map(|(_, payload)| payload[0])
            .collect();
        assert!(
            letters.iter().all(|letter| *letter == b'b'),
            "seed {seed}: {letters:?}"
        );
    }
    assert!(50 < cuts, "{cuts} cuts");
}

#[test]
fn what_is_appended_behind_a_batch_of_which_the_end_was_lost_is_found_again() {
    let disk = SimDisk::with_seed(1);
    let (mut journal, _) = open(&disk).unwrap();
    journal.append(&[vec![b'x'; 300], vec![b'y'; 300]]).unwrap();
    drop(journal);
    // The power went before the second sector got to the disk, and before the marker did.
    let file = disk.open(&segment(0), OpenMode::Write).unwrap();
    file.write_at(&[0; 3_584], 512).unwrap();

    let (mut journal, found) = open(&disk).unwrap();
    assert_eq!(payloads(&found), [vec![b'x'; 300]]);
    assert!(found.cut.is_some());
    journal.append(&[b"z"]).unwrap();

    assert_eq!(
        payloads(&open(&disk).unwrap().1),
        [vec![b'x'; 300], b"z".to_vec()]
    );
}

proptest! {
    #[test]
    fn no_bytes_make_a_start_panic(noise in prop::collection::vec(any::<u8>(), 0..6_000)) {
        let disk = SimDisk::with_seed(1);
        plant(&disk, &noise);
        drop(open(&disk));
    }

    #[test]
    fn no_overwritten_stretch_makes_a_start_panic_or_invent_a_record(
        at in 0_usize..4_000,
        noise in prop::collection::vec(any::<u8>(), 1..200),
        copy_from in prop::option::of(0_usize..3_900),
    ) {
        let disk = SimDisk::with_seed(1);
        let records = two_segments(&disk);
        let mut bytes = disk.file(&segment(0)).unwrap();
        // A stretch of the file itself, moved, is more likely to look right than noise.
        let stretch = match copy_from {
            Some(from) => bytes[from..from + noise.len().min(4_096 - from)].to_vec(),
            None => noise,
        };
        let end = (at + stretch.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&stretch[..end - at]);
        plant(&disk, &bytes);

        if let Ok((_, found)) = open(&disk) {
            prop_assert_eq!(payloads(&found), records);
        }
    }
}

fn plant(disk: &SimDisk, bytes: &[u8]) {
    disk.create_folder(Path::new(FOLDER)).unwrap();
    if disk.exists(&segment(0)) {
        disk.remove_file(&segment(0)).unwrap();
    }
    disk.open(&segment(0), OpenMode::CreateNew)
        .unwrap()
        .write_at(bytes, 0)
        .unwrap();
}

/// What the model is doing: which syncs are which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Open,
    Append,
    Trim,
}

type Omission = fn(Doing, &DiskCall<'_>) -> bool;

/// A journal, the disk below it, and what must be true of it.
struct Model {
    seed: u64,
    chance: ChaCha8Rng,
    disk: SimDisk,
    doing: Arc<Mutex<Doing>>,
    journal: Option<Journal>,
    /// Synced records that were not trimmed.
    acknowledged: BTreeMap<JournalPosition, Vec<u8>>,
    /// Records of the append that a crash interrupted: the first of them may be there.
    in_doubt: Vec<Vec<u8>>,
    next: u64,
}

impl Model {
    fn new(seed: u64, omission: Option<Omission>) -> Self {
        let disk = SimDisk::with_seed(seed);
        let doing = Arc::new(Mutex::new(Doing::Open));
        if let Some(left_out) = omission {
            let doing = Arc::clone(&doing);
            disk.inject(move |call| {
                let sync = matches!(call.operation, Operation::SyncFile | Operation::SyncFolder);
                (sync && left_out(*doing.lock().unwrap(), call)).then_some(Fault::Ignored)
            });
        }
        Self {
            seed,
            chance: ChaCha8Rng::seed_from_u64(seed ^ 0x9e37_79b9),
            disk,
            doing,
            journal: None,
            acknowledged: BTreeMap::new(),
            in_doubt: Vec::new(),
            next: 0,
        }
    }

    fn run(mut self) {
        for _ in 0..12 {
            if self.chance.random_bool(0.8) {
                let operations = self.chance.random_range(1..40);
                self.disk.crash_at(self.disk.operations() + operations);
            }
            self.live();
            self.end_the_life();
        }
        self.disk.reboot();
        self.open();
        assert!(
            self.journal.is_some(),
            "seed {}: does not open on a quiet disk",
            self.seed
        );
    }

    /// Opens and works until the power goes, or for a while.
    fn live(&mut self) {
        self.open();
        for _ in 0..self.chance.random_range(1..12) {
            match self.chance.random_range(0..10) {
                0 => self.trim(),
                _ => self.append(),
            }
        }
    }

    fn end_the_life(&mut self) {
        self.journal = None;
        match self.chance.random_range(0..4) {
            0 if !self.disk.is_down() => self.disk.kill(),
            _ => self.disk.crash(),
        }
        self.disk.reboot();
    }

    fn doing(&self, doing: Doing) {
        *self.doing.lock().unwrap() = doing;
    }

    fn open(&mut self) {
        self.doing(Doing::Open);
        match open(&self.disk) {
            Ok((journal, found)) => {
                self.compare(&found);
                self.journal = Some(journal);
            }
            Err(error) => assert!(self.disk.is_down(), "seed {}: {error}", self.seed),
        }
    }

    /// All that was acknowledged is there, in its place; behind it at most what was being appended; nothing else.
    fn compare(&mut self, found: &RecoveredJournal) {
        let oldest_kept = self.acknowledged.keys().next().copied();
        let kept = found
            .records
            .iter()
            .filter(|(position, _)| oldest_kept.is_none_or(|oldest| oldest <= *position));
        let kept: Vec<_> = kept
            .map(|(position, payload)| (*position, payload.to_vec()))
            .collect();
        let known = self.acknowledged.len().min(kept.len());
        let expected: Vec<_> = self.acknowledged.clone().into_iter().collect();
        assert_eq!(
            kept[..known],
            expected[..],
            "seed {}: acknowledged records",
            self.seed
        );
        let more: Vec<_> = kept[known..]
            .iter()
            .map(|(_, payload)| payload.clone())
            .collect();
        if oldest_kept.is_some() {
            assert!(
                self.in_doubt.starts_with(&more),
                "seed {}: records that nobody wrote: {more:?}",
                self.seed
            );
        }
        // What a start has reported is there for good.
        self.acknowledged.extend(kept[known..].iter().cloned());
        self.in_doubt.clear();
    }

    fn append(&mut self) {
        self.doing(Doing::Append);
        let records = self.some_records();
        let Some(journal) = &mut self.journal else {
            return;
        };
        match journal.append(&records) {
            Ok(positions) => self.acknowledged.extend(positions.into_iter().zip(records)),
            Err(error) => {
                assert!(self.disk.is_down(), "seed {}: {error}", self.seed);
                self.in_doubt = records;
                self.journal = None;
            }
        }
    }

    fn some_records(&mut self) -> Vec<Vec<u8>> {
        let count = self.chance.random_range(1..6);
        (0..count).map(|_| self.some_record()).collect()
    }

    /// Of few sizes, so that stale records would fit; and all different, so that they would be noticed.
    fn some_record(&mut self) -> Vec<u8> {
        self.next += 1;
        let bytes = [8, 200, 500][self.chance.random_range(0..3)];
        self.next.to_be_bytes().repeat(bytes / 8)
    }

    fn trim(&mut self) {
        self.doing(Doing::Trim);
        // The newest record stays: it is by the oldest one kept that the model knows where to compare.
        let keep = self
            .acknowledged
            .len()
            .saturating_sub(self.chance.random_range(1..20));
        let Some((&position, _)) = self.acknowledged.iter().nth(keep) else {
            return;
        };
        let Some(journal) = &mut self.journal else {
            return;
        };
        match journal.trim_before(position) {
            Ok(()) => self.acknowledged = self.acknowledged.split_off(&position),
            Err(error) => {
                assert!(self.disk.is_down(), "seed {}: {error}", self.seed);
                // Some segments may be gone.
                self.acknowledged = self.acknowledged.split_off(&position);
                self.journal = None;
            }
        }
    }
}

#[test]
fn every_acknowledged_record_is_there_after_any_crash_and_no_other() {
    for seed in 0..1_000 {
        Model::new(seed, None).run();
    }
}

/// Leaves out the syncs that `left_out` names; some seed must notice, and the number of seeds is the bound.
fn is_noticed(left_out: Omission) -> bool {
    (0..1_000).any(|seed| {
        catch_unwind(AssertUnwindSafe(|| Model::new(seed, Some(left_out)).run())).is_err()
    })
}

fn is_segment(call: &DiskCall<'_>) -> bool {
    call.operation == Operation::SyncFile
        && call
            .path
            .extension()
            .is_some_and(|extension| extension == "journal")
}

#[test]
fn leaving_out_nothing_is_not_noticed() {
    assert!(!is_noticed(|_, _| false));
}

#[test]
fn leaving_out_the_sync_of_a_batch_is_noticed() {
    assert!(is_noticed(
        |doing, call| doing == Doing::Append && is_segment(call)
    ));
}

#[test]
fn leaving_out_the_sync_at_a_start_is_noticed() {
    assert!(is_noticed(
        |doing, call| doing == Doing::Open && is_segment(call)
    ));
}

#[test]
fn leaving_out_the_sync_of_a_new_segments_zeros_is_noticed() {
    assert!(is_noticed(
        |_, call| call.operation == Operation::SyncFile && !is_segment(call)
    ));
}

#[test]
fn leaving_out_the_sync_of_the_folder_after_a_new_segment_is_noticed() {
    assert!(is_noticed(
        |doing, call| doing == Doing::Append && call.operation == Operation::SyncFolder
    ));
}

#[test]
fn leaving_out_the_sync_of_the_folder_at_a_start_is_noticed() {
    assert!(is_noticed(
        |doing, call| doing == Doing::Open && call.path == Path::new(FOLDER)
    ));
}

#[test]
fn leaving_out_the_sync_of_the_folder_that_holds_the_journals_is_noticed() {
    assert!(is_noticed(
        |_, call| call.path == Path::new("/data") || call.path == Path::new("/")
    ));
}

#[test]
fn leaving_out_the_sync_of_the_folder_between_two_trimmed_segments_is_noticed() {
    assert!(is_noticed(
        |doing, call| doing == Doing::Trim && call.operation == Operation::SyncFolder
    ));
}
