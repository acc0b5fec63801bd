//! How a request ends.

use super::answer_memory::AnswerBytes;
use crate::wire::ResponseBody;

/// How a request ends.
pub(super) enum RequestOutcome {
    /// With this body.
    Body(ResponseBody),
    /// With records, and the memory that they hold.
    Records(ResponseBody, AnswerBytes),
    /// Unanswered, as it asked (produce with acks=0).
    Nothing,
    /// Unanswered, and the connection is closed: the only way to say no to acks=0, and the best to send away.
    Close,
}
