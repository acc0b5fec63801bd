//! Proposing a command and waiting for its outcome, with a deadline.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use tokio::time::timeout;

use crate::broker::error_code::{Asked, of_command_error, of_deadline, of_propose_error};
use crate::broker::service::Service;
use crate::node::{Leadership, Outcome, ProposeError, TooManyPartitions};
use crate::state::{Command, CommandError, Response};

/// The longest that a client may make us wait for one proposal: beyond it a thousand abandoned requests would pile up.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Why a command has no response: a code for the client, and a sentence where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) code: ResponseError,
    pub(super) message: Option<String>,
}

impl Failed {
    pub(super) fn of(code: ResponseError, message: impl Into<String>) -> Self {
        Self {
            code,
            message: Some(message.into()),
        }
    }
}

impl From<ResponseError> for Failed {
    fn from(code: ResponseError) -> Self {
        Self {
            code,
            message: None,
        }
    }
}

impl From<TooManyPartitions> for Failed {
    fn from(too_many: TooManyPartitions) -> Self {
        Self::of(ResponseError::PolicyViolation, too_many.to_string())
    }
}

impl From<&CommandError> for Failed {
    fn from(refusal: &CommandError) -> Self {
        Self {
            code: of_command_error(refusal),
            message: Some(refusal.to_string()),
        }
    }
}

/// An outcome as answers have it: a code, and a sentence where there is one.
pub(super) fn told(done: Result<(), Failed>) -> (i16, Option<StrBytes>) {
    match done {
        Ok(()) => (0, None),
        Err(failed) => (
            failed.code.code(),
            failed.message.map(StrBytes::from_string),
        ),
    }
}

/// How long a client that says `timeout_ms` waits.
pub(super) fn deadline(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0)).min(WAIT_MAX)
}

/// Proposes and waits until the command is applied.
pub(super) async fn settle(
    service: &Service,
    command: Command,
    asked: Asked,
    wait: Duration,
) -> Result<Response, Failed> {
    let outcome = async { service.replica().propose(command).await?.outcome().await };
    settle_within(wait, outcome, asked).await
}

/// Carries a command out here, where this node leads; through the leader, where another does.
pub(super) async fn carry_out(
    service: &Service,
    command: Command,
) -> Result<Outcome, ProposeError> {
    match service.replica().leadership() {
        Leadership::Leader { .. } => service.replica().propose(command).await?.outcome().await,
        Leadership::Starting | Leadership::Follower { .. } => service.forward(command).await,
    }
}

/// Where the operator can do something about it, the client is told what.
fn unproposed(error: ProposeError, asked: Asked) -> Failed {
    let code = of_propose_error(error, asked);
    match code {
        ResponseError::PolicyViolation => Failed::of(code, error.to_string()),
        code => code.into(),
    }
}

/// Waits for an outcome that is under way.
pub(super) async fn settle_within(
    wait: Duration,
    outcome: impl Future<Output = Result<Outcome, ProposeError>>,
    asked: Asked,
) -> Result<Response, Failed> {
    match timeout(wait, outcome).await {
        Ok(Ok(Ok(response))) => Ok(response),
        Ok(Ok(Err(CommandError::ProposerDeposed))) => {
            Err(of_propose_error(ProposeError::NotLeader, asked).into())
        }
        Ok(Ok(Err(refusal))) => Err(Failed::from(&refusal)),
        Ok(Err(error)) => Err(unproposed(error, asked)),
        Err(_) => Err(of_deadline(asked).into()),
    }
}
