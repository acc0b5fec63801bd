//! A record that nobody can read does not stop anybody, is kept whole, and can be looked at and sent again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

const NONSENSE: &[u8] = b"{ this is no call";

fn write_nonsense(log: &str) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", log)
        .create()
        .unwrap();
    producer
        .send(
            BaseRecord::<[u8], [u8]>::to("an-alert")
                .partition(0)
                .key(b"hanbit")
                .payload(NONSENSE),
        )
        .unwrap();
    producer.flush(house::PATIENCE).unwrap();
}

fn listed(data: &std::path::Path) -> Vec<Value> {
    let output = house::run(house::mayday(data).args(["dlt", "list", "--json"]));
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn wait_for_letters(data: &std::path::Path, count: usize) -> Vec<Value> {
    for _ in 0..300 {
        let letters = listed(data);
        if letters.len() == count {
            return letters;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{count} dead letters never came: {:?}", listed(data));
}

#[test]
fn a_record_that_cannot_be_read_is_kept_whole_can_be_shown_and_is_sent_again_as_it_was() {
    let (_keep, data) = house::folder();
    let running = house::start(&data);
    assert!(listed(&data).is_empty());

    write_nonsense(&running.log);
    let letters = wait_for_letters(&data, 1);
    assert_eq!(letters[0]["origin"], "an-alert-0-0");

    let shown = house::run(house::mayday(&data).args(["dlt", "show", "an-alert-0-0"]));
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("value: { this is no call"), "{shown}");
    assert!(shown.contains("key: hanbit"), "{shown}");

    let replayed = house::run(house::mayday(&data).args(["dlt", "replay", "an-alert-0-0"]));
    assert!(replayed.status.success(), "{replayed:?}");
    // Still nonsense: it becomes a dead letter again, now from its new place.
    let again = wait_for_letters(&data, 2);
    assert_ne!(again[0]["origin"], again[1]["origin"]);
}

#[test]
fn an_alert_behind_a_record_that_cannot_be_read_is_heard_all_the_same() {
    let (_keep, data) = house::folder();
    let running = house::start(&data);

    write_nonsense(&running.log);
    let sent = house::run(house::mayday(&data).args(["send", "--text", "behind it"]));
    assert!(sent.status.success(), "{sent:?}");

    let heard = house::run(house::mayday(&data).args(["watch", "--json", "--count", "1"]));
    let heard: Value = serde_json::from_slice(&heard.stdout).unwrap();
    assert_eq!(heard["text"], "behind it");
}

#[test]
fn a_dead_letter_that_is_not_there_is_said_so() {
    let (_keep, data) = house::folder();
    let _running = house::start(&data);

    let output = house::run(house::mayday(&data).args(["dlt", "show", "an-alert-0-77"]));

    assert!(house::complaint(&output).contains("no such dead letter"));
}
