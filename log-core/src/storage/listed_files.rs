//! Which files of the topics a checkpoint lists, and which lie there besides.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use journal::disk::Disk;
use uuid::Uuid;

use super::checkpoint::Obsolete;
use super::layout::{INDEX, LOG, TIME_INDEX, TOPICS, partition_folder, segment_paths};
use super::partition::PartitionRecord;

/// The files and folders of a checkpoint.
pub(super) struct ListedFiles {
    topics: PathBuf,
    paths: BTreeSet<PathBuf>,
}

impl ListedFiles {
    pub(super) fn of(data_folder: &Path, records: &[PartitionRecord]) -> Self {
        let mut paths = BTreeSet::new();
        for record in records {
            let folder = partition_folder(data_folder, record.topic_id, &record.partition);
            // The partition's folder, and the topic's.
            paths.extend(folder.ancestors().take(2).map(Path::to_owned));
            let segments = record.segments.iter();
            paths.extend(segments.flat_map(|segment| segment_paths(&folder, segment.base_offset)));
        }
        Self {
            topics: data_folder.join(TOPICS),
            paths,
        }
    }

    /// What is not listed. Only what has a name of ours is: what another program put there is not ours to judge.
    pub(super) fn unlisted(&self, disk: &dyn Disk) -> Result<Vec<Obsolete>, (PathBuf, io::Error)> {
        let mut found = Vec::new();
        if !disk.exists(&self.topics) {
            return Ok(found);
        }
        for topic in ours(disk, &self.topics, is_topic_folder)? {
            if !self.paths.contains(&topic) {
                found.push(Obsolete::Folder(topic));
                continue;
            }
            for partition in ours(disk, &topic, is_partition_folder)? {
                self.find_unlisted_of(disk, partition, &mut found)?;
            }
        }
        Ok(found)
    }

    fn find_unlisted_of(
        &self,
        disk: &dyn Disk,
        partition: PathBuf,
        found: &mut Vec<Obsolete>,
    ) -> Result<(), (PathBuf, io::Error)> {
        if self.paths.contains(&partition) {
            let files = ours(disk, &partition, is_segment_file)?;
            found.extend(
                files
                    .into_iter()
                    .filter(|file| !self.paths.contains(file))
                    .map(Obsolete::File),
            );
        } else {
            found.push(Obsolete::Folder(partition));
        }
        Ok(())
    }
}

fn ours(
    disk: &dyn Disk,
    folder: &Path,
    is_ours: fn(&str) -> bool,
) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let names = disk
        .list(folder)
        .map_err(|error| (folder.to_owned(), error))?;
    Ok(names
        .into_iter()
        .filter(|name| is_ours(name))
        .map(|name| folder.join(name))
        .collect())
}

fn is_topic_folder(name: &str) -> bool {
    Uuid::try_parse(name).is_ok()
}

fn is_partition_folder(name: &str) -> bool {
    name.rsplit_once('-')
        .is_some_and(|(_, partition)| partition.parse::<u32>().is_ok())
}

pub(super) fn is_segment_file(name: &str) -> bool {
    let Some((base_offset, extension)) = name.split_once('.') else {
        return false;
    };
    base_offset.len() == 20
        && base_offset.bytes().all(|byte| byte.is_ascii_digit())
        && [LOG, INDEX, TIME_INDEX].contains(&extension)
}
