//! Kafka clients: a reader of all there is, a consumer group that commits, a copier in transactions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientContext, Statistics};
use serde_json::Value;

use crate::checker::{ACCEPTS, ALERTS, GroupEvent, Record, RecordPosition, accept_text};

/// Where the copier copies to.
const COPIES: &str = "campaign-copies";
const PARTITIONS: i32 = 2;
const MEMBERS: usize = 2;
const COMMIT_EVERY: u32 = 10;
const POLL: Duration = Duration::from_millis(50);
const WITHIN: Duration = Duration::from_secs(10);
/// Records of one transaction.
const COPIED_AT_ONCE: usize = 8;

fn config(log: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", log)
        .set("log_level", "0")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        .set("topic.metadata.refresh.interval.ms", "1000")
        .set("metadata.max.age.ms", "900000");
    config
}

/// librdkafka retries what it complains about.
struct Silent;

impl ClientContext for Silent {
    fn error(&self, _: KafkaError, _: &str) {}
    fn stats(&self, _: Statistics) {}
}

impl ConsumerContext for Silent {}

impl ProducerContext for Silent {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// Everything that a topic holds, committed records only, up to where it ends now.
///
/// # Errors
/// The log does not answer in time.
fn read_all(log: &str, topic: &str) -> KafkaResult<BTreeMap<RecordPosition, Vec<u8>>> {
    let consumer: BaseConsumer<Silent> = config(log)
        .set("group.id", "campaign-reader")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create_with_context(Silent)?;
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    let mut records = BTreeMap::new();
    let mut ended = [false; PARTITIONS as usize];
    let mut silent = 0;
    while !ended.iter().all(|ended| *ended) {
        match consumer.poll(POLL) {
            Some(Ok(record)) => {
                silent = 0;
                let place = (topic.to_owned(), record.partition(), record.offset());
                let id = id_of(&record).unwrap_or_default();
                let payload = record.payload().unwrap_or_default();
                records.insert(place, [id.as_bytes(), b"\n", payload].concat());
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended[usize::try_from(partition).expect("few")] = true;
            }
            Some(Err(_)) | None => {
                silent += 1;
                if WITHIN.as_millis() < POLL.as_millis() * silent {
                    return Err(KafkaError::Canceled);
                }
            }
        }
    }
    Ok(records)
}

fn id_of(record: &BorrowedMessage<'_>) -> Option<String> {
    let headers = record.headers()?;
    let id = headers.iter().find(|header| header.key == "ce_id")?;
    String::from_utf8(id.value?.to_vec()).ok()
}

/// The alerts and accepts that the log holds.
///
/// # Errors
/// The log does not answer in time.
pub(crate) fn calls(log: &str) -> KafkaResult<BTreeMap<RecordPosition, Record>> {
    let alerts = read_all(log, ALERTS)?.into_iter();
    let read = alerts.chain(read_all(log, ACCEPTS)?);
    let records = read.map(|(place, bytes)| {
        let text = String::from_utf8(bytes).expect("ours are text");
        let (id, value) = text.split_once('\n').expect("put between them");
        let value: Value = serde_json::from_str(value).expect("ours are JSON");
        let field = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let record = Record {
            id: id.to_owned(),
            line: field("line"),
            text: match value["alertId"].as_str() {
                Some(alert) => accept_text(alert),
                None => field("text"),
            },
        };
        (place, record)
    });
    Ok(records.collect())
}

/// What committed transactions copied.
///
/// # Errors
/// The log does not answer in time.
pub(crate) fn copies(log: &str) -> KafkaResult<Vec<String>> {
    let read = read_all(log, COPIES)?.into_values();
    let ids = read.map(|bytes| {
        let text = String::from_utf8(bytes).expect("ours are text");
        text.trim_start_matches('\n').to_owned()
    });
    Ok(ids.collect())
}

/// Clients that read while the faults last.
pub(crate) struct Readers {
    log: String,
    stop: Arc<AtomicBool>,
    group: Arc<Mutex<Vec<GroupEvent>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Makes the topic of copies, and starts two members of a group and a copier.
    pub(crate) fn start(log: &str) -> Self {
        make_copies(log);
        let stop = Arc::new(AtomicBool::new(false));
        let group = Arc::new(Mutex::new(Vec::new()));
        let member = |number| {
            let (log, stop, group) = (log.to_owned(), Arc::clone(&stop), Arc::clone(&group));
            thread::spawn(move || consume(&log, Member(number, group), &stop))
        };
        let mut threads: Vec<_> = (0..MEMBERS).map(member).collect();
        let (address, stopped) = (log.to_owned(), Arc::clone(&stop));
        threads.push(thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                // Whatever ended it, its successor fences it and goes on from what was committed.
                drop(copy(&address, &stopped));
                thread::sleep(POLL);
            }
        }));
        Self {
            log: log.to_owned(),
            stop,
            group,
            threads,
        }
    }

    /// How far the members have read, by partition.
    pub(crate) fn read_up_to(&self, partition: i32) -> i64 {
        let events = self.group.lock().expect("no holder panics");
        let reads = events.iter().filter_map(|event| match event {
            GroupEvent::Read {
                partition: of,
                offset,
                ..
            } if *of == partition => Some(offset + 1),
            _ => None,
        });
        reads.max().unwrap_or_default()
    }

    /// What the members did, and where the log says that the group goes on.
    pub(crate) fn stop(self) -> (Vec<GroupEvent>, BTreeMap<i32, i64>) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a reader ends");
        }
        let events = std::mem::take(&mut *self.group.lock().expect("no holder panics"));
        (events, committed(&self.log))
    }
}

fn make_copies(log: &str) {
    let admin: AdminClient<DefaultClientContext> = config(log).create().expect("a client");
    let topic = NewTopic::new(COPIES, PARTITIONS, TopicReplication::Fixed(-1));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let made = runtime
        .expect("a runtime")
        .block_on(admin.create_topics([&topic], &AdminOptions::new()));
    for topic in made.expect("the log answers") {
        topic.expect("the topic is made");
    }
}

fn committed(log: &str) -> BTreeMap<i32, i64> {
    let consumer: BaseConsumer<Silent> = config(log)
        .set("group.id", "campaign-group")
        .create_with_context(Silent)
        .expect("a consumer");
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_range(ALERTS, 0, PARTITIONS - 1);
    let told = consumer.committed_offsets(partitions, crate::house::PATIENCE);
    let told = told.expect("the group's coordinator answers");
    let next = told.elements().into_iter().filter_map(|partition| {
        let next = partition.offset().to_raw().filter(|next| 0 <= *next)?;
        Some((partition.partition(), next))
    });
    next.collect()
}

/// A member's number, and where it writes down what it does.
struct Member(usize, Arc<Mutex<Vec<GroupEvent>>>);

impl Member {
    fn note(&self, event: GroupEvent) {
        self.1.lock().expect("no holder panics").push(event);
    }
}

impl ClientContext for Member {
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            for partition in partitions.elements() {
                self.note(GroupEvent::Assigned {
                    member: self.0,
                    partition: partition.partition(),
                });
            }
        }
    }
}

fn consume(log: &str, member: Member, stop: &AtomicBool) {
    let consumer: BaseConsumer<Member> = config(log)
        .set("group.id", "campaign-group")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "500")
        .create_with_context(member)
        .expect("a consumer");
    consumer.subscribe(&[ALERTS]).expect("subscribed");
    let mut uncommitted = 0;
    while !stop.load(Ordering::SeqCst) {
        let Some(Ok(record)) = consumer.poll(POLL) else {
            continue;
        };
        let member = &**consumer.context();
        let (partition, offset) = (record.partition(), record.offset());
        member.note(GroupEvent::Read {
            member: member.0,
            partition,
            offset,
        });
        uncommitted += 1;
        if COMMIT_EVERY <= uncommitted {
            uncommitted = 0;
            // A commit that a rebalance overtook is refused, and may be.
            if consumer.commit_message(&record, CommitMode::Sync).is_ok() {
                let next = offset + 1;
                member.note(GroupEvent::Committed { partition, next });
            }
        }
    }
}

/// Copies the ids of alerts, each exactly once, until an error that only a new producer gets over.
fn copy(log: &str, stop: &AtomicBool) -> KafkaResult<()> {
    let producer: BaseProducer<Silent> = config(log)
        .set("transactional.id", "campaign-copier")
        .set("transaction.timeout.ms", "10000")
        .set("linger.ms", "0")
        .create_with_context(Silent)?;
    producer.init_transactions(WITHIN)?;
    let consumer: BaseConsumer<Silent> = config(log)
        .set("group.id", "campaign-copier")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "500")
        .create_with_context(Silent)?;
    consumer.subscribe(&[ALERTS])?;
    while !stop.load(Ordering::SeqCst) {
        let mut batch = Vec::new();
        let mut offsets = TopicPartitionList::new();
        while batch.len() < COPIED_AT_ONCE {
            let Some(record) = consumer.poll(POLL) else {
                break;
            };
            let record = record?;
            let (partition, next) = (record.partition(), Offset::Offset(record.offset() + 1));
            match offsets.find_partition(ALERTS, partition) {
                Some(mut known) => known.set_offset(next)?,
                None => offsets.add_partition_offset(ALERTS, partition, next)?,
            }
            batch.push((partition, id_of(&record).unwrap_or_default()));
        }
        if batch.is_empty() {
            continue;
        }
        producer.begin_transaction()?;
        for (partition, id) in &batch {
            let record = BaseRecord::<(), _>::to(COPIES)
                .partition(*partition)
                .payload(id);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        let group = consumer.group_metadata().ok_or(KafkaError::Canceled)?;
        producer.send_offsets_to_transaction(&offsets, &group, WITHIN)?;
        // An error leaves it open what became of it; the next producer's init ends it either way.
        producer.commit_transaction(WITHIN)?;
    }
    Ok(())
}
