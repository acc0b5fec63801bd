//! Snapshots: the one held for followers that are too far behind, and the one that this replica fetches itself
//! (rule 16).

use super::Replica;
use crate::consensus::followers::Tick;
use crate::consensus::{HeldSnapshot, Message, Role, SnapshotOutcome, told_snapshot};
use crate::ids::{EntryIndex, LeaderEpoch, ReplicaId};
use crate::node::effect::Effect;
use crate::node::input::SnapshotLost;

/// Where no snapshot could be held, it is tried again after 1 s.
const HOLD_AGAIN_TICKS: u64 = 40;

/// The snapshot on its way out, and the one on its way in.
#[derive(Default)]
pub(super) struct SnapshotPlan {
    pub(super) held: Option<HeldSnapshot>,
    pub(super) holding: bool,
    /// When nothing could be held.
    failed: Option<Tick>,
    fetching: Option<(EntryIndex, LeaderEpoch)>,
}

impl Replica {
    /// A snapshot that would put this replica ahead is fetched first and installed by a restart; everything else is for
    /// consensus.
    pub(in crate::node) fn hear(&mut self, message: Message, effects: &mut Vec<Effect>) {
        let from = ReplicaId(message.from);
        self.followers.heard(from);
        let told = told_snapshot(&message);
        let Some(told) = told.filter(|told| self.driver.lacks(told.applied, told.epoch)) else {
            // Entries that the disk cannot take yet count as lost on their way: the journal's line is bounded by this.
            if self.unsynced.is_full() && !message.entries.is_empty() {
                return self.driver.hear_leader(&message);
            }
            return self.driver.step(message);
        };
        self.driver.hear_leader(&message);
        let leads = self.driver.role() == Role::Follower { leader: Some(from) };
        if leads && self.snapshot.fetching.is_none() {
            self.snapshot.fetching = Some((told.applied, told.epoch));
            effects.push(Effect::FetchSnapshot {
                from,
                applied: told.applied,
                manifest: told.manifest,
            });
        }
    }

    /// The entry of a snapshot that is to be installed; this replica takes no further input then.
    pub(in crate::node) fn snapshot_fetched(
        &mut self,
        fetched: Result<EntryIndex, SnapshotLost>,
        effects: &mut Vec<Effect>,
    ) -> Option<EntryIndex> {
        let asked = self.snapshot.fetching.take();
        let (Ok(applied), Some((asked, epoch))) = (fetched, asked) else {
            return None;
        };
        // Meanwhile entries may have come. What they brought may be promised to the leader: never go back. And a leader
        // whose manifest is of another entry than its message says is not believed.
        if applied != asked || !self.driver.lacks(applied, epoch) {
            effects.push(Effect::DropFetched);
            return None;
        }
        self.fail_pending_proposals(effects);
        self.release_snapshot(effects);
        Some(applied)
    }

    pub(super) fn hold_snapshot_when_wanted(&mut self, effects: &mut Vec<Effect>) {
        let wanted = self.driver.take_snapshot_wanted();
        let just_failed = self
            .snapshot
            .failed
            .is_some_and(|failed| self.followers.now().since(failed) < HOLD_AGAIN_TICKS);
        if !wanted || just_failed || !self.is_leading() || self.is_checkpointing() {
            return;
        }
        if self.snapshot.held.take().is_some() {
            self.driver.offer_snapshot(None);
            effects.push(Effect::ReleaseSnapshot);
        }
        self.snapshot.holding = true;
        effects.push(Effect::HoldSnapshot);
    }

    pub(in crate::node) fn snapshot_held(&mut self, held: Option<HeldSnapshot>) {
        self.snapshot.holding = false;
        self.snapshot.failed = held.is_none().then(|| self.followers.now());
        self.followers.hold();
        self.driver.offer_snapshot(held.as_ref());
        self.snapshot.held = held;
    }

    /// Tells a follower again that stopped fetching, and lets the files go once nobody fetches them.
    pub(super) fn follow_snapshots(&mut self, effects: &mut Vec<Effect>) {
        let followers = self.driver.followers();
        for follower in self.followers.given_up(&followers) {
            self.driver
                .snapshot_settled(follower, SnapshotOutcome::Failed);
        }
        if self.snapshot.held.is_some() && self.followers.nobody_fetches(&followers) {
            self.release_snapshot(effects);
        }
    }

    /// Held files keep the space of what retention deletes.
    pub(super) fn release_snapshot(&mut self, effects: &mut Vec<Effect>) {
        if self.snapshot.held.take().is_some() {
            self.driver.offer_snapshot(None);
            effects.push(Effect::ReleaseSnapshot);
        }
    }
}
