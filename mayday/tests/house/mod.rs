//! The whole house as a person runs it: the real binary on a folder of its own, its doors, and its end.

#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod disk;
pub(crate) mod ports;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use event_model::{House, Line};
use jiff::{SignedDuration, Timestamp};
use resident_token::{Grant, Secret};
use serde_json::Value;

/// The secret that every house of the tests signs with.
pub(crate) const SECRET: &str = "the secret of a house that only tests live in";
/// How long a start, a stop or an event may take before a test gives up. Less than the 45 seconds for which librdkafka
/// would wait for a coordinator that is not there: nothing of ours may.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

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
    child: ChildGuard,
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
    let mut running = open_with(data, more);
    running.wait_until_ready();
    running
}

/// The same, returning when the doors are open: the log may not be there yet.
pub(crate) fn open_with(data: &Path, more: &[&str]) -> Running {
    open(data, mayday(data).args(ANY_PORTS).args(more))
}

/// Starts everything where so many files may be open, hard, and waits until it is ready.
pub(crate) fn start_with_files(data: &Path, files: usize, more: &[&str]) -> Running {
    let mut running = open(data, with_files(data, files).args(ANY_PORTS).args(more));
    running.wait_until_ready();
    running
}

/// `mayday` where so many files may be open, hard.
pub(crate) fn with_files(data: &Path, files: usize) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_mayday"))
        .env("MAYDAY_JWT_SECRET", SECRET)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null());
    command
}

fn open(data: &Path, command: &mut Command) -> Running {
    let file = data.join("addresses.json");
    // What a killed process left behind names nothing.
    drop(std::fs::remove_file(&file));
    let mut child = ChildGuard::start(command);
    let pause = Duration::from_millis(5);
    for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
        let addresses = std::fs::read_to_string(&file).unwrap_or_default();
        let Ok(addresses) = serde_json::from_str::<Value>(&addresses) else {
            assert!(
                child.child.try_wait().expect("it is ours").is_none(),
                "mayday has ended: {}",
                child.complaint()
            );
            std::thread::sleep(pause);
            continue;
        };
        let address = |name: &str| addresses[name].as_str().expect(name).to_owned();
        return Running {
            child,
            api: address("api"),
            gateway: address("gateway"),
            log: address("log"),
            admin: address("admin"),
        };
    }
    panic!("mayday opens no door: {}", child.complaint());
}

/// A child that does not outlive a test that fails, and what it prints.
struct ChildGuard {
    child: Child,
    said: Lines,
    complained: Lines,
}

impl ChildGuard {
    fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        Self {
            said: Lines::of(child.stdout.take().expect("piped")),
            complained: Lines::of(child.stderr.take().expect("piped")),
            child,
        }
    }

    /// How it ended, within [`PATIENCE`].
    fn end(&mut self) -> ExitStatus {
        let pause = Duration::from_millis(20);
        for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return status;
            }
            std::thread::sleep(pause);
        }
        panic!("it does not end: {}", self.complaint());
    }

    /// What it has complained of. It is ended first, so that this is all of it.
    fn complaint(&mut self) -> String {
        self.kill();
        self.complained.0.iter().collect::<Vec<_>>().join("\n")
    }

    fn kill(&mut self) {
        // An ended process is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a child prints, line by line. It is read whether or not a test asks, so that the pipe is never full.
struct Lines(mpsc::Receiver<String>);

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "its reader must never wait, and a test's child prints little"
        )]
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                // Nobody asks any more: read on.
                _ = tell.send(line.expect("it speaks UTF-8"));
            }
        });
        Self(told)
    }

    /// The next line, within [`PATIENCE`]; `None` where there is none.
    fn next(&self) -> Option<String> {
        self.0.recv_timeout(PATIENCE).ok()
    }
}

impl Running {
    /// It prints its welcome when it is ready; before that it may only end.
    pub(crate) fn wait_until_ready(&mut self) {
        loop {
            let line = self.child.said.next();
            let line =
                line.unwrap_or_else(|| panic!("mayday is not ready: {}", self.child.complaint()));
            if line.contains("Ctrl-C") {
                return;
            }
        }
    }

    /// What `/readyz` says: its status and its JSON.
    pub(crate) fn readiness(&self) -> (u16, Value) {
        let asked = ureq::get(format!("{}/readyz", self.admin));
        let config = asked.config().http_status_as_error(false);
        let asked = config.timeout_global(Some(PATIENCE)).build().call();
        asked.map_or((0, Value::Null), |mut answer| {
            let status = answer.status().as_u16();
            (status, answer.body_mut().read_json().unwrap_or(Value::Null))
        })
    }

    /// Waits until `/readyz` says what is asked for, within [`PATIENCE`].
    pub(crate) fn wait_for_readiness(&self, what: &str, is_so: impl Fn(u16, &Value) -> bool) {
        let pause = Duration::from_millis(50);
        let mut said = (0, Value::Null);
        for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
            said = self.readiness();
            if is_so(said.0, &said.1) {
                return;
            }
            std::thread::sleep(pause);
        }
        panic!("{what}: /readyz says {said:?}");
    }

    /// Bytes of memory that the process has, of its own and shared.
    pub(crate) fn memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.child.id());
        let status = std::fs::read_to_string(status).expect("it runs");
        let mut lines = status.lines();
        let resident = lines.find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident
            .expect("it has memory")
            .trim()
            .trim_end_matches(" kB");
        resident.parse::<u64>().expect("a number") << 10
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.child.id()
    }

    /// SIGKILL: no chance to finish anything.
    pub(crate) fn kill(mut self) {
        self.child.kill();
    }

    /// SIGINT, as Ctrl-C sends it, and the exit code.
    pub(crate) fn interrupt(mut self) -> Option<i32> {
        let id = self.child.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .expect("kill is there")
                .success()
        );
        self.child.end().code()
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
pub(crate) struct Watcher(ChildGuard);

impl Watcher {
    /// Watches; it has subscribed when this returns.
    pub(crate) fn start(data: &Path, line: &str, house: &str) -> Self {
        let arguments = ["watch", "--json", "--line", line, "--house", house];
        let child = ChildGuard::start(mayday(data).args(arguments));
        // It says that it watches once it has subscribed.
        let said = child.complained.next();
        let said = said.expect("it says what it does");
        assert!(said.starts_with("watching"), "{said}");
        Self(child)
    }

    /// The next event.
    pub(crate) fn next(&mut self) -> Value {
        let line = self.0.said.next();
        let line = line.unwrap_or_else(|| panic!("no event comes: {}", self.0.complaint()));
        serde_json::from_str(&line).expect("JSON")
    }
}
