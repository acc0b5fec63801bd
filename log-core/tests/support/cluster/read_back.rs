//! Everything that the cluster holds, read from its leader by a consumer without a group.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::checker::{Place, Record};
use super::{PARTITIONS, TOPIC, wait_until};

const ASK_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);
/// Records between two looks whether that was all.
const BURST: usize = 5_000;

/// All records, by their places.
pub fn all_records(bootstrap: &str) -> BTreeMap<Place, Record> {
    let consumer: BaseConsumer = super::client(bootstrap)
        .set("group.id", "nobody")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "20")
        .create()
        .expect("a consumer");
    let mut from_the_start = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        from_the_start
            .add_partition_offset(TOPIC, partition, Offset::Beginning)
            .expect("a partition");
    }
    consumer.assign(&from_the_start).expect("assigned");
    let ends = ends_told(&consumer);
    let mut records = BTreeMap::new();
    wait_until("everything is read back", || {
        take_some(&consumer, &mut records);
        self::ends(&records) == ends
    });
    records
}

fn ends_told(consumer: &BaseConsumer) -> BTreeMap<i32, i64> {
    let mut ends = BTreeMap::new();
    wait_until("the leader tells the partitions' ends", || {
        for partition in 0..PARTITIONS {
            if let Ok((_, end)) = consumer.fetch_watermarks(TOPIC, partition, ASK_WITHIN) {
                ends.insert(partition, end);
            }
        }
        i32::try_from(ends.len()) == Ok(PARTITIONS)
    });
    ends
}

fn take_some(consumer: &BaseConsumer, records: &mut BTreeMap<Place, Record>) {
    for _ in 0..BURST {
        let Some(Ok(record)) = consumer.poll(POLL) else {
            return;
        };
        let place = Place(record.partition(), record.offset());
        let known = records.insert(place, seen(&record));
        assert_eq!(known, None, "{place:?} was read twice");
    }
}

fn seen(record: &BorrowedMessage<'_>) -> Record {
    let text =
        |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    Record::read(&text(record.key()), &text(record.payload()))
}

/// The end of each partition, when these are its records.
pub fn ends(records: &BTreeMap<Place, Record>) -> BTreeMap<i32, i64> {
    let mut ends: BTreeMap<i32, i64> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
    for Place(partition, offset) in records.keys() {
        ends.insert(*partition, offset + 1);
    }
    ends
}
