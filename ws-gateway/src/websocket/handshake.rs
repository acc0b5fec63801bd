//! The opening handshake, the server's side (RFC 6455 section 4.2), on headers that HTTP has already parsed.

use axum::http::{HeaderMap, HeaderValue, Method, Request, Version, header};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// STOMP's names as WebSocket subprotocols, the highest version first.
const SUBPROTOCOLS: [&str; 3] = ["v12.stomp", "v11.stomp", "v10.stomp"];

/// Why a request is no opening handshake of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Not a GET of HTTP/1.1 with `Connection: upgrade` and `Upgrade: websocket`.
    #[error("this is a websocket: send an upgrade request")]
    NotAnUpgrade,
    /// Another version of the protocol than 13.
    #[error("websocket version 13 is spoken here")]
    WrongVersion,
    /// No `Sec-WebSocket-Key` of 16 bytes.
    #[error("sec-websocket-key is not sixteen bytes in base64")]
    BadKey,
}

/// The headers that accept a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// `Sec-WebSocket-Accept`.
    pub accept: String,
    /// `Sec-WebSocket-Protocol`: exactly one of the client's list, the highest version of STOMP in it. `None` if
    /// it offered none, or none that we know. It does not fix STOMP's version: CONNECT does.
    pub subprotocol: Option<&'static str>,
}

impl Handshake {
    /// Reads a client's half.
    ///
    /// # Errors
    ///
    /// The request is no opening handshake of ours.
    pub fn read<Body>(request: &Request<Body>) -> Result<Self, HandshakeError> {
        let headers = request.headers();
        let is_upgrade = request.method() == Method::GET
            && request.version() == Version::HTTP_11
            && lists(headers, header::CONNECTION, "upgrade")
            && lists(headers, header::UPGRADE, "websocket");
        if !is_upgrade {
            return Err(HandshakeError::NotAnUpgrade);
        }
        if headers
            .get(header::SEC_WEBSOCKET_VERSION)
            .is_none_or(|version| version != "13")
        {
            return Err(HandshakeError::WrongVersion);
        }
        let key = headers
            .get(header::SEC_WEBSOCKET_KEY)
            .filter(|key| is_key(key))
            .ok_or(HandshakeError::BadKey)?;
        Ok(Self {
            accept: derive_accept_key(key.as_bytes()),
            subprotocol: subprotocol(headers),
        })
    }
}

/// Sixteen bytes in base64 are 22 characters and two of padding.
fn is_key(key: &HeaderValue) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    matches!(key.as_bytes(), [digits @ .., b'=', b'='] if digits.len() == 22 && digits.iter().all(is_digit))
}

fn subprotocol(headers: &HeaderMap) -> Option<&'static str> {
    SUBPROTOCOLS.into_iter().find(|known| {
        items(headers, header::SEC_WEBSOCKET_PROTOCOL).any(|offered| offered == *known)
    })
}

fn lists(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(token))
}

fn items(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(',').map(str::trim))
}
