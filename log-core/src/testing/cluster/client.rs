//! A client: asks one thing at a time, of the node that it believes to lead, and tries again until it knows.

use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::history::History;
use super::member::Member;
use super::producer::Producer;
use super::reader::Reader;
use super::request::{
    FaultPhase, NextNode, Reply, ReplyContext, Request, RequestContext, RequestOrigin,
};
use super::sensor::Sensor;
use super::transactor::Transactor;

/// Something asked of a node.
pub(super) struct Wish {
    pub(super) node: usize,
    pub(super) asker: RequestOrigin,
    pub(super) request: Request,
    /// How long the client waits for the answer.
    pub(super) patience: Duration,
}

pub(super) enum Role {
    Producer(Producer),
    Transactor(Transactor),
    Reader(Reader),
    Member(Member),
    Sensor(Sensor),
}

pub(super) struct Client {
    id: usize,
    nodes: usize,
    believed_leader: usize,
    /// Counts tries. The answer to an earlier one is no longer waited for.
    attempt: u64,
    waits: bool,
    done: bool,
    role: Role,
}

/// As short as the clients of this house have it.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(1_500);
/// A JoinGroup is answered when the whole group has joined.
const GROUP_TIMEOUT: Duration = Duration::from_secs(6);

impl Client {
    pub(super) fn new(id: usize, nodes: usize, role: Role) -> Self {
        Self {
            id,
            nodes,
            believed_leader: id % nodes,
            attempt: 0,
            waits: false,
            done: false,
            role,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    pub(super) fn is_writer(&self) -> bool {
        matches!(self.role, Role::Producer(_) | Role::Transactor(_))
    }

    /// Whether a request of this try may still be carried out although its client has turned to something else. Not
    /// where the order of requests counts: a connection that was closed carries nothing more.
    pub(super) fn still_asks(&self, attempt: u64) -> bool {
        self.waits && attempt == self.attempt || matches!(self.role, Role::Producer(_))
    }

    /// The next request; none when the client has nothing left to do.
    pub(super) fn next(
        &mut self,
        phase: FaultPhase,
        chance: &mut ChaCha8Rng,
        history: &mut History,
    ) -> Option<Wish> {
        self.attempt += 1;
        let asker = RequestOrigin {
            client: self.id,
            attempt: self.attempt,
        };
        let context = RequestContext {
            asker,
            phase,
            chance,
            history,
        };
        let request = match &mut self.role {
            Role::Producer(producer) => producer.next(context),
            Role::Transactor(transactor) => transactor.next(context),
            Role::Reader(reader) => reader.next(context),
            Role::Member(member) => member.next(context),
            Role::Sensor(sensor) => sensor.next(context),
        };
        self.waits = request.is_some();
        self.done = request.is_none();
        let request = request?;
        let anybody = chance.random_range(0..self.nodes);
        if chance.random_bool(0.05) {
            self.believed_leader = anybody;
        }
        let node = match request {
            Request::Look => anybody,
            _ => self.believed_leader,
        };
        let patience = match request {
            Request::Group(..) => GROUP_TIMEOUT,
            _ => REQUEST_TIMEOUT,
        };
        Some(Wish {
            node,
            asker,
            request,
            patience,
        })
    }

    /// Takes an answer, if it is the one that is waited for.
    pub(super) fn hear(
        &mut self,
        attempt: u64,
        said: Reply,
        context: &mut ReplyContext<'_>,
    ) -> bool {
        if !self.waits || attempt != self.attempt {
            return false;
        }
        self.waits = false;
        let then = match &mut self.role {
            Role::Producer(producer) => producer.hear(said, context),
            Role::Transactor(transactor) => transactor.hear(said, context),
            Role::Reader(reader) => reader.hear(said, context),
            Role::Member(member) => member.hear(said, context),
            Role::Sensor(sensor) => sensor.hear(said, context),
        };
        if then == NextNode::Elsewhere {
            self.look_elsewhere();
        }
        true
    }

    /// Nobody answered in time; whether somebody still waited.
    pub(super) fn gives_up(&mut self, attempt: u64) -> bool {
        let current = self.waits && attempt == self.attempt;
        if current {
            self.waits = false;
            self.look_elsewhere();
            match &mut self.role {
                Role::Transactor(transactor) => transactor.unanswered(),
                Role::Member(member) => member.unanswered(),
                Role::Producer(_) | Role::Reader(_) | Role::Sensor(_) => {}
            }
        }
        current
    }

    fn look_elsewhere(&mut self) {
        self.believed_leader = (self.believed_leader + 1) % self.nodes;
    }

    /// How long it may rest before it asks again.
    pub(super) fn rest(&mut self, phase: FaultPhase, chance: &mut ChaCha8Rng) -> Duration {
        let most = match &mut self.role {
            Role::Producer(_) => Duration::from_millis(40),
            Role::Transactor(transactor) => transactor.rest(),
            Role::Reader(_) | Role::Sensor(_) => Duration::from_millis(120),
            Role::Member(member) => member.rest(phase, chance),
        };
        chance.random_range(Duration::ZERO..=most)
    }
}
