//! Close codes: the protocol's own (RFC 6455 section 7.4.1) and ours.

/// Why a socket is closed, in the number that the client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// The session is over.
    Normal,
    /// Against the protocol.
    Protocol,
    /// Text that is not UTF-8.
    InvalidData,
    /// A message that is too big.
    TooBig,
    /// Something broke here.
    Internal,
    /// The gateway is being stopped: come back, to another one perhaps.
    Restart,
    /// The token has expired, or there was none: come back with a new one.
    Unauthorised,
    /// Not permitted with this token: do not come back.
    Forbidden,
    /// No CONNECT in time.
    ConnectTimeout,
    /// Reads too slowly: come back with the last position.
    TooSlow,
    /// Too many: come back later.
    TryLater,
}

impl CloseCode {
    /// The number on the wire.
    pub fn as_u16(self) -> u16 {
        match self {
            CloseCode::Normal => 1000,
            CloseCode::Protocol => 1002,
            CloseCode::InvalidData => 1007,
            CloseCode::TooBig => 1009,
            CloseCode::Internal => 1011,
            CloseCode::Restart => 1012,
            CloseCode::Unauthorised => 4401,
            CloseCode::Forbidden => 4403,
            CloseCode::ConnectTimeout => 4408,
            CloseCode::TooSlow => 4413,
            CloseCode::TryLater => 4429,
        }
    }
}
