//! Clients that begin what they do not end.

use std::time::Duration;

use super::*;
use crate::websocket::testing::{BINARY, PING, PONG, TEXT, client_fragment, client_frame};

/// Bytes that may be begun in these tests, and what one client begins.
const BYTES_MAX: usize = 256 * 1024;
const BYTES_EACH: usize = 9_000;

fn shard_with(partial_bytes_max: usize, limits: SocketLimits) -> TestShard {
    let verifier = Arc::new(Verifier::open(trusted_keys(), Policy::default()).unwrap());
    let mut config = Config::new(([127, 0, 0, 1], 0).into(), "127.0.0.1:9", verifier);
    config.shards = NonZeroUsize::MIN;
    config.partial_bytes_max = partial_bytes_max;
    config.limits = limits;
    TestShard::with_config(&config)
}

/// Three ways to begin and not to end: a frame, a message in fragments, and a frame of STOMP in several messages.
fn beginnings() -> [Vec<u8>; 3] {
    let mut cut = client_frame(BINARY, &[b'\n'; BYTES_EACH + 1]);
    cut.pop();
    let fragment = client_fragment(BINARY, &[b'\n'; BYTES_EACH]);
    let line = format!("CONNECT\nlogin:{}", "x".repeat(BYTES_EACH));
    let stomp = client_frame(TEXT, line.as_bytes());
    [cut, fragment, stomp]
}

/// Says this, and waits until the shard has taken it.
fn begin(neighbour: &mut Neighbour, beginning: &[u8]) {
    neighbour.send(&[&client_frame(PING, b"")[..], beginning].concat());
    assert_eq!(neighbour.websocket().unwrap().opcode, PONG);
}

#[test]
fn who_ends_nothing_makes_room_the_oldest_first_and_a_resident_notices_nothing() {
    for beginning in beginnings() {
        let mut shard = shard_with(BYTES_MAX, SocketLimits::default());
        let mut resident = shard.subscribed();
        resident.settle();

        let mut flood: Vec<_> = (0..60).map(|_| shard.neighbour()).collect();
        for neighbour in &mut flood {
            begin(neighbour, &beginning);
        }
        let alert = shard.alert("101", "1502", "fire");
        shard.happens(&alert);

        assert_eq!(resident.texts(), ["fire"]);
        // What all hold together bounds how many are left.
        let left_max = BYTES_MAX / BYTES_EACH;
        let (gone, left) = flood.split_at_mut(60 - left_max);
        for neighbour in gone {
            assert_eq!(neighbour.refused(), ("too_slow".to_owned(), 4413));
        }
        let last = left.last_mut().unwrap();
        last.socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let nothing = last.socket.read(&mut [0; 1]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn what_is_not_ended_in_time_closes_with_4413() {
    let limits = SocketLimits {
        message_within: Duration::from_millis(300),
        ..SocketLimits::default()
    };
    let shard = shard_with(BYTES_MAX, limits);
    for beginning in beginnings() {
        let mut slow = shard.neighbour();
        begin(&mut slow, &beginning);
        assert_eq!(slow.refused(), ("too_slow".to_owned(), 4413));
    }
    // A fragment with pings after it is no sign that the message will end.
    let mut pinging = shard.connected();
    begin(&mut pinging, &client_fragment(TEXT, b"ACK\n"));
    pinging.send(&client_frame(PING, b""));
    assert_eq!(pinging.websocket().unwrap().opcode, PONG);
    assert_eq!(pinging.refused(), ("too_slow".to_owned(), 4413));
}

#[test]
fn what_is_ended_in_time_takes_no_share_of_what_comes_later() {
    let limits = SocketLimits {
        message_within: Duration::from_secs(2),
        ..SocketLimits::default()
    };
    let shard = shard_with(2 * BYTES_EACH, limits);
    let mut neighbour = shard.connected();
    // More in all than the bound, and longer in all than one may take, but each in its time.
    let frame = client_frame(TEXT, &[b'\n'; BYTES_EACH]);
    for _ in 0..10 {
        let (begun, end) = frame.split_at(BYTES_EACH / 2);
        neighbour.send(begun);
        std::thread::sleep(Duration::from_millis(250));
        neighbour.send(end);
    }
    assert_eq!(neighbour.settle(), []);
}
