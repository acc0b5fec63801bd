use std::fs;

use event_model::{House, Line};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    Grant, KeyError, KeySource, Policy, Reload, Role, Roles, Secret, TokenCode, TokenError,
    Verifier,
    testing::{
        SECRET, claims_of, expired, forgeries, good_tokens, key_path, sign_with_secret,
        trusted_keys, with,
    },
};

fn now() -> Timestamp {
    "2026-11-20T06:00:00Z".parse().unwrap()
}

fn verifier() -> Verifier {
    Verifier::open(trusted_keys(), Policy::default()).unwrap()
}

fn verifier_with(policy: Policy) -> Verifier {
    Verifier::open(trusted_keys(), policy).unwrap()
}

fn claims() -> Value {
    claims_of("dong-101", "1502", now())
}

fn line(name: &str) -> Line {
    Line::new(name).unwrap()
}

fn house(name: &str) -> House {
    House::new(name).unwrap()
}

#[test]
fn a_token_signed_by_any_trusted_key_names_its_line_and_house() {
    for token in good_tokens(&claims()) {
        let resident = verifier().verify(&token, now()).unwrap();

        assert_eq!(resident.line, Some(line("dong-101")));
        assert_eq!(resident.house, Some(house("1502")));
        assert_eq!(resident.subject, "dong-101/1502");
        assert_eq!(resident.roles, Roles::from_iter([Role::Resident]));
        assert_eq!(resident.expires_at, now() + SignedDuration::from_hours(1));
    }
}

#[test]
fn no_forgery_gets_in_and_each_is_told_its_code() {
    let verifier = verifier();
    let forgeries = forgeries(&claims(), now());
    assert!(80 < forgeries.len());

    for forgery in forgeries {
        let refused = verifier.verify(&forgery.token, now());
        let code = refused.map_err(|error| error.code());
        assert_eq!(
            code,
            Err(forgery.code),
            "{}: {}",
            forgery.name,
            forgery.token
        );
    }
}

#[test]
fn no_forgery_gets_in_where_keys_come_from_a_set() {
    let secret = KeySource::Secret(Secret::new(SECRET).unwrap());
    let keys = vec![secret, KeySource::JwksFile(key_path("ours.jwks.json"))];
    let verifier = Verifier::open(keys, Policy::default()).unwrap();

    for token in good_tokens(&claims()) {
        verifier.verify(&token, now()).unwrap();
    }
    for forgery in forgeries(&claims(), now()) {
        let code = verifier
            .verify(&forgery.token, now())
            .map_err(|error| error.code());
        assert_eq!(code, Err(forgery.code), "{}", forgery.name);
    }
}

#[test]
fn a_token_is_good_a_minute_beyond_its_exp_and_no_longer_as_it_is_a_minute_before_its_nbf() {
    let token = sign_with_secret(&claims());
    let exp = now() + SignedDuration::from_hours(1);

    assert!(
        verifier()
            .verify(&token, exp + SignedDuration::from_millis(59_999))
            .is_ok()
    );
    assert_eq!(
        verifier().verify(&token, exp + SignedDuration::from_mins(1)),
        Err(TokenError::Expired { expired_at: exp })
    );
}

#[test]
fn a_wrong_signature_is_not_called_expired() {
    let mut token = expired(&claims(), now());
    token.replace_range(token.len() - 8.., "AAAAAAAA");

    assert_eq!(
        verifier().verify(&token, now()),
        Err(TokenError::BadSignature)
    );
}

#[test]
fn an_issuer_whose_clock_is_a_little_ahead_is_believed() {
    let soon = with(&claims(), "nbf", json!(now().as_second() + 30));

    assert!(verifier().verify(&sign_with_secret(&soon), now()).is_ok());
}

#[test]
fn a_date_with_a_fraction_is_read() {
    let exp = now().as_second() as f64 + 0.5;

    let resident = verifier()
        .verify(
            &sign_with_secret(&with(&claims(), "exp", json!(exp))),
            now(),
        )
        .unwrap();

    assert_eq!(
        resident.expires_at,
        now() + SignedDuration::from_millis(500)
    );
}

#[test]
fn another_audience_or_issuer_is_refused_where_one_is_configured() {
    let policy = Policy {
        audience: Some("mayday".into()),
        issuer: Some("https://id.example".into()),
        ..Policy::default()
    };
    let verifier = verifier_with(policy);
    let ours = with(
        &with(&claims(), "aud", json!("mayday")),
        "iss",
        json!("https://id.example"),
    );
    let refused_claim = |claims: &Value| match verifier.verify(&sign_with_secret(claims), now()) {
        Err(TokenError::BadClaim { claim, .. }) => claim,
        other => panic!("{other:?}"),
    };

    assert!(verifier.verify(&sign_with_secret(&ours), now()).is_ok());
    assert!(
        verifier
            .verify(
                &sign_with_secret(&with(&ours, "aud", json!(["x", "mayday"]))),
                now()
            )
            .is_ok()
    );
    assert_eq!(refused_claim(&with(&ours, "aud", json!("another"))), "aud");
    assert_eq!(refused_claim(&with(&ours, "aud", json!([]))), "aud");
    assert_eq!(
        refused_claim(&with(&ours, "iss", json!("https://id.example/"))),
        "iss"
    );
    assert_eq!(refused_claim(&claims()), "aud");
}

#[test]
fn every_spelling_of_a_name_is_the_same_resident() {
    let spelled = with(&claims(), "house", json!("  １５０２ "));

    let resident = verifier()
        .verify(&sign_with_secret(&spelled), now())
        .unwrap();

    assert_eq!(resident.house, Some(house("1502")));
}

#[test]
fn an_operator_needs_no_line_and_a_manager_or_admin_no_house() {
    let exp = now().as_second() + 60;
    let operator = json!({"sub": "o", "exp": exp, "roles": ["operator"]});
    let admin = json!({"sub": "a", "exp": exp, "roles": "admin", "line": "dong-101"});
    let manager = json!({"sub": "m", "exp": exp, "roles": "manager", "line": "dong-101"});
    let guard =
        json!({"sub": "g", "exp": exp, "roles": "guard", "line": "dong-101", "house": "경비실"});
    let guard_without_a_post =
        json!({"sub": "g", "exp": exp, "roles": "guard", "line": "dong-101"});
    let admin_of_nothing = json!({"sub": "a", "exp": exp, "roles": ["admin"]});
    let canary_of_nowhere =
        json!({"sub": "c", "exp": exp, "roles": ["canary"], "line": "dong-101"});
    let verify = |claims: &Value| verifier().verify(&sign_with_secret(claims), now());

    assert_eq!(verify(&operator).unwrap().line, None);
    assert_eq!(verify(&admin).unwrap().house, None);
    assert_eq!(verify(&manager).unwrap().house, None);
    assert_eq!(verify(&guard).unwrap().house, Some(house("경비실")));
    assert!(verify(&guard_without_a_post).is_err());
    assert!(verify(&admin_of_nothing).is_err());
    assert!(verify(&canary_of_nowhere).is_err());
}

#[test]
fn roles_of_other_systems_are_passed_over_and_leave_a_resident() {
    let roles = |roles: Value| {
        verifier()
            .verify(&sign_with_secret(&with(&claims(), "roles", roles)), now())
            .unwrap()
            .roles
    };

    assert_eq!(
        roles(json!(["gardener", "Admin"])),
        Roles::from_iter([Role::Resident])
    );
    assert_eq!(
        roles(json!(["gardener", "canary"])),
        Roles::from_iter([Role::Canary])
    );
    assert_eq!(roles(json!([])), Roles::from_iter([Role::Resident]));
    assert_eq!(
        roles(json!(["admin", "operator"]))
            .iter()
            .collect::<Vec<_>>(),
        [Role::Admin, Role::Operator]
    );
}

#[test]
fn reserved_names_are_for_canaries_alone() {
    let of_the_system = with(
        &with(&claims(), "line", json!("__canary")),
        "house",
        json!("__1"),
    );
    let canary = with(&of_the_system, "roles", json!(["canary"]));

    assert!(
        verifier()
            .verify(&sign_with_secret(&of_the_system), now())
            .is_err()
    );
    let resident = verifier()
        .verify(&sign_with_secret(&canary), now())
        .unwrap();
    assert!(resident.line.unwrap().is_reserved());
    assert!(resident.house.unwrap().is_reserved());
}

#[test]
fn what_is_issued_is_what_is_verified() {
    let secret = Secret::new(SECRET).unwrap();
    let grant = Grant {
        line: Some(line("dong-101")),
        house: Some(house("1502")),
        roles: Roles::from_iter([Role::Admin]),
        issuer: Some("demo".into()),
        audience: Some("mayday".into()),
        ..Grant::new("kim", now() + SignedDuration::from_hours(24))
    };
    let policy = Policy {
        audience: Some("mayday".into()),
        issuer: Some("demo".into()),
        ..Policy::default()
    };

    let resident = verifier_with(policy)
        .verify(&secret.issue(&grant), now())
        .unwrap();

    assert_eq!(resident.subject, grant.subject);
    assert_eq!(resident.line, grant.line);
    assert_eq!(resident.house, grant.house);
    assert_eq!(resident.roles, grant.roles);
    assert_eq!(resident.issuer, grant.issuer);
    assert_eq!(resident.expires_at, grant.expires_at);
}

#[test]
fn a_secret_that_is_short_or_a_public_key_is_refused_and_none_is_printed() {
    assert!(matches!(
        Secret::new("short"),
        Err(KeyError::SecretTooShort {
            bytes: 5,
            bytes_min: 32
        })
    ));
    assert!(matches!(
        Secret::new(format!("{}\n\n", "x".repeat(31))),
        Err(KeyError::SecretTooShort { .. })
    ));
    let pem = fs::read(key_path("ours.p256.public.pem")).unwrap();
    assert!(matches!(Secret::new(pem), Err(KeyError::SecretIsPem)));
    assert_eq!(
        format!("{:?}", Secret::new(SECRET).unwrap()),
        "Secret(hidden)"
    );
}

#[test]
fn a_file_that_is_no_good_public_key_is_refused_with_what_was_found() {
    let problem = |source| {
        Verifier::open(vec![source], Policy::default())
            .unwrap_err()
            .to_string()
    };
    let pem = |name| problem(KeySource::PemFile(key_path(name)));

    assert!(pem("ours.rsa.private.pem").contains("a PRIVATE KEY, needed is a PUBLIC KEY"));
    assert!(pem("ours.rsa.certificate.pem").contains("a CERTIFICATE, needed is a PUBLIC KEY"));
    assert!(pem("short.rsa.public.pem").contains("neither RSA of 2048 to 8192 bits"));
    assert!(pem("other.p384.public.pem").contains("nor P-256"));
    assert!(pem("README.md").contains("not a PEM file"));
    assert!(pem("absent.pem").contains("read the key file"));
    assert!(
        problem(KeySource::JwksFile(key_path("ours.rsa.public.pem"))).contains("not a JWK Set")
    );
    assert!(matches!(
        Verifier::open(vec![], Policy::default()),
        Err(KeyError::NoKeys)
    ));
}

#[test]
fn keys_of_a_set_that_are_not_for_our_signatures_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let ours: Value =
        serde_json::from_slice(&fs::read(key_path("ours.jwks.json")).unwrap()).unwrap();
    let rsa = &ours["keys"][0];
    let of_no_use = json!([
        {"kty": "oct", "k": "YSBzZWNyZXQgZm9yIHRlc3RzLCB3aGljaCBvcGVucyBub3RoaW5n", "alg": "HS256"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"},
        with(rsa, "use", json!("enc")),
        with(rsa, "alg", json!("RSA-OAEP")),
        with(rsa, "key_ops", json!(["sign"])),
        with(rsa, "n", json!("AQAB")),
        with(&ours["keys"][1], "x", json!("AQAB")),
        with(&ours["keys"][1], "crv", json!("P-384")),
        with(&ours["keys"][2], "x", json!("AQAB")),
        7,
    ]);
    let open = |keys: &Value| {
        fs::write(&path, json!({"keys": keys}).to_string()).unwrap();
        Verifier::open(vec![KeySource::JwksFile(path.clone())], Policy::default())
    };

    assert!(
        open(&of_no_use)
            .unwrap_err()
            .to_string()
            .contains("of its 10 keys none is")
    );

    let mut keys = of_no_use.clone();
    keys.as_array_mut().unwrap().push(rsa.clone());
    let verifier = open(&keys).unwrap();
    let [by_secret, by_rsa, by_p256, _] = <[String; 4]>::try_from(good_tokens(&claims())).unwrap();
    assert!(verifier.verify(&by_rsa, now()).is_ok());
    assert_eq!(
        verifier.verify(&by_secret, now()),
        Err(TokenError::UnknownKey)
    );
    assert_eq!(
        verifier.verify(&by_p256, now()),
        Err(TokenError::UnknownKey)
    );
}

#[test]
fn a_key_id_that_the_set_does_not_have_is_an_unknown_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let ours = fs::read_to_string(key_path("ours.jwks.json")).unwrap();
    fs::write(&path, ours.replace(r#""kid": "rsa""#, r#""kid": "old""#)).unwrap();
    let verifier =
        Verifier::open(vec![KeySource::JwksFile(path.clone())], Policy::default()).unwrap();
    let named_rsa = {
        let key = jsonwebtoken::EncodingKey::from_rsa_pem(
            &fs::read(key_path("ours.rsa.private.pem")).unwrap(),
        )
        .unwrap();
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
        header.kid = Some("rsa".into());
        jsonwebtoken::encode(&header, &claims(), &key).unwrap()
    };
    assert_eq!(
        verifier.verify(&named_rsa, now()),
        Err(TokenError::UnknownKey)
    );

    fs::write(&path, &ours).unwrap();
    assert_eq!(verifier.reload().unwrap(), Reload::Changed);
    assert_eq!(verifier.reload().unwrap(), Reload::Unchanged);
    assert!(verifier.verify(&named_rsa, now()).is_ok());

    fs::write(&path, "half a fi").unwrap();
    assert!(verifier.reload().is_err());
    assert!(verifier.verify(&named_rsa, now()).is_ok());
}

#[test]
fn a_secret_in_a_file_is_read_again_and_one_that_is_too_short_leaves_the_old_one_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(
        &path,
        format!(
            "{SECRET}
"
        ),
    )
    .unwrap();
    let source = KeySource::SecretFile(path.clone());
    let verifier = Verifier::open(vec![source], Policy::default()).unwrap();
    let token = sign_with_secret(&claims());
    assert!(verifier.verify(&token, now()).is_ok());

    fs::write(&path, "hush hush").unwrap();
    let refused = verifier.reload().unwrap_err().to_string();
    assert!(refused.contains("at least 32") && refused.contains("secret"));
    assert!(!refused.contains("hush"));
    assert!(verifier.verify(&token, now()).is_ok());

    fs::write(&path, "another secret, also of 32 bytes or more").unwrap();
    assert_eq!(verifier.reload().unwrap(), Reload::Changed);
    let withdrawn = verifier.verify(&token, now());
    assert_eq!(withdrawn, Err(TokenError::BadSignature));
}

#[test]
fn a_token_that_was_known_is_judged_by_its_dates_and_by_the_keys_of_now() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    fs::copy(key_path("ours.p256.public.pem"), &path).unwrap();
    let source = KeySource::PemFile(path.clone());
    let verifier = Verifier::open(vec![source], Policy::default()).unwrap();
    let signed_by_p256 = good_tokens(&claims()).swap_remove(2);
    let verify = |token: &str, at| verifier.verify(token, at).map(|_| ());
    for _ in 0..2 {
        assert_eq!(verify(&signed_by_p256, now()), Ok(()));
    }

    let (signed, _) = signed_by_p256.rsplit_once('.').unwrap();
    let another = good_tokens(&claims_of("dong-101", "1503", now())).swap_remove(2);
    let (_, signature) = another.rsplit_once('.').unwrap();
    let mixed = format!("{signed}.{signature}");
    assert_eq!(verify(&mixed, now()), Err(TokenError::BadSignature));
    let late = verify(&signed_by_p256, now() + SignedDuration::from_hours(2));
    assert!(matches!(late, Err(TokenError::Expired { .. })), "{late:?}");
    fs::copy(key_path("ours.ed25519.public.pem"), &path).unwrap();
    assert_eq!(verifier.reload().unwrap(), Reload::Changed);
    let withdrawn = verify(&signed_by_p256, now());
    assert_eq!(withdrawn, Err(TokenError::UnknownKey));
}

#[test]
fn a_verifier_without_keys_refuses_every_token() {
    let verifier = Verifier::refusing_all();
    for token in good_tokens(&claims()) {
        assert_eq!(verifier.verify(&token, now()), Err(TokenError::UnknownKey));
    }
}

#[test]
fn the_longest_token_that_is_read_is_a_setting() {
    let token = sign_with_secret(&claims());
    let verify = |token_bytes_max| {
        verifier_with(Policy {
            token_bytes_max,
            ..Policy::default()
        })
        .verify(&token, now())
    };

    assert!(verify(token.len()).is_ok());
    let refused = TokenError::TooLarge {
        bytes: token.len(),
        bytes_max: token.len() - 1,
    };
    assert_eq!(verify(token.len() - 1), Err(refused));
}

proptest! {
    #[test]
    fn no_text_is_a_token(text in "\\PC*") {
        prop_assert_eq!(verifier().verify(&text, now()).unwrap_err().code(), TokenCode::Invalid);
    }

    #[test]
    fn no_text_shaped_like_a_token_is_one(parts in prop::collection::vec("[A-Za-z0-9_=-]{0,80}", 1..6)) {
        prop_assert_eq!(verifier().verify(&parts.join("."), now()).unwrap_err().code(), TokenCode::Invalid);
    }

    #[test]
    fn a_token_with_one_character_changed_is_refused(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
        let good = sign_with_secret(&claims());
        let at = at.index(good.len());
        let mut changed = good.clone();
        changed.replace_range(at..=at, &to);
        prop_assume!(changed != good);
        prop_assert!(verifier().verify(&changed, now()).is_err());
    }

    #[test]
    fn whatever_the_claims_nothing_panics(
        exp in any::<f64>(),
        names in prop::collection::vec("\\PC{0,40}", 4),
        when in -377705023201i64..=253402207200,
    ) {
        let claims = json!({"sub": names[0], "exp": exp, "nbf": -exp, "line": names[1], "house": names[2], "roles": names[3]});
        let _whatever = verifier().verify(&sign_with_secret(&claims), Timestamp::from_second(when).unwrap()).is_ok();
    }
}
