//! Which alert each accept belongs to, as a file that the page's JavaScript and the batch's independent computation are
//! tested with too: one history a line, in an order of reading, with what the fold says in the end.

#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]

use event_model::fold::Fold;
use event_model::{
    AlertAccepted, AlertRaised, Event, EventId, EventTime, House, Line, RecordPosition, Recorded,
    Status, Text, Topic,
};
use serde_json::{Value, json};
use uuid::Uuid;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bindings.jsonl");
const HISTORIES: u64 = 80;
const START: i64 = 1_790_000_000_000;
const HOUR: u64 = 60 * 60 * 1_000;

/// Steele and others, "SplitMix": the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        let count = u64::try_from(values.len()).unwrap();
        values[usize::try_from(self.below(count)).unwrap()]
    }
}

fn line() -> Line {
    Line::new("demo").unwrap()
}

fn house(number: u64) -> House {
    House::new(&format!("{number}")).unwrap()
}

fn id(number: u64) -> EventId {
    EventId::Uuid(Uuid::from_u128(u128::from(number) + 1))
}

/// Presses and accepts of three houses, seconds apart, around the edges of the rule, and about a day later.
fn history(seed: u64) -> Vec<Recorded> {
    let mut random = Random(seed);
    let edges = [
        0,
        1,
        2_000,
        4_999,
        5_000,
        5_001,
        7_000,
        10_000,
        24 * HOUR - 1,
        24 * HOUR,
        24 * HOUR + 4_999,
    ];
    let mut offsets = [0, 0];
    let mut records = Vec::new();
    for number in 0..4 + random.below(12) {
        let moment = random.pick(&edges) + random.pick(&[0, 0, 1, 5_000]);
        let at = EventTime::from_millis(START + i64::try_from(moment).unwrap());
        let is_alert = random.below(5) < 2;
        let (topic, offset) = if is_alert {
            (Topic::Alert, &mut offsets[0])
        } else {
            (Topic::Accept, &mut offsets[1])
        };
        let place = RecordPosition {
            topic,
            partition: 0,
            offset: *offset,
        };
        *offset += 1;
        let event = if is_alert {
            Event::Raised(AlertRaised {
                id: id(number),
                line: line(),
                house: house(random.below(2)),
                text: Text::new("").0,
                position: None,
                at,
                status: Status::Actual,
                warnings: vec![],
            })
        } else {
            Event::Accepted(AlertAccepted {
                seen: None,
                id: id(number),
                line: line(),
                responder: house(5 + random.below(3)),
                target: house(random.below(2)),
                alert_id: (random.below(5) == 0).then(|| id(random.below(8))),
                at,
                status: Status::Actual,
                warnings: vec![],
            })
        };
        records.push(Recorded {
            event,
            place,
            time: at,
        });
    }
    records
}

fn written(recorded: &Recorded) -> Value {
    let (id, at) = (recorded.event.id().to_string(), recorded.event.at());
    let at = at.to_string();
    match &recorded.event {
        Event::Raised(alert) => {
            json!({"type": "alert", "id": id, "at": at, "house": alert.house.as_str()})
        }
        Event::Accepted(accept) => json!({
            "type": "accept", "id": id, "at": at, "accept": accept.responder.as_str(), "target": accept.target.as_str(),
            "alertId": accept.alert_id.map(|id| id.to_string()),
        }),
        Event::Life(_) => unreachable!("a life event moves no binding, and none is among these"),
    }
}

/// The alerts that are known, each with the houses that go, in the order of their ranks.
fn responders(fold: &Fold) -> Value {
    let line = line();
    let alerts = fold.alerts(&line).into_iter().map(|alert| {
        let mut houses: Vec<&str> = Vec::new();
        for ranked in fold.accepts(&line, alert.id) {
            if houses.len() < ranked.rank as usize {
                houses.push(ranked.accept.responder.as_str());
            }
        }
        (alert.id.to_string(), json!(houses))
    });
    Value::Object(alerts.collect())
}

fn vector(seed: u64) -> String {
    let records = history(seed);
    let mut fold = Fold::new();
    for recorded in &records {
        fold.add(recorded);
    }
    let events: Vec<Value> = records.iter().map(written).collect();
    json!({"events": events, "responders": responders(&fold)}).to_string()
}

#[test]
fn the_histories_that_others_are_tested_with_say_what_the_fold_says() {
    let vectors: Vec<String> = (0..HISTORIES).map(vector).collect();
    let vectors = vectors.join("\n") + "\n";
    if std::env::var_os("WRITE_BINDINGS").is_some() {
        std::fs::write(PATH, &vectors).unwrap();
    }
    let file = std::fs::read_to_string(PATH).unwrap();
    assert!(
        file == vectors,
        "{PATH} is older than the fold: WRITE_BINDINGS=1 writes it"
    );
}
