//! What partitions promise to readers, and Kafka's own format on the disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;

use super::*;

fn node() -> Node {
    let node = Node::start(&SimDisk::with_seed(1));
    node.create("t", 1);
    node
}

#[test]
fn a_read_begins_with_the_batch_that_holds_the_offset() {
    let node = node();
    for _ in 0..3 {
        node.append("t", &[1, 2, 3]);
    }
    let reader = node.reader("t");
    let read =
        |from, below, max| base_offsets(reader.read(Offset(from), Offset(below), max).unwrap());

    assert_eq!(read(4, 9, 10_000), [3, 6]);
    assert_eq!(read(0, 9, 10_000), [0, 3, 6]);
    assert_eq!(read(8, 9, 10_000), [6]);
    assert_eq!(read(9, 9, 10_000), [0; 0]);
}

#[test]
fn a_read_ends_below_its_bound_and_within_its_bytes_but_for_the_first_batch() {
    let node = node();
    for _ in 0..3 {
        node.append("t", &[1, 2, 3]);
    }
    let reader = node.reader("t");
    let one = batch(0, &[1, 2, 3]).len();
    let read =
        |from, below, max| base_offsets(reader.read(Offset(from), Offset(below), max).unwrap());

    assert_eq!(read(0, 6, 10_000), [0, 3]);
    assert_eq!(
        read(0, 5, 10_000),
        [0],
        "a batch that reaches over the bound is not shown"
    );
    assert_eq!(read(0, 2, 10_000), [0; 0]);
    assert_eq!(read(0, 9, 2 * one), [0, 3]);
    assert_eq!(read(0, 9, 2 * one - 1), [0]);
    assert_eq!(read(0, 9, 1), [0]);
}

#[test]
fn a_reader_goes_through_all_segments_batch_by_batch() {
    let node = node();
    for number in 0..50 {
        node.append("t", &[number, number]);
    }
    let reader = node.reader("t");
    assert!(5 < reader.segments().len());

    let mut from = Offset(0);
    let mut seen = Vec::new();
    while from < Offset(100) {
        let bytes = reader.read(from, Offset(100), 700).unwrap();
        let offsets = base_offsets(bytes);
        from = Offset(offsets.last().expect("there is more") + 2);
        seen.extend(offsets);
    }
    assert_eq!(seen, (0..50).map(|number| number * 2).collect::<Vec<_>>());
}

#[test]
fn the_files_are_kafkas() {
    let node = node();
    let mut sizes = Vec::new();
    for number in 0..4 {
        sizes.push(batch(number * 2, &[100 + number as i64, 50]).len());
        node.append("t", &[100 + number as i64, 50]);
    }

    let files = node.files("t");

    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "00000000000000000000.log",
            "00000000000000000000.index",
            "00000000000000000000.timeindex"
        ]
    );
    // With an interval of 200 bytes and batches of a good 100, the third comes after more than 200.
    let position = u32::try_from(sizes[0] + sizes[1]).unwrap();
    assert!((200..300).contains(&position));
    assert_eq!(files[0].1.len(), sizes.iter().sum::<usize>());
    assert_eq!(
        files[1].1,
        [5_u32.to_be_bytes(), position.to_be_bytes()].concat()
    );
    assert_eq!(
        files[2].1,
        [&102_i64.to_be_bytes()[..], &5_u32.to_be_bytes()].concat()
    );
}

#[test]
fn a_segment_is_closed_before_it_would_outgrow_its_size() {
    let node = node();
    for number in 0..40 {
        node.append("t", &[number]);
    }
    let segments = node.reader("t").segments();
    let sizes: Vec<_> = segments.iter().map(|segment| segment.bytes).collect();
    assert!(sizes.iter().all(|bytes| *bytes <= 1_000), "{sizes:?}");
    assert!(
        sizes[..sizes.len() - 1].iter().all(|bytes| 900 < *bytes),
        "{sizes:?}"
    );
    assert_eq!(
        segments
            .iter()
            .map(|segment| segment.base_offset)
            .collect::<Vec<_>>()[1],
        segments[0].end_offset
    );
}

#[test]
fn a_segment_is_closed_when_a_record_is_much_younger_than_its_first() {
    let node = node();
    node.append("t", &[1_000_000]);
    node.append("t", &[1_060_000]);
    assert_eq!(node.reader("t").segments().len(), 1);

    node.append("t", &[1_060_001]);

    let segments = node.reader("t").segments();
    assert_eq!(
        segments
            .iter()
            .map(|segment| segment.end_offset.0)
            .collect::<Vec<_>>(),
        [2, 3]
    );
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_of_its_own() {
    let node = node();
    node.append("t", &[1; 100]);
    node.append("t", &[2]);
    assert_eq!(node.reader("t").segments().len(), 2);
    assert_eq!(
        base_offsets(node.reader("t").read(Offset(50), Offset(101), 1).unwrap()),
        [0]
    );
}

#[test]
fn offsets_below_the_log_start_are_refused_and_whole_segments_go_with_the_next_checkpoint() {
    let mut node = node();
    for number in 0..40 {
        node.append("t", &[number]);
    }
    let all = node.disk.list(&node.folder("t")).unwrap().len();

    node.partitions()
        .move_log_start(&partition("t"), Offset(25))
        .unwrap();
    let reader = node.reader("t");
    assert!(matches!(
        reader.read(Offset(24), Offset(40), 1),
        Err(ReadError::BelowStart {
            start: Offset(25),
            ..
        })
    ));
    assert_eq!(
        base_offsets(reader.read(Offset(25), Offset(40), 1).unwrap()),
        [25]
    );
    assert_eq!(
        node.disk.list(&node.folder("t")).unwrap().len(),
        all,
        "nothing is unlinked before the checkpoint"
    );

    node.checkpoint();
    let left = node.disk.list(&node.folder("t")).unwrap().len();
    assert_eq!(left, 3 * reader.segments().len());
    assert!(left < all);

    let node = node.restart();
    assert_eq!(node.reader("t").log_start_offset(), Offset(25));
}

#[test]
fn a_topic_made_again_sees_nothing_of_its_predecessor() {
    let mut node = node();
    node.append("t", &[1, 2, 3]);
    let before = node.reader("t");
    node.partitions().delete(&partition("t")).unwrap();
    assert!(node.partitions().reader(&partition("t")).is_none());
    node.create("t", 2);

    assert_eq!(node.reader("t").log_end_offset(), Offset(0));
    assert_eq!(
        base_offsets(before.read(Offset(0), Offset(3), 1).unwrap()),
        [0],
        "a reader may finish"
    );

    node.checkpoint();
    let topics = node.disk.list(&Path::new(DATA).join("topics")).unwrap();
    assert_eq!(topics, [topic_id(2).to_string()]);
}

#[test]
fn a_flipped_bit_in_a_batch_is_found_when_it_is_read() {
    let node = node();
    node.append("t", &[1]);
    node.append("t", &[2]);
    let one = batch(0, &[1]).len();
    node.disk.flip_bit(
        &node.folder("t").join("00000000000000000000.log"),
        one + 80,
        3,
    );

    let read = node.reader("t").read(Offset(0), Offset(2), 10_000);

    assert!(matches!(read, Err(ReadError::Damaged { byte, .. }) if byte == one as u64));
}

#[test]
fn the_same_batches_leave_the_same_bytes_however_often_the_node_restarts() {
    let steady = node();
    let disk = SimDisk::with_seed(2);
    let mut restarted = Node::start(&disk);
    restarted.create("t", 1);
    for (count, number) in (1..=4).cycle().zip(0..200_i64) {
        let timestamps = vec![number * 700 % 9_000; count];
        steady.append("t", &timestamps);
        restarted.append("t", &timestamps);
        if number % 7 == 0 {
            restarted.checkpoint();
            restarted = restarted.restart();
        }
    }
    assert_eq!(steady.files("t"), restarted.files("t"));
    assert_eq!(
        steady.reader("t").segments(),
        restarted.reader("t").segments()
    );
}

#[test]
fn readers_see_whole_batches_while_the_owner_appends() {
    let node = node();
    let reader = node.reader("t");
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            for number in 0..2_000 {
                node.append("t", &[number, number]);
            }
            done.store(true, Ordering::Release);
        });
        let mut from = Offset(0);
        loop {
            let finished = done.load(Ordering::Acquire);
            let end = reader.log_end_offset();
            let offsets = base_offsets(
                reader
                    .read(from, end, 4_000)
                    .expect("what is written can be read"),
            );
            if let Some(last) = offsets.last() {
                assert_eq!(offsets[0], from.0);
                from = Offset(last + 2);
            } else if finished {
                break;
            }
        }
        assert_eq!(from, Offset(4_000));
    });
}

#[test]
#[should_panic(expected = "leaves a hole or overlaps")]
fn a_batch_that_leaves_a_hole_is_never_written() {
    let node = node();
    drop(
        node.partitions()
            .append(&partition("t"), Offset(5), &batch(5, &[1]), None),
    );
}

fn codecs() -> impl Strategy<Value = Compression> {
    prop::sample::select(vec![Compression::None, Compression::Zstd, Compression::Lz4])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Lookups by time against a plain list of (offset, timestamp).
    #[test]
    fn a_lookup_by_time_finds_the_first_record_that_is_not_older(
        batches in prop::collection::vec((prop::collection::vec(0_i64..400, 1..6), codecs()), 1..60),
        log_start in 0_u64..40,
        below in 0_usize..60,
    ) {
        let node = node();
        let mut records = Vec::new();
        let mut ends = vec![0];
        for (timestamps, codec) in &batches {
            node.append_packed("t", timestamps, *codec);
            records.extend(timestamps.iter().copied());
            ends.push(records.len() as u64);
        }
        let log_start = log_start.min(records.len() as u64);
        let below = ends[below.min(batches.len())];
        node.partitions().move_log_start(&partition("t"), Offset(log_start)).unwrap();
        let reader = node.reader("t");
        let visible = || (0..).zip(&records).map(|(offset, at)| (offset, *at)).filter(|(offset, _)| *offset < below);

        for at in (0..420).step_by(7) {
            let expected = visible().find(|(offset, timestamp)| log_start <= *offset && at <= *timestamp);
            let found = reader.offset_for_timestamp(TimestampMs(at), Offset(below)).unwrap();
            prop_assert_eq!(found.map(|found| (found.offset.0, found.timestamp.0)), expected, "at {}", at);
        }
        if log_start == 0 {
            let latest = visible().map(|(_, at)| at).max();
            let expected = latest.and_then(|latest| visible().find(|(_, at)| *at == latest));
            let found = reader.max_timestamp(Offset(below)).unwrap();
            prop_assert_eq!(found.map(|found| (found.offset.0, found.timestamp.0)), expected);
        }
    }
}
