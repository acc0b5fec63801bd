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
    if recover_from(disk).is_err() {
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
            let file = disk.open(&path, crate::disk::OpenMode::Write).unwrap();
            file.write_at(&[0xff; 8], byte as u64).unwrap();
            let started = catch_unwind(AssertUnwindSafe(|| verdict(&disk, &[])));
            assert!(started.is_ok(), "{} at byte {byte}", path.display());
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
