//! What a run is made of.

use std::time::Duration;

use super::Planted;

/// A life of a cluster: who is in it, what goes wrong and for how long. All the rest comes from the seed.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The seed of all chance.
    pub seed: u64,
    /// Nodes, all of them voters in the end.
    pub nodes: usize,
    /// So many of them begin; the others are added.
    pub founders: usize,
    /// Clients of each kind.
    pub clients: Clients,
    /// What goes wrong.
    pub troubles: Troubles,
    /// How long faults come.
    pub trouble: Duration,
    /// Within which the healed cluster must have answered every client.
    pub recovery: Duration,
    /// The next fault comes within this.
    pub trouble_within: Duration,
    /// A node that ended comes back within this.
    pub restart_within: Duration,
    /// Bytes of entries between two checkpoints.
    pub checkpoint_bytes: u64,
    /// On so many disks every record is when it is acknowledged (`min.insync.replicas`); 1 is a majority all the same.
    pub on_disks: usize,
    /// A bug to be found, if any.
    pub planted: Option<Planted>,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Troubles {
    /// All there are.
    Everything,
    /// Power cuts and kills only: elections meet them.
    Power,
    /// All disks slow, now more and now less, and none of them quick again; now and then the leader is killed.
    SlowDisks,
    /// The leader's disk slow beside quick ones, one leader after the other.
    SlowLeaders,
}

/// How many clients there are of each kind.
#[derive(Clone, Copy, Debug)]
pub struct Clients {
    /// They write one record after the other: every other one idempotently.
    pub producers: usize,
    /// They write in transactions; two and two of them under the same transactional id.
    pub transactors: usize,
    /// They read everything; every other one only what is committed.
    pub readers: usize,
    /// They share the partitions as members of one consumer group.
    pub members: usize,
    /// They write where records are kept for seconds only.
    pub sensors: usize,
}

/// Some lives have many checkpoints, and followers that fall behind what is kept for them; some have none.
const CHECKPOINT_BYTES: [u64; 4] = [4 << 10, 2 << 10, 16 << 10, u64::MAX];

impl Plan {
    /// A short life with many faults.
    pub fn of(seed: u64, nodes: usize) -> Self {
        let clients = Clients {
            producers: 4,
            transactors: 4,
            readers: 3,
            members: 3,
            sensors: 1,
        };
        Self {
            seed,
            nodes,
            founders: nodes,
            clients,
            troubles: Troubles::Everything,
            trouble: Duration::from_secs(12),
            recovery: Duration::from_secs(30),
            trouble_within: Duration::from_millis(900),
            restart_within: Duration::from_secs(2),
            checkpoint_bytes: CHECKPOINT_BYTES[usize::try_from(seed % 4).expect("below 4")],
            on_disks: if seed / 4 % 3 == 1 { nodes } else { 1 },
            planted: None,
        }
    }

    /// One node begins, and the others are added under way.
    pub fn growing(seed: u64, nodes: usize) -> Self {
        Self {
            founders: 1,
            ..Self::of(seed, nodes)
        }
    }

    /// Power cuts and kills, one after the other, and back at once.
    pub fn blackouts(seed: u64, nodes: usize) -> Self {
        Self {
            troubles: Troubles::Power,
            trouble_within: Duration::from_millis(250),
            restart_within: Duration::from_millis(100),
            ..Self::of(seed, nodes)
        }
    }

    /// Disks whose syncs take 0.1 to 1.5 s, all of them, and not only for a while.
    pub fn slow_disks(seed: u64, nodes: usize) -> Self {
        Self {
            troubles: Troubles::SlowDisks,
            trouble_within: Duration::from_secs(8),
            trouble: Duration::from_secs(20),
            recovery: Duration::from_secs(180),
            ..Self::of(seed, nodes)
        }
    }

    /// A leader with a disk of 1 to 3 s beside quick ones: another leads within 3 s.
    pub fn slow_leaders(seed: u64, nodes: usize) -> Self {
        Self {
            troubles: Troubles::SlowLeaders,
            trouble_within: Duration::from_secs(6),
            trouble: Duration::from_secs(20),
            // A follower that needs a snapshot is no quick one: it comes from the slow disk.
            checkpoint_bytes: u64::MAX,
            ..Self::of(seed, nodes)
        }
    }

    /// The same with hardly a moment between two faults.
    pub fn storm(seed: u64, nodes: usize) -> Self {
        let (trouble_within, restart_within) =
            (Duration::from_millis(300), Duration::from_millis(300));
        Self {
            trouble_within,
            restart_within,
            ..Self::of(seed, nodes)
        }
    }
}
