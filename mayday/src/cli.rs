//! The command line: what a person may ask of `mayday`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use log_core::Peer;
use resident_token::Role;

/// The complex that the demo talks about.
pub(crate) const DEMO_LINE: &str = "hanbit";
/// The demo's house that calls for help.
pub(crate) const DEMO_CALLER: &str = "101-1203";
/// The demo's house that hears it.
pub(crate) const DEMO_NEIGHBOUR: &str = "102-304";

const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 something here went wrong · 2 the command line is wrong · \
3 the api or the gateway refused, asking again will not help · 4 it cannot be reached or cannot store now, try again";

/// Real-time emergency alerts for an apartment complex. Without a command it starts everything on this machine:
/// the log, the api, the gateway and the residents' page.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) start: Start,
    /// The folder that keeps the log and the secret [default: mayday in the user's data directory]
    #[arg(long, global = true, value_name = "FOLDER", env = "MAYDAY_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// The secret that signs residents' tokens (HS256), at least 32 bytes. Better set in the environment: a command
    /// line is seen by everybody [default: made once, kept in the data folder]
    #[arg(
        long,
        global = true,
        value_name = "SECRET",
        env = "MAYDAY_JWT_SECRET",
        hide_env_values = true
    )]
    pub(crate) jwt_secret: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a token for a house
    Token(Token),
    /// Raise an alert
    Send(Send),
    /// Accept a neighbour's alert
    Accept(Accept),
    /// Show a complex's alerts and accepts as they come
    Watch(Watch),
    /// Reread the log and write figures and a report
    Report(Report),
    /// Ask the log: its topics, groups and records
    #[command(subcommand)]
    Log(log_core::tools::Command),
    /// Look at records that a reader could not read, and send them again
    #[command(subcommand)]
    Dlt(Dlt),
}

/// Dead letters are named by the place they come from: topic-partition-offset.
#[derive(Debug, Subcommand)]
pub(crate) enum Dlt {
    /// All of them, one line each
    List {
        /// The log's address [default: that of the process running on the data folder]
        #[arg(long, value_name = "ADDRESS")]
        log: Option<String>,
        /// One line of JSON each
        #[arg(long)]
        json: bool,
    },
    /// One of them with all that is known
    Show {
        /// Which, as `list` names it
        origin: String,
        /// The log's address [default: that of the process running on the data folder]
        #[arg(long, value_name = "ADDRESS")]
        log: Option<String>,
    },
    /// Send the original record again to its topic
    Replay {
        /// Which, as `list` names it
        #[arg(required_unless_present = "all")]
        origin: Option<String>,
        /// All of them
        #[arg(long, conflicts_with = "origin")]
        all: bool,
        /// The log's address [default: that of the process running on the data folder]
        #[arg(long, value_name = "ADDRESS")]
        log: Option<String>,
    },
}

/// How to start everything. Ports may be 0: the system then chooses, and the addresses are printed.
#[derive(Args, Debug)]
pub(crate) struct Start {
    /// The address that the api and the gateway listen on; 0.0.0.0 lets the whole network in
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub(crate) host: IpAddr,
    /// The api's port
    #[arg(long, default_value_t = 8082, value_name = "PORT")]
    pub(crate) api_port: u16,
    /// The port of the gateway and of the residents' page
    #[arg(long, default_value_t = 8083, value_name = "PORT")]
    pub(crate) gateway_port: u16,
    /// The log's port: on the loopback address, or with --peers on this machine's address there
    #[arg(long, default_value_t = 9092, value_name = "PORT")]
    pub(crate) log_port: u16,
    /// The port of /metrics, /healthz and /readyz, always on the loopback address
    #[arg(long, default_value_t = 8084, value_name = "PORT")]
    pub(crate) admin_port: u16,
    /// Bytes of a file of the log's journal [default: 32 MiB]; tests make it begin new ones soon
    #[arg(long, value_name = "BYTES", hide = true)]
    pub(crate) journal_segment_bytes: Option<u32>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// How several machines keep one log, so that the loss of any one of them loses nothing.
#[derive(Args, Debug)]
pub(crate) struct ClusterArgs {
    /// The machines that keep the log together, this one included, the same list on each: three or five of
    /// NUMBER@HOST:PORT, where the port is for their talk alone. All must share the secret that signs tokens
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "1@HOST:PORT,..",
        env = "MAYDAY_PEERS"
    )]
    pub(crate) peers: Vec<Peer>,
    /// This machine's number among the peers
    #[arg(long, default_value_t = 1, value_name = "NUMBER", env = "MAYDAY_NODE")]
    pub(crate) node: u32,
    /// Let the log listen beyond loopback, as peers on several machines need: every client that reaches its port reads and writes
    /// everything, so keep strangers out of that network
    #[arg(long)]
    pub(crate) insecure_log: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Token {
    /// What else its bearer is: resident, guard (--house names the post), manager, admin, operator, canary
    #[arg(long, value_parser = role)]
    pub(crate) role: Option<Role>,
    /// The complex [default: the one of the demo; an operator: none]
    #[arg(long)]
    pub(crate) line: Option<String>,
    /// The house [default: one of the demo; a manager, admin, operator: none]
    #[arg(long, required_if_eq("role", "guard"))]
    pub(crate) house: Option<String>,
    /// How long it is good for [default: 12h; with --role 90 days]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub(crate) expires_in: Option<Duration>,
}

fn role(name: &str) -> Result<Role, String> {
    Role::from_name(name).ok_or_else(|| {
        let names = Role::ALL.map(Role::as_str).join(", ");
        format!("a role is one of {names}")
    })
}

/// Whose token to show.
#[derive(Args, Debug)]
pub(crate) struct Identity {
    /// The complex
    #[arg(long, default_value = DEMO_LINE)]
    pub(crate) line: String,
    /// A ready token; otherwise one is made with the data folder's secret
    #[arg(long, env = "MAYDAY_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Send {
    #[command(flatten)]
    pub(crate) identity: Identity,
    /// The house that calls
    #[arg(long, default_value = DEMO_CALLER)]
    pub(crate) house: String,
    /// What is the matter
    #[arg(long, default_value = "")]
    pub(crate) text: String,
    /// Latitude in degrees
    #[arg(long, requires = "lng", allow_negative_numbers = true)]
    pub(crate) lat: Option<String>,
    /// Longitude in degrees
    #[arg(long, requires = "lat", allow_negative_numbers = true)]
    pub(crate) lng: Option<String>,
    /// A drill, marked as one on every screen
    #[arg(long)]
    pub(crate) drill: bool,
    /// The api's address [default: that of the process running on the data folder]
    #[arg(long, value_name = "URL", env = "MAYDAY_API")]
    pub(crate) api: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Accept {
    #[command(flatten)]
    pub(crate) identity: Identity,
    /// The house that goes to help
    #[arg(long, default_value = DEMO_NEIGHBOUR)]
    pub(crate) house: String,
    /// The house that called
    #[arg(long, default_value = DEMO_CALLER)]
    pub(crate) target: String,
    /// Which of its alerts; otherwise its newest live one
    #[arg(long, value_name = "ID")]
    pub(crate) alert_id: Option<String>,
    /// The api's address [default: that of the process running on the data folder]
    #[arg(long, value_name = "URL", env = "MAYDAY_API")]
    pub(crate) api: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) identity: Identity,
    /// The house that watches
    #[arg(long, default_value = DEMO_NEIGHBOUR)]
    pub(crate) house: String,
    /// The gateway's address [default: that of the process running on the data folder]
    #[arg(long, value_name = "URL", env = "MAYDAY_GATEWAY")]
    pub(crate) gateway: Option<String>,
    /// Print each event as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// End after this many events
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct Report {
    /// The log's address [default: that of the process running on the data folder]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) log: Option<String>,
    /// Where to write it [default: reports in the data folder]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
    /// Open it in the browser
    #[arg(long)]
    pub(crate) open: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn half_a_position_is_refused_at_the_command_line() {
        assert!(Cli::try_parse_from(["mayday", "send", "--lat", "37.5"]).is_err());
        assert!(
            Cli::try_parse_from(["mayday", "send", "--lat", "-37.5", "--lng", "-127.0"]).is_ok()
        );
    }
}
