//! The fault campaign: real processes under chosen trouble, callers, listeners and Kafka clients that go on all the while,
//! and a checker of every promise at the end.
//!
//! ```sh
//! CAMPAIGN_SECONDS=3600 CAMPAIGN_SEED=7 cargo test -p mayday --test campaign    # an hour of one seed, each of the two
//! CAMPAIGN_FAULTS=FullDisk,Pause cargo test -p mayday --test campaign           # these kinds alone
//! ```

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod callers;
mod checker;
mod faults;
#[path = "../house/mod.rs"]
mod house;
mod listeners;
mod machine;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the log's own tests use all of it"
)]
#[path = "../../../log-core/tests/support/cluster/network.rs"]
mod network;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the log's own tests use all of it"
)]
#[path = "../../../log-core/tests/support/cluster/program.rs"]
mod program;
mod readers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use event_model::{House, Line};
use jiff::Timestamp;
use resident_token::{Grant, Secret};

use crate::callers::Caller;
use crate::checker::{CallOutcome, History, Listener};
use crate::faults::{Fault, Rounds};
use crate::house::SECRET;
use crate::listeners::SharedListener;
use crate::machine::Machine;
use crate::network::Network;
use crate::readers::Readers;

/// How long the trouble lasts where nobody says, in each of the two tests: what CI has time for.
const SECONDS_DEFAULT: u64 = 45;
const SEED_DEFAULT: u64 = 1;
/// How long after the trouble everything may take to be stored, heard, read and copied; or a twentieth of the trouble, if that
/// is longer.
const HEALED_WITHIN: Duration = Duration::from_secs(120);
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// A token that no clock of the campaign makes too old or too young.
fn token(line: &str, house: &str) -> String {
    let far: Timestamp = "2090-01-01T00:00:00Z".parse().unwrap();
    Secret::new(SECRET).unwrap().issue(&Grant {
        line: Some(Line::new(line).unwrap()),
        house: Some(House::new(house).unwrap()),
        ..Grant::new(format!("{line}/{house}"), far)
    })
}

#[test]
fn one_mayday_keeps_every_promise_through_every_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let machines = vec![Machine::alone(folder.path())];
    Campaign::new(machines, None).run();
}

#[test]
fn three_machines_keep_every_promise_through_every_trouble() {
    if !Network::is_possible() {
        eprintln!("no network namespaces can be made here (root and iproute2 are needed)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let network = Network::of(3);
    let machine = |number| Machine::among(folder.path(), &network, number);
    let machines = (1..=3).map(machine).collect();
    Campaign::new(machines, Some(&network)).run();
}

/// Two hours ahead while the clients of the log begin to wait, and right again: librdkafka's own waits would last two hours.
#[test]
fn a_clock_that_is_set_back_while_clients_wait_keeps_none_of_them_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = Machine::alone(folder.path());
    if !machine.set_clock(7_200) {
        eprintln!("no wall clock can be moved here");
        return;
    }
    machine.start();
    let api = machine.api();
    wait_until("the api's door is open", || {
        let asked = ureq::get(format!("{api}/readyz")).config();
        asked.http_status_as_error(false).build().call().is_ok()
    });
    assert!(machine.set_clock(0));
    let mut campaign = Campaign::new(vec![machine], None);
    campaign.wait_until_served();
    campaign.machines[0].stop();
}

struct Campaign<'a> {
    machines: Vec<Machine>,
    network: Option<&'a Network>,
    seconds: u64,
    seed: u64,
    only: String,
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

impl<'a> Campaign<'a> {
    fn new(machines: Vec<Machine>, network: Option<&'a Network>) -> Self {
        Self {
            machines,
            network,
            seconds: from_environment("CAMPAIGN_SECONDS", SECONDS_DEFAULT),
            seed: from_environment("CAMPAIGN_SEED", SEED_DEFAULT),
            only: std::env::var("CAMPAIGN_FAULTS").unwrap_or_default(),
        }
    }

    fn run(mut self) {
        for machine in &mut self.machines {
            machine.start();
        }
        let log = self.addresses(Machine::log).join(",");
        self.wait_until_served();
        let callers = self.callers();
        let ears: Vec<SharedListener> = callers.iter().map(ear).collect();
        let stop_listening = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        for (number, ear) in ears.iter().enumerate() {
            let mut gateways = self.addresses(Machine::gateway);
            let count = gateways.len();
            gateways.rotate_left(number % count);
            let (ear, stop) = (Arc::clone(ear), Arc::clone(&stop_listening));
            let _listens = runtime.spawn(listeners::listen(gateways, ear, stop));
        }
        wait_until("every listener is let in", || {
            ears.iter().all(|ear| ear.lock().unwrap().is_let_in)
        });
        let readers = Readers::start(&log);

        let stop = AtomicBool::new(false);
        let calls: Vec<_> = callers.iter().map(|_| Mutex::new(Vec::new())).collect();
        let mut seen = Vec::new();
        let tally = thread::scope(|scope| {
            for (caller, calls) in callers.iter().zip(&calls) {
                let stop = &stop;
                scope.spawn(move || caller.call_until(stop, calls));
            }
            // Also where this thread fails: the callers must not call for ever.
            let _stops = Stop(&stop);
            self.trouble(&log, &mut seen)
        });
        let calls = calls
            .into_iter()
            .flat_map(|calls| calls.into_inner().unwrap());
        let ordered = callers.iter().filter(|caller| !caller.roams);
        let repeated = callers.iter().filter(|caller| {
            let api = self
                .machines
                .iter()
                .position(|one| one.api() == caller.apis[0]);
            // Where the log ends with its api, nothing of theirs is under way when they start again.
            let is_alone = self.machines.len() == 1;
            !is_alone && (caller.roams || api.is_some_and(|at| tally.restarted.contains(&at)))
        });
        let mut history = History {
            calls: calls.collect(),
            seen,
            ordered_lines: ordered.map(|caller| caller.line.clone()).collect(),
            repeated_lines: repeated.map(|caller| caller.line.clone()).collect(),
            ..History::default()
        };
        self.settle(&log, &mut history, &ears, &readers);
        let (group, committed) = readers.stop();
        (history.group, history.committed) = (group, committed);
        stop_listening.store(true, Ordering::SeqCst);
        history.listeners = ears.iter().map(|ear| ear.lock().unwrap().clone()).collect();
        runtime.shutdown_timeout(Duration::from_secs(1));
        self.report(&tally, &history);
        if let Ok(path) = std::env::var("CAMPAIGN_HISTORY") {
            let path = format!("{path}-{}", self.machines.len());
            std::fs::write(path, format!("{history:#?}")).unwrap();
        }
        history.assert_kept(&self.again());
        for machine in &mut self.machines {
            machine.stop();
        }
    }

    fn addresses(&self, of: impl Fn(&Machine) -> String) -> Vec<String> {
        self.machines.iter().map(of).collect()
    }

    /// On each machine one caller with keys and one without, and one that goes from api to api.
    fn callers(&self) -> Vec<Caller> {
        let apis = self.addresses(Machine::api);
        let mut callers = Vec::new();
        for (number, api) in apis.iter().enumerate() {
            for has_keys in [true, false] {
                callers.push(Caller {
                    line: format!("line-{number}-{}", if has_keys { "keys" } else { "bare" }),
                    apis: vec![api.clone()],
                    roams: false,
                    has_keys,
                });
            }
        }
        callers.push(Caller {
            line: "roaming".to_owned(),
            apis,
            roams: true,
            has_keys: true,
        });
        callers
    }

    fn wait_until_served(&mut self) {
        let apis = self.addresses(Machine::api);
        let gateways = self.addresses(Machine::gateway);
        let is_ready = || {
            apis.iter().all(|api| {
                let asked = ureq::get(format!("{api}/readyz")).config();
                let asked = asked.timeout_global(Some(Duration::from_secs(2))).build();
                asked.call().is_ok()
            })
        };
        wait_until("every api is ready", is_ready);
        // An upgrade without the header that it needs is refused with 503 while the gateway reads the log.
        let takes_sockets = || {
            gateways.iter().all(|gateway| {
                let url = gateway.replacen("ws://", "http://", 1);
                let asked = ureq::get(url).header("Upgrade", "websocket").config();
                let asked = asked.http_status_as_error(false).build().call();
                asked.is_ok_and(|answer| answer.status() != 503)
            })
        };
        wait_until("every gateway takes sockets", takes_sockets);
    }

    /// Rounds of trouble until the time is over. What could not be done on this machine is told once.
    fn trouble(&mut self, log: &str, seen: &mut Vec<(checker::RecordPosition, String)>) -> Tally {
        let mut tally = Tally::default();
        let ends_at = now() + Duration::from_secs(self.seconds);
        let rounds = Rounds::new(self.seed, self.machines.len(), &self.only);
        for round in rounds {
            if ends_at <= now() {
                break;
            }
            println!("{} {round:?}", tally.rounds);
            let mut begun = Vec::new();
            for (fault, at) in round.faults {
                let machine = &mut self.machines[at];
                machine.assert_running();
                if !fault.begin(machine, self.network) {
                    tally.impossible.insert(kind(fault));
                    continue;
                }
                if matches!(fault, Fault::Kill | Fault::Restart) {
                    tally.restarted.insert(at);
                }
                begun.push((fault, at));
            }
            if begun.is_empty() {
                continue;
            }
            thread::sleep(round.lasts);
            for (fault, at) in &begun {
                fault.end(&mut self.machines[*at], self.network);
            }
            thread::sleep(round.rest);
            tally.rounds += 1;
            let kinds: BTreeSet<String> = begun.iter().map(|(fault, _)| kind(*fault)).collect();
            for kind in kinds {
                *tally.faults.entry(kind).or_default() += 1;
            }
            // Now and then a reader looks: what it saw stays as it was.
            if tally.rounds.is_multiple_of(8)
                && let Ok(records) = readers::calls(log)
            {
                let now = records
                    .into_iter()
                    .map(|(place, record)| (place, record.id));
                seen.extend(now);
                seen.sort();
                seen.dedup();
            }
        }
        for machine in &mut self.machines {
            machine.assert_running();
        }
        tally
    }

    /// Waits until all that was promised has come, or can no longer be waited for: the checker says then what is missing.
    fn settle(
        &mut self,
        log: &str,
        history: &mut History,
        ears: &[SharedListener],
        readers: &Readers,
    ) {
        let promised: BTreeSet<String> = history
            .calls
            .iter()
            .flat_map(|call| call.answers.iter().filter_map(CallOutcome::id))
            .map(str::to_owned)
            .collect();
        let ends_at = now() + HEALED_WITHIN.max(Duration::from_secs(self.seconds) / 20);
        loop {
            let looked_at = now();
            if let (Ok(records), Ok(copies)) = (readers::calls(log), readers::copies(log)) {
                history.records = records;
                history.copies = Some(copies);
                let is_done = self.is_settled(&promised, history, ears, readers);
                if is_done || ends_at <= now() {
                    return;
                }
            } else if ends_at <= now() {
                let words: Vec<_> = self.machines.iter().map(Machine::last_words).collect();
                panic!(
                    "the log does not answer: {}\n{}",
                    words.join("\n\n"),
                    self.again()
                );
            }
            // After an hour a look is a long one: it must not take the machine from those who are waited for.
            thread::sleep(LOOK_INTERVAL.max(4 * looked_at.elapsed()));
        }
    }

    fn is_settled(
        &self,
        promised: &BTreeSet<String>,
        history: &History,
        ears: &[SharedListener],
        readers: &Readers,
    ) -> bool {
        let ids: BTreeSet<&String> = history.records.values().map(|record| &record.id).collect();
        if !promised.iter().all(|id| ids.contains(id)) {
            return false;
        }
        let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
        let alerts = history
            .records
            .keys()
            .filter(|(topic, ..)| topic == checker::ALERTS);
        let alerts_count = alerts.clone().count();
        for (_, partition, offset) in alerts {
            ends.insert(*partition, offset + 1);
        }
        let is_read = ends
            .iter()
            .all(|(partition, end)| *end <= readers.read_up_to(*partition));
        let is_copied = history
            .copies
            .as_ref()
            .is_some_and(|copies| copies.len() == alerts_count);
        let is_heard = ears.iter().all(|ear| {
            let listener = ear.lock().unwrap();
            let of_line = history
                .records
                .values()
                .filter(|record| record.line == listener.line);
            let heard: BTreeSet<_> = listener.heard.iter().filter_map(event_id).collect();
            of_line
                .into_iter()
                .all(|record| heard.contains(record.id.as_str()))
        });
        is_read && is_copied && is_heard
    }

    fn report(&self, tally: &Tally, history: &History) {
        let count = |wanted: fn(&CallOutcome) -> bool| {
            let answers = history.calls.iter().flat_map(|call| &call.answers);
            answers.filter(|answer| wanted(answer)).count()
        };
        let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
        for answer in history.calls.iter().flat_map(|call| &call.answers) {
            if let CallOutcome::NotStored { code } = answer {
                *codes.entry(code).or_default() += 1;
            }
        }
        let texts: BTreeSet<&String> = history
            .records
            .values()
            .map(|record| &record.text)
            .collect();
        println!(
            "{} machines, seed {}: {} rounds of trouble {:?}; {} calls and accepts: {} answers 201, {} answers 202, refused {:?}, {} open; \
             {} records ({} under an id that was there), {} heard, {} copied",
            self.machines.len(),
            self.seed,
            tally.rounds,
            tally.faults,
            history.calls.len(),
            count(|answer| matches!(answer, CallOutcome::Stored { .. })),
            count(|answer| matches!(answer, CallOutcome::Queued { .. })),
            codes,
            count(|answer| matches!(answer, CallOutcome::Unknown)),
            history.records.len(),
            history.records.len() - texts.len(),
            history
                .listeners
                .iter()
                .map(|ear| ear.heard.len())
                .sum::<usize>(),
            history.copies.as_ref().map_or(0, Vec::len),
        );
        if !tally.impossible.is_empty() {
            eprintln!("not possible on this machine: {:?}", tally.impossible);
        }
        assert!(
            0 < tally.rounds && !history.records.is_empty(),
            "nothing happened, so nothing was tested"
        );
    }

    fn again(&self) -> String {
        format!(
            "again: CAMPAIGN_SEED={} CAMPAIGN_SECONDS={} CAMPAIGN_FAULTS={} cargo test -p mayday --test campaign",
            self.seed, self.seconds, self.only
        )
    }
}

/// Tells threads to stop when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What was done.
#[derive(Default)]
struct Tally {
    rounds: u64,
    faults: BTreeMap<String, u64>,
    impossible: BTreeSet<String>,
    /// Machines whose process was another one for a while, or for good.
    restarted: BTreeSet<usize>,
}

fn kind(fault: Fault) -> String {
    format!("{fault:?}")
}

fn ear(caller: &Caller) -> SharedListener {
    Arc::new(Mutex::new(Listener {
        line: caller.line.clone(),
        ..Listener::default()
    }))
}

fn event_id(heard: &checker::HeardEvent) -> Option<&str> {
    match heard {
        checker::HeardEvent::Event { id, .. } => Some(id),
        checker::HeardEvent::NotRecovered => None,
    }
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let pause = Duration::from_millis(50);
    for _ in 0..HEALED_WITHIN.as_millis() / pause.as_millis() {
        if is_so() {
            return;
        }
        thread::sleep(pause);
    }
    panic!("{what}: not within {HEALED_WITHIN:?}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a campaign lasts as long as it is told to"
)]
fn now() -> Instant {
    Instant::now()
}
