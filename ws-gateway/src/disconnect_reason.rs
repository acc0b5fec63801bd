//! Why the gateway ends a connection, and what the client is told: one `match`, no `_`.
//!
//! The client gets a word to decide by, whether to come back, and a sentence; the log gets the cause.

use resident_token::{TokenCode, TokenError};

use crate::{
    stomp::{ErrorText, ProtocolError},
    websocket::{CloseCode, WebSocketError},
};

const FORBIDDEN: CloseCode = CloseCode::Forbidden;
const TRY_LATER: CloseCode = CloseCode::TryLater;

/// Why a connection ends, other than by the client's wish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DisconnectReason {
    /// Against STOMP.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// Against WebSocket: STOMP is no longer spoken.
    #[error(transparent)]
    WebSocket(#[from] WebSocketError),
    /// The token is not good, or no longer.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The new token names another person, line or house.
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
    /// More frames than a client needs.
    #[error("more frames than are taken from one client")]
    TooManyFrames,
    /// The person, or the house, has as many sockets as one may.
    #[error(
        "as many sockets are open as one person (20), one house (50) or one operator (200) may have"
    )]
    TooManySockets,
    /// No CONNECT came, and another took the place.
    #[error("no CONNECT came while others waited for a place")]
    Evicted,
    /// More subscriptions with all that was missed than one person needs.
    #[error("more of what was missed was asked for than one person is sent")]
    BackfillTooLarge,
    /// What the client began was not ended in time, or its memory was needed.
    #[error("a message was begun and not ended")]
    PartialMessage,
    /// The write queue is full.
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
pub(crate) enum RetryAdvice {
    /// The same would be refused again.
    Never,
    /// With a new token.
    NewToken,
    /// At once, with the last position.
    Now,
    /// After a while.
    Later,
}

impl RetryAdvice {
    fn as_str(self) -> &'static str {
        match self {
            RetryAdvice::Never => "never",
            RetryAdvice::NewToken => "new-token",
            RetryAdvice::Now => "now",
            RetryAdvice::Later => "later",
        }
    }
}

/// What a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorReply {
    /// The word that a program decides by.
    pub(crate) code: &'static str,
    /// A few words for the client's log.
    pub(crate) message: &'static str,
    /// Whether to come back.
    pub(crate) retry: RetryAdvice,
    /// The code that the socket is closed with.
    pub(crate) close: CloseCode,
}

impl DisconnectReason {
    /// What the client is told.
    pub(crate) fn reply(&self) -> ErrorReply {
        use RetryAdvice::{Later, Never, NewToken, Now};
        let (code, message, retry, close) = match self {
            Self::Protocol(error) => {
                let code = protocol_code(error);
                (code, "frame refused", Never, CloseCode::Protocol)
            }
            Self::WebSocket(error) => {
                let close = error.close_code();
                ("bad_websocket", "connection failed", Never, close)
            }
            Self::Token(error) => {
                let code = error.code();
                let message = match code {
                    TokenCode::Missing => "token missing",
                    TokenCode::Invalid => "token refused",
                    TokenCode::Expired => "token expired",
                    TokenCode::InUrl => "token in the url",
                };
                (code.as_str(), message, NewToken, CloseCode::Unauthorised)
            }
            Self::OtherPerson => ("token_invalid", "token refused", Never, FORBIDDEN),
            Self::OtherLine => ("line_mismatch", "not your line", Never, FORBIDDEN),
            Self::UnknownDestination => {
                let message = "no such destination";
                ("destination_unknown", message, Never, FORBIDDEN)
            }
            Self::ConnectTimeout | Self::Evicted => {
                let close = CloseCode::ConnectTimeout;
                ("connect_timeout", "no CONNECT in time", Later, close)
            }
            Self::TooManyFrames => ("too_many", "too many frames", Later, TRY_LATER),
            Self::TooManySockets => ("too_many", "too many sockets", Later, TRY_LATER),
            Self::BackfillTooLarge => ("too_many", "too many subscriptions", Later, TRY_LATER),
            Self::PartialMessage | Self::SlowConsumer => {
                ("too_slow", "too slow", Now, CloseCode::TooSlow)
            }
            Self::Internal => ("internal", "internal error", Later, CloseCode::Internal),
            Self::Draining => ("draining", "going away", Now, CloseCode::Restart),
        };
        ErrorReply {
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
            Self::WebSocket(_) | Self::SlowConsumer | Self::Draining => None,
            Self::Protocol(_)
            | Self::Token(_)
            | Self::OtherPerson
            | Self::OtherLine
            | Self::UnknownDestination
            | Self::ConnectTimeout
            | Self::TooManyFrames
            | Self::TooManySockets
            | Self::Evicted
            | Self::BackfillTooLarge
            | Self::PartialMessage
            | Self::Internal => {
                let reply = self.reply();
                Some(ErrorText {
                    code: reply.code,
                    retry: reply.retry.as_str(),
                    message: reply.message,
                    detail: self.to_string(),
                    lists_versions: matches!(self, Self::Protocol(ProtocolError::NoCommonVersion)),
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
