//! What each node of a stopped cluster has on its disk: sound by `log-core verify`, the same as the others', and the
//! records that clients read.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::checker::{Breach, Place, Record};
use super::node::{LOG_CORE, Node};
use super::{PARTITIONS, TOPIC};

/// Fails with what is wrong on a disk.
pub fn assert_sound_and_equal(nodes: &[Node], records: &BTreeMap<Place, Record>) {
    for node in nodes {
        verify(node, None);
        let breaches = differences(node, records);
        let shown: Vec<_> = breaches.iter().take(20).collect();
        assert!(
            breaches.is_empty(),
            "{} differences: {shown:#?}",
            breaches.len()
        );
    }
    for other in nodes.iter().skip(1) {
        verify(&nodes[0], Some(&other.data()));
    }
}

fn verify(node: &Node, against: Option<&Path>) {
    let mut command = Command::new(LOG_CORE);
    command.arg("verify").arg("--data").arg(node.data());
    if let Some(other) = against {
        command.arg("--against").arg(other);
    }
    let output = command.output().expect("log-core runs");
    assert_eq!(
        output.status.code(),
        Some(0),
        "node {}, {against:?}: {}",
        node.id,
        all_said(&output)
    );
}

/// How the records on a node's disk differ from those that were read.
fn differences(node: &Node, records: &BTreeMap<Place, Record>) -> Vec<Breach> {
    let stored: BTreeMap<_, _> = (0..PARTITIONS)
        .flat_map(|partition| stored_records(node, partition))
        .collect();
    let differs = |place: &&Place| records.get(place) != stored.get(place);
    let mut places: Vec<_> = records
        .keys()
        .chain(stored.keys())
        .filter(differs)
        .collect();
    places.sort();
    places.dedup();
    let breach = |at: &Place| Breach::Differs {
        node: node.id,
        at: *at,
    };
    places.into_iter().map(breach).collect()
}

fn stored_records(node: &Node, partition: i32) -> Vec<(Place, Record)> {
    let output = Command::new(LOG_CORE)
        .args([
            "dump",
            "--json",
            "--records",
            &format!("{TOPIC}-{partition}"),
            "--data",
        ])
        .arg(node.data())
        .output()
        .expect("log-core runs");
    assert!(output.status.success(), "{}", all_said(&output));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(stored_record).collect()
}

fn stored_record(line: &str) -> (Place, Record) {
    let shown: Value = serde_json::from_str(line).expect("a line of JSON");
    let number = |name: &str| shown[name].as_i64().expect("a number");
    let text = |name: &str| shown[name].as_str().expect("text");
    let partition = i32::try_from(number("partition")).expect("small");
    let record = Record::read(text("key"), text("value"));
    (Place(partition, number("offset")), record)
}

fn all_said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
