//! The services under test, each a process of its own, in a folder that is gone afterwards.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::clock;
use crate::tokens::SECRET;

const START_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where the programs are, and where their data and output go.
#[derive(Debug)]
pub(crate) struct Workshop {
    programs: PathBuf,
    folder: TempDir,
}

impl Workshop {
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

    /// A log of one node.
    pub(crate) fn log(&self) -> Result<Service> {
        let listen = free_address()?;
        let data = self.folder.path().join(format!("log-{}", listen.port()));
        let listen_text = listen.to_string();
        let arguments = [
            "serve".as_ref(),
            "--data".as_ref(),
            data.as_os_str(),
            "--listen".as_ref(),
            listen_text.as_ref(),
        ];
        let mut service = self.start("log-core", listen, arguments)?;
        service.wait_until(|| TcpStream::connect(listen).is_ok())?;
        Ok(service)
    }

    /// A gateway on a log.
    pub(crate) fn gateway(&self, log: SocketAddr) -> Result<Service> {
        let (listen, admin) = (free_address()?, free_address()?);
        let texts = [listen, admin, log].map(|address| address.to_string());
        let [listen_text, admin_text, log_text] = &texts;
        let arguments = [
            "--listen",
            listen_text,
            "--admin",
            admin_text,
            "--log",
            log_text,
            "--instance",
            "bench",
        ];
        let mut service = self.start("ws-gateway", listen, arguments)?;
        service.wait_until(|| is_ready(admin))?;
        Ok(service)
    }

    /// The door for posts, on a log.
    pub(crate) fn api(&self, log: SocketAddr) -> Result<Service> {
        let (listen, admin) = (free_address()?, free_address()?);
        let texts = [listen, admin, log].map(|address| address.to_string());
        let [listen_text, admin_text, log_text] = &texts;
        let arguments = [
            "--listen",
            listen_text,
            "--admin",
            admin_text,
            "--log",
            log_text,
        ];
        let mut service = self.start("producer-api", listen, arguments)?;
        service.wait_until(|| is_ready(listen))?;
        Ok(service)
    }

    fn start<A: AsRef<std::ffi::OsStr>>(
        &self,
        name: &'static str,
        address: SocketAddr,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Service> {
        let program = self.programs.join(name);
        let said = self
            .folder
            .path()
            .join(format!("{name}-{}.log", address.port()));
        let output = File::create(&said).with_context(|| format!("create {}", said.display()))?;
        let child = Command::new(&program)
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
            said,
        })
    }
}

/// A running service. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
    said: PathBuf,
}

impl Service {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until(&mut self, ready: impl Fn() -> bool) -> Result<()> {
        let deadline = clock::now() + START_WITHIN;
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}: {}", self.name, self.last_words());
            }
            if deadline < clock::now() {
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

    fn last_words(&self) -> String {
        let said = std::fs::read_to_string(&self.said).unwrap_or_default();
        let from = said.len().saturating_sub(2_000);
        said.get(from..).unwrap_or(&said).to_owned()
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

/// An address that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr()?)
}

fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(&head == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}
