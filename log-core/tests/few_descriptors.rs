//! Real processes with few descriptors: what others take of them must not end the log, and what a journal already holds is
//! served.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use support::TestBroker;
use support::records::batch_of;
use support::wire_client::{WireClient, create_topic, latest_offset, produce, text};

/// Far below what a shell gives, and enough for the process itself.
const FILES: u32 = 512;
/// Of them for partitions.
const PARTITION_FILES: u32 = 72;
/// As small as the journal's largest record allows.
const SEGMENT_BYTES: u64 = 9 << 20;

/// `log-core serve` with few descriptors. Dropped, it is killed.
struct FewDescriptors {
    process: Child,
    address: SocketAddr,
}

impl FewDescriptors {
    fn start(data: &Path) -> Self {
        let settings = data.with_extension("toml");
        let lines = format!(
            "journal_segment_bytes = {SEGMENT_BYTES}\nopen_partition_files_max = {PARTITION_FILES}\n"
        );
        fs::write(&settings, lines).expect("written");
        let mut process = Command::new("sh")
            .args(["-c", &format!("ulimit -n {FILES}; exec \"$0\" \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_log-core"))
            .args(["serve", "--listen", "127.0.0.1:0", "--log-json", "--data"])
            .arg(data)
            .arg("--config")
            .arg(&settings)
            .env("RUST_LOG", "info")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("log-core starts");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let mut said = Vec::new();
        let address = lines
            .by_ref()
            .map(|line| line.expect("UTF-8"))
            .find_map(|line| {
                let told: serde_json::Value = serde_json::from_str(&line).ok()?;
                let address = told["fields"]["address"].as_str().map(str::to_owned);
                said.push(line);
                address?.parse().ok()
            });
        // Until the process ends: a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.unwrap_or_else(|| panic!("it serves:\n{}", said.join("\n")));
        Self { process, address }
    }

    async fn client(&self) -> WireClient {
        WireClient::connect(&self.address.to_string()).await
    }

    fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("asked").is_none()
    }
}

impl Drop for FewDescriptors {
    fn drop(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("it ends");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let path = entry.expect("listed").path();
        let copy = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &copy);
        } else {
            fs::copy(&path, &copy).expect("copied");
        }
    }
}

/// Where the journal's files begin.
fn journal_files(data: &Path) -> BTreeSet<u64> {
    let names = fs::read_dir(data.join("journal")).expect("listed");
    let start = |path: PathBuf| path.file_stem()?.to_str()?.parse().ok();
    names
        .filter_map(|entry| start(entry.expect("listed").path()))
        .collect()
}

async fn create(client: &mut WireClient, name: &str, partitions: i32) -> (i16, String) {
    let topic = CreatableTopic::default()
        .with_name(text(name).into())
        .with_num_partitions(partitions)
        .with_replication_factor(-1);
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let answer = client.ask(7, request).await;
    let topic = &answer.topics[0];
    let said = topic.error_message.as_ref().map(ToString::to_string);
    (topic.error_code, said.unwrap_or_default())
}

#[tokio::test]
async fn ten_thousand_partitions_are_refused_with_the_numbers_and_the_node_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut node = FewDescriptors::start(&data);
    let mut client = node.client().await;

    let (code, said) = create(&mut client, "many", 10_000).await;

    assert_eq!(code, ResponseError::PolicyViolation.code());
    assert!(
        said.contains("10000 partitions need 30000 open files"),
        "{said}"
    );
    create_topic(&mut client, "few", 2).await;
    assert_eq!(
        produce(&mut client, "few", batch_of(&["kept"])).await,
        Ok(0)
    );
    assert!(node.is_running());
    let mode = |path: &str| fs::metadata(data.join(path)).expect("there").mode() & 0o777;
    assert_eq!(["", "journal", "topics"].map(mode), [0o700; 3]);
    assert_eq!(["lock", "identity.json"].map(mode), [0o600; 2]);
}

#[tokio::test]
async fn a_journal_that_holds_more_partitions_than_there_are_descriptors_starts_and_is_served() {
    let rich = TestBroker::start_with(|config| {
        config.storage.open_partition_files_max = 1 << 20;
    })
    .await;
    let mut client = WireClient::connect(&rich.address()).await;
    for number in 0..4 {
        create_topic(&mut client, &format!("topic-{number}"), 100).await;
    }
    assert_eq!(
        produce(&mut client, "topic-3", batch_of(&["kept"])).await,
        Ok(0)
    );
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    // As a crash would leave it: nothing of it is in a checkpoint.
    copy_folder(rich.folder.path(), &data);
    rich.stop().await;

    for start in 1..=2 {
        let mut node = FewDescriptors::start(&data);
        let mut client = node.client().await;
        for number in 0..4 {
            let topic = format!("topic-{number}");
            let stored = produce(&mut client, &topic, batch_of(&["more"])).await;
            stored.expect("stored");
        }
        assert_eq!(latest_offset(&mut client, "topic-3").await, 1 + start);
        let read = client.fetch_from("topic-3", 0).await;
        assert!(read.windows(4).any(|bytes| bytes == b"kept"));
        assert!(node.is_running());
    }
}

#[tokio::test]
async fn with_all_other_descriptors_taken_the_log_goes_through_ten_new_journal_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut node = FewDescriptors::start(&data);
    let mut client = node.client().await;
    create_topic(&mut client, "a", 1).await;
    assert_eq!(produce(&mut client, "a", batch_of(&["first"])).await, Ok(0));
    let taken: Vec<_> = (0..2 * FILES)
        .map_while(|_| TcpStream::connect(node.address).ok())
        .collect();
    assert!(FILES as usize <= taken.len(), "{} connections", taken.len());

    let large: Bytes = batch_of(&[&"x".repeat(900 << 10)]);
    let mut files = journal_files(&data);
    let mut offset = 1;
    while files.len() <= 10 {
        assert_eq!(produce(&mut client, "a", large.clone()).await, Ok(offset));
        offset += 1;
        files.extend(journal_files(&data));
    }

    assert!(node.is_running());
    drop(taken);
}
