//! Dead letters: records that a reader could not read, kept whole. Look at them, and send them again once their reader has
//! been mended.
//!
//! Every gateway keeps its own copy of a dead letter, so letters are told apart by the place they come from.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, anyhow};
use event_model::{Topic, dead_letter};
use log_client::{owned_headers, read_until, reader_settings, spans};
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::{Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use service_kit::Failure;

use crate::cli::Dlt;
use crate::data_folder::DataFolder;
use crate::outcome::not_now;

/// What an operator's tools call the log's client.
const CLIENT: &str = "mayday-dlt";
/// How long the log may take to answer.
const LOG_WITHIN: Duration = Duration::from_secs(10);

/// Where a record first stood: topic, partition, offset.
type Origin = (String, i32, i64);

/// Lists, shows or replays.
pub(crate) async fn dlt(command: &Dlt, folder: &DataFolder) -> Result<(), Failure> {
    match command {
        Dlt::List { log, json } => list(&folder.log_address(log.as_deref()), *json),
        Dlt::Show { origin, log } => show(&folder.log_address(log.as_deref()), origin),
        Dlt::Replay { origin, all, log } => {
            let wanted = if *all { None } else { origin.as_deref() };
            replay(&folder.log_address(log.as_deref()), wanted).await
        }
    }
}

fn list(servers: &str, as_json: bool) -> Result<(), Failure> {
    let letters = read_all(servers)?;
    for (origin, letter) in &letters {
        let fact = |name| header(letter, name).unwrap_or_else(|| "?".to_owned());
        let (time, error, reader) = (
            fact(dead_letter::TIME),
            fact(dead_letter::ERROR),
            fact(dead_letter::READER),
        );
        if as_json {
            println!(
                "{}",
                json!({ "origin": named(origin), "time": time, "error": error, "reader": reader })
            );
        } else {
            println!("{}  {time}  {error}  (by {reader})", named(origin));
        }
    }
    if letters.is_empty() && !as_json {
        println!("no dead letters");
    }
    Ok(())
}

fn show(servers: &str, wanted: &str) -> Result<(), Failure> {
    let letters = read_all(servers)?;
    let letter = find(&letters, wanted)?;
    for name in dead_letter::ALL {
        println!("{name}: {}", header(letter, name).unwrap_or_default());
    }
    println!("key: {}", readable(letter.key()));
    println!("value: {}", readable(letter.payload()));
    Ok(())
}

/// Sends the original bytes, key and headers to the topic they come from. Readers drop what they have seen before by the
/// event's id, so a replay does no harm to a reader that could read it the first time.
async fn replay(servers: &str, wanted: Option<&str>) -> Result<(), Failure> {
    let letters = read_all(servers)?;
    let chosen: Vec<_> = match wanted {
        Some(wanted) => vec![find(&letters, wanted)?],
        None => letters.values().collect(),
    };
    let writer: FutureProducer = log_client::settings(servers, CLIENT)
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .set("partitioner", "murmur2_random")
        .set("message.timeout.ms", LOG_WITHIN.as_millis().to_string())
        .create()
        .context("the log's client does not start")?;
    for letter in chosen {
        let origin =
            origin_of(letter).context("a dead letter that does not say where it comes from")?;
        let mut record = FutureRecord::<[u8], [u8]>::to(&origin.0).headers(own_headers(letter));
        record.key = letter.key();
        record.payload = letter.payload();
        let sent = writer.send(record, LOG_WITHIN).await;
        let place = sent.map_err(|(error, _)| not_now(format!("{}: {error}", named(&origin))))?;
        println!(
            "{} sent again to {}-{}-{}",
            named(&origin),
            origin.0,
            place.partition,
            place.offset
        );
    }
    Ok(())
}

/// Every dead letter there is, one per place of origin.
fn read_all(servers: &str) -> Result<BTreeMap<Origin, OwnedMessage>, Failure> {
    let reader: BaseConsumer = reader_settings(servers, CLIENT)
        .create()
        .context("the log's client does not start")?;
    let mut all = Vec::new();
    for topic in Topic::ALL {
        let spans = spans(&reader, topic.dead_letter_name(), LOG_WITHIN);
        all.extend(spans.map_err(|error| not_now(format!("{servers}: {error}")))?);
    }
    let mut letters = BTreeMap::new();
    let read = read_until(
        &reader,
        &all,
        LOG_WITHIN,
        || true,
        |message| {
            let letter = message.detach();
            if let Some(origin) = origin_of(&letter) {
                letters.insert(origin, letter);
            }
        },
    );
    read.map_err(|error| not_now(format!("{servers}: {error}")))?;
    Ok(letters)
}

fn find<'a>(
    letters: &'a BTreeMap<Origin, OwnedMessage>,
    wanted: &str,
) -> Result<&'a OwnedMessage, Failure> {
    let found = letters.iter().find(|(origin, _)| named(origin) == wanted);
    let (_, letter) = found
        .ok_or_else(|| anyhow!("{wanted}: no such dead letter; mayday dlt list shows them all"))?;
    Ok(letter)
}

fn origin_of(letter: &OwnedMessage) -> Option<Origin> {
    let topic = header(letter, dead_letter::TOPIC)?;
    let partition = header(letter, dead_letter::PARTITION)?.parse().ok()?;
    let offset = header(letter, dead_letter::OFFSET)?.parse().ok()?;
    Some((topic, partition, offset))
}

fn named((topic, partition, offset): &Origin) -> String {
    format!("{topic}-{partition}-{offset}")
}

/// The last header of that name: the one that the reader added.
fn header(letter: &OwnedMessage, name: &str) -> Option<String> {
    let found = letter
        .headers()?
        .iter()
        .filter(|header| header.key == name)
        .last()?;
    Some(readable(found.value))
}

/// The headers it had before it became a dead letter.
fn own_headers(letter: &OwnedMessage) -> OwnedHeaders {
    let headers = letter.headers().into_iter().flat_map(Headers::iter);
    let own = headers.filter(|header| !dead_letter::ALL.contains(&header.key));
    owned_headers(own.map(|header| (header.key, header.value)))
}

/// Bytes for a terminal: what is no text, and what would steer the terminal, is escaped.
fn readable(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(String::new, |bytes| {
        String::from_utf8_lossy(bytes).escape_debug().to_string()
    })
}
