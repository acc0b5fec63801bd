//! Which calls wait, in which order, and what became of them. Decides only: no disk, no log, no clock.
//!
//! Invariants: a call is in the queue of its line from before it is written until its status is known; only the first of
//! a line is ever handed out, and only once; the bytes are the sum of those of the calls that wait.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use event_model::{EventId, EventTime, Line};
use tokio::sync::watch;

use super::{delivery_status::DeliveryStatus, queued_call::QueuedCall};
use crate::{
    earlier_try::{EarlierTry, OpenTry},
    owner::Owner,
    receipt::Receipt,
};

/// So many statuses are remembered after the call has left.
const STATUSES_MAX: usize = 65_536;

pub(super) struct Backlog {
    bytes_max: usize,
    bytes: usize,
    next_number: u64,
    calls: BTreeMap<u64, WaitingCall>,
    lines: BTreeMap<Line, VecDeque<u64>>,
    statuses: BTreeMap<EventId, KnownStatus>,
    /// In the order they ended, for forgetting.
    ended: VecDeque<EventId>,
}

struct WaitingCall {
    call: Arc<QueuedCall>,
    state: CallState,
    open: OpenTry,
    status: watch::Sender<DeliveryStatus>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallState {
    /// Not on the disk yet: holds its place, and is not sent.
    Unsynced,
    /// Its turn has not come.
    Synced,
    /// Handed out: its report is awaited.
    UnderWay,
}

struct KnownStatus {
    owner: Owner,
    at: EventTime,
    status: DeliveryStatus,
}

/// A call to be sent now, and what its earlier try came to.
pub(super) struct NextDelivery {
    pub(super) number: u64,
    pub(super) call: Arc<QueuedCall>,
    pub(super) earlier: EarlierTry,
}

/// There is no room for the call.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the outbox holds {bytes} bytes, more than {bytes_max} do not fit")]
pub(crate) struct OutboxFull {
    bytes: usize,
    bytes_max: usize,
}

/// Whether a task has to be started for a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineHead {
    /// Its first call can be sent, and no task does yet.
    Ready,
    /// A task sends it, or its first call is not on the disk yet.
    Busy,
}

impl Backlog {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            next_number: 0,
            calls: BTreeMap::new(),
            lines: BTreeMap::new(),
            statuses: BTreeMap::new(),
            ended: VecDeque::new(),
        }
    }

    /// Puts back a call that an earlier run had written, and may have sent before this moment. In the order of their numbers.
    pub(super) fn restore(&mut self, number: u64, call: Arc<QueuedCall>, tried_before: Instant) {
        self.next_number = self.next_number.max(number + 1);
        let open = OpenTry {
            earlier: EarlierTry::Unknown {
                ended: tried_before,
            },
            guard: None,
        };
        self.insert(number, call, CallState::Synced, open);
    }

    /// Knows again what became of a call of an earlier run.
    pub(super) fn restore_status(
        &mut self,
        number: u64,
        call: &QueuedCall,
        status: DeliveryStatus,
    ) {
        self.next_number = self.next_number.max(number + 1);
        self.remember(call, status);
    }

    /// Gives a call its place, before it is written: later calls of its line queue behind it.
    #[expect(
        clippy::result_large_err,
        reason = "what was not taken is given back as it was handed in"
    )]
    pub(super) fn enqueue(
        &mut self,
        call: Arc<QueuedCall>,
        open: OpenTry,
    ) -> Result<u64, (OutboxFull, OpenTry)> {
        if self.bytes_max < self.bytes + call.bytes() {
            let full = OutboxFull {
                bytes: self.bytes,
                bytes_max: self.bytes_max,
            };
            return Err((full, open));
        }
        let number = self.next_number;
        self.next_number += 1;
        self.insert(number, call, CallState::Unsynced, open);
        Ok(number)
    }

    fn insert(&mut self, number: u64, call: Arc<QueuedCall>, state: CallState, open: OpenTry) {
        self.bytes += call.bytes();
        self.lines
            .entry(call.line.clone())
            .or_default()
            .push_back(number);
        let known = KnownStatus {
            owner: call.owner.clone(),
            at: call.at,
            status: DeliveryStatus::Queued,
        };
        self.statuses.insert(call.id, known);
        let waiting = WaitingCall {
            call,
            state,
            open,
            status: watch::Sender::new(DeliveryStatus::Queued),
        };
        let before = self.calls.insert(number, waiting);
        assert!(before.is_none(), "a number is given once");
    }

    /// The call is on the disk: tells its status to come, and whether its line has to be begun with.
    pub(super) fn synced(&mut self, number: u64) -> (watch::Receiver<DeliveryStatus>, LineHead) {
        let waiting = self
            .calls
            .get_mut(&number)
            .expect("a call stays until its status is known");
        assert_eq!(waiting.state, CallState::Unsynced);
        waiting.state = CallState::Synced;
        let (status, line) = (waiting.status.subscribe(), waiting.call.line.clone());
        let head = if self.lines[&line].front() == Some(&number) {
            LineHead::Ready
        } else {
            LineHead::Busy
        };
        (status, head)
    }

    /// The call could not be written: it was never here. Those behind it may have to be begun with.
    pub(super) fn abandon(&mut self, number: u64) -> (LineHead, OpenTry) {
        let waiting = self.remove(number);
        self.statuses.remove(&waiting.call.id);
        let first = self.lines.get(&waiting.call.line).and_then(VecDeque::front);
        let head = match first.map(|first| self.calls[first].state) {
            Some(CallState::Synced) => LineHead::Ready,
            Some(CallState::Unsynced | CallState::UnderWay) | None => LineHead::Busy,
        };
        (head, waiting.open)
    }

    /// The first call of a line, if it is on the disk and not handed out yet: this task sends it from now on.
    pub(super) fn next(&mut self, line: &Line) -> Option<NextDelivery> {
        let number = *self.lines.get(line)?.front()?;
        let waiting = self
            .calls
            .get_mut(&number)
            .expect("a queue holds calls that wait");
        if waiting.state != CallState::Synced {
            return None;
        }
        waiting.state = CallState::UnderWay;
        Some(NextDelivery {
            number,
            call: Arc::clone(&waiting.call),
            earlier: std::mem::replace(&mut waiting.open.earlier, EarlierTry::NotStored),
        })
    }

    /// The status of a call that was handed out is known.
    pub(super) fn end(&mut self, number: u64, status: DeliveryStatus) {
        let WaitingCall {
            call,
            state,
            open,
            status: sender,
            ..
        } = self.remove(number);
        assert_eq!(
            state,
            CallState::UnderWay,
            "a call ends only after it was handed out"
        );
        if let (DeliveryStatus::Stored(place), Some(guard)) = (status, open.guard) {
            let (id, at) = (call.id, call.at);
            guard.complete(Receipt { id, at, place });
        }
        self.remember(&call, status);
        sender.send_replace(status);
    }

    fn remember(&mut self, call: &QueuedCall, status: DeliveryStatus) {
        self.statuses.insert(
            call.id,
            KnownStatus {
                owner: call.owner.clone(),
                at: call.at,
                status,
            },
        );
        self.ended.push_back(call.id);
        while STATUSES_MAX < self.ended.len() {
            let oldest = self.ended.pop_front().expect("it is not empty");
            self.statuses.remove(&oldest);
        }
    }

    fn remove(&mut self, number: u64) -> WaitingCall {
        let waiting = self.calls.remove(&number).expect("a call ends once");
        self.bytes -= waiting.call.bytes();
        let queue = self
            .lines
            .get_mut(&waiting.call.line)
            .expect("a line with calls has a queue");
        queue.retain(|queued| *queued != number);
        if queue.is_empty() {
            self.lines.remove(&waiting.call.line);
        }
        waiting
    }

    pub(super) fn holds(&self, line: &Line) -> bool {
        self.lines.contains_key(line)
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        self.lines.keys().cloned().collect()
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// What became of a call. Only its owner is told.
    pub(super) fn status(&self, id: EventId, owner: &Owner) -> Option<(DeliveryStatus, EventTime)> {
        let known = self.statuses.get(&id)?;
        (known.owner == *owner).then_some((known.status, known.at))
    }
}
