//! Floods: one address of loopback does to `mayday`, everything in one process, what no resident needs, while a resident
//! at another address calls and connects; then, still under the flood, the log goes through ten new journal files.
//!
//! Everything is bounded: a flood has a number of connections, a rate and an end, and stays on loopback.

pub(crate) mod floods;

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use event_model::ExpectedTopic;
use log_core::record::{BatchBuilder, NewRecord};
use serde::Serialize;
use service_kit::bounds::FileLimit;
use service_kit::clock;

use self::floods::{Flood, Targets};
use crate::kafka_client::KafkaClient;
use crate::machine::memory_peak;
use crate::services::{BenchEnv, MaydayProcess};
use crate::tokens;

/// A flood ends by itself after so long.
const FLOOD_AT_MOST: Duration = Duration::from_secs(120);
/// Between two probes of the resident.
const PROBE_EVERY: Duration = Duration::from_millis(100);
/// Who waits longer for an answer has none.
const PROBE_WITHIN: Duration = Duration::from_secs(5);
const BEFORE: Duration = Duration::from_secs(2);
const JOURNAL_FILES: u64 = 10;
const SEGMENT_BYTES: u64 = 32 << 20;
/// Writes that fail one after the other until the log counts as gone.
const TRIES: u32 = 30;
const JOURNAL_WITHIN: Duration = Duration::from_secs(60);
/// A topic of the bench's own: what slow readers fetch, and what fills the journal.
const TOPIC: &str = "flood";

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "flood")]
pub(crate) struct Options {
    /// How many files the process may open, each in its turn.
    #[arg(long, value_delimiter = ',', default_values_t = [1_024, 20_000])]
    files: Vec<usize>,
    /// Which floods, by words of their names [default: all].
    #[arg(long, value_delimiter = ',')]
    floods: Vec<String>,
    /// How long each flood is felt before the journal's turn.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often each is measured; with --old by turns.
    #[arg(long, default_value_t = 1)]
    pairs: u32,
    /// Folder of an older `mayday`, to be measured by turns with this one.
    #[arg(long, value_name = "FOLDER")]
    old: Option<PathBuf>,
    /// Leave out the ten journal files.
    #[arg(long)]
    no_journal: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    runs: Vec<Run>,
}

/// One flood on one process.
#[derive(Debug, Serialize)]
struct Run {
    flood: &'static str,
    files: usize,
    program: &'static str,
    /// What the flood took: connections that came about, that the process closed, that it held at most, that were refused.
    opened: usize,
    closed: usize,
    held_max: usize,
    refused: usize,
    /// What the resident felt, before and during the flood.
    before: ResidentTimes,
    during: ResidentTimes,
    memory_peak_mib: u64,
    /// New files that the journal began, of the ten that it was to.
    journal_files: Option<u64>,
    /// Whether the process still runs at the end.
    alive: bool,
}

/// What a resident felt.
#[derive(Clone, Copy, Debug, Serialize)]
struct ResidentTimes {
    upgrade: Times,
    call: Times,
}

/// How long answers took, in milliseconds; those that did not come are not among them.
#[derive(Clone, Copy, Debug, Serialize)]
struct Times {
    median_ms: f64,
    max_ms: f64,
    failed: usize,
    tries: usize,
}

pub(crate) fn run(options: &Options, env: &BenchEnv) -> Result<Report> {
    // The flood's own ends of its connections are this process's.
    FileLimit::raise()?;
    let mut runs = Vec::new();
    for files in options.files.iter().copied() {
        for flood in chosen(&options.floods)? {
            for _ in 0..options.pairs {
                let programs = options.old.as_deref().map(|old| ("old", Some(old)));
                for (program, folder) in programs.into_iter().chain([("this", None)]) {
                    let run = measure(flood, files, program, folder, options, env)?;
                    // A run of all takes long: what is measured already is told at once.
                    eprintln!("{run}");
                    runs.push(run);
                }
            }
        }
    }
    Ok(Report { runs })
}

fn chosen(words: &[String]) -> Result<Vec<Flood>> {
    if words.is_empty() {
        return Ok(Flood::ALL.to_vec());
    }
    let named = |word: &String| {
        let found = Flood::ALL
            .into_iter()
            .find(|flood| flood.name().contains(word.as_str()));
        found.with_context(|| format!("no flood has {word:?} in its name"))
    };
    words.iter().map(named).collect()
}

/// Enough to use up what the process may hold, and to go on when it closes some.
fn connections(flood: Flood, files: usize) -> usize {
    let many = if files < 4_096 { 1_100 } else { 8_400 };
    match flood {
        Flood::HalfHeads | Flood::KeepAlives | Flood::Upgrades => many,
        Flood::IdleLog | Flood::IdleAdmin => many.min(3_000),
        Flood::TokenlessPosts => 40,
        Flood::SlowFetches => 100,
        Flood::HeavyGroups => 300,
        Flood::SnapshotStorm => 20,
    }
}

fn measure(
    flood: Flood,
    files: usize,
    program: &'static str,
    programs: Option<&Path>,
    options: &Options,
    env: &BenchEnv,
) -> Result<Run> {
    let mut mayday = env.mayday(programs, files)?;
    let line = tokens::line(0)?;
    let targets = Targets {
        api: mayday.api,
        gateway: mayday.gateway,
        log: mayday.log,
        admin: mayday.admin,
        token: tokens::token(&line, "flood")?,
        line: line.to_string(),
        topic: TOPIC.to_owned(),
    };
    let mut writer = Writer::connect(mayday.log)?;
    for _ in 0..16 {
        writer.write()?;
    }
    let mut resident = Resident::default();
    let before = resident.feels(&targets, BEFORE)?;
    let stop = AtomicBool::new(false);
    let begun = clock::steady();
    let held = connections(flood, files);
    let (tally, felt) = thread::scope(|threads| {
        let flooding =
            threads.spawn(|| floods::run(flood, &targets, held, &stop, begun, FLOOD_AT_MOST));
        let during = resident.feels(&targets, Duration::from_secs(options.seconds));
        let journal = (!options.no_journal).then(|| fill_journal(&mayday, &mut writer));
        stop.store(true, Ordering::Relaxed);
        let tally = flooding.join().expect("a flood does not panic");
        (tally, during.map(|during| (during, journal)))
    });
    let (during, journal_files) = felt?;
    let memory_peak_mib = memory_peak(mayday.pid()).unwrap_or(0) >> 20;
    Ok(Run {
        flood: flood.name(),
        files,
        program,
        opened: tally.opened,
        closed: tally.closed,
        held_max: tally.held_max,
        refused: tally.refused,
        before,
        during,
        memory_peak_mib,
        journal_files,
        alive: mayday.is_alive(),
    })
}

/// Writes until the journal has begun ten new files, the log gives up, or time is up; how many it has begun.
fn fill_journal(mayday: &MaydayProcess, writer: &mut Writer) -> u64 {
    let newest = || newest_file(&mayday.journal());
    let before = newest();
    let deadline = clock::steady() + JOURNAL_WITHIN;
    let begun = || (newest().saturating_sub(before)) / SEGMENT_BYTES;
    let mut in_vain = 0;
    while begun() < JOURNAL_FILES && in_vain < TRIES && clock::steady() < deadline {
        // A client whose connection is closed comes back.
        if writer.write().is_ok() {
            in_vain = 0;
            continue;
        }
        in_vain += 1;
        thread::sleep(PROBE_EVERY);
        if let Ok(again) = Writer::connect(mayday.log) {
            *writer = again;
        }
    }
    begun()
}

/// Where the newest file of a journal begins.
fn newest_file(journal: &Path) -> u64 {
    let files = fs::read_dir(journal).into_iter().flatten().flatten();
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    let starts = names.filter_map(|name| name.split('.').next()?.parse().ok());
    starts.max().unwrap_or(0)
}

/// Fills the log.
struct Writer {
    client: KafkaClient,
    batch: bytes::Bytes,
}

impl Writer {
    fn connect(log: SocketAddr) -> Result<Self> {
        let mut client = KafkaClient::connect(log)?;
        let topic = ExpectedTopic {
            name: TOPIC,
            partitions: std::num::NonZeroU32::MIN,
            replication_factor: 1,
            settings: Vec::new(),
        };
        // There already is as good: writing to it will tell.
        let _made = client.create_topic(&topic).is_ok();
        let batch = BatchBuilder::plain()
            .push(NewRecord {
                timestamp: log_core::ids::TimestampMs(clock::wall_ms()),
                key: None,
                value: Some(vec![7; 512 << 10].into()),
                headers: Vec::new(),
            })
            .build();
        Ok(Self { client, batch })
    }

    fn write(&mut self) -> Result<()> {
        self.client.produce(TOPIC, 0, self.batch.clone())
    }
}

/// A resident at another address, each time as another house.
#[derive(Default)]
struct Resident {
    houses: usize,
}

impl Resident {
    fn feels(&mut self, targets: &Targets, during: Duration) -> Result<ResidentTimes> {
        let (mut upgrades, mut calls) = (Answers::default(), Answers::default());
        let deadline = clock::steady() + during;
        while clock::steady() < deadline {
            let begun = clock::steady();
            self.houses += 1;
            upgrades.take(begun, self.connects(targets)?);
            let called = clock::steady();
            calls.take(called, self.calls(targets)?);
            thread::sleep((begun + PROBE_EVERY).saturating_duration_since(clock::steady()));
        }
        Ok(ResidentTimes {
            upgrade: upgrades.times(),
            call: calls.times(),
        })
    }

    fn connects(&self, targets: &Targets) -> Result<bool> {
        let token = tokens::token(&tokens::line(0)?, &format!("listens-{}", self.houses))?;
        let mut request = floods::upgrade();
        request.extend(floods::message(&format!(
            "CONNECT\naccept-version:1.2\nhost:bench\nAuthorization:Bearer {token}\n\n\0"
        )));
        Ok(is_answered(targets.gateway, &request, &["CONNECTED\n"]))
    }

    fn calls(&self, targets: &Targets) -> Result<bool> {
        let house = format!("calls-{}", self.houses);
        let token = tokens::token(&tokens::line(0)?, &house)?;
        let body = format!(r#"{{"line":"bench-0","house":"{house}","text":"help"}}"#);
        let request = format!(
            "POST /alert HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let taken = ["HTTP/1.1 201", "HTTP/1.1 202"];
        Ok(is_answered(targets.api, request.as_bytes(), &taken))
    }
}

fn is_answered(address: SocketAddr, request: &[u8], with: &[&str]) -> bool {
    let answered = || -> Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, PROBE_WITHIN)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PROBE_WITHIN))?;
        stream.write_all(request)?;
        let mut answer = Vec::new();
        let mut piece = [0; 4_096];
        loop {
            let text = String::from_utf8_lossy(&answer);
            if with.iter().any(|with| text.contains(with)) {
                return Ok(true);
            }
            let read = stream.read(&mut piece)?;
            ensure!(0 < read, "closed");
            answer.extend_from_slice(&piece[..read]);
        }
    };
    answered().unwrap_or(false)
}

#[derive(Default)]
struct Answers {
    times: Vec<Duration>,
    failed: usize,
}

impl Answers {
    fn take(&mut self, begun: Instant, answered: bool) {
        if answered {
            self.times
                .push(clock::steady().saturating_duration_since(begun));
        } else {
            self.failed += 1;
        }
    }

    fn times(mut self) -> Times {
        self.times.sort();
        let millis = |time: Option<&Duration>| {
            time.map_or(f64::NAN, |time| {
                (time.as_secs_f64() * 10_000.0).round() / 10.0
            })
        };
        Times {
            median_ms: millis(self.times.get(self.times.len() / 2)),
            max_ms: millis(self.times.last()),
            failed: self.failed,
            tries: self.times.len() + self.failed,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "floods from one address; what a resident at another one felt, before -> during: median/max ms (failed of tries)"
        )?;
        for run in &self.runs {
            write!(f, "\n{run}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  {} on {} files, {}: opened {}, closed {}, held {}, refused {}",
            self.flood,
            self.files,
            self.program,
            self.opened,
            self.closed,
            self.held_max,
            self.refused
        )?;
        let journal = match self.journal_files {
            Some(files) => format!("{files} new journal files"),
            None => "journal left alone".to_owned(),
        };
        write!(
            f,
            "    upgrade {} -> {}   call {} -> {}   memory {} MiB, {journal}, {}",
            self.before.upgrade,
            self.during.upgrade,
            self.before.call,
            self.during.call,
            self.memory_peak_mib,
            if self.alive { "alive" } else { "DEAD" }
        )
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{} ({} of {})",
            self.median_ms, self.max_ms, self.failed, self.tries
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floods_are_chosen_by_a_word_of_their_names() {
        let chosen = chosen(&["half".to_owned(), "snapshot".to_owned()]).expect("there are");
        assert_eq!(chosen, [Flood::HalfHeads, Flood::SnapshotStorm]);
        assert!(super::chosen(&["storm of tea".to_owned()]).is_err());
        assert_eq!(super::chosen(&[]).expect("all").len(), 9);
    }

    #[test]
    fn answers_that_do_not_come_are_counted_and_not_timed() {
        let mut answers = Answers::default();
        let now = clock::steady();
        answers.take(now, true);
        answers.take(now, false);
        let times = answers.times();
        assert_eq!((times.failed, times.tries), (1, 2));
    }
}
