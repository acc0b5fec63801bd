//! Looks at the disk, and tells the node how much is free.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use journal::disk::Disk;
use service_kit::error_value;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::node_handle::NodeHandle;

/// Between two looks at the own disk. At a gigabyte a second the reserve must outlast one.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks again and again until `stop`.
pub(super) async fn watch(
    replica: NodeHandle,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    stop: CancellationToken,
) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        let (disk, folder) = (Arc::clone(&disk), folder.clone());
        match tokio::task::spawn_blocking(move || look(&*disk, &folder)).await {
            Ok(Some(bytes)) => replica.note_free_bytes(bytes).await,
            Ok(None) => {}
            Err(_) => debug!("the runtime is going away"),
        }
    }
}

/// What is free, where the disk can be asked. Blocks.
pub(super) fn look(disk: &dyn Disk, folder: &Path) -> Option<u64> {
    let free_bytes = disk.free_bytes(folder);
    let told = |error: &std::io::Error| {
        warn!(error = error_value(error), "disk cannot be looked at");
    };
    free_bytes.inspect_err(told).ok()
}
