//! Room on the disk, looked at once a second. Records are refused while there is still room for everything else: deletes,
//! commits, checkpoints and the next start must always be possible (DESIGN rule 13).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::disk::Disk;

/// Between two looks. At a gigabyte a second the reserve must outlast one.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the last look found.
#[derive(Debug)]
pub(crate) struct DiskRoom {
    free_bytes: AtomicU64,
    reserve_bytes: u64,
}

impl DiskRoom {
    /// Keeps `reserve_bytes` free of records. Until the first look there is room.
    pub(crate) fn keeping(reserve_bytes: u64) -> Self {
        Self {
            free_bytes: AtomicU64::new(u64::MAX),
            reserve_bytes,
        }
    }

    /// Whether records may be written.
    pub(crate) fn is_enough(&self) -> bool {
        self.reserve_bytes <= self.free_bytes.load(Ordering::Relaxed)
    }

    fn note(&self, free_bytes: u64) {
        let had = self.is_enough();
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
        metrics::gauge!("log_disk_free_bytes").set(free_bytes as f64);
        match (had, self.is_enough()) {
            (true, false) => warn!(
                free_bytes,
                reserve_bytes = self.reserve_bytes,
                "disk is full: records are refused"
            ),
            (false, true) => info!(
                free_bytes,
                reserve_bytes = self.reserve_bytes,
                "disk has room again"
            ),
            (true, true) | (false, false) => {}
        }
    }
}

/// Looks again and again until `stop`.
pub(super) async fn watch(
    room: Arc<DiskRoom>,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    stop: CancellationToken,
) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        let (disk, folder) = (Arc::clone(&disk), folder.clone());
        match tokio::task::spawn_blocking(move || disk.free_bytes(&folder)).await {
            Ok(Ok(free_bytes)) => room.note(free_bytes),
            Ok(Err(error)) => warn!(
                error = &error as &(dyn std::error::Error + 'static),
                "disk cannot be looked at"
            ),
            // The runtime is going away.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_refused_before_the_reserve_is_touched_and_taken_again_once_there_is_room() {
        let room = DiskRoom::keeping(100);
        assert!(room.is_enough());

        room.note(99);
        assert!(!room.is_enough());

        room.note(100);
        assert!(room.is_enough());
    }
}
