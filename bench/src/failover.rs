//! Failover: the leader of a log of three nodes is killed while residents press for help; how long until the next press
//! is answered with 201, and until a gateway has delivered it.
//!
//! Each press is a phone of its own: a connection, a token and one POST, begun whether earlier ones are answered or not.
//! What counts is a press that was begun after the kill.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use service_kit::clock;

use crate::listeners::{Arrival, Listeners};
use crate::poster::{CREATED, Poster};
use crate::services::{BenchEnv, Log};
use crate::swarm::{self, SubscriptionIds};

const NODES: u32 = 3;
/// Answered before each kill: connections and caches are warm.
const WARM_UP: usize = 25;
/// No press answered for so long is a failure of the run.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long presses go on after the first was answered, to see that it was no exception.
const GO_ON: Duration = Duration::from_millis(500);
/// Added before each kill than before the one before, so that kills do not fall into step with timers of a second.
const STEP: Duration = Duration::from_millis(137);

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "failover")]
pub(crate) struct Options {
    /// How often the leader is killed.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Between two presses, in milliseconds.
    #[arg(long, default_value_t = 20)]
    press_every_ms: u64,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    nodes: u32,
    press_every_ms: u64,
    /// From the SIGKILL until another node leads and serves.
    elected: Distribution,
    /// From the SIGKILL to the first 201 of a press that was begun after it.
    answered: Distribution,
    /// From the SIGKILL to that press on a socket of the gateway.
    delivered: Distribution,
    rounds: Vec<Round>,
}

#[derive(Debug, Serialize)]
struct Round {
    elected_ms: f64,
    answered_ms: f64,
    delivered_ms: f64,
    /// Presses that were not answered with 201, of all in the round: their callers see an error and press again.
    refused: usize,
    presses: usize,
}

pub(crate) fn run(options: &Options, env: &BenchEnv) -> Result<Report> {
    let mut log = env.log(NODES)?;
    let api = env.api(&log.bootstrap())?;
    let gateway = env.gateway(&log.bootstrap())?;
    let audience = swarm::Audience::Stomp {
        lines: 1,
        ids: SubscriptionIds::Equal,
    };
    let listeners = Listeners::connect(gateway.address, 1, audience)?;
    let press_every = Duration::from_millis(options.press_every_ms);
    let numbers = Arc::new(AtomicU32::new(0));
    let mut kills = Vec::new();
    let mut answered = 0;
    for round in 0..options.rounds {
        let residents = Residents::start(api.address, press_every, Arc::clone(&numbers));
        let kill = kill_leader(&mut log, &residents, STEP * (round % 7))?;
        let calls = residents.stop();
        answered += calls.iter().filter(|call| call.is_answered()).count();
        listeners.wait_for(answered, PATIENCE)?;
        log.start_again(kill.node, env)?;
        kills.push((kill, calls));
    }
    let heard = listeners.close()?;
    let rounds = kills
        .iter()
        .map(|(kill, calls)| judge(kill, calls, &heard.arrivals));
    let rounds = rounds.collect::<Result<Vec<_>>>()?;
    let of = |time: fn(&Round) -> f64| Distribution::of(rounds.iter().map(time).collect());
    Ok(Report {
        nodes: NODES,
        press_every_ms: options.press_every_ms,
        elected: of(|round| round.elected_ms).context("no rounds")?,
        answered: of(|round| round.answered_ms).context("no rounds")?,
        delivered: of(|round| round.delivered_ms).context("no rounds")?,
        rounds,
    })
}

/// A kill that was survived.
struct Kill {
    node: usize,
    at: Instant,
    elected: Instant,
}

fn kill_leader(log: &mut Log, residents: &Residents, pause: Duration) -> Result<Kill> {
    residents.wait_for("presses are answered", |calls| {
        WARM_UP <= calls.iter().filter(|call| call.is_answered()).count()
    })?;
    thread::sleep(pause);
    let (node, _) = log.leader()?;
    let at = clock::steady();
    log.kill(node);
    let elected = until_elected(log)?;
    residents.wait_for("a press is answered after the kill", |calls| {
        first_answered(calls, at).is_some()
    })?;
    thread::sleep(GO_ON);
    Ok(Kill { node, at, elected })
}

fn until_elected(log: &Log) -> Result<Instant> {
    let deadline = clock::steady() + PATIENCE;
    while log.leader().is_err() {
        ensure!(
            clock::steady() < deadline,
            "no node leads after {PATIENCE:?}"
        );
        thread::sleep(LOOK_EVERY);
    }
    Ok(clock::steady())
}

/// Of those begun after the kill, the one that was answered first.
fn first_answered(calls: &[Call], killed: Instant) -> Option<&Call> {
    let after = calls
        .iter()
        .filter(|call| killed <= call.begun && call.is_answered());
    after.min_by_key(|call| call.ended)
}

fn judge(kill: &Kill, calls: &[Call], arrivals: &[Arrival]) -> Result<Round> {
    let first = first_answered(calls, kill.at).context("the round ended with an answer")?;
    let delivery = arrivals.iter().find(|arrival| arrival.post == first.post);
    let delivery = delivery.with_context(|| format!("press {} was not delivered", first.post))?;
    let since = |at: Instant| millis(at.saturating_duration_since(kill.at));
    Ok(Round {
        elected_ms: since(kill.elected),
        answered_ms: since(first.ended),
        delivered_ms: since(delivery.at),
        refused: calls.iter().filter(|call| !call.is_answered()).count(),
        presses: calls.len(),
    })
}

/// One press and its answer.
#[derive(Clone, Debug)]
struct Call {
    post: u32,
    begun: Instant,
    ended: Instant,
    /// The head of the answer; none came from a connection that broke.
    head: Option<String>,
}

impl Call {
    fn is_answered(&self) -> bool {
        self.head
            .as_ref()
            .is_some_and(|head| head.starts_with(CREATED))
    }
}

/// Presses, one after the other whatever becomes of them.
struct Residents {
    stop: Arc<AtomicBool>,
    calls: Arc<Mutex<Vec<Call>>>,
    thread: JoinHandle<()>,
}

impl Residents {
    fn start(api: SocketAddr, press_every: Duration, numbers: Arc<AtomicU32>) -> Self {
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (stopped, written) = (Arc::clone(&stop), Arc::clone(&calls));
        let thread = thread::spawn(move || {
            let mut phones = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let (post, written) = (
                    numbers.fetch_add(1, Ordering::Relaxed),
                    Arc::clone(&written),
                );
                phones.push(thread::spawn(move || press(api, post, &written)));
                thread::sleep(press_every);
            }
            for phone in phones {
                phone.join().expect("a phone does not panic");
            }
        });
        Self {
            stop,
            calls,
            thread,
        }
    }

    fn wait_for(&self, what: &str, is_so: impl Fn(&[Call]) -> bool) -> Result<()> {
        let deadline = clock::steady() + PATIENCE;
        while !is_so(&self.calls.lock().expect("no phone panics")) {
            ensure!(
                clock::steady() < deadline,
                "{what}: not within {PATIENCE:?}"
            );
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Waits for the answer to every press.
    fn stop(self) -> Vec<Call> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the residents do not panic");
        std::mem::take(&mut *self.calls.lock().expect("no phone panics"))
    }
}

fn press(api: SocketAddr, post: u32, calls: &Mutex<Vec<Call>>) {
    let begun = clock::steady();
    let answer = Poster::connect(api, post..post + 1).and_then(|mut phone| phone.try_post(post));
    let call = Call {
        post,
        begun,
        ended: clock::steady(),
        head: answer.ok(),
    };
    calls.lock().expect("no phone panics").push(call);
}

/// Of few values; in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Distribution {
    count: usize,
    min_ms: f64,
    median_ms: f64,
    p90_ms: f64,
    max_ms: f64,
}

impl Distribution {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        // The nearest rank: so many in a hundred do not exceed it.
        let rank = |percent: usize| (values.len() * percent).div_ceil(100).max(1) - 1;
        Some(Self {
            count: values.len(),
            min_ms: *values.first()?,
            median_ms: *values.get(rank(50))?,
            p90_ms: *values.get(rank(90))?,
            max_ms: *values.last()?,
        })
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            count,
            min_ms,
            median_ms,
            p90_ms,
            max_ms,
        } = self;
        write!(
            f,
            "min {min_ms:.0}  median {median_ms:.0}  p90 {p90_ms:.0}  max {max_ms:.0} ms  (n {count})"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "failover, SIGKILL of the leader of {} nodes, a press every {} ms",
            self.nodes, self.press_every_ms
        )?;
        writeln!(f, "  new leader  {}", self.elected)?;
        writeln!(
            f,
            "  next 201    {}  (target: median at most 1000)",
            self.answered
        )?;
        writeln!(
            f,
            "  delivered   {}  (target: median at most 1000)",
            self.delivered
        )?;
        let refused: usize = self.rounds.iter().map(|round| round.refused).sum();
        let presses: usize = self.rounds.iter().map(|round| round.presses).sum();
        write!(f, "  not answered with 201: {refused} of {presses} presses")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_press_counts_only_when_it_was_begun_after_the_kill_and_answered_with_201() {
        let start = clock::steady();
        let at = |millis| start + Duration::from_millis(millis);
        let call = |post, begun, ended, head: &str| Call {
            post,
            begun: at(begun),
            ended: at(ended),
            head: Some(head.to_owned()),
        };
        let calls = [
            call(1, 90, 140, "HTTP/1.1 201 Created"),
            call(2, 110, 150, "HTTP/1.1 503 Service Unavailable"),
            call(3, 120, 420, "HTTP/1.1 201 Created"),
            call(4, 130, 400, "HTTP/1.1 201 Created"),
        ];
        let arrivals = [Arrival {
            post: 4,
            socket: 0,
            at: at(405),
        }];

        let kill = Kill {
            node: 0,
            at: at(100),
            elected: at(350),
        };
        let round = judge(&kill, &calls, &arrivals).expect("judged");

        assert_eq!(round.elected_ms, 250.0);
        assert_eq!((round.answered_ms, round.delivered_ms), (300.0, 305.0));
        assert_eq!((round.refused, round.presses), (1, 4));
    }

    #[test]
    fn of_twenty_values_the_tenth_is_the_median_and_the_eighteenth_the_ninetieth_percentile() {
        let found = Distribution::of((1..=20).rev().map(f64::from).collect()).expect("values");
        assert_eq!((found.min_ms, found.median_ms), (1.0, 10.0));
        assert_eq!((found.p90_ms, found.max_ms), (18.0, 20.0));
        assert_eq!(Distribution::of(Vec::new()), None);
    }
}
