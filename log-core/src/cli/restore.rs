//! `log-core restore`: a cluster of one from a backup.

use std::path::PathBuf;

use crate::broker::restore::{Restore, Restored, restore};
use crate::ids::{LeaderEpoch, NodeId};
use clap::Args;
use service_kit::Failure;

/// What `restore` can be told.
#[derive(Args)]
#[command(
    after_help = "Stop every node of the old cluster for good first: the restored one carries its name. What was acknowledged \
                  after the backup is not in it. Other nodes join the restored one with empty folders, by `log-core nodes \
                  add`."
)]
pub(super) struct Arguments {
    /// The backup, as `log-core backup` made it.
    #[arg(long, value_name = "BACKUP")]
    from: PathBuf,
    /// The data folder of the restored node: missing or empty.
    #[arg(long, value_name = "FOLDER", env = "LOG_CORE_DATA")]
    data: PathBuf,
    /// The broker id of the restored node [default: that of the node that was backed up].
    #[arg(long, value_name = "NUMBER")]
    node_id: Option<u32>,
    /// The epoch that the restored cluster begins after [default: 1,000,000 above the backup's]. Clients never come back
    /// to an epoch that is lower than one they have seen.
    #[arg(long, value_name = "NUMBER")]
    epoch: Option<u32>,
}

/// Restores and tells what to do next.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Restored {
        cluster_id,
        node,
        epoch,
        backup_epoch,
        last,
        topics,
    } = restore(&Restore {
        backup: arguments.from.clone(),
        data: arguments.data.clone(),
        node: arguments.node_id.map(NodeId),
        epoch: arguments.epoch.map(LeaderEpoch),
    })?;
    let data = arguments.data.display();
    println!(
        "cluster {cluster_id} restored with {topics} topics as of entry {last}; its epochs go on from {epoch}, the \
         backup's last one was {backup_epoch}\n\
         start it alone: log-core serve --data {data} --node-id {node}"
    );
    Ok(())
}
