//! Tokens for the tests of every door: good ones under each kind of key, and one forgery for each known way
//! to cheat (RFC 8725 section 2). A door that passes must refuse all of [`forgeries`] with the stated code.

use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

use crate::{KeySource, Secret, TokenCode};

/// The HS256 secret of [`trusted_keys`].
pub const SECRET: &str = "a secret for tests, which opens nothing";

/// A token that no door may accept.
#[derive(Debug, Clone)]
pub struct Forgery {
    /// How it cheats.
    pub name: &'static str,
    /// The token.
    pub token: String,
    /// What the door must say.
    pub code: TokenCode,
}

/// The keys a door of a test trusts: one of each algorithm.
pub fn trusted_keys() -> Vec<KeySource> {
    let secret = Secret::new(SECRET).expect("it is long enough");
    let pem = |name| KeySource::PemFile(key_path(name));
    vec![
        KeySource::Secret(secret),
        pem("ours.rsa.public.pem"),
        pem("ours.p256.public.pem"),
        pem("ours.ed25519.public.pem"),
    ]
}

/// Where a key file of the tests is.
pub fn key_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/keys")
        .join(name)
}

/// The claims of an ordinary resident, good for an hour after `now`.
pub fn claims_of(line: &str, house: &str, now: Timestamp) -> Value {
    json!({"sub": format!("{line}/{house}"), "exp": now.as_second() + 3600, "line": line, "house": house})
}

/// `claims` signed by each of [`trusted_keys`].
pub fn good_tokens(claims: &Value) -> Vec<String> {
    OUR_SIGNERS
        .iter()
        .map(|signer| signer.sign(&header(signer.name()), claims))
        .collect()
}

/// Each known way to cheat, applied to `claims`, which would be good if they were signed well.
pub fn forgeries(claims: &Value, now: Timestamp) -> Vec<Forgery> {
    let invalid = |(name, token)| Forgery {
        name,
        token,
        code: TokenCode::Invalid,
    };
    let mut all: Vec<Forgery> = Vec::new();
    all.extend(unsigned(claims).into_iter().map(invalid));
    all.extend(signed_with_a_public_key(claims).into_iter().map(invalid));
    all.extend(signed_by_a_stranger(claims).into_iter().map(invalid));
    all.extend(
        signed_with_another_algorithm(claims)
            .into_iter()
            .map(invalid),
    );
    all.extend(misshapen(claims).into_iter().map(invalid));
    all.extend(badly_claimed(claims, now).into_iter().map(invalid));
    all.push(Forgery {
        name: "expired",
        token: expired(claims, now),
        code: TokenCode::Expired,
    });
    all
}

/// A token that was good until a second ago.
pub fn expired(claims: &Value, now: Timestamp) -> String {
    let long_ago = now - crate::EXPIRY_LEEWAY - jiff::SignedDuration::from_secs(1);
    sign_with_secret(&with(claims, "exp", json!(long_ago.as_second())))
}

/// `claims` under the trusted secret.
pub fn sign_with_secret(claims: &Value) -> String {
    Signer::Secret(SECRET.as_bytes()).sign(&header("HS256"), claims)
}

/// `claims` with one of them replaced.
pub fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

enum Signer {
    Secret(&'static [u8]),
    Rsa(&'static str),
    P256(&'static str),
    Ed25519(&'static str),
}

const OUR_SIGNERS: [Signer; 4] = [
    Signer::Secret(SECRET.as_bytes()),
    Signer::Rsa(include_str!("../tests/keys/ours.rsa.private.pem")),
    Signer::P256(include_str!("../tests/keys/ours.p256.private.pem")),
    Signer::Ed25519(include_str!("../tests/keys/ours.ed25519.private.pem")),
];

const THEIR_SIGNERS: [Signer; 4] = [
    Signer::Secret(b"another secret of more than thirty-two bytes"),
    Signer::Rsa(include_str!("../tests/keys/theirs.rsa.private.pem")),
    Signer::P256(include_str!("../tests/keys/theirs.p256.private.pem")),
    Signer::Ed25519(include_str!("../tests/keys/theirs.ed25519.private.pem")),
];

const OUR_PUBLIC_PEMS: [&str; 3] = [
    include_str!("../tests/keys/ours.rsa.public.pem"),
    include_str!("../tests/keys/ours.p256.public.pem"),
    include_str!("../tests/keys/ours.ed25519.public.pem"),
];

impl Signer {
    fn name(&self) -> &'static str {
        match self {
            Signer::Secret(_) => "HS256",
            Signer::Rsa(_) => "RS256",
            Signer::P256(_) => "ES256",
            Signer::Ed25519(_) => "EdDSA",
        }
    }

    fn key(&self) -> EncodingKey {
        let key = match self {
            Signer::Secret(secret) => Ok(EncodingKey::from_secret(secret)),
            Signer::Rsa(pem) => EncodingKey::from_rsa_pem(pem.as_bytes()),
            Signer::P256(pem) => EncodingKey::from_ec_pem(pem.as_bytes()),
            Signer::Ed25519(pem) => EncodingKey::from_ed_pem(pem.as_bytes()),
        };
        key.expect("the key files of the tests are good")
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    fn sign_text(&self, header: &str, claims: &str) -> String {
        let algorithm = self
            .name()
            .parse()
            .expect("the library knows our algorithms");
        sign_text(header, claims, &self.key(), algorithm)
    }
}

fn header(alg: &str) -> Value {
    json!({"typ": "JWT", "alg": alg})
}

fn unsigned_text(header: &str, claims: &str) -> String {
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    )
}

fn sign_text(header: &str, claims: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let signed = unsigned_text(header, claims);
    let signature = crypto::sign(signed.as_bytes(), key, algorithm).expect("a good key signs");
    format!("{signed}.{signature}")
}

fn hmac(header: &Value, claims: &Value, secret: &[u8], algorithm: Algorithm) -> String {
    sign_text(
        &header.to_string(),
        &claims.to_string(),
        &EncodingKey::from_secret(secret),
        algorithm,
    )
}

fn unsigned(claims: &Value) -> Vec<(&'static str, String)> {
    let none = |alg: &str| {
        format!(
            "{}.",
            unsigned_text(&header(alg).to_string(), &claims.to_string())
        )
    };
    let signature = sign_with_secret(claims)
        .rsplit('.')
        .next()
        .expect("a token has parts")
        .to_owned();
    vec![
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg nOnE", none("nOnE")),
        ("alg empty", none("")),
        (
            "alg none with a good token's signature",
            none("none") + &signature,
        ),
        ("alg HS256 and no signature", none("HS256")),
        (
            "no alg",
            format!("{}.", unsigned_text("{}", &claims.to_string())),
        ),
        // CVE-2022-21449: a signature of two zeros once passed for any message.
        (
            "alg ES256 and a signature of zeros",
            none("ES256") + &URL_SAFE_NO_PAD.encode([0; 64]),
        ),
    ]
}

fn signed_with_a_public_key(claims: &Value) -> Vec<(&'static str, String)> {
    let forge = |secret: &[u8]| hmac(&header("HS256"), claims, secret, Algorithm::HS256);
    let mut forged: Vec<_> = OUR_PUBLIC_PEMS
        .iter()
        .flat_map(|pem| {
            [
                ("HMAC with a public key's PEM text", forge(pem.as_bytes())),
                (
                    "HMAC with a public key's PEM text, line end cut",
                    forge(pem.trim_end().as_bytes()),
                ),
                ("HMAC with a public key's DER bytes", forge(&der(pem))),
            ]
        })
        .collect();
    forged.push(("HMAC with an empty key", forge(b"")));
    forged.push((
        "HMAC with a public key, called RS256",
        hmac(
            &header("RS256"),
            claims,
            OUR_PUBLIC_PEMS[0].as_bytes(),
            Algorithm::HS256,
        ),
    ));
    forged
}

fn der(pem: &str) -> Vec<u8> {
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    base64::engine::general_purpose::STANDARD
        .decode(body)
        .expect("a PEM file is base64")
}

fn signed_by_a_stranger(claims: &Value) -> Vec<(&'static str, String)> {
    let jwk = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode("another secret of more than thirty-two bytes")});
    let tricks = [
        ("a stranger's key", json!({})),
        ("a stranger's key, embedded as jwk", json!({"jwk": jwk})),
        (
            "a stranger's key, pointed to by jku",
            json!({"jku": "https://example.org/keys.json"}),
        ),
        (
            "a stranger's key, pointed to by x5u",
            json!({"x5u": "https://example.org/chain.pem"}),
        ),
        (
            "a stranger's key, embedded as x5c",
            json!({"x5c": ["MIIB"]}),
        ),
        (
            "a stranger's key, kid a path",
            json!({"kid": "../../../../dev/null"}),
        ),
        (
            "a stranger's key, kid a query",
            json!({"kid": "x' UNION SELECT 'key'; --"}),
        ),
        ("a stranger's key, kid empty", json!({"kid": ""})),
        (
            "a stranger's key, kid very long",
            json!({"kid": "k".repeat(2000)}),
        ),
    ];
    let mut forged = Vec::new();
    for signer in &THEIR_SIGNERS {
        for (name, extra) in &tricks {
            forged.push((
                *name,
                signer.sign(&merged(header(signer.name()), extra), claims),
            ));
        }
    }
    forged
}

fn merged(mut header: Value, extra: &Value) -> Value {
    for (name, value) in extra.as_object().expect("tricks are objects") {
        header[name] = value.clone();
    }
    header
}

fn signed_with_another_algorithm(claims: &Value) -> Vec<(&'static str, String)> {
    let rsa = OUR_SIGNERS[1].key();
    let by_rsa = |alg: &str, algorithm| {
        sign_text(
            &header(alg).to_string(),
            &claims.to_string(),
            &rsa,
            algorithm,
        )
    };
    let by_secret = |alg: &str, algorithm| hmac(&header(alg), claims, SECRET.as_bytes(), algorithm);
    vec![
        (
            "our secret with HS384",
            by_secret("HS384", Algorithm::HS384),
        ),
        (
            "our secret with HS512",
            by_secret("HS512", Algorithm::HS512),
        ),
        (
            "our secret, called hs256",
            by_secret("hs256", Algorithm::HS256),
        ),
        (
            "our secret, called ES256",
            by_secret("ES256", Algorithm::HS256),
        ),
        ("our RSA key with RS384", by_rsa("RS384", Algorithm::RS384)),
        ("our RSA key with PS256", by_rsa("PS256", Algorithm::PS256)),
        (
            "our RSA key, called HS256",
            by_rsa("HS256", Algorithm::RS256),
        ),
    ]
}

fn misshapen(claims: &Value) -> Vec<(&'static str, String)> {
    let ours = &OUR_SIGNERS[0];
    let good = sign_with_secret(claims);
    let other = sign_with_secret(&with(claims, "house", json!("9999")));
    let parts: Vec<&str> = good.split('.').collect();
    let other_claims = other.split('.').nth(1).expect("a token has parts");
    let signature_cut = &parts[2][..parts[2].len() - 4];
    vec![
        (
            "another token's claims",
            format!("{}.{other_claims}.{}", parts[0], parts[2]),
        ),
        (
            "a cut signature",
            format!("{}.{}.{signature_cut}", parts[0], parts[1]),
        ),
        ("a padded signature", format!("{good}=")),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{good}.{}", parts[2])),
        ("five parts, as if encrypted", format!("{good}.x.y")),
        ("empty parts", "..".to_owned()),
        (
            "no JSON in the header",
            format!("{}.{}.{}", "bm90IGpzb24", parts[1], parts[2]),
        ),
        (
            "crit",
            ours.sign(&merged(header("HS256"), &json!({"crit": ["exp"]})), claims),
        ),
        (
            "crit b64",
            ours.sign(
                &merged(header("HS256"), &json!({"crit": ["b64"], "b64": false})),
                claims,
            ),
        ),
        (
            "typ of a logout token",
            ours.sign(&json!({"alg": "HS256", "typ": "logout+jwt"}), claims),
        ),
        (
            "typ of a DPoP proof",
            ours.sign(&json!({"alg": "HS256", "typ": "dpop+jwt"}), claims),
        ),
        (
            "alg twice",
            ours.sign_text(r#"{"alg":"none","alg":"HS256"}"#, &claims.to_string()),
        ),
        (
            "alg not a string",
            ours.sign_text(r#"{"alg":["HS256"]}"#, &claims.to_string()),
        ),
        (
            "claims an array",
            ours.sign(&header("HS256"), &json!([1, 2])),
        ),
        (
            "claims nested too deeply",
            ours.sign_text(&header("HS256").to_string(), &"[".repeat(3000)),
        ),
        ("claims not UTF-8", not_utf8(ours)),
        (
            "longer than is read",
            ours.sign(
                &header("HS256"),
                &with(claims, "padding", json!("p".repeat(70_000))),
            ),
        ),
    ]
}

fn not_utf8(signer: &Signer) -> String {
    let header = URL_SAFE_NO_PAD.encode(header("HS256").to_string());
    let signed = format!(
        "{header}.{}",
        URL_SAFE_NO_PAD.encode(b"{\"sub\":\"\xff\xfe\"}")
    );
    let signature =
        crypto::sign(signed.as_bytes(), &signer.key(), Algorithm::HS256).expect("a good key signs");
    format!("{signed}.{signature}")
}

fn badly_claimed(claims: &Value, now: Timestamp) -> Vec<(&'static str, String)> {
    let ours = &OUR_SIGNERS[0];
    let set = |name: &str, value: Value| sign_with_secret(&with(claims, name, value));
    let without = |name: &str| {
        let mut claims = claims.clone();
        claims
            .as_object_mut()
            .expect("claims are an object")
            .remove(name);
        sign_with_secret(&claims)
    };
    let again = |member: &str| {
        let text = claims.to_string();
        ours.sign_text(
            &header("HS256").to_string(),
            &format!("{{{member},{}", &text[1..]),
        )
    };
    vec![
        ("no exp", without("exp")),
        ("exp null", set("exp", Value::Null)),
        (
            "exp a string",
            set("exp", json!((now.as_second() + 60).to_string())),
        ),
        ("exp beyond the calendar", set("exp", json!(1e300))),
        ("not valid yet", set("nbf", json!(now.as_second() + 600))),
        ("nbf a string", set("nbf", json!("0"))),
        ("no sub", without("sub")),
        ("sub empty", set("sub", json!(""))),
        ("sub too long", set("sub", json!("s".repeat(3000)))),
        ("no line", without("line")),
        ("line empty", set("line", json!(""))),
        ("line a list", set("line", json!(["a", "b"]))),
        ("line with a slash", set("line", json!("a/b"))),
        ("line reserved", set("line", json!("__consumer_offsets"))),
        ("line too long", set("line", json!("l".repeat(300)))),
        ("no house", without("house")),
        ("house a number", set("house", json!(1502))),
        (
            "house with a control character",
            set("house", json!("15\u{0}02")),
        ),
        ("roles a number", set("roles", json!(7))),
        ("line twice", again(r#""line":"another""#)),
        ("exp twice", again(r#""exp":99999999999"#)),
        ("sub twice", again(r#""sub":"another""#)),
    ]
}
