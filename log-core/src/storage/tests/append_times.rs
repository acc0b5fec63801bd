//! The command times of a segment's appends: kept with it wherever it goes, and what rolling by time goes by.

use super::*;
use crate::storage::back_up;
use crate::storage::checkpoint::CheckpointFile;
use crate::storage::segment_summary::AppendTimes;

const DAY_MS: i64 = 86_400_000;

fn node() -> Node {
    let node = Node::start(&SimDisk::with_seed(1));
    node.create("t", 1);
    node
}

fn appended(node: &Node) -> Vec<Option<(i64, i64)>> {
    let times = |times: AppendTimes| (times.first.0, times.last.0);
    let segments = node.reader("t").segments();
    let segments = segments.iter();
    segments
        .map(|segment| segment.appended.map(times))
        .collect()
}

#[test]
fn the_times_of_appends_outlive_a_start_from_the_checkpoint() {
    let mut node = node();
    for at in [100, 200, 60_300] {
        node.append_at("t", at, &[7]);
    }
    let told = [Some((100, 200)), Some((60_300, 60_300))];
    assert_eq!(appended(&node), told);
    node.checkpoint();
    let node = node.restart();
    assert_eq!(appended(&node), told);
    node.append_at("t", 60_400, &[8]);
    assert_eq!(appended(&node)[1], Some((60_300, 60_400)));
}

#[test]
fn a_checkpoint_without_times_opens_and_is_what_earlier_software_wrote() {
    let mut node = node();
    node.append("t", &[7]);
    node.checkpoint();
    let written = node
        .disk
        .file(&CheckpointFile::path(Path::new(DATA)))
        .unwrap();
    assert_eq!(written[12..16], 1_u32.to_be_bytes());

    let mut node = node.restart();
    assert_eq!(appended(&node), [None]);
    node.partitions().time_appends(TimestampMs(5_000));
    assert_eq!(appended(&node), [Some((5_000, 5_000))], "none was later");
    node.checkpoint();
    let written = node
        .disk
        .file(&CheckpointFile::path(Path::new(DATA)))
        .unwrap();
    assert_eq!(written[12..16], 2_u32.to_be_bytes());
    assert_eq!(appended(&node.restart()), [Some((5_000, 5_000))]);
}

#[test]
fn an_empty_segment_has_no_time_until_something_is_appended() {
    let node = node();
    node.partitions().time_appends(TimestampMs(5_000));
    assert_eq!(appended(&node), [None]);
    node.append_at("t", 6_000, &[1]);
    assert_eq!(appended(&node), [Some((6_000, 6_000))]);
}

#[test]
fn a_backup_carries_the_times_of_appends() {
    let mut node = node();
    node.append_at("t", 100, &[7]);
    node.append_at("t", 200, &[8]);
    node.checkpoint();
    let disk: Arc<dyn Disk> = Arc::new(node.disk.clone());
    back_up(&disk, Path::new(DATA), Path::new("/backup")).unwrap();

    let copied = node.disk.file(&CheckpointFile::path(Path::new("/backup")));
    let contents = CheckpointFile::decode(&copied.unwrap()).unwrap();
    let times = contents.partitions[0].segments[0].appended.unwrap();
    assert_eq!((times.first.0, times.last.0), (100, 200));
}

#[test]
fn a_record_stamped_ten_years_ahead_keeps_no_segment_from_rolling() {
    let node = node();
    node.append_at("t", 0, &[3_650 * DAY_MS]);
    node.append_at("t", 5_000, &[5_000]);
    node.append_at("t", 60_001, &[60_001]);
    let told = [Some((0, 5_000)), Some((60_001, 60_001))];
    assert_eq!(appended(&node), told);
}

#[test]
fn records_of_any_time_do_not_roll_a_segment_by_themselves() {
    let node = node();
    for record in [0, 3_650 * DAY_MS, -1, 400 * DAY_MS] {
        node.append_at("t", 100, &[record]);
    }
    assert_eq!(appended(&node), [Some((100, 100))]);
}
