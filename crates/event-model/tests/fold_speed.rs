//! How many records the fold takes a second, as a gateway asks it: each record is added, and of each accept it is asked which alert it
//! belongs to. By hand: `cargo test -p event-model --release --test fold_speed -- --ignored --nocapture`.

#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]

use std::time::Instant;

use event_model::fold::Fold;
use event_model::{
    AlertAccepted, AlertRaised, Event, EventId, EventTime, House, Line, RecordPosition, Recorded,
    Status, Text, Topic,
};
use uuid::Uuid;

const LINES: u64 = 1_000;
const ALERTS: u64 = 100_000;
const ACCEPTS_EACH: u64 = 2;

/// A day of a large operator, ten times over: no life event among it.
fn records() -> Vec<Recorded> {
    let name = |number: u64| format!("{number}");
    let lines: Vec<Line> = (0..LINES)
        .map(|line| Line::new(&name(line)).unwrap())
        .collect();
    let houses: Vec<House> = (0..50)
        .map(|house| House::new(&name(house)).unwrap())
        .collect();
    let pick = |number: u64| houses[usize::try_from(number % 50).unwrap()].clone();
    let mut offsets = [0, 0];
    let mut records = Vec::new();
    for number in 0..ALERTS {
        let line = lines[usize::try_from(number % LINES).unwrap()].clone();
        let at = EventTime::from_millis(1_790_000_000_000 + i64::try_from(number * 800).unwrap());
        let alert_id = EventId::Uuid(Uuid::from_u128(u128::from(number) << 64));
        let mut push = |event: Event, topic: Topic| {
            let offset = &mut offsets[usize::from(topic == Topic::Accept)];
            let (partition, time) = (0, event.at());
            let place = RecordPosition {
                topic,
                partition,
                offset: *offset,
            };
            *offset += 1;
            records.push(Recorded { event, place, time });
        };
        let raised = AlertRaised {
            id: alert_id,
            line: line.clone(),
            house: pick(number / LINES),
            text: Text::new("help").0,
            position: None,
            at,
            status: Status::Actual,
            warnings: vec![],
        };
        push(Event::Raised(raised), Topic::Alert);
        for accept in 1..=ACCEPTS_EACH {
            let accepted = AlertAccepted {
                id: EventId::Uuid(Uuid::from_u128(
                    (u128::from(number) << 64) + u128::from(accept),
                )),
                line: line.clone(),
                responder: pick(number / LINES + accept),
                target: pick(number / LINES),
                alert_id: (number % 2 == 0).then_some(alert_id),
                at: EventTime::from_millis(at.as_millis() + 10),
                seen: None,
                status: Status::Actual,
                warnings: vec![],
            };
            push(Event::Accepted(accepted), Topic::Accept);
        }
    }
    records
}

#[test]
#[ignore = "a measurement"]
fn records_a_second() {
    let records = records();
    for _ in 0..5 {
        let (mut fold, mut bound) = (Fold::new(), 0);
        #[expect(clippy::disallowed_methods, reason = "a measurement, run by hand")]
        let start = Instant::now();
        for recorded in &records {
            fold.add(recorded);
            if let Event::Accepted(accept) = &recorded.event {
                let status = fold.accept_status(&accept.line, accept.id);
                bound += usize::from(status.rank.is_some());
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(fold.len(), records.len());
        println!(
            "{:.0} records/s, {bound} bound",
            records.len() as f64 / seconds
        );
    }
}
