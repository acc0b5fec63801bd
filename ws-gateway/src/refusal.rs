//! Why the gateway ends a connection, and what the client is told: one `match`, no `_`.
//!
//! The client gets a word to decide by, whether to come back, and a sentence; the log gets the cause.

use resident_token::{TokenCode, TokenError};

use crate::{
    stomp::{ErrorText, ProtocolError},
    websocket::{CloseCode, WebSocketError},
};

/// Why a connection ends, other than by the client's wish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Against STOMP.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// Against WebSocket: STOMP is no longer spoken.
    #[error(transparent)]
    WebSocket(#[from] WebSocketError),
    /// The token is not good, or no longer.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The new token is somebody else's.
    #[error("the new token names another person, line or house")]
    OtherPerson,
    /// The destination is another complex's.
    #[error("this is another complex's destination")]
    OtherLine,
    /// There is no such destination.
    #[error("there is no such destination: `/sub/line/<line>` or `/user/queue/notice`")]
    UnknownDestination,
    /// No CONNECT in time.
    #[error("no CONNECT came in time")]
    ConnectTimeout,
    /// More frames than anybody needs.
    #[error("more frames than are taken from one client")]
    TooManyFrames,
    /// The person, or the house, has as many sockets as one may.
    #[error(
        "as many sockets are open as one person (20), one house (50) or one operator (200) may have"
    )]
    TooManySockets,
    /// No CONNECT came, and another took the place.
    #[error("no CONNECT came while others waited for a place")]
    MadeRoom,
    /// More subscriptions with all that was missed than anybody needs.
    #[error("more of what was missed was asked for than one person is sent")]
    TooMuchOfThePast,
    /// What the client began was not ended in time, or its memory was needed.
    #[error("a message was begun and not ended")]
    PartialMessage,
    /// The outbox is full.
    #[error("what was sent was not read")]
    SlowConsumer,
    /// Something broke here.
    #[error("an error of the gateway")]
    Internal,
    /// This gateway is being stopped.
    #[error("this gateway is being stopped")]
    Draining,
}

/// Whether, and with what, to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// The same would be refused again.
    Never,
    /// With a new token.
    NewToken,
    /// At once, with the last position.
    Now,
    /// After a while.
    Later,
}

impl Retry {
    fn as_str(self) -> &'static str {
        match self {
            Retry::Never => "never",
            Retry::NewToken => "new-token",
            Retry::Now => "now",
            Retry::Later => "later",
        }
    }
}

/// What a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The word that a program decides by.
    pub(crate) code: &'static str,
    /// A few words for the client's log.
    pub(crate) message: &'static str,
    /// Whether to come back.
    pub(crate) retry: Retry,
    /// The code that the socket is closed with.
    pub(crate) close: CloseCode,
}

impl Refusal {
    /// What the client is told.
    pub(crate) fn answer(&self) -> Answer {
        let (code, message, retry, close) = match self {
            Refusal::Protocol(error) => (
                protocol_code(error),
                "frame refused",
                Retry::Never,
                CloseCode::Protocol,
            ),
            Refusal::WebSocket(error) => (
                "bad_websocket",
                "connection failed",
                Retry::Never,
                error.close_code(),
            ),
            Refusal::Token(error) => {
                let code = error.code();
                let message = match code {
                    TokenCode::Missing => "token missing",
                    TokenCode::Invalid => "token refused",
                    TokenCode::Expired => "token expired",
                    TokenCode::InUrl => "token in the url",
                };
                (
                    code.as_str(),
                    message,
                    Retry::NewToken,
                    CloseCode::Unauthorised,
                )
            }
            Refusal::OtherPerson => (
                "token_invalid",
                "token refused",
                Retry::Never,
                CloseCode::Forbidden,
            ),
            Refusal::OtherLine => (
                "line_mismatch",
                "not your line",
                Retry::Never,
                CloseCode::Forbidden,
            ),
            Refusal::UnknownDestination => (
                "destination_unknown",
                "no such destination",
                Retry::Never,
                CloseCode::Forbidden,
            ),
            Refusal::ConnectTimeout => (
                "connect_timeout",
                "no CONNECT in time",
                Retry::Later,
                CloseCode::ConnectTimeout,
            ),
            Refusal::TooManyFrames => (
                "too_many",
                "too many frames",
                Retry::Later,
                CloseCode::TryLater,
            ),
            Refusal::TooManySockets => (
                "too_many",
                "too many sockets",
                Retry::Later,
                CloseCode::TryLater,
            ),
            Refusal::MadeRoom => (
                "connect_timeout",
                "no CONNECT in time",
                Retry::Later,
                CloseCode::ConnectTimeout,
            ),
            Refusal::TooMuchOfThePast => (
                "too_many",
                "too many subscriptions",
                Retry::Later,
                CloseCode::TryLater,
            ),
            Refusal::PartialMessage | Refusal::SlowConsumer => {
                ("too_slow", "too slow", Retry::Now, CloseCode::TooSlow)
            }
            Refusal::Internal => (
                "internal",
                "internal error",
                Retry::Later,
                CloseCode::Internal,
            ),
            Refusal::Draining => ("draining", "going away", Retry::Now, CloseCode::Restart),
        };
        Answer {
            code,
            message,
            retry,
            close,
        }
    }

    /// The ERROR frame's text. `None` where no ERROR may or can be sent: the peer does not speak WebSocket, does
    /// not read, or has done nothing wrong.
    pub(crate) fn error_text(&self) -> Option<ErrorText> {
        match self {
            Refusal::WebSocket(_) | Refusal::SlowConsumer | Refusal::Draining => None,
            Refusal::Protocol(_)
            | Refusal::Token(_)
            | Refusal::OtherPerson
            | Refusal::OtherLine
            | Refusal::UnknownDestination
            | Refusal::ConnectTimeout
            | Refusal::TooManyFrames
            | Refusal::TooManySockets
            | Refusal::MadeRoom
            | Refusal::TooMuchOfThePast
            | Refusal::PartialMessage
            | Refusal::Internal => {
                let Answer {
                    code,
                    message,
                    retry,
                    ..
                } = self.answer();
                let lists_versions =
                    matches!(self, Refusal::Protocol(ProtocolError::NoCommonVersion));
                Some(ErrorText {
                    code,
                    retry: retry.as_str(),
                    message,
                    detail: self.to_string(),
                    lists_versions,
                })
            }
        }
    }
}

fn protocol_code(error: &ProtocolError) -> &'static str {
    match error {
        ProtocolError::Parse(_) => "bad_frame",
        ProtocolError::NotConnected(_) => "not_connected",
        ProtocolError::AlreadyConnected => "already_connected",
        ProtocolError::NoCommonVersion => "version_unsupported",
        ProtocolError::BadHeartBeat => "bad_heart_beat",
        ProtocolError::UnexpectedCommand(..) => "unexpected_command",
        ProtocolError::MissingHeader { .. } => "header_missing",
        ProtocolError::BadAckMode => "bad_ack_mode",
        ProtocolError::DuplicateSubscription => "subscription_exists",
        ProtocolError::UnknownSubscription => "subscription_unknown",
        ProtocolError::TooManySubscriptions => "too_many_subscriptions",
        ProtocolError::DuplicateTransaction => "transaction_exists",
        ProtocolError::UnknownTransaction => "transaction_unknown",
        ProtocolError::TransactionTooLarge => "transaction_too_large",
        ProtocolError::SendRefused => "send_refused",
    }
}
