//! The files together: partitions, checkpoints and recovery, by hand and against a model.

mod append_times;
mod backup;
mod damage;
mod model;
mod partitions;
mod recovery;
mod snapshot;
mod verification;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use journal::JournalConfig;
use journal::disk::Disk;
use journal::sim_disk::SimDisk;
use uuid::Uuid;

use super::*;
use crate::ids::{
    EntryIndex, LeaderEpoch, NodeId, Offset, PartitionIndex, TimestampMs, TopicId, TopicName,
    TopicPartition,
};
use crate::record::{
    BatchBuilder, BatchHeader, BatchPatch, Compression, NewRecord, SegmentSettings,
};

/// Of all that [`Node`] writes.
const EPOCH: LeaderEpoch = LeaderEpoch(1);
const DATA: &str = "/data";
const SMALL: StorageConfig = StorageConfig {
    journal: JournalConfig {
        segment_bytes: 4_096,
        record_bytes_max: 2_000,
    },
    // So few that files are closed and opened again all the time.
    open_partition_files_max: 5,
};
const SMALL_SEGMENTS: SegmentSettings = SegmentSettings {
    segment_bytes: 1_000,
    segment_ms: 60_000,
    index_interval_bytes: 200,
};

fn recover_from(disk: &SimDisk) -> Result<Recovered, RecoveryError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    recover(&disk, Path::new(DATA), &SMALL)
}

fn partition(topic: &str) -> TopicPartition {
    TopicPartition::new(TopicName::parse(topic).unwrap(), PartitionIndex(0))
}

fn topic_id(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number))
}

/// A batch of records with these timestamps, as the log appends it at `base_offset`.
fn batch_of(
    epoch: LeaderEpoch,
    base_offset: u64,
    timestamps: &[i64],
    compression: Compression,
) -> Bytes {
    let mut builder = BatchBuilder::compressed(compression);
    for (number, timestamp) in timestamps.iter().enumerate() {
        let value = format!("record {} at {timestamp}", base_offset + number as u64);
        builder.push(NewRecord {
            timestamp: TimestampMs(*timestamp),
            value: Some(value.into()),
            ..NewRecord::default()
        });
    }
    let patch = BatchPatch {
        base_offset: Offset(base_offset),
        leader_epoch: epoch,
        log_append_time: None,
    };
    patch.apply(&builder.build())
}

fn batch(base_offset: u64, timestamps: &[i64]) -> Bytes {
    batch_of(EPOCH, base_offset, timestamps, Compression::None)
}

/// The base offsets of the batches in `bytes`.
fn base_offsets(mut bytes: Bytes) -> Vec<u64> {
    let mut offsets = Vec::new();
    while !bytes.is_empty() {
        let (header, _, rest) =
            BatchHeader::split_first(&bytes).expect("only whole batches are read");
        offsets.push(header.base_offset.0);
        bytes = rest;
    }
    offsets
}

/// What a node does before all else.
fn give_identity(disk: &SimDisk) {
    let folder = Path::new(DATA);
    disk.create_folder(folder).unwrap();
    disk.sync_folder(Path::new("/")).unwrap();
    if Identity::read(disk, folder).unwrap().is_none() {
        let identity = Identity::founder_alone(NodeId(1), Uuid::from_u128(1), Uuid::from_u128(2));
        identity.keep(disk, folder).unwrap();
    }
}

/// A node's files, and how far it has applied: a stand-in for the replica.
struct Node {
    disk: SimDisk,
    recovered: Recovered,
    applied: u64,
}

impl Node {
    fn start(disk: &SimDisk) -> Self {
        give_identity(disk);
        let recovered = recover_from(disk).unwrap();
        let applied = recovered
            .checkpoint
            .as_ref()
            .map_or(0, |checkpoint| checkpoint.applied.0);
        Self {
            disk: disk.clone(),
            recovered,
            applied,
        }
    }

    fn partitions(&self) -> &Partitions {
        &self.recovered.partitions
    }

    fn reader(&self, topic: &str) -> Arc<PartitionReader> {
        self.partitions()
            .reader(&partition(topic))
            .expect("it was created")
    }

    fn create(&self, topic: &str, id: u128) {
        self.partitions()
            .create(&partition(topic), topic_id(id), SMALL_SEGMENTS)
            .unwrap();
    }

    /// Appends a batch behind the others.
    fn append(&self, topic: &str, timestamps: &[i64]) {
        self.append_packed(topic, timestamps, Compression::None);
    }

    fn append_packed(&self, topic: &str, timestamps: &[i64], compression: Compression) {
        let end = self.reader(topic).log_end_offset();
        let batch = batch_of(EPOCH, end.0, timestamps, compression);
        self.partitions()
            .append(&partition(topic), end, &batch, None)
            .unwrap();
    }

    /// Appends a batch behind the others, by a command of this time.
    fn append_at(&self, topic: &str, at: i64, timestamps: &[i64]) {
        let end = self.reader(topic).log_end_offset();
        let batch = batch_of(EPOCH, end.0, timestamps, Compression::None);
        self.partitions()
            .append(&partition(topic), end, &batch, Some(TimestampMs(at)))
            .unwrap();
    }

    /// Journals an empty command, so that there is something to checkpoint.
    fn journal_one(&mut self) -> Synced {
        self.applied += 1;
        let index = EntryIndex(self.applied);
        let entry = crate::entry::Entry {
            index,
            epoch: EPOCH,
            kind: crate::entry::EntryKind::Command,
            payload: Bytes::new(),
        };
        let hard_state = crate::entry::HardState {
            epoch: EPOCH,
            vote: None,
            commit: index,
        };
        self.recovered
            .log
            .write(&[entry], Some(&hard_state))
            .unwrap();
        self.recovered.log.sync().unwrap()
    }

    fn capture(&self) -> PendingCheckpoint {
        self.partitions().capture(Checkpoint {
            applied: EntryIndex(self.applied),
            epoch: EPOCH,
            state: Bytes::from_static(b"state"),
            membership: Bytes::from_static(b"membership"),
        })
    }

    fn checkpoint(&mut self) {
        let synced = self.journal_one();
        self.capture().complete(synced).unwrap();
    }

    fn restart(self) -> Self {
        let Self {
            disk, recovered, ..
        } = self;
        drop(recovered);
        disk.kill();
        Self::start(&disk)
    }

    /// The partition's files that readers see, by name.
    fn files(&self, topic: &str) -> Vec<(String, Vec<u8>)> {
        let folder = self.folder(topic);
        let segments = self.reader(topic).segments();
        let paths = segments
            .iter()
            .flat_map(|segment| layout::segment_paths(&folder, segment.base_offset));
        paths
            .map(|path| {
                (
                    path.file_name().unwrap().to_string_lossy().into_owned(),
                    self.disk.file(&path).unwrap(),
                )
            })
            .collect()
    }

    fn folder(&self, topic: &str) -> PathBuf {
        let name = format!("/{}/", partition(topic));
        let files = self.disk.files();
        let ids: Vec<_> = files
            .keys()
            .filter(|path| path.to_string_lossy().contains(&name))
            .collect();
        ids.last()
            .expect("the partition has files")
            .parent()
            .unwrap()
            .to_owned()
    }
}
