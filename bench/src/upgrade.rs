//! A rolling upgrade: the nodes of a log of three are stopped one at a time and started as a newer program, on the files
//! that they have, while a producer writes. In each mix of old and new nodes, nodes of both kinds lead: leaders are killed
//! until they have. Then every record is read back, and each node's files are verified and compared.
//!
//! Nothing is measured. The run fails where a record is lost, doubled or out of its order, where a mix does not serve,
//! or where the files are not what the newer program expects.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use event_model::ExpectedTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, InitProducerIdRequest};
use kafka_protocol::protocol::StrBytes;
use log_core::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use log_core::record::{BatchBuilder, BatchHeader, NewRecord, ProducerStamp, Records};
use serde::Serialize;
use service_kit::clock;

use crate::kafka_client::{KafkaClient, PRODUCE_VERSION, produce_request};
use crate::services::{BenchEnv, Log};

const NODES: u32 = 3;
const TOPIC: &str = "upgrade";
const PARTITIONS: u32 = 2;
/// ProducerReport under each leader before it is killed, or the next node stopped.
const RECORDS_UNDER_A_LEADER: u64 = 300;
/// Leaders that are killed in a mix until nodes of both kinds have led.
const KILLS_MAX: u32 = 20;
/// No record acknowledged, or no node leading, for so long fails the run.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const RETRY_PAUSE: Duration = Duration::from_millis(20);
const WRITE_EVERY: Duration = Duration::from_millis(1);
/// The producer's batch is in the log already: it was stored, and the answer was lost.
const DUPLICATE_SEQUENCE_NUMBER: i16 = 46;
const INIT_PRODUCER_ID_VERSION: i16 = 4;
const FETCH_VERSION: i16 = 12;
const FETCH_BYTES_MAX: i32 = 4 << 20;

/// What to upgrade from.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "upgrade", required = true, multiple = false)]
pub(crate) struct Options {
    /// The commit of the older program: its work tree is made and built beside this one, below target/upgrade.
    #[arg(long, value_name = "COMMIT")]
    from: Option<String>,
    /// Folder of the older program, already built.
    #[arg(long, value_name = "FOLDER")]
    old: Option<PathBuf>,
}

/// What the upgrade went through.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    from: String,
    mixes: Vec<Mix>,
    /// Records that were acknowledged, and read back.
    records: u64,
    /// Produce requests that were refused or not answered, and sent again.
    retries: u64,
    /// The longest time until a record was acknowledged, from its first try.
    longest_ms: u128,
    /// Nodes whose files are whole, and the same as the first one's.
    verified: usize,
}

/// A cluster of so many nodes of each kind.
#[derive(Debug, Serialize)]
struct Mix {
    old_nodes: usize,
    new_nodes: usize,
    /// Times that a node of each kind led, with records acknowledged under it.
    old_led: u32,
    new_led: u32,
}

pub(crate) fn run(options: &Options, env: &BenchEnv) -> Result<Report> {
    let old = options.programs()?;
    let mut cluster = Cluster {
        log: env.log_of(NODES, &old)?,
        is_new: vec![false; usize::try_from(NODES)?],
        env,
    };
    let (_, leader) = cluster.leader()?;
    let topic = ExpectedTopic {
        name: TOPIC,
        partitions: NonZeroU32::new(PARTITIONS).context("partitions")?,
        replication_factor: NODES,
        settings: Vec::new(),
    };
    KafkaClient::connect(leader)?.create_topic(&topic)?;
    let producer = Producer::start(cluster.log.clients(), new_producer_id(leader)?);
    let mut mixes = vec![cluster.live(&producer)?];
    while let Some(node) = cluster.next_to_upgrade()? {
        cluster.upgrade(node)?;
        mixes.push(cluster.live(&producer)?);
    }
    let written = producer.stop()?;
    for partition in 0..PARTITIONS {
        let (_, leader) = cluster.leader()?;
        let found = read_all(leader, partition)?;
        judge(partition, &found, &written)?;
    }
    Ok(Report {
        from: options.name(),
        mixes,
        records: written.records,
        retries: written.retries,
        longest_ms: written.longest.as_millis(),
        verified: cluster.verify()?,
    })
}

impl Options {
    fn name(&self) -> String {
        let folder = self.old.as_ref().map(|old| old.display().to_string());
        self.from.clone().or(folder).unwrap_or_default()
    }

    /// The folder of the older program, which is built first where a commit is named.
    fn programs(&self) -> Result<PathBuf> {
        match (&self.old, &self.from) {
            (Some(old), _) => Ok(old.clone()),
            (None, Some(commit)) => built(commit),
            (None, None) => bail!("--from or --old says what to upgrade from"),
        }
    }
}

/// The programs of a commit, in a work tree of its own. One that an earlier run made is used again.
fn built(commit: &str) -> Result<PathBuf> {
    let top = output("git", &["rev-parse", "--show-toplevel"])?;
    let name = format!("{commit}^{{commit}}");
    let commit = output("git", &["rev-parse", "--verify", &name])?;
    let tree = Path::new(&top).join("target/upgrade").join(&commit);
    if !tree.is_dir() {
        let tree = tree.display().to_string();
        output("git", &["worktree", "add", "--detach", &tree, &commit])?;
    }
    let manifest = tree.join("Cargo.toml").display().to_string();
    let target = tree.join("target").display().to_string();
    let build = ["build", "--release", "--package", "log-core"];
    let places = ["--manifest-path", &manifest, "--target-dir", &target];
    let status = Command::new("cargo").args(build).args(places).status()?;
    ensure!(status.success(), "cargo built no log-core of {commit}");
    Ok(tree.join("target/release"))
}

/// What a program prints, which must succeed.
fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let done = Command::new(program).args(arguments).output();
    let done = done.with_context(|| format!("start {program}"))?;
    ensure!(
        done.status.success(),
        "{program} {}: {}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// The nodes, and which of them are the newer program already.
struct Cluster<'a> {
    log: Log,
    is_new: Vec<bool>,
    env: &'a BenchEnv,
}

impl Cluster<'_> {
    /// Waits for a leader; its number, and where its clients connect.
    fn leader(&self) -> Result<(usize, SocketAddr)> {
        let deadline = clock::steady() + PATIENCE;
        loop {
            match self.log.leader() {
                Ok(leader) => return Ok(leader),
                Err(error) if deadline < clock::steady() => return Err(error),
                Err(_) => thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Followers first, as an operator does.
    fn next_to_upgrade(&self) -> Result<Option<usize>> {
        let (leader, _) = self.leader()?;
        let old = || (0..self.is_new.len()).filter(|node| !self.is_new[*node]);
        Ok(old().find(|node| *node != leader).or_else(|| old().next()))
    }

    fn upgrade(&mut self, node: usize) -> Result<()> {
        self.log.stop(node)?;
        self.log.change_program(node, self.env.programs());
        self.is_new[node] = true;
        let started = self.log.start_again(node, self.env);
        started.with_context(|| format!("node {} as the newer program", node + 1))
    }

    /// Kills leaders until a node of each kind that there is has led, and records were acknowledged under it.
    fn live(&mut self, producer: &Producer) -> Result<Mix> {
        let new_nodes = self.is_new.iter().filter(|is_new| **is_new).count();
        let mut mix = Mix {
            old_nodes: self.is_new.len() - new_nodes,
            new_nodes,
            old_led: 0,
            new_led: 0,
        };
        for _ in 0..=KILLS_MAX {
            producer.wait_for_more(RECORDS_UNDER_A_LEADER)?;
            let (leader, _) = self.leader()?;
            if self.is_new[leader] {
                mix.new_led += 1;
            } else {
                mix.old_led += 1;
            }
            if mix.is_lived_through() {
                return Ok(mix);
            }
            self.log.kill(leader);
            self.leader()?;
            self.log.start_again(leader, self.env)?;
        }
        bail!("after {KILLS_MAX} elections not both kinds have led: {mix}")
    }

    /// Ends all nodes, and looks at their files with the newer program; the number of nodes.
    fn verify(&mut self) -> Result<usize> {
        for node in 0..self.is_new.len() {
            self.log.stop(node)?;
        }
        let program = self.env.programs().join("log-core").display().to_string();
        let folders = self.log.folders();
        let folders = folders.iter().map(|folder| folder.display().to_string());
        let folders = folders.collect::<Vec<_>>();
        for folder in &folders {
            let against = ["verify", "--data", folder, "--against", &folders[0]];
            // A folder is locked while it is looked at.
            let alone = if *folder == folders[0] { 3 } else { 5 };
            output(&program, &against[..alone])?;
        }
        Ok(folders.len())
    }
}

impl Mix {
    fn is_lived_through(&self) -> bool {
        let led = |nodes, led| nodes == 0 || 0 < led;
        led(self.old_nodes, self.old_led) && led(self.new_nodes, self.new_led)
    }
}

fn new_producer_id(leader: SocketAddr) -> Result<ProducerStamp> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(60_000)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let answer = KafkaClient::connect(leader)?.ask(INIT_PRODUCER_ID_VERSION, &request)?;
    ensure!(
        answer.error_code == 0,
        "no producer id: error {}",
        answer.error_code
    );
    Ok(ProducerStamp {
        id: ProducerId(u64::try_from(answer.producer_id.0)?),
        epoch: ProducerEpoch(u16::try_from(answer.producer_epoch)?),
        base_sequence: None,
    })
}

/// An idempotent producer: one record at a time, sent again until it is acknowledged.
struct Producer {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<Result<ProducerReport>>,
}

/// What was acknowledged: the records 0 to `records`, by turns in each partition.
struct ProducerReport {
    records: u64,
    retries: u64,
    longest: Duration,
}

impl Producer {
    fn start(nodes: Vec<SocketAddr>, stamp: ProducerStamp) -> Self {
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let mut connection = Connection {
            nodes,
            node: 0,
            client: None,
        };
        let thread = thread::spawn(move || write_until(&stopped, &counted, &mut connection, stamp));
        Self {
            stop,
            acknowledged,
            thread,
        }
    }

    fn wait_for_more(&self, records: u64) -> Result<()> {
        let wanted = self.acknowledged.load(Ordering::Relaxed) + records;
        while self.acknowledged.load(Ordering::Relaxed) < wanted {
            ensure!(
                !self.thread.is_finished(),
                "the producer gave up after {} records",
                self.acknowledged.load(Ordering::Relaxed)
            );
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn stop(self) -> Result<ProducerReport> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the producer does not panic")
    }
}

fn write_until(
    stop: &AtomicBool,
    acknowledged: &AtomicU64,
    connection: &mut Connection,
    stamp: ProducerStamp,
) -> Result<ProducerReport> {
    let mut written = ProducerReport {
        records: 0,
        retries: 0,
        longest: Duration::ZERO,
    };
    while !stop.load(Ordering::Relaxed) {
        let (partition, batch) = record(written.records, stamp)?;
        let begun = clock::steady();
        while let Err(error) = connection.produce(partition, batch.clone()) {
            if PATIENCE < begun.elapsed() {
                return Err(error.context(format!("record {} is not taken", written.records)));
            }
            written.retries += 1;
            connection.turn_to_next();
            thread::sleep(RETRY_PAUSE);
        }
        written.longest = written.longest.max(begun.elapsed());
        written.records += 1;
        acknowledged.store(written.records, Ordering::Relaxed);
        thread::sleep(WRITE_EVERY);
    }
    Ok(written)
}

/// The partition of a record, and its batch.
fn record(number: u64, stamp: ProducerStamp) -> Result<(u32, Bytes)> {
    let partition = u32::try_from(number % u64::from(PARTITIONS))?;
    let sequence = Sequence(u32::try_from(number / u64::from(PARTITIONS))?);
    let stamp = ProducerStamp {
        base_sequence: Some(sequence),
        ..stamp
    };
    let mut batch = BatchBuilder::plain().producer(stamp);
    batch.push(NewRecord {
        timestamp: TimestampMs(clock::wall_ms()),
        key: None,
        value: Some(number.to_string().into()),
        headers: Vec::new(),
    });
    Ok((partition, batch.build()))
}

/// To one node after the other, until one leads.
struct Connection {
    nodes: Vec<SocketAddr>,
    node: usize,
    client: Option<KafkaClient>,
}

impl Connection {
    fn produce(&mut self, partition: u32, batch: Bytes) -> Result<()> {
        if self.client.is_none() {
            self.client = Some(KafkaClient::connect(self.nodes[self.node])?);
        }
        let client = self.client.as_mut().expect("connected above");
        let answer = client.ask(PRODUCE_VERSION, &produce_request(TOPIC, partition, batch)?)?;
        let topic = answer.responses.first();
        let partition = topic.and_then(|topic| topic.partition_responses.first());
        let code = partition
            .context("an answer without the partition")?
            .error_code;
        ensure!(
            [0, DUPLICATE_SEQUENCE_NUMBER].contains(&code),
            "the produce was refused: error {code}"
        );
        Ok(())
    }

    fn turn_to_next(&mut self) {
        self.client = None;
        self.node = (self.node + 1) % self.nodes.len();
    }
}

/// Every value of a partition, in the order of the offsets.
fn read_all(leader: SocketAddr, partition: u32) -> Result<Vec<u64>> {
    let mut client = KafkaClient::connect(leader)?;
    let (mut values, mut offset) = (Vec::new(), 0);
    loop {
        let wanted = FetchPartition::default()
            .with_partition(i32::try_from(partition)?)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(FETCH_BYTES_MAX);
        let topic = FetchTopic::default()
            .with_topic(StrBytes::from_static_str(TOPIC).into())
            .with_partitions(vec![wanted]);
        let request = FetchRequest::default()
            .with_max_bytes(FETCH_BYTES_MAX)
            .with_topics(vec![topic]);
        let answer = client.ask(FETCH_VERSION, &request)?;
        let topic = answer.responses.first();
        let found = topic.and_then(|topic| topic.partitions.first());
        let found = found.context("an answer without the partition")?;
        ensure!(
            found.error_code == 0,
            "fetch at {offset}: error {}",
            found.error_code
        );
        let mut rest = found.records.clone().unwrap_or_default();
        while !rest.is_empty() {
            let (header, batch, behind) = BatchHeader::split_first(&rest)?;
            for record in Records::new(header, &batch) {
                let value = record?.value.context("a record without a value")?;
                values.push(std::str::from_utf8(&value)?.parse()?);
            }
            offset = header.next_offset().0.try_into()?;
            rest = behind;
        }
        if found.high_watermark <= offset {
            return Ok(values);
        }
    }
}

/// Whether a partition holds what was acknowledged in it: each record once, in the order in which they were written.
fn judge(partition: u32, found: &[u64], written: &ProducerReport) -> Result<()> {
    let step = usize::try_from(PARTITIONS)?;
    let expected = (u64::from(partition)..written.records).step_by(step);
    let expected = expected.collect::<Vec<_>>();
    let differs =
        (0..expected.len().max(found.len())).find(|at| expected.get(*at) != found.get(*at));
    if let Some(at) = differs {
        bail!(
            "partition {partition}, record {at}: {:?} was written and {:?} is there ({} acknowledged, {} found)",
            expected.get(at),
            found.get(at),
            expected.len(),
            found.len()
        );
    }
    Ok(())
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            old_nodes,
            new_nodes,
            old_led,
            new_led,
        } = self;
        write!(
            f,
            "{old_nodes} old and {new_nodes} new nodes: an old one led {old_led} times, a new one {new_led} times"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "upgrade of {NODES} nodes from {}", self.from)?;
        for mix in &self.mixes {
            writeln!(f, "  {mix}")?;
        }
        writeln!(
            f,
            "  {} records acknowledged, each read back once and in its order; {} sent again, the longest took {} ms",
            self.records, self.retries, self.longest_ms
        )?;
        write!(
            f,
            "  the files of {} nodes are sound, and the same",
            self.verified
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_lost_doubled_or_out_of_its_order_is_found() {
        let written = ProducerReport {
            records: 6,
            retries: 0,
            longest: Duration::ZERO,
        };
        let refused = |found: &[u64]| judge(1, found, &written).expect_err("refused").to_string();

        judge(1, &[1, 3, 5], &written).expect("all there");
        assert!(refused(&[1, 5]).contains("record 1: Some(3) was written and Some(5)"));
        assert!(refused(&[1, 3, 3, 5]).contains("record 2: Some(5) was written and Some(3)"));
        assert!(refused(&[3, 1, 5]).contains("record 0: Some(1) was written and Some(3)"));
        assert!(refused(&[1, 3]).contains("(3 acknowledged, 2 found)"));
    }

    #[test]
    fn a_mix_is_lived_through_once_each_kind_that_there_is_has_led() {
        let mix = |old_nodes, new_nodes, old_led, new_led| Mix {
            old_nodes,
            new_nodes,
            old_led,
            new_led,
        };
        assert!(mix(3, 0, 1, 0).is_lived_through());
        assert!(!mix(2, 1, 4, 0).is_lived_through());
        assert!(mix(2, 1, 4, 1).is_lived_through());
    }
}
