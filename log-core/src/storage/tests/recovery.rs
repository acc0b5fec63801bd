//! What a start accepts, drops and refuses.

use super::*;
use journal::disk::OpenMode;

/// A node with two topics of several segments and a checkpoint over all of it.
fn checkpointed() -> Node {
    let mut node = Node::start(&SimDisk::with_seed(1));
    for (topic, id) in [("a", 1), ("b", 2)] {
        node.create(topic, id);
        for number in 0..30 {
            node.append(topic, &[number, 40 - number]);
        }
    }
    node.checkpoint();
    node
}

fn refusal(disk: &SimDisk) -> String {
    disk.kill();
    recover_from(disk).err().expect("refused").to_string()
}

#[test]
fn a_new_folder_is_begun_empty() {
    let found = recover_from(&SimDisk::with_seed(1)).unwrap();
    assert!(found.checkpoint.is_none());
    assert!(found.entries.is_empty());
    assert!(found.partitions.reader(&partition("a")).is_none());
}

#[test]
fn a_start_comes_back_to_the_checkpoint_and_the_entries_after_it() {
    let mut node = checkpointed();
    node.append("a", &[1]);
    node.journal_one();
    node.journal_one();

    let node = node.restart();

    let checkpoint = node.recovered.checkpoint.as_ref().unwrap();
    assert_eq!(
        (checkpoint.applied, checkpoint.state.as_ref()),
        (EntryIndex(1), b"state".as_slice())
    );
    assert_eq!(checkpoint.membership.as_ref(), b"membership");
    let indexes: Vec<_> = node
        .recovered
        .entries
        .iter()
        .map(|entry| entry.index.0)
        .collect();
    assert_eq!(indexes, [2, 3]);
    assert_eq!(node.recovered.hard_state.commit, EntryIndex(3));
    assert_eq!(
        node.reader("a").log_end_offset(),
        Offset(60),
        "what came after the checkpoint is applied again"
    );
}

#[test]
fn files_and_bytes_beyond_the_checkpoint_are_dropped() {
    let node = checkpointed();
    let before = node.disk.files();
    for number in 0..30 {
        node.append("a", &[number]);
    }
    node.create("c", 3);
    node.append("c", &[1]);
    node.partitions().delete(&partition("b")).unwrap();
    node.create("b", 4);

    let node = node.restart();

    assert_eq!(node.disk.files(), before);
}

#[test]
fn what_somebody_else_put_into_the_folder_stays() {
    let node = checkpointed();
    let notes = [
        Path::new(DATA).join("topics/README"),
        node.folder("a").join("leader-epoch-checkpoint"),
    ];
    for note in &notes {
        node.disk.open(note, OpenMode::CreateNew).unwrap();
    }
    let node = node.restart();
    assert!(notes.iter().all(|note| node.disk.exists(note)));
}

#[test]
fn an_unfinished_checkpoint_is_forgotten() {
    let node = checkpointed();
    let unfinished = Path::new(DATA).join("checkpoint.new");
    node.disk
        .open(&unfinished, OpenMode::CreateNew)
        .unwrap()
        .write_at(b"half", 0)
        .unwrap();

    let mut node = node.restart();
    assert!(!node.disk.exists(&unfinished));
    node.checkpoint();
}

/// The files of a partition with this extension, that are not empty.
fn files_of(node: &Node, extension: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let ours = |path: &PathBuf| {
        path.starts_with(node.folder("a"))
            && path.extension().is_some_and(|found| found == extension)
    };
    node.disk
        .files()
        .into_iter()
        .filter(|(path, content)| ours(path) && !content.is_empty())
        .collect()
}

#[test]
fn a_log_shorter_than_recorded_is_damage_and_nothing_is_changed() {
    let node = checkpointed();
    node.append("b", &[1]);
    for (path, content) in files_of(&node, "log") {
        let damaged = node.disk.copy(1);
        damaged.truncate(&path, content.len() - 1);
        let before = damaged.files();

        let refusal = refusal(&damaged);

        let expected = format!(
            "{} is not as the checkpoint of entry 1 lists it",
            path.display()
        );
        assert!(refusal.starts_with(&expected), "{refusal}");
        assert!(refusal.contains("`log-core restore` a backup"), "{refusal}");
        assert_eq!(damaged.files(), before);
    }
}

#[test]
fn a_missing_log_is_damage() {
    let node = checkpointed();
    let (path, _) = files_of(&node, "log").remove(0);
    node.disk.remove_file(&path).unwrap();
    assert!(refusal(&node.disk).starts_with(&path.display().to_string()));
}

#[test]
fn an_index_that_is_missing_short_or_damaged_is_written_again_from_its_log() {
    let node = checkpointed();
    let before = node.disk.files();
    for (path, content) in [files_of(&node, "index"), files_of(&node, "timeindex")].concat() {
        let [missing, short, flipped] = [0, 1, 2].map(|seed| node.disk.copy(seed));
        missing.remove_file(&path).unwrap();
        short.truncate(&path, content.len() - 1);
        flipped.flip_bit(&path, content.len() / 2, 1);
        for disk in [missing, short, flipped] {
            let found = recover_from(&disk).unwrap();
            assert_eq!(found.mended, std::slice::from_ref(&path));
            assert_eq!(disk.files(), before);
        }
    }
}

#[test]
fn an_index_is_written_again_with_the_interval_that_its_segment_began_with() {
    let mut node = checkpointed();
    let settings = SegmentSettings {
        index_interval_bytes: 0,
        ..SMALL_SEGMENTS
    };
    node.partitions()
        .configure(&partition("a"), settings)
        .unwrap();
    for number in 0..30 {
        node.append("a", &[number]);
    }
    node.checkpoint();
    let before = node.disk.files();
    for (path, _) in files_of(&node, "index") {
        let disk = node.disk.copy(1);
        disk.remove_file(&path).unwrap();
        assert_eq!(recover_from(&disk).unwrap().mended.len(), 1);
        assert_eq!(disk.files(), before);
    }
}

#[test]
fn a_journal_that_is_gone_is_damage_where_there_is_a_checkpoint() {
    let node = checkpointed();
    node.disk
        .remove_folder(&Path::new(DATA).join("journal"))
        .unwrap();
    assert!(
        refusal(&node.disk)
            .starts_with("the checkpoint is of entry 1, but the journal holds entries 0 to 0")
    );
}

#[test]
fn a_checkpoint_that_is_gone_is_noticed_once_the_journal_was_trimmed() {
    let mut node = checkpointed();
    for _ in 0..200 {
        node.journal_one();
    }
    let synced = node.journal_one();
    let applied = node.capture().complete(synced).unwrap();
    node.recovered
        .log
        .trim_before(EntryIndex(applied.0 + 1))
        .unwrap();
    node.disk
        .remove_file(&Path::new(DATA).join("checkpoint"))
        .unwrap();

    assert!(
        refusal(&node.disk)
            .starts_with("the checkpoint is of entry 0, but the journal holds entries")
    );
}

#[test]
fn a_journal_that_keeps_entries_from_before_the_checkpoint_gives_those_after_it() {
    let mut node = checkpointed();
    while node.applied < 200 {
        node.journal_one();
    }
    node.checkpoint();
    // The others are slow: the replica keeps some of what the checkpoint covers.
    node.recovered.log.trim_before(EntryIndex(100)).unwrap();
    for _ in 0..3 {
        node.journal_one();
    }

    let mut node = node.restart();

    let indexes = |node: &Node| {
        let entries = node.recovered.entries.iter();
        entries.map(|entry| entry.index.0).collect::<Vec<_>>()
    };
    assert_eq!(indexes(&node), [202, 203, 204]);
    let report = verify(&node.disk, Path::new(DATA));
    assert!(report.is_sound(), "{:?}", report.findings);
    assert!(report.journal.first <= EntryIndex(100));

    // After a start nobody remembers them: they may be let go of as before, from before or behind the checkpoint.
    node.applied = 204;
    node.recovered.log.trim_before(EntryIndex(150)).unwrap();
    node.journal_one();
    node.recovered.log.trim_before(EntryIndex(203)).unwrap();
    assert_eq!(indexes(&node.restart()), [202, 203, 204, 205]);
}

#[test]
#[should_panic(expected = "checkpoint of entry 5, journal synced with commit 1")]
fn a_checkpoint_ahead_of_the_journal_is_never_completed() {
    let mut node = Node::start(&SimDisk::with_seed(1));
    let synced = node.journal_one();
    node.applied = 5;
    drop(node.capture().complete(synced));
}

#[test]
#[should_panic(expected = "captured before the last one is complete")]
fn a_checkpoint_that_was_captured_and_dropped_is_never_followed_by_another() {
    let node = checkpointed();
    drop(node.capture());
    drop(node.capture());
}

#[test]
fn damage_in_what_is_read_at_a_start_is_refused_before_anything_is_dropped() {
    let node = checkpointed();
    node.create("c", 3);
    let log = node.reader("a").segments().last().unwrap().base_offset;
    let [log, ..] = layout::segment_paths(&node.folder("a"), log);
    let last = node.disk.file(&log).unwrap().len() - 1;
    node.disk.flip_bit(&log, last, 0);
    let before = node.disk.files();

    let refusal = refusal(&node.disk);
    assert!(
        refusal.starts_with(&format!("{} is damaged", log.display())),
        "{refusal}"
    );
    assert_eq!(node.disk.files(), before);
}

#[test]
fn a_failed_sync_leaves_the_checkpoint_before_it_in_force() {
    use journal::sim_disk::{Fault, Operation};
    let mut node = checkpointed();
    node.append("a", &[1]);
    let synced = node.journal_one();
    node.disk.inject(|call| {
        let ours = call.operation == Operation::SyncFile
            && call.path.extension().is_some_and(|name| name == "log");
        ours.then_some(Fault::Fails(std::io::ErrorKind::Other))
    });

    let failed = node.capture().complete(synced);
    node.disk.heal();

    assert!(
        matches!(failed, Err(CheckpointError::Io { action: "sync", .. })),
        "{failed:?}"
    );
    let node = node.restart();
    assert_eq!(node.recovered.checkpoint.unwrap().applied, EntryIndex(1));
}
