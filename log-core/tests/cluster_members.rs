//! Nodes join, leave and are replaced by the operator's commands while clients write and read, which costs them nothing;
//! and a backup becomes a cluster again that the same clients go on with.

mod support {
    pub mod cluster;
}

use std::process::Command;

use support::cluster::node::LOG_CORE;
use support::cluster::{Cluster, rounds};

/// More than a checkpoint of the tests' nodes covers and a journal keeps: a node that begins now needs a snapshot.
const BYTES_BEYOND_A_CHECKPOINT: usize = 5 << 20;

#[test]
fn a_node_that_lost_its_disk_is_replaced_under_load_by_two_commands() {
    let mut cluster = Cluster::of(3);
    let (load, group) = cluster.clients();
    load.wait_for_bytes(BYTES_BEYOND_A_CHECKPOINT);
    for round in 0..rounds(2) {
        let leader = cluster.leader();
        // A follower at first, then the leader.
        let lost = if round % 2 == 0 {
            cluster.others(leader)[0]
        } else {
            leader
        };
        load.wait_until_in_flight();
        cluster.node(lost).kill();
        cluster.start_empty(lost);
        cluster.tool(&["nodes", "replace", &lost.to_string()]);
        load.wait_for_progress();
        cluster.wait_until_serving();
    }
    cluster.settle(load, group);
}

#[test]
fn a_log_of_one_grows_to_three_under_load_and_then_survives_its_first_node() {
    let mut cluster = Cluster::of_one_with_room_for(3);
    let (load, group) = cluster.clients();
    load.wait_for_bytes(BYTES_BEYOND_A_CHECKPOINT);
    cluster.grow_by(2);
    cluster.grow_by(3);
    load.wait_for_progress();

    load.wait_until_in_flight();
    cluster.node(1).kill();
    load.wait_for_progress();
    cluster.node(1).start();
    cluster.wait_until_serving();

    cluster.settle(load, group);
}

#[test]
fn a_leader_that_is_removed_under_load_hands_over_first_and_costs_its_clients_nothing() {
    let mut cluster = Cluster::of(3);
    let (load, group) = cluster.clients();
    let leader = cluster.leader();
    load.wait_until_in_flight();
    cluster.shrink_by(leader);
    load.wait_for_progress();
    cluster.settle(load, group);
}

#[test]
fn the_clients_of_a_lost_cluster_go_on_with_the_one_made_of_its_backup() {
    let mut cluster = Cluster::of(3);
    let (load, group) = cluster.clients();
    load.rest();
    let (leader, backup) = (cluster.leader(), cluster.spare_folder());
    log_core(
        Command::new(LOG_CORE)
            .arg("backup")
            .arg("--data")
            .arg(cluster.node(leader).data())
            .arg("--to")
            .arg(&backup),
    );
    for node in &mut cluster.nodes {
        node.kill();
        node.lose_disk();
    }

    let data = cluster.node(1).data();
    log_core(
        Command::new(LOG_CORE)
            .args(["restore", "--node-id", "1", "--from"])
            .arg(&backup)
            .arg("--data")
            .arg(data),
    );
    cluster.node(1).start();
    load.go_on();
    // The topic wants every record on two disks: until a second node is there, producers are told to come back.
    for id in [2, 3] {
        cluster.start_empty(id);
        cluster.tool(&["nodes", "add", &id.to_string()]);
    }
    load.wait_for_progress();

    cluster.settle(load, group);
}

fn log_core(command: &mut Command) {
    let output = command.output().expect("log-core runs");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
