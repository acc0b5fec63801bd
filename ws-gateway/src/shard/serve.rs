//! What a session asks of its shard, and what is due to a connection.

use std::sync::Arc;

use event_model::{Line, PARTITIONS, fold::LIVE_FOR, partition_for};
use resident_token::{Resident, TokenError, bearer};
use serde_json::json;
use tracing::debug;

use super::{ConnectionKey, Notice, Shard, Subscriber, deliver_to};
use crate::{
    connection::{Due, SendError, TELL_EXPIRY_BEFORE},
    destination::Channel,
    measure,
    outbox::Flushed,
    position::Position,
    push::{self, Push},
    recent::{NotRecovered, SNAPSHOT_WINDOW},
    refusal::Refusal,
    stomp::{AckMode, Effect, Subscribe, SubscriptionKey},
    websocket::CloseCode,
};

/// What a new subscription is sent before anything live.
struct Missed {
    frames: Vec<Arc<Push>>,
    /// The answer to a resume.
    answer: Option<serde_json::Value>,
}

impl Shard {
    /// # Errors
    ///
    /// The connection is to be refused; what the session wanted next must not be done.
    pub(super) fn perform(&mut self, key: ConnectionKey, effect: Effect) -> Result<(), Refusal> {
        match effect {
            Effect::Authenticate { authorization } => {
                self.authenticate(key, authorization.as_deref())
            }
            Effect::Renew { authorization } => self.renew(key, authorization.as_deref()),
            Effect::Subscribe(subscribe) => self.subscribe(key, subscribe),
            Effect::Unsubscribe(subscription) => {
                self.unsubscribe(key, subscription);
                Ok(())
            }
            Effect::Send(frame) => {
                self.send_stomp(key, &frame);
                Ok(())
            }
            Effect::Acknowledged(messages) => {
                measure::acknowledged(messages);
                Ok(())
            }
            Effect::Declined(messages) => {
                measure::declined(messages);
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
    ) -> Result<(), Refusal> {
        let fresh = authorization.map(|value| self.verify(value)).transpose()?;
        let wall = self.clock.wall();
        let Some(connection) = self.connection(key) else {
            return Ok(());
        };
        let resident = fresh
            .or_else(|| connection.resident.take())
            .ok_or(TokenError::Missing)?;
        if resident.expires_at <= wall {
            return Err(TokenError::Expired {
                expired_at: resident.expires_at,
            }
            .into());
        }
        if !connection.place.work() {
            return Err(Refusal::MadeRoom);
        }
        connection.place.verified();
        let counted = self.counts.take(&resident);
        let counted = counted.ok_or(Refusal::TooManySockets)?;
        let Some(connection) = self.connection(key) else {
            return Ok(());
        };
        connection.open(resident, counted);
        self.schedule(key);
        Ok(())
    }

    fn verify(&self, authorization: &str) -> Result<Box<Resident>, TokenError> {
        let token = bearer(Some(authorization.as_bytes()))?;
        self.verifier.verify(token, self.clock.wall()).map(Box::new)
    }

    fn renew(&mut self, key: ConnectionKey, authorization: Option<&str>) -> Result<(), Refusal> {
        let fresh = self.verify(authorization.ok_or(TokenError::Missing)?)?;
        let Some(connection) = self.connection(key) else {
            return Ok(());
        };
        let is_same = connection.resident.as_ref().is_some_and(|known| {
            known.subject == fresh.subject && known.line == fresh.line && known.house == fresh.house
        });
        if !is_same {
            return Err(Refusal::OtherPerson);
        }
        connection.renew(fresh);
        self.schedule(key);
        Ok(())
    }

    /// Joins, and then sends what was missed: nothing can happen between the two, since both are done here.
    fn subscribe(&mut self, key: ConnectionKey, subscribe: Subscribe) -> Result<(), Refusal> {
        let Some(connection) = self.connections.get_mut(key.slot) else {
            return Ok(());
        };
        let resident = connection.resident.as_deref().ok_or(TokenError::Missing)?;
        let channel = Channel::of(&subscribe.destination, resident)?;
        if channel == Channel::Silent {
            return Ok(());
        }
        let subscriber = Subscriber {
            connection: key,
            subscription: subscribe.key,
            head: subscribe.head.clone(),
            acknowledges: subscribe.ack != AckMode::Auto,
        };
        let seat = self.hub.join(channel.clone(), subscriber);
        connection.seats.push((subscribe.key, seat));
        match channel {
            Channel::Line(line) => self.catch_up(key, &subscribe, &line),
            Channel::Notice => {
                if let Some(notice) = self.lasting.clone() {
                    self.tell(key, &notice);
                }
            }
            Channel::Silent => {}
        }
        Ok(())
    }

    fn catch_up(&mut self, key: ConnectionKey, subscribe: &Subscribe, line: &Line) {
        let missed = self.missed(subscribe, line);
        measure::replayed(missed.frames.len());
        let answer = missed.answer.map(|body| {
            let message_id = format!("resume-{:x}-{}", key.number, subscribe.key.0);
            (push::note("resume", &message_id, &body), message_id)
        });
        let frames = missed
            .frames
            .iter()
            .map(|push| (push.rest_replayed().clone(), push.message_id.clone()));
        for (rest, message_id) in answer.into_iter().chain(frames) {
            self.letter.load(&rest);
            let Some(connection) = self.connections.get_mut(key.slot) else {
                return;
            };
            let Some((_, seat)) = connection.seats.last() else {
                return;
            };
            let Some(subscriber) = self.hub.subscriber(seat) else {
                return;
            };
            if let Err(error) = deliver_to(
                connection,
                subscriber,
                &mut self.letter,
                &message_id,
                self.now,
            ) {
                return self.unsent(key, error);
            }
        }
    }

    /// A notice to one connection, on its subscriptions to notices.
    fn tell(&mut self, key: ConnectionKey, notice: &Notice) {
        let message_id = self.load_notice(notice);
        let Some(connection) = self.connections.get_mut(key.slot) else {
            return;
        };
        let mut sent = Ok(());
        for subscriber in self
            .hub
            .subscribers(&Channel::Notice)
            .filter(|subscriber| subscriber.connection == key)
        {
            sent = sent.and(deliver_to(
                connection,
                subscriber,
                &mut self.letter,
                &message_id,
                self.now,
            ));
        }
        if let Err(error) = sent {
            self.unsent(key, error);
        }
    }

    fn missed(&self, subscribe: &Subscribe, line: &Line) -> Missed {
        let now = self.clock.event_time();
        let Some(token) = &subscribe.resume_from else {
            let since = now.minus(SNAPSHOT_WINDOW);
            let frames = if subscribe.snapshot {
                self.recent.live_alerts(line, since)
            } else {
                Vec::new()
            };
            return Missed {
                frames,
                answer: None,
            };
        };
        let partition = partition_for(line, PARTITIONS);
        let position = self.recent.position(partition);
        match self.since(line, token, partition) {
            Ok(frames) => Missed {
                answer: Some(recovered(frames.len(), position)),
                frames,
            },
            Err(reason) => {
                let frames = self.recent.live_alerts(line, now.minus(LIVE_FOR));
                Missed {
                    answer: Some(not_recovered(reason, frames.len(), position)),
                    frames,
                }
            }
        }
    }

    fn since(
        &self,
        line: &Line,
        token: &str,
        partition: u32,
    ) -> Result<Vec<Arc<Push>>, NotRecovered> {
        if token == "now" {
            return Ok(Vec::new());
        }
        let position: Position = token.parse().map_err(|_| NotRecovered::BadToken)?;
        self.recent.since(line, partition, &position)
    }

    fn unsubscribe(&mut self, key: ConnectionKey, subscription: SubscriptionKey) {
        let Some(connection) = self.connections.get_mut(key.slot) else {
            return;
        };
        // One of a silent queue has no seat.
        if let Some(at) = connection
            .seats
            .iter()
            .position(|(known, _)| *known == subscription)
        {
            let (_, seat) = connection.seats.swap_remove(at);
            self.hub.leave(seat);
        }
    }

    fn send_stomp(&mut self, key: ConnectionKey, frame: &[u8]) {
        let now = self.now;
        let Some(connection) = self.connection(key) else {
            return;
        };
        if let Err(error) = connection.send_stomp(frame, now) {
            self.unsent(key, error);
        }
    }

    fn leave(&mut self, key: ConnectionKey) {
        let now = self.now;
        let Some(connection) = self.connection(key) else {
            return;
        };
        connection.leave(now);
        for (_, seat) in std::mem::take(&mut connection.seats) {
            self.hub.leave(seat);
        }
        self.schedule(key);
    }

    /// Ends a connection with a reason: ERROR where one can be said, then Close with its code.
    pub(super) fn refuse(&mut self, key: ConnectionKey, refusal: &Refusal) {
        let now = self.now;
        let Some(connection) = self
            .connection(key)
            .filter(|connection| connection.listens())
        else {
            return;
        };
        let answer = refusal.answer();
        debug!(connection = key.number, code = answer.code, reason = %refusal, "connection refused");
        measure::refused(answer.code);
        let error = refusal
            .error_text()
            .and_then(|text| connection.session.error(&text));
        let heard = error.is_none_or(|error| connection.send_stomp(&error, now).is_ok());
        if heard && !matches!(refusal, Refusal::SlowConsumer) {
            connection.close(answer.close, answer.code, now);
        } else {
            connection.cut_off(answer.close, answer.code, now);
        }
        self.after_close(key);
    }

    /// What was to be sent was not.
    pub(super) fn unsent(&mut self, key: ConnectionKey, error: SendError) {
        match error {
            SendError::Slow => self.refuse(key, &Refusal::SlowConsumer),
            SendError::Gone => self.drop_connection(key),
        }
    }

    pub(super) fn flush(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connection(key) else {
            return;
        };
        match connection.flush() {
            Ok(Flushed::Blocked) => {}
            Ok(Flushed::Empty) if !connection.is_done() => {}
            Ok(Flushed::Empty) | Err(_) => self.drop_connection(key),
        }
    }

    // ---- deadlines ----

    pub(super) fn turn_wheel(&mut self) {
        let mut awake = Vec::new();
        self.wheel.advance(self.now, &mut awake);
        for (key, at) in awake {
            // Another deadline may have been set since, earlier than this one.
            let Some(connection) = self
                .connection(key)
                .filter(|connection| connection.wake_at == Some(at))
            else {
                continue;
            };
            connection.wake_at = None;
            self.do_what_is_due(key);
            self.schedule(key);
        }
    }

    fn do_what_is_due(&mut self, key: ConnectionKey) {
        let (now, wall, pace) = (self.now, self.clock.wall(), self.pace);
        let Some(connection) = self.connection(key) else {
            return;
        };
        match connection.due(&pace, now, wall) {
            Due::Nothing => {}
            Due::Refuse(refusal) => self.refuse(key, &refusal),
            Due::Close(code) => self.close(key, code),
            Due::TellExpiry => {
                connection.expiry_told = true;
                self.tell(key, &token_expiring());
            }
            Due::Drop => self.drop_connection(key),
            Due::Speak { beat, ping } => {
                if let Err(error) = connection.speak(beat, ping, now) {
                    self.unsent(key, error);
                }
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

    /// Sets the wheel to the connection's next deadline, if that is earlier than what it is set to.
    pub(super) fn schedule(&mut self, key: ConnectionKey) {
        let (now, wall, pace) = (self.now, self.clock.wall(), self.pace);
        let Some(connection) = self.connection(key) else {
            return;
        };
        let next = connection.next_deadline(&pace, now, wall);
        if connection.wake_at.is_none_or(|set| next < set) {
            connection.wake_at = Some(next);
            self.wheel.wake_at(next, (key, next));
        }
    }
}

fn token_expiring() -> Notice {
    let body = json!({"type": "token-expiring", "inMs": TELL_EXPIRY_BEFORE.as_millis()});
    Notice {
        name: "token-expiring",
        body,
        lasts: false,
    }
}

fn recovered(count: usize, position: Position) -> serde_json::Value {
    json!({"type": "resume", "recovered": true, "count": count, "position": position.to_string()})
}

fn not_recovered(reason: NotRecovered, count: usize, position: Position) -> serde_json::Value {
    json!({
        "type": "resume", "recovered": false, "reason": reason.as_str(), "count": count,
        "position": position.to_string(),
    })
}
