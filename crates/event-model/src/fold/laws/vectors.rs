//! Histories with what the fold says of them, as a file that other programs' folds are tested with: the page's JavaScript, the batch's
//! independent computation. One history a line, its events in an order of reading.

use serde_json::{Map, Value, json};

use super::answers::{Answers, SpellAnswer};
use super::histories::{Random, history};
use super::{NAMES, fold_of};
use crate::fold::Fold;
use crate::{Event, EventTime, Recorded, encode};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lives.jsonl");
const HISTORIES: u64 = 60;

/// An event as its record's value says it, with its place and kind.
fn written(recorded: &Recorded) -> Value {
    let value = encode(&recorded.event, crate::SpringTypes::Omitted, None).value;
    let value: Value = serde_json::from_slice(&value).expect("it was just written");
    let mut object = Map::new();
    object.insert("place".to_owned(), recorded.place.to_string().into());
    let kind = match &recorded.event {
        Event::Raised(_) => "alert",
        Event::Accepted(_) => "accept",
        Event::Life(_) => "life",
    };
    object.insert("type".to_owned(), kind.into());
    if let Event::Life(event) = &recorded.event {
        object.insert("what".to_owned(), event.kind.name().into());
    }
    let value = value.as_object().expect("an object").clone();
    // One line for everybody, and neither position nor text where there is none.
    let says = |(key, value): &(String, Value)| key != "line" && value != "";
    object.extend(value.into_iter().filter(says));
    Value::Object(object)
}

fn spell(spell: &SpellAnswer) -> Value {
    let end = spell.end.map(|end: EventTime| end.to_string());
    let ended_by = spell.ended_by.map(|id| id.to_string());
    json!({"start": spell.start.to_string(), "end": end, "cycle": spell.cycle.to_string(), "endedBy": ended_by})
}

fn answers_of(answers: &Answers) -> Value {
    let ids =
        |ids: Vec<crate::EventId>| -> Vec<String> { ids.iter().map(ToString::to_string).collect() };
    let responders = answers.responders.iter().map(|(house, responder)| {
        let since = responder.since.map(|since| since.to_string());
        let shown = json!({"what": responder.what, "since": since, "rank": responder.rank});
        (house.as_str().to_owned(), shown)
    });
    json!({
        "state": answers.state,
        "coming": answers.coming,
        "arrived": answers.arrived,
        "level": answers.level,
        "cycle": answers.cycle.to_string(),
        "ended": answers.ended.map(|id| id.to_string()),
        "heldEnds": ids(answers.held.clone()),
        "counted": ids(answers.counted.iter().copied().collect()),
        "rings": ids(answers.rings.iter().copied().collect()),
        "standing": ids(answers.standing.clone()),
        "primary": answers.primary.as_ref().map(crate::House::as_str),
        "responders": Value::Object(responders.collect()),
        "spells": answers.spells.iter().map(spell).collect::<Vec<_>>(),
        "text": answers.text.as_ref().map(crate::Text::as_str),
        "floor": answers.floor,
        "notes": ids(answers.notes.clone()),
    })
}

fn calls(fold: &Fold) -> Value {
    let alerts = fold.alerts(&NAMES.line).into_iter().map(|alert| {
        let call = fold
            .call(&NAMES.line, alert.id)
            .expect("the alert is known");
        (alert.id.to_string(), answers_of(&Answers::of(&call)))
    });
    Value::Object(alerts.collect())
}

fn vector(seed: u64) -> String {
    let mut records = history(&NAMES, seed);
    let fold = fold_of(&records);
    if seed % 2 == 1 {
        Random::of(seed).shuffle(&mut records);
    }
    let events: Vec<Value> = records.iter().map(written).collect();
    json!({"events": events, "calls": calls(&fold)}).to_string()
}

#[test]
fn the_lives_that_others_are_tested_with_say_what_the_fold_says() {
    let vectors: Vec<String> = (0..HISTORIES).map(vector).collect();
    let vectors = vectors.join("\n") + "\n";
    if std::env::var_os("WRITE_LIVES").is_some() {
        std::fs::write(PATH, &vectors).expect("the folder of the tests");
    }
    let file = std::fs::read_to_string(PATH).expect("the file is part of the tree");
    assert!(
        file == vectors,
        "{PATH} is older than the fold: WRITE_LIVES=1 writes it"
    );
}
