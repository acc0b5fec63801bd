//! The keys that tokens are checked with. Each has one algorithm, fixed when it is read.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dashmap::DashSet;
use jsonwebtoken::{DecodingKey, crypto, jwk};
use serde::Deserialize;

use crate::{KeyError, TokenError, file::read_file, jws::Compact};

/// The shortest HS256 secret that is taken: as long as the hash (RFC 7518 section 3.2).
pub const SECRET_BYTES_MIN: usize = 32;

/// The most keys of a file that are read: a token without `kid` is tried against each that fits.
const KEYS_MAX: usize = 16;

/// How a token may be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256, for a secret.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, for an RSA key of 2048 to 8192 bits.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The value of a header's `alg`.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    fn of_the_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// A secret shared with whoever issues tokens. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Takes a secret of at least [`SECRET_BYTES_MIN`] bytes. A line end after it belongs to the file it was in.
    ///
    /// # Errors
    ///
    /// [`KeyError::SecretTooShort`], or [`KeyError::SecretIsPem`] for the text of a key file.
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let secret = secret.as_ref().trim_ascii_end();
        if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Err(KeyError::SecretIsPem);
        }
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::SecretTooShort {
                bytes: secret.len(),
                bytes_min: SECRET_BYTES_MIN,
            });
        }
        Ok(Self(secret.into()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Where keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// An HS256 secret.
    Secret(Secret),
    /// A file with an HS256 secret and nothing else.
    SecretFile(PathBuf),
    /// A file with one public key: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA).
    PemFile(PathBuf),
    /// A file with a JWK Set (RFC 7517). Keys in it that we do not use are passed over.
    JwksFile(PathBuf),
}

/// All keys in use. A token is checked only with those of its own algorithm and key id.
///
/// What one of them signed is known for as long as they are in use: a public key's signature costs forty hashes and more, and
/// residents come back by the thousand, with the tokens that they had, when a network is back.
#[derive(Debug)]
pub(crate) struct Keys {
    keys: Vec<Key>,
    /// SHA-256 of whole tokens with a public key's signature. The other keys are no dearer than this.
    signed: DashSet<[u8; 32]>,
}

/// Tokens whose signatures are known: 65,536 take some 4 MB. At more, all are forgotten.
const SIGNED_MAX: usize = 65_536;

#[derive(Debug)]
struct Key {
    algorithm: Algorithm,
    /// A key without an id fits a token with any.
    id: Option<String>,
    material: DecodingKey,
}

impl Keys {
    fn of(keys: Vec<Key>) -> Self {
        Self {
            keys,
            signed: DashSet::new(),
        }
    }

    pub(crate) fn are_the_same_as(&self, other: &Self) -> bool {
        self.keys == other.keys
    }

    pub(crate) fn none() -> Self {
        Self::of(Vec::new())
    }

    pub(crate) fn read(sources: &[KeySource]) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for source in sources {
            match source {
                KeySource::Secret(secret) => keys.push(Key::of_secret(secret)),
                KeySource::SecretFile(path) => keys.push(Key::of_secret_in(path)?),
                KeySource::PemFile(path) => keys.push(Key::of_pem(path)?),
                KeySource::JwksFile(path) => keys.extend(keys_of_jwks(path)?),
            }
        }
        if keys.is_empty() {
            Err(KeyError::NoKeys)
        } else {
            Ok(Self::of(keys))
        }
    }

    pub(crate) fn check_signature(&self, token: &Compact<'_>) -> Result<(), TokenError> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(token)).peekable();
        let first = fitting.peek().ok_or(TokenError::UnknownKey)?;
        let hash = (first.algorithm != Algorithm::Hs256).then(|| token.sha256());
        if hash.is_some_and(|hash| self.signed.contains(&hash)) {
            return Ok(());
        }
        if !fitting.any(|key| key.signed(token)) {
            return Err(TokenError::BadSignature);
        }
        hash.into_iter().for_each(|hash| self.remember(hash));
        Ok(())
    }

    fn remember(&self, hash: [u8; 32]) {
        if SIGNED_MAX <= self.signed.len() {
            self.signed.clear();
        }
        self.signed.insert(hash);
    }
}

impl Key {
    fn of_secret(secret: &Secret) -> Self {
        Self {
            algorithm: Algorithm::Hs256,
            id: None,
            material: DecodingKey::from_secret(secret.as_bytes()),
        }
    }

    fn of_secret_in(path: &Path) -> Result<Self, KeyError> {
        let secret = Secret::new(read(path)?).map_err(|error| KeyError::Unusable {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
        Ok(Self::of_secret(&secret))
    }

    fn of_pem(path: &Path) -> Result<Self, KeyError> {
        let pem = read(path)?;
        let unusable = |problem: &str| KeyError::Unusable {
            path: path.to_owned(),
            problem: problem.to_owned(),
        };
        let label = pem_label(&pem).ok_or_else(|| unusable("not a PEM file"))?;
        if label != "PUBLIC KEY" && label != "RSA PUBLIC KEY" {
            return Err(unusable(&format!("a {label}, needed is a PUBLIC KEY")));
        }
        Self::of_public_pem(&pem)
            .ok_or_else(|| unusable("neither RSA of 2048 to 8192 bits, nor P-256, nor Ed25519"))
    }

    /// The library looks at the key's own object identifier, so at most one of the three succeeds.
    fn of_public_pem(pem: &[u8]) -> Option<Self> {
        let (algorithm, material) = None
            .or_else(|| Some((Algorithm::Rs256, DecodingKey::from_rsa_pem(pem).ok()?)))
            .or_else(|| Some((Algorithm::Es256, DecodingKey::from_ec_pem(pem).ok()?)))
            .or_else(|| Some((Algorithm::EdDsa, DecodingKey::from_ed_pem(pem).ok()?)))?;
        let key = Self {
            algorithm,
            id: None,
            material,
        };
        key.is_sound().then_some(key)
    }

    fn of_jwk(jwk: Jwk) -> Option<Self> {
        if !jwk.is_for_signatures() {
            return None;
        }
        let (algorithm, material) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => (
                Algorithm::Rs256,
                DecodingKey::from_rsa_components(&jwk.n?, &jwk.e?).ok()?,
            ),
            ("EC", Some("P-256")) => (
                Algorithm::Es256,
                DecodingKey::from_ec_components(&jwk.x?, &jwk.y?).ok()?,
            ),
            ("OKP", Some("Ed25519")) => (
                Algorithm::EdDsa,
                DecodingKey::from_ed_components(&jwk.x?).ok()?,
            ),
            _ => return None,
        };
        let algorithm_agrees = jwk.alg.is_none_or(|alg| alg == algorithm.as_str());
        let key = Self {
            algorithm,
            id: jwk.kid,
            material,
        };
        (algorithm_agrees && key.is_sound()).then_some(key)
    }

    /// Whether the numbers of a public key have the sizes their algorithm needs. Told when the key is read,
    /// because afterwards every token would just be wrong.
    fn is_sound(&self) -> bool {
        let library_algorithm = self.algorithm.of_the_library();
        let Ok(jwk) = jwk::Jwk::from_decoding_key(&self.material, Some(library_algorithm)) else {
            return false;
        };
        match (self.algorithm, &jwk.algorithm) {
            (Algorithm::Rs256, jwk::AlgorithmParameters::RSA(rsa)) => {
                (256..=1024).contains(&number_bytes(&rsa.n))
            }
            (Algorithm::Es256, jwk::AlgorithmParameters::EllipticCurve(point)) => {
                point.curve == jwk::EllipticCurve::P256
            }
            (Algorithm::EdDsa, jwk::AlgorithmParameters::OctetKeyPair(point)) => {
                decoded_bytes(&point.x) == 32
            }
            _ => false,
        }
    }

    fn fits(&self, token: &Compact<'_>) -> bool {
        let id_fits = match (&self.id, &token.header.kid) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, _) | (_, None) => true,
        };
        id_fits && self.algorithm.as_str() == token.header.alg
    }

    fn signed(&self, token: &Compact<'_>) -> bool {
        let algorithm = self.algorithm.of_the_library();
        crypto::verify(
            token.signature,
            token.signed.as_bytes(),
            &self.material,
            algorithm,
        )
        .unwrap_or(false)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm
            && self.id == other.id
            && same_material(&self.material, &other.material)
    }
}

fn same_material(one: &DecodingKey, other: &DecodingKey) -> bool {
    use jsonwebtoken::DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
    match (one.kind(), other.kind()) {
        (SecretOrDer(one), SecretOrDer(other)) => one == other,
        (
            RsaModulusExponent { n, e },
            RsaModulusExponent {
                n: other_n,
                e: other_e,
            },
        ) => n == other_n && e == other_e,
        (SecretOrDer(_), RsaModulusExponent { .. })
        | (RsaModulusExponent { .. }, SecretOrDer(_)) => false,
    }
}

/// One key of a set, as far as we read it (RFC 7517 section 4, RFC 7518 section 6).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwk {
    fn is_for_signatures(&self) -> bool {
        self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self
                .key_ops
                .as_ref()
                .is_none_or(|operations| operations.iter().any(|operation| operation == "verify"))
    }
}

/// The usable keys of a set. RFC 7517 section 5 asks to pass over what is not understood; symmetric keys are
/// passed over too, because a set is a public document.
fn keys_of_jwks(path: &Path) -> Result<Vec<Key>, KeyError> {
    #[derive(Deserialize)]
    struct JwkSet {
        keys: Vec<serde_json::Value>,
    }
    let unusable = |problem: String| KeyError::Unusable {
        path: path.to_owned(),
        problem,
    };
    let set: JwkSet = serde_json::from_slice(&read(path)?)
        .map_err(|error| unusable(format!("not a JWK Set: {error}")))?;
    let found = set.keys.len();
    let keys: Vec<Key> = set
        .keys
        .into_iter()
        .filter_map(|jwk| Key::of_jwk(serde_json::from_value(jwk).ok()?))
        .collect();
    match keys.len() {
        0 => Err(unusable(format!(
            "of its {found} keys none is RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA) for signatures"
        ))),
        1..=KEYS_MAX => Ok(keys),
        usable => Err(unusable(format!(
            "{usable} keys, at most {KEYS_MAX} are read"
        ))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    read_file(path).map_err(|source| KeyError::Read {
        path: path.to_owned(),
        source,
    })
}

fn pem_label(pem: &[u8]) -> Option<&str> {
    let text = str::from_utf8(pem).ok()?;
    let (_, after) = text.split_once("-----BEGIN ")?;
    Some(after.split_once("-----")?.0)
}

fn decoded_bytes(base64url: &str) -> usize {
    URL_SAFE_NO_PAD
        .decode(base64url)
        .map_or(0, |bytes| bytes.len())
}

/// The length of a big-endian number without its leading zeros.
fn number_bytes(base64url: &str) -> usize {
    let bytes = URL_SAFE_NO_PAD.decode(base64url).unwrap_or_default();
    bytes.iter().skip_while(|byte| **byte == 0).count()
}
