//! A call that has been read and attributed, until it is stored.

use std::sync::Arc;

use event_model::{EncodedRecord, Event, RecordPosition, SpringTypes, Tag, encode, header};

use crate::{caller::Caller, idempotency::IdempotencyKey, owner::Owner, recent_calls::RecentCall};

pub(crate) struct Submission {
    pub(crate) event: Event,
    pub(crate) owner: Owner,
    /// The fingerprint of the Idempotency-Key that it came with, its owner and its path.
    pub(crate) key: Option<Tag>,
    /// The W3C trace context that came with the request.
    traceparent: Option<String>,
}

impl Submission {
    pub(crate) fn new(event: Event, caller: &Caller, traceparent: Option<String>) -> Self {
        Self {
            event,
            owner: caller.owner.clone(),
            key: None,
            traceparent,
        }
    }

    /// Gives the call the id that every try of it under this key has, through any instance. Of a body that could not be
    /// read as a whole, the key covers the bytes as they came.
    pub(crate) fn under(mut self, key: &IdempotencyKey, unreadable_body: Option<&[u8]>) -> Self {
        let scope = key.scope(&self.owner, path_of(&self.event));
        match &mut self.event {
            Event::Raised(alert) => {
                alert.id = match unreadable_body {
                    Some(body) => alert.idempotent_id_of_bytes(&scope, body),
                    None => alert.idempotent_id(&scope),
                };
            }
            Event::Accepted(accept) => accept.id = accept.idempotent_id(&scope),
            Event::Life(event) => {
                let id = event.idempotent_id(&scope);
                Arc::make_mut(event).id = id;
            }
        }
        self.key = Some(scope.tag());
        self
    }

    pub(crate) fn record(&self, spring_types: SpringTypes) -> EncodedRecord {
        let mut record = encode(&self.event, spring_types, self.traceparent.as_deref());
        let mut put = |name, tag: Tag| record.headers.push((name, tag.to_string().into_bytes()));
        put(header::CALLER, self.owner.tag(self.event.id()));
        if let Some(key) = self.key {
            put(header::IDEMPOTENCY_KEY, key);
        }
        record
    }

    /// How the call stands among the recent ones once it is in the log.
    pub(crate) fn recent_call(&self, place: Option<RecordPosition>) -> RecentCall {
        let event = &self.event;
        let house = match event {
            Event::Raised(alert) => Some((alert.line.clone(), alert.house.clone())),
            Event::Accepted(_) | Event::Life(_) => None,
        };
        RecentCall {
            id: event.id(),
            topic: event.topic(),
            at: event.at(),
            place,
            caller: Some(self.owner.tag(event.id())),
            key: self.key,
            house,
        }
    }
}

fn path_of(event: &Event) -> &'static str {
    match event {
        Event::Raised(_) => "/alert",
        Event::Accepted(_) => "/accept",
        Event::Life(_) => "/alerts",
    }
}
