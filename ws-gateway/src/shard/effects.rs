//! What a session asks of its shard, and what is due to a connection.

use std::time::Duration;

use event_model::EventTime;
use jiff::Timestamp;
use resident_token::{Resident, TokenError, bearer, good_until};
use serde_json::json;
use tracing::debug;

use super::{ConnectionKey, Notice, Shard, publisher::SendFailures, publisher::Subscriber};
use crate::{
    connection::{Connection, DueAction},
    destination::Channel,
    disconnect_reason::DisconnectReason,
    metrics,
    position::Position,
    stomp::{AckMode, Effect, Subscribe, SubscriptionKey},
    websocket::CloseCode,
    write_queue::{FlushOutcome, SendError},
};

impl Shard {
    /// # Errors
    ///
    /// The connection is to be refused; what the session wanted next must not be done.
    pub(super) fn perform(
        &mut self,
        key: ConnectionKey,
        effect: Effect,
    ) -> Result<(), DisconnectReason> {
        match effect {
            Effect::Authenticate { authorization } => {
                self.authenticate(key, authorization.as_deref())
            }
            Effect::Renew { authorization } => self.renew(key, authorization.as_deref()),
            Effect::Subscribe(subscribe) => self.subscribe(key, subscribe, Vec::new()),
            Effect::Unsubscribe(subscription) => {
                self.unsubscribe(key, subscription);
                Ok(())
            }
            Effect::Send(frame) => {
                self.send_stomp(key, &frame);
                Ok(())
            }
            Effect::Acknowledged(messages) => {
                metrics::acknowledged(messages);
                Ok(())
            }
            Effect::Declined(messages) => {
                metrics::declined(messages);
                Ok(())
            }
            Effect::Disconnect => {
                self.leave(key);
                Ok(())
            }
        }
    }

    /// CONNECT's own token counts before the upgrade's.
    fn authenticate(
        &mut self,
        key: ConnectionKey,
        authorization: Option<&str>,
    ) -> Result<(), DisconnectReason> {
        let fresh = authorization.map(|value| self.verify(value)).transpose()?;
        let wall = self.wall();
        let Some(connection) = self.connection(key) else {
            return Ok(());
        };
        let resident = fresh
            .or_else(|| connection.take_resident())
            .ok_or(TokenError::Missing)?;
        if good_until(resident.expires_at) <= wall {
            return Err(TokenError::Expired {
                expired_at: resident.expires_at,
            }
            .into());
        }
        if !connection.keep_place() {
            return Err(DisconnectReason::Evicted);
        }
        let counted = self.counts.take(&resident);
        let counted = counted.ok_or(DisconnectReason::TooManySockets)?;
        let Some(connection) = self.connection(key) else {
            return Ok(());
        };
        connection.open(resident, counted);
        self.schedule(key);
        Ok(())
    }

    fn verify(&self, authorization: &str) -> Result<Box<Resident>, TokenError> {
        let token = bearer(authorization.as_bytes())?;
        self.verifier.verify(token, self.wall()).map(Box::new)
    }

    /// The time of day, for tokens.
    fn wall(&self) -> Timestamp {
        EventTime::from_millis(self.clock.wall_ms()).to_timestamp()
    }

    fn renew(
        &mut self,
        key: ConnectionKey,
        authorization: Option<&str>,
    ) -> Result<(), DisconnectReason> {
        let fresh = self.verify(authorization.ok_or(TokenError::Missing)?)?;
        let Some(connection) = self.connection(key) else {
            return Ok(());
        };
        let is_same = connection.resident().is_some_and(|known| {
            known.subject == fresh.subject && known.line == fresh.line && known.house == fresh.house
        });
        if !is_same {
            return Err(DisconnectReason::OtherPerson);
        }
        connection.renew(fresh);
        self.schedule(key);
        Ok(())
    }

    /// What follows a SUBSCRIBE, its RECEIPT, waits until the subscription is sent what it missed.
    pub(super) fn perform_all(
        &mut self,
        key: ConnectionKey,
        effects: Vec<Effect>,
    ) -> Result<(), DisconnectReason> {
        let mut effects = effects.into_iter();
        while let Some(effect) = effects.next() {
            match effect {
                Effect::Subscribe(subscribe) => {
                    self.subscribe(key, subscribe, effects.by_ref().collect())?;
                }
                effect => self.perform(key, effect)?,
            }
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        key: ConnectionKey,
        subscribe: Subscribe,
        then: Vec<Effect>,
    ) -> Result<(), DisconnectReason> {
        let Some(connection) = self.connection(key) else {
            return Ok(());
        };
        let resident = connection.resident().ok_or(TokenError::Missing)?;
        match Channel::of(&subscribe.destination, resident)? {
            Channel::Line(line) => return self.subscribe_line(key, subscribe, line, then),
            Channel::Notice => {
                self.join(key, &subscribe, Channel::Notice, None);
                self.tell_what_lasts(key);
            }
            Channel::Silent => {}
        }
        self.perform_all(key, then)
    }

    /// From now on the subscription hears its channel.
    pub(super) fn join(
        &mut self,
        key: ConnectionKey,
        subscribe: &Subscribe,
        channel: Channel,
        ahead: Option<(Position, Duration)>,
    ) {
        if self.connection(key).is_none() {
            return;
        }
        let subscriber = Subscriber {
            connection: key,
            subscription: subscribe.key,
            head: subscribe.head.clone(),
            acknowledges: subscribe.ack != AckMode::Auto,
            ahead,
        };
        let handle = self.publisher.subscribe(channel, subscriber);
        if let Some(connection) = self.connection(key) {
            connection.subscribed(subscribe.key, handle);
        }
    }

    /// What a subscriber of notices would have been told before.
    fn tell_what_lasts(&mut self, key: ConnectionKey) {
        if let Some(notice) = self.publisher.current_notice() {
            self.tell(key, &notice);
        }
        if let Some(connection) = self.connection(key) {
            connection.tell_expiry_again();
        }
        self.schedule(key);
    }

    /// A notice to one connection, on its subscriptions to notices.
    fn tell(&mut self, key: ConnectionKey, notice: &Notice) {
        let connections = &mut self.connections;
        let failed = self.publisher.tell(connections, key, notice, self.now);
        self.sends_failed(failed);
    }

    fn unsubscribe(&mut self, key: ConnectionKey, subscription: SubscriptionKey) {
        let Some(connection) = self.connection(key) else {
            return;
        };
        let handle = connection.unsubscribed(subscription);
        let mut receipts = connection.backlogs().end(subscription);
        self.publisher.unsubscribe(handle);
        receipts.extend(self.give_up_pending(key, subscription));
        for receipt in receipts {
            self.send_stomp(key, &receipt);
        }
    }

    pub(super) fn send_stomp(&mut self, key: ConnectionKey, frame: &[u8]) {
        self.send(key, |connection, now| connection.send_stomp(frame, now));
    }

    /// Sends something to one connection, if it is still there.
    pub(super) fn send(
        &mut self,
        key: ConnectionKey,
        send: impl FnOnce(&mut Connection, Duration) -> Result<(), SendError>,
    ) {
        let now = self.now;
        if let Some(Err(error)) = self.connection(key).map(|connection| send(connection, now)) {
            self.send_failed(key, error);
        }
    }

    fn leave(&mut self, key: ConnectionKey) {
        let now = self.now;
        let Some(connection) = self.connection(key) else {
            return;
        };
        connection.leave(now);
        let subscriptions = connection.take_subscriptions();
        self.publisher.unsubscribe(subscriptions);
        self.pending.retain(|pending| pending.key != key);
        self.schedule(key);
    }

    /// Ends a connection with a reason: ERROR where one can be said, then Close with its code.
    pub(super) fn refuse(&mut self, key: ConnectionKey, reason: &DisconnectReason) {
        let now = self.now;
        let Some(connection) = self
            .connection(key)
            .filter(|connection| connection.accepts_input())
        else {
            return;
        };
        let reply = reason.reply();
        debug!(connection = key.number, code = reply.code, reason = %reason, "connection refused");
        metrics::refused(reply.code);
        connection.refuse(reason, now);
        self.after_close(key);
    }

    /// What was to be sent was not.
    pub(super) fn send_failed(&mut self, key: ConnectionKey, error: SendError) {
        match error {
            SendError::Slow => self.refuse(key, &DisconnectReason::SlowConsumer),
            SendError::Gone => self.drop_connection(key),
        }
    }

    pub(super) fn sends_failed(&mut self, failed: SendFailures) {
        for (key, error) in failed {
            self.send_failed(key, error);
        }
    }

    pub(super) fn flush(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connection(key) else {
            return;
        };
        match connection.flush() {
            Ok(FlushOutcome::Blocked) => {}
            Ok(FlushOutcome::Empty) if !connection.is_done() => self.fill(key),
            Ok(FlushOutcome::Empty) | Err(_) => self.drop_connection(key),
        }
    }

    // ---- deadlines ----

    pub(super) fn do_what_is_due(&mut self) {
        for key in self.deadlines.take_due(&mut self.connections, self.now) {
            self.do_what_is_due_to(key);
            self.schedule(key);
        }
    }

    fn do_what_is_due_to(&mut self, key: ConnectionKey) {
        let (now, wall, limits) = (self.now, self.wall(), self.limits);
        let Some(connection) = self.connection(key) else {
            return;
        };
        match connection.due(&limits, now, wall) {
            DueAction::Nothing => {}
            DueAction::Refuse(reason) => self.refuse(key, &reason),
            DueAction::Close(code) => self.close(key, code),
            DueAction::TellExpiry { left } => self.tell(key, &token_expiring(left)),
            DueAction::Drop => self.drop_connection(key),
            DueAction::KeepAlive { beat, ping } => {
                self.send(key, |connection, now| {
                    connection.send_keep_alive(beat, ping, now)
                });
            }
        }
    }

    fn close(&mut self, key: ConnectionKey, code: CloseCode) {
        let now = self.now;
        let Some(connection) = self.connection(key) else {
            return;
        };
        connection.close(code, "", now);
        self.after_close(key);
    }

    /// Sets the connection's next deadline.
    pub(super) fn schedule(&mut self, key: ConnectionKey) {
        let (now, wall, limits) = (self.now, self.wall(), self.limits);
        let connection = self.connections.get_mut(key.slot);
        if let Some(connection) = connection.filter(|one| one.number() == key.number) {
            self.deadlines.set(key, connection, &limits, now, wall);
        }
    }
}

fn token_expiring(left: Duration) -> Notice {
    let body = json!({"type": "token-expiring", "inMs": left.as_millis()});
    Notice {
        name: "token-expiring",
        body,
        lasts: false,
    }
}
