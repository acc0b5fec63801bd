//! The points that are about sockets: WebSocket below STOMP, limits, deadlines, how connections end.

use std::time::Duration;

use resident_token::testing::{claims_of, forgeries};

use serde_json::json;

use super::*;
use crate::{
    shard::Notice,
    stomp::Command,
    websocket::testing::{
        BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, client_fragment, client_frame, raw_frame,
    },
};

#[test]
fn point_2_the_subprotocol_does_not_fix_the_version() {
    let shard = TestShard::new();
    for version in ["1.0", "1.1", "1.2"] {
        // All three sockets were upgraded alike: CONNECT alone decides.
        shard.connected_as(version, &shard.token("101", "1"));
    }
}

#[test]
fn point_3_answers_are_text_unless_the_client_speaks_binary() {
    let shard = TestShard::new();
    let connect = format!(
        "CONNECT\naccept-version:1.2\nAuthorization:Bearer {}\n\n\0",
        shard.token("101", "1")
    );
    for opcode in [TEXT, BINARY] {
        let mut neighbour = shard.neighbour();
        neighbour.send(&client_frame(opcode, connect.as_bytes()));
        assert_eq!(neighbour.websocket().unwrap().opcode, opcode);
    }
}

#[test]
fn point_4_several_frames_may_come_in_one_message_and_each_answer_is_one_message() {
    let shard = TestShard::new();
    let mut neighbour = shard.connected();
    neighbour.say("BEGIN\ntransaction:a\nreceipt:1\n\n\0\nABORT\ntransaction:a\nreceipt:2\n\n\0");
    assert_eq!(neighbour.hear().headers.get("receipt-id"), Some("1"));
    assert_eq!(neighbour.hear().headers.get("receipt-id"), Some("2"));
}

#[test]
fn point_4_a_frame_may_come_in_several_messages_and_fragments() {
    let shard = TestShard::new();
    let mut neighbour = shard.connected();
    neighbour.say("BEGIN\ntrans");
    neighbour.send(&client_fragment(TEXT, b"action:a\nrece"));
    neighbour.send(&client_frame(PING, b""));
    neighbour.send(&client_frame(CONTINUATION, b"ipt:1\n\n"));
    neighbour.say("\0");
    assert_eq!(neighbour.websocket().unwrap().opcode, PONG);
    assert_eq!(neighbour.hear().headers.get("receipt-id"), Some("1"));
}

#[test]
fn point_4_bytes_may_come_one_by_one() {
    let shard = TestShard::new();
    let mut neighbour = shard.connected();
    for byte in client_frame(TEXT, b"BEGIN\ntransaction:a\nreceipt:1\n\n\0") {
        neighbour.send(&[byte]);
    }
    assert_eq!(neighbour.hear().headers.get("receipt-id"), Some("1"));
}

#[test]
fn point_5_a_message_of_line_feeds_is_a_heart_beat() {
    let shard = TestShard::new();
    let mut neighbour = shard.connected();
    neighbour.say("\n");
    neighbour.say("\n\r\n\n");
    neighbour.send(&client_frame(BINARY, b"\n"));
    neighbour.send(&client_frame(TEXT, b""));
    assert_eq!(neighbour.settle(), []);
}

#[test]
fn point_6_the_nul_is_inside_the_message() {
    let shard = TestShard::new();
    let mut neighbour = shard.connected();
    neighbour.say("BEGIN\ntransaction:a\nreceipt:1\n\n\0");
    assert_eq!(
        neighbour.websocket().unwrap().payload,
        b"RECEIPT\nreceipt-id:1\n\n\0"
    );
}

#[test]
fn point_7_text_that_is_not_utf8_closes_with_1007() {
    let shard = TestShard::new();
    let mut neighbour = shard.connected();
    neighbour.send(&client_frame(TEXT, b"SEND\na:\xff\n\n\0"));
    assert_eq!(neighbour.closed(), 1007);
}

#[test]
fn point_8_without_connect_in_time_the_socket_is_closed_with_4408() {
    let shard = TestShard::with_limits(SocketLimits {
        connect_within: Duration::from_millis(100),
        ..SocketLimits::default()
    });
    let mut neighbour = shard.neighbour();
    neighbour.say("\n");
    assert_eq!(neighbour.refused(), ("connect_timeout".to_owned(), 4408));
}

#[test]
fn point_8_little_is_taken_from_somebody_unknown() {
    let shard = TestShard::new();
    let mut neighbour = shard.neighbour();
    neighbour.say(&format!("CONNECT\nlogin:{}\n\n\0", "x".repeat(11_000)));
    assert_eq!(neighbour.refused(), ("bad_frame".to_owned(), 1002));

    // The same line is fine from a resident.
    let mut neighbour = shard.connected();
    let ack = format!("ACK\nid:1\nnote:{}\n\n\0", "x".repeat(11_000));
    neighbour.say(&ack);
    assert_eq!(neighbour.settle(), []);
}

#[test]
fn point_17_a_message_of_more_than_16_kib_closes_with_1009() {
    let shard = TestShard::new();
    for mut neighbour in [shard.neighbour(), shard.connected()] {
        neighbour.send(&client_frame(TEXT, &[b'\n'; 16 * 1024]));
        neighbour.send(&client_frame(PING, b""));
        assert_eq!(neighbour.websocket().unwrap().opcode, PONG);

        neighbour.send(&client_frame(TEXT, &[b'\n'; 16 * 1024 + 1])[..8]);
        assert_eq!(neighbour.closed(), 1009);
    }
}

#[test]
fn what_is_against_rfc_6455_closes_with_its_code() {
    let shard = TestShard::new();
    for (bytes, code) in [
        (b"\x81\x02hi".to_vec(), 1002),
        (raw_frame(0xc1, b"compressed?"), 1002),
        (client_frame(0x3, b""), 1002),
        (client_fragment(PING, b""), 1002),
        (client_frame(CONTINUATION, b""), 1002),
        (client_frame(CLOSE, b"\x03\xec"), 1002),
    ] {
        let mut neighbour = shard.connected();
        neighbour.send(&bytes);
        assert_eq!(neighbour.closed(), code, "{:x?}", &bytes[..2]);
    }
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let shard = TestShard::new();
    let mut neighbour = shard.neighbour();
    neighbour.send(&client_frame(PING, b"are you there?"));
    let pong = neighbour.websocket().unwrap();
    assert_eq!(
        (pong.opcode, &pong.payload[..]),
        (PONG, &b"are you there?"[..])
    );
}

#[test]
fn a_close_is_answered_with_its_code_and_the_socket_ends() {
    let shard = TestShard::new();
    let codes = [1000u16, 1001, 4999].map(u16::to_be_bytes);
    for code in codes.iter().map(|code| &code[..]).chain([&b""[..]]) {
        let mut neighbour = shard.connected();
        neighbour.send(&client_frame(CLOSE, code));
        let answer = neighbour.websocket().unwrap();
        assert_eq!((answer.opcode, &answer.payload[..]), (CLOSE, code));
        assert_eq!(neighbour.websocket(), None);
    }
}

#[test]
fn point_19_what_comes_before_connect_is_answered_with_error_and_close() {
    let shard = TestShard::new();
    let mut neighbour = shard.neighbour();
    neighbour.say("SUBSCRIBE\nid:0\ndestination:/sub/line/101\nreceipt:r\n\n\0");
    assert_eq!(neighbour.refused(), ("not_connected".to_owned(), 1002));
}

#[test]
fn point_24_a_bad_token_gets_an_error_that_says_which_and_a_close_that_asks_for_a_new_one() {
    let shard = TestShard::new();
    let now = shard.now().to_timestamp();
    for forgery in forgeries(&claims_of("101", "1502", now), now) {
        let mut neighbour = shard.neighbour();
        let token = &forgery.token;
        neighbour.say(&format!(
            "CONNECT\naccept-version:1.2\nAuthorization:Bearer {token}\n\n\0"
        ));
        if 10_000 < token.len() {
            // So much is not read from a client of whom nothing is known.
            assert_eq!(neighbour.closed(), 1009, "{}", forgery.name);
            continue;
        }
        let expected = (forgery.code.as_str().to_owned(), 4401);
        assert_eq!(neighbour.refused(), expected, "{}", forgery.name);
    }
    let mut neighbour = shard.neighbour();
    neighbour.say("CONNECT\naccept-version:1.2\nlogin:kim\npasscode:kim\n\n\0");
    assert_eq!(neighbour.refused(), ("token_missing".to_owned(), 4401));
}

#[test]
fn a_token_that_expires_ends_the_session() {
    let shard = TestShard::new();
    let mut neighbour = shard.connected_as(
        "1.2",
        &shard.token_good_for("1", Duration::from_millis(1_500)),
    );
    assert_eq!(neighbour.refused(), ("token_expired".to_owned(), 4401));
}

#[test]
fn a_new_token_of_the_same_person_keeps_the_session() {
    let shard = TestShard::new();
    let mut neighbour = shard.connected_as(
        "1.2",
        &shard.token_good_for("1", Duration::from_millis(1_500)),
    );
    let fresh = shard.token("101", "1");
    neighbour.say(&format!(
        "SEND\ndestination:/pub/token\nAuthorization:Bearer {fresh}\nreceipt:new\n\n\0"
    ));
    assert_eq!(neighbour.hear().headers.get("receipt-id"), Some("new"));

    // The old one has ended when another, with the same end, has.
    let mut other = shard.connected_as(
        "1.2",
        &shard.token_good_for("2", Duration::from_millis(1_500)),
    );
    assert_eq!(other.refused().1, 4401);

    assert_eq!(neighbour.settle(), []);
}

#[test]
fn whoever_hears_notices_is_told_that_the_token_expires_soon() {
    let shard = TestShard::new();
    let lasts = Duration::from_secs(62);
    let mut neighbour = shard.connected_as("1.2", &shard.token_for("101", "1", &[], lasts));
    neighbour.subscribe("n", "/user/queue/notice", "");
    neighbour.settle();
    let (_, notice) = neighbour.message();
    assert_eq!(notice["type"], "token-expiring");
    let left = notice["inMs"].as_u64().unwrap();
    assert!(50_000 < left && left <= 60_000, "{left} ms");
}

#[test]
fn a_token_that_has_four_seconds_left_is_told_to_have_no_more_and_again_to_who_asks_later() {
    let shard = TestShard::new();
    let lasts = Duration::from_secs(4);
    let mut neighbour = shard.connected_as("1.2", &shard.token_for("101", "1", &[], lasts));
    for subscription in ["early", "late"] {
        neighbour.subscribe(subscription, "/user/queue/notice", "");
        neighbour.settle();
        let (frame, notice) = neighbour.message();
        assert_eq!(frame.headers.get("subscription"), Some("early"));
        assert_eq!(notice["type"], "token-expiring");
        assert!(notice["inMs"].as_u64().unwrap() <= 4_000, "{notice}");
    }
    assert_eq!(
        neighbour.message().0.headers.get("subscription"),
        Some("late")
    );
}

#[test]
fn a_log_that_does_not_answer_is_told_to_all_who_hear_notices_now_and_later() {
    let shard = TestShard::new();
    let mut early = shard.connected();
    early.subscribe("n", "/user/queue/notice", "");
    early.settle();
    let notice = |name, lasts| {
        ShardCommand::Notify(Notice {
            name,
            body: json!({ "type": name }),
            lasts,
        })
    };

    shard.send(notice("degraded", true));

    assert_eq!(early.message().1["type"], "degraded");
    let mut late = shard.connected();
    late.subscribe("n", "/user/queue/notice", "");
    assert_eq!(late.message().1["type"], "degraded");

    late.settle();
    shard.send(notice("healthy", false));
    assert_eq!(early.message().1["type"], "healthy");
    assert_eq!(late.message().1["type"], "healthy");
    let mut later = shard.connected();
    later.subscribe("n", "/user/queue/notice", "");
    assert_eq!(later.texts(), [""; 0]);
}

#[test]
fn a_new_token_of_somebody_else_is_refused() {
    let shard = TestShard::new();
    let mut neighbour = shard.connected();
    let other = shard.token("101", "1503");
    neighbour.say(&format!(
        "SEND\ndestination:/pub/token\nAuthorization:Bearer {other}\n\n\0"
    ));
    assert_eq!(neighbour.refused(), ("token_invalid".to_owned(), 4403));
}

#[test]
fn point_31_another_complexes_line_is_refused_with_4403() {
    let shard = TestShard::new();
    let mut neighbour = shard.connected();
    neighbour.subscribe("0", "/sub/line/102", "");
    assert_eq!(neighbour.refused(), ("line_mismatch".to_owned(), 4403));

    let mut neighbour = shard.connected();
    neighbour.subscribe("0", "/topic/anything", "");
    assert_eq!(
        neighbour.refused(),
        ("destination_unknown".to_owned(), 4403)
    );
}

#[test]
fn point_38_after_disconnect_the_client_is_left_to_close() {
    let shard = TestShard::new();
    let mut neighbour = shard.connected();
    neighbour.say("DISCONNECT\nreceipt:bye\n\n\0");
    assert_eq!(neighbour.hear().headers.get("receipt-id"), Some("bye"));
    neighbour.say("SUBSCRIBE\nid:0\ndestination:/sub/line/101\nreceipt:no\n\n\0");
    neighbour.send(&client_frame(CLOSE, b"\x03\xe8"));

    let answer = neighbour.websocket().unwrap();
    assert_eq!(
        answer.opcode, CLOSE,
        "point 43: what follows DISCONNECT is passed over"
    );
    assert_eq!(neighbour.websocket(), None);
}

#[test]
fn point_42_an_error_is_followed_by_close() {
    let shard = TestShard::new();
    let mut neighbour = shard.connected();
    neighbour.say("COMMIT\ntransaction:none\nreceipt:r-9\n\n\0");
    let error = neighbour.hear();
    assert_eq!(error.command, Command::Error);
    assert_eq!(error.headers.get("receipt-id"), Some("r-9"));
    assert_eq!(neighbour.closed(), 1002);
}

#[test]
fn a_socket_that_is_silent_is_pinged_and_one_that_stays_silent_is_given_up() {
    let limits = SocketLimits {
        ping_every: Duration::from_millis(100),
        silence_max: Duration::from_millis(600),
        ..SocketLimits::default()
    };
    let shard = TestShard::with_limits(limits);
    let mut neighbour = shard.connected();
    assert_eq!(neighbour.websocket().unwrap().opcode, PING);
    while let Some(frame) = neighbour.websocket() {
        assert_eq!(frame.opcode, PING, "and no Close to somebody who is gone");
    }
}

#[test]
fn somebody_who_sends_too_many_frames_is_sent_away_for_a_while() {
    let shard = TestShard::new();
    let mut neighbour = shard.connected();
    let thousand = "ACK\nid:1\n\n\0".repeat(1_000);
    let message = client_frame(TEXT, thousand.as_bytes());
    neighbour.send(&message.repeat(5));
    assert_eq!(neighbour.refused(), ("too_many".to_owned(), 4429));
}

#[test]
fn when_the_gateway_is_drained_every_socket_is_closed_with_1012() {
    let shard = TestShard::new();
    let mut neighbours: Vec<_> = (0..3).map(|_| shard.subscribed()).collect();
    let mut informed = shard.connected();
    informed.subscribe("n", "/user/queue/notice", "");
    informed.settle();

    shard.send(ShardCommand::Drain(Duration::from_secs(30)));

    assert_eq!(informed.message().1["type"], "draining");
    assert_eq!(informed.closed(), 1012);
    for neighbour in &mut neighbours {
        assert_eq!(neighbour.closed(), 1012);
    }
}

#[test]
fn a_person_has_20_sockets_and_is_told_to_come_back_later_with_one_more() {
    let shard = TestShard::new();
    let token = shard.token("101", "1502");
    let mut open: Vec<_> = (0..20).map(|_| shard.connected_as("1.2", &token)).collect();

    let mut one_more = shard.neighbour();
    one_more.say(&format!(
        "CONNECT\naccept-version:1.2\nAuthorization:Bearer {token}\n\n\0"
    ));

    let error = one_more.hear();
    assert_eq!(error.command, Command::Error);
    assert_eq!(error.headers.get("code"), Some("too_many"));
    assert_eq!(error.headers.get("retry"), Some("later"));
    let close = one_more.websocket().unwrap();
    assert_eq!(
        (close.opcode, &close.payload[..2]),
        (CLOSE, &4429u16.to_be_bytes()[..])
    );

    shard.connected_as("1.2", &shard.token("101", "1503"));
    let mut leaves = open.remove(0);
    leaves.send(&client_frame(CLOSE, b""));
    while leaves.websocket().is_some() {}
    shard.connected_as("1.2", &token);
}

#[test]
fn a_socket_without_connect_makes_room_and_one_that_has_connected_does_not() {
    let shard = TestShard::new();
    let mut resident = shard.connected();
    let mut waiting = shard.neighbour();
    waiting.send(&client_frame(PING, b""));
    assert_eq!(waiting.websocket().unwrap().opcode, PONG);
    let later = clock::steady() + Duration::from_secs(60);

    assert!(shard.sockets.make_room(later));

    assert_eq!(waiting.hear().headers.get("code"), Some("connect_timeout"));
    let close = waiting.websocket().unwrap();
    assert_eq!(
        (close.opcode, &close.payload[..2]),
        (CLOSE, &4408u16.to_be_bytes()[..])
    );
    assert!(waiting.websocket().is_none(), "closed at once");
    assert!(!shard.sockets.make_room(later), "nobody else waits");
    resident.settle();
}
