//! The floor of every fan-out: an epoll loop that writes one prepared frame to each socket. No protocol, no choice of
//! whom, nothing kept per socket but the socket. Runs as a process of its own, so that its time can be told.

use std::io::{self, BufRead, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use serde::{Deserialize, Serialize};

use crate::append::RawFile;

const LISTENER: Token = Token(usize::MAX);

/// What to serve.
#[derive(Clone, Debug, clap::Args, Serialize, Deserialize)]
pub(crate) struct Options {
    /// How many sockets to wait for.
    #[arg(long)]
    pub(crate) sockets: usize,
    /// The length of the frame.
    #[arg(long)]
    pub(crate) frame_bytes: usize,
    /// Append the frame to this file and sync it before each round.
    #[arg(long)]
    pub(crate) sync: Option<PathBuf>,
}

/// Prints its address, takes in all sockets, then writes one round for each line that it reads.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut server = Server::bind(options)?;
    println!("{}", server.listener.local_addr()?);
    io::stdout().flush()?;
    server.accept_all(options.sockets)?;
    let mut file = options.sync.as_deref().map(RawFile::create).transpose()?;
    println!("ready");
    io::stdout().flush()?;
    for line in io::stdin().lock().lines() {
        line.context("read a command")?;
        if let Some(file) = &mut file {
            file.append(&server.frame)?;
        }
        server.write_round()?;
    }
    Ok(())
}

struct Server {
    poll: Poll,
    events: Events,
    listener: TcpListener,
    sockets: Vec<TcpStream>,
    frame: Vec<u8>,
}

impl Server {
    fn bind(options: &Options) -> Result<Self> {
        let poll = Poll::new()?;
        let mut listener =
            TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).context("bind")?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let events = Events::with_capacity(1_024);
        Ok(Self {
            poll,
            events,
            listener,
            sockets: Vec::new(),
            frame: vec![b'x'; options.frame_bytes],
        })
    }

    fn accept_all(&mut self, count: usize) -> Result<()> {
        while self.sockets.len() < count {
            self.poll.poll(&mut self.events, None)?;
            self.accept_waiting()?;
        }
        Ok(())
    }

    fn accept_waiting(&mut self) -> Result<()> {
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    stream.set_nodelay(true)?;
                    let token = Token(self.sockets.len());
                    self.poll
                        .registry()
                        .register(&mut stream, token, Interest::WRITABLE)?;
                    self.sockets.push(stream);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("accept"),
            }
        }
    }

    fn write_round(&mut self) -> Result<()> {
        let mut blocked = Vec::new();
        for (number, socket) in self.sockets.iter_mut().enumerate() {
            let written = write_from(socket, &self.frame, 0)?;
            if written < self.frame.len() {
                blocked.push((number, written));
            }
        }
        while !blocked.is_empty() {
            self.poll.poll(&mut self.events, None)?;
            self.finish(&mut blocked)?;
        }
        Ok(())
    }

    fn finish(&mut self, blocked: &mut Vec<(usize, usize)>) -> Result<()> {
        for (number, written) in blocked.iter_mut() {
            *written = write_from(&mut self.sockets[*number], &self.frame, *written)?;
        }
        blocked.retain(|(_, written)| *written < self.frame.len());
        Ok(())
    }
}

/// Writes as much as the socket takes; how far the frame is written then.
fn write_from(socket: &mut TcpStream, frame: &[u8], mut written: usize) -> Result<usize> {
    while written < frame.len() {
        match socket.write(&frame[written..]) {
            Ok(count) => {
                ensure!(0 < count, "a socket takes nothing");
                written += count;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error).context("write a frame"),
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_round_reaches_every_socket_whole_even_one_that_would_block() {
        let options = Options {
            sockets: 3,
            frame_bytes: 8 << 20,
            sync: None,
        };
        let mut server = Server::bind(&options).expect("bound");
        let address = server.listener.local_addr().expect("an address");
        let clients = (0..3)
            .map(|_| std::net::TcpStream::connect(address).expect("connected"))
            .collect::<Vec<_>>();
        server.accept_all(3).expect("accepted");
        let readers = clients.into_iter().map(|mut client| {
            std::thread::spawn(move || {
                let mut frame = vec![0; 8 << 20];
                client
                    .read_exact(&mut frame)
                    .map(|()| frame.iter().all(|byte| *byte == b'x'))
            })
        });
        let readers = readers.collect::<Vec<_>>();

        server.write_round().expect("written");

        for reader in readers {
            assert!(reader.join().expect("no panic").expect("read"));
        }
    }
}
