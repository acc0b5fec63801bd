//! Events to neighbours: who hears what, in which words, and who does not read.

use std::{io::Read as _, time::Duration};

use resident_token::Role;

use super::*;
use crate::stomp::Command;

#[test]
fn point_33_a_message_says_where_it_belongs_and_what_it_is() {
    let mut shard = TestShard::new();
    let mut neighbour = shard.subscribed();
    neighbour.settle();
    let alert = shard.alert("101", "1502", "불이야");

    shard.happens(&alert);

    let (frame, body) = neighbour.message();
    let names: Vec<&str> = frame.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "subscription",
            "destination",
            "message-id",
            "type",
            "content-type",
            "position",
            "content-length"
        ]
    );
    let partition = partition_for(&Line::new("101").unwrap(), PARTITIONS);
    assert_eq!(frame.headers.get("subscription"), Some("sub-0"));
    assert_eq!(frame.headers.get("destination"), Some("/sub/line/101"));
    assert_eq!(
        frame.headers.get("message-id"),
        Some(&*format!("an-alert-{partition}-0"))
    );
    assert_eq!(frame.headers.get("type"), Some("alert"));
    assert_eq!(frame.headers.get("content-type"), Some("application/json"));
    assert_eq!(
        frame.headers.get("content-length"),
        Some(&*frame.body.len().to_string())
    );
    assert_eq!(body["text"], "불이야");
    assert_eq!(body["id"], alert.id().to_string());
}

#[test]
fn an_accept_says_whose_alert_it_accepts_and_who_was_first() {
    let mut shard = TestShard::new();
    let mut neighbour = shard.subscribed();
    neighbour.settle();
    let alert = shard.alert("101", "1502", "help");
    let (first, second) = (
        shard.accept("101", "1501", "1502"),
        shard.accept("101", "1602", "1502"),
    );

    for event in [&alert, &first, &second] {
        shard.happens(event);
    }

    neighbour.message();
    for (rank, responder) in [(1, "1501"), (2, "1602")] {
        let (frame, body) = neighbour.message();
        assert_eq!(frame.headers.get("type"), Some("accept"));
        assert_eq!(body["rank"], rank);
        assert_eq!(body["accept"], responder);
        assert_eq!(body["text"], "1502");
        assert_eq!(body["alertId"], alert.id().to_string());
    }
}

#[test]
fn only_the_line_that_is_called_hears_it() {
    let mut shard = TestShard::new();
    let mut here = shard.subscribed();
    let mut there = shard.connected_as("1.2", &shard.token("102", "1"));
    there.subscribe("0", "/sub/line/102", "");
    let mut silent = shard.connected();
    silent.subscribe("0", "/user/queue/errors", "");
    silent.subscribe("1", "/queue/anything", "");
    for neighbour in [&mut here, &mut there, &mut silent] {
        neighbour.settle();
    }
    let alert = shard.alert("101", "1502", "here");

    shard.happens(&alert);

    assert_eq!(here.message().1["text"], "here");
    assert_eq!(there.texts(), [""; 0]);
    assert_eq!(silent.texts(), [""; 0]);
}

#[test]
fn an_operator_hears_any_line_and_any_spelling_of_a_line_will_do() {
    let mut shard = TestShard::new();
    let token = shard.token_for("102", "1", &[Role::Operator], Duration::from_secs(60));
    let mut operator = shard.connected_as("1.2", &token);
    operator.subscribe("wide", "/sub/line/１０１", "");
    operator.settle();
    let alert = shard.alert("101", "1502", "help");

    shard.happens(&alert);

    let (frame, _) = operator.message();
    assert_eq!(
        frame.headers.get("destination"),
        Some("/sub/line/１０１"),
        "echoed as it was spelled"
    );
}

#[test]
fn point_30_two_subscriptions_to_one_destination_hear_everything_twice() {
    let mut shard = TestShard::new();
    let mut neighbour = shard.connected();
    neighbour.subscribe("a", "/sub/line/101", "");
    neighbour.subscribe("b", "/sub/line/101", "");
    neighbour.settle();
    let alert = shard.alert("101", "1502", "help");

    shard.happens(&alert);

    let heard = [neighbour.message().0, neighbour.message().0];
    let ids: Vec<_> = heard
        .iter()
        .map(|frame| frame.headers.get("subscription").unwrap())
        .collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(
        heard[0].headers.get("message-id"),
        heard[1].headers.get("message-id")
    );
}

#[test]
fn point_32_after_unsubscribe_nothing_more_is_heard() {
    let mut shard = TestShard::new();
    let mut neighbour = shard.subscribed();
    neighbour.say("UNSUBSCRIBE\nid:sub-0\n\n\0");
    neighbour.settle();
    let alert = shard.alert("101", "1502", "help");

    shard.happens(&alert);

    assert_eq!(neighbour.texts(), [""; 0]);
}

#[test]
fn point_34_each_message_of_a_client_subscription_can_be_acknowledged() {
    let mut shard = TestShard::new();
    let mut neighbour = shard.connected();
    neighbour.subscribe("0", "/sub/line/101", "ack:client-individual\n");
    neighbour.settle();
    let alert = shard.alert("101", "1502", "help");

    shard.happens(&alert);

    let ack = neighbour.message().0.headers.get("ack").unwrap().to_owned();
    neighbour.say(&format!("ACK\nid:{ack}\nreceipt:acked\n\n\0"));
    assert_eq!(neighbour.hear().headers.get("receipt-id"), Some("acked"));
}

#[test]
fn point_35_however_a_subscription_is_named_the_message_is_whole() {
    let mut shard = TestShard::new();
    let ids = [
        "sub-0".to_owned(),
        "a\\cb\\\\n".to_owned(),
        "x".repeat(2_000),
        "수신".to_owned(),
    ];
    let mut neighbours: Vec<_> = ids
        .iter()
        .map(|id| {
            let mut neighbour = shard.connected();
            neighbour.subscribe(id, "/sub/line/101", "");
            neighbour.settle();
            neighbour
        })
        .collect();
    let text = "가".repeat(500);
    let alert = shard.alert("101", "1502", &text);

    shard.happens(&alert);

    for neighbour in &mut neighbours {
        assert_eq!(neighbour.message().1["text"], text);
    }
}

#[test]
fn somebody_who_does_not_read_is_closed_with_4413_and_the_others_hear_everything() {
    let mut shard = TestShard::with_limits(SocketLimits {
        outbox_bytes_max: 64 * 1024,
        ..SocketLimits::default()
    });
    let mut slow = shard.subscribed();
    slow.settle();
    let mut quick = shard.subscribed();
    quick.settle();
    let text = "x".repeat(500);
    let alert = shard.alert("101", "1502", &text);
    let read = shard.record(&alert);

    // More than the kernel and the queue together take, as fast as the quick one reads.
    for _ in 0..240 {
        for _ in 0..50 {
            shard.send(ShardCommand::Publish(read.clone()));
        }
        for _ in 0..50 {
            assert_eq!(quick.message().1["text"], text);
        }
    }

    assert_eq!(
        slow.closed(),
        4413,
        "and what it was sent before is whole frames"
    );
}

#[test]
fn all_slow_readers_together_have_a_bound_and_the_longest_queue_goes_first() {
    let verifier = Arc::new(Verifier::open(trusted_keys(), Policy::default()).unwrap());
    let mut config = Config::new(([127, 0, 0, 1], 0).into(), "127.0.0.1:9", verifier);
    config.queues_bytes_max = 1024 * 1024;
    config.shards = std::num::NonZeroUsize::MIN;
    config.limits.outbox_bytes_max = 1024 * 1024 * 1024;
    let mut shard = TestShard::with_config(&config);
    let mut slow: Vec<_> = (0..3).map(|_| shard.subscribed()).collect();
    let mut quick = shard.subscribed();
    for neighbour in slow.iter_mut().chain([&mut quick]) {
        neighbour.settle();
    }
    let text = "x".repeat(500);
    let alert = shard.alert("101", "1502", &text);
    let read = shard.record(&alert);

    // Far more than the kernel takes.
    for _ in 0..240 {
        for _ in 0..50 {
            shard.send(ShardCommand::Publish(read.clone()));
        }
        for _ in 0..50 {
            assert_eq!(quick.message().1["text"], text);
        }
    }

    for neighbour in &mut slow {
        assert_eq!(neighbour.closed(), 4413);
    }
}

#[test]
fn a_neighbour_who_is_gone_costs_the_others_nothing() {
    let mut shard = TestShard::new();
    let mut gone: Vec<_> = (0..15).map(|_| shard.subscribed()).collect();
    let mut here = shard.subscribed();
    here.settle();
    for neighbour in &mut gone {
        neighbour.settle();
    }
    drop(gone);

    for round in 0..10 {
        let alert = shard.alert("101", "1502", &round.to_string());
        shard.happens(&alert);
    }

    let heard: Vec<_> = (0..10)
        .map(|_| here.message().1["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        heard,
        (0..10).map(|round| round.to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn a_duplicate_in_the_log_is_sent_once() {
    let mut shard = TestShard::new();
    let mut neighbour = shard.subscribed();
    neighbour.settle();
    let alert = shard.alert("101", "1502", "once");

    shard.happens(&alert);
    shard.happens(&alert);

    assert_eq!(neighbour.texts(), ["once"]);
}

#[test]
fn the_socket_of_a_client_in_1_0_without_an_id_gets_no_subscription_header() {
    let mut shard = TestShard::new();
    let mut neighbour = shard.connected_as("1.0", &shard.token("101", "1"));
    neighbour.say("SUBSCRIBE\ndestination:/sub/line/101\nreceipt:r\n\n\0");
    assert_eq!(neighbour.hear().command, Command::Receipt);
    let alert = shard.alert("101", "1502", "help");

    shard.happens(&alert);

    assert_eq!(neighbour.message().0.headers.get("subscription"), None);
}

#[test]
fn a_closed_socket_is_closed_for_the_kernel_too() {
    let shard = TestShard::new();
    let mut neighbour = shard.connected();
    neighbour.say("NONSENSE\n\n\0");
    neighbour.refused();
    assert!(matches!(neighbour.socket.read(&mut [0; 1]), Ok(0) | Err(_)));
}
