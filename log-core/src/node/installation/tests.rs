use bytes::Bytes;
use journal::sim_disk::SimDisk;

use super::*;
use crate::ids::{LeaderEpoch, ReplicaId};
use crate::storage::{Checkpoint, Synced, hold};

const FOLDER: &str = "/data";
const APPLIED: EntryIndex = EntryIndex(5);

fn disk(seed: u64) -> Arc<dyn Disk> {
    let disk = SimDisk::with_seed(seed);
    disk.create_folder(Path::new(FOLDER)).unwrap();
    Arc::new(disk)
}

/// A follower has fetched the checkpoint of a leader, which says this of the state.
fn fetched(follower: &Arc<dyn Disk>, state: Bytes) -> Incoming {
    let (leader, folder) = (disk(1), Path::new(FOLDER));
    let recovered = recover(&leader, folder, &StorageConfig::default()).unwrap();
    let captured = recovered.partitions.capture(Checkpoint {
        applied: APPLIED,
        epoch: LeaderEpoch(1),
        state,
        membership: Membership::of_voters([ReplicaId(1)]).encode().into(),
    });
    let synced = Synced {
        last: APPLIED,
        commit: APPLIED,
    };
    captured.complete(synced).unwrap();
    let held = hold(&leader, folder).unwrap().expect("just written");
    let mut incoming = Incoming::open(follower, folder, held.manifest().clone()).unwrap();
    while let Some(wanted) = incoming.next() {
        let chunk = held.chunk(wanted.file, wanted.position).unwrap();
        incoming.take(wanted, &chunk).unwrap();
    }
    incoming
}

fn installed(state: Bytes) -> (Arc<dyn Disk>, Option<EntryIndex>) {
    let follower = disk(2);
    let incoming = fetched(&follower, state);
    let config = StorageConfig::default();
    let recovered = install(&follower, Path::new(FOLDER), &config, incoming).unwrap();
    (follower, recovered.installed)
}

#[test]
fn a_snapshot_is_in_force_when_the_folder_is_read_again() {
    let (_, applied) = installed(State::default().encode().into());
    assert_eq!(applied, Some(APPLIED));
}

#[test]
fn a_snapshot_that_cannot_be_gone_on_from_is_forgotten_and_the_folder_is_as_it_was() {
    let (disk, applied) = installed(Bytes::from_static(b"of a later version"));
    assert_eq!(applied, None);
    assert!(!disk.exists(&Path::new(FOLDER).join("incoming")));
}
