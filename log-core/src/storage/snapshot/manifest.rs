//! What a snapshot consists of, as the message that announces it says.
//!
//! ```text
//!  0  crc      u32   CRC-32C of everything behind it
//!  4  version  u32   1
//!  8  body     postcard: applied entry and its epoch, and of each file the name, length and CRC-32C
//! ```
//!
//! It comes from another machine: a name that is not one of a checkpoint's files, or a length that none of them can have,
//! makes the whole of it invalid. So no name leads out of the folder, and the room that is taken is known beforehand.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{EntryIndex, LeaderEpoch, TopicName};
use crate::storage::checkpoint::{self, CheckpointFile};
use crate::storage::growing_file::FileEnd;
use crate::storage::layout::TOPICS;
use crate::storage::listed_files::is_segment_file;

/// Larger ones would not fit a message to another replica.
pub(super) const BYTES_MAX: usize = 4 << 20;
/// Positions in a log have 32 bits.
const FILE_BYTES_MAX: u64 = 1 << 32;
const VERSION: u32 = 1;
const CHECKED_FROM: usize = 4;
const BODY_FROM: usize = 8;

/// The files of one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The last entry that the checkpoint covers.
    pub applied: EntryIndex,
    /// That entry's epoch.
    pub epoch: LeaderEpoch,
    /// The checkpoint itself first, then what it lists.
    pub files: Vec<ManifestFile>,
}

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its path in the data folder, with slashes.
    pub name: String,
    /// How many of its bytes count.
    pub len: u64,
    /// Their CRC-32C.
    pub crc: u32,
}

/// Why bytes are no manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the manifest of a snapshot {0}")]
pub struct InvalidManifest(&'static str);

impl Manifest {
    /// The manifest of a checkpoint, whose file has these bytes.
    pub(super) fn of(contents: &CheckpointFile, bytes: &[u8]) -> Self {
        let checkpoint = ManifestFile {
            name: checkpoint::NAME.to_owned(),
            len: bytes.len() as u64,
            crc: crc32c::crc32c(bytes),
        };
        Self {
            applied: contents.checkpoint.applied,
            epoch: contents.checkpoint.epoch,
            files: [checkpoint].into_iter().chain(listed(contents)).collect(),
        }
    }

    /// How many bytes the files have together.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }

    /// For the message, and for [`Self::decode`].
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; CHECKED_FROM];
        bytes.extend(VERSION.to_be_bytes());
        let mut bytes = postcard::to_extend(self, bytes).expect("plain values always encode");
        let crc = crc32c::crc32c(&bytes[CHECKED_FROM..]);
        bytes[..CHECKED_FROM].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Reads what another replica, or an earlier start, has written.
    ///
    /// # Errors
    /// [`InvalidManifest`]
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidManifest> {
        if BYTES_MAX < bytes.len() {
            return Err(InvalidManifest("is too long"));
        }
        let (head, body) = bytes
            .split_at_checked(BODY_FROM)
            .ok_or(InvalidManifest("is cut"))?;
        let checksum = crc32c::crc32c(&bytes[CHECKED_FROM..]).to_be_bytes();
        if head[..CHECKED_FROM] != checksum {
            return Err(InvalidManifest("is damaged: its checksum does not match"));
        }
        if head[CHECKED_FROM..] != VERSION.to_be_bytes() {
            return Err(InvalidManifest("is of another version of this program"));
        }
        let manifest: Self =
            postcard::from_bytes(body).map_err(|_| InvalidManifest("cannot be read"))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Names that stay in the folder, each once, and lengths that files of ours can have.
    pub(super) fn check(&self) -> Result<(), InvalidManifest> {
        let first = self.files.first().map(|file| file.name.as_str());
        if first != Some(checkpoint::NAME) || self.applied == EntryIndex(0) {
            return Err(InvalidManifest("is of no checkpoint"));
        }
        let mut names = BTreeSet::new();
        for file in &self.files {
            if file.name != checkpoint::NAME && !is_of_a_segment(&file.name) {
                return Err(InvalidManifest("names a file that no checkpoint lists"));
            }
            if FILE_BYTES_MAX < file.len || (file.len == 0 && file.crc != 0) {
                return Err(InvalidManifest("has a length that no file can have"));
            }
            if !names.insert(&file.name) {
                return Err(InvalidManifest("names a file twice"));
            }
        }
        Ok(())
    }
}

/// What a checkpoint lists, named as in a manifest.
pub(super) fn listed(contents: &CheckpointFile) -> impl Iterator<Item = ManifestFile> + '_ {
    let files = contents.partitions.iter().flat_map(|record| record.files());
    files.map(|(path, end)| {
        let FileEnd { bytes: len, crc } = end;
        // Topic names, numbers and ours: all of it is ASCII.
        let parts = path.iter().map(|part| part.to_string_lossy());
        let name = parts.collect::<Vec<_>>().join("/");
        ManifestFile { name, len, crc }
    })
}

/// `topics/<topic id>/<topic>-<partition>/<base offset>.<extension>`, spelled as we spell it.
fn is_of_a_segment(name: &str) -> bool {
    let mut parts = name.split('/');
    let [
        Some(topics),
        Some(topic_id),
        Some(partition),
        Some(file),
        None,
    ] = [(); 5].map(|()| parts.next())
    else {
        return false;
    };
    topics == TOPICS && is_topic_id(topic_id) && is_partition(partition) && is_segment_file(file)
}

fn is_topic_id(name: &str) -> bool {
    Uuid::try_parse(name).is_ok_and(|id| id.to_string() == name)
}

fn is_partition(name: &str) -> bool {
    let Some((topic, partition)) = name.rsplit_once('-') else {
        return false;
    };
    let number = partition.parse::<u32>();
    TopicName::parse(topic).is_ok() && number.is_ok_and(|number| number.to_string() == partition)
}
