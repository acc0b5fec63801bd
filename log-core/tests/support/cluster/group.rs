//! A consumer group that commits what it has read, and writes down what it read, where it began and what it committed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::checker::{GroupEvent, Place, Reading, Record};
use super::{PARTITIONS, TOPIC, wait_until};

const MEMBERS: usize = 2;
/// A member commits after so many records.
const COMMIT_EVERY: u32 = 25;
const COMMITTED_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// The running members.
pub struct Group {
    bootstrap: String,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    events: Mutex<Vec<GroupEvent>>,
    /// Where each partition's next record is, by what was read.
    next: Mutex<BTreeMap<i32, i64>>,
}

impl Shared {
    fn note(&self, event: GroupEvent) {
        self.events.lock().expect("no holder panics").push(event);
    }
}

/// A member's number, and what all share.
struct Context(usize, Arc<Shared>);

impl ClientContext for Context {
    /// librdkafka retries what it complains about.
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            for partition in partitions.elements() {
                self.1.note(GroupEvent::Assigned {
                    member: self.0,
                    partition: partition.partition(),
                });
            }
        }
    }
}

impl Group {
    /// Begins to read.
    pub fn start(bootstrap: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let member = |number| {
            let consumer = member(bootstrap, Context(number, Arc::clone(&shared)));
            thread::spawn(move || keep_consuming(&consumer))
        };
        let threads = (0..MEMBERS).map(member).collect();
        Self {
            bootstrap: bootstrap.to_owned(),
            shared,
            threads,
        }
    }

    /// Waits until the group has read everything, and returns what it wrote down.
    pub fn finish(self, ends: &BTreeMap<i32, i64>) -> Reading {
        wait_until("the group has read everything", || {
            let next = self.shared.next.lock().expect("no holder panics");
            ends.iter()
                .all(|(partition, end)| next.get(partition).unwrap_or(&0) == end)
        });
        self.shared.stopped.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a member ends");
        }
        let mut events = self.shared.events.lock().expect("no holder panics");
        Reading {
            events: std::mem::take(&mut *events),
            committed: committed(&self.bootstrap),
        }
    }
}

/// Where the log says that the group goes on.
fn committed(bootstrap: &str) -> BTreeMap<i32, i64> {
    let consumer: BaseConsumer = config(bootstrap).create().expect("a consumer");
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_range(TOPIC, 0, PARTITIONS - 1);
    let told = consumer.committed_offsets(partitions, COMMITTED_WITHIN);
    let told = told.expect("the group's coordinator answers");
    let next = told.elements().into_iter().filter_map(|partition| {
        let next = partition.offset().to_raw().filter(|next| 0 <= *next)?;
        Some((partition.partition(), next))
    });
    next.collect()
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = super::client(bootstrap);
    config
        .set("group.id", "readers")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "500")
        .set("fetch.wait.max.ms", "50")
        .set("fetch.error.backoff.ms", "50");
    config
}

fn member(bootstrap: &str, context: Context) -> BaseConsumer<Context> {
    let consumer: BaseConsumer<Context> = config(bootstrap)
        .create_with_context(context)
        .expect("a consumer");
    consumer.subscribe(&[TOPIC]).expect("subscribed");
    consumer
}

fn keep_consuming(consumer: &BaseConsumer<Context>) {
    let Context(member, shared) = &**consumer.context();
    let mut uncommitted = 0;
    while !shared.stopped.load(Ordering::SeqCst) {
        // Errors are librdkafka's to retry, like a coordinator that moved.
        let Some(Ok(record)) = consumer.poll(POLL) else {
            continue;
        };
        note(*member, &record, shared);
        uncommitted += 1;
        if COMMIT_EVERY <= uncommitted {
            uncommitted = 0;
            commit(consumer, &record, shared);
        }
    }
}

/// Waits for the answer. A commit that a rebalance overtook is refused, and may be.
fn commit(consumer: &BaseConsumer<Context>, record: &BorrowedMessage<'_>, shared: &Shared) {
    if consumer.commit_message(record, CommitMode::Sync).is_ok() {
        shared.note(GroupEvent::Committed {
            partition: record.partition(),
            next: record.offset() + 1,
        });
    }
}

fn note(member: usize, record: &BorrowedMessage<'_>, shared: &Shared) {
    let (partition, offset) = (record.partition(), record.offset());
    let value = String::from_utf8_lossy(record.payload().unwrap_or_default());
    let Record { id, .. } = Record::read("", &value);
    shared.note(GroupEvent::Read {
        member,
        place: Place(partition, offset),
        id,
    });
    let mut next = shared.next.lock().expect("no holder panics");
    next.insert(partition, offset + 1);
}
