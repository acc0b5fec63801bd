//! Append: how long from when a record was due until it is acknowledged with acks=all by a log of one node or more, beside a raw loop that appends
//! as many bytes to a preallocated file and syncs them, at the same rate, on the same disk, in the same run.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use event_model::{Topic, expected_topics};
use log_core::ids::TimestampMs;
use log_core::record::{BatchBuilder, NewRecord};
use serde::Serialize;
use service_kit::clock;

use crate::floor::{Floor, Verdict};
use crate::kafka_client::{KafkaClient, acknowledgement, correlate, produce_frame};
use crate::machine::processor_time;
use crate::percentiles::{Percentiles, Samples, micros};
use crate::schedule::Schedule;
use crate::services::{BenchEnv, Log};

/// Connections of the flat-out measure, and requests in flight on each: enough that the log never waits for the client.
const CONNECTIONS: u32 = 4;
const IN_FLIGHT: u32 = 128;
/// The raw loop's file: it is overwritten from the start when it is full.
const RAW_FILE_BYTES: u64 = 16 << 20;
/// The topic that is written to.
const TOPIC: Topic = Topic::Alert;
/// Not measured: connections, caches and the first segment.
const WARM_UP: u32 = 200;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "append")]
pub(crate) struct Options {
    /// Records a second, each rate in its turn; flat out follows.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1_000])]
    rates: Vec<u32>,
    /// How long each rate is held.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Bytes of a record's value.
    #[arg(long, default_value_t = 300)]
    record_bytes: usize,
    /// Nodes of the log, all on this machine and its disk.
    #[arg(long, default_value_t = 1)]
    nodes: u32,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    nodes: u32,
    record_bytes: usize,
    /// The record in its batch, and what the raw loop appends.
    batch_bytes: usize,
    floor: Verdict,
    rates: Vec<AtRate>,
    flat_out: FlatOut,
}

#[derive(Debug, Serialize)]
struct AtRate {
    per_second: u32,
    raw: Percentiles,
    log: Percentiles,
    /// Processor time of the log's processes.
    log_cpu_us_per_record: f64,
    ratio_p50: f64,
}

#[derive(Debug, Serialize)]
struct FlatOut {
    raw_per_second: f64,
    raw: Percentiles,
    raw_cpu_us_per_record: f64,
    connections: u32,
    in_flight: u32,
    log_per_second: f64,
    /// From when a request was sent; with so many in flight mostly their queue.
    log: Percentiles,
    log_cpu_us_per_record: f64,
}

pub(crate) fn run(options: &Options, env: &BenchEnv, idle: &Floor) -> Result<Report> {
    let log = env.log(options.nodes)?;
    let batch = batch(options.record_bytes);
    let (_, leader) = log.leader()?;
    let mut client = KafkaClient::connect(leader)?;
    create_topic(&mut client, options.nodes)?;
    for _ in 0..WARM_UP {
        client.produce(TOPIC.name(), 0, batch.clone())?;
    }
    let mut raw = RawFile::create(&env.folder().join("raw"))?;
    let mut rates = Vec::new();
    for per_second in &options.rates {
        rates.push(at_rate(
            *per_second,
            options.seconds,
            &log,
            &batch,
            &mut raw,
        )?);
    }
    let flat_out = flat_out(options.seconds, &log, &batch, &mut raw)?;
    Ok(Report {
        nodes: options.nodes,
        record_bytes: options.record_bytes,
        batch_bytes: batch.len(),
        floor: idle.append_verdict(flat_out.raw.p50_us),
        rates,
        flat_out,
    })
}

/// The median of the raw loop alone, on a record as the run would append it, for a second.
pub(crate) fn raw_median_us(path: &Path) -> Result<f64> {
    let mut raw = RawFile::create(path)?;
    let samples = raw.append_flat_out(clock::steady() + Duration::from_secs(1), &[b'x'; 400])?;
    Ok(samples.percentiles().context("no samples")?.p50_us)
}

fn create_topic(client: &mut KafkaClient, nodes: u32) -> Result<()> {
    let retention = Duration::from_secs(24 * 60 * 60);
    let topics = expected_topics(nodes, retention);
    let topic = topics
        .iter()
        .find(|topic| topic.name == TOPIC.name())
        .context("the topic is expected")?;
    client.create_topic(topic)
}

/// One record in a batch of its own, as a call for help comes.
fn batch(record_bytes: usize) -> Bytes {
    let timestamp = TimestampMs(clock::wall_ms());
    let key = Some(Bytes::from_static(b"bench-0"));
    let value = Some(Bytes::from(vec![b'x'; record_bytes]));
    BatchBuilder::plain()
        .push(NewRecord {
            timestamp,
            key,
            value,
            headers: Vec::new(),
        })
        .build()
}

fn at_rate(
    per_second: u32,
    seconds: u32,
    log: &Log,
    batch: &Bytes,
    raw: &mut RawFile,
) -> Result<AtRate> {
    let schedule = Schedule::new(clock::steady(), per_second, seconds);
    let raw = raw
        .append_on_schedule(&schedule, batch)?
        .percentiles()
        .context("no samples")?;
    let (_, leader) = log.leader()?;
    let used_before = log.processor_time()?;
    let schedule = Schedule::new(clock::steady(), per_second, seconds);
    let log_samples = produce_on_schedule(&schedule, leader, batch)?;
    let used = log.processor_time()?.saturating_sub(used_before);
    let log = log_samples.percentiles().context("no samples")?;
    Ok(AtRate {
        per_second,
        raw,
        log,
        log_cpu_us_per_record: per(used, schedule.count),
        ratio_p50: ratio(log.p50_us, raw.p50_us),
    })
}

/// One thread sends when a request is due, this one receives: a slow answer delays no later request.
fn produce_on_schedule(schedule: &Schedule, address: SocketAddr, batch: &Bytes) -> Result<Samples> {
    let mut client = KafkaClient::connect(address)?;
    let mut sender = client.sender()?;
    let mut frame = produce_frame(TOPIC.name(), 0, batch.clone())?;
    let schedule = *schedule;
    let sending = thread::spawn(move || -> std::io::Result<()> {
        for request in 0..schedule.count {
            correlate(&mut frame, request.cast_signed());
            schedule.wait_for(request);
            sender.write_all(&frame)?;
        }
        Ok(())
    });
    let mut samples = Samples::with_capacity(schedule.count as usize);
    for request in 0..schedule.count {
        let answered = client.acknowledged()?;
        ensure!(
            answered == request.cast_signed(),
            "answer {answered} came in the place of {request}"
        );
        samples.push(clock::steady().saturating_duration_since(schedule.due(request)));
    }
    sending
        .join()
        .expect("the sender does not panic")
        .context("send to the log")?;
    Ok(samples)
}

fn flat_out(seconds: u32, log: &Log, batch: &Bytes, raw: &mut RawFile) -> Result<FlatOut> {
    let time = Duration::from_secs(seconds.into());
    let own = std::process::id();
    let used_before = processor_time(own)?;
    let raw_samples = raw.append_flat_out(clock::steady() + time, batch)?;
    let raw_used = processor_time(own)?.saturating_sub(used_before);
    let raw = raw_samples.percentiles().context("no samples")?;

    let used_before = log.processor_time()?;
    let until = clock::steady() + time;
    let (_, address) = log.leader()?;
    let threads = (0..CONNECTIONS).map(|_| {
        let batch = batch.clone();
        thread::spawn(move || keep_in_flight(until, address, &batch))
    });
    let mut samples = Samples::default();
    for thread in threads.collect::<Vec<_>>() {
        samples.extend(
            thread
                .join()
                .expect("a connection's thread does not panic")?,
        );
    }
    let used = log.processor_time()?.saturating_sub(used_before);
    let log = samples.percentiles().context("no samples")?;
    Ok(FlatOut {
        raw_per_second: raw.count as f64 / time.as_secs_f64(),
        raw_cpu_us_per_record: per(raw_used, u32::try_from(raw.count)?),
        raw,
        connections: CONNECTIONS,
        in_flight: IN_FLIGHT,
        log_per_second: log.count as f64 / time.as_secs_f64(),
        log_cpu_us_per_record: per(used, u32::try_from(log.count)?),
        log,
    })
}

/// Keeps the connection full: as many requests go out as answers have come in, with one write.
fn keep_in_flight(until: Instant, address: SocketAddr, batch: &Bytes) -> Result<Samples> {
    let mut client = KafkaClient::connect(address)?;
    let frame = produce_frame(TOPIC.name(), 0, batch.clone())?;
    let mut sent_at = std::collections::VecDeque::new();
    let mut samples = Samples::default();
    let mut wanted = IN_FLIGHT;
    loop {
        let now = clock::steady();
        if now < until {
            client.send(&frame.repeat(wanted as usize))?;
            sent_at.extend((0..wanted).map(|_| now));
        }
        if sent_at.is_empty() {
            return Ok(samples);
        }
        wanted = 1;
        client.acknowledged()?;
        let mut arrived = vec![sent_at.pop_front()];
        while let Some(answer) = client.buffered_answer() {
            acknowledgement(answer)?;
            arrived.push(sent_at.pop_front());
            wanted += 1;
        }
        let now = clock::steady();
        arrived
            .into_iter()
            .flatten()
            .for_each(|sent| samples.push(now.saturating_duration_since(sent)));
    }
}

/// The floor: a file that is there already, byte by byte, so that a sync writes data and no metadata.
#[derive(Debug)]
pub(crate) struct RawFile {
    file: File,
    position: u64,
}

impl RawFile {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let mut file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        let zeros = vec![0; 1 << 20];
        for _ in 0..RAW_FILE_BYTES / zeros.len() as u64 {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        Ok(Self { file, position: 0 })
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        if RAW_FILE_BYTES < self.position + length {
            self.position = 0;
        }
        self.file.write_all_at(bytes, self.position)?;
        self.file.sync_data()?;
        self.position += length;
        Ok(())
    }

    fn append_on_schedule(&mut self, schedule: &Schedule, bytes: &[u8]) -> Result<Samples> {
        let mut samples = Samples::with_capacity(schedule.count as usize);
        for request in 0..schedule.count {
            let due = schedule.wait_for(request);
            self.append(bytes)?;
            samples.push(clock::steady().saturating_duration_since(due));
        }
        Ok(samples)
    }

    fn append_flat_out(&mut self, until: Instant, bytes: &[u8]) -> Result<Samples> {
        let mut samples = Samples::default();
        loop {
            let begun = clock::steady();
            if until <= begun {
                return Ok(samples);
            }
            self.append(bytes)?;
            samples.push(clock::steady().saturating_duration_since(begun));
        }
    }
}

fn per(used: Duration, count: u32) -> f64 {
    if count == 0 {
        0.0
    } else {
        micros(used / count)
    }
}

fn ratio(measured: f64, floor: f64) -> f64 {
    (measured / floor * 100.0).round() / 100.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "append, acks=all, nodes: {}, records of {} bytes in batches of {} bytes",
            self.nodes, self.record_bytes, self.batch_bytes
        )?;
        writeln!(f, "  {}", self.floor)?;
        for row in &self.rates {
            writeln!(f, "  {:>5}/s  raw  {}", row.per_second, row.raw)?;
            writeln!(
                f,
                "           log  {}  cpu {:.0} us/record",
                row.log, row.log_cpu_us_per_record
            )?;
            writeln!(
                f,
                "           p50 {} times the raw loop's (target {})",
                row.ratio_p50,
                ratio_target(self.nodes)
            )?;
        }
        let FlatOut {
            raw_per_second,
            raw,
            raw_cpu_us_per_record,
            connections,
            in_flight,
            log_per_second,
            log,
            log_cpu_us_per_record,
        } = &self.flat_out;
        writeln!(
            f,
            "  flat out raw  {raw_per_second:.0}/s  {raw}  cpu {raw_cpu_us_per_record:.0} us/record"
        )?;
        writeln!(
            f,
            "           log  {log_per_second:.0}/s  {log}  cpu {log_cpu_us_per_record:.0} us/record"
        )?;
        write!(
            f,
            "           ({connections} connections with {in_flight} requests in flight each)"
        )
    }
}

/// What the median may be of the raw loop's: a second disk and a network are in the way of three nodes.
fn ratio_target(nodes: u32) -> u32 {
    if nodes == 1 { 3 } else { 4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_file_is_written_where_it_is_allocated_and_never_grows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("raw");
        let mut raw = RawFile::create(&path).expect("created");
        raw.position = RAW_FILE_BYTES - 100;
        raw.append(&[7; 90]).expect("appended");
        raw.append(&[8; 90]).expect("appended from the start");
        let bytes = std::fs::read(&path).expect("read");
        assert_eq!(bytes.len() as u64, RAW_FILE_BYTES);
        assert_eq!((bytes[0], bytes[89], bytes[90]), (8, 8, 0));
        assert_eq!(bytes[bytes.len() - 100], 7);
    }

    #[test]
    fn processor_time_is_shared_by_the_records() {
        assert_eq!(per(Duration::from_millis(30), 1_000), 30.0);
        assert_eq!(per(Duration::from_millis(30), 0), 0.0);
        assert_eq!(ratio(250.0, 100.0), 2.5);
    }
}
