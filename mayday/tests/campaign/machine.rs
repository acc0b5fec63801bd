//! One `mayday` on a machine of its own: its process, its disk, its network, its clock, and what is done to them.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use crate::house::disk::{Ballast, Disk};
use crate::house::ports::free_ports;
use crate::house::{PATIENCE, SECRET};
use crate::network::Network;
use crate::program::{run, run_if_possible};

/// The ports of a machine, where one process has the whole machine.
const PORTS: [u16; 4] = [8082, 8083, 9092, 8084];
const PEER_PORT: u16 = 9093;
/// Bytes of its last words that a failure shows.
const LAST_WORDS_BYTES: usize = 4_000;
/// Descriptors that a running `mayday` is left with, so that nearly none is free.
const FEW_FILES: &str = "--nofile=48:20000";
const ALL_FILES: &str = "--nofile=20000:20000";

/// A machine. Dropping it kills its process and unmounts its disk.
pub(crate) struct Machine {
    pub(crate) number: u32,
    host: IpAddr,
    ports: [u16; 4],
    peers: Option<String>,
    launcher: Vec<String>,
    folder: PathBuf,
    clock: Option<Clock>,
    process: Option<Child>,
    strace: Option<Child>,
    ballast: Option<Ballast>,
    /// Dropped after the process has ended. None where nothing can be mounted.
    disk: Option<Disk>,
}

/// Moves the wall clock of a process.
struct Clock {
    library: PathBuf,
    offset: PathBuf,
}

impl Machine {
    /// A machine alone, on loopback.
    pub(crate) fn alone(folder: &Path) -> Self {
        Self::new(folder, 1, Ipv4Addr::LOCALHOST.into(), free_ports())
    }

    /// One of several, each in a namespace of its network.
    pub(crate) fn among(folder: &Path, network: &Network, number: u32) -> Self {
        let peers = (1..=network.size())
            .map(|node| format!("{node}@{}:{PEER_PORT}", network.host(node)))
            .collect::<Vec<_>>();
        let folder = folder.join(number.to_string());
        let mut machine = Self::new(&folder, number, network.host(number).into(), PORTS);
        machine.peers = Some(peers.join(","));
        let words = ["ip", "netns", "exec"].map(str::to_owned);
        machine.launcher = words.into();
        machine.launcher.push(network.namespace(number));
        machine
    }

    fn new(folder: &Path, number: u32, host: IpAddr, ports: [u16; 4]) -> Self {
        std::fs::create_dir_all(folder).expect("made");
        Self {
            number,
            host,
            ports,
            peers: None,
            launcher: Vec::new(),
            clock: Clock::make(folder),
            disk: Disk::mount(folder),
            folder: folder.to_owned(),
            process: None,
            strace: None,
            ballast: None,
        }
    }

    pub(crate) fn api(&self) -> String {
        format!("http://{}:{}", self.host, self.ports[0])
    }

    pub(crate) fn gateway(&self) -> String {
        format!("ws://{}:{}/an-ws", self.host, self.ports[1])
    }

    pub(crate) fn log(&self) -> String {
        format!("{}:{}", self.host, self.ports[2])
    }

    fn data(&self) -> PathBuf {
        let disk = self.disk.as_ref().map(Disk::path);
        disk.unwrap_or(&self.folder).join("data")
    }

    fn output(&self) -> PathBuf {
        self.folder.join("output")
    }

    /// Starts the process, without waiting for it.
    pub(crate) fn start(&mut self) {
        assert!(self.process.is_none(), "machine {} runs", self.number);
        let output = File::options()
            .create(true)
            .append(true)
            .open(self.output());
        let output = output.expect("opened");
        let mut words = self.launcher.clone();
        if run_if_possible("setpriv", &["--version"]) {
            // It must not outlive a test that is killed.
            words.extend(["setpriv", "--pdeathsig", "KILL"].map(str::to_owned));
        }
        words.push(env!("CARGO_BIN_EXE_mayday").to_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("--data").arg(self.data());
        let flags = ["--api-port", "--gateway-port", "--log-port", "--admin-port"];
        for (flag, port) in flags.iter().zip(self.ports) {
            command.args([flag, port.to_string().as_str()]);
        }
        if let Some(peers) = &self.peers {
            let number = self.number.to_string();
            command.args(["--host", "0.0.0.0", "--insecure-log"]);
            command.args(["--peers", peers, "--node", &number]);
        }
        command.env("MAYDAY_JWT_SECRET", SECRET);
        if let Some(clock) = &self.clock {
            command.env("LD_PRELOAD", &clock.library);
            command.env("CAMPAIGN_CLOCK", &clock.offset);
        }
        command.stdin(Stdio::null());
        command
            .stdout(output.try_clone().expect("cloned"))
            .stderr(output);
        self.process = Some(command.spawn().expect("mayday starts"));
    }

    /// SIGKILL: no chance to finish anything.
    pub(crate) fn kill(&mut self) {
        self.sync_as_ever();
        if let Some(mut process) = self.process.take() {
            process.kill().expect("killed");
            process.wait().expect("it ends");
        }
    }

    /// SIGTERM, and an end in order.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        let mut process = self.process.take().expect("it runs");
        let pause = Duration::from_millis(20);
        for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
            if let Some(status) = process.try_wait().expect("it is ours") {
                assert_eq!(status.code(), Some(0), "{}", self.last_words());
                return;
            }
            thread::sleep(pause);
        }
        drop(process.kill());
        panic!(
            "machine {} does not end: {}",
            self.number,
            self.last_words()
        );
    }

    /// SIGSTOP, SIGCONT: it holds its locks and connections, and does nothing.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.process.as_ref().expect("it runs");
        run("kill", &[&format!("-{name}"), &process.id().to_string()]);
    }

    /// Fails where the process has ended by itself: nothing that is done to it may do that.
    pub(crate) fn assert_running(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        let ended = process.try_wait().expect("it is ours");
        assert_eq!(
            ended,
            None,
            "machine {}: {}",
            self.number,
            self.last_words()
        );
    }

    /// From now on each fdatasync is late, or fails. Says whether this machine lets us.
    pub(crate) fn sync_with(&mut self, how: &str) -> bool {
        let process = self.process.as_ref().expect("it runs").id().to_string();
        let inject = format!("inject=fdatasync:{how}");
        let mut command = Command::new("strace");
        command.args([
            "-f",
            "-q",
            "-e",
            "trace=fdatasync",
            "-e",
            &inject,
            "-p",
            &process,
        ]);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
        self.strace = quiet.stderr(Stdio::null()).spawn().ok();
        self.strace.is_some()
    }

    /// Its disk syncs as ever.
    pub(crate) fn sync_as_ever(&mut self) {
        if let Some(mut strace) = self.strace.take() {
            // SIGTERM, so that it lets its threads go first.
            run_if_possible("kill", &["-TERM", &strace.id().to_string()]);
            drop(strace.wait());
        }
    }

    /// Another program takes all the room there is. Says whether the machine has a disk of its own.
    pub(crate) fn fill_disk(&mut self) -> bool {
        self.ballast = self.disk.as_ref().map(Disk::fill);
        self.ballast.is_some()
    }

    pub(crate) fn empty_disk(&mut self) {
        self.ballast = None;
    }

    /// Waits until the process has everything open that it opens at its start; says whether it has.
    pub(crate) fn wait_until_started(&self) -> bool {
        let pause = Duration::from_millis(100);
        let is_ready = || {
            let asked = ureq::get(format!("http://{}:{}/readyz", self.host, self.ports[0]));
            let asked = asked.config().timeout_global(Some(PATIENCE)).build();
            asked.call().is_ok()
        };
        (0..PATIENCE.as_millis() / pause.as_millis()).any(|_| {
            let is_ready = is_ready();
            if !is_ready {
                thread::sleep(pause);
            }
            is_ready
        })
    }

    /// Nearly no descriptor is free, or all are again.
    pub(crate) fn limit_files(&self, few: bool) -> bool {
        let process = self.process.as_ref().expect("it runs").id().to_string();
        let limit = if few { FEW_FILES } else { ALL_FILES };
        run_if_possible("prlimit", &["--pid", &process, limit])
    }

    /// Its wall clock is off by so many seconds. Says whether that can be done here.
    pub(crate) fn set_clock(&self, seconds: i64) -> bool {
        // In place: the process has the file mapped, and a moment without its bytes would end it.
        let write = |clock: &Clock| {
            let file = File::options().write(true).open(&clock.offset)?;
            file.write_all_at(&seconds.to_ne_bytes(), 0)
        };
        self.clock
            .as_ref()
            .is_some_and(|clock| write(clock).is_ok())
    }

    /// The end of what it printed.
    pub(crate) fn last_words(&self) -> String {
        let said = std::fs::read(self.output()).unwrap_or_default();
        let from = said.len().saturating_sub(LAST_WORDS_BYTES);
        String::from_utf8_lossy(&said[from..]).into_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
        self.ballast = None;
    }
}

impl Clock {
    /// `None`, and a line that says so, where no C compiler makes the library.
    fn make(folder: &Path) -> Option<Self> {
        static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
        let library = LIBRARY.get_or_init(build_library).clone()?;
        let offset = folder.join("clock");
        std::fs::write(&offset, 0_i64.to_ne_bytes()).expect("written");
        Some(Self { library, offset })
    }
}

fn build_library() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/campaign/clock.c");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("campaign-clock.so");
    // Beside and renamed: another test program may build it at the same time.
    let draft = library.with_extension(std::process::id().to_string());
    let [from, to] = [&source, &draft].map(|path| path.to_str().expect("UTF-8"));
    if !run_if_possible("cc", &["-shared", "-fPIC", "-O1", "-o", to, from, "-ldl"]) {
        eprintln!("no wall clock is moved here: it needs cc");
        return None;
    }
    std::fs::rename(&draft, &library).expect("renamed");
    Some(library)
}
