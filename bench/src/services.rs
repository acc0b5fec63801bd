//! The services under test, each a process of its own, in a folder that is gone afterwards.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use service_kit::clock;
use tempfile::TempDir;

use crate::machine::processor_time;
use crate::tokens::SECRET;

const START_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(30);
const READINESS_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where the programs are, and where their data and output go.
#[derive(Debug)]
pub(crate) struct BenchEnv {
    programs: PathBuf,
    folder: TempDir,
}

impl BenchEnv {
    /// `programs` holds the built services; data goes below `data`, which should be on the disk to be measured.
    pub(crate) fn open(programs: Option<&Path>, data: &Path) -> Result<Self> {
        let here = std::env::current_exe().context("find this program")?;
        let programs = programs
            .or_else(|| here.parent())
            .context("find the folder of this program")?
            .to_owned();
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(data);
        Ok(Self {
            programs,
            folder: folder.with_context(|| format!("make a folder in {}", data.display()))?,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn programs(&self) -> &Path {
        &self.programs
    }

    /// A log of so many nodes, one of which leads.
    pub(crate) fn log(&self, nodes: u32) -> Result<Log> {
        self.log_of(nodes, &self.programs)
    }

    /// The same, of the programs in another folder.
    pub(crate) fn log_of(&self, nodes: u32, programs: &Path) -> Result<Log> {
        let addresses = (0..nodes).map(|_| NodeAddresses::free());
        let addresses = addresses.collect::<Result<Vec<_>>>()?;
        let secret = self.folder.path().join("peer-secret");
        std::fs::write(&secret, "of no use to anybody\n").context("write the peers' secret")?;
        let mut log = Log {
            commands: Vec::new(),
            nodes: Vec::new(),
        };
        for node in 0..addresses.len() {
            let (data, arguments) = self.node_arguments(node, &addresses, &secret);
            log.commands.push(NodeCommand {
                addresses: addresses[node],
                programs: programs.to_owned(),
                arguments,
                data,
            });
            log.nodes.push(Some(log.started(node, self)?));
        }
        log.wait_until_ready()?;
        Ok(log)
    }

    fn node_arguments(
        &self,
        node: usize,
        all: &[NodeAddresses],
        secret: &Path,
    ) -> (PathBuf, Vec<String>) {
        let (own, number) = (all[node], node + 1);
        let data = self
            .folder
            .path()
            .join(format!("log-{}", own.clients.port()));
        let mut arguments = vec!["serve".to_owned()];
        let mut tell = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        tell("--data", data.display().to_string());
        tell("--listen", own.clients.to_string());
        tell("--admin-listen", own.admin.to_string());
        tell("--node-id", number.to_string());
        if 1 < all.len() {
            let peers = (1..)
                .zip(all)
                .map(|(number, node)| format!("{number}@{}", node.peers));
            tell("--peers", peers.collect::<Vec<_>>().join(","));
            tell("--peer-listen", own.peers.to_string());
            tell("--peer-secret-file", secret.display().to_string());
        }
        (data, arguments)
    }

    /// A gateway on a log.
    pub(crate) fn gateway(&self, log: &str) -> Result<Service> {
        let (listen, admin) = (free_address()?, free_address()?);
        let [listen_text, admin_text] = &[listen, admin].map(|address| address.to_string());
        let arguments = [
            "--listen",
            listen_text,
            "--admin",
            admin_text,
            "--log",
            log,
            "--instance",
            "bench",
        ];
        let mut service = self.start("ws-gateway", listen, arguments)?;
        service.wait_until(|| is_ready(admin))?;
        Ok(service)
    }

    /// The door for posts, on a log.
    pub(crate) fn api(&self, log: &str) -> Result<Service> {
        let (listen, admin) = (free_address()?, free_address()?);
        let [listen_text, admin_text] = &[listen, admin].map(|address| address.to_string());
        let arguments = ["--listen", listen_text, "--admin", admin_text, "--log", log];
        let mut service = self.start("producer-api", listen, arguments)?;
        service.wait_until(|| is_ready(listen))?;
        Ok(service)
    }

    /// Everything in one process, which may open so many files, hard. `programs` is where another `mayday` is.
    pub(crate) fn mayday(&self, programs: Option<&Path>, files: usize) -> Result<MaydayProcess> {
        let program = programs.unwrap_or(&self.programs).join("mayday");
        let (api, gateway) = (free_address()?, free_address()?);
        let (log, admin) = (free_address()?, free_address()?);
        let data = self.folder.path().join(format!("mayday-{}", api.port()));
        let mut arguments = vec![
            "-c".to_owned(),
            format!("ulimit -n {files}; exec \"$0\" \"$@\""),
            program.display().to_string(),
        ];
        let mut tell = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        tell("--data", data.display().to_string());
        tell("--api-port", api.port().to_string());
        tell("--gateway-port", gateway.port().to_string());
        tell("--log-port", log.port().to_string());
        tell("--admin-port", admin.port().to_string());
        let mut service = self.start_program(Path::new("sh"), "mayday", gateway, arguments)?;
        service.wait_until(|| is_ready(api) && is_ready(admin))?;
        Ok(MaydayProcess {
            service,
            data,
            api,
            gateway,
            log,
            admin,
        })
    }

    fn start<A: AsRef<std::ffi::OsStr>>(
        &self,
        name: &'static str,
        address: SocketAddr,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Service> {
        self.start_program(&self.programs.join(name), name, address, arguments)
    }

    fn start_program<A: AsRef<std::ffi::OsStr>>(
        &self,
        program: &Path,
        name: &'static str,
        address: SocketAddr,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Service> {
        let log_file = self
            .folder
            .path()
            .join(format!("{name}-{}.log", address.port()));
        let output = File::options().create(true).append(true).open(&log_file);
        let output = output.with_context(|| format!("open {}", log_file.display()))?;
        let child = Command::new(program)
            .args(arguments)
            .env("MAYDAY_JWT_SECRET", SECRET)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .with_context(|| {
                format!(
                    "start {}: build the services in the same profile first",
                    program.display()
                )
            })?;
        Ok(Service {
            name,
            address,
            child,
            log_file,
        })
    }
}

/// Everything in one process. Dropping it kills it and removes its data.
#[derive(Debug)]
pub(crate) struct MaydayProcess {
    service: Service,
    data: PathBuf,
    pub(crate) api: SocketAddr,
    pub(crate) gateway: SocketAddr,
    pub(crate) log: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl MaydayProcess {
    pub(crate) fn pid(&self) -> u32 {
        self.service.pid()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.service.child.try_wait(), Ok(None))
    }

    /// The folder of its log's journal.
    pub(crate) fn journal(&self) -> PathBuf {
        self.data.join("log/journal")
    }
}

impl Drop for MaydayProcess {
    fn drop(&mut self) {
        if self.service.child.kill().is_ok() {
            let _ended = self.service.child.wait().is_ok();
        }
        // The environment's folder goes as a whole at the end; this keeps the disk from filling meanwhile.
        let _removed = std::fs::remove_dir_all(&self.data).is_ok();
    }
}

/// A running service. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
    log_file: PathBuf,
}

impl Service {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until(&mut self, ready: impl Fn() -> bool) -> Result<()> {
        let deadline = clock::steady() + START_WITHIN;
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}: {}", self.name, self.last_words());
            }
            if deadline < clock::steady() {
                bail!(
                    "{} is not ready after {START_WITHIN:?}: {}",
                    self.name,
                    self.last_words()
                );
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process's number")?, Signal::TERM)?;
        let deadline = clock::steady() + STOP_WITHIN;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("{} ended with {status}: {}", self.name, self.last_words()),
                None if deadline < clock::steady() => {
                    bail!("{} has not ended after {STOP_WITHIN:?}", self.name)
                }
                None => thread::sleep(LOOK_EVERY),
            }
        }
    }

    fn last_words(&self) -> String {
        let lines = std::fs::read_to_string(&self.log_file).unwrap_or_default();
        let from = lines.len().saturating_sub(2_000);
        lines.get(from..).unwrap_or(&lines).to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Ended already is as good.
        if self.child.kill().is_ok() {
            let _ended = self.child.wait().is_ok();
        }
    }
}

/// The nodes of a log, each a process of its own.
#[derive(Debug)]
pub(crate) struct Log {
    /// Where each node is, and with what it is started again.
    commands: Vec<NodeCommand>,
    /// Those that run.
    nodes: Vec<Option<Service>>,
}

#[derive(Debug)]
struct NodeCommand {
    addresses: NodeAddresses,
    /// The folder of its program.
    programs: PathBuf,
    arguments: Vec<String>,
    data: PathBuf,
}

#[derive(Clone, Copy, Debug)]
struct NodeAddresses {
    clients: SocketAddr,
    peers: SocketAddr,
    admin: SocketAddr,
}

impl NodeAddresses {
    fn free() -> Result<Self> {
        Ok(Self {
            clients: free_address()?,
            peers: free_address()?,
            admin: free_address()?,
        })
    }
}

impl Log {
    fn started(&self, node: usize, env: &BenchEnv) -> Result<Service> {
        let command = &self.commands[node];
        let program = command.programs.join("log-core");
        let address = command.addresses.clients;
        env.start_program(&program, "log-core", address, &command.arguments)
    }

    /// Waits until a node leads and the others know it.
    pub(crate) fn wait_until_ready(&mut self) -> Result<()> {
        for (node, command) in self.nodes.iter_mut().zip(&self.commands) {
            let node = node.as_mut().context("a node was killed and not started")?;
            node.wait_until(|| is_ready(command.addresses.admin))?;
        }
        Ok(())
    }

    /// Where clients begin: every node.
    pub(crate) fn bootstrap(&self) -> String {
        let addresses = self
            .commands
            .iter()
            .map(|node| node.addresses.clients.to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// The number of the node that leads, and where its clients connect.
    pub(crate) fn leader(&self) -> Result<(usize, SocketAddr)> {
        let leads = |(_, node): &(usize, &NodeCommand)| {
            readiness(node.addresses.admin).is_some_and(|said| leads(&said))
        };
        let found = self.commands.iter().enumerate().find(leads);
        let (number, node) = found.context("no node leads")?;
        Ok((number, node.addresses.clients))
    }

    /// Where clients connect to each node.
    pub(crate) fn clients(&self) -> Vec<SocketAddr> {
        let addresses = self.commands.iter().map(|node| node.addresses.clients);
        addresses.collect()
    }

    /// The data folder of each node.
    pub(crate) fn folders(&self) -> Vec<&Path> {
        let folders = self.commands.iter().map(|node| node.data.as_path());
        folders.collect()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node] = None;
    }

    /// SIGTERM, and waits until the node has ended in order.
    pub(crate) fn stop(&mut self, node: usize) -> Result<()> {
        let mut service = self.nodes[node].take().context("the node does not run")?;
        service.stop()
    }

    /// From its next start on the node is the program in another folder.
    pub(crate) fn change_program(&mut self, node: usize, programs: &Path) {
        self.commands[node].programs = programs.to_owned();
    }

    pub(crate) fn start_again(&mut self, node: usize, env: &BenchEnv) -> Result<()> {
        self.nodes[node] = Some(self.started(node, env)?);
        self.wait_until_ready()
    }

    /// What all nodes have used.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let times = self
            .nodes
            .iter()
            .flatten()
            .map(|node| processor_time(node.pid()));
        times.sum()
    }
}

/// The lowest of the ports that the system gives to a process that asks for any; ours are below, so that one stays free while
/// its node is down.
const EPHEMERAL_FROM: u16 = 32_768;
const OURS_FROM: u16 = 20_000;

/// An address that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let ours = EPHEMERAL_FROM - OURS_FROM;
    // Two benches at a time begin far from each other.
    let begin = u16::try_from(std::process::id() % u32::from(ours)).expect("a port");
    for _ in 0..ours {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        let port = OURS_FROM + begin.wrapping_add(tried) % ours;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free")
}

/// Whether a log node that says this leads. An older program says it in a word.
fn leads(readiness: &str) -> bool {
    readiness.starts_with("leader") || readiness.contains(r#""status":"leader""#)
}

fn is_ready(address: SocketAddr) -> bool {
    readiness(address).is_some()
}

/// What a service says when it is ready.
fn readiness(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(READINESS_WITHIN)).ok()?;
    let request = b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
    stream.write_all(request).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_leads_in_the_words_of_this_program_and_of_an_older_one() {
        for said in [
            r#"{"ready":true,"status":"leader","reasons":[]}"#,
            "leader\n",
        ] {
            assert!(leads(said), "{said}");
        }
        for said in [
            r#"{"ready":true,"status":"follower","reasons":[]}"#,
            "follower\n",
        ] {
            assert!(!leads(said), "{said}");
        }
    }
}
