//! Clients that we did not write, as residents' apps use them: they connect, hear an alert and its accepts,
//! acknowledge, and leave.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use std::{
    io::{BufRead, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value;
use support::test_gateway::{Log, TestGateway, token};

const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/clients");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// A client's process and the lines of JSON that it says.
struct Client {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut process = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn stompjs(gateway: &TestGateway, token: &str, version: &str, api: &str) -> Self {
        let node_modules = installed("node_modules");
        let folder = node_modules.parent().unwrap().to_str().unwrap();
        let script = format!("{SCRIPTS}/stompjs.mjs");
        Self::start(
            Path::new("node"),
            &[
                &script,
                folder,
                &gateway.url(),
                token,
                "101",
                version,
                api,
                "3",
            ],
        )
    }

    fn stomp_py(gateway: &TestGateway, token: &str, version: &str, mode: &str) -> Self {
        let (host, port) = (
            gateway.address.ip().to_string(),
            gateway.address.port().to_string(),
        );
        let script = format!("{SCRIPTS}/stomp_py.py");
        Self::start(
            &installed("venv/bin/python"),
            &[&script, &host, &port, token, "101", version, mode, "3"],
        )
    }

    fn next(&mut self) -> Option<Value> {
        self.lines
            .next()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
    }

    /// The next thing that happens, which must be this.
    fn expect(&mut self, event: &str) -> Value {
        let happened = self
            .next()
            .unwrap_or_else(|| panic!("it ended before: {event}"));
        assert_eq!(happened["event"], event, "{happened}");
        happened
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn installed(name: &str) -> PathBuf {
    let path = Path::new(CLIENTS).join(name);
    assert!(
        path.exists(),
        "{} is missing: run .ci/clients",
        path.display()
    );
    path
}

/// An alert and two accepts, heard in order by a client that has just subscribed.
fn hears_an_alert_and_its_accepts(log: &Log, mut client: Client, version: &str) {
    let connected = client.expect("connected");
    assert_eq!(connected["version"], version);
    let heart_beat = if version == "1.0" {
        Value::Null
    } else {
        "25000,0".into()
    };
    assert_eq!(connected["heartBeat"], heart_beat);
    client.expect("subscribed");
    let alert = log.alert("101", "1502", "불이야: fire\\n\n at 3rd floor");
    let place = log.happens(&alert);
    for responder in ["1501", "1602"] {
        log.happens(&log.accept("101", responder, "1502"));
    }

    let heard = client.expect("message");
    assert_eq!(heard["headers"]["type"], "alert");
    assert_eq!(heard["headers"]["destination"], "/sub/line/101");
    assert_eq!(heard["headers"]["message-id"], place.to_string());
    assert_eq!(heard["headers"]["content-type"], "application/json");
    assert_eq!(heard["body"]["text"], "불이야: fire\\n\n at 3rd floor");
    assert_eq!(heard["body"]["house"], "1502");
    for (rank, responder) in [(1, "1501"), (2, "1602")] {
        let heard = client.expect("message");
        assert_eq!(heard["headers"]["type"], "accept");
        assert_eq!(
            (&heard["body"]["accept"], &heard["body"]["rank"]),
            (&responder.into(), &rank.into())
        );
        assert_eq!(heard["body"]["alertId"], alert.id().to_string());
    }
    while let Some(event) = client.next() {
        assert!(
            event["event"] == "disconnected" || event["event"] == "closed",
            "{event}"
        );
    }
}

#[test]
fn stompjs_hears_alerts_and_accepts_in_every_version() {
    for (offered, spoken) in [("all", "1.2"), ("1.1", "1.1"), ("1.0", "1.0")] {
        let log = Log::start();
        let gateway = TestGateway::open(&log);
        let client = Client::stompjs(&gateway, &token("101", "1501"), offered, "client");
        hears_an_alert_and_its_accepts(&log, client, spoken);
    }
}

#[test]
fn the_older_api_of_stompjs_hears_alerts_and_accepts() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    let client = Client::stompjs(&gateway, &token("101", "1501"), "all", "compat");
    hears_an_alert_and_its_accepts(&log, client, "1.2");
}

#[test]
fn stomp_py_hears_alerts_and_accepts_in_every_version_as_text_and_as_binary() {
    for (version, mode) in [
        ("1.0", "text"),
        ("1.1", "text"),
        ("1.2", "text"),
        ("1.2", "binary"),
    ] {
        let log = Log::start();
        let gateway = TestGateway::open(&log);
        let client = Client::stomp_py(&gateway, &token("101", "1501"), version, mode);
        hears_an_alert_and_its_accepts(&log, client, version);
    }
}

#[test]
fn stompjs_is_told_that_its_token_is_bad_and_closed_with_4401() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    let mut client = Client::stompjs(&gateway, "not.a.token", "all", "client");
    let error = client.expect("error");
    assert_eq!(error["headers"]["code"], "token_invalid");
    assert_eq!(error["headers"]["retry"], "new-token");
    assert_eq!(client.expect("closed")["code"], 4401);
}
