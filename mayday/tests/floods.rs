//! A house that may open 1,024 files, under floods from one address: a resident behind another one still calls and
//! listens, and the log begins ten new journal files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../bench/src/flood/floods.rs"]
#[allow(dead_code, reason = "the bench uses the rest")]
mod floods;
mod house;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use floods::{Flood, Tally, Targets};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use service_kit::bounds::FileLimit;

const FILES: usize = 1_024;
const SEGMENT_BYTES: u64 = 2 << 20;
const JOURNAL_FILES: u64 = 10;
/// A flood ends by itself after so long, whatever its test does.
const FLOOD_AT_MOST: Duration = Duration::from_secs(60);
/// More than a second apart, so that connections of the flood have waited long enough to make room.
const ROUNDS: usize = 3;
const ROUND_EVERY: Duration = Duration::from_millis(700);
/// A debug build's own, what M gives the log for requests and answers, and queues and snapshots.
const MEMORY_MAX: u64 = 1_000 << 20;

/// A house under a flood of so many connections.
fn stands(flood: Flood, connections: usize) {
    stands_all(&[(flood, connections)]);
}

/// A house under several floods at once.
fn stands_all(floods: &[(Flood, usize)]) {
    // The floods' own ends of their connections are this process's.
    FileLimit::raise().unwrap();
    let (_keep, data) = house::folder();
    let segment_bytes = SEGMENT_BYTES.to_string();
    let running =
        house::start_with_files(&data, FILES, &["--journal-segment-bytes", &segment_bytes]);
    let made = house::run(house::mayday(&data).args(["log", "topics", "create", "flood"]));
    assert!(made.status.success(), "{made:?}");
    write_to_log(&running.log, 8);
    let targets = Targets {
        api: address(&running.api),
        gateway: address(&running.gateway),
        log: address(&running.log),
        admin: address(&running.admin),
        token: house::token("hanbit", "flood"),
        line: "hanbit".to_owned(),
        topic: "flood".to_owned(),
    };
    let stop = AtomicBool::new(false);
    let begun = now();
    let tallies = scope(|threads| {
        let flood = |(flood, connections): &(Flood, usize)| {
            let (flood, connections) = (*flood, *connections);
            let (targets, stop) = (&targets, &stop);
            threads
                .spawn(move || floods::run(flood, targets, connections, stop, begun, FLOOD_AT_MOST))
        };
        let flooding: Vec<_> = floods.iter().map(flood).collect();
        // Also where an assertion fails the flood must end.
        let asserted = std::panic::catch_unwind(|| {
            let before = journal_end(&data);
            for round in 0..ROUNDS {
                sleep(ROUND_EVERY);
                call(targets.api, round);
                listen(targets.gateway, round);
                if floods == [(Flood::TokenlessPosts, 40)] {
                    // Also from the flood's own address.
                    call_over(floods::connect(targets.api).unwrap(), 50 + round);
                }
            }
            while journal_end(&data) < before + JOURNAL_FILES * SEGMENT_BYTES {
                write_to_log(&running.log, 2);
            }
            call(targets.api, ROUNDS);
            listen(targets.gateway, ROUNDS);
            assert_eq!(
                running.readiness().0,
                200,
                "the operator's listener is open"
            );
            let memory = running.memory();
            println!("{} MiB of memory", memory >> 20);
            assert!(memory < MEMORY_MAX, "{} MiB of memory", memory >> 20);
        });
        stop.store(true, Ordering::Relaxed);
        let tallies: Vec<Tally> = flooding
            .into_iter()
            .map(|flood| flood.join().unwrap())
            .collect();
        asserted.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        tallies
    });
    for tally in tallies {
        assert!(0 < tally.opened, "there was no flood: {tally:?}");
    }
    assert_eq!(running.interrupt(), Some(0));
}

#[test]
fn half_heads_at_the_gateway_silence_nobody_else() {
    stands(Flood::HalfHeads, 1_100);
}

#[test]
fn idle_keep_alive_connections_silence_nobody_else() {
    stands(Flood::KeepAlives, 1_100);
}

#[test]
fn upgrades_that_never_connect_silence_nobody_else() {
    stands(Flood::Upgrades, 1_100);
}

#[test]
fn all_that_is_idle_together_leaves_the_log_its_files() {
    let idle = [
        Flood::HalfHeads,
        Flood::KeepAlives,
        Flood::Upgrades,
        Flood::IdleLog,
        Flood::IdleAdmin,
    ];
    stands_all(&idle.map(|flood| (flood, 1_100)));
}

#[test]
fn a_house_that_may_open_too_few_files_says_how_many_it_needs_and_for_what() {
    let (_keep, data) = house::folder();

    let ended = house::run(house::with_files(&data, 400).args(house::ANY_PORTS));

    let said = house::complaint(&ended);
    assert!(
        said.contains("400 open files are allowed and 512 are needed"),
        "{said}"
    );
    assert!(said.contains("96 for the log's clients"), "{said}");
}

#[test]
fn posts_without_a_token_silence_nobody_else() {
    stands(Flood::TokenlessPosts, 40);
}

#[test]
fn idle_connections_to_the_log_keep_no_client_from_it() {
    stands(Flood::IdleLog, 1_100);
}

#[test]
fn idle_connections_to_the_admin_port_end_nothing() {
    stands(Flood::IdleAdmin, 1_100);
}

#[test]
fn answers_that_are_read_slowly_take_bounded_memory() {
    stands(Flood::SlowFetches, 100);
}

#[test]
fn groups_with_much_metadata_take_bounded_memory() {
    stands(Flood::HeavyGroups, 200);
}

#[test]
fn snapshots_that_are_asked_for_again_and_again_take_bounded_memory() {
    stands(Flood::SnapshotStorm, 20);
}

/// A call of one house after another, which must be taken.
fn call(api: SocketAddr, round: usize) {
    let stream = TcpStream::connect_timeout(&api, house::PATIENCE).unwrap();
    call_over(stream, round);
}

fn call_over(stream: TcpStream, round: usize) {
    let house = format!("{}", 100 + round);
    let token = house::token("hanbit", &house);
    let body = format!(r#"{{"line":"hanbit","house":"{house}","text":"help"}}"#);
    let request = format!(
        "POST /alert HTTP/1.1\r\nHost: house\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(stream, request.as_bytes(), b"\"id\"");
    let taken = ["HTTP/1.1 201", "HTTP/1.1 202"];
    assert!(
        taken.iter().any(|taken| answer.starts_with(taken)),
        "{answer}"
    );
}

/// A resident's socket, which must be connected.
fn listen(gateway: SocketAddr, round: usize) {
    let token = house::token("hanbit", &format!("{}", 200 + round));
    let mut request = floods::upgrade();
    request.extend(floods::message(&format!(
        "CONNECT\naccept-version:1.2\nhost:house\nAuthorization:Bearer {token}\n\n\0"
    )));
    let stream = TcpStream::connect_timeout(&gateway, house::PATIENCE).unwrap();
    let answer = ask(stream, &request, b"CONNECTED\n");
    assert!(answer.contains("CONNECTED\n"), "{answer}");
}

/// What is answered, up to what is waited for or the end.
fn ask(mut stream: TcpStream, request: &[u8], until: &[u8]) -> String {
    stream.set_read_timeout(Some(house::PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    read_until(&mut stream, until)
}

fn read_until(stream: &mut TcpStream, until: &[u8]) -> String {
    let mut answer = Vec::new();
    let mut piece = [0; 4_096];
    while !answer.windows(until.len()).any(|bytes| bytes == until) {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// So many MiB to a topic of its own, acknowledged.
fn write_to_log(log: &str, mebibytes: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", log)
        .set("message.max.bytes", "1000000")
        .create()
        .unwrap();
    let payload = vec![7; 512 << 10];
    for _ in 0..2 * mebibytes {
        producer
            .send(
                BaseRecord::<[u8], [u8]>::to("flood")
                    .partition(0)
                    .payload(&payload),
            )
            .unwrap();
    }
    producer.flush(house::PATIENCE).unwrap();
}

/// Where the newest file of the journal begins, in bytes since the journal's beginning.
fn journal_end(data: &Path) -> u64 {
    let files = fs::read_dir(data.join("log/journal")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let starts = names.filter_map(|name| name.split('.').next()?.parse().ok());
    starts.max().unwrap_or(0)
}

fn address(url: &str) -> SocketAddr {
    let address = url.split("://").last().unwrap();
    address.split('/').next().unwrap().parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test is its own shell")]
fn now() -> Instant {
    Instant::now()
}

/// Each phone is a house of its own, tries until it is in, and stays.
#[test]
fn a_storm_of_phones_behind_one_address_all_get_in() {
    const PHONES: usize = 150;
    let (_keep, data) = house::folder();
    let running = house::start_with_files(&data, FILES, &[]);
    let gateway = address(&running.gateway);
    let connected = || -> Option<TcpStream> {
        let mut stream = TcpStream::connect_timeout(&gateway, house::PATIENCE).ok()?;
        stream.set_read_timeout(Some(house::PATIENCE)).ok()?;
        stream.write_all(&floods::upgrade()).ok()?;
        read_until(&mut stream, b"\r\n\r\n")
            .contains("101 Switching")
            .then_some(stream)
    };

    let sockets: Vec<TcpStream> = scope(|threads| {
        let phones: Vec<_> = (0..PHONES)
            .map(|phone| {
                threads.spawn(move || {
                    let token = house::token("hanbit", &format!("phone-{phone}"));
                    let connect = floods::message(&format!(
                        "CONNECT\naccept-version:1.2\nhost:house\nAuthorization:Bearer {token}\n\n\0"
                    ));
                    for _ in 0..100 {
                        if let Some(mut stream) = connected()
                            && stream.write_all(&connect).is_ok()
                            && read_until(&mut stream, b"CONNECTED\n").contains("CONNECTED\n")
                        {
                            return Some(stream);
                        }
                        sleep(Duration::from_millis(200));
                    }
                    None
                })
            })
            .collect();
        phones
            .into_iter()
            .filter_map(|phone| phone.join().unwrap())
            .collect()
    });

    assert_eq!(sockets.len(), PHONES);
    call(address(&running.api), 0);
    drop(sockets);
    assert_eq!(running.interrupt(), Some(0));
}
