//! One `mayday` whose disk is filled by another program: its log stops, its doors stay open, and what they took is stored
//! once and heard once when there is room again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::path::Path;

use house::disk::{Ballast, Disk};
use house::{Running, Watcher};
use serde_json::Value;

/// Raises an alert; what the api answers.
fn send(data: &Path, text: &str, house: &str) -> Value {
    let mut command = house::mayday(data);
    let sent = house::run(command.args(["send", "--house", house, "--text", text]));
    assert!(sent.status.success(), "{sent:?}");
    serde_json::from_slice(&sent.stdout).unwrap()
}

/// Fills the disk and asks the log for something that needs more of it than it has set aside.
fn fill_until_the_log_stops(disk: &Disk, running: &Running, data: &Path) -> Ballast {
    let ballast = disk.fill();
    let mut command = house::mayday(data);
    let refused = house::run(command.args(["log", "topics", "create", "no-room"]));
    assert!(!refused.status.success(), "{refused:?}");
    running.wait_for_readiness("the log has stopped for want of room", |status, said| {
        status == 503 && said["log"]["ready"] == false && said["reason"].is_string()
    });
    ballast
}

/// The ids of all alerts that the log holds, in their order.
fn stored_ids(data: &Path) -> Vec<String> {
    let tail = [
        "log", "records", "tail", "--topic", "an-alert", "--from", "earliest", "--json",
    ];
    let output = house::run(house::mayday(data).args(tail));
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let records = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    records
        .map(|record| {
            let value: Value = serde_json::from_str(record["value"].as_str().unwrap()).unwrap();
            value["id"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn on_a_disk_that_another_program_fills_calls_are_taken_and_later_stored_once_and_heard_once() {
    let keep = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(keep.path()) else {
        return;
    };
    let data = disk.path().join("data");
    let running = house::start(&data);
    let mut neighbour = Watcher::start(&data, "hanbit", "102-304");
    let before = send(&data, "before", "101-1");
    assert_eq!(neighbour.next()["id"], before["id"]);

    let ballast = fill_until_the_log_stops(&disk, &running, &data);
    let calls = ["1", "2", "3"].map(|house| send(&data, "no room", house));
    for call in &calls {
        assert_eq!(call["status"], "queued", "it cannot be stored yet: {call}");
    }
    drop(ballast);

    for call in &calls {
        assert_eq!(neighbour.next()["id"], call["id"]);
    }
    running.wait_for_readiness("it is ready again", |status, _| status == 200);
    let after = send(&data, "after", "101-1");
    assert_eq!(after["status"], Value::Null, "stored at once: {after}");
    assert_eq!(
        neighbour.next()["id"],
        after["id"],
        "nothing was heard twice"
    );
    let all = [&before].into_iter().chain(&calls).chain([&after]);
    let all: Vec<_> = all.map(|call| call["id"].as_str().unwrap()).collect();
    assert_eq!(stored_ids(&data), all);
    assert_eq!(running.interrupt(), Some(0));
}

#[test]
fn a_process_whose_log_is_down_ends_in_order_when_told_to_and_the_next_one_sends_what_it_took() {
    let keep = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(keep.path()) else {
        return;
    };
    let data = disk.path().join("data");
    let running = house::start(&data);
    let ballast = fill_until_the_log_stops(&disk, &running, &data);
    let call = send(&data, "no room", "101-1");
    assert_eq!(call["status"], "queued");

    assert_eq!(running.interrupt(), Some(0));
    drop(ballast);

    let _again = house::start(&data);
    let mut neighbour = Watcher::start(&data, "hanbit", "102-304");
    assert_eq!(neighbour.next()["id"], call["id"]);
}

#[test]
fn a_disk_that_hangs_is_said_while_it_does() {
    let (_keep, data) = house::folder();
    let running = house::start(&data);
    let id = running.id().to_string();
    let delay = "inject=fdatasync:delay_enter=6000000";
    let arguments = ["-f", "-q", "-e", "trace=fdatasync", "-e", delay, "-p", &id];
    let mut strace = std::process::Command::new("strace");
    let strace = strace.args(arguments).stderr(std::process::Stdio::null());
    let Ok(mut strace) = strace.stdout(std::process::Stdio::null()).spawn() else {
        eprintln!("no sync can be delayed here: it needs strace");
        return;
    };

    running.wait_for_readiness("its disk hangs", |status, said| {
        status == 503 && said["disk"]["ready"] == false && said["reason"].is_string()
    });
    let told = house::run(std::process::Command::new("kill").arg(strace.id().to_string()));
    assert!(told.status.success());
    strace.wait().unwrap();

    running.wait_for_readiness("it answers again", |status, _| status == 200);
    assert_eq!(running.interrupt(), Some(0));
}
