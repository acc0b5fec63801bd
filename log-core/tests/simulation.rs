//! Whole clusters in one thread, from seeds: docs/simulation.md.
//!
//! `SIM_SEEDS=100000 cargo test -p log-core --test simulation --release` runs a night of them;
//! `SIM_SEED=0x51ab` runs one, and `SIM_TRACE=1` prints every event of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use log_core::testing::cluster::{Cluster, Coverage, Plan, Planted, Report};

/// Seeds of each kind of life: together more than a thousand.
const SEEDS_ALONE: u64 = 200;
const SEEDS_OF_THREE: u64 = 500;
const SEEDS_OF_FIVE: u64 = 100;
const SEEDS_OF_STORM: u64 = 200;
const SEEDS_OF_BLACKOUTS: u64 = 100;
const SEEDS_OF_GROWTH: u64 = 100;
const SEEDS_OF_SLOW_DISKS: u64 = 30;
const SEEDS_OF_SLOW_LEADERS: u64 = 10;

/// Lives run side by side, each in a thread of its own.
const THREADS: usize = 2;

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text
        .strip_prefix("0x")
        .map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
    Some(number.unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// The seeds that a test runs: one that is asked for, or the first so many.
fn seeds(default: u64) -> std::ops::Range<u64> {
    match from_environment("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = from_environment("SIM_FIRST").unwrap_or(0);
            first..first + from_environment("SIM_SEEDS").unwrap_or(default)
        }
    }
}

/// Lives through a plan of each seed, and prints what happened how often, and a fingerprint of all traces. `test` is the
/// caller's name, for an engineer who wants to see a seed again.
fn live(test: &str, seeds_default: u64, plan: impl Fn(u64) -> Plan + Sync) -> Coverage {
    let seeds = seeds(seeds_default);
    let next = AtomicU64::new(seeds.start);
    let coverage = Mutex::new(Coverage::default());
    let traces = AtomicU64::new(0);
    let violated: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seeds.end <= seed || violated.lock().expect("unpoisoned").is_some() {
                return;
            }
            match life(plan(seed)) {
                Ok(report) => {
                    // The lives end in any order.
                    traces.fetch_add(report.trace, Ordering::Relaxed);
                    coverage.lock().expect("unpoisoned").add(&report.coverage);
                }
                Err(broken) => {
                    *violated.lock().expect("unpoisoned") = Some((seed, broken));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    if let Some((seed, broken)) = violated.into_inner().expect("unpoisoned") {
        panic!(
            "seed {seed:#x}: {broken}\nagain: SIM_SEED={seed:#x} cargo test -p log-core --test simulation {test}"
        );
    }
    let coverage = coverage.into_inner().expect("unpoisoned");
    let traces = traces.into_inner();
    println!(
        "{test}, {} seeds, traces {traces:#018x}: {coverage}",
        seeds.end - seeds.start
    );
    coverage
}

/// One life, or which promise broke. An assertion of the log that fires is as good a find as a broken promise.
fn life(plan: Plan) -> Result<Report, String> {
    match std::panic::catch_unwind(|| Cluster::run(plan)) {
        Ok(lived) => lived.map_err(|violation| violation.to_string()),
        Err(_) => Err("an assertion of the log".to_owned()),
    }
}

/// A quiet simulation proves nothing.
fn assert_was_eventful(coverage: &Coverage, events: &[&str]) {
    if from_environment("SIM_SEED").is_none() {
        for event in events {
            assert_ne!(coverage.of(event), 0, "{event} never happened: {coverage}");
        }
    }
}

/// What clients of every kind live through.
const CLIENTS: [&str; 13] = [
    "records acknowledged",
    "repeats recognised",
    "requests late",
    "transactions committed",
    "transactions aborted",
    "producers fenced",
    "aborted batches skipped",
    "current reads",
    "assignments",
    "rebalances followed",
    "group commits",
    "members fenced",
    "records beyond their retention",
];

/// What nodes live through.
const NODES: [&str; 14] = [
    "rounds of several",
    "power cuts",
    "ends by power cut",
    "power cuts everywhere",
    "kills",
    "clean ends",
    "processes paused",
    "disks full",
    "disks full everywhere",
    "disks slow",
    "disks slow everywhere",
    "leaders paused",
    "ends by a failing disk",
    "clocks jumped",
];

/// What only a cluster of several lives through.
const CLUSTER: [&str; 20] = [
    "elections",
    "outcomes unknown",
    "tries refused",
    "messages lost",
    "messages repeated",
    "links cut one way",
    "nodes cut off",
    "bits flipped",
    "damage found",
    "snapshots held",
    "snapshot parts fetched",
    "snapshot parts garbled",
    "snapshots installed",
    "machines lost",
    "members replaced",
    "members dismissed",
    "members added",
    "changes of voters",
    "changes of members relied on",
    "leaders asked to hand over",
];

#[test]
fn a_cluster_of_one_keeps_its_word_through_every_power_cut() {
    let test = "a_cluster_of_one";
    let coverage = live(test, SEEDS_ALONE, |seed| Plan::of(seed, 1));
    assert_was_eventful(&coverage, &CLIENTS);
    assert_was_eventful(&coverage, &NODES);
    assert_was_eventful(&coverage, &["checkpoints"]);
}

#[test]
fn a_cluster_of_three_keeps_its_word_through_everything() {
    let test = "a_cluster_of_three";
    let coverage = live(test, SEEDS_OF_THREE, |seed| Plan::of(seed, 3));
    assert_was_eventful(&coverage, &CLIENTS);
    assert_was_eventful(&coverage, &NODES);
    assert_was_eventful(&coverage, &CLUSTER);
}

#[test]
fn a_cluster_of_five_keeps_its_word_through_everything() {
    let test = "a_cluster_of_five";
    let coverage = live(test, SEEDS_OF_FIVE, |seed| Plan::of(seed, 5));
    assert_was_eventful(
        &coverage,
        &["elections", "members replaced", "members added"],
    );
}

#[test]
fn a_storm_of_faults_breaks_no_promise() {
    let coverage = live("a_storm", SEEDS_OF_STORM, |seed| Plan::storm(seed, 3));
    assert_was_eventful(
        &coverage,
        &["elections", "damage found", "members replaced"],
    );
}

#[test]
fn a_cluster_that_grows_from_one_keeps_its_word() {
    let test = "a_cluster_that_grows";
    let coverage = live(test, SEEDS_OF_GROWTH, |seed| Plan::growing(seed, 3));
    assert_was_eventful(&coverage, &["members added", "snapshots installed"]);
}

#[test]
fn blackouts_break_no_promise() {
    let coverage = live("blackouts", SEEDS_OF_BLACKOUTS, |seed| {
        Plan::blackouts(seed, 3)
    });
    assert_was_eventful(&coverage, &["elections", "ends by power cut", "kills"]);
}

#[test]
fn disks_that_are_all_slow_keep_nobody_from_leading_and_serving() {
    let coverage = live("disks_that_are_all_slow", SEEDS_OF_SLOW_DISKS, |seed| {
        Plan::slow_disks(seed, 3)
    });
    assert_was_eventful(&coverage, &["elections", "disks slow everywhere", "kills"]);
}

#[test]
fn a_leader_with_a_slow_disk_beside_quick_ones_is_followed_by_another() {
    let test = "a_leader_with_a_slow_disk";
    let coverage = live(test, SEEDS_OF_SLOW_LEADERS, |seed| {
        Plan::slow_leaders(seed, 3)
    });
    assert_was_eventful(&coverage, &["leaders slow beside quick ones"]);
}

#[test]
fn the_same_seed_lives_the_same_life_twice() {
    for nodes in [1, 3, 5] {
        let plan = Plan::of(from_environment("SIM_SEED").unwrap_or(7), nodes);
        assert_eq!(Cluster::run(plan), Cluster::run(plan));
    }
}

/// Within so many seeds each planted bug is found, most of them within a few.
const SEEDS_FOR_A_BUG: u64 = 300;
/// Bugs that few lives meet, with a seed of one that does: it is tried first.
const FINDERS: [(Planted, u64); 2] = [
    (Planted::VoteNotSynced, 67),
    (Planted::SyncLeftOutAfterARoll, 201),
];

#[test]
fn every_planted_bug_is_found() {
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let bug = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).expect("few");
            let Some(bug) = Planted::ALL.get(bug) else {
                return;
            };
            let wanted = std::env::var("SIM_BUG");
            if wanted.is_ok_and(|wanted| wanted != format!("{bug:?}")) {
                continue;
            }
            let known = FINDERS.iter().filter(|(found, _)| found == bug);
            let mut seeds = known.map(|(_, seed)| *seed).chain(seeds(SEEDS_FOR_A_BUG));
            let found = seeds.find_map(|seed| Some((seed, finds(*bug, seed)?)));
            let (seed, by) = found
                .unwrap_or_else(|| panic!("{bug:?} was not found within {SEEDS_FOR_A_BUG} seeds"));
            println!("{bug:?}, found by seed {seed}: {by}");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
}

/// How a bug is found in the lives of a seed.
fn finds(bug: Planted, seed: u64) -> Option<String> {
    let lives = match bug {
        Planted::DoneBeforeKnown | Planted::PromotedWithoutProof => {
            vec![Plan::growing(seed, 5), Plan::growing(seed, 3)]
        }
        Planted::HeartbeatsWaitForTheDisk => vec![Plan::slow_disks(seed, 3)],
        Planted::OthersTakenForSlow => vec![Plan::slow_leaders(seed, 3)],
        _ => vec![
            Plan::of(seed, 3),
            Plan::storm(seed, 3),
            Plan::blackouts(seed, 3),
            Plan::of(seed, 1),
        ],
    };
    let planted = Some(bug);
    lives
        .into_iter()
        .find_map(|plan| life(Plan { planted, ..plan }).err())
}
