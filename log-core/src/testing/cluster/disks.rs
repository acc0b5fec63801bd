//! What a process says of its disk and hears of the others', and whether it acts by that.

use std::collections::BTreeMap;
use std::time::Duration;

use super::failure::{Failure, Untimely};
use super::process::Process;
use crate::consensus::{Membership, Persist, Quorum};
use crate::ids::{EntryIndex, ReplicaId};
use crate::node::disk_room::RoomReport;
use crate::node::{AppliedOutcome, Input, ProposeError, Until};
use crate::state::{Command, Envelope};

/// What a node says of itself.
#[derive(Clone, Debug)]
pub(super) struct Status {
    pub(super) from: ReplicaId,
    room: RoomReport,
    quorum: Option<Quorum>,
}

/// A record that a node has acknowledged.
pub(super) struct OnDisks {
    pub(super) entry: EntryIndex,
    pub(super) required: usize,
    pub(super) voters: Vec<ReplicaId>,
}

/// Free space that records leave alone.
pub(super) const RESERVE_BYTES: u64 = 24 << 10;
/// How long a client's produce may take.
pub(super) const PRODUCE_WAITS: Duration = Duration::from_millis(1_400);

/// A node looks at its disk once in so many ticks, and says how it is in fewer.
const TICKS_BETWEEN_LOOKS: u64 = 40;
const TICKS_BETWEEN_STATUSES: u64 = 10;
/// A report holds for three seconds.
const SURELY_HOLDS_FOR: Duration = Duration::from_millis(2_500);

/// What this process was told of disks, by its own look too.
#[derive(Default)]
pub(super) struct KnownDisks {
    reports: BTreeMap<ReplicaId, (bool, Duration)>,
    /// At how many ticks in a row it has known that most voters have no room.
    full_for: u32,
}

impl KnownDisks {
    fn are_full(&self, me: ReplicaId, members: &Membership, now: Duration) -> bool {
        let is_full = |voter: &&ReplicaId| {
            let known = self.reports.get(*voter);
            let fresh = |at: Duration| **voter == me || now.saturating_sub(at) < SURELY_HOLDS_FOR;
            known.is_some_and(|(has_room, at)| !has_room && fresh(*at))
        };
        let full = members.voters.iter().filter(is_full).count();
        members.voters.len() / 2 >= members.voters.len() - full
    }
}

impl Process {
    /// Looks at the disk and says how it is, where it is time.
    pub(super) fn watch_disks(&mut self, ticks: u64) -> Result<(), Failure> {
        self.disks.full_for += 1;
        self.see_whether_full();
        if ticks.is_multiple_of(TICKS_BETWEEN_LOOKS) {
            self.look_at_disk()?;
        }
        if ticks.is_multiple_of(TICKS_BETWEEN_STATUSES) {
            self.outbound.status = Some(Status {
                from: self.home.identity.replica,
                room: self.shared.room.own_report(),
                quorum: self
                    .leading()
                    .map(|_| self.published.quorum.as_ref().clone()),
            });
        }
        Ok(())
    }

    fn see_whether_full(&mut self) {
        let (me, now) = (self.home.identity.replica, self.now());
        if !self.disks.are_full(me, &self.published.membership, now) {
            self.disks.full_for = 0;
        }
    }

    pub(super) fn look_at_disk(&mut self) -> Result<(), Failure> {
        let Ok(bytes) = self.home.disk.free_bytes(&self.home.folder) else {
            return Ok(());
        };
        let seen = (RESERVE_BYTES <= bytes, self.now());
        let me = self.home.identity.replica;
        self.disks.reports.insert(me, seen);
        self.see_whether_full();
        let bytes = self
            .planted
            .map_or(bytes, |bug| bug.spoil_free_bytes(bytes));
        self.take(Input::DiskFree { bytes })
    }

    /// Another node says how it is.
    pub(super) fn hear_status(&mut self, status: Status) -> Result<(), Failure> {
        let Status {
            from,
            mut room,
            quorum,
        } = status;
        if self.node.is_installing() {
            return Ok(());
        }
        self.disks.reports.insert(from, (room.has_room, self.now()));
        self.see_whether_full();
        if let Some(bug) = self.planted {
            bug.spoil_room(&mut room);
        }
        self.take(Input::Status { from, room, quorum })
    }

    /// A leader that knows for two ticks that most voters have no room proposes no records.
    pub(super) fn watch_room(&mut self, step: &Persist) {
        let Some(epoch) = self.leading().filter(|_| 2 <= self.disks.full_for) else {
            return;
        };
        for entry in step.entries.iter().filter(|entry| entry.epoch == epoch) {
            let envelope = Envelope::decode(&entry.payload);
            if envelope.is_ok_and(|envelope| matches!(envelope.command, Command::Produce(_))) {
                self.outbound.untimely.push(Untimely::TakenWithoutRoom);
            }
        }
    }

    /// When a produce is answered.
    pub(super) fn until(&self) -> Until {
        match self.planted {
            Some(bug) if bug.answers_at_apply() => Until::Applied,
            _ => Until::OnDisks(self.home.on_disks),
        }
    }

    /// On how many disks a record is to be.
    pub(super) fn required(&self) -> usize {
        self.home
            .on_disks
            .min(self.published.membership.voters.len())
    }

    /// A produce is answered: its entry is on so many disks by that, or on all where fewer vote by now.
    pub(super) fn acknowledged(
        &mut self,
        required: usize,
        outcome: &Result<AppliedOutcome, ProposeError>,
    ) {
        if let Ok((entry, Ok(_))) = outcome {
            let voters = self.published.membership.voters.clone();
            self.outbound.on_disks.push(OnDisks {
                entry: *entry,
                required: required.min(self.required()),
                voters,
            });
        }
    }
}
