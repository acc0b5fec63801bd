//! The checker that watches every socket of these tests, against servers that are wrong on purpose.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use support::{
    checker::{Checker, Violation},
    neighbour::Neighbour,
    test_gateway::{Log, TestGateway, token},
};
use ws_gateway::stomp::{Command, Frame};

const CONNECTED: &str = "CONNECTED\nversion:1.2\nserver:s/1\nheart-beat:25000,0\n\n\0";
const MESSAGE: &str = "MESSAGE\nsubscription:0\ndestination:/sub/line/101\nmessage-id:an-alert-0-1\ncontent-length:2\n\n{}\0";
const RECEIPT: &str = "RECEIPT\nreceipt-id:r\n\n\0";
const ERROR: &str = "ERROR\nmessage:bad frame\ncontent-length:0\n\n\0";

/// The first thing that a checker finds in what a server says to a client that has connected and subscribed.
fn found(said: &[&str]) -> Option<Violation> {
    let mut checker = Checker::new();
    checker.sent(
        &Frame::new(Command::Subscribe)
            .with("id", "0")
            .with("destination", "/sub/line/101")
            .with("receipt", "r"),
    );
    said.iter()
        .find_map(|message| checker.heard(message.as_bytes()).err())
}

#[test]
fn a_server_that_keeps_to_the_book_is_found_faultless() {
    assert_eq!(
        found(&[CONNECTED, "\n", RECEIPT, MESSAGE, "\n", ERROR]),
        None
    );
}

#[test]
fn each_point_that_is_broken_on_purpose_is_caught() {
    let without = |frame: &str, line: &str| frame.replace(line, "");
    let broken: [(&[&str], Violation); 16] = [
        (
            &[&[CONNECTED, RECEIPT].concat()],
            Violation::Point4NotOneFrame,
        ),
        (
            &[CONNECTED, MESSAGE.trim_end_matches('\0')],
            Violation::Points6To18NotAFrame,
        ),
        (
            &[CONNECTED, &MESSAGE.replace("length:2", "length:1")],
            Violation::Points6To18NotAFrame,
        ),
        (
            &[CONNECTED, &MESSAGE.replace("id:an", "id:\\tan")],
            Violation::Points6To18NotAFrame,
        ),
        (
            &[CONNECTED, "connected\n\n\0"],
            Violation::Points6To18NotAFrame,
        ),
        (&[RECEIPT], Violation::Point22Connected),
        (&[CONNECTED, CONNECTED], Violation::Point22Connected),
        (
            &[&without(CONNECTED, "version:1.2\n")],
            Violation::Point22Connected,
        ),
        (
            &[CONNECTED, &without(MESSAGE, "subscription:0\n")],
            Violation::Point33Message,
        ),
        (
            &[CONNECTED, &MESSAGE.replace("line/101", "line/102")],
            Violation::Point33Message,
        ),
        (&[CONNECTED, MESSAGE, MESSAGE], Violation::Point33Message),
        (
            &[
                CONNECTED,
                &MESSAGE.replace("message-id", "ack:1\nmessage-id"),
            ],
            Violation::Point34Ack,
        ),
        (
            &[CONNECTED, &MESSAGE.replace("an-alert", "an\\calert")],
            Violation::Point36UnsafeValue,
        ),
        (&[CONNECTED, RECEIPT, RECEIPT], Violation::Point37Receipt),
        (&[CONNECTED, ERROR, MESSAGE], Violation::Point42Error),
        (&[CONNECTED, "SEND\n\n\0"], Violation::ClientCommand),
    ];
    for (said, violation) in broken {
        assert_eq!(found(said), Some(violation), "{said:?}");
    }
}

#[test]
fn a_whole_conversation_in_each_version_is_found_faultless() {
    let log = Log::start();
    let gateway = TestGateway::open(&log);
    for version in ["1.0", "1.1", "1.2"] {
        let mut neighbour = Neighbour::connected(gateway.address, version, &token("101", "1501"));
        neighbour.subscribe("a", "/sub/line/101", "ack:client\nsnapshot:false\n");
        neighbour.subscribe("b", "/sub/line/101", "resume-from:now\n");
        neighbour.subscribe("c", "/user/queue/notice", "");
        log.happens(&log.alert("101", "1502", "help"));
        let heard = [neighbour.message().0, neighbour.message().0];
        assert!(
            heard
                .iter()
                .all(|frame| frame.headers.get("type") == Some("alert")),
            "{heard:?}"
        );
        neighbour.say("UNSUBSCRIBE\nid:b\ndestination:/sub/line/101\nreceipt:u\n\n\0");
        assert_eq!(neighbour.hear().headers.get("receipt-id"), Some("u"));
        neighbour.say("COMMIT\ntransaction:never-begun\nreceipt:x\n\n\0");
        assert_eq!(
            neighbour.refused(),
            ("transaction_unknown".to_owned(), 1002)
        );
    }
}
