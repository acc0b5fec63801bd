//! One `log-core serve`: its process, its disk, and what is done to them.

use std::fmt::Display;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::disk::{Disk, DiskKind};
use super::ground::Ground;
use super::program::run;
use super::slow_syncs::SlowSyncs;
use super::wait_until;

pub const LOG_CORE: &str = env!("CARGO_BIN_EXE_log-core");
/// A node that is paused or cut off does not answer.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Bytes of its last words.
const WORDS: usize = 6_000;
/// Small enough that checkpoints, trimming and snapshots happen within a test, and a disk of some MiB is enough.
const SETTINGS: &str =
    "checkpoint_bytes = 4194304\njournal_segment_bytes = 9437184\ndisk_reserve_bytes = 16777216\n";

/// A node. Dropping it kills its process and unmounts its disk.
pub struct Node {
    pub id: u32,
    pub clients: SocketAddr,
    admin: SocketAddr,
    launcher: Vec<String>,
    arguments: Vec<String>,
    peers: String,
    folder: PathBuf,
    process: Option<Child>,
    /// Dropped after the process has ended.
    disk: Disk,
}

impl Node {
    /// Its disk is made, its process not started. `secret` is the file of the secret that peers share.
    pub fn new(id: u32, folder: PathBuf, disk: DiskKind, ground: &Ground, secret: &Path) -> Self {
        let addresses = ground.addresses(id);
        let mut node = Self {
            id,
            clients: addresses.clients,
            admin: addresses.admin,
            launcher: ground.launcher(id),
            arguments: Vec::new(),
            peers: ground.peers(&[id]),
            disk: Disk::make(disk, &folder),
            folder,
            process: None,
        };
        node.set(SETTINGS);
        node.tell("--data", node.data().display());
        node.tell("--config", node.settings().display());
        node.tell("--node-id", id);
        node.tell("--listen", addresses.clients);
        node.tell("--admin-listen", addresses.admin);
        if !addresses.clients.ip().is_loopback() {
            node.arguments.push("--insecure-log".to_owned());
        }
        node.tell("--peer-listen", addresses.peers);
        node.tell("--peer-secret-file", secret.display());
        node
    }

    /// The nodes of its cluster, from the next start on.
    pub fn tell_peers(&mut self, peers: String) {
        self.peers = peers;
    }

    fn tell(&mut self, name: &str, value: impl Display) {
        self.arguments.extend([name.to_owned(), value.to_string()]);
    }

    /// Lines of the file of settings, from the next start on.
    pub fn set(&self, settings: &str) {
        std::fs::write(self.settings(), settings).expect("written");
    }

    fn settings(&self) -> PathBuf {
        self.folder.with_extension("toml")
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn output(&self) -> PathBuf {
        self.folder.with_extension("log")
    }

    /// Starts the process, without waiting for it.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "node {} runs already", self.id);
        let output = File::options()
            .create(true)
            .append(true)
            .open(self.output());
        let words = [
            &self.launcher[..],
            &[LOG_CORE.to_owned(), "serve".to_owned()],
        ]
        .concat();
        let process = Command::new(&words[0])
            .args(&words[1..])
            .args(&self.arguments)
            .args(["--peers", &self.peers])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output.expect("opened"))
            .spawn();
        self.process = Some(process.expect("log-core starts"));
    }

    /// SIGKILL: no chance to finish anything.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("killed");
        process.wait().expect("it ends");
    }

    /// SIGTERM, and a clean end.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let mut process = self.process.take().expect("it runs");
        let mut ended = None;
        wait_until("the node ends when told to", || {
            ended = process.try_wait().expect("asked");
            ended.is_some()
        });
        let code = ended.and_then(|status| status.code());
        assert_eq!(code, Some(0), "node {}: {}", self.id, self.last_words());
    }

    /// SIGSTOP: it holds its locks and connections, and does nothing.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// SIGCONT: for it no time has passed.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let process = self.process.as_ref().expect("it runs");
        run("kill", &[&format!("-{name}"), &process.id().to_string()]);
    }

    /// Each of its syncs takes so long more, until what is returned is dropped.
    pub fn slow_down(&self, by: Duration) -> SlowSyncs {
        let process = self.process.as_ref().expect("it runs");
        SlowSyncs::of(process.id(), by)
    }

    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The power is back; the process is not.
    pub fn restore_power(&self) {
        self.disk.mount_again();
    }

    /// Nothing is left of what it had on its disk.
    pub fn lose_disk(&self) {
        assert!(self.process.is_none(), "node {} still runs", self.id);
        if self.data().exists() {
            std::fs::remove_dir_all(self.data()).expect("removed");
        }
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Serves clients, or tells them who does.
    pub fn is_ready(&self) -> bool {
        self.readiness().is_some()
            && TcpStream::connect_timeout(&self.clients, ANSWER_WITHIN).is_ok()
    }

    pub fn leads(&self) -> bool {
        self.readiness()
            .is_some_and(|said| said.contains(r#""status":"leader""#))
    }

    /// What it says of itself when it is ready.
    fn readiness(&self) -> Option<String> {
        let answer = self.ask("/readyz")?;
        answer.strip_prefix("200 ").map(str::to_owned)
    }

    /// How much of the journal it has applied.
    pub fn applied_index(&self) -> Option<u64> {
        let metrics = self.ask("/metrics")?;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("log_applied_index "))?;
        line.parse().ok()
    }

    /// Status and body of what its admin listener answers.
    fn ask(&self, path: &str) -> Option<String> {
        self.process.as_ref()?;
        let mut stream = TcpStream::connect_timeout(&self.admin, ANSWER_WITHIN).ok()?;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?;
        Some(format!("{status} {body}"))
    }

    /// The end of what it logged.
    pub fn last_words(&self) -> String {
        let said = std::fs::read(self.output()).unwrap_or_default();
        let from = said.len().saturating_sub(WORDS);
        String::from_utf8_lossy(&said[from..]).into_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
    }
}
