//! Snapshots in a simulated process: holding one for followers, fetching one part by part, installing it.

use bytes::Bytes;

use super::failure::Failure;
use super::process::{FETCH_FAILURES_MAX, Fetch, Process};
use crate::consensus::{HeldSnapshot, Membership};
use crate::ids::{EntryIndex, ReplicaId};
use crate::node::group_commit::Written;
use crate::node::{Input, SnapshotLost, assemble_again};
use crate::storage::{Incoming, Manifest, NextChunk, Outgoing, hold, recover};

use std::sync::Arc;

/// A part of a snapshot that is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
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
    pub(super) fn serve(&mut self, to: ReplicaId, part: Part) -> Option<Bytes> {
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
        let opened = Incoming::open(&self.home.disk, &self.home.folder, manifest);
        self.fetch = opened.ok().map(|incoming| Fetch {
            from,
            incoming,
            failures: 0,
        });
        self.outbound.fetch_waits = true;
    }

    /// The part to ask for next.
    pub(super) fn part(&self) -> Option<Part> {
        let fetch = self.fetch.as_ref()?;
        Some(Part {
            from: fetch.from,
            applied: fetch.incoming.manifest().applied,
            wanted: fetch.incoming.next()?,
        })
    }

    /// Takes in the part that was asked for, or that it did not come.
    pub(super) fn fetched(&mut self, part: Option<(Part, Bytes)>) -> Result<(), Failure> {
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
        // What is left over is removed by the next start.
        Incoming::forget(&*self.home.disk, &self.home.folder).err();
    }

    /// Puts what was fetched in the place of everything here, and starts again from the folder. What the journal was
    /// told before goes to disk first: a vote that was promised stays promised.
    pub(super) fn install(&mut self) -> Result<(), Failure> {
        self.end_the_journal()?;
        self.end_the_checkpoint()?;
        self.release_snapshot();
        let fetched = self
            .fetched
            .take()
            .expect("only what was fetched is installed");
        fetched.finish().map_err(|error| Failure::of(&error))?;
        let home = &self.home;
        let recovered = recover(&home.disk, &home.folder, &home.storage);
        let recovered = recovered.map_err(|error| Failure::of(&error))?;
        let (folder, identity) = (&home.folder, &home.identity);
        let again = assemble_again(
            folder,
            home.limits,
            identity,
            recovered,
            &self.shared,
            self.clock.now(),
        );
        let (node, log) = again.map_err(|error| Failure::of(&error))?;
        (self.node, self.log) = (node, log);
        self.installed += 1;
        self.work()
    }

    fn end_the_journal(&mut self) -> Result<(), Failure> {
        while let Some(group) = self.writing.take().or_else(|| self.journal.next()) {
            let mut said = Vec::new();
            let written = group.write(&mut self.log, &mut |word| said.push(word));
            written.map_err(|error| Failure::of(&error))?;
            for word in said {
                if let Written::Persisted { then_send, .. } = word {
                    self.outbound.messages.extend(then_send);
                }
            }
        }
        Ok(())
    }

    fn end_the_checkpoint(&mut self) -> Result<(), Failure> {
        while let Some((captured, synced)) = self.sealed.pop_front() {
            let completed = captured.complete(synced);
            completed.map_err(|error| Failure::of(&error))?;
        }
        Ok(())
    }
}
