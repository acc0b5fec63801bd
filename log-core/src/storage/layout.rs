//! What the files and folders of a data folder are called, and where they lie in it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use journal::disk::{Disk, OpenMode};

use crate::ids::{Offset, TopicId, TopicPartition};

/// The journal's folder in the data folder.
pub(super) const JOURNAL: &str = "journal";
/// The folder of all topics.
pub(super) const TOPICS: &str = "topics";
/// The folder of what is held for others, one folder for each.
pub(super) const SNAPSHOTS: &str = "snapshots";
/// The folder of what is being fetched.
pub(super) const INCOMING: &str = "incoming";
/// The folder of what was fetched, and takes its place at the next start.
pub(super) const INSTALLED: &str = "installed";

/// A segment of a partition is three files, with these endings.
pub(super) const LOG: &str = "log";
pub(super) const INDEX: &str = "index";
pub(super) const TIME_INDEX: &str = "timeindex";

/// What an operator does about a folder that cannot be gone on with.
pub(super) const ADVICE: &str = "Keep a copy of the folder; then start this node with an empty one and `log-core nodes \
                                 replace` it, or where it is the only one, `log-core restore` a backup";

/// The folder of one topic, whatever others of its name there were.
fn topic_folder(data_folder: &Path, topic_id: TopicId) -> PathBuf {
    data_folder.join(TOPICS).join(topic_id.to_string())
}

/// The folder of one partition, named as Kafka names it.
pub(super) fn partition_folder(
    data_folder: &Path,
    topic_id: TopicId,
    partition: &TopicPartition,
) -> PathBuf {
    topic_folder(data_folder, topic_id).join(partition.to_string())
}

/// Kafka's name for a segment's file.
pub(super) fn segment_path(folder: &Path, base_offset: Offset, extension: &str) -> PathBuf {
    folder.join(format!("{:020}.{extension}", base_offset.0))
}

/// The three files of a segment.
pub(super) fn segment_paths(folder: &Path, base_offset: Offset) -> [PathBuf; 3] {
    [LOG, INDEX, TIME_INDEX].map(|extension| segment_path(folder, base_offset, extension))
}

/// All bytes of a file.
pub(super) fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, OpenMode::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(|_| ErrorKind::OutOfMemory)?];
    let count = file.read_at(&mut bytes, 0)?;
    if count == bytes.len() {
        Ok(bytes)
    } else {
        Err(ErrorKind::UnexpectedEof.into())
    }
}
