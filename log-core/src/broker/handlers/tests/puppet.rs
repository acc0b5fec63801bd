//! A node that is to its clients whatever the test says: leader of an epoch, starting, follower. State, partitions,
//! coordinator and handlers are the real ones; in the place of consensus stands a task that applies what a leader is
//! asked to, and answers everybody else as a replica that does not lead.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use journal::disk::{Disk, SystemDisk};
use kafka_protocol::messages::ApiKey;
use service_kit::clock::Clock;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::interval;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::broker::answer;
use crate::broker::config::{Advertised, Config};
use crate::broker::node_handle::{NodeHandle, QueuedInput};
use crate::broker::node_view::{NodeView, Watches, now};
use crate::broker::peers::Peers;
use crate::broker::request_outcome::RequestOutcome;
use crate::broker::service::{Client, Service};
use crate::consensus::{Membership, Quorum, QuorumMember};
use crate::ids::{EntryIndex, LeaderEpoch, NodeId, ReplicaId, TimestampMs, TopicId, TopicName};
use crate::node::{
    AppliedOutcome, Effect, GroupCoordinator, HousekeepingConfig, Input, Leadership, Limits,
    NodeReply, NodeRequest, ProposeError, Requests, Until, VoterChangeError, assemble, perform,
};
use crate::state::{
    Command, CreateTopic, Envelope, FeatureLevel, Listener, RaiseFeatureLevel, RegisterNode,
};
use crate::storage::{Identity, recover};
use crate::wire::{Request, RequestBody, ResponseBody};

/// The topic that is there.
pub(super) const TOPIC: &str = "an-alert";
/// This node.
pub(super) const OURS: NodeId = NodeId(1);
/// The node that leads when this one does not.
pub(super) const OTHER: NodeId = NodeId(2);

/// The node.
pub(super) struct Puppet {
    pub(super) service: Arc<Service>,
    pub(super) view: NodeView,
    replica: Arc<PuppetReplica>,
    _folder: TempDir,
    _stop: DropGuard,
}

/// What stands in the place of consensus.
struct PuppetReplica {
    view: NodeView,
    applied: AtomicU64,
    /// What a leader answers instead of carrying out what it is asked.
    fails_with: Mutex<Option<ProposeError>>,
}

impl Puppet {
    /// Node 1 of the voters 1, 2 and 3, which are all registered and in sync. It leads epoch 5 and has one topic.
    pub(super) async fn leader() -> Self {
        let puppet = Self::start();
        puppet.leads(5);
        for node in 1..=3 {
            puppet.apply(register(node));
        }
        let level = FeatureLevel::LATEST;
        puppet.apply(Command::RaiseFeatureLevel(RaiseFeatureLevel { level }));
        puppet.apply(create(TOPIC, &[]));
        puppet.has_in_sync(&[1, 2, 3]);
        puppet
    }

    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::start();
        let view = view(folder.path(), clock);
        let replica = Arc::new(PuppetReplica {
            view: view.clone(),
            applied: AtomicU64::new(0),
            fails_with: Mutex::new(None),
        });
        let (handle, inputs) = NodeHandle::of(view.clone());
        let stop = CancellationToken::new();
        let config = Config::on(folder.path());
        let groups = GroupCoordinator::new(config.group);
        let tasks = TaskTracker::new();
        tasks.spawn(Arc::clone(&replica).run(inputs, groups));
        let advertised = Advertised {
            host: "127.0.0.1".to_owned(),
            port: 9092,
        };
        let (nobody, _) = Peers::none();
        let service = Service::new(config, advertised, handle, nobody, clock, stop.clone());
        Self {
            service: Arc::new(service),
            view,
            replica,
            _folder: folder,
            _stop: stop.drop_guard(),
        }
    }

    pub(super) fn is(&self, leadership: Leadership) {
        self.view.watches.leadership.send_replace(leadership);
    }

    pub(super) fn leads(&self, epoch: u32) {
        let epoch = LeaderEpoch(epoch);
        self.view.watches.applied_epoch.send_replace(epoch);
        self.is(Leadership::Leader { epoch });
    }

    pub(super) fn follows(&self) {
        self.is(Leadership::Follower {
            leader: Some((OTHER, LeaderEpoch(6))),
        });
    }

    /// It still believes that it leads, and what it is asked fails so.
    pub(super) fn fails_with(&self, error: ProposeError) {
        *self.replica.fails_with.lock().expect("plain value") = Some(error);
    }

    /// Has this leader carry a command out.
    pub(super) fn apply(&self, command: Command) {
        let (_, outcome) = self.replica.apply(command).expect("it leads");
        outcome.expect("nothing refuses it");
    }

    /// The last entry that was applied: what is proposed moves it.
    pub(super) fn applied(&self) -> EntryIndex {
        *self.view.watches.applied.borrow()
    }

    /// The id of a topic; that of none where there is no such topic.
    pub(super) fn id_of(&self, topic: &str) -> Uuid {
        let state = self.service.replica().state();
        let topic = TopicName::parse(topic).ok().and_then(|it| state.topic(&it));
        topic.map_or(Uuid::from_u128(7), |topic| topic.id().0)
    }

    /// These voters are in sync, with all that is applied on their disks; the others are silent.
    pub(super) fn has_in_sync(&self, nodes: &[u64]) {
        let last = *self.view.watches.applied.borrow();
        let member = |node: u64| {
            let in_sync = nodes.contains(&node);
            let matched = if in_sync { last } else { EntryIndex(0) };
            QuorumMember::seen(ReplicaId(node), true, matched, in_sync, last)
        };
        self.view.watches.quorum.send_replace(Arc::new(Quorum {
            leader: Some(ReplicaId(1)),
            epoch: LeaderEpoch(5),
            last,
            members: (1..=3).map(member).collect(),
        }));
    }

    /// Asks as a connection does.
    pub(super) async fn ask(&self, key: ApiKey, version: i16, body: RequestBody) -> ResponseBody {
        let answer = self.ask_or_be_cut_off(key, version, body).await;
        answer.unwrap_or_else(|| panic!("{key:?} was not answered"))
    }

    /// The same; `None` where the connection is closed instead.
    pub(super) async fn ask_or_be_cut_off(
        &self,
        key: ApiKey,
        version: i16,
        body: RequestBody,
    ) -> Option<ResponseBody> {
        match self.begin(key, version, body).await.await {
            RequestOutcome::Body(body) | RequestOutcome::Records(body, _) => Some(body),
            RequestOutcome::Close => None,
            RequestOutcome::Nothing => panic!("{key:?} was neither answered nor refused"),
        }
    }

    /// Asks and gives the answer when it is awaited.
    pub(super) async fn begin(
        &self,
        key: ApiKey,
        version: i16,
        body: RequestBody,
    ) -> impl Future<Output = RequestOutcome> + use<> {
        let client = Client {
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            id: "test".to_owned(),
        };
        let request = Request {
            key,
            version,
            correlation_id: 1,
            client_id: None,
            body,
        };
        answer::begin(&self.service, &client, request).await
    }
}

fn view(folder: &Path, clock: Clock) -> NodeView {
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let config = Config::on(folder);
    let alone = Identity::founder_alone(OURS, Uuid::from_u128(1), Uuid::from_u64_pair(1, 0));
    let recovered = recover(&disk, folder, &config.storage).expect("an empty folder");
    let limits = Limits {
        checkpoint_bytes: config.checkpoint_bytes,
        disk_reserve_bytes: 0,
        partition_files_max: config.storage.open_partition_files_max,
        groups: config.group,
        housekeeping: HousekeepingConfig::default(),
    };
    let assembled = assemble(folder, limits, &alone, recovered, now(&clock));
    let (replica, shared, _) = assembled.expect("nothing is wrong with it");
    let watches = Arc::new(Watches::of(&replica));
    let voters = Membership::of_voters([1, 2, 3].map(ReplicaId));
    watches.membership.send_replace(voters);
    NodeView {
        shared,
        watches,
        clock,
    }
}

pub(super) fn register(node: u32) -> Command {
    Command::RegisterNode(RegisterNode {
        node: NodeId(node),
        replica: ReplicaId(node.into()),
        listeners: vec![Listener {
            name: "PLAINTEXT".to_owned(),
            host: format!("10.0.0.{node}"),
            port: 9092,
        }],
        rack: None,
        feature_level_max: FeatureLevel::LATEST,
    })
}

pub(super) fn create(name: &str, configs: &[(&str, &str)]) -> Command {
    let config = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Command::CreateTopic(CreateTopic {
        name: TopicName::parse(name).expect("a name"),
        id: TopicId(Uuid::new_v4()),
        partitions: 2,
        replication_factor: 3,
        configs: configs.iter().map(config).collect(),
    })
}

impl PuppetReplica {
    async fn run(
        self: Arc<Self>,
        mut inputs: mpsc::Receiver<QueuedInput>,
        mut groups: GroupCoordinator,
    ) {
        let mut waiters = BTreeMap::new();
        let mut requests = Requests::default();
        let mut leadership = self.view.watches.leadership.subscribe();
        let mut ticks = interval(Duration::from_millis(25));
        loop {
            let queued = tokio::select! {
                biased;
                changed = leadership.changed() => if changed.is_ok() { None } else { return },
                queued = inputs.recv() => match queued {
                    Some(queued) => Some(queued),
                    None => return,
                },
                _ = ticks.tick() => None,
            };
            let mut effects = Vec::new();
            self.coordinate(&mut groups, &mut effects);
            {
                let (now, quorum) = (self.view.clock.elapsed(), &self.view.watches.quorum);
                requests.tick(now, &quorum.borrow(), &mut effects);
            }
            if let Some(QueuedInput { input, waiter }) = queued {
                if let (Input::Request { id, .. }, Some(waiter)) = (&input, waiter) {
                    waiters.insert(*id, waiter);
                }
                self.take(input, &mut groups, &mut requests, &mut effects);
                self.coordinate(&mut groups, &mut effects);
            }
            for effect in effects {
                if let Effect::Reply { to, reply } = effect {
                    waiters.remove(&to).expect("it waits").reply(reply);
                }
            }
        }
    }

    /// As the node does where it need not ask the others.
    fn admit(&self, until: Until) -> Result<Option<usize>, ProposeError> {
        let is_enough = self.view.shared.room.is_enough();
        match self.may_lead() {
            Ok(_) if !is_enough => return Err(ProposeError::DiskFull),
            Err(_) if !is_enough => return Err(ProposeError::NotLeader),
            Ok(_) | Err(_) => {}
        }
        let (quorum, members) = (&self.view.watches.quorum, &self.view.watches.membership);
        until.admit(&quorum.borrow(), &members.borrow())
    }

    fn take(
        &self,
        input: Input,
        groups: &mut GroupCoordinator,
        requests: &mut Requests,
        effects: &mut Vec<Effect>,
    ) {
        let (to, reply) = match input {
            Input::Request { id, request } => match request {
                NodeRequest::Propose(command) => (id, NodeReply::Outcome(self.apply(command))),
                NodeRequest::Produce {
                    command,
                    until,
                    deadline,
                } => match self.admit(until) {
                    Ok(on_disks) => {
                        let outcome = self.apply(command);
                        requests.open(id, on_disks, deadline);
                        let quorum = self.view.watches.quorum.borrow();
                        return requests.decided(id, outcome, &quorum, effects);
                    }
                    Err(error) => (id, NodeReply::Outcome(Err(error))),
                },
                NodeRequest::ChangeVoters { .. } => {
                    let error = match self.may_lead() {
                        Ok(_) => VoterChangeError::NotWaiting,
                        Err(error) => VoterChangeError::Proposal(error),
                    };
                    (id, NodeReply::VotersChanged(Err(error)))
                }
                NodeRequest::ReadBarrier => (id, NodeReply::Readable(self.may_lead().map(|_| ()))),
                NodeRequest::Group(request) => {
                    let now = self.view.clock.elapsed();
                    return groups.request(now, id, request, &self.view.shared, effects);
                }
            },
            Input::ForgetGroup(group) => return groups.forget(&group),
            _ => return,
        };
        effects.push(Effect::Reply { to, reply });
    }

    /// The coordinator follows who leads, does what is due, and has its records applied.
    fn coordinate(&self, groups: &mut GroupCoordinator, effects: &mut Vec<Effect>) {
        let now = self.view.clock.elapsed();
        let leading = match *self.view.watches.leadership.borrow() {
            Leadership::Leader { epoch } => Some(epoch),
            Leadership::Starting | Leadership::Follower { .. } => None,
        };
        groups.follow(now, leading, effects);
        groups.resume_some(now, &self.view.shared, effects);
        groups.wake(now, effects);
        for (record, command) in groups.take_records() {
            let outcome = self.apply(command).map(|(_, outcome)| outcome);
            groups.recorded(now, &record, &outcome, effects);
        }
    }

    /// Command time, on from here.
    fn goes_on_from(&self, at: TimestampMs) {
        let elapsed = self.view.clock.elapsed();
        self.view.shared.clocks.command().follow(at, elapsed);
    }

    fn may_lead(&self) -> Result<LeaderEpoch, ProposeError> {
        if let Some(error) = *self.fails_with.lock().expect("plain value") {
            return Err(error);
        }
        match *self.view.watches.leadership.borrow() {
            Leadership::Leader { epoch } => Ok(epoch),
            Leadership::Starting | Leadership::Follower { .. } => Err(ProposeError::NotLeader),
        }
    }

    fn apply(&self, command: Command) -> Result<AppliedOutcome, ProposeError> {
        let epoch = self.may_lead()?;
        let index = EntryIndex(self.applied.fetch_add(1, Ordering::Relaxed) + 1);
        let envelope = Envelope {
            proposer: epoch,
            at: self.view.now().wall,
            command,
        };
        let applied = {
            let mut state = self
                .view
                .shared
                .state
                .write()
                .expect("nobody panics with it");
            let applied = state.apply(index, epoch, &envelope);
            self.goes_on_from(state.clock());
            let partitions = self.view.shared.partitions();
            for change in applied.changes {
                perform(&partitions, change).expect("the folder takes it");
            }
            applied.outcome
        };
        self.view.watches.applied.send_replace(index);
        Ok((index, applied))
    }
}
