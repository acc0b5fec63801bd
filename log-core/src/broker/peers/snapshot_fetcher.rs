//! Fetches a snapshot's files from the leader that told of it, part by part. What has come stays on the disk, so that a
//! fetch which breaks off goes on where it was.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::disk::Disk;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::{Instrument, info, info_span};

use super::connection::PeerError;
use super::registry::PeerRegistry;
use super::rpc::{PeerRequest, PeerResponse};
use super::rpc_client::RpcClient;
use crate::ids::{EntryIndex, ReplicaId};
use crate::storage::snapshot::{Incoming, InvalidManifest, Manifest, NextChunk, SnapshotError};

/// How often a connection that breaks, or a part that comes damaged, is tried again without any part coming whole in
/// between. After that the leader is heard again: it may have a newer snapshot, or be another.
const TRIES: usize = 5;
/// Between two tries.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Why a snapshot did not come.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// This node has no peers to fetch from.
    #[error("replica {from} is no peer of this node")]
    NoPeers {
        /// Who told of the snapshot.
        from: ReplicaId,
    },
    /// What was told is no list of files.
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    /// It cannot be kept here, or what comes is not what was promised.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The leader has let go of it.
    #[error("the leader no longer holds it: it tells of a newer one")]
    NotHeld,
    /// The leader cannot read its own copy.
    #[error("the leader cannot read a part of it: its log says why")]
    Unable,
    /// No connection, several times.
    #[error("the leader is not reached: {trouble}")]
    NotReached {
        /// Why, last time.
        trouble: String,
    },
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Stopping,
}

/// Fetches one snapshot at a time.
#[derive(Clone)]
pub(in crate::broker) struct SnapshotFetcher {
    target: Option<FetchTarget>,
}

#[derive(Clone)]
struct FetchTarget {
    registry: Arc<PeerRegistry>,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl SnapshotFetcher {
    /// A cluster of one fetches nothing.
    pub(in crate::broker) fn none() -> Self {
        Self { target: None }
    }

    /// Fetches into a data folder.
    pub(super) fn into(registry: Arc<PeerRegistry>, disk: Arc<dyn Disk>, folder: PathBuf) -> Self {
        let target = FetchTarget {
            registry,
            disk,
            folder,
        };
        Self {
            target: Some(target),
        }
    }

    /// Fetches what the manifest lists. The answer is whole and synced, and not in force yet.
    pub(in crate::broker) fn fetch(
        &self,
        from: ReplicaId,
        manifest: Bytes,
    ) -> oneshot::Receiver<Result<Incoming, FetchError>> {
        let (mut told, answer) = oneshot::channel();
        let Some(target) = self.target.clone() else {
            drop(told.send(Err(FetchError::NoPeers { from })));
            return answer;
        };
        let registry = Arc::clone(&target.registry);
        let fetching = async move {
            tokio::select! {
                fetched = target.fetch(from, &manifest) => drop(told.send(fetched)),
                // The replica waits for it no longer: what has come stays for the next time.
                () = told.closed() => {}
            }
        };
        registry.spawn(fetching.instrument(info_span!("snapshot", %from)));
        answer
    }
}

impl FetchTarget {
    async fn fetch(&self, from: ReplicaId, manifest: &[u8]) -> Result<Incoming, FetchError> {
        let manifest = Manifest::decode(manifest)?;
        let (applied, bytes) = (manifest.applied, manifest.total_bytes());
        info!(%applied, bytes, "snapshot is being fetched");
        let (disk, folder) = (Arc::clone(&self.disk), self.folder.clone());
        let mut incoming = on_disk(move || Incoming::open(&disk, &folder, manifest)).await??;
        let mut tries = Tries::default();
        while incoming.next().is_some() {
            incoming = self
                .fetch_parts(from, applied, incoming, &mut tries)
                .await?;
        }
        info!(%applied, bytes, "snapshot is fetched");
        Ok(incoming)
    }

    /// Fetches over one connection, until it breaks or all is here.
    async fn fetch_parts(
        &self,
        from: ReplicaId,
        applied: EntryIndex,
        mut incoming: Incoming,
        tries: &mut Tries,
    ) -> Result<Incoming, FetchError> {
        let mut client = match RpcClient::open_to(&self.registry, from).await {
            Ok(client) => client,
            Err(error) => {
                tries.again_after(&error).await?;
                return Ok(incoming);
            }
        };
        while let Some(wanted) = incoming.next() {
            let request = PeerRequest::Chunk {
                applied,
                file: wanted.file,
                position: wanted.position,
            };
            let chunk = match client.ask(&request).await {
                Ok(PeerResponse::Chunk(chunk)) => chunk,
                Ok(PeerResponse::NotHeld) => return Err(FetchError::NotHeld),
                Ok(_) => return Err(FetchError::Unable),
                Err(error) => {
                    tries.again_after(&error).await?;
                    return Ok(incoming);
                }
            };
            incoming = take(incoming, wanted, chunk, tries).await?;
        }
        Ok(incoming)
    }
}

async fn take(
    mut incoming: Incoming,
    wanted: NextChunk,
    chunk: Bytes,
    tries: &mut Tries,
) -> Result<Incoming, FetchError> {
    let (incoming, taken) = on_disk(move || {
        let taken = incoming.take(wanted, &chunk);
        (incoming, taken)
    })
    .await?;
    match taken {
        Ok(()) => tries.made = 0,
        Err(error) if tries.again_despite(&error) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(incoming)
}

/// What has gone wrong so far.
#[derive(Default)]
struct Tries {
    /// Since the last part that came whole.
    made: usize,
    /// Files that came to their end and were not as promised: all of one is fetched again, once. The leader's own may be
    /// damaged, and then it must hear that this failed.
    files_unlike: usize,
}

impl Tries {
    fn again_despite(&mut self, error: &SnapshotError) -> bool {
        self.made += 1;
        self.files_unlike += usize::from(matches!(error, SnapshotError::File { .. }));
        error.is_retryable() && self.made <= TRIES && self.files_unlike <= 1
    }

    async fn again_after(&mut self, error: &PeerError) -> Result<(), FetchError> {
        self.made += 1;
        if TRIES < self.made {
            let trouble = error.to_string();
            return Err(FetchError::NotReached { trouble });
        }
        sleep(AGAIN_AFTER).await;
        Ok(())
    }
}

/// Files are read and written off the async threads.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FetchError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| FetchError::Stopping)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damaged_file() -> SnapshotError {
        SnapshotError::File {
            name: "a".to_owned(),
        }
    }

    fn damaged_part() -> SnapshotError {
        SnapshotError::Chunk {
            name: "a".to_owned(),
            position: 0,
            found: "damaged on its way",
        }
    }

    #[test]
    fn a_file_that_is_unlike_its_promise_twice_is_given_up_though_parts_came_whole_between() {
        let mut tries = Tries::default();
        assert!(tries.again_despite(&damaged_file()));
        tries.made = 0;
        assert!(tries.again_despite(&damaged_part()));
        tries.made = 0;
        assert!(!tries.again_despite(&damaged_file()));
    }

    #[test]
    fn a_part_is_asked_for_again_a_few_times() {
        let mut tries = Tries::default();
        let asked_again = (0..100).take_while(|_| tries.again_despite(&damaged_part()));
        assert_eq!(asked_again.count(), TRIES);
        assert!(!Tries::default().again_despite(&SnapshotError::NotThere {
            file: 0,
            position: 0
        }));
    }
}
