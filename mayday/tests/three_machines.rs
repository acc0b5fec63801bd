//! Three machines that keep one log together, as three processes: what is posted at one is heard at another, and the loss
//! of any one of them loses nothing and stops nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::path::{Path, PathBuf};
use std::time::Duration;

use house::ports::free_ports;
use house::{Running, Watcher};
use serde_json::Value;

/// The machines' folders and the list that each is told.
struct Machines {
    _keep: tempfile::TempDir,
    folders: Vec<PathBuf>,
    peers: String,
}

impl Machines {
    fn three() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let listed = (1..).zip(free_ports::<3>());
        let peers: Vec<_> = listed
            .map(|(node, port)| format!("{node}@127.0.0.1:{port}"))
            .collect();
        Self {
            folders: (1..=3)
                .map(|node| keep.path().join(node.to_string()))
                .collect(),
            _keep: keep,
            peers: peers.join(","),
        }
    }

    fn start(&self, node: usize) -> Running {
        let number = node.to_string();
        let told = ["--peers", &self.peers, "--node", &number];
        house::start_with(self.folder(node), &told)
    }

    /// None is ready before the others are there.
    fn start_all(&self) -> Vec<Option<Running>> {
        std::thread::scope(|scope| {
            let starts = [1, 2, 3].map(|node| scope.spawn(move || self.start(node)));
            starts.map(|start| Some(start.join().unwrap())).into()
        })
    }

    fn folder(&self, node: usize) -> &Path {
        &self.folders[node - 1]
    }
}

fn leads(running: &Running) -> bool {
    running.readiness().1["log"]["role"] == "leader"
}

/// Who leads, once somebody does.
fn leader(machines: &[Option<Running>]) -> usize {
    let pause = Duration::from_millis(50);
    for _ in 0..house::PATIENCE.as_millis() / pause.as_millis() {
        let found = machines
            .iter()
            .position(|machine| machine.as_ref().is_some_and(leads));
        if let Some(at) = found {
            return at + 1;
        }
        std::thread::sleep(pause);
    }
    panic!("nobody leads");
}

/// Raises an alert at a machine; its id once it is stored or on its way there.
fn send(data: &Path, text: &str, house: &str) -> Value {
    let mut command = house::mayday(data);
    let sent = house::run(command.args(["send", "--house", house, "--text", text]));
    assert!(sent.status.success(), "{sent:?}");
    serde_json::from_slice::<Value>(&sent.stdout).unwrap()["id"].clone()
}

#[test]
fn an_alert_posted_at_one_machine_is_heard_at_another_whichever_machine_is_killed() {
    let machines = Machines::three();
    let mut running = machines.start_all();
    for round in 0..2 {
        let killed = leader(&running);
        let [posts, hears] = match killed {
            1 => [2, 3],
            2 => [3, 1],
            _ => [1, 2],
        };
        let mut neighbour = Watcher::start(machines.folder(hears), "hanbit", "102-304");
        // Another round's live alerts come first to whoever is new.
        for _ in 0..round * 3 {
            neighbour.next();
        }
        let before = send(machines.folder(posts), "before", &format!("101-{round}"));
        assert_eq!(neighbour.next()["id"], before);

        running[killed - 1].take().unwrap().kill();
        let after = send(machines.folder(posts), "after", &format!("201-{round}"));
        assert_eq!(neighbour.next()["id"], after);

        running[killed - 1] = Some(machines.start(killed));
        let again = send(machines.folder(killed), "again", &format!("301-{round}"));
        assert_eq!(neighbour.next()["id"], again);
    }
    for machine in running.into_iter().flatten() {
        assert_eq!(machine.interrupt(), Some(0));
    }
}

#[test]
fn a_machine_whose_peers_are_missing_takes_calls_and_they_are_heard_once_these_are_there() {
    let machines = Machines::three();
    let number = "1";
    let told = ["--peers", &machines.peers, "--node", number];
    let mut first = house::open_with(machines.folder(1), &told);
    first.wait_for_readiness("its log waits", |status, said| {
        status == 503 && said["log"]["ready"] == false && said["reason"].is_string()
    });
    let alone = send(machines.folder(1), "alone", "101-1");

    let others = std::thread::scope(|scope| {
        let starts = [2, 3].map(|node| {
            scope.spawn({
                let machines = &machines;
                move || machines.start(node)
            })
        });
        starts.map(|start| start.join().unwrap())
    });
    first.wait_until_ready();
    let mut neighbour = Watcher::start(machines.folder(2), "hanbit", "102-304");
    assert_eq!(neighbour.next()["id"], alone);
    let again = send(machines.folder(1), "together", "101-2");
    assert_eq!(neighbour.next()["id"], again);

    for machine in [first].into_iter().chain(others) {
        assert_eq!(machine.interrupt(), Some(0));
    }
}

#[test]
fn the_last_machine_ends_when_it_is_told_to_although_nobody_can_lead() {
    let machines = Machines::three();
    let mut running = machines.start_all();
    let last = running.pop().flatten().unwrap();
    // What its gateway has read it wants to commit before it ends, and there will be nobody to take that.
    let mut neighbour = Watcher::start(machines.folder(3), "hanbit", "102-304");
    let heard = send(machines.folder(3), "heard", "101-1");
    assert_eq!(neighbour.next()["id"], heard);

    for machine in running.into_iter().flatten() {
        machine.kill();
    }

    assert_eq!(last.interrupt(), Some(0));
}

#[test]
fn a_machine_that_cannot_take_part_says_why_in_one_sentence() {
    let (_keep, data) = house::folder();
    let peers = "1@127.0.0.1:1,2@127.0.0.1:2,3@127.0.0.1:3";
    let complaint = |arguments: &[&str], secret: bool| {
        let mut command = house::mayday(&data);
        if !secret {
            command.env_remove("MAYDAY_JWT_SECRET");
        }
        house::complaint(&house::run(command.args(arguments)))
    };

    let unlisted = complaint(&["--peers", peers, "--node", "4"], true);
    assert!(unlisted.contains("names no node 4"), "{unlisted}");
    let alone = complaint(&["--peers", peers], false);
    assert!(alone.contains("MAYDAY_JWT_SECRET"), "{alone}");
    let beyond = complaint(
        &["--peers", "1@192.0.2.1:1,2@192.0.2.2:1,3@192.0.2.3:1"],
        true,
    );
    assert!(beyond.contains("--insecure-log"), "{beyond}");
    let nonsense = complaint(&["--peers", "here"], true);
    assert!(nonsense.contains("needs NUMBER@HOST:PORT"), "{nonsense}");
}
