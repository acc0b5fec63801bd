//! Looks at the disk, and has the room on the voters' disks judged.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use journal::disk::Disk;
use service_kit::clock::Clock;
use tokio_util::sync::CancellationToken;

use super::replica_handle::ReplicaHandle;
use crate::node::Leadership;
use crate::node::disk_room::DiskRoom;

/// Between two looks at the own disk. At a gigabyte a second the reserve must outlast one.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two judgements: as often as the others tell.
const JUDGE_EVERY: Duration = Duration::from_millis(250);

/// Looks and judges again and again until `stop`.
pub(super) async fn watch(
    replica: ReplicaHandle,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    clock: Clock,
    stop: CancellationToken,
) {
    let room = replica.room();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut judgements = tokio::time::interval(JUDGE_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => look(&room, &disk, &folder).await,
            _ = judgements.tick() => {}
        }
        let leads = matches!(replica.leadership(), Leadership::Leader { .. });
        room.judge(
            replica.cluster().replica,
            &replica.membership(),
            leads,
            clock.elapsed(),
        );
    }
}

async fn look(room: &Arc<DiskRoom>, disk: &Arc<dyn Disk>, folder: &Path) {
    let (room, disk, folder) = (Arc::clone(room), Arc::clone(disk), folder.to_owned());
    let looked = tokio::task::spawn_blocking(move || room.look(&*disk, &folder)).await;
    if looked.is_err() {
        tracing::debug!("the runtime is going away");
    }
}
