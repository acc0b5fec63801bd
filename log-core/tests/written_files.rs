//! The files that a real broker run leaves: decoders that we did not write read the same in them as we do and as was
//! written, and `verify` misses no byte. Also the files and the frames that an older version left.

mod support;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::read::GzDecoder;
use journal::disk::{Disk, OpenMode, SystemDisk};
use journal::sim_disk::SimDisk;
use journal::{JournalConfig, Severity};
use kafka_protocol::messages::OffsetFetchRequest;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use log_core::ids::TimestampMs;
use log_core::offline::{Report, verify};
use log_core::record::{BatchBuilder, BatchHeader, Compression, NewRecord, Record, Records};
use log_core::testing::peers::{
    FRAME_BYTES_MAX, FRAME_HEAD_BYTES, FrameKind, body_len, hear, read_frame,
};
use log_core::{Broker, Config};
use serde_json::{Value, json};
use tempfile::TempDir;

use support::TestBroker;
use support::clients::{java, python};
use support::records::{AT, batch_of};
use support::wire_client::{WireClient, create_topic_with, latest_offset, produce, text};

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
    batches_in(fs::read(path).expect("read").into())
}

fn batches_in(mut rest: Bytes) -> Vec<Value> {
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

/// What the program of commit 1e48f1d wrote, and what its nodes said: `tests/clients/older_version.py` keeps it.
const OLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/1e48f1d");

fn unpacked(path: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    let packed = fs::File::open(path).expect("a fixture");
    GzDecoder::new(packed)
        .read_to_end(&mut content)
        .expect("unpacked");
    content
}

fn lines_of_older(name: &str) -> Vec<Value> {
    let lines = unpacked(&Path::new(OLDER).join(name).with_extension("gz"));
    lines_of_json(std::str::from_utf8(&lines).expect("UTF-8"))
}

/// The data folder of the older version, for this one to go on with.
fn older_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let packed = Path::new(OLDER).join("data");
    for path in files_below(&packed) {
        let inside = path.strip_prefix(&packed).expect("below");
        let to = folder.path().join(inside).with_extension("");
        fs::create_dir_all(to.parent().expect("in a folder")).expect("made");
        fs::write(&to, unpacked(&path)).expect("written");
    }
    folder
}

async fn read_all(client: &mut WireClient) -> Vec<Value> {
    let end = latest_offset(client, TOPIC).await;
    let (mut batches, mut next) = (Vec::new(), 0);
    while next < end {
        batches.extend(batches_in(client.fetch_from(TOPIC, next).await));
        let last = batches.last().expect("what is below the end is there");
        next = last["last_offset"].as_i64().expect("a number") + 1;
    }
    batches
}

async fn committed_offset(client: &mut WireClient, group: &str) -> (i64, String) {
    let topic = OffsetFetchRequestTopic::default()
        .with_name(text(TOPIC).into())
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(text(group).into())
        .with_topics(Some(vec![topic]));
    let answer = client.ask(5, request).await;
    let found = &answer.topics[0].partitions[0];
    let metadata = found.metadata.as_ref().map(ToString::to_string);
    (found.committed_offset, metadata.unwrap_or_default())
}

#[tokio::test]
async fn the_folder_of_an_older_version_opens_serves_and_verifies() {
    let mut written = lines_of_older("written");
    written.sort_by_key(|record| record["offset"].as_u64());
    let committed = lines_of_older("committed").remove(0);
    let folder = older_folder();
    assert!(verify(&SystemDisk, folder.path()).is_sound());

    let mut config = Config::on(folder.path());
    config.listen = "127.0.0.1:0".parse().expect("an address");
    let broker = Broker::start(config).await.expect("opens");
    let mut client = WireClient::connect(&broker.address().to_string()).await;
    let batches = read_all(&mut client).await;
    let end = latest_offset(&mut client, TOPIC).await;
    let group = committed["group"].as_str().expect("a name");
    let (offset, metadata) = committed_offset(&mut client, group).await;
    let stored = produce(
        &mut client,
        TOPIC,
        batch_of(&["written by a newer version"]),
    )
    .await;
    drop(client);
    broker.shutdown().await.expect("ends cleanly");

    assert_eq!(written.len(), 140);
    check_against_what_was_written(&batches, &written);
    assert_eq!(json!(offset), committed["offset"]);
    assert_eq!(json!(metadata), committed["metadata"]);
    assert_eq!(stored, Ok(end));
    let report = verify(&SystemDisk, folder.path());
    assert_eq!(report.findings, []);
    assert_eq!(
        report.partitions[0].log_end_offset.0,
        u64::try_from(end + 1).expect("positive")
    );
}

#[test]
fn what_nodes_of_an_older_version_say_is_understood() {
    let mut rest = Bytes::from(unpacked(&Path::new(OLDER).join("frames.gz")));
    let mut kinds = Vec::new();
    while !rest.is_empty() {
        let head = rest.split_to(FRAME_HEAD_BYTES);
        let head = *head.first_chunk().expect("split off as many");
        let len = body_len(head, FRAME_BYTES_MAX).expect("a length");
        let frame = read_frame(head, rest.split_to(len)).expect("a frame");
        assert!(hear(&frame), "{frame:?}");
        kinds.push(frame.kind);
    }
    let missing = FrameKind::ALL.iter().find(|kind| !kinds.contains(kind));
    assert_eq!(missing, None);
}

/// A folder after a life with a restart, two topics, a group's offsets and several checkpoints, small enough to try
/// every byte of it.
async fn a_life_in_small() -> TempDir {
    let small = |config: &mut Config| {
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
