//! The front gateway: who is let in, who is not, and what is served beside the socket.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use std::{fs, process::Command, sync::Arc};

use resident_token::{
    TokenCode,
    testing::{SECRET, claims_of, forgeries, good_tokens},
};
use support::{
    neighbour::Neighbour,
    test_gateway::{Log, TestGateway, config, http, now, operators_token, token, wait_until},
};
use tokio::runtime::Runtime;

fn authorization(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// A gateway that has no log, for what needs none.
fn gateway_without_log() -> TestGateway {
    TestGateway::start(&Arc::new(Runtime::new().unwrap()), config("127.0.0.1:9"))
}

#[test]
fn a_token_that_is_forged_expired_or_unsigned_gets_nothing() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    for forgery in forgeries(&claims_of("101", "1502", now()), now()) {
        let name = forgery.name;
        let refused = Neighbour::upgrade(gateway.address, "/an-ws", &authorization(&forgery.token));
        let (status, body) = refused
            .err()
            .unwrap_or_else(|| panic!("{name} was let in by its upgrade"));
        assert!(
            status == 401 && body.contains(forgery.code.as_str()),
            "{name}: {status} {body}"
        );

        if forgery.token.len() < 8_000 {
            let (mut neighbour, _) = Neighbour::upgrade(gateway.address, "/an-ws", "").unwrap();
            let authorization = format!("Authorization:Bearer {}", forgery.token);
            neighbour.say(&format!(
                "CONNECT\naccept-version:1.2\n{authorization}\n\n\0"
            ));
            assert_eq!(
                neighbour.refused(),
                (forgery.code.as_str().to_owned(), 4401),
                "{name}"
            );
        }
    }
}

#[test]
fn no_token_and_another_lines_token_get_nothing() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    let (mut nobody, _) = Neighbour::upgrade(gateway.address, "/an-ws", "").unwrap();
    nobody.say("CONNECT\naccept-version:1.2\n\n\0");
    assert_eq!(nobody.refused(), ("token_missing".to_owned(), 4401));

    let mut elsewhere = Neighbour::connected(gateway.address, "1.2", &token("102", "1"));
    elsewhere.say("SUBSCRIBE\nid:0\ndestination:/sub/line/101\n\n\0");
    assert_eq!(elsewhere.refused(), ("line_mismatch".to_owned(), 4403));
}

#[test]
fn a_token_in_the_url_is_refused_however_good_it_is() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    let good = token("101", "1502");
    for query in [
        format!("token={good}"),
        format!("access_token={good}"),
        format!("x={good}"),
    ] {
        let path = format!("/an-ws?{query}");
        let (status, body) = Neighbour::upgrade(gateway.address, &path, &authorization(&good))
            .err()
            .unwrap();
        assert_eq!(status, 401, "as at the api");
        assert!(
            body.contains(TokenCode::InUrl.as_str()) && !body.contains(&good),
            "{body}"
        );
    }
}

#[test]
fn a_good_token_under_any_key_is_let_in_by_connect_and_by_the_upgrade() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    for good in good_tokens(&claims_of("101", "1502", now())) {
        Neighbour::connected(gateway.address, "1.2", &good).subscribe("0", "/sub/line/101", "");

        let (mut neighbour, _) =
            Neighbour::upgrade(gateway.address, "/an-ws", &authorization(&good)).unwrap();
        neighbour.connect("1.2", "");
        neighbour.subscribe("0", "/sub/line/101", "");
    }
}

#[test]
fn connects_token_counts_before_the_upgrades() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    let upgrade = authorization(&token("102", "1"));
    let (mut neighbour, _) = Neighbour::upgrade(gateway.address, "/an-ws", &upgrade).unwrap();
    neighbour.connect(
        "1.2",
        &format!("Authorization:Bearer {}\n", token("101", "1")),
    );
    neighbour.subscribe("0", "/sub/line/101", "");

    let (mut neighbour, _) = Neighbour::upgrade(gateway.address, "/an-ws", &upgrade).unwrap();
    neighbour.say("CONNECT\naccept-version:1.2\nAuthorization:Bearer not.a.token\n\n\0");
    assert_eq!(neighbour.refused().0, "token_invalid");
}

/// Two readers on the way might each believe another one.
#[test]
fn of_two_tokens_in_one_upgrade_none_is_believed() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    let good = authorization(&token("101", "1502"));

    let (status, body) = Neighbour::upgrade(gateway.address, "/an-ws", &good.repeat(2))
        .err()
        .unwrap();

    assert_eq!(status, 401);
    assert!(body.contains("token_invalid"), "{body}");
}

#[test]
fn an_operator_hears_any_line() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    let mut operator = Neighbour::connected(gateway.address, "1.2", &operators_token());
    operator.subscribe("a", "/sub/line/101", "");
    operator.subscribe("b", "/sub/line/102", "");
    log.happens(&log.alert("102", "1", "help"));
    assert_eq!(operator.message().0.headers.get("subscription"), Some("b"));
}

#[test]
fn point_1_the_answer_names_exactly_one_subprotocol_or_none() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    for (offered, chosen) in [
        (
            "Sec-WebSocket-Protocol: v12.stomp, v11.stomp, v10.stomp\r\n",
            Some("v12.stomp"),
        ),
        (
            "Sec-WebSocket-Protocol: v11.stomp\r\nSec-WebSocket-Protocol: v10.stomp\r\n",
            Some("v11.stomp"),
        ),
        ("Sec-WebSocket-Protocol: mqtt\r\n", None),
        ("", None),
    ] {
        let (_, head) = Neighbour::upgrade(gateway.address, "/an-ws", offered).unwrap();
        let answered = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(answered, chosen, "{offered}");
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
    }
}

#[test]
fn pages_of_other_origins_are_kept_out_if_a_list_says_so() {
    let log = Log::start();
    let mut settings = config(&log.address());
    settings.origins = Some(vec!["https://residents.example".to_owned()]);
    let gateway = TestGateway::with_config(&log, settings);
    let (status, body) = Neighbour::upgrade(
        gateway.address,
        "/an-ws",
        "Origin: https://evil.example\r\n",
    )
    .err()
    .unwrap();
    assert_eq!(status, 403);
    assert!(body.contains("origin_not_allowed"));
    assert!(
        Neighbour::upgrade(
            gateway.address,
            "/an-ws",
            "Origin: https://residents.example\r\n"
        )
        .is_ok()
    );
    assert!(
        Neighbour::upgrade(gateway.address, "/an-ws", "").is_ok(),
        "an app is no page"
    );
}

#[test]
fn an_upgrade_too_many_without_a_connect_is_told_to_come_back_later() {
    let log = Log::start();
    let mut settings = config(&log.address());
    // Half of them may wait for their CONNECT.
    settings.sockets_max = 4;
    let gateway = TestGateway::with_config(&log, settings);
    let one = Neighbour::upgrade(gateway.address, "/an-ws", "").unwrap();
    let _other = Neighbour::upgrade(gateway.address, "/an-ws", "").unwrap();
    let (status, body) = Neighbour::upgrade(gateway.address, "/an-ws", "")
        .err()
        .unwrap();
    assert_eq!(status, 503);
    assert!(
        body.contains("too_many") && body.contains("\"retryable\":true"),
        "{body}"
    );

    drop(one);

    support::test_gateway::wait_until("there is room again", || {
        Neighbour::upgrade(gateway.address, "/an-ws", "").is_ok()
    });
}

#[test]
fn what_is_no_upgrade_is_told_what_this_is() {
    let gateway = gateway_without_log();
    let (status, head, body) = gateway.get("/an-ws");
    assert_eq!(status, 426);
    assert!(
        head.contains("upgrade: websocket") && head.contains("sec-websocket-version: 13"),
        "{head}"
    );
    assert!(body.contains("upgrade_required"));
}

#[test]
fn the_page_and_what_it_must_know_are_served_and_kept_to_themselves() {
    let gateway = gateway_without_log();
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/config.json", "application/json"),
    ] {
        let (status, head, body) = gateway.get(path);
        assert_eq!(status, 200, "{path}");
        assert!(
            head.contains(&format!("content-type: {content_type}")),
            "{path}: {head}"
        );
        assert!(
            head.contains("content-security-policy: default-src 'none'"),
            "{path}: {head}"
        );
        assert!(
            head.contains("x-content-type-options: nosniff")
                && head.contains("cache-control: no-cache")
        );
        assert!(!body.is_empty());
    }
    let (_, _, body) = gateway.get("/config.json");
    assert_eq!(body, "{\"api\":\"http://127.0.0.1:8082\"}");
    assert_eq!(gateway.get("/../Cargo.toml").0, 404);
    let head_request = format!(
        "HEAD / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        gateway.address
    );
    assert_eq!(http(gateway.address, &head_request).0, 200);
}

#[test]
fn health_needs_no_log_and_readiness_does() {
    let gateway = gateway_without_log();
    assert_eq!(gateway.get("/healthz").0, 200);
    assert_eq!(gateway.get_admin("/healthz").0, 200);
    assert_eq!(gateway.get_admin("/readyz").0, 503);
    assert_eq!(
        gateway.get("/readyz").0,
        404,
        "the operators' answers are on their own listener"
    );
    assert_eq!(gateway.get("/metrics").0, 404);
}

#[test]
fn a_stop_ends_a_gateway_that_never_found_its_log() {
    let mut gateway = gateway_without_log();
    assert!(gateway.stop().is_ok());
}

#[test]
fn an_upgrade_by_http_1_0_is_none() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    let upgrade = |version: &str| {
        format!(
            "GET /an-ws {version}\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    };
    let (status, _, body) = http(gateway.address, &upgrade("HTTP/1.0"));
    assert_eq!(status, 426, "{body}");
    assert!(body.contains("upgrade_required"), "{body}");
}

#[test]
fn a_log_of_everything_holds_no_token() {
    let log = Log::start();
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("stderr");
    let mut program = Command::new(env!("CARGO_BIN_EXE_ws-gateway"))
        .env_clear()
        .env("RUST_LOG", "trace")
        .env("NO_COLOR", "1")
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--log", &log.address(), "--jwt-secret", SECRET])
        .stderr(fs::File::create(&lines).unwrap())
        .spawn()
        .unwrap();
    let logged = || fs::read_to_string(&lines).unwrap_or_default();
    let address = || {
        let logged = logged();
        let (_, after) = logged.split_once("serving listen=")?;
        after.split_whitespace().next()?.parse().ok()
    };
    wait_until("the program listens", || address().is_some());
    let address = address().unwrap();
    wait_until("the program has read the log", || {
        Neighbour::upgrade(address, "/an-ws", "").is_ok()
    });
    let secret = token("101", "1502");

    let mut neighbour = Neighbour::connected(address, "1.2", &secret);
    neighbour.settle();
    program.kill().unwrap();
    program.wait().unwrap();

    let logged = logged();
    assert!(logged.contains("TRACE"), "{logged}");
    let line = logged.lines().find(|line| line.contains(&secret));
    assert_eq!(line, None);
}

#[test]
fn a_program_that_cannot_start_says_why_in_one_sentence() {
    let gateway = || Command::new(env!("CARGO_BIN_EXE_ws-gateway"));
    let without_keys = gateway().env_clear().output().unwrap();
    assert_eq!(without_keys.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&without_keys.stderr).contains("no key for tokens"));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let secret = "a secret for tests, which opens nothing";
    let refused = gateway()
        .env_clear()
        .args(["--listen", &address, "--jwt-secret", secret])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains(&format!("listen on {address}")) && !said.contains(secret),
        "{said}"
    );

    let silent = ["--silence-max", "10s", "--ping-every", "20s"];
    let refused = gateway().env_clear().args(silent).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    for mistake in ["silence_max", "no key for tokens"] {
        assert!(said.contains(mistake), "{mistake}: {said}");
    }
}
