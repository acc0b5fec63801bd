//! Where a broker is reached.

use serde::{Deserialize, Serialize};

/// The name of the listener for the other nodes.
pub(crate) const PEER: &str = "PEER";

/// An address that clients reach a broker at (`advertised.listeners`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The listener's name; a client is answered with the addresses of the listener that it asked.
    pub name: String,
    /// Host name or address literal.
    pub host: String,
    /// Port.
    pub port: u16,
}
