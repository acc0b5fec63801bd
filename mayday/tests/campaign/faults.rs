//! What is done to the machines, chosen from a seed, and undone after a while.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::machine::Machine;
use crate::network::Network;

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// SIGKILL, and a start when it is over.
    Kill,
    /// SIGTERM, and a start when it is over.
    Restart,
    /// SIGSTOP and SIGCONT.
    Pause,
    /// Each sync takes so many milliseconds longer.
    SlowSyncs(u32),
    /// Each sync fails.
    FailingSyncs,
    /// Another program takes all the room.
    FullDisk,
    /// Nearly no descriptor is free.
    FewFiles,
    /// The wall clock is off by so many seconds.
    Clock(i64),
    /// Nobody reaches the machine.
    Unplugged,
    /// Its peers and it do not hear each other; clients reach it.
    Parted,
    /// It does not hear its peers.
    Deaf,
    /// Its peers do not hear it.
    Mute,
}

const HOUR: i64 = 3_600;
const YEAR: i64 = 365 * 24 * HOUR;

const ON_ANY_MACHINE: [Fault; 18] = [
    Fault::Kill,
    Fault::Kill,
    Fault::Restart,
    Fault::Pause,
    Fault::Pause,
    Fault::SlowSyncs(100),
    Fault::SlowSyncs(1_000),
    Fault::SlowSyncs(3_000),
    Fault::FailingSyncs,
    Fault::FullDisk,
    Fault::FullDisk,
    Fault::FewFiles,
    Fault::Clock(-30),
    Fault::Clock(2 * HOUR),
    Fault::Clock(-2 * HOUR),
    Fault::Clock(30 * HOUR),
    Fault::Clock(2 * YEAR),
    Fault::Clock(-2 * YEAR),
];
const ON_A_NETWORK: [Fault; 4] = [Fault::Unplugged, Fault::Parted, Fault::Deaf, Fault::Mute];

/// Some trouble at some machines, for a while, and a while without.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// What is done to which machine, from 0: a machine has one trouble at a time.
    pub(crate) faults: Vec<(Fault, usize)>,
    pub(crate) lasts: Duration,
    pub(crate) rest: Duration,
}

/// The rounds of a seed, without end.
pub(crate) struct Rounds {
    chance: StdRng,
    machines: usize,
    faults: Vec<Fault>,
    /// Those of the kinds that have not come yet: each comes once before any comes again.
    deck: Vec<Fault>,
}

impl Rounds {
    /// `only` names the kinds that are wanted, as their names begin; empty means all.
    pub(crate) fn new(seed: u64, machines: usize, only: &str) -> Self {
        let mut faults = ON_ANY_MACHINE.to_vec();
        if 1 < machines {
            faults.extend(ON_A_NETWORK);
        }
        let wanted: Vec<&str> = only.split(',').filter(|name| !name.is_empty()).collect();
        faults.retain(|fault| {
            let name = format!("{fault:?}");
            wanted.is_empty() || wanted.iter().any(|wanted| name.starts_with(wanted))
        });
        Self {
            chance: StdRng::seed_from_u64(seed),
            machines,
            faults,
            deck: Vec::new(),
        }
    }
}

impl Iterator for Rounds {
    type Item = Round;

    fn next(&mut self) -> Option<Round> {
        if self.deck.is_empty() {
            self.deck.clone_from(&self.faults);
            self.deck.shuffle(&mut self.chance);
        }
        let fault = self.deck.pop()?;
        let machine = self.chance.random_range(0..self.machines);
        // Mostly one machine is in trouble; now and then all are, or another one has a trouble of its own.
        let faults = match self.chance.random_range(0..10) {
            0 | 1 => (0..self.machines).map(|each| (fault, each)).collect(),
            2..=4 if 1 < self.machines => {
                let other = (machine + self.chance.random_range(1..self.machines)) % self.machines;
                let also = self.faults[self.chance.random_range(0..self.faults.len())];
                vec![(fault, machine), (also, other)]
            }
            _ => vec![(fault, machine)],
        };
        Some(Round {
            faults,
            lasts: Duration::from_millis(self.chance.random_range(300..5_000)),
            rest: Duration::from_millis(self.chance.random_range(0..3_000)),
        })
    }
}

impl Fault {
    /// Begins. Says whether this machine lets us.
    pub(crate) fn begin(self, machine: &mut Machine, network: Option<&Network>) -> bool {
        let number = machine.number;
        match self {
            Self::Kill => machine.kill(),
            Self::Restart => machine.stop(),
            Self::Pause => machine.signal("STOP"),
            Self::SlowSyncs(millis) => {
                return machine.sync_with(&format!("delay_enter={}000", millis));
            }
            // A start on such a disk, or without descriptors, ends with an error that says so: what is promised is that nothing
            // ends later.
            Self::FailingSyncs => {
                return machine.wait_until_started() && machine.sync_with("error=EIO");
            }
            Self::FullDisk => return machine.fill_disk(),
            Self::FewFiles => return machine.wait_until_started() && machine.limit_files(true),
            Self::Clock(seconds) => return machine.set_clock(seconds),
            Self::Unplugged => on(network).unplug(number),
            Self::Parted => on(network).part_from_peers(number),
            Self::Deaf => on(network).deafen(number),
            Self::Mute => on(network).silence(number),
        }
        true
    }

    /// Ends: all is as it was.
    pub(crate) fn end(self, machine: &mut Machine, network: Option<&Network>) {
        match self {
            Self::Kill | Self::Restart => machine.start(),
            Self::Pause => machine.signal("CONT"),
            Self::SlowSyncs(_) | Self::FailingSyncs => machine.sync_as_ever(),
            Self::FullDisk => machine.empty_disk(),
            Self::FewFiles => drop(machine.limit_files(false)),
            Self::Clock(_) => drop(machine.set_clock(0)),
            Self::Unplugged | Self::Parted | Self::Deaf | Self::Mute => {
                on(network).heal(machine.number);
            }
        }
    }
}

fn on(network: Option<&Network>) -> &Network {
    network.expect("this trouble is chosen on a network only")
}
