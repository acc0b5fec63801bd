//! Whether the disk of the data folder answers: the log and the outbox both wait for its syncs, and a disk that hangs fails
//! nothing, so that nothing else would say so.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Between two probes: one small sync more among those of the calls.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// A sync that takes longer is one for which no caller waits: the api's deadline has passed.
const LATE_AFTER: Duration = Duration::from_secs(3);
const FILE: &str = "disk-probe";
/// Written anew in place each time, so that a full disk has room for it.
const BYTES: [u8; 512] = [0; 512];

/// Why nothing can be promised on this disk now; none where it syncs.
pub(crate) type DiskProblem = Option<String>;

/// Probes until `stop`, telling what it finds.
pub(crate) async fn run(
    folder: PathBuf,
    problem: watch::Sender<DiskProblem>,
    stop: CancellationToken,
) {
    let probing = async {
        loop {
            probe(&folder, &problem).await;
            sleep(PROBE_INTERVAL).await;
        }
    };
    stop.run_until_cancelled(probing).await;
}

async fn probe(folder: &Path, problem: &watch::Sender<DiskProblem>) {
    let path = folder.join(FILE);
    let mut synced = spawn_blocking(move || sync(&path));
    let outcome = match timeout(LATE_AFTER, &mut synced).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let seconds = LATE_AFTER.as_secs();
            tell(
                problem,
                Some(format!(
                    "a sync in the data folder takes more than {seconds} s"
                )),
            );
            synced.await
        }
    };
    let found = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("the data folder cannot be synced: {error}")),
        Err(panic) => Some(format!("the data folder cannot be probed: {panic}")),
    };
    tell(problem, found);
}

fn tell(problem: &watch::Sender<DiskProblem>, found: DiskProblem) {
    let changed = *problem.borrow() != found;
    if !changed {
        return;
    }
    match &found {
        Some(reason) => warn!(reason, "the disk does not answer as it should"),
        None => info!("the disk answers again"),
    }
    problem.send_replace(found);
}

/// Blocks for as long as the disk does.
fn sync(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all_at(&BYTES, 0)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_that_cannot_be_synced_is_a_problem_until_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let (problem, told) = watch::channel(None);

        probe(&data, &problem).await;
        assert!(
            told.borrow()
                .as_ref()
                .is_some_and(|reason| reason.contains("cannot be synced"))
        );
        std::fs::create_dir(&data).unwrap();
        probe(&data, &problem).await;

        assert_eq!(*told.borrow(), None);
    }
}
