//! `nodes`: list, add, remove, replace, raise-level. Who keeps the log, changed one node at a time.
//!
//! A change is asked for again and again until it is done or time is over: each try goes on from where the last one came
//! to, on whichever node leads by then. What is being waited for goes to stderr.

use std::io::Write;
use std::time::Duration;

use clap::{Args, Subcommand};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{
    AddRaftVoterRequest, ApiVersionsRequest, RemoveRaftVoterRequest, UnregisterBrokerRequest,
    UpdateFeaturesRequest,
};
use kafka_protocol::protocol::StrBytes;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::client::{CHANGE_WITHIN_MS, Client};
use super::error::{ToolError, check};
use super::options::Options;
use super::output::{Done, Output};
use super::quorum::Quorum;
use super::text::escaped;
use crate::wire::extension::{TaggedFields, replacing};

/// What one try may take on the leader; then it says what was reached.
const TRY_WITHIN_MS: i32 = 2_000;
/// Between two tries.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How long a node that was just started may take to present itself.
const PRESENTS_ITSELF_WITHIN: Duration = Duration::from_secs(10);

/// The replicated level of the log's software.
const FEATURE: &str = "mayday.version";
/// UpdateFeatures only raises.
const UPGRADE: i8 = 1;

/// `nodes`
#[derive(Args, Debug)]
pub struct Nodes {
    #[command(flatten)]
    pub(super) options: Options,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All nodes: who leads, who votes, who learns, who waits to be added.
    List,
    /// Make a waiting node a voter: it learns, catches up, and votes.
    Add(Change),
    /// Take a node out for good. The leader hands over first.
    Remove(RemoveVoter),
    /// Let a node on an empty disk take the place of the one that had its number.
    Replace(Change),
    /// Allow what the present software can do, once all nodes run it. There is no way back.
    RaiseLevel {
        /// The level [default: the highest of the software that leads].
        level: Option<i16>,
    },
}

#[derive(Args, Debug)]
struct Change {
    /// The node's number.
    #[arg(value_parser = clap::value_parser!(i32).range(0..))]
    node: i32,
    /// How many seconds to wait for it; what was reached by then stays.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    within: u64,
}

#[derive(Args, Debug)]
struct RemoveVoter {
    /// The node's number.
    #[arg(value_parser = clap::value_parser!(i32).range(0..), required_unless_present = "replica")]
    node: Option<i32>,
    /// A replica that goes by no number any more, as `list` shows it.
    #[arg(long, value_name = "NUMBER", conflicts_with = "node")]
    replica: Option<u64>,
    /// How many seconds to wait for it; what was reached by then stays.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    within: u64,
}

impl Nodes {
    pub(super) async fn run(
        self,
        client: &mut Client,
        out: &mut Output<'_, impl Write>,
    ) -> Result<(), ToolError> {
        match self.action {
            Action::List => out.answer(&Quorum::ask(client).await?),
            Action::Add(change) => out.answer(&add(client, &change).await?),
            Action::Remove(leaving) => out.answer(&remove(client, &leaving).await?),
            Action::Replace(change) => out.answer(&replace(client, &change).await?),
            Action::RaiseLevel { level } => out.answer(&raise(client, level).await?),
        }
    }
}

async fn add(client: &mut Client, change: &Change) -> Result<Done, ToolError> {
    let node = change.node;
    let is_there =
        |quorum: &Quorum| quorum.waiting(node).is_some() || quorum.member(node).is_some();
    let quorum = once(client, node, is_there).await?;
    let asked = match (quorum.member(node), quorum.waiting(node)) {
        (Some(member), _) if member.votes() => {
            return match quorum.waiting(node) {
                Some(_) => Err(ToolError::NodeNumberTaken { node }),
                None => Ok(votes(node, &quorum)),
            };
        }
        // A learner is one whose adding was not finished.
        (Some(known), None) | (None, Some(known)) => known.directory,
        (Some(_), Some(_)) => return Err(ToolError::NodeNumberTaken { node }),
        (None, None) => None,
    };
    let directory = asked.ok_or_else(|| not_waiting(node, &quorum))?;
    let adding = AddVoter {
        node,
        directory,
        replaces: TaggedFields::new(),
    };
    adding.run(client, change).await
}

async fn replace(client: &mut Client, change: &Change) -> Result<Done, ToolError> {
    let node = change.node;
    // A voter that was lost looks well until its silence is noticed: whether another waits is what tells.
    let is_there = |quorum: &Quorum| {
        let learns = quorum.member(node).is_some_and(|member| !member.votes());
        quorum.waiting(node).is_some() || learns
    };
    let quorum = once(client, node, is_there).await?;
    let (new, old) = match (quorum.waiting(node), quorum.member(node)) {
        (Some(waiting), old) => (waiting, old.or_else(|| quorum.nameless())),
        (None, Some(member)) if member.is_well() => return Ok(votes(node, &quorum)),
        // A replacement that was not finished: the new one has the number, the old one has none any more.
        (None, Some(learner)) if !learner.votes() => (learner, quorum.nameless()),
        (None, _) => return Err(not_waiting(node, &quorum)),
    };
    let directory = new.directory.ok_or_else(|| not_waiting(node, &quorum))?;
    let old = old.and_then(|old| old.directory);
    let old = old.ok_or(ToolError::NothingToReplace { node })?;
    let adding = AddVoter {
        node,
        directory,
        replaces: replacing(old),
    };
    adding.run(client, change).await
}

/// The quorum, once the node stands in it as it should, or as it is when time is over: the node may have been started a
/// moment ago.
async fn once(
    client: &mut Client,
    node: i32,
    stands: impl Fn(&Quorum) -> bool,
) -> Result<Quorum, ToolError> {
    let mut told = Progress::default();
    let waited = timeout(PRESENTS_ITSELF_WITHIN, async {
        loop {
            match Quorum::ask(client).await {
                Ok(quorum) if stands(&quorum) => return Ok(quorum),
                // For a moment the others still name a leader that was lost.
                Err(error) if !error.is_unreachable() => return Err(error),
                Ok(_) | Err(_) => {}
            }
            told.tell(&format!("waiting for node {node} to present itself"));
            sleep(AGAIN_AFTER).await;
        }
    });
    match waited.await {
        Ok(presented) => presented,
        Err(_) => Quorum::ask(client).await,
    }
}

fn votes(node: i32, quorum: &Quorum) -> Done {
    Done {
        done: format!("node {node} is one of {} voters", quorum.voters()),
    }
}

fn not_waiting(node: i32, quorum: &Quorum) -> ToolError {
    ToolError::NodeNotWaiting {
        node,
        waiting: quorum.waiting_nodes(),
    }
}

/// A replica on its way to vote.
struct AddVoter {
    node: i32,
    directory: Uuid,
    /// Says in whose place.
    replaces: TaggedFields,
}

impl AddVoter {
    async fn run(self, client: &mut Client, change: &Change) -> Result<Done, ToolError> {
        let request = AddRaftVoterRequest::default()
            .with_cluster_id(None)
            .with_timeout_ms(TRY_WITHIN_MS)
            .with_voter_id(self.node)
            .with_voter_directory_id(self.directory)
            .with_unknown_tagged_fields(self.replaces);
        until_done(change.within, client, async |client| {
            let answer = client.ask_controller(0, request.clone()).await?;
            let message = answer.error_message.as_deref();
            check(format!("node {}", self.node), answer.error_code, message)
        })
        .await?;
        Ok(votes(self.node, &Quorum::ask(client).await?))
    }
}

async fn remove(client: &mut Client, leaving: &RemoveVoter) -> Result<Done, ToolError> {
    let quorum = Quorum::ask(client).await?;
    let member = match leaving.node {
        Some(node) => quorum.member(node),
        None => leaving
            .replica
            .and_then(|replica| quorum.of_replica(replica)),
    };
    let node = leaving.node.or(member.and_then(|member| member.node));
    let about = node.map_or_else(|| "the replica".to_owned(), |node| format!("node {node}"));
    match member.and_then(|member| member.directory) {
        Some(directory) => take_out(client, leaving, &about, node, directory).await?,
        None if node.is_some_and(|node| quorum.is_former(node)) => {}
        None => return Err(ToolError::NoSuchNode { about }),
    }
    if let Some(node) = node {
        forget(client, leaving, node).await?;
    }
    let voters = Quorum::ask(client).await?.voters();
    Ok(Done {
        done: format!("{about} is removed: {voters} voters are left"),
    })
}

async fn take_out(
    client: &mut Client,
    leaving: &RemoveVoter,
    about: &str,
    node: Option<i32>,
    directory: Uuid,
) -> Result<(), ToolError> {
    let request = RemoveRaftVoterRequest::default()
        .with_cluster_id(None)
        .with_voter_id(node.unwrap_or(-1))
        .with_voter_directory_id(directory);
    until_done(leaving.within, client, async |client| {
        let answer = client.ask_controller(0, request.clone()).await?;
        if answer.error_code == ResponseError::VoterNotFound.code() {
            // An earlier try was carried out, and its answer was lost.
            return Ok(());
        }
        check(about, answer.error_code, answer.error_message.as_deref())
    })
    .await
}

/// Clients are no longer told of it.
async fn forget(client: &mut Client, leaving: &RemoveVoter, node: i32) -> Result<(), ToolError> {
    let request = UnregisterBrokerRequest::default().with_broker_id(node.into());
    until_done(leaving.within, client, async |client| {
        let answer = client.ask_controller(0, request.clone()).await?;
        if answer.error_code == ResponseError::BrokerIdNotRegistered.code() {
            return Ok(());
        }
        let message = answer.error_message.as_deref();
        check(format!("node {node}"), answer.error_code, message)
    })
    .await
}

async fn raise(client: &mut Client, level: Option<i16>) -> Result<Done, ToolError> {
    let level = match level {
        Some(level) => level,
        None => highest_level(client).await?,
    };
    let update = FeatureUpdateKey::default()
        .with_feature(StrBytes::from_static_str(FEATURE))
        .with_max_version_level(level)
        .with_upgrade_type(UPGRADE);
    let request = UpdateFeaturesRequest::default()
        .with_timeout_ms(CHANGE_WITHIN_MS)
        .with_feature_updates(vec![update]);
    let answer = client.ask_controller(1, request).await?;
    let about = format!("level {level}");
    check(&about, answer.error_code, answer.error_message.as_deref())?;
    for result in &answer.results {
        check(&about, result.error_code, result.error_message.as_deref())?;
    }
    Ok(Done {
        done: format!("the log works at level {level}"),
    })
}

/// What the software of the node that leads has.
async fn highest_level(client: &mut Client) -> Result<i16, ToolError> {
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("log-core-tools"))
        .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
    let answer = client.ask_controller(3, request).await?;
    check("the feature level", answer.error_code, None)?;
    let mut features = answer.supported_features.into_iter();
    let ours = features.find(|feature| feature.name.as_str() == FEATURE);
    ours.map(|feature| feature.max_version)
        .ok_or_else(|| ToolError::Silent {
            api: "ApiVersions",
            about: FEATURE.to_owned(),
        })
}

/// Tries again and again, on whichever node leads by then.
async fn until_done(
    within_secs: u64,
    client: &mut Client,
    attempt: impl AsyncFn(&mut Client) -> Result<(), ToolError>,
) -> Result<(), ToolError> {
    let within = Duration::from_secs(within_secs);
    let mut told = Progress::default();
    let tries = async {
        loop {
            match attempt(client).await {
                Err(error) if error.may_pass() => told.tell(&error.in_short()),
                done => return done,
            }
            sleep(AGAIN_AFTER).await;
        }
    };
    match timeout(within, tries).await {
        Ok(done) => done,
        Err(_) => Err(ToolError::NotInTime {
            within,
            reached: told.last,
        }),
    }
}

/// What is being waited for, on stderr: each sentence once.
#[derive(Default)]
struct Progress {
    last: String,
}

impl Progress {
    fn tell(&mut self, what: &str) {
        if self.last != what {
            eprintln!("{}", escaped(what));
            what.clone_into(&mut self.last);
        }
    }
}
