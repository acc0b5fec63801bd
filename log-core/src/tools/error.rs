//! Why a tool could not do what it was asked, in one sentence each.

use std::io;
use std::time::Duration;

use kafka_protocol::ResponseError;

use crate::ids::Offset;
use crate::record::{HeaderError, UndecodableRecord};
use crate::wire::AnswerError;

/// Why a tool could not do what it was asked.
///
/// Where it was to change something, nothing was changed, but for [`Self::NoAnswer`] and [`Self::Lost`]: there the log
/// may or may not have done it, and asking again is safe. Of several topics to be deleted each is or is not by itself.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Nobody answers there.
    #[error("{server} cannot be reached (is the log running, is --server right?)")]
    Unreachable {
        /// Where.
        server: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The connection stands, and nothing comes.
    #[error("{server} did not answer {api} within {} seconds", within.as_secs())]
    NoAnswer {
        /// Where.
        server: String,
        /// What was asked, by Kafka's name.
        api: &'static str,
        /// How long we waited.
        within: Duration,
    },
    /// The connection broke before the answer came.
    #[error("the connection to {server} ended before {api} was answered")]
    Lost {
        /// Where.
        server: String,
        /// What was asked, by Kafka's name.
        api: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What came is no answer to what was asked.
    #[error("{server} does not speak the Kafka protocol as this tool does")]
    NotKafka {
        /// Where.
        server: String,
        /// What was wrong.
        #[source]
        source: AnswerError,
    },
    /// What came claims to be larger than any answer.
    #[error(
        "{server} answers {api} with {bytes} bytes: no Kafka answer is that long, is it another service?"
    )]
    TooLong {
        /// Where.
        server: String,
        /// What was asked, by Kafka's name.
        api: &'static str,
        /// The length claimed.
        bytes: u32,
    },
    /// An answer lacks what it was asked for.
    #[error("{api} was answered without a word about {about}")]
    Silent {
        /// What was asked, by Kafka's name.
        api: &'static str,
        /// What is missing.
        about: String,
    },
    /// There is no leader to ask.
    #[error("{about} has no leader at the moment: try again in a few seconds")]
    NoLeader {
        /// What has none.
        about: String,
    },
    /// No topic has that name.
    #[error("there is no topic {topic}")]
    NoSuchTopic {
        /// The name.
        topic: String,
    },
    /// The topic has fewer partitions.
    #[error("topic {topic} has no partition {partition}: it has {count}, from 0")]
    NoSuchPartition {
        /// The topic.
        topic: String,
        /// The partition asked for.
        partition: i32,
        /// How many there are.
        count: usize,
    },
    /// No group has that name.
    #[error("there is no group {group}")]
    NoSuchGroup {
        /// The name.
        group: String,
    },
    /// No replica waits to be that node.
    #[error(
        "node {node} does not wait to be added: start it on an empty data folder, with --peers naming the nodes of this \
         log, and ask again (waiting now: {})",
        listed(waiting)
    )]
    NodeNotWaiting {
        /// The number.
        node: i32,
        /// Those that do wait.
        waiting: Vec<i32>,
    },
    /// A replica waits to be a node that there is already.
    #[error(
        "there is a node {node} already: if its disk was lost, ask for `nodes replace {node}`; if not, start the new \
         one with another --node-id"
    )]
    NodeNumberTaken {
        /// The number.
        node: i32,
    },
    /// There is no node of that number whose place could be taken.
    #[error("there is no node {node} to replace: ask for `nodes add {node}`")]
    NothingToReplace {
        /// The number.
        node: i32,
    },
    /// There is no such node.
    #[error("there is no {about}: `nodes list` shows those that there are")]
    NoSuchNode {
        /// What was asked for.
        about: String,
    },
    /// It was not done by then. What was reached stays.
    #[error("not done within {} seconds, ask again to go on ({reached})", within.as_secs())]
    NotInTime {
        /// How long we tried.
        within: Duration,
        /// How far it came.
        reached: String,
    },
    /// The group has members, which would go on from where they are.
    #[error("group {group} is in use: stop its members first")]
    GroupInUse {
        /// The name.
        group: String,
    },
    /// The offset lies outside the partition.
    #[error("{topic}-{partition} holds the offsets from {} up to {} (exclusive), not {}", start.0, end.0, offset.0)]
    OffsetOutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What was asked for.
        offset: Offset,
        /// The first there is.
        start: Offset,
        /// The next there will be.
        end: Offset,
    },
    /// The log said no.
    #[error("{about}: the log refuses ({code:?}{})", reason(message.as_deref(), *code))]
    Refused {
        /// What was asked for.
        about: String,
        /// Kafka's code.
        code: ResponseError,
        /// The log's sentence, where it has one.
        message: Option<String>,
    },
    /// A batch came damaged.
    #[error("{topic}-{partition}: the batch at offset {} is damaged", offset.0)]
    DamagedBatch {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where it was looked for.
        offset: Offset,
        /// What is wrong with it.
        #[source]
        source: BatchDamage,
    },
    /// What was found cannot be written out.
    #[error("the answer cannot be written")]
    Output(#[source] io::Error),
}

/// What is wrong with a batch.
#[derive(Debug, thiserror::Error)]
pub enum BatchDamage {
    /// Its header.
    #[error(transparent)]
    Header(HeaderError),
    /// Its checksum.
    #[error("its checksum does not match")]
    Checksum,
    /// Its records.
    #[error(transparent)]
    Records(UndecodableRecord),
}

impl ToolError {
    /// Whether the log was not there to be asked: it may be later.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::NoAnswer { .. }
                | Self::Lost { .. }
                | Self::NoLeader { .. }
        )
    }

    /// Whether the reader of the answer went away, as `| head` does: nothing to complain about.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether trying again may help: there was no leader, another one leads by now, or it takes longer.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.is_retriable(),
            other => other.is_unreachable(),
        }
    }

    /// The log's own sentence, where it has one.
    pub(super) fn in_short(&self) -> String {
        match self {
            Self::Refused {
                message: Some(message),
                ..
            } => message.clone(),
            other => other.to_string(),
        }
    }

    pub(super) fn refused(
        about: impl Into<String>,
        code: ResponseError,
        message: Option<&str>,
    ) -> Self {
        Self::Refused {
            about: about.into(),
            code,
            message: message.map(str::to_owned),
        }
    }
}

fn listed(nodes: &[i32]) -> String {
    if nodes.is_empty() {
        return "none".to_owned();
    }
    let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    nodes.join(", ")
}

fn reason(message: Option<&str>, code: ResponseError) -> String {
    match message {
        Some(message) if !message.is_empty() => format!(": {message}"),
        _ if code.is_retriable() => ": try again in a few seconds".to_owned(),
        _ => String::new(),
    }
}

/// Fails with `about` where an answer carries an error's code.
pub(super) fn check(
    about: impl Into<String>,
    code: i16,
    message: Option<&str>,
) -> Result<(), ToolError> {
    match ResponseError::try_from_code(code) {
        None => Ok(()),
        Some(code) => Err(ToolError::refused(about, code, message)),
    }
}
