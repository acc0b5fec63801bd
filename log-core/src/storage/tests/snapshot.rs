//! Snapshots from one disk to another: held, fetched, damaged on the way, broken off, and installed, with the power going
//! at every single operation.

use std::collections::BTreeMap;
use std::io;

use journal::disk::{DiskFile, OpenMode};
use journal::sim_disk::{DiskCall, Fault, Operation};

use super::*;
use crate::entry::{Entry, EntryKind, HardState};
use crate::ids::ReplicaId;
use crate::storage::snapshot::SnapshotError;
use crate::storage::snapshot::chunk::CHUNK_BYTES;
use crate::storage::snapshot::manifest::ManifestFile;

/// A leader whose checkpoint of entry 12 has two topics, several segments and an empty partition.
fn leader() -> Node {
    let mut node = young_follower(1);
    node.partitions().delete(&partition("gone")).unwrap();
    node.create("c", 3);
    node.create("empty", 4);
    for number in 0..12 {
        node.append("a", &[number, 40 - number]);
        node.append_packed("c", &[number], Compression::Zstd);
    }
    while node.applied < 11 {
        node.journal_one();
    }
    node.checkpoint();
    node
}

/// A follower that was there in the beginning, and stopped early: its checkpoint is of entry 1, its journal has three
/// entries more, and it has voted in epoch 3.
fn young_follower(seed: u64) -> Node {
    let mut node = Node::start(&SimDisk::with_seed(seed));
    node.create("a", 1);
    node.create("gone", 2);
    for number in 0..8 {
        node.append("a", &[number]);
        node.append("gone", &[number]);
    }
    node.checkpoint();
    for _ in 0..3 {
        node.journal_one();
    }
    node
}

const VOTED: HardState = HardState {
    epoch: LeaderEpoch(3),
    vote: Some(ReplicaId(7)),
    commit: EntryIndex(4),
};

fn follower(seed: u64) -> SimDisk {
    let mut node = young_follower(seed);
    node.recovered.log.write(&[], Some(&VOTED)).unwrap();
    node.recovered.log.sync().unwrap();
    node.disk.clone()
}

fn held(node: &Node) -> Outgoing {
    let disk: Arc<dyn Disk> = Arc::new(node.disk.clone());
    hold(&disk, Path::new(DATA))
        .unwrap()
        .expect("there is a checkpoint")
}

fn incoming(disk: &SimDisk, manifest: &Manifest) -> Result<Incoming, SnapshotError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Incoming::open(&disk, Path::new(DATA), manifest.clone())
}

fn fetch(disk: &SimDisk, held: &Outgoing) -> Result<(), SnapshotError> {
    let mut incoming = incoming(disk, held.manifest())?;
    let mut damaged = 0;
    while let Some(wanted) = incoming.next() {
        let chunk = held.chunk(wanted.file, wanted.position).unwrap();
        match incoming.take(wanted, &chunk) {
            // What a power cut tore is found when the file is whole, and fetched again.
            Err(error) if error.is_retryable() && damaged < 100 => damaged += 1,
            taken => taken?,
        }
    }
    incoming.finish()
}

/// The files under a folder, by their paths in it.
fn files_under(disk: &SimDisk, folder: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let inside = |(path, content): (PathBuf, Vec<u8>)| {
        let path = path.strip_prefix(folder).ok()?.to_owned();
        Some((path, content))
    };
    disk.files().into_iter().filter_map(inside).collect()
}

/// All that a start gives, and the files that it left.
#[derive(Debug, PartialEq)]
struct Start {
    checkpoint: Option<Checkpoint>,
    hard_state: HardState,
    entries: Vec<Entry>,
    topics: BTreeMap<PathBuf, Vec<u8>>,
}

fn start(disk: &SimDisk) -> Result<Start, RecoveryError> {
    let recovered = recover_from(disk)?;
    Ok(Start {
        checkpoint: recovered.checkpoint,
        hard_state: recovered.hard_state,
        entries: recovered.entries,
        topics: files_under(disk, "/data/topics"),
    })
}

/// How the leader's checkpoint looks on a follower that had only voted.
fn installed(leader: &Node) -> Start {
    let disk = leader.disk.copy(1);
    let leader = start(&disk).unwrap();
    let commit = leader.checkpoint.as_ref().unwrap().applied;
    Start {
        hard_state: HardState { commit, ..VOTED },
        entries: Vec::new(),
        ..leader
    }
}

#[test]
fn a_fetched_snapshot_takes_the_place_of_everything_but_the_vote() {
    let leader = leader();
    let disk = follower(2);
    let before = start(&disk).unwrap();
    assert_eq!(before.checkpoint.as_ref().unwrap().applied, EntryIndex(1));

    fetch(&disk, &held(&leader)).unwrap();

    let recovered = recover_from(&disk).unwrap();
    assert_eq!(recovered.installed, Some(EntryIndex(12)));
    drop(recovered);
    assert_eq!(start(&disk).unwrap(), installed(&leader));
    assert_eq!(
        disk.list(Path::new(DATA)).unwrap(),
        ["checkpoint", "identity.json", "journal", "topics"]
    );
    assert_eq!(verify(&disk, Path::new(DATA)).findings, []);
}

#[test]
fn a_follower_with_a_snapshot_compares_equal_to_its_leader_and_a_difference_is_named() {
    let leader = leader();
    let disk = follower(2);
    fetch(&disk, &held(&leader)).unwrap();
    drop(recover_from(&disk).unwrap());
    let data = Path::new(DATA);
    let compared = || compare(&disk, data, &leader.disk, data);
    assert_eq!(compared(), []);

    let log = data.join(&held(&leader).manifest().files[1].name);
    disk.flip_bit(&log, 11, 0);
    let findings = compared();
    assert_eq!(findings.len(), 1);
    assert_eq!((&findings[0].path, findings[0].byte), (&log, Some(11)));
}

#[test]
fn a_snapshot_that_waits_is_checked_in_place_of_what_it_replaces() {
    let leader = leader();
    let disk = follower(2);
    fetch(&disk, &held(&leader)).unwrap();

    let report = verify(&disk, Path::new(DATA));

    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.checkpoint.unwrap().applied, EntryIndex(12));
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    for (path, content) in files_under(&disk, "/data/installed") {
        let path = Path::new("/data/installed").join(path);
        for byte in (0..content.len()).step_by(7) {
            disk.flip_bit(&path, byte, 0);
            let report = verify(&disk, Path::new(DATA));
            assert!(!report.is_sound(), "{} byte {byte}", path.display());
            disk.flip_bit(&path, byte, 0);
        }
    }
}

#[test]
fn a_snapshot_that_leaves_no_room_for_the_journal_is_not_fetched_and_what_was_goes() {
    let leader = leader();
    let held = held(&leader);
    let disk = follower(2);
    take_some(&mut incoming(&disk, held.manifest()).unwrap(), &held, 3);
    let used: usize = disk.files().values().map(Vec::len).sum();
    let segments = 3 * u64::from(SMALL.journal.segment_bytes);
    disk.set_capacity(Some(used as u64 + held.manifest().total_bytes() + segments));
    let refused = incoming(&disk, held.manifest()).unwrap_err();
    assert!(matches!(refused, SnapshotError::NoRoom { .. }), "{refused}");
    assert!(!disk.exists(Path::new("/data/incoming")));
}

#[test]
fn what_came_can_be_read_before_it_is_installed() {
    let leader = leader();
    let held = held(&leader);
    let disk = follower(2);
    let mut incoming = incoming(&disk, held.manifest()).unwrap();
    let early = incoming.checkpoint();
    assert!(matches!(early, Err(SnapshotError::Incomplete { .. })));
    while incoming.next().is_some() {
        take_some(&mut incoming, &held, 1);
    }
    assert_eq!(incoming.checkpoint().unwrap(), *held.checkpoint());
}

#[test]
fn letting_go_of_one_held_snapshot_leaves_the_others() {
    let leader = leader();
    let (first, second) = (held(&leader), held(&leader));
    first.release().unwrap();
    first.chunk(0, 0).unwrap_err();
    fetch(&follower(2), &second).unwrap();
}

/// A disk on which something happens the first time that a folder is listed.
struct Interrupted {
    disk: SimDisk,
    folder: PathBuf,
    then: std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Disk for Interrupted {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path, mode)
    }
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.create_folder(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let then = (folder == self.folder)
            .then(|| self.then.lock().unwrap().take())
            .flatten();
        then.into_iter().for_each(|then| then());
        self.disk.list(folder)
    }
    fn exists(&self, path: &Path) -> bool {
        self.disk.exists(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.hard_link(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_folder(path)
    }
    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        self.disk.free_bytes(folder)
    }
}

#[test]
fn a_backup_during_an_install_loses_nothing_that_the_node_had() {
    let leader = leader();
    let disk = follower(2);
    let (held, installing) = (held(&leader), disk.clone());
    let install = move || {
        fetch(&installing, &held).unwrap();
        drop(recover_from(&installing).unwrap());
    };
    let interrupted: Arc<dyn Disk> = Arc::new(Interrupted {
        disk: disk.clone(),
        // Between the copy of the files and the reading of the journal.
        folder: Path::new(DATA).join("journal"),
        then: std::sync::Mutex::new(Some(Box::new(install))),
    });

    let backup = back_up(&interrupted, Path::new(DATA), Path::new("/backup")).unwrap();

    assert_eq!(verify(&disk, Path::new("/backup")).findings, []);
    assert_eq!(
        backup.last,
        EntryIndex(12),
        "it had entry 4 before the backup began"
    );
}

#[test]
fn a_follower_goes_on_behind_its_snapshot_and_starts_again() {
    let leader = leader();
    let disk = young_follower(2).disk.clone();
    fetch(&disk, &held(&leader)).unwrap();

    let mut node = Node::start(&disk);
    assert_eq!(node.applied, 12);
    node.append("a", &[1]);
    node.journal_one();
    let node = node.restart();
    let indexes = node.recovered.entries.iter().map(|entry| entry.index.0);
    assert_eq!(indexes.collect::<Vec<_>>(), [13]);
    drop(node);
    assert!(verify(&disk, Path::new(DATA)).is_sound());
    let found = read_entries(&disk, Path::new(DATA)).unwrap();
    assert_eq!(found.entries.len(), 1, "what the snapshot replaced is gone");
}

#[test]
fn an_empty_node_becomes_what_the_leader_is() {
    let leader = leader();
    let disk = SimDisk::with_seed(3);
    drop(recover_from(&disk).unwrap());
    fetch(&disk, &held(&leader)).unwrap();
    let found = start(&disk).unwrap();
    assert_eq!(found.topics, installed(&leader).topics);
    assert_eq!(found.hard_state.commit, EntryIndex(12));
}

#[test]
fn what_is_held_stays_as_it_was_while_the_leader_goes_on() {
    let mut leader = leader();
    let held = held(&leader);
    let expected = installed(&leader);
    for number in 0..20 {
        leader.append("a", &[number]);
    }
    leader.partitions().delete(&partition("c")).unwrap();
    leader
        .partitions()
        .move_log_start(&partition("a"), Offset(30))
        .unwrap();
    leader.checkpoint();

    let disk = follower(2);
    fetch(&disk, &held).unwrap();
    assert_eq!(start(&disk).unwrap(), expected);

    held.release().unwrap();
    held.chunk(0, 0).unwrap_err();
    assert!(files_under(&leader.disk, "/data/snapshots").is_empty());
}

#[test]
fn nothing_is_held_without_a_checkpoint_and_a_start_removes_what_was() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::with_seed(1));
    drop(recover(&disk, Path::new(DATA), &SMALL).unwrap());
    assert!(hold(&disk, Path::new(DATA)).unwrap().is_none());

    let leader = leader();
    let before = files_under(&leader.disk, DATA);
    drop(held(&leader));
    drop(held(&leader));
    assert_ne!(files_under(&leader.disk, DATA), before);
    let leader = leader.restart();
    assert!(files_under(&leader.disk, "/data/snapshots").is_empty());
}

#[test]
fn a_snapshot_that_the_own_checkpoint_has_overtaken_is_thrown_away() {
    let leader = leader();
    let disk = young_follower(2).disk.clone();
    fetch(&disk, &held(&leader)).unwrap();
    // The replica went on nevertheless, and checkpointed.
    disk.rename(Path::new("/data/installed"), Path::new("/data/aside"))
        .unwrap();
    let mut node = Node::start(&disk);
    while node.applied < 20 {
        node.journal_one();
    }
    node.checkpoint();
    drop(node);
    let expected = start(&disk).unwrap();
    disk.rename(Path::new("/data/aside"), Path::new("/data/installed"))
        .unwrap();

    assert_eq!(recover_from(&disk).unwrap().installed, None);
    assert_eq!(start(&disk).unwrap(), expected);
    assert!(!disk.exists(Path::new("/data/installed")));
}

#[test]
fn entries_behind_the_snapshot_that_follow_from_it_stay() {
    let leader = leader();
    let disk = SimDisk::with_seed(2);
    let mut node = young_follower(2);
    // Another leader sent the entries meanwhile, and heard that they are on this disk.
    while node.applied < 15 {
        node.journal_one();
    }
    drop(disk);
    let disk = node.disk.clone();
    fetch(&disk, &held(&leader)).unwrap();

    let found = start(&disk).unwrap();

    let indexes = found.entries.iter().map(|entry| entry.index.0);
    assert_eq!(indexes.collect::<Vec<_>>(), [13, 14, 15]);
    assert_eq!(found.hard_state.commit, EntryIndex(15));
    assert_eq!(found.topics, installed(&leader).topics);
}

#[test]
fn entries_that_follow_from_another_one_than_the_snapshot_are_dropped() {
    let leader = leader();
    let mut node = young_follower(2);
    let stale = (5..=15).map(|index| Entry {
        index: EntryIndex(index),
        epoch: LeaderEpoch(2),
        kind: EntryKind::Command,
        payload: Bytes::new(),
    });
    let stale: Vec<Entry> = stale.collect();
    node.recovered.log.write(&stale, Some(&VOTED)).unwrap();
    node.recovered.log.sync().unwrap();
    let disk = node.disk.clone();
    fetch(&disk, &held(&leader)).unwrap();

    assert_eq!(start(&disk).unwrap(), installed(&leader));
}

#[test]
fn a_snapshot_that_contradicts_committed_entries_is_refused_and_nothing_is_dropped() {
    let leader = leader();
    let mut node = young_follower(2);
    let committed = (5..=15).map(|index| Entry {
        index: EntryIndex(index),
        epoch: LeaderEpoch(2),
        kind: EntryKind::Command,
        payload: Bytes::new(),
    });
    let committed: Vec<Entry> = committed.collect();
    let hard_state = HardState {
        commit: EntryIndex(15),
        ..VOTED
    };
    node.recovered
        .log
        .write(&committed, Some(&hard_state))
        .unwrap();
    node.recovered.log.sync().unwrap();
    let disk = node.disk.clone();
    fetch(&disk, &held(&leader)).unwrap();
    let before = files_under(&disk, "/data/topics");

    let refused = recover_from(&disk).err().expect("refused").to_string();

    assert!(
        refused.contains("keep a copy") || refused.contains("Keep a copy"),
        "{refused}"
    );
    assert_eq!(files_under(&disk, "/data/topics"), before);
    let found = read_entries(&disk, Path::new(DATA)).unwrap();
    assert_eq!(found.entries.last().unwrap().index, EntryIndex(15));
}

/// One life with a power cut: what it did, what stood on the disk after it, and whether it got to the end in spite of it.
mod power_cut {
    use super::*;

    /// Fetches, installs, and starts, with the power cut at operation `cut` of it; then looks at what is left, and goes on
    /// until the snapshot is in force, with a second cut on the way. Says what is wrong.
    pub(super) fn survive(
        begun: &SimDisk,
        held: &Outgoing,
        (old, new): (&Start, &Start),
        (cut, seed): (u64, u64),
        planted: Option<Bug>,
    ) -> Result<Outcome, String> {
        let disk = begun.copy(seed);
        if let Some(bug) = planted {
            disk.inject(move |call| bug(call).then_some(Fault::Ignored));
        }
        disk.crash_at(disk.operations() + cut);
        let ran = run(&disk, held);
        if ran.is_ok() {
            return Ok(Outcome::Uncut);
        }
        disk.heal();
        disk.reboot();

        let report = verify(&disk, Path::new(DATA));
        if !report.is_sound() {
            return Err(format!("not sound: {:?}", report.findings));
        }
        let left = start(&disk.copy(seed)).map_err(|error| format!("refused: {error}"))?;
        if left != *old && left != *new {
            return Err(format!("neither the old state nor the new one: {left:?}"));
        }
        disk.crash_at(disk.operations() + 1 + cut * 7 % 31);
        drop(run(&disk, held));
        disk.reboot();
        if left != *new {
            let again = fetch(&disk, held);
            let waits = matches!(again, Err(SnapshotError::Waiting { .. }));
            let went_on = again.is_ok() || waits;
            if !went_on {
                return Err(format!("the fetch does not go on: {again:?}"));
            }
        }
        let found = start(&disk).map_err(|error| format!("refused after going on: {error}"))?;
        if found != *new {
            return Err(format!("going on ended in {found:?}"));
        }
        Ok(if left == *new {
            Outcome::New
        } else {
            Outcome::Old
        })
    }

    fn run(disk: &SimDisk, held: &Outgoing) -> Result<(), String> {
        if !disk.exists(Path::new("/data/installed")) {
            fetch(disk, held).map_err(|error| error.to_string())?;
        }
        drop(recover_from(disk).map_err(|error| error.to_string())?);
        Ok(())
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum Outcome {
        Old,
        New,
        Uncut,
    }
}

use power_cut::Outcome;

/// Which operations say that they were done, and were not.
type Bug = fn(&DiskCall<'_>) -> bool;

/// Every operation of a fetch and an install, several seeds each. Returns how often the old and the new state were left,
/// or the first violation.
fn cut_everywhere(
    begun: &SimDisk,
    leader: &Node,
    new: &Start,
    seeds: u64,
    planted: Option<Bug>,
) -> Result<[u64; 2], String> {
    let held = held(leader);
    let old = start(&begun.copy(1)).unwrap();
    let mut seen = [0; 2];
    for cut in 1.. {
        for seed in 0..seeds {
            let survived = power_cut::survive(
                begun,
                &held,
                (&old, new),
                (cut, seed * 1_000 + cut),
                planted,
            );
            match survived.map_err(|error| format!("cut {cut}, seed {seed}: {error}"))? {
                Outcome::Old => seen[0] += 1,
                Outcome::New => seen[1] += 1,
                Outcome::Uncut => return Ok(seen),
            }
        }
    }
    unreachable!("some cut is behind the end")
}

#[test]
fn wherever_the_power_goes_the_old_state_stands_whole_or_the_new_one() {
    let leader = leader();
    let seen = cut_everywhere(&follower(2), &leader, &installed(&leader), 8, None).unwrap();
    assert!(seen.iter().all(|count| 100 < *count), "{seen:?}");
}

#[test]
fn wherever_the_power_goes_acknowledged_entries_behind_the_snapshot_stay() {
    let leader = leader();
    let mut node = young_follower(2);
    while node.applied < 15 {
        node.journal_one();
    }
    let entries = start(&node.disk.copy(1)).unwrap().entries.split_off(11);
    let hard_state = HardState {
        epoch: EPOCH,
        vote: None,
        commit: EntryIndex(15),
    };
    let new = Start {
        hard_state,
        entries,
        ..installed(&leader)
    };
    cut_everywhere(&node.disk, &leader, &new, 4, None).unwrap();
}

/// Old mistakes, put back: each must be found.
#[test]
fn a_step_that_does_not_last_before_the_next_one_is_found() {
    let planted: [(&str, Bug); 5] = [
        ("fetched files are not synced", |call| {
            call.operation == Operation::SyncFile && call.path.starts_with("/data/incoming")
        }),
        ("the names of fetched files are not synced", |call| {
            call.operation == Operation::SyncFolder && call.path.starts_with("/data/incoming")
        }),
        ("the journal is not synced", |call| {
            let journal = call.path.extension().is_some_and(|name| name == "journal");
            call.operation == Operation::SyncFile && journal
        }),
        ("the journal does not hear of it", |call| {
            let journal = call.path.extension().is_some_and(|name| name == "journal");
            call.operation == Operation::Write && journal
        }),
        ("the steps of the install are not synced", |call| {
            call.operation == Operation::SyncFolder && call.path == Path::new(DATA)
        }),
    ];
    let leader = leader();
    let (follower, new) = (follower(2), installed(&leader));
    for (what, bug) in planted {
        let found = cut_everywhere(&follower, &leader, &new, 12, Some(bug));
        assert!(found.is_err(), "not found: {what}");
    }
}

#[test]
fn a_damaged_chunk_is_refused_and_nothing_of_it_is_written() {
    let leader = leader();
    let held = held(&leader);
    let disk = follower(2);
    let mut incoming = incoming(&disk, held.manifest()).unwrap();
    let wanted = incoming.next().unwrap();
    let chunk = held.chunk(wanted.file, wanted.position).unwrap();
    for byte in 0..chunk.len() {
        let mut damaged = chunk.to_vec();
        damaged[byte] ^= 1 << (byte % 8);
        let refused = incoming.take(wanted, &damaged).unwrap_err();
        assert!(matches!(refused, SnapshotError::Chunk { .. }), "{refused}");
        assert!(refused.is_retryable());
    }
    for len in 0..chunk.len() {
        incoming.take(wanted, &chunk[..len]).unwrap_err();
    }
    let other = held.chunk(wanted.file + 1, 0).unwrap();
    incoming.take(wanted, &other).unwrap_err();
    let elsewhere = NextChunk {
        position: wanted.position + 1,
        ..wanted
    };
    incoming.take(elsewhere, &chunk).unwrap_err();
    assert!(disk.file(Path::new("/data/incoming/checkpoint")).is_none());

    incoming.take(wanted, &chunk).unwrap();
}

#[test]
fn a_file_that_is_damaged_at_its_sender_is_never_installed() {
    let leader = leader();
    let held = held(&leader);
    for file in held.manifest().files.clone() {
        if file.len == 0 {
            continue;
        }
        let path = Path::new(DATA).join(&file.name);
        leader.disk.flip_bit(&path, 0, 3);
        let disk = follower(2);
        let refused = fetch(&disk, &held).expect_err("found");
        assert!(matches!(refused, SnapshotError::File { .. }), "{refused}");
        assert!(!disk.exists(Path::new("/data/installed")));
        leader.disk.flip_bit(&path, 0, 3);
    }
}

#[test]
fn a_checkpoint_that_lists_something_else_than_was_promised_is_dropped() {
    let leader = leader();
    let held = held(&leader);
    type Lie = fn(&mut Manifest);
    let lies: [Lie; 4] = [
        |manifest| manifest.applied.0 += 1,
        |manifest| manifest.epoch.0 += 1,
        |manifest| {
            manifest.files.pop();
        },
        |manifest| {
            let empty = |file: &&mut ManifestFile| {
                file.len == 0 && file.name.ends_with("/00000000000000000000.log")
            };
            let empty = manifest.files.iter_mut().find(empty).unwrap();
            empty.name = empty
                .name
                .replace("00000000000000000000.log", "00000000000000000009.log");
        },
    ];
    for lie in lies {
        let mut manifest = held.manifest().clone();
        lie(&mut manifest);
        let disk = follower(2);
        let mut incoming = incoming(&disk, &manifest).unwrap();
        while let Some(wanted) = incoming.next() {
            let chunk = held.chunk(wanted.file, wanted.position).unwrap();
            incoming.take(wanted, &chunk).unwrap();
        }
        let refused = incoming.finish().unwrap_err();
        assert!(matches!(refused, SnapshotError::Unlike { .. }), "{refused}");
        assert!(files_under(&disk, "/data/incoming").is_empty());
    }
}

#[test]
fn nothing_is_finished_before_everything_is_there() {
    let leader = leader();
    let held = held(&leader);
    let disk = follower(2);
    let refused = incoming(&disk, held.manifest()).unwrap().finish();
    assert!(matches!(refused, Err(SnapshotError::Incomplete { .. })));
    assert!(!disk.exists(Path::new("/data/installed")));
}

#[test]
fn a_second_fetch_waits_until_the_first_is_installed() {
    let leader = leader();
    let held = held(&leader);
    let disk = follower(2);
    fetch(&disk, &held).unwrap();
    let refused = incoming(&disk, held.manifest());
    assert!(matches!(refused, Err(SnapshotError::Waiting { .. })));
}

#[test]
fn a_disk_without_room_for_the_snapshot_says_so_before_anything_is_fetched() {
    let leader = leader();
    let held = held(&leader);
    let disk = follower(2);
    let used: usize = disk.files().values().map(Vec::len).sum();
    disk.set_capacity(Some(used as u64 + held.manifest().total_bytes() / 2));
    let refused = incoming(&disk, held.manifest()).unwrap_err().to_string();
    assert!(refused.contains("free some"), "{refused}");
    disk.set_capacity(None);
    fetch(&disk, &held).unwrap();
}

/// Takes so many chunks.
fn take_some(incoming: &mut Incoming, held: &Outgoing, count: usize) {
    for _ in 0..count {
        let wanted = incoming.next().unwrap();
        let chunk = held.chunk(wanted.file, wanted.position).unwrap();
        incoming.take(wanted, &chunk).unwrap();
    }
}

#[test]
fn a_fetch_that_was_broken_off_goes_on_where_it_was_also_after_a_start() {
    let leader = leader();
    let held = held(&leader);
    let disk = follower(2);
    let mut first = incoming(&disk, held.manifest()).unwrap();
    take_some(&mut first, &held, 5);
    let next = first.next();
    drop(first);
    disk.kill();
    drop(recover_from(&disk).unwrap());

    let second = incoming(&disk, held.manifest()).unwrap();

    assert_eq!(second.next(), next);
    drop(second);
    Incoming::forget(&disk, Path::new(DATA)).unwrap();
    assert!(files_under(&disk, "/data/incoming").is_empty());
}

#[test]
fn a_fetch_goes_on_in_the_middle_of_a_large_file() {
    let mut leader = Node::start(&SimDisk::with_seed(1));
    let large = SegmentSettings {
        segment_bytes: 16 << 20,
        ..SMALL_SEGMENTS
    };
    leader
        .partitions()
        .create(&partition("large"), topic_id(1), large)
        .unwrap();
    let mut builder = BatchBuilder::compressed(Compression::None);
    builder.push(NewRecord {
        value: Some(vec![7; 5 << 19].into()),
        ..NewRecord::default()
    });
    let patch = BatchPatch {
        base_offset: Offset(0),
        leader_epoch: EPOCH,
        log_append_time: None,
    };
    let batch = patch.apply(&builder.build());
    leader
        .partitions()
        .append(&partition("large"), Offset(0), &batch, None)
        .unwrap();
    leader.journal_one();
    leader.checkpoint();
    let held = held(&leader);
    assert!(
        held.manifest()
            .files
            .iter()
            .any(|file| 2 * CHUNK_BYTES as u64 <= file.len)
    );

    let disk = follower(2);
    let mut first = incoming(&disk, held.manifest()).unwrap();
    take_some(&mut first, &held, 3);
    let next = first.next().unwrap();
    assert_eq!(next.position, 2 * CHUNK_BYTES as u64);
    drop(first);
    disk.kill();
    assert_eq!(incoming(&disk, held.manifest()).unwrap().next(), Some(next));
    // What a power cut left of it is found when the file is whole.
    disk.flip_bit(
        &Path::new("/data/incoming").join(&held.manifest().files[next.file as usize].name),
        9,
        0,
    );
    fetch(&disk, &held).unwrap();
    let same = start(&disk).unwrap().topics == installed(&leader).topics;
    assert!(same, "of 2.5 MiB nobody wants to see the difference");
}

#[test]
fn a_later_snapshot_takes_over_the_files_that_are_the_same() {
    let mut leader = leader();
    let first = held(&leader);
    let disk = follower(2);
    let mut fetching = incoming(&disk, first.manifest()).unwrap();
    let all = first
        .manifest()
        .files
        .iter()
        .filter(|file| 0 < file.len)
        .count();
    take_some(&mut fetching, &first, all);
    drop(fetching);
    leader.append("a", &[1]);
    leader.checkpoint();
    let second = held(&leader);

    let mut fetching = incoming(&disk, second.manifest()).unwrap();
    let mut fetched = Vec::new();
    while let Some(wanted) = fetching.next() {
        fetched.push(second.manifest().files[wanted.file as usize].name.clone());
        take_some(&mut fetching, &second, 1);
    }
    fetching.finish().unwrap();

    assert!(fetched.len() < 5, "{fetched:?}");
    assert_eq!(fetched[0], "checkpoint");
    assert_eq!(start(&disk).unwrap(), installed(&leader));
}

#[test]
fn a_fetch_that_the_checkpoint_has_overtaken_is_removed_at_a_start() {
    let leader = leader();
    let held = held(&leader);
    let disk = young_follower(2).disk.clone();
    take_some(&mut incoming(&disk, held.manifest()).unwrap(), &held, 3);
    let mut node = Node::start(&disk);
    assert!(!files_under(&disk, "/data/incoming").is_empty());
    while node.applied < 12 {
        node.journal_one();
    }
    node.checkpoint();
    drop(node.restart());
    assert!(files_under(&disk, "/data/incoming").is_empty());
}

#[test]
fn leftovers_of_no_use_never_break_a_start() {
    let disk = follower(2);
    for leftover in [
        "incoming/manifest",
        "incoming/x",
        "snapshots/9/checkpoint",
        "installed/x",
    ] {
        let path = Path::new(DATA).join(leftover);
        disk.create_folder(path.parent().unwrap()).unwrap();
        let file = disk.open(&path, OpenMode::CreateNew).unwrap();
        file.write_at(b"anything", 0).unwrap();
    }
    drop(recover_from(&disk).unwrap());
    assert_eq!(
        disk.list(Path::new(DATA)).unwrap(),
        ["checkpoint", "identity.json", "journal", "topics"]
    );
}

#[test]
fn a_damaged_checkpoint_that_waits_is_refused_with_advice() {
    let leader = leader();
    let disk = follower(2);
    fetch(&disk, &held(&leader)).unwrap();
    disk.flip_bit(Path::new("/data/installed/checkpoint"), 40, 0);
    let refused = recover_from(&disk).err().expect("refused").to_string();
    assert!(
        refused.starts_with("checkpoint /data/installed/checkpoint"),
        "{refused}"
    );
    assert!(refused.contains("Keep a copy of the folder"), "{refused}");
}

mod manifests {
    use proptest::prelude::*;

    use super::*;

    fn valid() -> Manifest {
        held(&leader()).manifest().clone()
    }

    #[test]
    fn a_manifest_comes_back_as_it_was() {
        let manifest = valid();
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest.clone()));
        assert_eq!(manifest.files[0].name, "checkpoint");
        let listed = files_under(&leader().disk, DATA);
        let len = |file: &ManifestFile| listed[Path::new(&file.name)].len() as u64;
        assert!(manifest.files.iter().all(|file| file.len == len(file)));
    }

    #[test]
    fn every_flipped_byte_of_a_manifest_is_found() {
        let bytes = valid().encode();
        for byte in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[byte] ^= 1 << (byte % 8);
            Manifest::decode(&damaged).unwrap_err();
        }
    }

    #[test]
    fn a_name_that_is_none_of_a_checkpoints_files_is_refused() {
        let id = topic_id(1);
        let log = "00000000000000000000.log";
        let names = [
            "../outside".to_owned(),
            "/etc/passwd".to_owned(),
            "identity.json".to_owned(),
            "journal/00000000000000000000.journal".to_owned(),
            String::new(),
            format!("topics/{id}/../{log}"),
            format!("topics/{id}/../../{log}"),
            format!("topics/../topics/{id}/a-0/{log}"),
            format!("topics/{id}/a-0/../{log}"),
            format!("topics/{id}/a-0/{log}/x"),
            format!("topics//{id}/a-0/{log}"),
            format!("topics/{id}/..-0/../{log}"),
            format!("topics/{id}/a-00/{log}"),
            format!("topics/{id}/a-+1/{log}"),
            format!("topics/{id}/a\\b-0/{log}"),
            format!("topics/{id}/a-0/0.log"),
            format!("topics/{id}/a-0/00000000000000000000.exe"),
            format!("topics/{{{id}}}/a-0/{log}"),
            format!("topics/{}/a-0/{log}", id.0.simple()),
        ];
        for name in names {
            refused(
                |manifest| manifest.files.last_mut().unwrap().name.clone_from(&name),
                &name,
            );
        }
    }

    #[test]
    fn lengths_and_numbers_that_no_snapshot_has_are_refused() {
        refused(|manifest| manifest.files[1].len = u64::MAX, "a length");
        refused(|manifest| manifest.files[1].len = (1 << 32) + 1, "a length");
        refused(
            |manifest| {
                manifest.files[1].len = 0;
                manifest.files[1].crc = 1;
            },
            "a checksum of nothing",
        );
        refused(
            |manifest| manifest.files.push(manifest.files[1].clone()),
            "a file twice",
        );
        refused(
            |manifest| manifest.files.push(manifest.files[0].clone()),
            "two checkpoints",
        );
        refused(|manifest| manifest.files.swap(0, 1), "another order");
        refused(|manifest| manifest.files.clear(), "nothing");
        refused(|manifest| manifest.applied = EntryIndex(0), "no entry");
    }

    fn refused(spoil: impl FnOnce(&mut Manifest), what: &str) {
        let mut manifest = valid();
        spoil(&mut manifest);
        assert!(Manifest::decode(&manifest.encode()).is_err(), "{what}");
        let opened = incoming(&follower(2), &manifest);
        assert!(matches!(opened, Err(SnapshotError::Manifest(_))), "{what}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(Manifest::decode(&noise));
            let mut sealed = vec![0, 0, 0, 0, 0, 0, 0, 1];
            sealed.extend(noise);
            let crc = crc32c::crc32c(&sealed[4..]);
            sealed[..4].copy_from_slice(&crc.to_be_bytes());
            drop(Manifest::decode(&sealed));
        }
    }
}
