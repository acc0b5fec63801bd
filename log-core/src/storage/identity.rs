//! Who this data folder is: made once, before anything else is written, and never changed.
//!
//! The file `identity.json` is written beside, synced, renamed, and its folder synced, so it is there whole or not at
//! all. A folder that has entries but no identity is damaged: a new identity could vote twice under two names.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::disk::{Disk, OpenMode};
use crate::ids::{NodeId, ReplicaId};

/// Larger than any identity; a file beyond it is something else.
const BYTES_MAX: u64 = 64 << 10;

/// The names of a cluster and of a replica in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The layout of this file: 1.
    pub version: u32,
    /// The cluster: 22 characters, made when it was formed.
    pub cluster_id: String,
    /// This replica, for Raft: random, so a folder that was lost is never taken for its successor.
    pub replica: ReplicaId,
    /// This broker, for Kafka's clients.
    pub node: NodeId,
    /// Who voted when the cluster was formed.
    pub founders: Vec<ReplicaId>,
}

/// Why an identity could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file is there and cannot be read.
    #[error("{path}: who this data folder is cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file is there and is no identity.
    #[error(
        "{path}: this is not an identity that this version wrote; restore the file from a backup of this same folder"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be written; nothing was promised under its names yet.
    #[error("{path}: who this data folder is cannot be written")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The folder was made for another broker.
    #[error("{path}: this folder belongs to node {found}, not to node {asked}")]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Who wants it.
        asked: NodeId,
    },
}

impl Identity {
    /// A cluster of one, founded by `node`. The two UUIDs are chance, given by the caller.
    pub fn founder_alone(node: NodeId, cluster: Uuid, replica: Uuid) -> Self {
        let replica = ReplicaId(replica.as_u64_pair().0 | 1);
        Self {
            version: 1,
            cluster_id: short_name(cluster),
            replica,
            node,
            founders: vec![replica],
        }
    }

    /// The folder's identity, if it has one.
    ///
    /// # Errors
    /// [`IdentityError::Unreadable`], [`IdentityError::Damaged`].
    pub fn read(disk: &dyn Disk, folder: &Path) -> Result<Option<Self>, IdentityError> {
        let path = folder.join("identity.json");
        if !disk.exists(&path) {
            return Ok(None);
        }
        let bytes = read_whole(disk, &path).map_err(|source| IdentityError::Unreadable {
            path: path.clone(),
            source,
        })?;
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(identity) if identity.version == 1 && identity.replica != ReplicaId(0) => {
                Ok(Some(identity))
            }
            _ => Err(IdentityError::Damaged { path }),
        }
    }

    /// Keeps it in the folder, durably.
    ///
    /// # Errors
    /// [`IdentityError::Unwritable`].
    pub fn keep(&self, disk: &dyn Disk, folder: &Path) -> Result<(), IdentityError> {
        let path = folder.join("identity.json");
        let draft = folder.join("identity.json.new");
        let text = serde_json::to_vec_pretty(self).expect("plain values encode");
        let write = || {
            if disk.exists(&draft) {
                disk.remove_file(&draft)?;
            }
            let file = disk.open(&draft, OpenMode::CreateNew)?;
            file.write_at(&text, 0)?;
            file.sync_data()?;
            disk.rename(&draft, &path)?;
            disk.sync_folder(folder)
        };
        write().map_err(|source| IdentityError::Unwritable {
            path: path.clone(),
            source,
        })
    }

    /// Refuses a folder that was made for another broker.
    ///
    /// # Errors
    /// [`IdentityError::OtherNode`].
    pub fn belongs_to(&self, node: NodeId, folder: &Path) -> Result<(), IdentityError> {
        if self.node == node {
            return Ok(());
        }
        Err(IdentityError::OtherNode {
            path: folder.join("identity.json"),
            found: self.node,
            asked: node,
        })
    }
}

/// A UUID as Kafka writes cluster ids: URL-safe base 64 without padding, 22 characters.
fn short_name(id: Uuid) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = id.as_u128();
    let digit = |at: u32| {
        // 22 digits of 6 bits are 132: the last one holds the lowest 2 bits, moved up.
        let digit = if at < 21 {
            bits >> (122 - 6 * at)
        } else {
            bits << 4
        };
        char::from(ALPHABET[usize::try_from(digit & 63).expect("six bits")])
    };
    (0..22).map(digit).collect()
}

fn read_whole(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, OpenMode::Read)?;
    let len = file.len()?;
    if BYTES_MAX < len {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{len} bytes are too many"),
        ));
    }
    let mut bytes = vec![0; usize::try_from(len).expect("bounded above")];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_named_as_kafka_writes_uuids() {
        // Kafka's Uuid.toString of this UUID.
        let id = Uuid::parse_str("6ba7b810-9dad-11d1-80b4-00c04fd430c8").unwrap();
        assert_eq!(short_name(id), "a6e4EJ2tEdGAtADAT9QwyA");
    }
}
