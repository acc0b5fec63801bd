//! All partitions of a node, in folders named by topic id, so that a topic made again never sees its predecessor's files.
//!
//! Written when entries are applied, by one thread, through the page cache: the journal has what a crash takes, until a
//! checkpoint has everything synced. For the same reason nothing is unlinked before the checkpoint that no longer lists
//! it: a start from the older one needs the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use journal::disk::Disk;

use super::checkpoint::{Checkpoint, Obsolete, PendingCheckpoint};
use super::file_pool::FilePool;
use super::layout::{partition_folder, segment_paths};
use super::partition::{Partition, PartitionReader, Rolled};
use crate::ids::{Offset, TimestampMs, TopicId, TopicPartition};
use crate::record::{BatchHeader, HeaderError, SegmentSettings};

/// Why a partition's files were not changed as asked. After `Io`, nothing may be written any more.
#[derive(Debug, thiserror::Error)]
pub enum PartitionsError {
    /// There is none of that name.
    #[error("{partition}: no such partition")]
    Unknown {
        /// Which.
        partition: TopicPartition,
    },
    /// Its files are there already.
    #[error("{partition}: there is one already")]
    Exists {
        /// Which.
        partition: TopicPartition,
    },
    /// What was to be appended is no batch.
    #[error("{partition}: append")]
    Batch {
        /// Which.
        partition: TopicPartition,
        /// What is wrong with it.
        #[source]
        source: HeaderError,
    },
    /// A file or folder could not be made or written.
    #[error("{partition}: write {path}")]
    Io {
        /// Which.
        partition: TopicPartition,
        /// Its file or folder.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: io::Error,
    },
}

/// The partitions of a node.
pub struct Partitions {
    disk: Arc<dyn Disk>,
    pool: Arc<FilePool>,
    data_folder: PathBuf,
    owned: Mutex<Owned>,
    readers: RwLock<BTreeMap<TopicPartition, Arc<PartitionReader>>>,
}

/// What only the writing thread touches.
struct Owned {
    partitions: BTreeMap<TopicPartition, Partition>,
    /// Whether the checkpoint captured last is durable.
    completed: Arc<AtomicBool>,
    /// Folders in which names were made since the last capture.
    new_names: BTreeSet<PathBuf>,
    /// What the next checkpoint no longer lists.
    obsolete: Vec<Obsolete>,
}

impl Partitions {
    /// The partitions that a recovery has put together.
    pub(super) fn assemble(
        disk: Arc<dyn Disk>,
        pool: Arc<FilePool>,
        data_folder: &Path,
        partitions: BTreeMap<TopicPartition, Partition>,
    ) -> Self {
        let readers = partitions
            .iter()
            .map(|(name, partition)| (name.clone(), partition.reader().clone()));
        let readers = RwLock::new(readers.collect());
        let owned = Mutex::new(Owned {
            partitions,
            completed: Arc::new(AtomicBool::new(true)),
            new_names: BTreeSet::new(),
            obsolete: Vec::new(),
        });
        Self {
            disk,
            pool,
            data_folder: data_folder.to_owned(),
            owned,
            readers,
        }
    }

    /// Makes an empty partition.
    ///
    /// # Errors
    /// [`PartitionsError::Exists`], [`PartitionsError::Io`].
    pub fn create(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
        settings: SegmentSettings,
    ) -> Result<(), PartitionsError> {
        let mut owned = self.owned();
        if owned.partitions.contains_key(partition) {
            return Err(PartitionsError::Exists {
                partition: partition.clone(),
            });
        }
        let folder = partition_folder(&self.data_folder, topic_id, partition);
        let made = Partition::make(
            &*self.disk,
            &self.pool,
            folder.clone(),
            partition.clone(),
            topic_id,
            settings,
        );
        let made = made.map_err(|error| io_error(partition, error))?;
        let above = folder
            .ancestors()
            .skip(1)
            .take_while(|above| above.starts_with(&self.data_folder));
        owned.new_names.extend(above.map(Path::to_owned));
        owned.new_names.insert(folder);
        self.readers_mut()
            .insert(partition.clone(), made.reader().clone());
        owned.partitions.insert(partition.clone(), made);
        Ok(())
    }

    /// Changes when the partition's files roll, from the next batch on.
    ///
    /// # Errors
    /// [`PartitionsError::Unknown`].
    pub fn configure(
        &self,
        partition: &TopicPartition,
        settings: SegmentSettings,
    ) -> Result<(), PartitionsError> {
        self.owned().get(partition)?.configure(settings);
        Ok(())
    }

    /// Takes a partition out of service. Its files go after the next checkpoint; a reader of them may finish.
    ///
    /// # Errors
    /// [`PartitionsError::Unknown`].
    pub fn delete(&self, partition: &TopicPartition) -> Result<(), PartitionsError> {
        let mut owned = self.owned();
        let deleted = owned.partitions.remove(partition);
        let deleted = deleted.ok_or_else(|| PartitionsError::Unknown {
            partition: partition.clone(),
        })?;
        owned.new_names.remove(deleted.folder());
        owned
            .obsolete
            .push(Obsolete::Folder(deleted.folder().to_owned()));
        self.readers_mut().remove(partition);
        Ok(())
    }

    /// Appends a batch that carries its final offsets, visible to readers when this returns. `at` is its command's time,
    /// once the segments keep it.
    ///
    /// # Errors
    /// [`PartitionsError::Unknown`], [`PartitionsError::Batch`]: nothing was written. [`PartitionsError::Io`]: some of it
    /// may have been.
    ///
    /// # Panics
    /// When the batch does not begin at `base_offset`, the partition's end.
    pub fn append(
        &self,
        partition: &TopicPartition,
        base_offset: Offset,
        batch: &[u8],
        at: Option<TimestampMs>,
    ) -> Result<(), PartitionsError> {
        let header = BatchHeader::parse(batch);
        let header = header.map_err(|source| PartitionsError::Batch {
            partition: partition.clone(),
            source,
        })?;
        assert_eq!(
            header.base_offset, base_offset,
            "{partition}: the batch was patched for another place"
        );
        let mut owned = self.owned();
        let owner = owned.get(partition)?;
        let appended = owner.append(&self.pool, batch, &header, at);
        let folder = owner.folder().to_owned();
        if appended.map_err(|error| io_error(partition, error))? == Rolled::Yes {
            owned.new_names.insert(folder);
        }
        Ok(())
    }

    /// Moves the first readable offset up, never down. Segments wholly below it go after the next checkpoint.
    ///
    /// # Errors
    /// [`PartitionsError::Unknown`].
    ///
    /// # Panics
    /// When it would lie behind the end.
    pub fn move_log_start(
        &self,
        partition: &TopicPartition,
        log_start_offset: Offset,
    ) -> Result<(), PartitionsError> {
        let mut owned = self.owned();
        let owner = owned.get(partition)?;
        let gone = owner.move_log_start(log_start_offset);
        let folder = owner.folder().to_owned();
        let files = gone
            .iter()
            .flat_map(|segment| segment_paths(&folder, segment.base_offset()));
        owned.obsolete.extend(files.map(Obsolete::File));
        Ok(())
    }

    /// From here on all segments know the command times of their appends; what they hold already counts as of `since`.
    pub fn time_appends(&self, since: TimestampMs) {
        for partition in self.owned().partitions.values() {
            partition.time_appends(since);
        }
    }

    /// Where to read a partition.
    pub fn reader(&self, partition: &TopicPartition) -> Option<Arc<PartitionReader>> {
        self.readers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(partition)
            .cloned()
    }

    /// Notes down how everything stands, for a checkpoint at this very point; quick.
    ///
    /// # Panics
    /// When the one before was not completed: what it should have synced is known to nobody else.
    pub fn capture(&self, checkpoint: Checkpoint) -> PendingCheckpoint {
        let mut owned = self.owned();
        assert!(
            owned.completed.load(Ordering::Acquire),
            "one checkpoint is captured before the last one is complete"
        );
        owned.completed = Arc::new(AtomicBool::new(false));
        let partitions = owned.partitions.values().map(Partition::record).collect();
        let dirty = owned
            .partitions
            .values_mut()
            .flat_map(Partition::take_dirty)
            .collect();
        let folders = std::mem::take(&mut owned.new_names);
        let obsolete = std::mem::take(&mut owned.obsolete);
        PendingCheckpoint::new(
            self.disk.clone(),
            self.data_folder.clone(),
            checkpoint,
            partitions,
        )
        .with_unsynced(dirty, folders)
        .with_obsolete(obsolete)
        .telling(owned.completed.clone())
    }

    fn owned(&self) -> MutexGuard<'_, Owned> {
        self.owned
            .lock()
            .expect("whoever panicked while writing stops the broker")
    }

    fn readers_mut(
        &self,
    ) -> impl std::ops::DerefMut<Target = BTreeMap<TopicPartition, Arc<PartitionReader>>> {
        // Changed by single inserts and removals, so whole even after a panic.
        self.readers.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partitions")
            .field("data_folder", &self.data_folder)
            .finish_non_exhaustive()
    }
}

impl Owned {
    fn get(&mut self, partition: &TopicPartition) -> Result<&mut Partition, PartitionsError> {
        let found = self.partitions.get_mut(partition);
        found.ok_or_else(|| PartitionsError::Unknown {
            partition: partition.clone(),
        })
    }
}

fn io_error(partition: &TopicPartition, (path, source): (PathBuf, io::Error)) -> PartitionsError {
    PartitionsError::Io {
        partition: partition.clone(),
        path,
        source,
    }
}
