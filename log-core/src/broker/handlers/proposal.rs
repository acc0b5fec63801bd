//! Proposing a command and waiting for its outcome, with a deadline.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use tokio::time::timeout;

use crate::broker::error_code::{ErrorScope, of_command_error, of_deadline, of_propose_error};
use crate::broker::service::Service;
use crate::node::{Leadership, Outcome, ProposeError, TooManyPartitions};
use crate::state::{Command, CommandError, Response};

/// The longest that a client may make us wait for one proposal: beyond it a thousand abandoned requests would pile up.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Why a command has no response: a code for the client, and a sentence where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ErrorResponse {
    pub(super) code: ResponseError,
    pub(super) message: Option<String>,
}

impl ErrorResponse {
    pub(super) fn of(code: ResponseError, message: impl Into<String>) -> Self {
        Self {
            code,
            message: Some(message.into()),
        }
    }
}

impl From<ResponseError> for ErrorResponse {
    fn from(code: ResponseError) -> Self {
        Self {
            code,
            message: None,
        }
    }
}

impl From<TooManyPartitions> for ErrorResponse {
    fn from(too_many: TooManyPartitions) -> Self {
        Self::of(ResponseError::PolicyViolation, too_many.to_string())
    }
}

impl From<&CommandError> for ErrorResponse {
    fn from(refusal: &CommandError) -> Self {
        Self {
            code: of_command_error(refusal),
            message: Some(refusal.to_string()),
        }
    }
}

/// An outcome as answers have it: a code, and a sentence where there is one.
pub(super) fn to_wire(done: Result<(), ErrorResponse>) -> (i16, Option<StrBytes>) {
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
pub(super) async fn propose_and_wait(
    service: &Service,
    command: Command,
    scope: ErrorScope,
    wait: Duration,
) -> Result<Response, ErrorResponse> {
    let outcome = async { service.replica().propose(command).await?.outcome().await };
    wait_for_outcome(wait, outcome, scope).await
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
fn unproposed(error: ProposeError, scope: ErrorScope) -> ErrorResponse {
    let code = of_propose_error(error, scope);
    match code {
        ResponseError::PolicyViolation => ErrorResponse::of(code, error.to_string()),
        code => code.into(),
    }
}

/// Waits for an outcome that is under way.
pub(super) async fn wait_for_outcome(
    wait: Duration,
    outcome: impl Future<Output = Result<Outcome, ProposeError>>,
    scope: ErrorScope,
) -> Result<Response, ErrorResponse> {
    match timeout(wait, outcome).await {
        Ok(Ok(Ok(response))) => Ok(response),
        Ok(Ok(Err(CommandError::ProposerDeposed))) => {
            Err(of_propose_error(ProposeError::NotLeader, scope).into())
        }
        Ok(Ok(Err(refusal))) => Err(ErrorResponse::from(&refusal)),
        Ok(Err(error)) => Err(unproposed(error, scope)),
        Err(_) => Err(of_deadline(scope).into()),
    }
}
