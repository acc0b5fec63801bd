//! Disks whose syncs take a second while clients write and read: an election time-out is no limit on a disk, and one slow
//! disk is not the pace of all.
//!
//! `strace` holds the syncs up. Where it may not, the tests say so.

mod support {
    pub mod cluster;
}

use std::time::Duration;

use support::cluster::slow_syncs::SlowSyncs;
use support::cluster::{Cluster, rounds};

const NODES: u32 = 3;
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn three_nodes_whose_syncs_take_a_second_store_every_record() {
    if !SlowSyncs::are_possible() {
        return;
    }
    let mut cluster = Cluster::of(NODES);
    let (load, group) = cluster.clients();
    for _ in 0..rounds(1) {
        load.wait_until_in_flight();
        let mut slow: Vec<_> = cluster
            .nodes
            .iter()
            .map(|node| node.slow_down(SECOND))
            .collect();
        load.wait_for_progress();
        load.wait_for_progress();
        // An election among slow disks too.
        let leader = cluster.leader();
        cluster.node(leader).kill();
        cluster.leader_among(&cluster.others(leader));
        load.wait_for_progress();
        slow.clear();
        cluster.node(leader).start();
        cluster.wait_until_serving();
    }
    cluster.settle(load, group);
}

#[test]
fn a_leader_whose_disk_is_slow_beside_quick_ones_is_replaced_and_costs_its_clients_nothing() {
    if !SlowSyncs::are_possible() {
        return;
    }
    let cluster = Cluster::of(NODES);
    let (load, group) = cluster.clients();
    for _ in 0..rounds(2) {
        let leader = cluster.leader();
        load.wait_until_in_flight();
        let slow = cluster.nodes[leader as usize - 1].slow_down(SECOND);
        cluster.leader_among(&cluster.others(leader));
        load.wait_for_progress();
        drop(slow);
        cluster.wait_until_serving();
    }
    cluster.settle(load, group);
}
