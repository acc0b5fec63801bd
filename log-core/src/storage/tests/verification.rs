//! What `verify` finds, and that it finds nothing where nothing is wrong.

use journal::Severity;
use journal::disk::OpenMode;

use super::*;

/// A node of two topics with closed and active segments, index entries, a trimmed journal and a checkpoint.
fn clean_folder(seed: u64) -> Node {
    let mut node = Node::start(&SimDisk::with_seed(seed));
    for (topic, id) in [("a", 1), ("b", 2)] {
        node.create(topic, id);
        for number in 0..12 {
            node.append(topic, &[number * 10, number]);
        }
    }
    node.checkpoint();
    node
}

fn verified(disk: &SimDisk) -> Report {
    verify(disk, Path::new(DATA))
}

#[test]
fn a_clean_folder_has_no_findings() {
    let node = clean_folder(1);

    let report = verified(&node.disk);

    assert_eq!(report.findings, []);
    assert_eq!(report.checkpoint.unwrap().applied, EntryIndex(1));
    assert_eq!(
        (report.journal.first, report.journal.last),
        (EntryIndex(1), EntryIndex(1))
    );
    let partitions: Vec<_> = report
        .partitions
        .iter()
        .map(|found| (found.partition.as_str(), found.log_end_offset))
        .collect();
    assert_eq!(partitions, [("a-0", Offset(24)), ("b-0", Offset(24))]);
}

#[test]
fn an_empty_folder_and_a_missing_one_have_no_findings() {
    let disk = SimDisk::with_seed(1);
    assert_eq!(verified(&disk), Report::default());
    disk.create_folder(Path::new(DATA)).unwrap();
    assert_eq!(verified(&disk), Report::default());
}

#[test]
fn every_single_flipped_bit_of_a_folder_is_found() {
    let node = clean_folder(1);
    let files = node.disk.files();
    assert!(files.len() > 12);
    for (path, content) in &files {
        for byte in 0..content.len() {
            let disk = node.disk.copy(1);
            disk.flip_bit(path, byte, u8::try_from(byte % 8).unwrap());
            assert_ne!(
                verified(&disk).findings,
                [],
                "{} byte {byte}",
                path.display()
            );
        }
    }
}

#[test]
fn a_flipped_bit_that_matters_is_damage_and_named() {
    let node = clean_folder(1);
    for file in [
        "checkpoint",
        "00000000000000000000.log",
        "00000000000000000000.index",
        "00000000000000000000.timeindex",
    ] {
        let path = node
            .disk
            .files()
            .into_keys()
            .find(|path| path.ends_with(file))
            .unwrap();
        let disk = node.disk.copy(1);
        disk.flip_bit(&path, 3, 3);

        let report = verified(&disk);

        assert!(!report.is_sound());
        let named = report
            .findings
            .iter()
            .filter(|finding| finding.path == path);
        assert!(
            named
                .clone()
                .any(|finding| finding.severity == Severity::Damage),
            "{report:?}"
        );
    }
}

#[test]
fn a_missing_or_shortened_file_is_damage() {
    let node = clean_folder(1);
    let unguarded =
        |path: &PathBuf, content: &[u8]| path.ends_with("checkpoint") || content.is_empty();
    for (path, content) in node.disk.files() {
        if unguarded(&path, &content) {
            continue;
        }
        let missing = node.disk.copy(1);
        missing.remove_file(&path).unwrap();
        let shortened = node.disk.copy(1);
        shortened.truncate(&path, content.len() - 1);
        for disk in [missing, shortened] {
            assert!(!verified(&disk).is_sound(), "{}", path.display());
        }
    }
}

#[test]
fn what_an_interrupted_write_left_is_no_damage() {
    let node = clean_folder(1);
    node.append("a", &[1]);
    node.create("c", 3);
    node.disk
        .open(&Path::new(DATA).join("checkpoint.new"), OpenMode::CreateNew)
        .unwrap();

    let report = verified(&node.disk);

    assert!(report.is_sound());
    let leftovers: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    assert_eq!(leftovers.len(), 3, "{leftovers:?}");
    assert!(leftovers.iter().any(|text| text.contains("never finished")));
    assert!(
        leftovers
            .iter()
            .any(|text| text.contains("written after the checkpoint"))
    );
    assert!(
        leftovers
            .iter()
            .any(|text| text.contains("not listed by the checkpoint"))
    );
}

#[test]
fn the_entries_of_a_folder_can_be_read_while_it_lies_still() {
    let mut node = clean_folder(1);
    node.journal_one();
    node.journal_one();

    let found = read_entries(&node.disk, Path::new(DATA)).unwrap();

    let indexes: Vec<_> = found.entries.iter().map(|entry| entry.index.0).collect();
    assert_eq!(indexes, [1, 2, 3]);
    assert_eq!(found.hard_state.commit, EntryIndex(3));
    assert_eq!(found.findings, []);
}

#[test]
fn entries_are_read_up_to_the_first_damage() {
    let mut node = clean_folder(1);
    for _ in 0..100 {
        node.journal_one();
    }
    let first = Path::new(DATA).join("journal/00000000000000000000.journal");
    node.disk.flip_bit(&first, 2_000, 0);

    let found = read_entries(&node.disk, Path::new(DATA)).unwrap();

    assert_eq!(found.entries, []);
    assert_eq!(found.findings.len(), 1);
    assert_eq!(found.findings[0].path, first);
}

#[test]
fn looking_changes_nothing() {
    let node = clean_folder(1);
    node.append("a", &[1]);
    let operations = node.disk.operations();
    verified(&node.disk);
    read_entries(&node.disk, Path::new(DATA)).unwrap();
    assert_eq!(node.disk.operations(), operations);
}

#[test]
fn replicas_that_applied_the_same_hold_the_same_and_a_difference_is_named() {
    let (one, mut other) = (clean_folder(1), clean_folder(2));
    other.append("a", &[999]);
    other.checkpoint();
    let compared = || compare(&one.disk, Path::new(DATA), &other.disk, Path::new(DATA));
    assert_eq!(compared(), [], "one is further, and that is no difference");

    let path = one.folder("b").join("00000000000000000000.log");
    one.disk.flip_bit(&path, 77, 0);

    let findings = compared();
    assert_eq!(findings.len(), 1);
    assert_eq!((&findings[0].path, findings[0].byte), (&path, Some(77)));
}

#[test]
fn checkpoints_of_one_entry_that_say_different_things_differ() {
    let (one, other) = (clean_folder(1), Node::start(&SimDisk::with_seed(2)));
    let mut other = other;
    let synced = other.journal_one();
    let said = Checkpoint {
        applied: EntryIndex(1),
        epoch: EPOCH,
        state: Bytes::from_static(b"another state"),
        membership: Bytes::from_static(b"membership"),
    };
    other.partitions().capture(said).complete(synced).unwrap();

    let findings = compare(&one.disk, Path::new(DATA), &other.disk, Path::new(DATA));

    assert_eq!(findings.len(), 1);
    assert!(
        findings[0].found.contains("both are of entry 1"),
        "{findings:?}"
    );
}

#[test]
fn what_is_there_for_other_replicas_is_named_and_no_damage() {
    let node = clean_folder(1);
    let disk: Arc<dyn Disk> = Arc::new(node.disk.clone());
    drop(hold(&disk, Path::new(DATA)).unwrap());
    node.disk
        .create_folder(&Path::new(DATA).join("incoming"))
        .unwrap();
    let report = verified(&node.disk);
    assert!(report.is_sound());
    assert_eq!(report.findings.len(), 2, "{:?}", report.findings);
}
