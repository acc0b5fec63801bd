//! Backups of a folder that lies still and of one that is written to all the while.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use journal::disk::SystemDisk;

use super::*;
use crate::entry::{Entry, EntryKind, HardState};

const BACKUP: &str = "/backup";

/// A node with a checkpoint of entry 1, and entries up to 4.
fn node() -> Node {
    let mut node = Node::start(&SimDisk::with_seed(1));
    for (topic, id) in [("a", 1), ("b", 2)] {
        node.create(topic, id);
        for number in 0..12 {
            node.append(topic, &[number]);
        }
    }
    node.checkpoint();
    for _ in 0..3 {
        node.append("a", &[1]);
        node.journal_one();
    }
    node
}

fn backed_up(disk: &SimDisk) -> Result<BackedUp, BackupError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    back_up(&disk, Path::new(DATA), Path::new(BACKUP))
}

#[test]
fn a_backup_holds_the_checkpoint_its_files_and_the_entries_after_it() {
    let node = node();
    let before = node.disk.files();

    let backup = backed_up(&node.disk).unwrap();

    assert_eq!(
        (backup.checkpoint, backup.last),
        (EntryIndex(1), EntryIndex(4))
    );
    let report = verify(&node.disk, Path::new(BACKUP));
    assert_eq!(
        report.findings,
        [],
        "not a byte more than the checkpoint lists"
    );
    assert_eq!(report.checkpoint.unwrap().applied, EntryIndex(1));
    let entries = read_entries(&node.disk, Path::new(BACKUP)).unwrap();
    assert_eq!(
        entries.entries,
        read_entries(&node.disk, Path::new(DATA)).unwrap().entries[1..]
    );
    assert_eq!(entries.hard_state.commit, EntryIndex(4));
    let mut after = node.disk.files();
    after.retain(|path, _| !path.starts_with(BACKUP));
    assert_eq!(after, before, "the node's folder is only read");
}

#[test]
fn a_backup_without_a_checkpoint_holds_all_entries() {
    let mut node = Node::start(&SimDisk::with_seed(1));
    for _ in 0..5 {
        node.journal_one();
    }
    let backup = backed_up(&node.disk).unwrap();
    assert_eq!(
        (backup.checkpoint, backup.last),
        (EntryIndex(0), EntryIndex(5))
    );
    assert_eq!(verify(&node.disk, Path::new(BACKUP)).findings, []);
}

#[test]
fn nobody_starts_a_node_from_a_backup() {
    let node = node();
    backed_up(&node.disk).unwrap();
    let refused = Identity::read(&node.disk, Path::new(BACKUP))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("`log-core restore` it into a new folder"),
        "{refused}"
    );
}

#[test]
fn every_flipped_byte_of_a_backup_is_found() {
    let node = node();
    backed_up(&node.disk).unwrap();
    let files = node.disk.files();
    for (path, content) in files.iter().filter(|(path, _)| path.starts_with(BACKUP)) {
        for byte in 0..content.len() {
            node.disk.flip_bit(path, byte, 2);
            let findings = verify(&node.disk, Path::new(BACKUP)).findings;
            assert_ne!(findings, [], "{} byte {byte}", path.display());
            node.disk.flip_bit(path, byte, 2);
        }
    }
}

#[test]
fn damage_is_not_backed_up() {
    let node = node();
    let victims = [
        Path::new(DATA).join("checkpoint"),
        Path::new(DATA).join("identity.json"),
        Path::new(DATA).join("journal/00000000000000000000.journal"),
        node.folder("a").join("00000000000000000000.log"),
        node.folder("a").join("00000000000000000000.index"),
    ];
    for path in victims {
        node.disk.flip_bit(&path, 20, 1);
        let refused = backed_up(&node.disk).expect_err("refused").to_string();
        assert!(refused.contains(&path.display().to_string()), "{refused}");
        assert!(
            !node.disk.exists(Path::new(BACKUP)),
            "nothing is left of it"
        );
        node.disk.flip_bit(&path, 20, 1);
    }
    backed_up(&node.disk).unwrap();
}

#[test]
fn a_backup_never_goes_into_a_folder_with_something_in_it() {
    let node = node();
    backed_up(&node.disk).unwrap();
    let before = node.disk.files();
    let refused = backed_up(&node.disk).unwrap_err();
    assert!(matches!(refused, BackupError::NotEmpty { .. }), "{refused}");
    assert_eq!(node.disk.files(), before);
}

#[test]
fn a_folder_of_no_cluster_or_one_that_is_being_replaced_is_not_backed_up() {
    let disk = SimDisk::with_seed(1);
    disk.create_folder(Path::new(DATA)).unwrap();
    assert!(matches!(backed_up(&disk), Err(BackupError::NoLog { .. })));
    let node = node();
    node.disk
        .create_folder(Path::new("/data/installed"))
        .unwrap();
    let refused = backed_up(&node.disk).unwrap_err();
    assert!(
        matches!(refused, BackupError::Installing { .. }),
        "{refused}"
    );
}

/// What a running node does to its files, over and over: entries, records, new segments, topics that go, checkpoints that
/// unlink, and trims of the journal.
struct Busy {
    recovered: Recovered,
    applied: u64,
    topics: u128,
}

impl Busy {
    fn work(&mut self, acknowledged: &AtomicU64) {
        let partitions = &self.recovered.partitions;
        if self.applied.is_multiple_of(40) {
            self.topics += 1;
            let name = partition("busy");
            if 1 < self.topics {
                partitions.delete(&name).unwrap();
            }
            partitions
                .create(&name, topic_id(self.topics), SMALL_SEGMENTS)
                .unwrap();
        }
        let name = partition("busy");
        let end = partitions.reader(&name).unwrap().log_end_offset();
        partitions
            .append(&name, end, &batch(end.0, &[1]), None)
            .unwrap();
        self.applied += 1;
        let synced = self.journal();
        acknowledged.store(self.applied, Ordering::SeqCst);
        if self.applied.is_multiple_of(20) {
            let captured = self.recovered.partitions.capture(Checkpoint {
                applied: EntryIndex(self.applied),
                epoch: EPOCH,
                state: Bytes::from_static(b"state"),
                membership: Bytes::from_static(b"membership"),
            });
            let applied = captured.complete(synced).unwrap();
            let next = EntryIndex(applied.0 + 1);
            self.recovered.log.trim_before(next).unwrap();
        }
    }

    fn journal(&mut self) -> Synced {
        let index = EntryIndex(self.applied);
        let entry = Entry {
            index,
            epoch: EPOCH,
            kind: EntryKind::Command,
            payload: vec![7; 100].into(),
        };
        let hard_state = HardState {
            epoch: EPOCH,
            vote: None,
            commit: index,
        };
        let log = &mut self.recovered.log;
        log.write(&[entry], Some(&hard_state)).unwrap();
        log.sync().unwrap()
    }
}

/// Also when an assertion fails: the other thread would go on for ever.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_backup_of_a_busy_node_is_whole_and_holds_everything_acknowledged_before_it() {
    // In memory where there is such a folder: what counts here is who comes first, not what lasts.
    let parent = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let parent = parent.unwrap();
    let data = parent.path().join("data");
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    disk.create_folder(&data).unwrap();
    Identity::founder_alone(NodeId(1), Uuid::from_u128(1), Uuid::from_u128(2))
        .keep(&*disk, &data)
        .unwrap();
    let mut busy = Busy {
        recovered: recover(&disk, &data, &SMALL).unwrap(),
        applied: 0,
        topics: 0,
    };
    let (acknowledged, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let _end = SetWhenDropped(&done);
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                busy.work(&acknowledged);
            }
        });
        let mut whole = 0;
        for number in 0..12 {
            let to = parent.path().join(number.to_string());
            let before = acknowledged.load(Ordering::SeqCst);
            match back_up(&disk, &data, &to) {
                Ok(backup) => {
                    whole += 1;
                    assert!(EntryIndex(before) <= backup.last);
                    let report = verify(&*disk, &to);
                    assert_eq!(report.findings, []);
                    assert_eq!(report.journal.last.max(backup.checkpoint), backup.last);
                }
                // Checkpoints can follow each other too fast for ten attempts; half a backup never stays.
                Err(_) => assert!(!to.exists()),
            }
        }
        assert!(0 < whole, "no backup came to an end");
    });
}
