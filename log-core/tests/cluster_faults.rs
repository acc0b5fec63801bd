//! Real processes killed and paused while clients write and read: nothing acknowledged is lost, doubled or reordered, and
//! a group goes on where it committed.
//!
//! `CLUSTER_ROUNDS=50 cargo test -p log-core --test cluster_faults` strikes as often in each test.

mod support {
    pub mod cluster;
}

use support::cluster::{Cluster, rounds};

/// Nodes of the clusters here.
const NODES: u32 = 3;

#[test]
fn a_leader_killed_again_and_again_costs_its_clients_nothing() {
    let mut cluster = Cluster::of(NODES);
    let (load, group) = cluster.clients();
    for _ in 0..rounds(3) {
        let leader = cluster.leader();
        load.wait_until_in_flight();
        cluster.node(leader).kill();
        load.wait_for_progress();
        cluster.node(leader).start();
        cluster.wait_until_serving();
    }
    cluster.settle(load, group);
}

#[test]
fn a_leader_paused_and_resumed_costs_its_clients_nothing() {
    let mut cluster = Cluster::of(NODES);
    let (load, group) = cluster.clients();
    for _ in 0..rounds(3) {
        let leader = cluster.leader();
        load.wait_until_in_flight();
        cluster.node(leader).pause();
        load.wait_for_progress();
        // It wakes up, and still believes that it leads.
        cluster.node(leader).resume();
        load.wait_for_progress();
        cluster.wait_until_serving();
    }
    cluster.settle(load, group);
}

#[test]
fn two_nodes_killed_take_nothing_acknowledged_with_them_and_the_cluster_serves_when_they_are_back()
{
    let mut cluster = Cluster::of(NODES);
    let (load, group) = cluster.clients();
    for round in 0..rounds(2) {
        let leader = cluster.leader();
        let others = cluster.others(leader);
        // The leader and a follower at first, then both followers.
        let lost = if round % 2 == 0 {
            [leader, others[0]]
        } else {
            [others[0], others[1]]
        };
        load.wait_until_in_flight();
        for node in lost {
            cluster.node(node).kill();
        }
        for node in lost {
            cluster.node(node).start();
        }
        load.wait_for_progress();
        cluster.wait_until_serving();
    }
    cluster.settle(load, group);
}

#[test]
fn all_nodes_killed_at_once_come_back_with_everything_acknowledged() {
    let mut cluster = Cluster::of(NODES);
    let (load, group) = cluster.clients();
    for _ in 0..rounds(2) {
        load.wait_until_in_flight();
        for node in &mut cluster.nodes {
            node.kill();
        }
        for node in &mut cluster.nodes {
            node.start();
        }
        load.wait_for_progress();
        cluster.wait_until_serving();
    }
    cluster.settle(load, group);
}

#[test]
fn a_rolling_restart_under_load_costs_its_clients_nothing() {
    let mut cluster = Cluster::of(NODES);
    let (load, group) = cluster.clients();
    for _ in 0..rounds(1) {
        for node in cluster.ids() {
            load.wait_until_in_flight();
            cluster.node(node).stop();
            load.wait_for_progress();
            cluster.node(node).start();
            cluster.wait_until_serving();
        }
    }
    cluster.settle(load, group);
}
