//! `log-core verify` and `log-core dump` on the folder of a log that was stopped: the real binary, and its exit codes.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use support::TestBroker;
use support::records::batch_of;
use support::wire_client::{WireClient, create_topic, produce};

/// Runs the binary on a folder.
fn log_core(command: &str, folder: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_log-core"))
        .arg(command)
        .arg("--data")
        .arg(folder)
        .args(more)
        .output()
        .expect("runs")
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn complained(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

async fn broker_with_two_records() -> TestBroker {
    let broker = TestBroker::start().await;
    let mut client = WireClient::connect(&broker.address()).await;
    create_topic(&mut client, "an-alert", 1).await;
    produce(&mut client, "an-alert", batch_of(&["fire", "flood"]))
        .await
        .expect("stored");
    broker
}

/// The folder of a broker that has stopped.
async fn resting() -> TempDir {
    let TestBroker { broker, folder } = broker_with_two_records().await;
    broker.shutdown().await.expect("ends cleanly");
    folder
}

fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            fs::create_dir(&copy).expect("made");
            copy_files(&path, &copy);
        } else {
            fs::copy(&path, &copy).expect("copied");
        }
    }
}

fn flip_a_byte(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("written");
}

/// The one file below `folder` with that ending.
fn file(folder: &Path, ending: &str) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("listed") {
            let path = entry.expect("listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                return path;
            }
        }
    }
    panic!("no .{ending}")
}

#[tokio::test]
async fn a_log_that_was_stopped_is_sound_and_says_what_it_holds() {
    let folder = resting().await;

    let verified = log_core("verify", folder.path(), &[]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    let text = said(&verified);
    assert!(
        text.contains("an-alert-0  offsets 0 to 2  segments 1"),
        "{text}"
    );
    assert!(text.ends_with("\nsound\n"), "{text}");

    let verified = log_core("verify", folder.path(), &["--json"]);
    let json: Value = serde_json::from_str(&said(&verified)).expect("JSON");
    assert_eq!(json["sound"], true);
    assert_eq!(json["partitions"][0]["partition"], "an-alert-0");
    assert_eq!(json["differences"], Value::Null);
}

#[tokio::test]
async fn a_flipped_byte_is_damage() {
    let folder = resting().await;
    flip_a_byte(&file(folder.path(), "log"));

    let verified = log_core("verify", folder.path(), &[]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(said(&verified).contains("damage: "), "{}", said(&verified));
    assert!(said(&verified).ends_with("not sound\n"));
    let dumped = log_core("dump", folder.path(), &["--records", "an-alert-0"]);
    assert_eq!(dumped.status.code(), Some(1));
    assert!(
        complained(&dumped).contains("checksum"),
        "{}",
        complained(&dumped)
    );
}

#[tokio::test]
async fn a_copy_is_the_same_until_a_byte_of_it_changes() {
    let folder = resting().await;
    let copy = tempfile::tempdir().expect("a folder");
    copy_files(folder.path(), copy.path());
    let compared = || {
        let copy = copy.path().to_str().expect("UTF-8");
        log_core("verify", folder.path(), &["--against", copy])
    };
    assert_eq!(compared().status.code(), Some(0), "{}", said(&compared()));

    flip_a_byte(&file(copy.path(), "log"));

    let compared = compared();
    assert_eq!(compared.status.code(), Some(1), "{}", said(&compared));
    assert!(
        said(&compared).contains("differs from"),
        "{}",
        said(&compared)
    );
}

#[tokio::test]
async fn logs_of_two_clusters_are_not_compared() {
    let (one, other) = (resting().await, resting().await);

    let path = other.path().to_str().expect("UTF-8");
    let compared = log_core("verify", one.path(), &["--against", path]);

    assert_eq!(compared.status.code(), Some(2), "{}", said(&compared));
    assert!(
        complained(&compared).contains("different clusters"),
        "{}",
        complained(&compared)
    );
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_neither_sound_nor_damaged() {
    let broker = broker_with_two_records().await;
    let in_use = log_core("verify", broker.folder.path(), &[]);
    assert_eq!(in_use.status.code(), Some(2));
    assert!(complained(&in_use).contains("in use by another process"));
    broker.stop().await;

    let empty = tempfile::tempdir().expect("a folder");
    let no_log = log_core("verify", empty.path(), &[]);
    assert_eq!(no_log.status.code(), Some(2));
    assert!(complained(&no_log).contains("holds no log"));
    let missing = empty.path().join("missing");
    let missing_folder = log_core("verify", &missing, &[]);
    assert_eq!(missing_folder.status.code(), Some(2));
    assert!(complained(&missing_folder).contains("there is no folder"));
    assert!(!missing.exists(), "looking made the folder");
}

#[tokio::test]
async fn the_records_and_the_entries_of_a_stopped_log_are_shown() {
    let folder = resting().await;

    let records = log_core("dump", folder.path(), &["--records", "an-alert-0"]);
    assert_eq!(
        said(&records),
        "0  0  2026-11-20T00:00:00.000Z  key=-  headers=[]  fire\n\
         0  1  2026-11-20T00:00:00.000Z  key=-  headers=[]  flood\n"
    );
    let records = log_core(
        "dump",
        folder.path(),
        &["--records", "an-alert-0", "--json"],
    );
    let values = said(&records)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["value"].clone())
        .collect::<Vec<_>>();
    assert_eq!(values, ["fire", "flood"]);

    let entries = said(&log_core("dump", folder.path(), &["--entries"]));
    assert!(entries.contains("CreateTopic"), "{entries}");
    assert!(
        entries.contains("Produce an-alert-0 batch of "),
        "{entries}"
    );
    let entries = said(&log_core("dump", folder.path(), &["--entries", "--json"]));
    let indexes = entries
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["index"].as_u64())
        .collect::<Vec<_>>();
    assert!(2 < indexes.len() && indexes.is_sorted(), "{indexes:?}");
}

#[tokio::test]
async fn a_dump_of_nothing_says_what_it_may_be_of() {
    let folder = resting().await;
    for (more, hint) in [
        (
            &["--records", "an-alert-7"][..],
            "there is no partition an-alert-7",
        ),
        (
            &["--records", "an-alert"],
            "a topic and a partition are needed",
        ),
        (
            &["--records", "../x-0"],
            "a topic and a partition are needed",
        ),
        (&[], "--entries"),
        (
            &["--entries", "--records", "an-alert-0"],
            "cannot be used with",
        ),
    ] {
        let dumped = log_core("dump", folder.path(), more);
        assert!(!dumped.status.success(), "{more:?}");
        assert!(
            complained(&dumped).contains(hint),
            "{more:?}: {}",
            complained(&dumped)
        );
    }
}
