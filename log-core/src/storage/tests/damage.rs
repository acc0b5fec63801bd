//! Every byte of a small data folder, flipped.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;

use super::*;

/// Where a batch has its leader epoch.
const LEADER_EPOCH: Range<usize> = 12..16;

/// A node with a closed and an active segment, an index entry in each, and a checkpoint.
fn small_folder() -> Node {
    let mut node = Node::start(&SimDisk::with_seed(1));
    node.create("t", 1);
    for number in 0..10 {
        node.append("t", &[number * 10, number]);
    }
    node.checkpoint();
    assert_eq!(node.reader("t").segments().len(), 2);
    node
}

/// All that a client can learn, but for the leader epochs: no checksum of Kafka's covers them.
fn everything_readable(node: &Node) -> Result<Vec<u8>, ReadError> {
    let reader = node.reader("t");
    let end = reader.log_end_offset();
    let mut read = Vec::new();
    for from in 0..end.0 {
        let mut batch = reader.read(Offset(from), end, 1)?.to_vec();
        batch[LEADER_EPOCH].fill(0);
        read.extend(batch);
        let at = i64::try_from(from).unwrap() * 5;
        let found = reader.offset_for_timestamp(TimestampMs(at), end)?;
        read.extend(
            format!("{:?}", found.map(|found| (found.offset, found.timestamp))).into_bytes(),
        );
    }
    let latest = reader
        .max_timestamp(end)?
        .map(|found| (found.offset, found.timestamp));
    read.extend(format!("{latest:?}").into_bytes());
    Ok(read)
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Refused,
    FoundWhenRead,
    /// An answer that is not what it was.
    Wrong,
    Harmless,
}

fn verdict(disk: &SimDisk, expected: &[u8]) -> Verdict {
    if started_as_a_node(disk).is_err() {
        return Verdict::Refused;
    }
    disk.kill();
    match everything_readable(&Node::start(disk)) {
        Err(_) => Verdict::FoundWhenRead,
        Ok(read) if read == expected => Verdict::Harmless,
        Ok(_) => Verdict::Wrong,
    }
}

/// The verdict on each byte of a file, flipped alone.
fn verdicts(path_end: &str) -> Vec<Verdict> {
    let node = small_folder();
    let expected = everything_readable(&node).unwrap();
    let files = node.disk.files();
    let (path, content) = files
        .iter()
        .find(|(path, _)| path.ends_with(path_end))
        .expect("the file is there");
    let flipped = |byte| {
        let disk = node.disk.copy(1);
        disk.flip_bit(path, byte, u8::try_from(byte % 8).unwrap());
        verdict(&disk, &expected)
    };
    (0..content.len()).map(flipped).collect()
}

#[test]
fn every_byte_of_a_checkpoint_is_guarded() {
    let verdicts = verdicts("checkpoint");
    assert!(
        verdicts.iter().all(|verdict| *verdict == Verdict::Refused),
        "{verdicts:?}"
    );
}

#[test]
fn no_flipped_byte_of_a_log_gives_a_wrong_record() {
    for log in ["00000000000000000000.log", "00000000000000000018.log"] {
        let verdicts = verdicts(log);
        let missed = |verdict: &Verdict| matches!(verdict, Verdict::Wrong | Verdict::Harmless);
        let missed: Vec<usize> = (0..verdicts.len())
            .filter(|byte| missed(&verdicts[*byte]))
            .collect();
        // What is left is the leader epoch of each batch: `verify` finds it, by the checksum of the whole file.
        assert_eq!(missed, epoch_bytes(log), "{log}");
    }
}

/// Where the leader epochs of a log's batches lie.
fn epoch_bytes(log: &str) -> Vec<usize> {
    let node = small_folder();
    let mut rest = Bytes::from(node.disk.file(&node.folder("t").join(log)).unwrap());
    let (mut at, mut bytes) = (0, Vec::new());
    while !rest.is_empty() {
        let (header, _, more) = BatchHeader::split_first(&rest).unwrap();
        bytes.extend(LEADER_EPOCH.map(|byte| at + byte));
        at += header.size_bytes;
        rest = more;
    }
    bytes
}

#[test]
fn a_flipped_byte_of_an_index_is_of_no_consequence_after_a_start() {
    for index in [
        "00000000000000000000.index",
        "00000000000000000000.timeindex",
    ] {
        let verdicts = verdicts(index);
        assert!(!verdicts.is_empty());
        assert!(
            verdicts.iter().all(|verdict| *verdict == Verdict::Harmless),
            "{index}: {verdicts:?}"
        );
    }
}

#[test]
fn no_byte_of_an_index_that_flips_under_a_running_node_gives_a_wrong_answer() {
    for index in [
        "00000000000000000000.index",
        "00000000000000000000.timeindex",
    ] {
        let node = small_folder();
        let expected = everything_readable(&node).unwrap();
        let path = node.folder("t").join(index);
        for byte in 0..node.disk.file(&path).unwrap().len() {
            node.disk.flip_bit(&path, byte, 0);
            if let Ok(read) = everything_readable(&node) {
                assert!(read == expected, "{index} byte {byte}");
            }
            node.disk.flip_bit(&path, byte, 0);
        }
    }
}

#[test]
fn no_bytes_make_a_start_panic_or_take_much_memory() {
    let node = small_folder();
    for (path, content) in node.disk.files() {
        for byte in (0..content.len()).step_by(3) {
            let disk = node.disk.copy(1);
            let file = disk.open(&path, journal::disk::OpenMode::Write).unwrap();
            file.write_at(&[0xff; 8], byte as u64).unwrap();
            let started = catch_unwind(AssertUnwindSafe(|| verdict(&disk, &[])));
            assert!(started.is_ok(), "{} at byte {byte}", path.display());
        }
    }
}

/// What is done to a folder.
type Damage = fn(&SimDisk, &Path);

fn flip_in_the_middle(disk: &SimDisk, path: &Path) {
    disk.flip_bit(path, disk.file(path).unwrap().len() / 2, 4);
}

/// Of a log that is written on: what lies before its last index entry is read later, and found then.
fn flip_the_last_byte(disk: &SimDisk, path: &Path) {
    disk.flip_bit(path, disk.file(path).unwrap().len() - 1, 4);
}

fn cut_short(disk: &SimDisk, path: &Path) {
    disk.truncate(path, disk.file(path).unwrap().len() / 2);
}

fn remove(disk: &SimDisk, path: &Path) {
    disk.remove_file(path).unwrap();
}

/// A node that has started and stopped several times: journal segments, a trim, two checkpoints.
fn old_folder() -> Node {
    let mut node = small_folder();
    for number in 0..100 {
        node.append("t", &[number]);
        node.journal_one();
    }
    node.checkpoint();
    node.recovered.log.trim_before(EntryIndex(50)).unwrap();
    for _ in 0..50 {
        node.journal_one();
    }
    node
}

#[test]
fn a_start_from_damage_that_cannot_be_mended_is_refused_with_the_file_and_what_to_do() {
    let node = old_folder();
    let segments = node.reader("t").segments();
    let active = segments.last().unwrap().base_offset;
    let [active, ..] = layout::segment_paths(&node.folder("t"), active);
    let [first, ..] = layout::segment_paths(&node.folder("t"), Offset(0));
    let journal: Vec<PathBuf> = node
        .disk
        .files()
        .into_keys()
        .filter(|path| path.extension().is_some_and(|name| name == "journal"))
        .collect();
    let [oldest, .., third_last, before_newest, newest] = &journal[..] else {
        panic!("a journal of several segments");
    };
    let data = Path::new(DATA);
    let cases: [(&str, PathBuf, &Path, Damage); 14] = [
        (
            "checkpoint flipped",
            data.join("checkpoint"),
            data,
            flip_in_the_middle,
        ),
        ("checkpoint cut", data.join("checkpoint"), data, cut_short),
        ("checkpoint gone", data.join("checkpoint"), data, remove),
        (
            "identity flipped",
            data.join("identity.json"),
            data,
            flip_in_the_middle,
        ),
        ("identity gone", data.join("identity.json"), data, remove),
        (
            "journal flipped",
            oldest.clone(),
            oldest,
            flip_in_the_middle,
        ),
        (
            "journal cut",
            before_newest.clone(),
            before_newest,
            cut_short,
        ),
        (
            "journal, newest segment cut",
            newest.clone(),
            newest,
            cut_short,
        ),
        (
            "journal, a segment gone",
            before_newest.clone(),
            third_last,
            remove,
        ),
        (
            "journal, the newest gone",
            newest.clone(),
            before_newest,
            remove,
        ),
        ("log flipped", active.clone(), &active, flip_the_last_byte),
        ("log cut", active.clone(), &active, cut_short),
        ("closed log cut", first.clone(), &first, cut_short),
        ("closed log gone", first.clone(), &first, remove),
    ];
    for (what, path, named, damage) in cases {
        let disk = node.disk.copy(1);
        damage(&disk, &path);
        let refused = started_as_a_node(&disk).err();
        let refused = refused.unwrap_or_else(|| panic!("{what}: started"));
        assert!(
            refused.contains("`log-core restore` a backup"),
            "{what}: {refused}"
        );
        assert!(
            refused.contains("`log-core nodes replace`"),
            "{what}: {refused}"
        );
        // A gap between two files is named by what each of them holds.
        let gap = refused.contains("the journal holds entries");
        let named = named.file_name().unwrap().to_string_lossy();
        assert!(gap || refused.contains(&*named), "{what}: {refused}");
        assert!(!verify(&disk, data).is_sound(), "{what}");
    }
}

/// As a node starts: who it is comes before what it holds.
fn started_as_a_node(disk: &SimDisk) -> Result<(), String> {
    Identity::read(disk, Path::new(DATA)).map_err(|error| error.to_string())?;
    recover_from(disk)
        .map(drop)
        .map_err(|error| error.to_string())
}

#[test]
fn a_flipped_bit_in_a_closed_log_is_told_to_the_reader_with_what_to_do() {
    let node = old_folder();
    let [first, ..] = layout::segment_paths(&node.folder("t"), Offset(0));
    flip_in_the_middle(&node.disk, &first);
    let node = node.restart();
    let read = everything_readable(&node).expect_err("found").to_string();
    assert!(read.contains(&first.display().to_string()), "{read}");
    assert!(read.contains("`log-core restore` a backup"), "{read}");
}

#[test]
fn a_flipped_bit_in_the_hard_state_is_refused_where_it_was_synced_before_something_else() {
    let node = small_folder();
    let mut node = node;
    node.journal_one();
    node.journal_one();
    let path = Path::new(DATA).join("journal/00000000000000000000.journal");
    let journal = node.disk.file(&path).unwrap();
    // Each batch is one empty command and the hard state, which has kind 3, epoch 1 and no vote.
    let hard_state = [3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let places: Vec<usize> = (0..journal.len() - hard_state.len())
        .filter(|at| journal[*at..].starts_with(&hard_state))
        .collect();
    assert_eq!(places.len(), 3);
    for at in &places[..2] {
        for byte in *at..at + 21 {
            let disk = node.disk.copy(1);
            disk.flip_bit(&path, byte, 0);
            let refused = recover_from(&disk).err().expect("refused").to_string();
            assert!(refused.contains("a record is not whole"), "{refused}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_checkpoint_decoder_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(checkpoint::CheckpointFile::decode(&noise));
        let mut sealed = b"MAYDAYCP\0\0\0\0\0\0\0\x01".to_vec();
        sealed.extend(noise);
        let crc = crc32c::crc32c(&sealed[12..]);
        sealed[8..12].copy_from_slice(&crc.to_be_bytes());
        drop(checkpoint::CheckpointFile::decode(&sealed));
    }
}
