//! The main job, as a newcomer does it: start, watch, raise an alert, accept it; and what goes wrong in one sentence.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use house::Watcher;
use serde_json::Value;

fn said(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_alert_is_seen_by_a_neighbour_with_its_place_and_the_accept_with_its_rank() {
    let (_keep, data) = house::folder();
    let running = house::start(&data);
    let mut neighbour = Watcher::start(&data, "hanbit", "102-304");

    let place = ["--lat", "37.5665", "--lng", "126.9780"];
    let stored = said(&house::run(
        house::mayday(&data)
            .args(["send", "--text", "help"])
            .args(place),
    ));
    let alert = neighbour.next();
    assert_eq!(alert["type"], "alert");
    assert_eq!(alert["id"], stored["id"]);
    assert_eq!(
        (&alert["lat"], &alert["lng"]),
        (&"37.5665".into(), &"126.9780".into())
    );

    said(&house::run(house::mayday(&data).arg("accept")));
    let accept = neighbour.next();
    assert_eq!(accept["type"], "accept");
    assert_eq!(accept["alertId"], alert["id"]);
    assert_eq!(accept["rank"], 1);
    assert_eq!(running.interrupt(), Some(0));
}

#[test]
fn a_neighbour_of_another_line_hears_nothing_of_it() {
    let (_keep, data) = house::folder();
    let _running = house::start(&data);
    let mut stranger = Watcher::start(&data, "byeolbit", "1");

    said(&house::run(house::mayday(&data).args([
        "send",
        "--text",
        "not for them",
    ])));
    said(&house::run(house::mayday(&data).args([
        "send", "--line", "byeolbit", "--house", "2", "--text", "for them",
    ])));

    assert_eq!(stranger.next()["text"], "for them");
}

#[test]
fn what_was_stored_is_heard_after_a_restart_by_whoever_comes_late() {
    let (_keep, data) = house::folder();
    let first = house::start(&data);
    let stored = said(&house::run(house::mayday(&data).args([
        "send",
        "--text",
        "before the restart",
    ])));
    assert_eq!(first.interrupt(), Some(0));

    let _second = house::start(&data);
    let mut late = Watcher::start(&data, "hanbit", "102-304");

    assert_eq!(late.next()["id"], stored["id"]);
}

#[test]
fn a_second_start_on_the_same_folder_is_told_so_in_one_sentence() {
    let (_keep, data) = house::folder();
    let _first = house::start(&data);

    let second = house::run(house::mayday(&data).args(house::ANY_PORTS));

    let complaint = house::complaint(&second);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        complaint.contains("in use") && complaint.contains(data.to_str().unwrap()),
        "{complaint}"
    );
}

#[test]
fn a_taken_port_is_named_together_with_the_flag_that_chooses_another() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--api-port", "--gateway-port", "--log-port", "--admin-port"] {
        let (_keep, data) = house::folder();
        let flags = ["--api-port", "--gateway-port", "--log-port", "--admin-port"];
        let ports = flags
            .iter()
            .flat_map(|name| [*name, if *name == flag { &port } else { "0" }]);

        let output = house::run(house::mayday(&data).args(ports));

        let complaint = house::complaint(&output);
        assert!(
            complaint.contains(&port) && complaint.contains(flag),
            "{flag}: {complaint}"
        );
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named_with_what_to_do() {
    let (keep, _) = house::folder();
    let file = keep.path().join("not-a-folder");
    std::fs::write(&file, "x").unwrap();

    let output = house::run(&mut house::mayday(&file.join("data")));

    let complaint = house::complaint(&output);
    assert!(
        complaint.contains("--data") && complaint.contains("not-a-folder"),
        "{complaint}"
    );
}

#[test]
fn a_token_for_another_house_is_refused_with_the_code_that_says_asking_again_is_no_use() {
    let (_keep, data) = house::folder();
    let _running = house::start(&data);
    let token = house::token("hanbit", "101-1203");

    let output =
        house::run(house::mayday(&data).args(["send", "--house", "102-304", "--token", &token]));

    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(house::complaint(&output).contains("house_mismatch"));
}

#[test]
fn a_token_says_which_role_its_bearer_has_and_a_guard_has_a_post() {
    let (_keep, data) = house::folder();
    let _running = house::start(&data);
    let token = |words: &[&str]| {
        let output = house::run(house::mayday(&data).arg("token").args(words));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };

    let guard = token(&["--role", "guard", "--house", "경비실"]);
    let manager = token(&["--role", "manager"]);

    let sent = ["send", "--house", "경비실", "--token", &guard];
    assert!(house::run(house::mayday(&data).args(sent)).status.success());
    let refused = house::run(house::mayday(&data).args(["send", "--token", &manager]));
    assert!(
        house::complaint(&refused).contains("role_missing"),
        "{refused:?}"
    );
    for nonsense in [["--role", "guard"], ["--role", "janitor"]] {
        let output = house::run(house::mayday(&data).arg("token").args(nonsense));
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

#[test]
fn an_api_that_is_not_there_is_a_failure_to_try_again() {
    let (_keep, data) = house::folder();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();

    let api = format!("http://{free}");
    let output = house::run(house::mayday(&data).args(["send", "--api", &api]));

    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(house::complaint(&output).contains(&api));
}

#[test]
fn an_operator_sees_topics_their_settings_and_records_through_mayday_log() {
    let (_keep, data) = house::folder();
    let _running = house::start(&data);
    said(&house::run(house::mayday(&data).args([
        "send",
        "--text",
        "for the operator",
    ])));

    let asked = |arguments: &[&str]| {
        let output = house::run(house::mayday(&data).arg("log").args(arguments));
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };

    assert!(asked(&["topics", "list"]).contains("an-accept.DLT"));
    let tail = [
        "records", "tail", "--topic", "an-alert", "--from", "earliest",
    ];
    assert!(asked(&tail).contains("for the operator"));
    assert!(asked(&["topics", "describe", "an-alert", "--json"]).contains("mayday.acks.min"));
}

#[test]
fn whatever_a_running_house_writes_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    fn open_to_others(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.permissions().mode() & 0o077 != 0 {
                found.push(path.clone());
            }
            if metadata.is_dir() {
                open_to_others(&path, found);
            }
        }
    }
    let (_keep, data) = house::folder();
    let _running = house::start(&data);
    said(&house::run(
        house::mayday(&data).args(["send", "--text", "x"]),
    ));

    let mut found = Vec::new();
    open_to_others(data.parent().unwrap(), &mut found);

    assert!(data.join("log").exists() && found.is_empty(), "{found:?}");
}
