//! Fan-out: what one delivery of an alert to one socket costs the gateway in processor time, and what an idle socket
//! costs it in memory; beside an epoll loop that writes a prepared frame of the same length to as many sockets.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use event_model::{
    AlertRaised, Event, EventId, EventTime, House, PARTITIONS, RETENTION_DEFAULT, SpringTypes,
    Status, Text, encode, expected_topics, partition_for,
};
use log_core::ids::TimestampMs;
use log_core::record::{BatchBuilder, NewRecord};
use serde::Serialize;
use service_kit::clock;

use crate::audience::{Audience, check_open_files};
use crate::floor::{Floor, Verdict};
use crate::kafka_client::{KafkaClient, produce_frame};
use crate::machine::{processor_time, proportional_memory};
use crate::percentiles::{Percentiles, Samples, micros};
use crate::raw_server;
use crate::services::{BenchEnv, Service};
use crate::swarm::{self, SubscriptionIds};
use crate::tokens;

const GATHER_WITHIN: Duration = Duration::from_secs(120);
const ROUND_WITHIN: Duration = Duration::from_secs(30);
/// Two heart-beats at 25 s, the first of which begins when the last socket is in.
const BEATS_WITHIN: Duration = Duration::from_secs(90);
const IDLE_BEATS: u32 = 2;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "fan-out")]
pub(crate) struct Options {
    /// How many sockets, each in its turn.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000])]
    sockets: Vec<usize>,
    /// Over how many lines they are spread, each in its turn.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100])]
    lines: Vec<usize>,
    /// How the sockets name their subscriptions, each in its turn.
    #[arg(long, value_delimiter = ',', value_enum, default_values = ["unique", "ten", "equal"])]
    ids: Vec<SubscriptionIds>,
    /// Deliveries of each measure: the kernel counts processor time in 10 ms, so few would measure its rounding.
    #[arg(long, default_value_t = 200_000)]
    deliveries: usize,
    /// Leave out the memory of idle sockets, which takes two heart-beats of 25 s.
    #[arg(long)]
    no_memory: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    measures: Vec<Measure>,
    memory: Vec<Memory>,
}

#[derive(Debug, Serialize)]
struct Measure {
    sockets: usize,
    lines: usize,
    subscription_ids: SubscriptionIds,
    /// Alerts to each line, one after the other.
    rounds: u32,
    frame_bytes: usize,
    lost: u64,
    duplicated: u64,
    gateway: Cost,
    raw: Cost,
    floor: Verdict,
    ratio_cpu: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Cost {
    cpu_us_per_delivery: f64,
    /// From the append, or the command to the raw loop, until every socket has its frame.
    round: Percentiles,
}

#[derive(Debug, Serialize)]
struct Memory {
    sockets: usize,
    empty_bytes: u64,
    /// After one alert and two heart-beats to all.
    full_bytes: u64,
    bytes_per_socket: u64,
}

pub(crate) fn run(options: &Options, env: &BenchEnv, idle: &Floor) -> Result<Report> {
    let mut report = Report {
        measures: Vec::new(),
        memory: Vec::new(),
    };
    for sockets in options.sockets.iter().copied() {
        check_open_files(sockets)?;
        measure_size(sockets, options, env, idle, &mut report)?;
    }
    Ok(report)
}

/// A fresh gateway for each size, so that its memory was nobody's before.
fn measure_size(
    sockets: usize,
    options: &Options,
    env: &BenchEnv,
    idle: &Floor,
    report: &mut Report,
) -> Result<()> {
    let log = env.log(1)?;
    let (_, leader) = log.leader()?;
    let mut caller = Caller::connect(leader)?;
    let gateway = env.gateway(&log.bootstrap())?;
    if !options.no_memory {
        report
            .memory
            .push(measure_memory(sockets, &gateway, &mut caller)?);
    }
    for lines in options.lines.iter().copied() {
        for ids in options.ids.iter().copied() {
            let audience = swarm::Audience::Stomp { lines, ids };
            report.measures.push(measure(
                sockets,
                lines,
                ids,
                audience,
                options,
                &gateway,
                &mut caller,
                idle,
            )?);
        }
    }
    Ok(())
}

fn measure_memory(sockets: usize, gateway: &Service, caller: &mut Caller) -> Result<Memory> {
    let empty_bytes = proportional_memory(gateway.pid())?;
    let audience = swarm::Audience::Stomp {
        lines: 1,
        ids: SubscriptionIds::Unique,
    };
    let mut audience = Audience::connect(gateway.address, sockets, audience, GATHER_WITHIN)?;
    caller.raise_in(1)?;
    audience.wait_for_round(1, ROUND_WITHIN)?;
    audience.wait_for_beats(IDLE_BEATS, BEATS_WITHIN)?;
    let full_bytes = proportional_memory(gateway.pid())?;
    audience.close(ROUND_WITHIN)?;
    let bytes_per_socket = full_bytes.saturating_sub(empty_bytes) / sockets as u64;
    Ok(Memory {
        sockets,
        empty_bytes,
        full_bytes,
        bytes_per_socket,
    })
}

#[expect(
    clippy::too_many_arguments,
    reason = "each is one axis of the measure or one of its parts"
)]
fn measure(
    sockets: usize,
    lines: usize,
    ids: SubscriptionIds,
    audience: swarm::Audience,
    options: &Options,
    gateway: &Service,
    caller: &mut Caller,
    idle: &Floor,
) -> Result<Measure> {
    let rounds = u32::try_from((options.deliveries / sockets).max(2))?;
    let mut heard_by = Audience::connect(gateway.address, sockets, audience, GATHER_WITHIN)?;
    // The first round is not measured: it warms up what is made once.
    caller.raise_in(lines)?;
    heard_by.wait_for_round(1, ROUND_WITHIN)?;
    let cost = rounds_of(rounds, sockets, gateway.pid(), &mut heard_by, || {
        caller.raise_in(lines)
    })?;
    let heard = heard_by.close(ROUND_WITHIN)?;
    let expected = u64::from(rounds + 1) * sockets as u64;
    let frame_bytes = usize::try_from(heard.wire_bytes / heard.messages.max(1))?;
    let raw = measure_raw(sockets, rounds, frame_bytes)?;
    Ok(Measure {
        sockets,
        lines,
        subscription_ids: ids,
        rounds,
        frame_bytes,
        lost: expected.saturating_sub(heard.messages),
        duplicated: heard.messages.saturating_sub(expected),
        gateway: cost,
        raw,
        floor: idle.write_verdict(raw.cpu_us_per_delivery),
        ratio_cpu: (cost.cpu_us_per_delivery / raw.cpu_us_per_delivery * 100.0).round() / 100.0,
    })
}

/// Round after round: each begins when every socket has heard the one before.
fn rounds_of(
    rounds: u32,
    sockets: usize,
    pid: u32,
    audience: &mut Audience,
    mut begin: impl FnMut() -> Result<()>,
) -> Result<Cost> {
    let mut samples = Samples::with_capacity(rounds as usize);
    let used_before = processor_time(pid)?;
    for round in 0..rounds {
        let begun = clock::steady();
        begin()?;
        // One round came before the first.
        let ended = audience.wait_for_round(round + 2, ROUND_WITHIN)?;
        samples.push(ended.saturating_duration_since(begun));
    }
    let used = processor_time(pid)?.saturating_sub(used_before);
    let deliveries = rounds * u32::try_from(sockets)?;
    let round = samples.percentiles().context("no rounds")?;
    Ok(Cost {
        cpu_us_per_delivery: cpu_per(used, deliveries),
        round,
    })
}

/// With two digits behind the point.
fn cpu_per(used: Duration, deliveries: u32) -> f64 {
    (micros(used) / f64::from(deliveries) * 100.0).round() / 100.0
}

fn measure_raw(sockets: usize, rounds: u32, frame_bytes: usize) -> Result<Cost> {
    let mut server = RawServer::start(&raw_server::Options {
        sockets,
        frame_bytes,
        sync: None,
    })?;
    let audience = swarm::Audience::Raw {
        message_bytes: frame_bytes,
    };
    let mut audience = Audience::connect(server.address, sockets, audience, GATHER_WITHIN)?;
    server.wait_until_ready()?;
    server.write_round()?;
    audience.wait_for_round(1, ROUND_WITHIN)?;
    let pid = server.child.id();
    let cost = rounds_of(rounds, sockets, pid, &mut audience, || server.write_round())?;
    let heard = audience.close(ROUND_WITHIN)?;
    ensure!(
        heard.least == rounds + 1 && heard.most == rounds + 1,
        "the raw loop lost or doubled frames: {heard:?}"
    );
    Ok(cost)
}

/// The raw loop in its process.
pub(crate) struct RawServer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl RawServer {
    pub(crate) fn start(options: &raw_server::Options) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("raw-server")
            .args(["--sockets", &options.sockets.to_string()]);
        command.args(["--frame-bytes", &options.frame_bytes.to_string()]);
        if let Some(file) = &options.sync {
            command.arg("--sync").arg(file);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the raw loop")?;
        let input = child.stdin.take().context("the raw loop's input")?;
        let mut output = BufReader::new(child.stdout.take().context("the raw loop's output")?);
        let mut address = String::new();
        output.read_line(&mut address)?;
        let address = address.trim().parse().context("the raw loop's address")?;
        Ok(Self {
            child,
            input,
            output,
            address,
        })
    }

    pub(crate) fn wait_until_ready(&mut self) -> Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(line == "ready\n", "the raw loop said {line:?}");
        Ok(())
    }

    pub(crate) fn write_round(&mut self) -> Result<()> {
        Ok(self.input.write_all(b"go\n")?)
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        // Ended already is as good.
        if self.child.kill().is_ok() {
            let _ended = self.child.wait().is_ok();
        }
    }
}

/// Appends alerts as the api would, without the api: what is measured begins at the log.
struct Caller {
    client: KafkaClient,
    raised: u64,
}

impl Caller {
    /// Makes the topics as well.
    fn connect(log: SocketAddr) -> Result<Self> {
        let mut client = KafkaClient::connect(log)?;
        for topic in expected_topics(1, RETENTION_DEFAULT) {
            client.create_topic(&topic)?;
        }
        Ok(Self { client, raised: 0 })
    }

    /// One alert in each of the first so many lines.
    fn raise_in(&mut self, lines: usize) -> Result<()> {
        let mut frames = Vec::new();
        for line in 0..lines {
            frames.extend(self.alert(line)?);
        }
        self.client.send(&frames)?;
        for _ in 0..lines {
            self.client.acknowledged()?;
        }
        Ok(())
    }

    fn alert(&mut self, line: usize) -> Result<Vec<u8>> {
        self.raised += 1;
        let at = EventTime::from_millis(clock::wall_ms());
        let mut random = [0; 10];
        random[2..].copy_from_slice(&self.raised.to_be_bytes());
        let line = tokens::line(line)?;
        let partition = partition_for(&line, PARTITIONS);
        let alert = AlertRaised {
            id: EventId::new(at, random),
            line,
            house: House::new("101").context("a house")?,
            text: Text::new("Smoke in the stairwell, third floor").0,
            position: None,
            at,
            status: Status::Actual,
            warnings: Vec::new(),
        };
        let record = encode(&Event::Raised(alert), SpringTypes::Written, None);
        let headers = record
            .headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Some(Bytes::from(value))));
        let batch = BatchBuilder::plain()
            .push(NewRecord {
                timestamp: TimestampMs(record.timestamp.as_millis()),
                key: Some(record.key.into()),
                value: Some(record.value.into()),
                headers: headers.collect(),
            })
            .build();
        produce_frame(record.topic.name(), partition, batch)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fan-out, one gateway process on a log of one node")?;
        for measure in &self.measures {
            write!(f, "\n{measure}")?;
        }
        for memory in &self.memory {
            write!(f, "\n{memory}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sockets,
            lines,
            subscription_ids,
            rounds,
            frame_bytes,
            lost,
            duplicated,
            ..
        } = self;
        writeln!(
            f,
            "  {sockets} sockets on {lines} line(s), subscription ids {subscription_ids:?}: {rounds} rounds of \
                     {frame_bytes} bytes, lost {lost}, duplicated {duplicated}"
        )?;
        writeln!(f, "    gateway  {}", self.gateway)?;
        writeln!(f, "    raw      {}", self.raw)?;
        write!(
            f,
            "    cpu {} times the raw loop's (target 2); {}",
            self.ratio_cpu, self.floor
        )
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cpu {} us/delivery  round {}",
            self.cpu_us_per_delivery, self.round
        )
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sockets,
            bytes_per_socket,
            ..
        } = self;
        let (empty, full) = (self.empty_bytes / 1_024, self.full_bytes / 1_024);
        write!(
            f,
            "  {sockets} idle sockets: {empty} KiB -> {full} KiB, {bytes_per_socket} bytes a socket (target 10240)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_shared_by_the_deliveries() {
        assert_eq!(cpu_per(Duration::from_millis(1_400), 200_000), 7.0);
        assert_eq!(cpu_per(Duration::from_millis(1_430), 200_000), 7.15);
    }
}
