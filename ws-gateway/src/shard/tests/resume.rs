//! What a client that was away is sent: the live alerts, or all since a position.

use std::time::Duration;

use super::*;

/// A subscription with these headers: its first messages up to now.
fn sent_first(shard: &TestShard, more: &str) -> Vec<(crate::stomp::Frame, serde_json::Value)> {
    let mut neighbour = shard.connected();
    neighbour.subscribe("0", "/sub/line/101", more);
    let messages = neighbour
        .settle()
        .into_iter()
        .filter(|frame| frame.command == crate::stomp::Command::Message);
    messages
        .map(|frame| (frame.clone(), serde_json::from_slice(&frame.body).unwrap()))
        .collect()
}

fn texts(sent: &[(crate::stomp::Frame, serde_json::Value)]) -> Vec<&str> {
    sent.iter()
        .filter_map(|(_, body)| body["text"].as_str())
        .collect()
}

/// Where a neighbour stands who has heard one alert.
fn position_after_one_alert(shard: &mut TestShard) -> String {
    let mut neighbour = shard.subscribed();
    neighbour.settle();
    let alert = shard.alert("101", "1502", "first");
    shard.happens(&alert);
    neighbour
        .message()
        .0
        .headers
        .get("position")
        .unwrap()
        .to_owned()
}

#[test]
fn the_live_alerts_of_the_last_minutes_and_their_accepts_come_first() {
    let mut shard = TestShard::new();
    let old = shard.now().minus(Duration::from_secs(700));
    let forgotten = shard.alert_at("101", "1401", "eleven minutes ago", old);
    let alert = shard.alert("101", "1502", "a minute ago");
    let accept = shard.accept("101", "1501", "1502");
    let elsewhere = shard.alert("102", "1", "elsewhere");
    for event in [&forgotten, &alert, &accept, &elsewhere] {
        shard.happened(event);
    }

    let sent = sent_first(&shard, "");

    assert_eq!(texts(&sent), ["a minute ago", "1502"]);
    for (frame, _) in &sent {
        assert_eq!(frame.headers.get("replayed"), Some("true"));
    }
    assert_eq!(sent[1].1["rank"], 1);
}

#[test]
fn an_accept_that_was_read_before_its_alert_is_replayed_with_its_alert_and_rank() {
    let mut shard = TestShard::new();
    let mut neighbour = shard.subscribed();
    neighbour.settle();
    let alert = shard.alert("101", "1502", "help");
    let accept = shard.accept("101", "1501", "1502");

    shard.happens(&accept);
    shard.happens(&alert);

    assert_eq!(
        neighbour.message().1.get("rank"),
        None,
        "sent at once, as it is"
    );
    let sent = sent_first(&shard, "");
    assert_eq!(texts(&sent), ["1502", "help"]);
    assert_eq!(sent[0].1["rank"], 1);
    assert_eq!(sent[0].1["alertId"], alert.id().to_string());
}

#[test]
fn a_live_message_is_not_marked_as_replayed() {
    let mut shard = TestShard::new();
    let mut neighbour = shard.subscribed();
    neighbour.settle();
    let alert = shard.alert("101", "1502", "now");

    shard.happens(&alert);

    assert_eq!(neighbour.message().0.headers.get("replayed"), None);
}

#[test]
fn whoever_wants_no_live_alerts_first_says_so() {
    let mut shard = TestShard::new();
    let alert = shard.alert("101", "1502", "a minute ago");
    shard.happened(&alert);

    assert_eq!(texts(&sent_first(&shard, "snapshot:false\n")), [""; 0]);
}

#[test]
fn from_a_position_exactly_what_was_missed_is_sent() {
    let mut shard = TestShard::new();
    let position = position_after_one_alert(&mut shard);
    let (second, accept) = (
        shard.alert("101", "1601", "second"),
        shard.accept("101", "1501", "1502"),
    );
    let elsewhere = shard.alert("102", "1", "elsewhere");
    for event in [&second, &accept, &elsewhere] {
        shard.happens(event);
    }

    let sent = sent_first(&shard, &format!("resume-from:{position}\n"));

    let answer = &sent[0];
    assert_eq!(answer.0.headers.get("type"), Some("resume"));
    assert_eq!(answer.1["recovered"], true);
    assert_eq!(answer.1["count"], 2);
    assert_eq!(texts(&sent[1..]), ["second", "1502"]);
    assert!(
        sent[1..]
            .iter()
            .all(|(frame, _)| frame.headers.get("replayed") == Some("true"))
    );
}

#[test]
fn the_position_of_the_answer_is_where_live_goes_on() {
    let mut shard = TestShard::new();
    let position = position_after_one_alert(&mut shard);
    let second = shard.alert("101", "1601", "second");
    shard.happens(&second);
    let answer = sent_first(&shard, &format!("last-event-id:{position}\n"));
    let caught_up = answer[0].1["position"].as_str().unwrap().to_owned();

    let again = sent_first(&shard, &format!("resume-from:{caught_up}\n"));

    assert_eq!(again.len(), 1);
    assert_eq!(again[0].1["recovered"], true);
    assert_eq!(again[0].1["count"], 0);
}

#[test]
fn from_now_there_is_nothing_to_recover() {
    let mut shard = TestShard::new();
    let alert = shard.alert("101", "1502", "a minute ago");
    shard.happened(&alert);

    let sent = sent_first(&shard, "resume-from:now\n");

    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1["recovered"], true);
}

#[test]
fn what_cannot_be_recovered_is_said_and_the_live_alerts_come_instead() {
    let mut shard = TestShard::new();
    let position = position_after_one_alert(&mut shard);
    let old = shard.now().minus(Duration::from_secs(700));
    let earlier = shard.alert_at("101", "1401", "eleven minutes ago", old);
    shard.happens(&earlier);
    let of_another_log = {
        let (rest, hash) = position.split_once('-').unwrap();
        let (_, accept) = hash.split_once('.').unwrap();
        format!("{rest}-deadbeef.{accept}")
    };
    for (token, reason) in [
        ("rubbish", "bad-token"),
        ("1.7.n.n", "bad-token"),
        (&*of_another_log, "epoch"),
    ] {
        let sent = sent_first(&shard, &format!("resume-from:{token}\n"));

        assert_eq!(sent[0].1["recovered"], false, "{token}");
        assert_eq!(sent[0].1["reason"], reason);
        assert_eq!(sent[0].1["count"], 2);
        assert_eq!(
            texts(&sent[1..]),
            ["first", "eleven minutes ago"],
            "all that is live, however old"
        );
    }
}

#[test]
fn a_position_older_than_the_ring_is_not_recovered() {
    let verifier = Arc::new(Verifier::open(trusted_keys(), Policy::default()).unwrap());
    let mut config = Config::new(([127, 0, 0, 1], 0).into(), "127.0.0.1:9", verifier);
    config.recent_bytes_max = 20_000;
    let mut shard = TestShard::with_config(&config);
    let position = position_after_one_alert(&mut shard);
    for round in 0..100 {
        let alert = shard.alert("101", "1502", &format!("round {round}"));
        shard.happens(&alert);
    }

    let sent = sent_first(&shard, &format!("resume-from:{position}\n"));

    assert_eq!(sent[0].1["reason"], "trimmed");
    assert!(
        1 < sent.len() && sent.len() < 50,
        "the ring is bounded: {}",
        sent.len()
    );
}

#[test]
fn more_than_anybody_reads_is_not_resumed() {
    let mut shard = TestShard::new();
    let position = position_after_one_alert(&mut shard);
    for _ in 0..1_001 {
        let alert = shard.alert("101", "1502", "again");
        shard.happens(&alert);
    }

    let sent = sent_first(&shard, &format!("resume-from:{position}\n"));

    assert_eq!(sent[0].1["reason"], "too-many");
}

#[test]
fn nothing_overtakes_on_a_subscription_that_catches_up() {
    let mut shard = TestShard::new();
    let position = position_after_one_alert(&mut shard);
    for round in 0..50 {
        let alert = shard.alert("101", "1502", &format!("missed {round}"));
        shard.happens(&alert);
    }
    let mut neighbour = shard.connected();
    neighbour.subscribe("0", "/sub/line/101", &format!("resume-from:{position}\n"));
    for round in 0..50 {
        let alert = shard.alert("101", "1502", &format!("live {round}"));
        shard.happens(&alert);
    }

    let mut heard = Vec::new();
    while heard.len() < 100 {
        let frame = neighbour.hear();
        if frame.headers.get("type") == Some("alert") {
            let body: serde_json::Value = serde_json::from_slice(&frame.body).unwrap();
            heard.push(body["text"].as_str().unwrap().to_owned());
        }
    }

    let missed = (0..50).map(|round| format!("missed {round}"));
    assert_eq!(
        heard,
        missed
            .chain((0..50).map(|round| format!("live {round}")))
            .collect::<Vec<_>>()
    );
}

/// A shard whose gateway has read less than another one: the events that both know, and a position beyond them.
fn two_gateways() -> (TestShard, TestShard, Vec<Event>, String) {
    two_gateways_that_wait(Duration::from_secs(60))
}

fn two_gateways_that_wait(
    wait_for_log_max: Duration,
) -> (TestShard, TestShard, Vec<Event>, String) {
    let mut other = TestShard::new();
    let mut behind = TestShard::with_limits(SocketLimits {
        wait_for_log_max,
        ..SocketLimits::default()
    });
    let events: Vec<Event> = ["first", "second", "third"]
        .map(|text| other.alert("101", "1502", text))
        .into();
    let mut neighbour = other.subscribed();
    neighbour.settle();
    for event in &events {
        other.happens(event);
    }
    let positions: Vec<String> = events
        .iter()
        .map(|_| {
            let (frame, _) = neighbour.message();
            frame.headers.get("position").unwrap().to_owned()
        })
        .collect();
    behind.happens(&events[0]);
    (behind, other, events, positions[1].clone())
}

fn resume_answer(neighbour: &mut neighbour::Neighbour) -> serde_json::Value {
    let (frame, body) = neighbour.message();
    assert_eq!(frame.headers.get("type"), Some("resume"), "{body}");
    body
}

#[test]
fn a_position_ahead_of_the_gateway_waits_until_it_was_read_and_nothing_is_heard_twice() {
    let (mut behind, _other, events, position) = two_gateways();
    let mut neighbour = behind.connected();
    neighbour.subscribe("0", "/sub/line/101", &format!("resume-from:{position}\n"));
    assert_eq!(neighbour.settle(), [], "no answer and no RECEIPT yet");

    behind.happens(&events[1]);

    let answer = resume_answer(&mut neighbour);
    assert_eq!(
        (&answer["recovered"], &answer["count"]),
        (&true.into(), &0.into())
    );
    assert_eq!(neighbour.hear().headers.get("receipt-id"), Some("r-0"));
    behind.happens(&events[2]);
    let (frame, body) = neighbour.message();
    assert_eq!(body["text"], "third");
    assert_eq!(frame.headers.get("replayed"), None, "it is news");
}

#[test]
fn a_client_that_is_cut_off_in_a_replay_of_a_gateway_that_read_in_another_order_hears_nothing_twice()
 {
    let (mut first, mut second) = (TestShard::new(), TestShard::new());
    let alert = first.alert("101", "1501", "heard before");
    let accept = first.accept("101", "1501", "1502");
    let missed = first.alert("101", "1601", "missed");
    let mut neighbour = first.subscribed();
    neighbour.settle();
    for event in [&alert, &accept] {
        first.happens(event);
    }
    neighbour.message();
    let (frame, _) = neighbour.message();
    let position = frame.headers.get("position").unwrap().to_owned();
    for event in [&alert, &missed, &accept] {
        second.happens(event);
    }

    let sent = sent_first(&second, &format!("resume-from:{position}\n"));
    assert_eq!(texts(&sent[1..]), ["missed"]);
    let cut_off_at = sent[1].0.headers.get("position").unwrap().to_owned();
    let again = sent_first(&second, &format!("resume-from:{cut_off_at}\n"));

    assert_eq!(texts(&again[1..]), [""; 0], "the accept was heard before");
}

#[test]
fn a_position_that_the_log_itself_has_no_record_for_is_of_another_log() {
    let (mut behind, _other, events, position) = two_gateways();
    let mut neighbour = behind.connected();
    behind.log_answers();
    neighbour.subscribe("0", "/sub/line/101", &format!("resume-from:{position}\n"));
    assert_eq!(
        neighbour.settle(),
        [],
        "an answer from before counts for nothing"
    );

    behind.log_answers();

    let answer = resume_answer(&mut neighbour);
    assert_eq!(
        (&answer["recovered"], &answer["reason"]),
        (&false.into(), &"epoch".into())
    );
    assert_eq!(neighbour.message().1["text"], "first");
    behind.happens(&events[1]);
    neighbour.hear();
    let (frame, _) = neighbour.message();
    assert_eq!(
        frame.headers.get("replayed"),
        None,
        "a new call of the new log"
    );
}

#[test]
fn a_gateway_that_stays_behind_says_so_and_tells_nothing_older_than_the_position_as_live() {
    let (mut behind, _other, events, position) = two_gateways_that_wait(Duration::from_millis(200));
    let mut neighbour = behind.connected();
    neighbour.subscribe("0", "/sub/line/101", &format!("resume-from:{position}\n"));

    let answer = resume_answer(&mut neighbour);
    assert_eq!(
        (&answer["recovered"], &answer["reason"]),
        (&false.into(), &"behind".into())
    );
    assert_eq!(answer["count"], 1);
    assert_eq!(neighbour.message().1["text"], "first");
    assert_eq!(neighbour.hear().headers.get("receipt-id"), Some("r-0"));

    behind.happens(&events[1]);
    behind.happens(&events[2]);
    for (text, replayed) in [("second", Some("true")), ("third", None)] {
        let (frame, body) = neighbour.message();
        assert_eq!(
            (&body["text"], frame.headers.get("replayed")),
            (&text.into(), replayed)
        );
    }
}

#[test]
fn a_subscription_that_waits_and_is_ended_is_answered_and_hears_nothing() {
    let (mut behind, _other, events, position) = two_gateways();
    let mut neighbour = behind.connected();
    neighbour.subscribe("0", "/sub/line/101", &format!("resume-from:{position}\n"));
    neighbour.say("UNSUBSCRIBE\nid:0\nreceipt:u\n\n\0");
    let answered = neighbour.settle();

    behind.happens(&events[1]);
    behind.happens(&events[2]);

    assert_eq!(neighbour.settle(), []);
    let receipts: Vec<_> = answered
        .iter()
        .map(|frame| frame.headers.get("receipt-id"))
        .collect();
    assert_eq!(receipts, [Some("r-0"), Some("u")]);
}

#[test]
fn a_call_stamped_ten_years_ahead_is_live_no_longer_than_any_other() {
    let mut shard = TestShard::new();
    let decade = Duration::from_secs(3_650 * 86_400);
    let in_ten_years = shard.now().plus(decade);
    let lie = shard.alert_at("101", "1401", "from 2036", in_ten_years);
    let alert = shard.alert("101", "1502", "after it");
    for event in [&lie, &alert] {
        shard.happens(event);
    }
    let accept = shard.accept("101", "1501", "1502");
    shard.happens(&accept);

    let sent = sent_first(&shard, "");

    assert_eq!(texts(&sent), ["from 2036", "after it", "1502"]);
    assert_eq!(sent[2].1["rank"], 1, "the fold goes on");
}

#[test]
fn snapshots_asked_for_again_and_again_cost_who_asks_and_nothing_is_sent_of_one_that_was_ended() {
    let mut shard = TestShard::new();
    let text = "x".repeat(500);
    for _ in 0..500 {
        let alert = shard.alert("101", "1502", &text);
        shard.happens(&alert);
    }
    let mut neighbour = shard.connected();
    // Half a megabyte each: the socket and its reader take a few of them.
    for round in 0..200 {
        neighbour.say(&format!(
            "SUBSCRIBE\nid:{round}\ndestination:/sub/line/101\n\n\0UNSUBSCRIBE\nid:{round}\n\n\0"
        ));
    }

    let mut bytes = 0;
    let close = loop {
        let frame = neighbour.websocket().expect("Close comes before the end");
        bytes += frame.payload.len();
        if crate::websocket::testing::CLOSE == frame.opcode {
            break u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
        }
    };
    assert_eq!(close, 4429);
    assert!(bytes < 24 * 1024 * 1024, "{bytes} bytes for 20 kB");
}

#[test]
fn a_snapshot_larger_than_the_outbox_reaches_a_client_that_reads_slowly_and_what_comes_meanwhile_follows_it()
 {
    let mut shard = TestShard::with_limits(SocketLimits {
        outbox_bytes_max: 64 * 1024,
        ..SocketLimits::default()
    });
    let text = "x".repeat(500);
    for _ in 0..8_000 {
        let alert = shard.alert("101", "1502", &text);
        shard.happens(&alert);
    }
    let mut neighbour = shard.connected();
    neighbour.subscribe("0", "/sub/line/101", "");
    let mut other = shard.subscribed();
    while other.hear().command == crate::stomp::Command::Message {}
    let live = shard.alert("101", "1502", "live");
    shard.happens(&live);

    for _ in 0..8_000 {
        assert_eq!(neighbour.message().0.headers.get("replayed"), Some("true"));
    }
    assert_eq!(neighbour.hear().headers.get("receipt-id"), Some("r-0"));
    let (frame, body) = neighbour.message();
    assert_eq!(
        (&body["text"], frame.headers.get("replayed")),
        (&"live".into(), None)
    );
}
