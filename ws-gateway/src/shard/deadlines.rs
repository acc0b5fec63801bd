//! When which connection of a shard must be looked at.

use std::time::Duration;

use jiff::Timestamp;
use slab::Slab;

use super::connection_key::ConnectionKey;
use crate::{config::SocketLimits, connection::Connection, wheel::Wheel};

/// A connection is set once, for the earliest thing that may be due; what is set later is no longer looked at.
#[derive(Debug)]
pub(super) struct Deadlines {
    wheel: Wheel<(ConnectionKey, Duration)>,
}

impl Deadlines {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            wheel: Wheel::new(now),
        }
    }

    /// Sets the connection's next deadline, if that is earlier than the one that is set.
    pub(super) fn set(
        &mut self,
        key: ConnectionKey,
        connection: &mut Connection,
        limits: &SocketLimits,
        now: Duration,
        wall: Timestamp,
    ) {
        let next = connection.next_deadline(limits, now, wall);
        if connection.wake_by(next) {
            self.wheel.wake_at(next, (key, next));
        }
    }

    /// The connections whose deadlines have come.
    pub(super) fn take_due(
        &mut self,
        connections: &mut Slab<Connection>,
        now: Duration,
    ) -> Vec<ConnectionKey> {
        let mut awake = Vec::new();
        self.wheel.advance(now, &mut awake);
        let wakes = |(key, at): (ConnectionKey, Duration)| {
            let connection = connections.get_mut(key.slot)?;
            (connection.number() == key.number && connection.wake(at)).then_some(key)
        };
        awake.into_iter().filter_map(wakes).collect()
    }

    /// How long until the next one. `None`: there is none.
    pub(super) fn sleep(&self, now: Duration) -> Option<Duration> {
        self.wheel.sleep(now)
    }
}
