//! Nodes cut off from each other while clients write and read: nothing acknowledged is lost, doubled or reordered, and a
//! group goes on where it committed.
//!
//! Each node stands in a network namespace of its own. Where none can be made, the tests say so, and a leader that is
//! paused (`cluster_faults`) is what is nearest.

mod support {
    pub mod cluster;
}

use support::cluster::network::Network;
use support::cluster::{Cluster, DiskKind, Ground, rounds};

const NODES: u32 = 3;

/// Cuts the leader off as told, again and again, until the others have gone on without it.
fn survive(cut_off: impl Fn(&Network, u32)) {
    let Some(ground) = Ground::namespaces(NODES) else {
        return;
    };
    let cluster = Cluster::with(NODES, DiskKind::Folder, ground);
    let (load, group) = cluster.clients();
    for _ in 0..rounds(2) {
        let leader = cluster.leader();
        load.wait_until_in_flight();
        cut_off(cluster.network(), leader);
        cluster.leader_among(&cluster.others(leader));
        load.wait_for_progress();
        cluster.network().heal(leader);
        cluster.wait_until_serving();
    }
    cluster.settle(load, group);
}

#[test]
fn a_leader_that_nobody_reaches_costs_its_clients_nothing() {
    survive(Network::unplug);
}

#[test]
fn a_leader_that_only_clients_reach_acknowledges_nothing_that_is_lost() {
    survive(Network::part_from_peers);
}

#[test]
fn a_leader_that_hears_no_follower_gives_way_to_one_that_does() {
    survive(Network::deafen);
}

#[test]
fn a_leader_that_no_follower_hears_gives_way_to_one_they_hear() {
    survive(Network::silence);
}

#[test]
fn a_follower_that_hears_nobody_does_not_keep_the_others_from_serving() {
    let Some(ground) = Ground::namespaces(NODES) else {
        return;
    };
    let cluster = Cluster::with(NODES, DiskKind::Folder, ground);
    let (load, group) = cluster.clients();
    for _ in 0..rounds(2) {
        let follower = cluster.others(cluster.leader())[0];
        load.wait_until_in_flight();
        cluster.network().deafen(follower);
        load.wait_for_progress();
        cluster.network().heal(follower);
        cluster.wait_until_serving();
    }
    cluster.settle(load, group);
}
