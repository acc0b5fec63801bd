//! The whole house as a person runs it: the real binary on a folder of its own, its doors, and its end.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use event_model::{House, Line};
use jiff::{SignedDuration, Timestamp};
use resident_token::{Grant, Secret};
use serde_json::Value;

/// The secret that every house of the tests signs with.
pub(crate) const SECRET: &str = "the secret of a house that only tests live in";
/// How long a start, a stop or an event may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Ports of the system's choice.
pub(crate) const ANY_PORTS: [&str; 8] = [
    "--api-port",
    "0",
    "--gateway-port",
    "0",
    "--log-port",
    "0",
    "--admin-port",
    "0",
];

/// A running `mayday`.
pub(crate) struct Running {
    child: Child,
    pub(crate) api: String,
    pub(crate) gateway: String,
    pub(crate) log: String,
    pub(crate) admin: String,
}

/// `mayday` with a folder and the tests' secret.
pub(crate) fn mayday(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mayday"));
    command
        .env("MAYDAY_JWT_SECRET", SECRET)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null());
    command
}

/// Starts everything on ports of the system's choice and waits until it is ready.
pub(crate) fn start(data: &Path) -> Running {
    start_with(data, &[])
}

/// The same with more arguments.
pub(crate) fn start_with(data: &Path, more: &[&str]) -> Running {
    let child = mayday(data)
        .args(ANY_PORTS)
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the binary starts");
    let mut said = String::new();
    // It prints its addresses when it is ready; before that it may only end.
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    while !said.contains("Ctrl-C") {
        if lines.read_line(&mut said).expect("it speaks UTF-8") == 0 {
            let mut complaint = String::new();
            child
                .stderr
                .take()
                .expect("piped")
                .read_to_string(&mut complaint)
                .expect("it speaks UTF-8");
            panic!("mayday ended before it was ready: {said}{complaint}");
        }
    }
    drain(lines);
    drain(BufReader::new(child.stderr.take().expect("piped")));
    let addresses = std::fs::read_to_string(data.join("addresses.json"))
        .expect("a ready house says where it is");
    let addresses: Value = serde_json::from_str(&addresses).expect("JSON");
    let address = |name: &str| addresses[name].as_str().expect(name).to_owned();
    Running {
        child,
        api: address("api"),
        gateway: address("gateway"),
        log: address("log"),
        admin: address("admin"),
    }
}

/// What is printed later must not fill the pipe.
fn drain(mut pipe: impl Read + Send + 'static) {
    std::thread::spawn(move || std::io::copy(&mut pipe, &mut std::io::sink()));
}

impl Running {
    /// SIGKILL: no chance to finish anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// SIGINT, as Ctrl-C sends it, and the exit code.
    pub(crate) fn interrupt(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .expect("kill is there")
                .success()
        );
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failed test leaves nothing running; an ended process is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A token of the tests' secret.
pub(crate) fn token(line: &str, house: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "a test is its own shell")]
    let now = Timestamp::now();
    Secret::new(SECRET).expect("long enough").issue(&Grant {
        line: Some(Line::new(line).expect("a good line")),
        house: Some(House::new(house).expect("a good house")),
        ..Grant::new(
            format!("{line}/{house}"),
            now + SignedDuration::from_hours(1),
        )
    })
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().expect("it starts")
}

/// The first line of what a failed command said.
pub(crate) fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "it was to fail: {output:?}");
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// A temporary folder, and the data folder inside it.
pub(crate) fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    (folder, data)
}

/// `mayday watch --json`, and what it prints.
pub(crate) struct Watcher {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Watcher {
    /// Watches; it has subscribed when this returns.
    pub(crate) fn start(data: &Path, line: &str, house: &str) -> Self {
        let arguments = ["watch", "--json", "--line", line, "--house", house];
        let child = mayday(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("the binary starts");
        // It says that it watches once it has subscribed.
        let mut said = String::new();
        BufReader::new(child.stderr.take().expect("piped"))
            .read_line(&mut said)
            .expect("it speaks UTF-8");
        assert!(said.starts_with("watching"), "{said}");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, lines }
    }

    /// The next event.
    pub(crate) fn next(&mut self) -> Value {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).expect("it speaks UTF-8");
        assert_ne!(read, 0, "the watch ended");
        serde_json::from_str(&line).expect("JSON")
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
