//! The program as a person starts it: one clear sentence for each mistake, and an orderly end.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Output, Stdio},
};

use support::{PATIENCE, get, now};

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
    let mut running = Running(program.stderr(Stdio::piped()).spawn().unwrap());
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
    assert_eq!(get(residents, "/healthz").await.status, 200);
    let metrics = get(admin, "/metrics").await;
    assert_eq!(metrics.status, 200);

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
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert!(status.success(), "{status}");
}
