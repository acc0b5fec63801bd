//! `log-core backup`: a node's log, copied so that a cluster can be made of it again.

use std::path::PathBuf;
use std::sync::Arc;

use crate::storage::{BackedUp, back_up};
use clap::Args;
use journal::disk::{Disk, SystemDisk};
use service_kit::Failure;

/// What `backup` can be told.
#[derive(Args)]
#[command(
    after_help = "The backup holds everything that this node's disk has: of a cluster of one and of a leader, everything that \
                  was acknowledged; of a follower, what has reached it. The node may run meanwhile. `log-core verify --data BACKUP` checks a backup, \
                  `log-core restore --from BACKUP` makes a cluster of it."
)]
pub(super) struct Arguments {
    /// The data folder of the node.
    #[arg(long, value_name = "FOLDER", env = "LOG_CORE_DATA")]
    data: PathBuf,
    /// Where the backup goes: a folder that is missing or empty, best on another disk.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
}

/// Copies and tells what was copied.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let BackedUp {
        cluster_id,
        node,
        checkpoint,
        last,
        files,
        bytes,
    } = back_up(&disk, &arguments.data, &arguments.to)?;
    println!(
        "backup of node {node} of cluster {cluster_id}: everything up to entry {last}\n\
         {files} files of partitions with {bytes} bytes as of entry {checkpoint}, and the entries after it\n\
         {}",
        arguments.to.display()
    );
    Ok(())
}
