//! The secret that the nodes of a cluster share, and what proves that a node knows it.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The fewest bytes of a secret. An eavesdropper on a handshake can try secrets at home, so it must not be a word.
pub const SECRET_BYTES_MIN: usize = 16;
/// A proof's bytes: those of HMAC-SHA-256.
pub(super) const PROOF_BYTES: usize = 32;

/// What the nodes of a cluster share and nobody else knows. Never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerSecret(Arc<[u8]>);

/// Why bytes are no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the peers' secret has {found} bytes and needs at least {SECRET_BYTES_MIN}; `head -c 32 /dev/urandom | base64` makes one"
)]
pub struct SecretTooShort {
    /// How many there are.
    pub found: usize,
}

impl PeerSecret {
    /// Takes a secret as a file or a variable holds it: white space around it is not part of it.
    ///
    /// # Errors
    /// [`SecretTooShort`].
    pub fn new(bytes: &[u8]) -> Result<Self, SecretTooShort> {
        let bytes = bytes.trim_ascii();
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(SecretTooShort { found: bytes.len() });
        }
        Ok(Self(bytes.into()))
    }

    /// Proves that one end knows the secret, on this connection alone: `said` holds what both ends have said so far,
    /// a random number of each among it.
    pub(super) fn proof(&self, end: End, said: &[u8]) -> [u8; PROOF_BYTES] {
        self.code(end, said).finalize().into_bytes().into()
    }

    /// Whether the other end has proved that it knows the secret. Takes as long for a wrong proof as for a right one.
    pub(super) fn accepts(&self, proof: &[u8; PROOF_BYTES], end: End, said: &[u8]) -> bool {
        self.code(end, said).verify_slice(proof).is_ok()
    }

    fn code(&self, end: End, said: &[u8]) -> Hmac<Sha256> {
        let mut code =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length will do");
        code.update(end.label());
        code.update(said);
        code
    }
}

impl fmt::Debug for PeerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerSecret(hidden)")
    }
}

/// Whose proof it is: one end's cannot be sent back as the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Who connected.
    Caller,
    /// Who accepted.
    Answerer,
}

impl End {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Caller => b"log-core peers, caller\0",
            Self::Answerer => b"log-core peers, answerer\0",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> PeerSecret {
        PeerSecret::new(text.as_bytes()).expect("long enough")
    }

    #[test]
    fn a_proof_holds_for_one_secret_one_end_and_one_conversation() {
        let ours = secret("sixteen bytes or more");
        let proof = ours.proof(End::Caller, b"said");

        assert!(ours.accepts(&proof, End::Caller, b"said"));
        assert!(!ours.accepts(&proof, End::Answerer, b"said"));
        assert!(!ours.accepts(&proof, End::Caller, b"said before"));
        assert!(!secret("sixteen bytes or less").accepts(&proof, End::Caller, b"said"));
    }

    #[test]
    fn a_line_break_after_a_secret_is_not_part_of_it_and_a_short_one_is_refused() {
        assert_eq!(secret("0123456789abcdef\n"), secret("0123456789abcdef"));
        assert_eq!(
            PeerSecret::new(b"0123456789abcde \n"),
            Err(SecretTooShort { found: 15 })
        );
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(
            format!("{:?}", secret("0123456789abcdef")),
            "PeerSecret(hidden)"
        );
    }
}
