//! The files that a real broker run leaves: decoders that we did not write read the same in them as we do and as was
//! written, and `verify` misses no byte.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use journal::disk::{Disk, OpenMode};
use journal::sim_disk::SimDisk;
use journal::{JournalConfig, Severity};
use log_core::ids::TimestampMs;
use log_core::offline::{Report, verify};
use log_core::record::{BatchBuilder, BatchHeader, Compression, NewRecord, Record, Records};
use serde_json::{Value, json};

use support::TestBroker;
use support::clients::{java, python};
use support::records::AT;
use support::wire_client::{WireClient, create_topic_with, produce};

const TOPIC: &str = "an-alert";

/// All files below a folder, sorted.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn segments_below(folder: &Path) -> Vec<String> {
    let files = files_below(folder).into_iter();
    let logs = files.filter(|path| path.extension().is_some_and(|found| found == "log"));
    logs.map(|path| path.to_string_lossy().into_owned())
        .collect()
}

fn lines_of_json(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn hex(bytes: Option<&Bytes>) -> Value {
    let digits = |bytes: &Bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.map_or(Value::Null, |bytes| Value::String(digits(bytes)))
}

/// Our own reading of a segment, in the words of the other decoders.
fn read_by_us(path: &str) -> Vec<Value> {
    let mut rest = Bytes::from(fs::read(path).expect("read"));
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let (header, batch, more) = BatchHeader::split_first(&rest).expect("whole batches");
        let records = Records::new(header, &batch).map(|record| our_record(&record.expect("read")));
        let records: Vec<Value> = records.collect();
        batches.push(our_batch(&header, records));
        rest = more;
    }
    batches
}

fn our_batch(header: &BatchHeader, records: Vec<Value>) -> Value {
    let codec = match header.attributes.compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Snappy => "snappy",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    };
    let producer = header.producer;
    let sequence = producer.and_then(|producer| producer.base_sequence);
    json!({
        "base_offset": header.base_offset.0,
        "last_offset": header.last_offset().0,
        "leader_epoch": header.leader_epoch.expect("patched in").0,
        "codec": codec,
        "transactional": header.attributes.transactional,
        "control": header.attributes.control,
        "producer_id": producer.map_or(json!(-1), |producer| json!(producer.id.0)),
        "producer_epoch": producer.map_or(json!(-1), |producer| json!(producer.epoch.0)),
        "base_sequence": sequence.map_or(json!(-1), |sequence| json!(sequence.0)),
        "max_timestamp": header.max_timestamp.0,
        "records": records,
    })
}

fn our_record(record: &Record) -> Value {
    let headers = record.headers.iter();
    let headers: Vec<Value> = headers
        .map(|header| json!([header.name, hex(header.value.as_ref())]))
        .collect();
    json!({
        "offset": record.offset.0,
        "timestamp": record.timestamp.0,
        "key": hex(record.key.as_ref()),
        "value": hex(record.value.as_ref()),
        "headers": headers,
    })
}

/// What the batches must hold, by what the client was told.
fn check_against_what_was_written(batches: &[Value], written: &[Value]) {
    let mut found = batches.iter().flat_map(|batch| {
        let records = batch["records"].as_array().expect("a list");
        records.iter().map(move |record| (batch, record))
    });
    for wrote in written {
        let at = &wrote["offset"];
        let holds = found.find(|(_, record)| record["offset"] == *at);
        let (batch, record) = holds.unwrap_or_else(|| panic!("offset {at} is missing"));
        for field in ["timestamp", "key", "value", "headers"] {
            assert_eq!(record[field], wrote[field], "{field} at offset {at}");
        }
        for field in ["codec", "transactional"] {
            assert_eq!(batch[field], wrote[field], "{field} at offset {at}");
        }
        let sequenced = batch["producer_id"] != -1 && batch["base_sequence"] != -1;
        assert_eq!(sequenced, wrote["idempotent"] == true, "offset {at}");
        assert_eq!(batch["control"], false);
    }
}

#[tokio::test]
async fn decoders_that_we_did_not_write_read_what_was_written() {
    let TestBroker { broker, folder } = TestBroker::start().await;
    let address = broker.address().to_string();
    let mut client = WireClient::connect(&address).await;
    create_topic_with(
        &mut client,
        TOPIC,
        1,
        &[("segment.ms", "1"), ("retention.ms", "-1")],
    )
    .await;
    let said = python("segments.py", &["write", &address, TOPIC]).await;
    let mut written = lines_of_json(&said.expect_success("librdkafka writes"));
    written.sort_by_key(|record| record["offset"].as_u64());
    drop(client);
    broker.shutdown().await.expect("ends cleanly");

    let segments = segments_below(folder.path());
    assert!(1 < segments.len(), "several segments");
    let files: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ours: Vec<Value> = files.iter().flat_map(|path| read_by_us(path)).collect();
    let said = python("segments.py", &[&["read"], &files[..]].concat()).await;
    let theirs = lines_of_json(&said.expect_success("kafka-python reads"));

    assert_eq!(theirs, ours, "kafka-python");
    assert_eq!(written.len(), 70);
    check_against_what_was_written(&theirs, &written);
    check_control_batches(&theirs);
    match java("JavaSegments.java", &files).await {
        Some(said) => assert_eq!(lines_of_json(&said.expect_success("Kafka reads")), ours),
        None => eprintln!("no java and mvn here: Kafka's own decoder was not asked"),
    }
}

/// The four transactions end with two commits and two aborts, and offsets have no holes.
fn check_control_batches(batches: &[Value]) {
    let ends = batches.iter().filter(|batch| batch["control"] == true);
    // A control record's key: version 0, then 0 for an abort and 1 for a commit.
    let keys: Vec<&Value> = ends.map(|batch| &batch["records"][0]["key"]).collect();
    assert_eq!(keys, ["00000001", "00000000", "00000001", "00000000"]);
    let mut next = 0;
    for batch in batches {
        assert_eq!(batch["base_offset"], next);
        next = batch["last_offset"].as_u64().expect("a number") + 1;
    }
}

/// A folder after a life with a restart, two topics, a group's offsets and several checkpoints, small enough to try
/// every byte of it.
async fn a_life_in_small() -> tempfile::TempDir {
    let small = |config: &mut log_core::Config| {
        config.storage.journal = JournalConfig {
            segment_bytes: 4 << 10,
            record_bytes_max: 2 << 10,
        };
        config.checkpoint_bytes = 2 << 10;
    };
    let TestBroker { broker, folder } = TestBroker::start_with(small).await;
    let mut client = WireClient::connect(&broker.address().to_string()).await;
    let settings = [("segment.ms", "1"), ("index.interval.bytes", "100")];
    create_topic_with(&mut client, TOPIC, 1, &settings).await;
    for second in 0..24 {
        let mut batch = BatchBuilder::plain();
        for value in ["fire", "flood"] {
            batch.push(NewRecord {
                timestamp: TimestampMs(AT.0 + second * 1_000),
                value: Some(value.into()),
                ..NewRecord::default()
            });
        }
        produce(&mut client, TOPIC, batch.build())
            .await
            .expect("stored");
    }
    broker.shutdown().await.expect("ends cleanly");
    folder
}

/// The same files on a disk in memory, where a byte is flipped in no time.
fn in_memory(folder: &Path) -> SimDisk {
    let disk = SimDisk::with_seed(1);
    for path in files_below(folder) {
        disk.create_folder(path.parent().expect("in a folder"))
            .expect("made");
        let file = disk.open(&path, OpenMode::CreateNew).expect("made");
        file.write_at(&fs::read(&path).expect("read"), 0)
            .expect("written");
    }
    disk
}

fn has_damage_in(report: &Report, path: &Path) -> bool {
    report
        .findings
        .iter()
        .any(|finding| finding.severity == Severity::Damage && finding.path == path)
}

#[tokio::test]
async fn every_single_flipped_byte_of_a_folder_is_found() {
    let folder = a_life_in_small().await;
    let disk = in_memory(folder.path()).copy(1);
    let clean = verify(&disk, folder.path());
    assert_eq!(clean.findings, []);
    assert!(1 < clean.partitions[0].segments);

    let (mut flipped, mut damaged) = (0, 0);
    for (path, content) in disk.files() {
        for byte in 0..content.len() {
            let bit = u8::try_from((byte * 5 + 3) % 8).expect("below 8");
            disk.flip_bit(&path, byte, bit);
            let report = verify(&disk, folder.path());
            disk.flip_bit(&path, byte, bit);

            assert_ne!(report.findings, [], "{} byte {byte}", path.display());
            let is_journal = path.extension().is_some_and(|found| found == "journal");
            let damage = has_damage_in(&report, &path);
            assert!(damage || is_journal, "{} byte {byte}", path.display());
            flipped += 1;
            damaged += u32::from(damage);
        }
    }
    println!("{flipped} bytes flipped, {damaged} of them damage, the others in what nobody reads");
    assert_eq!(verify(&disk, folder.path()).findings, []);
}
