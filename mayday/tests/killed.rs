//! SIGKILL at a random moment, again and again: what was acknowledged stays, as it was, where it was, in order.
//!
//! `KILL_ROUNDS=50 cargo test -p mayday --test killed` runs as many rounds; `KILL_SEED` chooses the moments.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};

/// Callers that post one call after another, each at once after the last answer: that many are in flight at the kill.
const CALLERS: usize = 24;
const ROUNDS_DEFAULT: u64 = 6;

/// Where a record stands.
type RecordPosition = (String, i32, i64);

/// A record as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    id: String,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// A call that was answered with 201.
#[derive(Clone, Debug)]
struct Acknowledged {
    id: String,
    place: RecordPosition,
    line: String,
    sequence: u64,
}

#[test]
fn what_was_acknowledged_or_read_before_a_kill_is_there_after_it_unchanged_and_in_order() {
    let rounds = from_environment("KILL_ROUNDS", ROUNDS_DEFAULT);
    let seed = from_environment("KILL_SEED", 0x6d61_7964_6179);
    let mut moments = StdRng::seed_from_u64(seed);
    let (_keep, data) = house::folder();
    let sequences = AtomicU64::new(0);
    let mut acknowledged: Vec<Acknowledged> = Vec::new();
    let mut seen: BTreeMap<RecordPosition, Seen> = BTreeMap::new();

    for round in 1..=rounds {
        let (answers, read) = post_until_killed(&data, &sequences, &mut moments);
        assert!(
            !answers.is_empty(),
            "round {round}: nothing was acknowledged, so nothing was tested"
        );
        acknowledged.extend(answers);
        merge(&mut seen, read);

        let after = read_back(&data);
        let again = format!(
            "again: KILL_SEED={seed} KILL_ROUNDS={round} cargo test -p mayday --test killed"
        );
        for (place, before) in &seen {
            assert_eq!(
                after.get(place),
                Some(before),
                "{place:?} was read before the kill of round {round}; {again}"
            );
        }
        for call in &acknowledged {
            let id = after.get(&call.place).map(|seen| seen.id.as_str());
            assert_eq!(
                id,
                Some(call.id.as_str()),
                "{call:?} is missing after the kill of round {round}; {again}"
            );
        }
        merge(&mut seen, after);
    }

    assert_each_line_in_order(&acknowledged);
    assert_no_id_twice(&acknowledged, &seen);
    println!(
        "{} calls acknowledged over {rounds} kills, {} records read back",
        acknowledged.len(),
        seen.len()
    );
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

fn merge(seen: &mut BTreeMap<RecordPosition, Seen>, more: BTreeMap<RecordPosition, Seen>) {
    for (place, record) in more {
        let known = seen.entry(place.clone()).or_insert_with(|| record.clone());
        assert_eq!(*known, record, "{place:?} changed");
    }
}

fn post_until_killed(
    data: &Path,
    sequences: &AtomicU64,
    moments: &mut StdRng,
) -> (Vec<Acknowledged>, BTreeMap<RecordPosition, Seen>) {
    let running = house::start(data);
    let api = running.api.clone();
    let killed = AtomicBool::new(false);
    let answers = Mutex::new(Vec::new());
    let in_flight = AtomicU64::new(0);
    let reader = Reader::start(&running.log);
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (api, killed, answers, in_flight) = (&api, &killed, &answers, &in_flight);
            scope.spawn(move || call_until(api, caller, sequences, killed, answers, in_flight));
        }
        wait_until("the first answers", || !answers.lock().unwrap().is_empty());
        thread::sleep(Duration::from_millis(moments.random_range(0..400)));
        wait_until("20 calls in flight", || {
            20 <= in_flight.load(Ordering::SeqCst)
        });
        running.kill();
        killed.store(true, Ordering::SeqCst);
    });
    (answers.into_inner().unwrap(), reader.stop())
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..60_000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("{what}: not within a minute");
}

/// Posts as one house after another of one line, in sequence, until the kill.
fn call_until(
    api: &str,
    caller: usize,
    sequences: &AtomicU64,
    killed: &AtomicBool,
    answers: &Mutex<Vec<Acknowledged>>,
    in_flight: &AtomicU64,
) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let line = format!("line-{caller}");
    while !killed.load(Ordering::SeqCst) {
        let sequence = sequences.fetch_add(1, Ordering::SeqCst);
        let house = format!("h{sequence}");
        let body = json!({ "line": line, "house": house, "text": sequence.to_string() });
        in_flight.fetch_add(1, Ordering::SeqCst);
        let bearer = format!("Bearer {}", house::token(&line, &house));
        let answered = agent
            .post(format!("{api}/alert"))
            .header("Authorization", &bearer)
            .send_json(&body);
        in_flight.fetch_sub(1, Ordering::SeqCst);
        let Ok(mut answer) = answered else { continue };
        if answer.status() != 201 {
            continue;
        }
        // An answer cut off by the kill was never read whole: nobody was told.
        let Ok(told) = answer.body_mut().read_json::<Value>() else {
            continue;
        };
        let place = (
            told["topic"].as_str().expect("a topic").to_owned(),
            i32::try_from(told["partition"].as_i64().expect("a partition")).expect("small"),
            told["offset"].as_i64().expect("an offset"),
        );
        let id = told["id"].as_str().expect("an id").to_owned();
        answers.lock().unwrap().push(Acknowledged {
            id,
            place,
            line: line.clone(),
            sequence,
        });
    }
}

/// Reads everything while calls come in, to know what was readable before the kill.
struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<RecordPosition, Seen>>,
}

impl Reader {
    fn start(log: &str) -> Self {
        let consumer = consumer(log);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut seen = BTreeMap::new();
            while !stopped.load(Ordering::SeqCst) {
                take_next(&consumer, &mut seen);
            }
            seen
        });
        Self { stop, thread }
    }

    fn stop(self) -> BTreeMap<RecordPosition, Seen> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the reader ends")
    }
}

fn consumer(log: &str) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", log)
        .set("group.id", "killed-test")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "20")
        .create()
        .expect("a consumer");
    let mut all = TopicPartitionList::new();
    for topic in ["an-alert", "an-accept"] {
        for partition in 0..2 {
            all.add_partition_offset(topic, partition, Offset::Beginning)
                .expect("a partition");
        }
    }
    consumer.assign(&all).expect("assigned");
    consumer
}

fn take_next(consumer: &BaseConsumer, seen: &mut BTreeMap<RecordPosition, Seen>) {
    let Some(Ok(record)) = consumer.poll(Duration::from_millis(20)) else {
        return;
    };
    let place = (
        record.topic().to_owned(),
        record.partition(),
        record.offset(),
    );
    let id = record
        .headers()
        .and_then(|headers| headers.iter().find(|header| header.key == "ce_id"));
    let id = id
        .and_then(|header| header.value)
        .expect("every record of ours has an id");
    let now = Seen {
        id: String::from_utf8(id.to_vec()).expect("text"),
        key: record.key().unwrap_or_default().to_vec(),
        value: record.payload().unwrap_or_default().to_vec(),
    };
    let before = seen.insert(place.clone(), now.clone());
    assert!(
        before.is_none_or(|before| before == now),
        "{place:?} was read twice with different content"
    );
}

/// Everything that is there after a new start.
fn read_back(data: &Path) -> BTreeMap<RecordPosition, Seen> {
    let running = house::start(data);
    let consumer = consumer(&running.log);
    let mut ends = BTreeMap::new();
    for topic in ["an-alert", "an-accept"] {
        for partition in 0..2 {
            let (_, end) = consumer
                .fetch_watermarks(topic, partition, house::PATIENCE)
                .expect("watermarks");
            ends.insert((topic.to_owned(), partition), end);
        }
    }
    let mut seen = BTreeMap::new();
    let is_complete = |seen: &BTreeMap<RecordPosition, Seen>| {
        ends.iter().all(|((topic, partition), end)| {
            *end == 0 || seen.contains_key(&(topic.clone(), *partition, end - 1))
        })
    };
    for _ in 0..100_000 {
        if is_complete(&seen) {
            assert_eq!(running.interrupt(), Some(0), "a clean end");
            return seen;
        }
        take_next(&consumer, &mut seen);
    }
    panic!("not everything up to {ends:?} could be read");
}

/// Each line's calls were made one after the other: their offsets must grow with their sequence.
fn assert_each_line_in_order(acknowledged: &[Acknowledged]) {
    let mut lines: BTreeMap<&str, Vec<&Acknowledged>> = BTreeMap::new();
    for call in acknowledged {
        lines.entry(&call.line).or_default().push(call);
    }
    for (line, mut calls) in lines {
        calls.sort_by_key(|call| call.sequence);
        for pair in calls.windows(2) {
            assert!(
                pair[0].place.2 < pair[1].place.2,
                "{line}: {:?} stands after {:?}",
                pair[0],
                pair[1]
            );
        }
    }
}

fn assert_no_id_twice(acknowledged: &[Acknowledged], seen: &BTreeMap<RecordPosition, Seen>) {
    let mut places: BTreeMap<&str, Vec<&RecordPosition>> = BTreeMap::new();
    for (place, record) in seen {
        places.entry(&record.id).or_default().push(place);
    }
    for call in acknowledged {
        assert_eq!(
            places[call.id.as_str()],
            [&call.place],
            "an acknowledged call stands in the log once"
        );
    }
}
