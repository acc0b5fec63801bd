//! The program as a person starts it: one clear sentence for each mistake, and an orderly end.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use support::{PATIENCE, TestLog, get, now, read, records, request, token, wait_until_stored};

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_producer-api"));
    program.env_clear().stdin(Stdio::null());
    program
}

fn with_secret() -> Command {
    let mut program = program();
    program.env(
        "MAYDAY_JWT_SECRET",
        "a secret of at least thirty-two bytes!",
    );
    program
}

fn ended(program: &mut Command) -> (i32, String) {
    let Output { status, stderr, .. } = program.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn without_a_key_it_says_how_to_give_one() {
    let (code, said) = ended(&mut program());

    assert_eq!(code, 2);
    assert!(said.contains("MAYDAY_JWT_SECRET"), "{said}");
}

#[test]
fn a_short_secret_is_refused_without_being_shown() {
    let (code, said) = ended(program().env("MAYDAY_JWT_SECRET", "hush hush"));

    assert_eq!(code, 2);
    assert!(
        said.contains("at least 32") && !said.contains("hush hush"),
        "{said}"
    );
}

#[test]
fn every_setting_that_does_not_fit_is_named_at_once() {
    let (code, said) = ended(
        with_secret()
            .env("PRODUCER_API_DEADLINE", "100ms")
            .env("PRODUCER_API_CONNECTIONS_MAX", "0")
            .env("PRODUCER_API_ALLOWED_ORIGINS", "calls.example"),
    );

    assert_eq!(code, 2);
    for setting in ["deadline is below", "connections_max is 0", "calls.example"] {
        assert!(said.contains(setting), "{setting}: {said}");
    }
}

#[test]
fn more_connections_than_files_are_refused_with_the_sum() {
    let (code, said) = ended(with_secret().env("PRODUCER_API_CONNECTIONS_MAX", "2000000"));

    assert_eq!(code, 2);
    for part in [
        "2000256 open files are needed",
        "2000000 api connections (set) + 256 for the rest",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let (code, said) = ended(with_secret().args(["--listen", &address, "--admin", "none"]));

    assert_eq!(code, 1);
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
}

#[test]
fn the_settings_are_shown_without_the_secrets() {
    let output = with_secret()
        .args(["--show-settings", "--listen", "127.0.0.1:1"])
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();

    assert!(output.status.success());
    assert!(
        shown.contains("127.0.0.1:1") && !shown.contains("thirty-two bytes"),
        "{shown}"
    );
}

/// A running program, ended with the test whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _already_ended = self.0.kill().is_err();
        let _reaped = self.0.wait().is_ok();
    }
}

impl Running {
    /// Starts the program and waits until it says where it listens: the operator's address, the residents'.
    fn start(program: &mut Command) -> (Self, SocketAddr, SocketAddr) {
        let mut running = Self(program.stderr(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(running.0.stderr.take().unwrap()).lines();
        let mut address_after = |words: &str| {
            let line = lines
                .find(|line| line.as_ref().unwrap().contains(words))
                .unwrap()
                .unwrap();
            line.rsplit("address=")
                .next()
                .unwrap()
                .split_whitespace()
                .next()
                .unwrap()
                .parse()
                .unwrap()
        };
        let admin = address_after("serving the operator");
        let residents = address_after("serving residents");
        // Read to the end, or the program would block once the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        (running, admin, residents)
    }
}

#[tokio::test]
async fn it_serves_and_ends_in_order_on_sigterm() {
    let mut program = with_secret();
    program.args([
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--log",
        "127.0.0.1:9",
    ]);
    let (mut running, admin, residents) = Running::start(&mut program);
    assert_eq!(get(residents, "/healthz").await.status, 200);
    assert_eq!(get(admin, "/metrics").await.status, 200);

    let pid = running.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );

    let started = now();
    let status = loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < PATIENCE, "it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn calls_answered_202_are_stored_after_a_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = TestLog::start().await;
    log.stop().await;
    let mut program = program();
    program
        .args([
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--log",
            &log.address(),
        ])
        .env("MAYDAY_JWT_SECRET", resident_token::testing::SECRET)
        .env("PRODUCER_API_DEADLINE", "500ms")
        .env("PRODUCER_API_OUTBOX", folder.path().join("outbox"));
    let authorization = format!("Bearer {}", token("dong-101", "1502"));
    let headers = [("authorization", authorization.as_str())];
    let (running, _, residents) = Running::start(&mut program);
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        let body = format!(r#"{{"text":"{text}"}}"#);
        let answer = request(residents, "POST", "/alert", &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        ids.push(answer.id());
    }

    drop(running);
    log.start_again().await;
    let (_running, _, residents) = Running::start(&mut program);

    let mut places = Vec::new();
    for id in &ids {
        let place = wait_until_stored(residents, headers[0], id).await;
        assert_eq!(read(&log.address(), place).id().to_string(), *id);
        places.push(place);
    }
    assert_eq!(records(&log.address()), 3);
    assert!(places.is_sorted(), "{places:?}");
}
