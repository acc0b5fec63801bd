//! The operator's tools: topics, groups, records, nodes and clock of a running log, as tables or as JSON.
//!
//! A client like any other: all goes over the Kafka protocol, so the tools work on any node, show what any client would
//! see, and can do nothing that a client cannot. `log-core` and `mayday log` both offer [`Command`].
//!
//! Not here: looking into the files of a log that does not run (`log-core verify`, `log-core dump`).

mod aborted;
mod client;
mod clock;
mod committed;
mod error;
mod groups;
mod nodes;
mod options;
mod output;
mod position;
mod quorum;
mod records;
mod shown_record;
mod start;
mod text;
mod topics;

use std::io::Write;

use clap::Subcommand;

pub use self::clock::Clock;
pub use self::error::ToolError;
pub use self::groups::Groups;
pub use self::nodes::Nodes;
pub use self::records::Records;
pub use self::shown_record::ShownRecord;
pub use self::topics::Topics;

use self::options::Options;

/// Where the log is when nobody says.
pub const DEFAULT_SERVER: &str = "127.0.0.1:9092";

/// What an operator may ask of a running log.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List, create, describe, change and delete topics.
    Topics(Topics),
    /// List and describe consumer groups, move their offsets, delete them.
    Groups(Groups),
    /// Show a topic's records.
    Records(Records),
    /// List the nodes, add, remove and replace them.
    Nodes(Nodes),
    /// List jumps of the log's clock, and say what they were.
    Clock(Clock),
}

/// Does what `command` says and writes the answer to `out`. Without `--server` it asks `default_server`, or else
/// [`DEFAULT_SERVER`].
///
/// # Errors
/// [`ToolError`]: one sentence for the person who asked; each variant says what may have happened by then.
pub async fn run(
    command: Command,
    default_server: Option<String>,
    out: &mut impl Write,
) -> Result<(), ToolError> {
    let options = command.options();
    let server = options.server.clone().or(default_server);
    let server = server.unwrap_or_else(|| DEFAULT_SERVER.to_owned());
    let mut client = client::Client::connect(&server).await?;
    let mut out = output::Output::new(out, options.json);
    match command {
        Command::Topics(topics) => topics.run(&mut client, &mut out).await,
        Command::Groups(groups) => groups.run(&mut client, &mut out).await,
        Command::Records(records) => records.run(&mut client, &mut out).await,
        Command::Nodes(nodes) => nodes.run(&mut client, &mut out).await,
        Command::Clock(clock) => clock.run(&mut client, &mut out).await,
    }
}

impl Command {
    fn options(&self) -> &Options {
        match self {
            Self::Topics(topics) => &topics.options,
            Self::Groups(groups) => &groups.options,
            Self::Records(records) => &records.options,
            Self::Nodes(nodes) => &nodes.options,
            Self::Clock(clock) => &clock.options,
        }
    }
}
