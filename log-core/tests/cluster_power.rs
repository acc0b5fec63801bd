//! The power fails while clients write and read: nothing acknowledged is lost, doubled or reordered, and a group goes on
//! where it committed.
//!
//! Each node has an ext4 of its own on a loop device. A power cut drops what was not synced to it, as a real one does;
//! what a disk itself holds back or tears is the simulation's to try. Where nothing can be mounted, the tests say so.

mod support {
    pub mod cluster;
}

use std::fs::File;
use std::io::Write;

use support::cluster::disk::Disk;
use support::cluster::{Cluster, DiskKind, Ground, rounds};

const NODES: u32 = 3;

fn cluster_with_plugs() -> Option<Cluster> {
    let disks = DiskKind::Powered;
    disks
        .is_possible()
        .then(|| Cluster::with(NODES, disks, Ground::loopback(NODES)))
}

#[test]
fn a_leader_whose_power_fails_costs_its_clients_nothing() {
    let Some(mut cluster) = cluster_with_plugs() else {
        return;
    };
    let (load, group) = cluster.clients();
    for _ in 0..rounds(2) {
        let leader = cluster.leader();
        load.wait_until_in_flight();
        cluster.cut_power(&[leader]);
        load.wait_for_progress();
        cluster.restore_power(&[leader]);
        cluster.wait_until_serving();
    }
    cluster.settle(load, group);
}

#[test]
fn a_power_cut_of_all_nodes_takes_nothing_acknowledged_with_it() {
    let Some(mut cluster) = cluster_with_plugs() else {
        return;
    };
    let (load, group) = cluster.clients();
    for _ in 0..rounds(2) {
        load.wait_until_in_flight();
        cluster.cut_power(&cluster.ids());
        cluster.restore_power(&cluster.ids());
        load.wait_for_progress();
        cluster.wait_until_serving();
    }
    cluster.settle(load, group);
}

#[test]
fn a_power_cut_drops_what_was_not_synced_and_nothing_else() {
    if !DiskKind::Powered.is_possible() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::make(DiskKind::Powered, &folder.path().join("disk"));
    let write = |name: &str| {
        let mut file = File::create(folder.path().join("disk").join(name)).expect("created");
        file.write_all(name.as_bytes()).expect("written");
        file
    };

    write("synced").sync_all().expect("synced");
    drop(write("not synced"));
    Disk::cut_power([&disk]);
    disk.mount_again();

    let found = std::fs::read(folder.path().join("disk/synced")).expect("there");
    assert_eq!(found, b"synced");
    assert!(!folder.path().join("disk/not synced").exists());
}
