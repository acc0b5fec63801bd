//! Snapshots in a simulated process: holding one for followers, fetching one part by part, installing it.

use bytes::Bytes;

use super::failure::Failure;
use super::process::{FETCH_FAILURES_MAX, Fetch, Process};
use crate::consensus::{HeldSnapshot, Membership};
use crate::ids::{EntryIndex, ReplicaId};
use crate::node::{Input, SnapshotLost, forget_fetched, install};
use crate::storage::{Incoming, Manifest, NextChunk, Outgoing, hold};

use std::sync::Arc;

/// A part of a snapshot that is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkRequest {
    pub(super) from: ReplicaId,
    applied: EntryIndex,
    wanted: NextChunk,
}

/// The leader's side.
impl Process {
    /// What the thread does that holds a checkpoint's files.
    pub(super) fn hold_snapshot(&mut self) -> Result<(), Failure> {
        let outgoing = hold(&self.home.disk, &self.home.folder);
        let outgoing = outgoing.map_err(|error| Failure::of(&error))?;
        let held = outgoing.as_ref().map(held);
        *self.shared.held.lock().expect("nobody panicked") = outgoing.map(Arc::new);
        self.take(Input::SnapshotHeld(held))
    }

    pub(super) fn release_snapshot(&mut self) {
        let held = self.shared.held.lock().expect("nobody panicked").take();
        // What is left over is removed by the next start.
        held.and_then(|held| held.release().err());
    }

    /// A part of the held snapshot for another node, if it is of this one.
    pub(super) fn serve(&mut self, to: ReplicaId, part: ChunkRequest) -> Option<Bytes> {
        let held = self.shared.held.lock().expect("nobody panicked").clone();
        let held = held.filter(|held| held.manifest().applied == part.applied);
        let wanted = part.wanted;
        let bytes = held.and_then(|held| held.chunk(wanted.file, wanted.position).ok());
        if bytes.is_some() {
            self.ask(Input::SnapshotServed { to });
        }
        bytes
    }
}

fn held(outgoing: &Outgoing) -> HeldSnapshot {
    let checkpoint = outgoing.checkpoint();
    let membership = Membership::decode(&checkpoint.membership);
    HeldSnapshot {
        applied: checkpoint.applied,
        epoch: checkpoint.epoch,
        membership: membership.expect("this node wrote it"),
        manifest: outgoing.manifest().encode().into(),
    }
}

/// The follower's side.
impl Process {
    pub(super) fn begin_fetch(&mut self, from: ReplicaId, manifest: &[u8]) {
        let manifest = Manifest::decode(manifest).expect("a leader of ours encoded it");
        let (disk, folder) = (&self.home.disk, &self.home.folder);
        let opened = Incoming::open(disk, folder, manifest);
        self.fetch = opened.ok().map(|incoming| Fetch {
            from,
            incoming,
            failures: 0,
        });
        self.outbound.fetch_waits = true;
    }

    /// The part to ask for next.
    pub(super) fn part(&self) -> Option<ChunkRequest> {
        let fetch = self.fetch.as_ref()?;
        Some(ChunkRequest {
            from: fetch.from,
            applied: fetch.incoming.manifest().applied,
            wanted: fetch.incoming.next()?,
        })
    }

    /// Takes in the part that was asked for, or that it did not come.
    pub(super) fn fetched(&mut self, part: Option<(ChunkRequest, Bytes)>) -> Result<(), Failure> {
        let Some(fetch) = &mut self.fetch else {
            // It could not even be begun: no room.
            return self.take(Input::SnapshotFetched(Err(SnapshotLost)));
        };
        if fetch.incoming.next().is_some() {
            let taken =
                part.is_some_and(|(part, bytes)| fetch.incoming.take(part.wanted, &bytes).is_ok());
            fetch.failures = if taken { 0 } else { fetch.failures + 1 };
        }
        if fetch.incoming.next().is_none() {
            return self.fetched_all();
        }
        if FETCH_FAILURES_MAX < fetch.failures {
            self.fetch = None;
            return self.take(Input::SnapshotFetched(Err(SnapshotLost)));
        }
        self.outbound.fetch_waits = true;
        Ok(())
    }

    fn fetched_all(&mut self) -> Result<(), Failure> {
        let fetch = self.fetch.take().expect("it has just ended");
        let applied = fetch.incoming.manifest().applied;
        self.fetched = Some(fetch.incoming);
        self.take(Input::SnapshotFetched(Ok(applied)))
    }

    pub(super) fn drop_fetched(&mut self) {
        self.fetched = None;
        forget_fetched(&*self.home.disk, &self.home.folder);
    }

    /// Puts what was fetched in the place of everything here, and goes on from the folder.
    pub(super) fn install(&mut self) -> Result<(), Failure> {
        let fetched = self.fetched.take();
        let fetched = fetched.expect("only what was fetched is installed");
        let home = &self.home;
        let recovered = install(&home.disk, &home.folder, &home.storage, fetched);
        let mut recovered = recovered.map_err(|error| Failure::of(&error))?;
        if let Some(bug) = self.planted {
            bug.spoil_installed(&mut recovered);
        }
        self.promises = Some(recovered.hard_state.epoch);
        self.installed += u64::from(recovered.installed.is_some());
        let now = self.clock.now();
        let log = self
            .node
            .go_on_from(&home.folder, home.limits, &home.identity, recovered, now);
        self.log = log.map_err(|error| Failure::of(&error))?;
        self.outbound.inputs_wait |= self.inboxes.want_a_round();
        self.work()
    }
}
