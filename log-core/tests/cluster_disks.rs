//! Disks that fill up while clients write and read: what is refused is not stored, what was acknowledged stays, and with
//! room again everything goes on.
//!
//! Each node has a small file system in memory. Where none can be mounted, the tests say so.

mod support {
    pub mod cluster;
}

use support::cluster::{Cluster, DiskKind, Ground, rounds};

const NODES: u32 = 3;
/// Two segments of the journal, a checkpoint and what a test writes, above the reserve.
const DISK: DiskKind = DiskKind::Small { mebibytes: 128 };
/// Less than the reserve of the tests' nodes: records are refused, and what keeps a log going is not.
const WITHIN_THE_RESERVE: u64 = 12;
/// What librdkafka makes of a log without room (rule 13).
const NO_ROOM: &str = "PolicyViolation";

fn cluster_on_small_disks() -> Option<Cluster> {
    DISK.is_possible()
        .then(|| Cluster::with(NODES, DISK, Ground::loopback(NODES)))
}

#[test]
fn a_leader_whose_disk_is_full_to_the_last_byte_costs_its_clients_nothing() {
    let Some(mut cluster) = cluster_on_small_disks() else {
        return;
    };
    let (load, group) = cluster.clients();
    for _ in 0..rounds(1) {
        let leader = cluster.leader();
        load.wait_until_in_flight();
        let ballast = cluster.node(leader).disk().fill(0);
        load.wait_for_progress();
        load.wait_for_progress();
        // Should its log have ended, it comes back by itself.
        drop(ballast);
        load.wait_for_progress();
        cluster.wait_until_serving();
    }
    cluster.settle(load, group);
}

#[test]
fn nodes_whose_disks_are_full_to_the_last_byte_start_or_wait_and_come_back_by_themselves_with_room()
{
    let Some(mut cluster) = cluster_on_small_disks() else {
        return;
    };
    let (load, group) = cluster.clients();
    load.wait_until_in_flight();
    let ballast: Vec<_> = cluster
        .nodes
        .iter()
        .map(|node| node.disk().fill(0))
        .collect();
    for id in cluster.ids() {
        cluster.node(id).kill();
        cluster.node(id).start();
    }
    let what = "each node is ready or says that it waits for room, or most wait, and who is left finds no leader";
    cluster.wait_until(what, || {
        let waits = |words: String| words.contains("the log starts again by itself");
        let (waiting, others): (Vec<_>, Vec<_>) = cluster
            .nodes
            .iter()
            .partition(|node| waits(node.last_words()));
        others.iter().all(|node| node.is_ready()) || 1 < waiting.len()
    });
    drop(ballast);
    load.wait_for_progress();
    cluster.wait_until_serving();
    cluster.settle_excusing(Some(NO_ROOM), load, group);
}

#[test]
fn a_majority_without_room_refuses_records_before_they_are_stored_and_goes_on_with_room() {
    let Some(cluster) = cluster_on_small_disks() else {
        return;
    };
    let (load, group) = cluster.clients();
    for _ in 0..rounds(1) {
        load.wait_until_in_flight();
        let full = cluster.nodes.iter().take(2);
        let ballast: Vec<_> = full
            .map(|node| node.disk().fill(WITHIN_THE_RESERVE))
            .collect();
        load.wait_for_refusals();
        drop(ballast);
        load.wait_for_progress();
        cluster.wait_until_serving();
    }
    cluster.settle_excusing(Some(NO_ROOM), load, group);
}
