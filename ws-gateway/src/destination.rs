//! What a STOMP destination means here, and who may subscribe to it. The one place where destinations are read.

use event_model::Line;
use resident_token::{Resident, Role};

use crate::disconnect_reason::DisconnectReason;

const LINE_PREFIX: &str = "/sub/line/";
const NOTICE: &str = "/user/queue/notice";
/// Queues of the original system, which its clients still subscribe to.
const QUEUE_PREFIXES: [&str; 2] = ["/queue/", "/user/queue/"];

/// What a subscription hears.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Channel {
    /// The alerts and accepts of one complex.
    Line(Line),
    /// What this gateway has to say about itself and this session.
    Notice,
    /// Nothing, ever.
    Silent,
}

impl Channel {
    /// The channel of a destination, if `resident` may hear it. Destinations are not percent-decoded; the line
    /// is normalised as everywhere, so any spelling of its name will do.
    pub(crate) fn of(destination: &str, resident: &Resident) -> Result<Self, DisconnectReason> {
        if let Some(name) = destination.strip_prefix(LINE_PREFIX) {
            return line(name, resident);
        }
        if destination == NOTICE {
            return Ok(Channel::Notice);
        }
        if QUEUE_PREFIXES
            .iter()
            .any(|prefix| destination.starts_with(prefix))
        {
            return Ok(Channel::Silent);
        }
        Err(DisconnectReason::UnknownDestination)
    }
}

fn line(name: &str, resident: &Resident) -> Result<Channel, DisconnectReason> {
    let line = Line::even_reserved(name).map_err(|_| DisconnectReason::UnknownDestination)?;
    if resident.line.as_ref() == Some(&line) || resident.roles.contains(Role::Operator) {
        return Ok(Channel::Line(line));
    }
    Err(DisconnectReason::OtherLine)
}
