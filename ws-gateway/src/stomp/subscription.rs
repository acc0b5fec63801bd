//! How a subscription is called between session and shell, and how its messages are acknowledged.

/// A subscription of one session; never used again in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionKey(pub u32);

/// How a subscription's messages are acknowledged (STOMP 1.2 SUBSCRIBE, ack).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AckMode {
    /// Sent is received: no ACK is expected.
    #[default]
    Auto,
    /// An ACK also stands for everything before it on the subscription.
    Client,
    /// An ACK stands for one message.
    ClientIndividual,
}

impl AckMode {
    pub(super) fn from_header(value: Option<&str>) -> Option<AckMode> {
        match value {
            None | Some("auto") => Some(AckMode::Auto),
            Some("client") => Some(AckMode::Client),
            Some("client-individual") => Some(AckMode::ClientIndividual),
            Some(_) => None,
        }
    }
}
