//! Producers that keep many produces in flight, and write down what they were told about each record.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::checker::{Outcome, Place, Record, Report};
use super::{TOPIC, wait_until};

/// Producers, each with a connection and an id of its own.
const PRODUCERS: usize = 6;
/// Keys of one producer: some for each partition.
const KEYS: u64 = 4;
/// Records that a producer has on their way; it sends another as soon as one is answered.
const WINDOW: u64 = 10;
/// As long as a call for help.
const VALUE_BYTES: usize = 300;
/// What a fault must find in flight at least.
pub const IN_FLIGHT: u64 = 20;
/// Acknowledged anew after a fault, these show that the cluster serves again.
const PROGRESS: u64 = 100;
/// Between two looks of a producer for room in its window. Longer starves the window, shorter only the processor.
const PAUSE: Duration = Duration::from_millis(4);
/// How long what is on its way may still take after the last fault.
const FLUSH_WITHIN: Duration = Duration::from_secs(120);

/// The running producers.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    resting: AtomicBool,
    /// Records handed to librdkafka, which is also the number of the next one.
    sent: AtomicU64,
    /// The highest number of an acknowledged record, plus one.
    acknowledged: AtomicU64,
    reports: Mutex<Vec<Report>>,
}

/// A record on its way.
struct Sent {
    number: u64,
    key: String,
    id: String,
}

struct Context(Arc<Shared>);

impl ClientContext for Context {
    /// librdkafka retries what it complains about; what came of it is in the delivery reports.
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        let outcome = match result {
            Ok(record) => {
                let next = sent.number + 1;
                self.0.acknowledged.fetch_max(next, Ordering::SeqCst);
                match record.offset() {
                    ..0 => Outcome::AcknowledgedSomewhere,
                    offset => Outcome::Acknowledged(Place(record.partition(), offset)),
                }
            }
            Err((error, _)) => Outcome::Refused(code_of(error)),
        };
        let Sent { key, id, .. } = *sent;
        let mut reports = self.0.reports.lock().expect("no holder panics");
        reports.push(Report { id, key, outcome });
    }
}

fn code_of(error: &KafkaError) -> String {
    let code = error.rdkafka_error_code();
    format!("{:?}", code.unwrap_or(RDKafkaErrorCode::Unknown))
}

impl Load {
    /// Begins to write.
    pub fn start(bootstrap: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let producer = |number| {
            let producer = producer(bootstrap, &shared);
            let shared = Arc::clone(&shared);
            thread::spawn(move || keep_producing(&producer, number, &shared))
        };
        let threads = (0..PRODUCERS).map(producer).collect();
        Self { shared, threads }
    }

    fn in_flight(&self) -> u64 {
        let reports = self.shared.reports.lock().expect("no holder panics");
        let reported = u64::try_from(reports.len()).expect("counted");
        self.shared
            .sent
            .load(Ordering::SeqCst)
            .saturating_sub(reported)
    }

    /// Waits until enough is in flight; the fault comes next.
    pub fn wait_until_in_flight(&self) {
        wait_until("enough produces are in flight", || {
            IN_FLIGHT <= self.in_flight()
        });
    }

    /// Waits until records are acknowledged that were sent after this was called.
    pub fn wait_for_progress(&self) {
        let now = self.shared.sent.load(Ordering::SeqCst);
        wait_until("records are acknowledged again", || {
            now + PROGRESS < self.shared.acknowledged.load(Ordering::SeqCst)
        });
    }

    /// Waits until so many bytes of values are acknowledged, all together.
    pub fn wait_for_bytes(&self, bytes: usize) {
        wait_until("enough is written", || {
            let reports = self.shared.reports.lock().expect("no holder panics");
            bytes <= reports.len() * VALUE_BYTES
        });
    }

    /// Waits until producers are told that records cannot be taken.
    pub fn wait_for_refusals(&self) {
        wait_until("records are refused", || {
            let reports = self.shared.reports.lock().expect("no holder panics");
            let refused = |report: &Report| matches!(report.outcome, Outcome::Refused(_));
            reports.iter().any(refused)
        });
    }

    /// Sends nothing until [`Load::go_on`], and waits until everything sent is acknowledged.
    pub fn rest(&self) {
        self.shared.resting.store(true, Ordering::SeqCst);
        wait_until("everything sent is acknowledged", || self.in_flight() == 0);
    }

    pub fn go_on(&self) {
        self.shared.resting.store(false, Ordering::SeqCst);
    }

    /// Sends no more, and waits for the report on every record.
    pub fn finish(self) -> Vec<Report> {
        self.shared.stopped.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a producer ends");
        }
        let mut reports = self.shared.reports.lock().expect("no holder panics");
        let reports = std::mem::take(&mut *reports);
        let sent = self.shared.sent.load(Ordering::SeqCst);
        assert_eq!(
            u64::try_from(reports.len()).expect("counted"),
            sent,
            "one report for each record"
        );
        reports
    }
}

/// As our services set their producers, but that a record is never given up.
fn producer(bootstrap: &str, shared: &Arc<Shared>) -> BaseProducer<Context> {
    super::client(bootstrap)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        // A few batches under way per connection, rather than one large one.
        .set("batch.num.messages", "3")
        .set("partitioner", "murmur2_random")
        .set("request.timeout.ms", "1000")
        .set("message.timeout.ms", "600000")
        .create_with_context(Context(Arc::clone(shared)))
        .expect("a producer")
}

fn keep_producing(producer: &BaseProducer<Context>, number: usize, shared: &Shared) {
    let mut sequence = 0;
    while !shared.stopped.load(Ordering::SeqCst) {
        while has_room(producer, shared) {
            send(producer, number, sequence, shared);
            sequence += 1;
        }
        producer.poll(Duration::ZERO);
        thread::sleep(PAUSE);
    }
    producer
        .flush(FLUSH_WITHIN)
        .expect("every record gets its report");
}

fn has_room(producer: &BaseProducer<Context>, shared: &Shared) -> bool {
    let in_flight = u64::try_from(producer.in_flight_count()).expect("a count");
    in_flight < WINDOW && !shared.resting.load(Ordering::SeqCst)
}

fn send(producer: &BaseProducer<Context>, number: usize, sequence: u64, shared: &Shared) {
    let key = format!("line-{number}-{}", sequence % KEYS);
    let id = format!("{number}.{sequence}");
    let sent = Box::new(Sent {
        number: shared.sent.fetch_add(1, Ordering::SeqCst),
        key: key.clone(),
        id: id.clone(),
    });
    let value = Record::value(&id, VALUE_BYTES);
    let record = BaseRecord::with_opaque_to(TOPIC, sent)
        .key(&key)
        .payload(&value);
    producer
        .send(record)
        .map_err(|(error, _)| error)
        .expect("librdkafka has room for the window");
}
