//! Time, the network, the log and its coordinator, and the faults: everything around the group, from one seed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write as _};
use std::time::Duration;

use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

use super::Bug;
use super::checker::{Checker, Coverage};
use super::consumer::{Consumer, PARTITIONS, Step};
use crate::group::{
    CompletedRebalance, Effect, Group, GroupConfig, GroupError, Input, JoinAbility, Profile,
    Protocol, RecordId, Response,
};
use crate::ids::{GroupInstanceId, RequestId};

const FAULTS_STOP_AT: Duration = Duration::from_secs(240);
const ENDS_AT: Duration = Duration::from_secs(480);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(3);
const PROCESSES_MAX: usize = 24;

/// Something that will happen.
#[derive(Debug)]
enum Event {
    /// A process has time to do something.
    Act { process: usize },
    /// The same, at its steady beat.
    Beat { process: usize },
    /// A request reaches the node that coordinates then, if its connection still stands.
    Request {
        process: usize,
        coordinator: u64,
        input: Input,
    },
    /// An answer reaches its process; an error where the connection broke.
    Answer {
        process: usize,
        to: RequestId,
        answer: Result<Response, ()>,
    },
    /// The oldest record in flight meets its fate.
    RecordOutcome { coordinator: u64 },
    /// A timer of the coordinator rings.
    Wake { coordinator: u64, at: Duration },
    /// A coordinator takes over.
    Takeover,
    /// Something goes wrong.
    Fault,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordOutcome {
    Applied,
    Dropped,
    /// Applied, but its proposer does not learn it.
    Doubted,
}

pub(super) struct World {
    rng: ChaCha8Rng,
    bug: Option<Bug>,
    now: Duration,
    events: BTreeMap<(Duration, u64), Event>,
    numbers: u64,
    /// Counts the coordinators; connections and timers belong to one.
    coordinator: u64,
    group: Option<Group>,
    wake_at: Option<Duration>,
    records: VecDeque<(RecordId, CompletedRebalance)>,
    processes: Vec<Consumer>,
    asked_by: BTreeMap<RequestId, usize>,
    checker: Checker,
    /// What happened, for the comparison of two runs; writing it takes longer than playing.
    history: Option<String>,
}

impl World {
    pub(super) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut world = Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            bug,
            now: Duration::ZERO,
            events: BTreeMap::new(),
            numbers: 0,
            coordinator: 0,
            group: None,
            wake_at: None,
            records: VecDeque::new(),
            processes: Vec::new(),
            asked_by: BTreeMap::new(),
            checker: Checker::default(),
            history: None,
        };
        world.schedule(Duration::ZERO, Event::Takeover);
        for _ in 0..world.rng.random_range(1..=4) {
            world.start_a_process();
        }
        world.schedule(Duration::from_secs(5), Event::Fault);
        world
    }

    /// Plays until the end, through the faults and the calm after them.
    pub(super) fn run(&mut self) -> Result<Coverage, String> {
        let mut step = 0;
        while let Some(((at, _), event)) = self.events.pop_first() {
            if ENDS_AT < at {
                break;
            }
            self.now = at;
            step += 1;
            self.write_down(format_args!("{at:?} {event:?}"));
            let result = self
                .play(event)
                .and_then(|()| self.checker.check_patience(self.now));
            result.map_err(|violation| format!("step {step} at {at:?}: {violation}"))?;
        }
        self.check_whole()
            .map_err(|violation| format!("at the end: {violation}"))?;
        Ok(self.checker.coverage.clone())
    }

    /// The same world, which writes down what happens.
    pub(super) fn with_history(mut self) -> Self {
        self.history = Some(String::new());
        self
    }

    fn write_down(&mut self, line: fmt::Arguments<'_>) {
        if let Some(history) = &mut self.history {
            writeln!(history, "{line}").expect("a string takes all");
        }
    }

    pub(super) fn into_history(self) -> String {
        self.history.unwrap_or_default()
    }

    fn play(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Act { process } => {
                self.act(process);
                Ok(())
            }
            Event::Beat { process } => {
                self.beat(process);
                Ok(())
            }
            Event::Request {
                process,
                coordinator,
                input,
            } => self.deliver(process, coordinator, input),
            Event::Answer {
                process,
                to,
                answer,
            } => {
                self.hear(process, to, answer);
                Ok(())
            }
            Event::RecordOutcome { coordinator } => self.meet_fate(coordinator),
            Event::Wake { coordinator, at } => self.wake(coordinator, at),
            Event::Takeover => self.take_over(),
            Event::Fault => self.fault(),
        }
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        let number = self.number();
        self.events.insert((self.now + after, number), event);
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }

    fn is_calm(&self) -> bool {
        FAULTS_STOP_AT <= self.now
    }

    // Processes.

    fn start_a_process(&mut self) {
        let number = self.processes.len();
        let instance = self.rng.random_range(0..3);
        let is_static = self.chance(40);
        let profile = Profile {
            instance_id: is_static.then(|| GroupInstanceId::new(format!("static-{instance}"))),
            client_id: format!("process-{number}"),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout: self.millis(6_000..20_000),
            rebalance_timeout: self.millis(5_000..30_000),
            protocols: self.protocols(),
        };
        let ability = [
            JoinAbility::OneStep,
            JoinAbility::TwoSteps,
            JoinAbility::SkipAssignment,
        ];
        let ability = ability[self.rng.random_range(0..3)];
        self.processes.push(Consumer::new(ability, profile));
        let after = self.millis(0..2_000);
        self.schedule(after, Event::Beat { process: number });
    }

    fn protocols(&mut self) -> Vec<Protocol> {
        let metadata = Bytes::from(format!("topics-{}", self.rng.random_range(0..2)));
        let protocol = |name: &str| Protocol {
            name: name.to_owned(),
            metadata: metadata.clone(),
        };
        let mut protocols = vec![protocol("range"), protocol("sticky")];
        if self.chance(50) {
            protocols.reverse();
        }
        protocols
    }

    fn beat(&mut self, process: usize) {
        if self.processes[process].step != Step::Ended {
            let next = HEARTBEAT_EVERY + self.millis(0..500);
            self.schedule(next, Event::Beat { process });
            self.act(process);
        }
    }

    fn act(&mut self, process: usize) {
        let consumer = &self.processes[process];
        let patience = consumer.profile.rebalance_timeout + Duration::from_secs(40);
        let waits = consumer
            .open
            .is_some_and(|(_, since)| self.now < since + patience);
        if consumer.paused_until <= self.now && !waits {
            self.ask(process);
        }
    }

    fn ask(&mut self, process: usize) {
        let from = RequestId(self.number());
        let fresh = Uuid::from_u64_pair(0, self.number());
        if let Some(input) = self.processes[process].request(from, fresh) {
            self.send(process, from, input);
        }
    }

    fn send(&mut self, process: usize, from: RequestId, input: Input) {
        self.processes[process].open = Some((from, self.now));
        self.asked_by.insert(from, process);
        let after = self.latency();
        let coordinator = self.coordinator;
        self.schedule(
            after,
            Event::Request {
                process,
                coordinator,
                input,
            },
        );
    }

    fn latency(&mut self) -> Duration {
        let slow = !self.is_calm() && self.chance(3);
        if slow {
            self.millis(50..8_000)
        } else {
            self.millis(1..20)
        }
    }

    fn hear(&mut self, process: usize, to: RequestId, answer: Result<Response, ()>) {
        let consumer = &mut self.processes[process];
        let listens = consumer.step != Step::Ended && consumer.paused_until <= self.now;
        if !listens || consumer.open.is_none_or(|(open, _)| open != to) {
            return;
        }
        let broken = answer.is_err();
        consumer.take(answer);
        let dawdles = !self.is_calm() && self.chance(5);
        let think = if dawdles || broken {
            self.millis(500..12_000)
        } else {
            self.millis(0..100)
        };
        if self.processes[process].step != Step::In {
            self.schedule(think, Event::Act { process });
        }
    }

    // The coordinator and its log.

    fn deliver(&mut self, process: usize, coordinator: u64, input: Input) -> Result<(), String> {
        if coordinator == self.coordinator && self.group.is_some() {
            self.checker.asked(self.now, &input);
            let input = self.judged_by_instance_alone(input);
            return self.give(input);
        }
        if let Some((to, _)) = self.processes[process].open {
            let after = self.latency();
            self.schedule(
                after,
                Event::Answer {
                    process,
                    to,
                    answer: Err(()),
                },
            );
        }
        Ok(())
    }

    /// What a coordinator would see that takes a static identity for the member.
    fn judged_by_instance_alone(&self, mut input: Input) -> Input {
        let caller = match &mut input {
            Input::Heartbeat(beat) => &mut beat.caller,
            Input::Sync(sync) => &mut sync.caller,
            _ => return input,
        };
        let current = caller
            .instance_id
            .as_ref()
            .and_then(|instance_id| self.checker.current(instance_id));
        if let (Some(Bug::ZombieServed), Some(current)) = (self.bug, current) {
            caller.member_id = current.clone();
        }
        input
    }

    fn give(&mut self, input: Input) -> Result<(), String> {
        let mut effects = Vec::new();
        if let Some(group) = &mut self.group {
            group.handle(self.now, input, &mut effects);
        }
        for effect in effects {
            self.write_down(format_args!("    {effect:?}"));
            self.perform(effect)?;
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect) -> Result<(), String> {
        let coordinator = self.coordinator;
        match effect {
            Effect::WakeAt(at) => {
                self.wake_at = Some(at);
                self.schedule(at.saturating_sub(self.now), Event::Wake { coordinator, at });
                Ok(())
            }
            Effect::Record { id, rebalance } => {
                self.records.push_back((id, rebalance));
                let after = self.millis(1..1_500);
                self.schedule(after, Event::RecordOutcome { coordinator });
                if self.bug == Some(Bug::RecordedTooEarly) {
                    self.give(Input::Recorded(id))
                } else {
                    Ok(())
                }
            }
            Effect::Reply { to, response } => self.reply(to, response),
        }
    }

    fn reply(&mut self, to: RequestId, response: Response) -> Result<(), String> {
        let tampered = matches!(response, Response::Sync(_)) && self.rng.random_range(0..4) == 0;
        if tampered && self.bug == Some(Bug::AnswerLost) {
            return Ok(());
        }
        if tampered && self.bug == Some(Bug::AnswerTwice) {
            self.checker.answered(to, &response)?;
        }
        self.checker.answered(to, &response)?;
        if let Response::Heartbeat(Err(error))
        | Response::Sync(Err(error))
        | Response::Join(Err(error)) = &response
        {
            self.checker.coverage.fenced += u64::from(*error == GroupError::FencedInstanceId);
            self.checker.coverage.expired += u64::from(*error == GroupError::UnknownMemberId);
        }
        let process = self
            .asked_by
            .remove(&to)
            .ok_or_else(|| format!("nobody asked {to:?}"))?;
        let after = self.latency();
        self.schedule(
            after,
            Event::Answer {
                process,
                to,
                answer: Ok(response),
            },
        );
        Ok(())
    }

    fn meet_fate(&mut self, coordinator: u64) -> Result<(), String> {
        if coordinator != self.coordinator {
            return Ok(());
        }
        let Some((id, rebalance)) = self.records.pop_front() else {
            return Ok(());
        };
        let fate = self.throw_fate();
        if fate != RecordOutcome::Dropped {
            self.checker.applied(&rebalance)?;
        }
        self.checker.coverage.records_failed += u64::from(fate != RecordOutcome::Applied);
        let input = match fate {
            RecordOutcome::Applied => Input::Recorded(id),
            RecordOutcome::Dropped if self.bug == Some(Bug::RecordLost) => Input::Recorded(id),
            RecordOutcome::Dropped | RecordOutcome::Doubted => Input::RecordFailed(id),
        };
        self.give(input)
    }

    fn throw_fate(&mut self) -> RecordOutcome {
        if self.is_calm() {
            return RecordOutcome::Applied;
        }
        match self.rng.random_range(0..100) {
            0..5 => RecordOutcome::Dropped,
            5..10 => RecordOutcome::Doubted,
            _ => RecordOutcome::Applied,
        }
    }

    fn wake(&mut self, coordinator: u64, at: Duration) -> Result<(), String> {
        let current = coordinator == self.coordinator && self.wake_at == Some(at);
        if !current || self.bug == Some(Bug::NeverWoken) {
            return Ok(());
        }
        self.wake_at = None;
        self.give(Input::Tick)
    }

    fn take_over(&mut self) -> Result<(), String> {
        self.checker.coverage.coordinators += 1;
        let config = GroupConfig {
            session_timeout_min: Duration::ZERO,
            ..GroupConfig::default()
        };
        let group = match self.checker.last_applied().cloned() {
            Some(recorded) => Group::resume(config, self.tampered(recorded), self.now),
            None => Group::new(config),
        };
        self.group = Some(group);
        self.wake_at = None;
        self.give(Input::Tick)
    }

    fn tampered(&self, mut recorded: CompletedRebalance) -> CompletedRebalance {
        if self.bug == Some(Bug::GenerationForgotten) {
            recorded.generation.0 = recorded.generation.0.saturating_sub(2);
        }
        recorded
    }

    // Faults.

    fn fault(&mut self) -> Result<(), String> {
        if self.is_calm() {
            return Ok(());
        }
        let next = self.millis(200..12_000);
        self.schedule(next, Event::Fault);
        match self.rng.random_range(0..10) {
            0 => self.kill_the_coordinator(),
            1 => self.retire_the_coordinator(),
            2..5 if self.processes.len() < PROCESSES_MAX => {
                self.start_a_process();
                Ok(())
            }
            5 | 6 => {
                self.any_process().step = Step::Ended;
                Ok(())
            }
            7 => {
                self.let_one_leave();
                Ok(())
            }
            _ => {
                let until = self.now + self.millis(1_000..30_000);
                self.any_process().paused_until = until;
                Ok(())
            }
        }
    }

    fn any_process(&mut self) -> &mut Consumer {
        let process = self.rng.random_range(0..self.processes.len());
        &mut self.processes[process]
    }

    fn let_one_leave(&mut self) {
        let process = self.rng.random_range(0..self.processes.len());
        let from = RequestId(self.number());
        if self.processes[process].step != Step::Ended
            && let Some(input) = self.processes[process].leave(from)
        {
            self.send(process, from, input);
        }
    }

    /// It dies between two instructions: of the records in flight a first part is applied, the rest is lost.
    fn kill_the_coordinator(&mut self) -> Result<(), String> {
        let applied = self.rng.random_range(0..=self.records.len());
        for (_, rebalance) in std::mem::take(&mut self.records).into_iter().take(applied) {
            self.checker.applied(&rebalance)?;
        }
        for to in self.checker.coordinator_died() {
            if let Some(process) = self.asked_by.remove(&to) {
                let after = self.latency();
                self.schedule(
                    after,
                    Event::Answer {
                        process,
                        to,
                        answer: Err(()),
                    },
                );
            }
        }
        self.no_coordinator();
        Ok(())
    }

    fn retire_the_coordinator(&mut self) -> Result<(), String> {
        self.give(Input::Retire)?;
        self.checker.check_nothing_open()?;
        self.kill_the_coordinator()
    }

    fn no_coordinator(&mut self) {
        if self.group.take().is_some() {
            self.coordinator += 1;
            let after = self.millis(10..4_000);
            self.schedule(after, Event::Takeover);
        }
    }

    // The calm at the end.

    /// Everybody alive consumes in one generation, every partition has its one reader, and what is recorded says so.
    fn check_whole(&self) -> Result<(), String> {
        let alive = || {
            self.processes
                .iter()
                .filter(|process| process.step != Step::Ended)
        };
        let group = self.group.as_ref().ok_or("no coordinator")?;
        if let Some(out) = alive().find(|process| {
            process.step != Step::In || process.generation != Some(group.generation())
        }) {
            return Err(format!(
                "not in generation {}: {out:?}\n{group:?}",
                group.generation()
            ));
        }
        let mut read = alive()
            .flat_map(|process| process.partitions.clone())
            .collect::<Vec<_>>();
        read.sort_unstable();
        let all = if alive().next().is_some() {
            (0..PARTITIONS).collect()
        } else {
            Vec::new()
        };
        if read != all {
            return Err(format!("partitions are read as {read:?}"));
        }
        self.check_recorded(group)
    }

    fn check_recorded(&self, group: &Group) -> Result<(), String> {
        let recorded = match self.checker.last_applied() {
            Some(recorded) => recorded.clone(),
            None if group.is_unused() => return Ok(()),
            None => return Err("nothing is recorded".to_owned()),
        };
        let resumed = Group::resume(GroupConfig::default(), recorded, self.now);
        let same =
            resumed.describe() == group.describe() && resumed.generation() == group.generation();
        if same {
            Ok(())
        } else {
            Err(format!("recorded is {resumed:?}\nbut true is {group:?}"))
        }
    }
}
