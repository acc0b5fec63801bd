//! Who this data folder is: made once, before anything else is written. Only one thing is ever added: the cluster that
//! it becomes part of.
//!
//! The file `identity.json` is written beside, synced, renamed, and its folder synced, so it is there whole or not at
//! all. It carries a checksum and is accepted only as it was written, byte for byte: were a digit of it to change, the
//! replica would vote under another's name. A folder that has entries but no identity is damaged for the same reason: a
//! new identity could vote twice under two names.

use std::io;
use std::path::{Path, PathBuf};

use journal::disk::{Disk, OpenMode};
use journal::make_lasting;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::checkpoint::CheckpointFile;
use super::layout::{ADVICE, JOURNAL};
use crate::ids::{NodeId, ReplicaId};

pub(super) const NAME: &str = "identity.json";
/// What the file is called in a backup, so that nobody starts a node from one: it would vote beside its original.
pub(super) const BACKUP_NAME: &str = "backup.json";
/// What the file is called until it is complete.
const UNFINISHED: &str = "identity.json.new";
/// The layout of the file.
const VERSION: u32 = 2;
/// Larger than any identity; a file beyond it is something else.
const BYTES_MAX: u64 = 64 << 10;

/// The names of a replica and of its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// This replica, for Raft: random, so a folder that was lost is never taken for its successor.
    pub replica: ReplicaId,
    /// This broker, for Kafka's clients.
    pub node: NodeId,
    /// The cluster that the replica is part of. Without one it has never voted, and holds nothing.
    pub formed: Option<ClusterIdentity>,
}

/// A cluster, as it was formed. Never changes, whichever nodes join or leave later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterIdentity {
    /// Its name: 22 characters, see [`cluster_id_of`].
    pub cluster_id: String,
    /// Who voted when it was formed. A node that joined later is not among them, and learns from the log that it is a member.
    pub founders: Vec<InitialVoter>,
}

/// One of those who formed a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitialVoter {
    /// Its name for Raft.
    pub replica: ReplicaId,
    /// Its name for Kafka's clients.
    pub node: NodeId,
    /// Host and port where it listens for the other replicas; a cluster of one has nobody to listen to.
    pub address: Option<String>,
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
    /// The file is there and is no identity, or not as it was written.
    #[error(
        "{path}: {found}. Do not mend it by hand: a replica under a wrong name can lose acknowledged records. {ADVICE}"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: &'static str,
    },
    /// The folder is a backup.
    #[error(
        "{path}: this folder is a backup and not a node's: `log-core restore` it into a new folder, and start that one"
    )]
    Backup {
        /// The file that says so.
        path: PathBuf,
    },
    /// There is none, where a log is.
    #[error(
        "{path} is gone, but the folder holds a log. Put back this very file if there is a copy of it; else: {ADVICE}"
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The journal is gone, and with it what the replica has promised.
    #[error("{path} is gone, but its node is part of a cluster. {ADVICE}")]
    NoJournal {
        /// The journal's folder.
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
    #[error(
        "{path}: this folder belongs to node {found}, not to node {asked}: give each node the folder it was started with"
    )]
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
    /// A replica of no cluster yet. The UUID is chance, given by the caller.
    pub fn unformed(node: NodeId, replica: Uuid) -> Self {
        Self {
            // Raft takes 0 for nobody.
            replica: ReplicaId(replica.as_u64_pair().0 | 1),
            node,
            formed: None,
        }
    }

    /// A cluster of one, founded by `node`. The two UUIDs are chance, given by the caller.
    pub fn founder_alone(node: NodeId, cluster: Uuid, replica: Uuid) -> Self {
        let mut identity = Self::unformed(node, replica);
        let founder = InitialVoter {
            replica: identity.replica,
            node,
            address: None,
        };
        identity.form(cluster_id_of(cluster), vec![founder]);
        identity
    }

    /// Makes the replica part of a cluster; [`Self::keep`] it before anything is said or voted in its name.
    ///
    /// # Panics
    /// When it is part of another one: what it voted there would be forgotten.
    pub fn form(&mut self, cluster_id: String, founders: Vec<InitialVoter>) {
        let formed = ClusterIdentity {
            cluster_id,
            founders,
        };
        assert!(
            self.formed.as_ref().is_none_or(|before| *before == formed),
            "replica {} is part of a cluster already",
            self.replica
        );
        self.formed = Some(formed);
    }

    /// The folder's identity, if it has one.
    ///
    /// # Errors
    /// [`IdentityError::Unreadable`], [`IdentityError::Damaged`], [`IdentityError::Backup`], [`IdentityError::Missing`],
    /// [`IdentityError::NoJournal`].
    pub fn read(disk: &dyn Disk, folder: &Path) -> Result<Option<Self>, IdentityError> {
        let path = folder.join(NAME);
        if !disk.exists(&path) {
            return refuse_orphaned_log(disk, folder, path).map(|()| None);
        }
        let identity = Self::read_file(disk, path)?;
        let journal = folder.join(JOURNAL);
        if identity.formed.is_some() && !disk.exists(&journal) {
            return Err(IdentityError::NoJournal { path: journal });
        }
        Ok(Some(identity))
    }

    /// Whose backup the folder is, if it is one.
    ///
    /// # Errors
    /// [`IdentityError::Unreadable`], [`IdentityError::Damaged`].
    pub fn read_backup(disk: &dyn Disk, folder: &Path) -> Result<Option<Self>, IdentityError> {
        let path = folder.join(BACKUP_NAME);
        if !disk.exists(&path) {
            return Ok(None);
        }
        Self::read_file(disk, path).map(Some)
    }

    fn read_file(disk: &dyn Disk, path: PathBuf) -> Result<Self, IdentityError> {
        let bytes = read_whole(disk, &path).map_err(|source| IdentityError::Unreadable {
            path: path.clone(),
            source,
        })?;
        Self::decode(&bytes).map_err(|found| IdentityError::Damaged { path, found })
    }

    /// Keeps it in the folder, durably. A member's journal has its folder from then on: without it the replica would
    /// start as one that has never promised anything.
    ///
    /// # Errors
    /// [`IdentityError::Unwritable`].
    pub fn keep(&self, disk: &dyn Disk, folder: &Path) -> Result<(), IdentityError> {
        if self.formed.is_some() {
            let path = folder.join(JOURNAL);
            make_lasting(disk, &path)
                .map_err(|source| IdentityError::Unwritable { path, source })?;
        }
        self.keep_as(NAME, disk, folder)
    }

    /// Says of a folder that it is this replica's backup.
    ///
    /// # Errors
    /// [`IdentityError::Unwritable`].
    pub(super) fn keep_as_backup(
        &self,
        disk: &dyn Disk,
        folder: &Path,
    ) -> Result<(), IdentityError> {
        self.keep_as(BACKUP_NAME, disk, folder)
    }

    fn keep_as(&self, name: &str, disk: &dyn Disk, folder: &Path) -> Result<(), IdentityError> {
        let (path, draft) = (folder.join(name), folder.join(UNFINISHED));
        let write = || {
            if disk.exists(&draft) {
                disk.remove_file(&draft)?;
            }
            let file = disk.open(&draft, OpenMode::CreateNew)?;
            file.write_at(&self.encode(), 0)?;
            file.sync_data()?;
            disk.rename(&draft, &path)?;
            disk.sync_folder(folder)
        };
        write().map_err(|source| IdentityError::Unwritable { path, source })
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
            path: folder.join(NAME),
            found: self.node,
            asked: node,
        })
    }

    fn encode(&self) -> Vec<u8> {
        let values = serde_json::to_vec(self).expect("plain values encode");
        let file = File {
            version: VERSION,
            identity: self.clone(),
            crc32c: crc32c::crc32c(&values),
        };
        let mut text = serde_json::to_vec_pretty(&file).expect("plain values encode");
        text.push(b'\n');
        text
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let Ok(Version { version }) = serde_json::from_slice(bytes) else {
            return Err("this is no identity, or a damaged one");
        };
        let identity = match version {
            1 => FirstFile::decode(bytes),
            VERSION => serde_json::from_slice(bytes)
                .ok()
                .map(|File { identity, .. }| identity)
                // The checksum is among the bytes.
                .filter(|identity| identity.encode() == bytes),
            0 | 3.. => return Err("this is not an identity that this version can read"),
        };
        identity
            .filter(|identity| identity.replica != ReplicaId(0))
            .ok_or("the identity is damaged: it is not as it was written")
    }
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    #[serde(flatten)]
    identity: Identity,
    /// Of the identity without blanks. More for a person who looks than for us: a file is compared byte for byte.
    crc32c: u32,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// The layout before: without a checksum, and clusters of one only.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstFile {
    #[serde(rename = "version")]
    _version: u32,
    cluster_id: String,
    replica: ReplicaId,
    node: NodeId,
    founders: Vec<ReplicaId>,
}

impl FirstFile {
    fn decode(bytes: &[u8]) -> Option<Identity> {
        let file: Self = serde_json::from_slice(bytes).ok()?;
        let founder = InitialVoter {
            replica: file.replica,
            node: file.node,
            address: None,
        };
        (file.founders == [file.replica]).then(|| Identity {
            replica: file.replica,
            node: file.node,
            formed: Some(ClusterIdentity {
                cluster_id: file.cluster_id,
                founders: vec![founder],
            }),
        })
    }
}

/// An empty folder may become any node's; one with a log belongs to one.
fn refuse_orphaned_log(disk: &dyn Disk, folder: &Path, path: PathBuf) -> Result<(), IdentityError> {
    let backup = folder.join(BACKUP_NAME);
    if disk.exists(&backup) {
        return Err(IdentityError::Backup { path: backup });
    }
    // A member's journal gets its folder before the identity, and its files after.
    let has_journal = disk
        .list(&folder.join(JOURNAL))
        .is_ok_and(|files| !files.is_empty());
    if has_journal || disk.exists(&CheckpointFile::path(folder)) {
        return Err(IdentityError::Missing { path });
    }
    Ok(())
}

/// A cluster's name, from chance: a UUID as Kafka writes cluster ids, URL-safe base 64 without padding, 22 characters.
pub fn cluster_id_of(id: Uuid) -> String {
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
    use journal::sim_disk::SimDisk;

    #[test]
    fn a_cluster_is_named_as_kafka_writes_uuids() {
        // Kafka's Uuid.toString of this UUID.
        let id = Uuid::parse_str("6ba7b810-9dad-11d1-80b4-00c04fd430c8").unwrap();
        assert_eq!(cluster_id_of(id), "a6e4EJ2tEdGAtADAT9QwyA");
    }

    const FOLDER: &str = "/data";

    fn file() -> PathBuf {
        Path::new(FOLDER).join(NAME)
    }

    fn disk() -> SimDisk {
        let disk = SimDisk::with_seed(1);
        disk.create_folder(Path::new(FOLDER)).unwrap();
        disk
    }

    fn read(disk: &SimDisk) -> Result<Option<Identity>, IdentityError> {
        Identity::read(disk, Path::new(FOLDER))
    }

    fn write(disk: &SimDisk, name: &str, text: &str) {
        let file = disk.open(&Path::new(FOLDER).join(name), OpenMode::CreateNew);
        file.unwrap().write_at(text.as_bytes(), 0).unwrap();
    }

    fn three_founders() -> Identity {
        let mut identity = Identity::unformed(NodeId(2), Uuid::from_u128(7));
        let founder = |node| InitialVoter {
            replica: ReplicaId(u64::from(node) << 60 | 1),
            node: NodeId(node),
            address: Some(format!("10.0.0.{node}:9093")),
        };
        identity.form(
            "a6e4EJ2tEdGAtADAT9QwyA".to_owned(),
            (1..=3).map(founder).collect(),
        );
        identity
    }

    #[test]
    fn what_was_kept_is_read_and_an_empty_folder_has_none() {
        let disk = disk();
        assert_eq!(read(&disk).unwrap(), None);
        let mut identity = Identity::unformed(NodeId(2), Uuid::from_u128(7));
        identity.keep(&disk, Path::new(FOLDER)).unwrap();
        assert_eq!(read(&disk).unwrap().as_ref(), Some(&identity));

        identity.formed = three_founders().formed;
        identity.keep(&disk, Path::new(FOLDER)).unwrap();
        assert_eq!(read(&disk).unwrap(), Some(identity));
    }

    #[test]
    fn every_flipped_bit_is_found_with_advice() {
        let disk = disk();
        three_founders().keep(&disk, Path::new(FOLDER)).unwrap();
        let len = disk.file(&file()).unwrap().len();
        for (byte, bit) in (0..len).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
            disk.flip_bit(&file(), byte, bit);
            let refused = read(&disk).expect_err("found").to_string();
            assert!(refused.contains("log-core nodes replace"), "{refused}");
            disk.flip_bit(&file(), byte, bit);
        }
        for len in 0..len {
            disk.truncate(&file(), len);
            assert!(matches!(read(&disk), Err(IdentityError::Damaged { .. })));
            three_founders().keep(&disk, Path::new(FOLDER)).unwrap();
        }
    }

    #[test]
    fn a_log_without_an_identity_is_never_given_a_new_one() {
        for orphan in ["checkpoint", "journal/00000000000000000000.journal"] {
            let disk = disk();
            disk.create_folder(&Path::new(FOLDER).join("journal"))
                .unwrap();
            write(&disk, orphan, "");
            let refused = read(&disk).unwrap_err();
            assert!(matches!(refused, IdentityError::Missing { .. }));
        }
    }

    #[test]
    fn the_layout_before_is_read_where_it_is_of_a_cluster_of_one() {
        let first = |founders| {
            format!(
                r#"{{"version": 1, "cluster_id": "c", "replica": 9, "node": 3, "founders": [{founders}]}}"#
            )
        };
        let disk = disk();
        disk.create_folder(&Path::new(FOLDER).join("journal"))
            .unwrap();
        write(&disk, NAME, &first("9"));
        let identity = read(&disk).unwrap().unwrap();
        assert_eq!((identity.replica, identity.node), (ReplicaId(9), NodeId(3)));
        assert_eq!(identity.formed.unwrap().founders.len(), 1);

        disk.remove_file(&file()).unwrap();
        write(&disk, NAME, &first("9, 10"));
        read(&disk).unwrap_err();
    }

    #[test]
    fn a_member_without_a_journal_is_refused_and_one_of_no_cluster_is_not() {
        let disk = disk();
        let journal = Path::new(FOLDER).join("journal");
        three_founders().keep(&disk, Path::new(FOLDER)).unwrap();
        assert!(read(&disk).unwrap().is_some());
        disk.remove_folder(&journal).unwrap();
        let refused = read(&disk).unwrap_err().to_string();
        assert!(refused.starts_with("/data/journal is gone"), "{refused}");

        Identity::unformed(NodeId(2), Uuid::from_u128(7))
            .keep(&disk, Path::new(FOLDER))
            .unwrap();
        assert!(read(&disk).unwrap().is_some());
    }

    #[test]
    fn a_crash_while_an_identity_is_kept_leaves_the_old_one_or_the_new_one() {
        let unformed = Identity::unformed(NodeId(2), Uuid::from_u128(7));
        let mut seen = [false; 2];
        for seed in 0..300 {
            let disk = SimDisk::with_seed(seed);
            disk.create_folder(Path::new(FOLDER)).unwrap();
            disk.sync_folder(Path::new("/")).unwrap();
            unformed.keep(&disk, Path::new(FOLDER)).unwrap();
            disk.crash_at(disk.operations() + 1 + seed % 8);
            three_founders().keep(&disk, Path::new(FOLDER)).unwrap_err();
            disk.reboot();

            let found = read(&disk).unwrap().expect("one of the two");
            assert!(found == unformed || found.formed == three_founders().formed);
            seen[usize::from(found.formed.is_some())] = true;
            three_founders().keep(&disk, Path::new(FOLDER)).unwrap();
        }
        assert_eq!(seen, [true, true]);
    }

    #[test]
    #[should_panic(expected = "is part of a cluster already")]
    fn a_replica_never_changes_its_cluster() {
        three_founders().form("another".to_owned(), Vec::new());
    }
}
