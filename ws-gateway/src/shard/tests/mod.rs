//! One shard with real sockets, and events that were never in a log.

mod delivery;
mod neighbour;
mod partial_messages;
mod resume;
mod sockets;

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read as _},
    net::{IpAddr, Ipv4Addr},
    num::NonZeroUsize,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use event_model::{
    AlertAccepted, AlertRaised, Event, EventId, EventTime, House, Line, PARTITIONS, RecordPosition,
    RecordView, SpringTypes, Status, Text, Topic, partition_for,
};
use resident_token::{
    EXPIRY_LEEWAY, Grant, Policy, Role, Secret, Verifier,
    testing::{SECRET, trusted_keys},
};
use service_kit::{
    bounds::{PlaceLimits, Places},
    clock::{self, Clock},
};

use self::neighbour::Neighbour;
use super::{LogEnds, ReadRecord, ShardCommand, ShardHandle};
use crate::{
    config::{Config, SocketLimits},
    event_clock::EventClock,
    feed::{EventProjector, Moment},
    outbound_event::Recency,
    socket_counts::SocketCounts,
};

/// One shard, and the log's last records as the feed would pass them on.
struct TestShard {
    shard: Option<ShardHandle>,
    thread: Option<JoinHandle<()>>,
    clock: Clock,
    sockets: Places,
    projector: EventProjector,
    offsets: BTreeMap<(Topic, u32), u64>,
    ids: u32,
}

impl TestShard {
    fn new() -> Self {
        Self::with_limits(SocketLimits::default())
    }

    fn with_limits(limits: SocketLimits) -> Self {
        let verifier = Arc::new(Verifier::open(trusted_keys(), Policy::default()).unwrap());
        let mut config = Config::new(([127, 0, 0, 1], 0).into(), "127.0.0.1:9", verifier);
        config.limits = limits;
        Self::with_config(&config)
    }

    fn with_config(config: &Config) -> Self {
        let clock = Clock::start();
        let event_clock = Arc::new(EventClock::new(clock));
        let counts = SocketCounts::default();
        let (shard, thread) = super::start(0, config, clock, event_clock, counts).unwrap();
        Self {
            shard: Some(shard),
            thread: Some(thread),
            clock,
            sockets: Places::new(PlaceLimits::unshared(1_000)),
            projector: EventProjector::default(),
            offsets: BTreeMap::new(),
            ids: 0,
        }
    }

    fn send(&self, command: ShardCommand) {
        self.shard.as_ref().unwrap().send_blocking(command).unwrap();
    }

    /// A socket that was just upgraded.
    fn neighbour(&self) -> Neighbour {
        let address = IpAddr::from(Ipv4Addr::LOCALHOST).into();
        let place = self
            .sockets
            .admit(address, clock::steady(), Arc::new(|| ()));
        let (neighbour, upgraded) = Neighbour::pair(place.unwrap());
        self.send(ShardCommand::AddConnection(upgraded));
        neighbour
    }

    /// A resident of line 101 whose CONNECT was accepted.
    fn connected(&self) -> Neighbour {
        self.connected_as("1.2", &self.token("101", "1502"))
    }

    fn connected_as(&self, version: &str, token: &str) -> Neighbour {
        let mut neighbour = self.neighbour();
        neighbour.connect(version, token);
        neighbour
    }

    /// Connected, and subscribed to line 101 as `sub-0`.
    fn subscribed(&self) -> Neighbour {
        let mut neighbour = self.connected();
        neighbour.subscribe("sub-0", "/sub/line/101", "");
        neighbour
    }

    fn now(&self) -> EventTime {
        EventTime::from_millis(self.clock.wall_ms())
    }

    fn token(&self, line: &str, house: &str) -> String {
        self.token_for(line, house, &[], Duration::from_secs(3_600))
    }

    fn token_for(&self, line: &str, house: &str, roles: &[Role], lasts: Duration) -> String {
        let expires_at = self.now().to_timestamp() + jiff::SignedDuration::try_from(lasts).unwrap();
        Secret::new(SECRET).unwrap().issue(&Grant {
            line: Some(Line::new(line).unwrap()),
            house: Some(House::new(house).unwrap()),
            roles: roles.iter().copied().collect(),
            ..Grant::new(format!("{line}/{house}"), expires_at)
        })
    }

    /// A token that is good for so long and no longer.
    fn token_good_for(&self, house: &str, lasts: Duration) -> String {
        let good_until = self.now().to_timestamp() + jiff::SignedDuration::try_from(lasts).unwrap();
        Secret::new(SECRET).unwrap().issue(&Grant {
            line: Some(Line::new("101").unwrap()),
            house: Some(House::new(house).unwrap()),
            ..Grant::new(format!("101/{house}"), good_until - EXPIRY_LEEWAY)
        })
    }

    fn event_id(&mut self) -> EventId {
        self.ids += 1;
        let mut random = [0; 10];
        random[..4].copy_from_slice(&self.ids.to_be_bytes());
        EventId::new(self.now(), random)
    }

    fn alert(&mut self, line: &str, house: &str, text: &str) -> Event {
        let at = self.now();
        self.alert_at(line, house, text, at)
    }

    fn alert_at(&mut self, line: &str, house: &str, text: &str, at: EventTime) -> Event {
        Event::Raised(AlertRaised {
            id: self.event_id(),
            line: Line::new(line).unwrap(),
            house: House::new(house).unwrap(),
            text: Text::new(text).0,
            position: None,
            at,
            status: Status::Actual,
            warnings: vec![],
        })
    }

    fn accept(&mut self, line: &str, responder: &str, target: &str) -> Event {
        Event::Accepted(AlertAccepted {
            seen: None,
            id: self.event_id(),
            line: Line::new(line).unwrap(),
            responder: House::new(responder).unwrap(),
            target: House::new(target).unwrap(),
            alert_id: None,
            at: self.now(),
            status: Status::Actual,
            warnings: vec![],
        })
    }

    /// The next record of the event's partition, as the feed digests it.
    fn record(&mut self, event: &Event) -> ReadRecord {
        let record = event_model::encode(event, SpringTypes::Omitted, None);
        let partition = partition_for(event.line(), PARTITIONS);
        let next = self.offsets.entry((record.topic, partition)).or_default();
        let place = RecordPosition {
            topic: record.topic,
            partition,
            offset: *next,
        };
        *next += 1;
        let headers: Vec<(&str, &[u8])> = record
            .headers
            .iter()
            .map(|(name, value)| (*name, &value[..]))
            .collect();
        let view = RecordView {
            place,
            time: record.timestamp,
            headers: &headers,
            value: Some(&record.value),
        };
        let now = Moment {
            elapsed: self.clock.elapsed(),
            wall: self.now(),
        };
        self.projector.project(&view, now).0
    }

    /// The event happens now: all subscribers hear it.
    fn happens(&mut self, event: &Event) {
        let read = self.record(event);
        self.send(ShardCommand::Publish(read));
    }

    /// The event was in the log when the gateway started.
    fn happened(&mut self, event: &Event) {
        let mut read = self.record(event);
        if let Some(outbound) = read.event.as_mut().and_then(Arc::get_mut) {
            outbound.recency = Recency::Before(event.at());
        }
        self.send(ShardCommand::Store(read));
    }

    /// The log answers that it ends where this shard's log does.
    fn log_answers(&self) {
        let ends = self.offsets.iter().map(|(key, next)| (*key, *next));
        self.send(ShardCommand::LogEnds(LogEnds {
            asked_at: self.clock.elapsed(),
            ends: ends.collect(),
        }));
    }
}

impl Drop for TestShard {
    fn drop(&mut self) {
        // Without a way to it the shard ends, whatever clients are still connected.
        if let Some(shard) = self.shard.take() {
            drop(shard.send_blocking(ShardCommand::Drain(Duration::ZERO)));
        }
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the shard panicked"
            );
        }
    }
}
