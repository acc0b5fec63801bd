//! The thread that owns the replica and loops: next input, take, work, perform. Writing and syncing happen on the
//! journal's thread and checkpoints on one of their own, so a tick never waits for a disk.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use journal::FolderLock;
use journal::disk::Disk;
use service_kit::clock::steady;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::broker_stopped::BrokerStopped;
use super::ending::Ending;
use super::journal_thread::JournalThread;
use super::node_handle::{QueuedInput, Waiter};
use super::node_view::NodeView;
use super::peers::{FetchError, Peers, SnapshotFetcher};
use crate::consensus::{HeldSnapshot, InvalidMembership, Membership, Message};
use crate::ids::{EntryIndex, RequestId};
use crate::node::group_commit::JournalEvent;
use crate::node::{
    Effect, Input, InstallError, Leadership, Limits, Node, NodeReply, SnapshotLost, forget_fetched,
    install,
};
use crate::storage::snapshot::{Incoming, Outgoing, SnapshotError, hold};
use crate::storage::{
    CheckpointError, EntryLog, Identity, PendingCheckpoint, StorageConfig, Synced,
};

/// Questions or messages taken before the next round of work: enough to share one write, few enough to start it soon.
const TAKEN_PER_ROUND_MAX: usize = 256;
/// Events of the journal's and the checkpoint's threads that this thread has not taken. They block when it is full.
const EVENTS_MAX: usize = 256;
/// What other threads of the replica say to its own.
enum ThreadEvent {
    JournalEvent(JournalEvent),
    Checkpoint(Result<EntryIndex, CheckpointError>),
    Held(Result<Option<Outgoing>, SnapshotError>),
    Panicked { thread: &'static str },
}

/// The other nodes, as the replica's thread meets them.
pub(super) struct ClusterLinks {
    /// Where messages go.
    pub(super) peers: Peers,
    /// Where they come from.
    pub(super) incoming: Receiver<Message>,
    /// Who fetches snapshots.
    pub(super) fetcher: SnapshotFetcher,
}

/// The data folder, for starting again from it.
pub(super) struct Home {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) storage: StorageConfig,
    pub(super) limits: Limits,
    pub(super) identity: Identity,
    /// Held for as long as any thread works in the folder, however the broker is dropped: a second process there would be
    /// a second writer.
    pub(super) lock: Arc<HeldFolder>,
}

/// The folder's lock, and an end of a channel that is hung up once it is released.
pub(super) struct HeldFolder {
    // Dropped in this order.
    _lock: FolderLock,
    _released: oneshot::Sender<()>,
}

impl HeldFolder {
    /// With a way to wait until it is released: the receiver's error says so.
    pub(super) fn new(lock: FolderLock) -> (Arc<Self>, oneshot::Receiver<()>) {
        let (released, wait) = oneshot::channel();
        let held = Self {
            _lock: lock,
            _released: released,
        };
        (Arc::new(held), wait)
    }
}

/// The running thread.
pub(super) struct NodeThread {
    thread: JoinHandle<()>,
}

impl NodeThread {
    /// Starts it. What stops it ends it cleanly, with a checkpoint; when it ends early it says why.
    ///
    /// # Errors
    /// What the system says when it has no thread to give.
    pub(super) fn start(
        node: Node,
        log: EntryLog,
        queued: Receiver<QueuedInput>,
        view: NodeView,
        home: Home,
        links: ClusterLinks,
        ending: Arc<Ending>,
    ) -> std::io::Result<Self> {
        let (events_in, events) = mpsc::channel(EVENTS_MAX);
        let ClusterLinks {
            peers,
            incoming,
            fetcher,
        } = links;
        let runner = Runner {
            journal: start_journal(log, &events_in)?,
            node,
            view,
            home,
            peers,
            fetcher,
            waiters: BTreeMap::new(),
            effects: Vec::new(),
            events_in,
            fetching: None,
            fetched: None,
            stopping: false,
            ended: false,
            ending: Arc::clone(&ending),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let body = move || {
            let stop = ending.stop().clone();
            // However the thread ends, the broker does.
            let _stopped = stop.clone().drop_guard();
            let inboxes = Inboxes {
                queued,
                incoming,
                events,
            };
            let run = || runtime.block_on(runner.run(inboxes, &stop));
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                ending.tell(BrokerStopped::Panicked { thread: "replica" });
            }
        };
        Ok(Self {
            thread: thread::Builder::new().name("replica".into()).spawn(body)?,
        })
    }

    /// Waits for its end.
    pub(super) fn join(self) {
        self.thread
            .join()
            .expect("what panics in it is caught there");
    }
}

/// Once the replica is gone nobody needs the word.
fn start_journal(log: EntryLog, events_in: &Sender<ThreadEvent>) -> std::io::Result<JournalThread> {
    let events_in = events_in.clone();
    JournalThread::start(log, move |written| {
        drop(events_in.blocking_send(ThreadEvent::JournalEvent(written)))
    })
}

/// Where inputs come from.
struct Inboxes {
    queued: Receiver<QueuedInput>,
    incoming: Receiver<Message>,
    events: Receiver<ThreadEvent>,
}

/// When the node last had its tick, and the wait for the next. Times are those of the node's clock.
struct Ticks {
    last: Duration,
    /// The moment that the node's clock counts from.
    zero: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Ticks {
    fn begin(now: Duration) -> Self {
        let zero = Instant::from_std(steady()) - now;
        Self {
            last: now,
            zero,
            sleep: Box::pin(sleep_until(zero)),
        }
    }

    /// Returns when `due` has come. Cancel safe: what has come is still due.
    async fn wait(&mut self, due: Duration) {
        let deadline = self.zero + due;
        if self.sleep.deadline() != deadline {
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().await;
    }

    /// The node is given its tick at `now`. One that is a little late delays none after it; those that were missed are left out.
    fn passed(&mut self, now: Duration) {
        let due = self.sleep.deadline() - self.zero;
        let is_late_by = now.saturating_sub(due);
        self.last = if is_late_by < due.saturating_sub(self.last) {
            due
        } else {
            now
        };
    }
}

type Fetched = Result<Incoming, FetchError>;

struct Runner {
    node: Node,
    journal: JournalThread,
    view: NodeView,
    home: Home,
    peers: Peers,
    fetcher: SnapshotFetcher,
    /// Who waits for which reply.
    waiters: BTreeMap<RequestId, Waiter>,
    effects: Vec<Effect>,
    events_in: Sender<ThreadEvent>,
    /// The snapshot on its way, and the one that is here.
    fetching: Option<oneshot::Receiver<Fetched>>,
    fetched: Option<Incoming>,
    /// Whether the node knows that it is to stop, and whether it has.
    stopping: bool,
    ended: bool,
    ending: Arc<Ending>,
}

impl Runner {
    /// Until it is stopped or cannot go on; the reason is told before anything that may wait for a disk that hangs.
    async fn run(mut self, mut inboxes: Inboxes, stop: &CancellationToken) {
        if let Err(stopped) = self.live(&mut inboxes, stop).await {
            self.ending.tell(stopped);
        }
    }

    async fn live(
        &mut self,
        inboxes: &mut Inboxes,
        stop: &CancellationToken,
    ) -> Result<(), BrokerStopped> {
        let mut ticks = Ticks::begin(self.view.now().elapsed);
        if self.node.is_alone() {
            self.node.campaign();
            self.work()?;
        }
        while !self.ended {
            if self.node.is_installing() {
                self.hear_last_words(inboxes).await?;
            } else {
                self.turn(inboxes, &mut ticks, stop).await?;
            }
        }
        info!("replica ended with a checkpoint");
        Ok(())
    }

    /// Takes what comes next, and works.
    async fn turn(
        &mut self,
        inboxes: &mut Inboxes,
        ticks: &mut Ticks,
        stop: &CancellationToken,
    ) -> Result<(), BrokerStopped> {
        self.ending.turn();
        let tick_due = self.node.tick_due(ticks.last);
        tokio::select! {
            biased;
            Some(word) = inboxes.events.recv() => self.hear(word)?,
            () = stop.cancelled(), if !self.stopping => {
                self.stopping = true;
                self.take(Input::Stop);
            }
            () = ticks.wait(tick_due) => {
                let now = self.view.now();
                ticks.passed(now.elapsed);
                self.node.take(now, Input::Tick, &mut self.effects);
            }
            fetched = arrival(&mut self.fetching) => self.take_fetched(fetched),
            Some(message) = inboxes.incoming.recv() => {
                self.take_several(message, &mut inboxes.incoming, |_, message| Input::Message(message));
            }
            Some(queued) = inboxes.queued.recv() => {
                self.take_several(queued, &mut inboxes.queued, note_waiter);
            }
        }
        self.work()
    }

    /// While a snapshot is installed, what other threads say is all that is taken; they may wait for the disk.
    async fn hear_last_words(&mut self, inboxes: &mut Inboxes) -> Result<(), BrokerStopped> {
        self.ending.busy();
        let word = inboxes.events.recv().await;
        self.hear(word.expect("this end holds a sender of its own"))?;
        self.work()
    }

    fn take(&mut self, input: Input) {
        self.node.take(self.view.now(), input, &mut self.effects);
    }

    fn take_several<T>(
        &mut self,
        first: T,
        waiting: &mut Receiver<T>,
        input: impl Fn(&mut BTreeMap<RequestId, Waiter>, T) -> Input,
    ) {
        let now = self.view.now();
        let more = std::iter::from_fn(|| waiting.try_recv().ok()).take(TAKEN_PER_ROUND_MAX - 1);
        for each in std::iter::once(first).chain(more) {
            let input = input(&mut self.waiters, each);
            self.node.take(now, input, &mut self.effects);
        }
    }

    fn hear(&mut self, word: ThreadEvent) -> Result<(), BrokerStopped> {
        match word {
            ThreadEvent::JournalEvent(JournalEvent::Persisted { number, then_send }) => {
                self.effects.extend(then_send.into_iter().map(Effect::Send));
                self.take(Input::Persisted { number });
            }
            ThreadEvent::JournalEvent(JournalEvent::Sealed(captured, synced)) => {
                self.take(Input::CheckpointSealed(captured, synced));
            }
            ThreadEvent::JournalEvent(JournalEvent::Broken(error)) => {
                return Err(BrokerStopped::Journal(error));
            }
            ThreadEvent::JournalEvent(JournalEvent::Panicked) => {
                return Err(BrokerStopped::Panicked { thread: "journal" });
            }
            ThreadEvent::JournalEvent(JournalEvent::Ended) => self.take(Input::JournalEnded),
            ThreadEvent::Panicked { thread } => return Err(BrokerStopped::Panicked { thread }),
            ThreadEvent::Checkpoint(done) => {
                let index = done.map_err(BrokerStopped::Checkpoint)?;
                self.take(Input::CheckpointDurable { index });
            }
            ThreadEvent::Held(held) => {
                let held = self.show_held(held);
                self.take(Input::SnapshotHeld(held));
            }
        }
        Ok(())
    }

    fn work(&mut self) -> Result<(), BrokerStopped> {
        let worked = self.node.work(self.view.now(), &mut self.effects);
        for effect in std::mem::take(&mut self.effects) {
            self.perform(effect)?;
        }
        worked.map_err(BrokerStopped::Replica)
    }

    fn perform(&mut self, effect: Effect) -> Result<(), BrokerStopped> {
        match effect {
            Effect::Publish(published) => self.view.watches.publish(published),
            Effect::Persist(step) => self.journal.persist(step),
            Effect::Send(message) => self.peers.send(message),
            Effect::Reply { to, reply } => self.reply(to, reply),
            Effect::SealCheckpoint {
                hard_state,
                captured,
            } => self.journal.seal(hard_state, captured),
            Effect::CompleteCheckpoint(captured, synced) => {
                self.complete_checkpoint(captured, synced)?;
            }
            Effect::TrimJournal { before } => self.journal.trim_before(before),
            Effect::HoldSnapshot => self.hold_snapshot()?,
            Effect::ReleaseSnapshot => self.release_snapshot()?,
            Effect::FetchSnapshot {
                from,
                applied,
                manifest,
            } => {
                info!(from = from.0, applied = applied.0, "snapshot is fetched");
                self.fetching = Some(self.fetcher.fetch(from, manifest));
            }
            Effect::DropFetched => self.drop_fetched(),
            Effect::EndJournal => self.journal.end(),
            Effect::Install { applied } => self.install(applied)?,
            Effect::Housekept(housekept) => info!("{housekept}"),
            Effect::Ended => self.ended = true,
        }
        Ok(())
    }

    fn reply(&mut self, to: RequestId, reply: NodeReply) {
        let waiter = self.waiters.remove(&to);
        waiter
            .expect("each request is replied to once")
            .reply(reply);
    }

    fn complete_checkpoint(
        &mut self,
        captured: PendingCheckpoint,
        synced: Synced,
    ) -> Result<(), BrokerStopped> {
        self.on_a_thread("checkpoint", move || {
            ThreadEvent::Checkpoint(captured.complete(synced))
        })
    }

    fn hold_snapshot(&mut self) -> Result<(), BrokerStopped> {
        let (disk, folder) = (Arc::clone(&self.home.disk), self.home.folder.clone());
        self.on_a_thread("snapshot", move || ThreadEvent::Held(hold(&disk, &folder)))
    }

    fn show_held(&self, held: Result<Option<Outgoing>, SnapshotError>) -> Option<HeldSnapshot> {
        let outgoing = match held {
            Ok(outgoing) => outgoing?,
            Err(error) => {
                warn!(
                    error = &error as &(dyn std::error::Error + 'static),
                    "snapshot cannot be held for followers; it will be tried again"
                );
                return None;
            }
        };
        let held = held_snapshot(&outgoing).expect("this node wrote the checkpoint itself");
        info!(applied = held.applied.0, "snapshot is held for followers");
        *self.view.shared.held.lock().expect("nobody panics with it") = Some(Arc::new(outgoing));
        Some(held)
    }

    /// Readers of a part may still be there; the files stay until they close them.
    fn release_snapshot(&mut self) -> Result<(), BrokerStopped> {
        let held = self
            .view
            .shared
            .held
            .lock()
            .expect("nobody panics with it")
            .take();
        let Some(held) = held else { return Ok(()) };
        if self.node.is_installing() {
            // The folder is about to be read again: nothing else may work in it then.
            release(&held);
            return Ok(());
        }
        let lock = Arc::clone(&self.home.lock);
        let body = move || {
            let _lock = lock;
            release(&held);
        };
        let thread = thread::Builder::new().name("snapshot".into()).spawn(body);
        thread.map(drop).map_err(BrokerStopped::Thread)
    }

    /// Slow work in the data folder goes on beside this thread, which hears what came of it.
    fn on_a_thread(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> ThreadEvent + Send + 'static,
    ) -> Result<(), BrokerStopped> {
        let (done, lock) = (self.events_in.clone(), Arc::clone(&self.home.lock));
        let body = move || {
            let word = catch_unwind(AssertUnwindSafe(work));
            let word = word.unwrap_or(ThreadEvent::Panicked { thread: name });
            // Whoever hears the word may be the last: the folder is free then.
            drop(lock);
            drop(done.blocking_send(word));
        };
        let thread = thread::Builder::new().name(name.into()).spawn(body);
        thread.map(drop).map_err(BrokerStopped::Thread)
    }

    fn take_fetched(&mut self, fetched: Option<Fetched>) {
        self.fetching = None;
        let arrived = match fetched {
            Some(Ok(incoming)) => {
                let applied = incoming.manifest().applied;
                self.fetched = Some(incoming);
                Ok(applied)
            }
            Some(Err(error)) => {
                warn!(
                    error = &error as &(dyn std::error::Error + 'static),
                    "snapshot could not be fetched; the leader will tell again"
                );
                Err(SnapshotLost)
            }
            None => Err(SnapshotLost),
        };
        self.take(Input::SnapshotFetched(arrived));
    }

    fn drop_fetched(&mut self) {
        self.fetched = None;
        forget_fetched(&*self.home.disk, &self.home.folder);
    }

    /// Puts the snapshot that was fetched in the place of everything here, and goes on from the folder.
    fn install(&mut self, applied: EntryIndex) -> Result<(), BrokerStopped> {
        let fetched = self.fetched.take();
        let fetched = fetched.expect("only what was fetched is installed");
        let Home {
            disk,
            folder,
            storage,
            limits,
            identity,
            ..
        } = &self.home;
        let recovered = install(disk, folder, storage, fetched).map_err(|error| match error {
            InstallError::Snapshot(error) => BrokerStopped::Install(error),
            InstallError::Recovery(error) => BrokerStopped::Recovery(error),
        })?;
        if recovered.installed.is_some() {
            info!(applied = applied.0, "snapshot installed");
            metrics::counter!("log_snapshots_installed_total").increment(1);
        }
        let now = self.view.now();
        let log = self
            .node
            .go_on_from(folder, *limits, identity, recovered, now)
            .map_err(BrokerStopped::Node)?;
        self.journal = start_journal(log, &self.events_in).map_err(BrokerStopped::Thread)?;
        self.node
            .work(now, &mut self.effects)
            .map_err(BrokerStopped::Replica)
    }
}

/// Links that stay are removed at the next start.
fn release(held: &Outgoing) {
    if let Err(error) = held.release() {
        warn!(
            error = &error as &(dyn std::error::Error + 'static),
            "a snapshot that nobody needs stays on the disk until the next start"
        );
    }
}

/// What was fetched, once it is here; never while nothing is fetched.
async fn arrival(fetching: &mut Option<oneshot::Receiver<Fetched>>) -> Option<Fetched> {
    match fetching {
        Some(fetched) => fetched.await.ok(),
        None => std::future::pending().await,
    }
}

fn held_snapshot(outgoing: &Outgoing) -> Result<HeldSnapshot, InvalidMembership> {
    let checkpoint = outgoing.checkpoint();
    Ok(HeldSnapshot {
        applied: checkpoint.applied,
        epoch: checkpoint.epoch,
        membership: Membership::decode(&checkpoint.membership)?,
        manifest: outgoing.manifest().encode().into(),
    })
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Nobody may read that this node leads once it no longer works.
        self.view
            .watches
            .leadership
            .send_replace(Leadership::Follower { leader: None });
        // And nobody waits for a reply any more, though the journal may still wait for its disk.
        self.waiters.clear();
    }
}

/// Remembers who waits for the reply to an input.
fn note_waiter(waiters: &mut BTreeMap<RequestId, Waiter>, queued: QueuedInput) -> Input {
    let QueuedInput { input, waiter } = queued;
    if let (Input::Request { id, .. }, Some(waiter)) = (&input, waiter) {
        waiters.insert(*id, waiter);
    }
    input
}
