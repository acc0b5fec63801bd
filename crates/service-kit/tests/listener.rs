//! A listener over real sockets: who gets a place, who makes room, and what those are told for whom there is none.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use axum::{Extension, Router, routing::get};
use service_kit::bounds::{
    Acceptor, Client, HttpLimits, PlaceLimits, Places, WhenFull, serve_http,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// No test waits longer for what must come.
const SOON: Duration = Duration::from_secs(30);
/// Longer than a connection must have waited before it makes room.
const WAITED: Duration = Duration::from_millis(1_100);
const FLOOD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));

struct TestListener {
    address: SocketAddr,
    places: Places,
    _tasks: JoinSet<()>,
}

impl TestListener {
    /// `/` answers; `/token` is a request with a good token.
    async fn with(places: PlaceLimits, head_timeout: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let places = Places::new(places);
        let acceptor = Acceptor::new(listener, places.clone(), WhenFull::ServiceUnavailable);
        let with_token = async |client: Extension<Client>| {
            client.place.verified();
            "known\n"
        };
        let router = Router::new()
            .route("/", get(async || "ok\n"))
            .route("/token", get(with_token));
        let limits = HttpLimits {
            head_timeout,
            head_bytes_max: 16 * 1024,
        };
        let (connections, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_http(acceptor, router, limits, connections, shutdown));
        Self {
            address,
            places,
            _tasks: tasks,
        }
    }

    async fn connect(&self, from: IpAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    async fn half_head(&self, from: IpAddr) -> TcpStream {
        let mut stream = self.connect(from).await;
        stream.write_all(b"GET / HT").await.unwrap();
        stream
    }

    async fn until_taken(&self, places: usize) {
        let taken = async {
            while self.places.taken() != places || 0 < self.places.leaving() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, taken).await.expect("so many places");
    }
}

/// A request on an open connection; what is answered, or nothing where the connection ends first.
async fn ask(stream: &mut TcpStream, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    if stream.write_all(head.as_bytes()).await.is_err() {
        return String::new();
    }
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !answer.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        match timeout(SOON, stream.read(&mut piece)).await.unwrap() {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Whether the listener closes the connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(SOON, stream.read_to_end(&mut rest)).await.is_ok()
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn half_heads_of_one_address_leave_room_for_another_and_for_its_own_next_request() {
    let listener = TestListener::with(PlaceLimits::shared(8), LONG).await;
    let mut first = listener.half_head(FLOOD).await;
    let _second = listener.half_head(FLOOD).await;
    listener.until_taken(2).await;

    let mut too_soon = listener.connect(FLOOD).await;
    let answer = ask(&mut too_soon, "/").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after: "), "{answer}");
    assert!(
        ask(&mut listener.connect(HOME).await, "/")
            .await
            .starts_with("HTTP/1.1 200")
    );

    tokio::time::sleep(WAITED).await;
    let mut later = listener.connect(FLOOD).await;
    assert!(ask(&mut later, "/").await.starts_with("HTTP/1.1 200"));
    assert!(
        is_closed(&mut first).await,
        "the one that waited longest has made room"
    );
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_has_one_time_limit_in_all() {
    let head_timeout = Duration::from_millis(300);
    let listener = TestListener::with(PlaceLimits::shared(8), head_timeout).await;
    let mut stream = listener.connect(HOME).await;

    let dripping = async {
        for byte in b"GET / HTTP/1.1\r\nhost: test\r\nx-"
            .iter()
            .chain(&[b'a'; 10_000])
        {
            if stream.write_all(&[*byte]).await.is_err() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    };

    assert!(
        timeout(SOON, dripping).await.unwrap(),
        "the connection is closed"
    );
}

#[tokio::test]
async fn connections_that_brought_a_good_token_do_not_count_against_their_address() {
    let listener = TestListener::with(PlaceLimits::shared(8), LONG).await;
    let mut known = Vec::new();
    for _ in 0..6 {
        let mut stream = listener.connect(HOME).await;
        assert!(ask(&mut stream, "/token").await.starts_with("HTTP/1.1 200"));
        known.push(stream);
    }

    let mut new = listener.connect(HOME).await;

    assert!(ask(&mut new, "/").await.starts_with("HTTP/1.1 200"));
    for stream in &mut known {
        assert!(
            ask(stream, "/token").await.starts_with("HTTP/1.1 200"),
            "still open"
        );
    }
}

#[tokio::test]
async fn idle_keep_alive_connections_go_first_when_all_places_are_taken() {
    let listener = TestListener::with(PlaceLimits::unshared(4), LONG).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut stream = listener.connect(FLOOD).await;
        assert!(ask(&mut stream, "/").await.starts_with("HTTP/1.1 200"));
        idle.push(stream);
    }
    tokio::time::sleep(WAITED).await;

    for new in 0..4 {
        let mut stream = listener.connect(HOME).await;
        assert!(
            ask(&mut stream, "/").await.starts_with("HTTP/1.1 200"),
            "{new}"
        );
        assert!(is_closed(&mut idle[new]).await, "{new}");
        listener.until_taken(4).await;
        idle.push(stream);
    }
}

#[tokio::test]
async fn what_has_ended_leaves_its_place() {
    let listener = TestListener::with(PlaceLimits::shared(64), LONG).await;
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(listener.half_head(HOME).await);
    }
    listener.until_taken(16).await;

    drop(streams);

    listener.until_taken(0).await;
    assert_eq!(listener.places.strangers_of(HOME.into()), 0);
}
