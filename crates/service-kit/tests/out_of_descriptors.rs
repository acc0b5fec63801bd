//! A process without a free descriptor. Alone in its file: the limit is the process's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs::File, net::Ipv4Addr, time::Duration};

use axum::{Router, routing::get};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use service_kit::bounds::{Acceptor, HttpLimits, PlaceLimits, Places, WhenFull, serve_http};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Takes every descriptor that is left.
fn use_up() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[tokio::test]
async fn without_a_descriptor_connections_are_answered_503_and_taken_again_when_there_is_one() {
    let limit = getrlimit(Resource::Nofile);
    let low = Rlimit {
        current: Some(256),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, low).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let places = Places::new(PlaceLimits::shared(1_000));
    let acceptor = Acceptor::new(listener, places, WhenFull::ServiceUnavailable);
    let limits = HttpLimits {
        head_timeout: Duration::from_secs(600),
        head_bytes_max: 16 * 1024,
    };
    let router = Router::new().route("/", get(async || "ok\n"));
    let mut tasks = JoinSet::new();
    let (connections, shutdown) = (TaskTracker::new(), CancellationToken::new());
    tasks.spawn(serve_http(acceptor, router, limits, connections, shutdown));
    let ask = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        timeout(Duration::from_secs(30), stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        answer
    };
    assert!(ask().await.starts_with("HTTP/1.1 200"));

    // One is left: for our own end of each connection that follows.
    let mut used_up = use_up();
    used_up.pop();
    for _ in 0..5 {
        let answer = ask().await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("retry-after: "), "{answer}");
    }

    drop(used_up);
    assert!(ask().await.starts_with("HTTP/1.1 200"));
}
