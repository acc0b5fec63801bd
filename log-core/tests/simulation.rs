//! Whole clusters in one thread, from seeds.
//!
//! `SIM_SEEDS=100000 cargo test -p log-core --test simulation --release` runs a night of them;
//! `SIM_SEED=0x51ab` runs one, and `SIM_TRACE=1` prints every event of it.

use log_core::testing::cluster::{Cluster, Coverage, Plan, Planted};

const SEEDS_ALONE_DEFAULT: u64 = 150;
const SEEDS_OF_THREE_DEFAULT: u64 = 60;

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text
        .strip_prefix("0x")
        .map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
    Some(number.unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn live(nodes: usize, seeds_default: u64) -> Coverage {
    let first = from_environment("SIM_SEED");
    let seeds = if first.is_some() {
        1
    } else {
        from_environment("SIM_SEEDS").unwrap_or(seeds_default)
    };
    let mut coverage = Coverage::default();
    for seed in first.unwrap_or(0)..first.unwrap_or(0) + seeds {
        match Cluster::run(Plan::of(seed, nodes)) {
            Ok(report) => coverage.add(&report.coverage),
            Err(violation) => panic!(
                "seed {seed:#x}, {nodes} nodes: {violation}\nagain: SIM_SEED={seed:#x} cargo test -p log-core \
                 --test simulation"
            ),
        }
    }
    println!("{seeds} seeds of {nodes} nodes: {coverage}");
    coverage
}

/// A quiet simulation proves nothing.
fn assert_was_eventful(coverage: &Coverage, events: &[&str]) {
    if from_environment("SIM_SEED").is_none() {
        for event in events {
            assert_ne!(coverage.of(event), 0, "{event} never happened: {coverage}");
        }
    }
}

#[test]
fn a_cluster_of_one_keeps_what_it_acknowledged_through_every_power_cut() {
    let coverage = live(1, SEEDS_ALONE_DEFAULT);
    let events = [
        "records acknowledged",
        "repeats recognised",
        "power cuts",
        "ends by power cut",
        "kills",
        "checkpoints",
    ];
    assert_was_eventful(&coverage, &events);
}

#[test]
fn a_cluster_of_three_keeps_what_it_acknowledged_through_power_cuts_and_broken_links() {
    let coverage = live(3, SEEDS_OF_THREE_DEFAULT);
    let events = [
        "records acknowledged",
        "repeats recognised",
        "elections",
        "outcomes unknown",
        "tries refused",
        "messages lost",
        "messages repeated",
        "power cuts everywhere",
        "links cut one way",
        "nodes cut off",
        "disks slow",
    ];
    assert_was_eventful(&coverage, &events);
}

#[test]
fn the_same_seed_lives_the_same_life_twice() {
    for nodes in [1, 3] {
        let plan = Plan::of(from_environment("SIM_SEED").unwrap_or(7), nodes);
        assert_eq!(Cluster::run(plan), Cluster::run(plan));
    }
}

const SEEDS_OF_STORM: u64 = 40;

/// Within so many seeds each planted bug is found, most of them within a few.
const SEEDS_FOR_A_BUG: u64 = 50;

#[test]
fn every_planted_bug_is_found() {
    for bug in Planted::ALL {
        let found = (0..SEEDS_FOR_A_BUG).find(|seed| is_found(bug, *seed));
        let seed =
            found.unwrap_or_else(|| panic!("{bug:?} was not found within {SEEDS_FOR_A_BUG} seeds"));
        println!("{bug:?} found by seed {seed}");
    }
}

/// An assertion of the log that fires is as good a find as a broken promise.
fn is_found(bug: Planted, seed: u64) -> bool {
    let lives = [Plan::of(seed, 3), Plan::storm(seed, 3), Plan::of(seed, 1)];
    lives.into_iter().any(|life| {
        let plan = Plan {
            planted: Some(bug),
            ..life
        };
        match std::panic::catch_unwind(|| Cluster::run(plan)) {
            Ok(Ok(_)) => false,
            Ok(Err(violation)) => {
                println!("{bug:?}: {violation}");
                true
            }
            Err(_) => true,
        }
    })
}

#[test]
fn a_cluster_of_three_keeps_what_it_acknowledged_through_a_storm() {
    for seed in 0..SEEDS_OF_STORM {
        let ended = Cluster::run(Plan::storm(seed, 3));
        assert!(ended.is_ok(), "storm {seed:#x}: {}", ended.unwrap_err());
    }
}
