//! The accept loop of every listener.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rand::Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    NoPlace, Place, Places,
    spare::{GivenUp, Spares},
};
use crate::{clock, error_value};

/// Wait where nothing can be opened and no spare is left, so that a lack of descriptors does not spin.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// Connections that were told to make room and still hold their descriptors: more of them are waited for.
const LEAVING_MAX: usize = 8;
/// How long they are waited for. They only have to be scheduled.
const LEAVING_WAIT_MAX: Duration = Duration::from_millis(50);
/// How long a client that is turned away may take to read why.
const TURN_AWAY_WITHIN: Duration = Duration::from_millis(200);
/// Between two lines of the log about it.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// What a client that is turned away may have sent meanwhile, in bytes.
const REQUEST_BYTES_READ: usize = 64 * 1024;

/// What a connection is answered for which there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// `503` with `Retry-After`, as HTTP has it.
    ServiceUnavailable,
    /// It is closed: the protocol has no word for it.
    Close,
}

/// Takes connections and gives each its place.
pub struct Acceptor {
    listener: TcpListener,
    places: Places,
    when_full: WhenFull,
    turned_away: fn(),
    warned_at: Mutex<Option<Instant>>,
}

/// A connection with its place.
pub struct Accepted {
    /// The connection, not read from yet.
    pub stream: TcpStream,
    /// The client's address and port.
    pub address: SocketAddr,
    /// Its place, for as long as it lasts.
    pub place: Arc<Place>,
    /// Cancelled when it must make room: it is closed then.
    pub evicted: CancellationToken,
}

impl Acceptor {
    /// Takes what comes to the listener into these places.
    pub fn new(listener: TcpListener, places: Places, when_full: WhenFull) -> Self {
        Spares::of_process().refill();
        Self {
            listener,
            places,
            when_full,
            turned_away: || (),
            warned_at: Mutex::default(),
        }
    }

    /// The places that connections are taken into.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Calls this for each connection that found no place: it counts them.
    pub fn on_turned_away(self, turned_away: fn()) -> Self {
        Self {
            turned_away,
            ..self
        }
    }

    /// The next connection that found a place. Those that find none are answered at once and closed, also when the
    /// process has no descriptor left.
    ///
    /// # Cancel safety
    ///
    /// Losing it loses no connection: one is taken from the kernel only when it is returned or turned away.
    pub async fn next(&self) -> Accepted {
        loop {
            self.wait_for_leavers().await;
            let Some((stream, address)) = self.accept().await else {
                continue;
            };
            match self.admit(stream, address) {
                Ok(accepted) => return accepted,
                Err((stream, reason)) => self.no_place(stream, address, reason),
            }
        }
    }

    /// None: another try is due.
    async fn accept(&self) -> Option<(TcpStream, SocketAddr)> {
        match self.listener.accept().await {
            Ok(accepted) => Some(accepted),
            Err(error) if is_out_of_descriptors(&error) => self.without_descriptors(&error).await,
            // The client gave up before it was taken, most likely.
            Err(error) => {
                debug!(
                    error = error_value(&error),
                    "a connection could not be accepted"
                );
                tokio::task::yield_now().await;
                None
            }
        }
    }

    fn admit(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Result<Accepted, (TcpStream, NoPlace)> {
        let evicted = CancellationToken::new();
        let tell = evicted.clone();
        let evict = Arc::new(move || tell.cancel());
        match self
            .places
            .admit(address.ip().into(), clock::steady(), evict)
        {
            Ok(place) => Ok(Accepted {
                stream,
                address,
                place: Arc::new(place),
                evicted,
            }),
            Err(reason) => Err((stream, reason)),
        }
    }

    /// Descriptors of connections that make room must not pile up beside those of the ones that came in their place.
    async fn wait_for_leavers(&self) {
        let gone = async {
            while LEAVING_MAX <= self.places.leaving() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        if LEAVING_MAX <= self.places.leaving() {
            drop(timeout(LEAVING_WAIT_MAX, gone).await);
        }
    }

    fn no_place(&self, stream: TcpStream, address: SocketAddr, reason: NoPlace) {
        debug!(%address, %reason, "no place for another connection");
        (self.turned_away)();
        if self.when_full == WhenFull::ServiceUnavailable {
            // As many at once as there are spare descriptors, though none is short: the others are closed without a word.
            self.turn_away(stream, Spares::of_process().give_up());
        }
    }

    /// A spare is given up to take the connection, tell it so, and close it. The system says that there is no descriptor
    /// also where no connection waits, so there may be one again by the time that one comes: then it is taken after all.
    async fn without_descriptors(&self, error: &io::Error) -> Option<(TcpStream, SocketAddr)> {
        let Some(spare) = Spares::of_process().give_up() else {
            sleep(ACCEPT_AGAIN_AFTER).await;
            return None;
        };
        let accepted = timeout(ACCEPT_AGAIN_AFTER, self.listener.accept()).await;
        let (stream, address) = match accepted {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(_)) => {
                drop(spare);
                sleep(ACCEPT_AGAIN_AFTER).await;
                return None;
            }
            Err(_) => return None,
        };
        if Spares::of_process().refill() {
            return Some((stream, address));
        }
        self.warn_of(error);
        (self.turned_away)();
        self.places.make_room(clock::steady());
        self.turn_away(stream, Some(spare));
        None
    }

    fn warn_of(&self, error: &io::Error) {
        let now = clock::steady();
        let mut warned_at = self
            .warned_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if warned_at.is_none_or(|at| WARN_EVERY <= now.saturating_duration_since(at)) {
            *warned_at = Some(now);
            warn!(
                error = error_value(error),
                connections = self.places.taken(),
                "no descriptor is left for a connection: it is turned away"
            );
        }
    }

    fn turn_away(&self, stream: TcpStream, spare: Option<GivenUp>) {
        let (WhenFull::ServiceUnavailable, Some(spare)) = (self.when_full, spare) else {
            return;
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends by itself within a moment, and nothing waits for it"
        )]
        tokio::spawn(async move {
            drop(timeout(TURN_AWAY_WITHIN, say_unavailable(stream)).await);
            drop(spare);
        });
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

/// Says it, and reads what the client sends until it closes: an answer before unread bytes would be lost to a reset.
async fn say_unavailable(mut stream: TcpStream) -> io::Result<()> {
    let retry_after = rand::rng().random_range(1u8..=5);
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: {retry_after}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut sent = [0; 1024];
    let mut bytes_read = 0;
    while bytes_read < REQUEST_BYTES_READ {
        match stream.read(&mut sent).await? {
            0 => return Ok(()),
            read => bytes_read += read,
        }
    }
    Ok(())
}
