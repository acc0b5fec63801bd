//! End to end: from when a POST was due until its alert is read from each of a hundred sockets; beside a raw loop that
//! appends and syncs as many bytes and writes a frame of the same length to as many sockets.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::append;
use crate::clock;
use crate::fan_out::RawServer;
use crate::floor::{Floor, Verdict};
use crate::percentiles::{Percentiles, Samples};
use crate::raw_server;
use crate::schedule::Schedule;
use crate::services::Workshop;
use crate::swarm::{self, Observer, SubscriptionIds};
use crate::tokens;

const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long after the last post a delivery may come; later ones are lost.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Before the schedule begins: connections, first appends, first deliveries.
const WARM_UP: u32 = 20;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "end-to-end")]
pub(crate) struct Options {
    /// Sockets of the line that is alerted.
    #[arg(long, default_value_t = 100)]
    audience: usize,
    /// Posts a second, each of a house of its own.
    #[arg(long, default_value_t = 20)]
    posts: u32,
    /// How long.
    #[arg(long, default_value_t = 30)]
    duration: u32,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Of appending alone, before the run.
    floor: Verdict,
    sockets: usize,
    posts_per_second: u32,
    lost: usize,
    duplicated: usize,
    frame_bytes: usize,
    /// From due to the answer 201.
    answer: Percentiles,
    /// From due to each socket.
    each: Percentiles,
    /// From due to the last socket of a post.
    last: Percentiles,
    /// From due to the last socket, append and sync and writes only.
    raw_last: Percentiles,
}

pub(crate) fn run(options: &Options, workshop: &Workshop, idle: &Floor) -> Result<Report> {
    let append_us = append::raw_median_us(&workshop.folder().join("raw-append"))?;
    let log = workshop.log()?;
    let api = workshop.api(log.address)?;
    let gateway = workshop.gateway(log.address)?;
    let audience = swarm::Audience::Stomp {
        lines: 1,
        ids: SubscriptionIds::Unique,
    };
    let listeners = Listeners::gather(gateway.address, options.audience, audience)?;
    let count = options.posts * options.duration;
    let mut poster = Poster::connect(api.address, WARM_UP + count)?;
    for post in 0..WARM_UP {
        poster.post(post)?;
    }
    listeners.wait_for((WARM_UP as usize) * options.audience, READY_WITHIN)?;

    let schedule = Schedule::new(clock::now(), options.posts, options.duration);
    let mut answer = Samples::with_capacity(count as usize);
    for post in 0..count {
        let due = schedule.wait_for(post);
        poster.post(WARM_UP + post)?;
        answer.push(clock::now().saturating_duration_since(due));
    }
    let expected = (WARM_UP + count) as usize * options.audience;
    // What has not come by then is counted as lost.
    let _all_came = listeners.wait_for(expected, DRAIN_WITHIN).is_ok();
    let heard = listeners.dismiss()?;
    let deliveries = Deliveries::of(&heard.arrivals, &schedule, WARM_UP, options.audience);
    let frame_bytes = heard.wire_bytes / heard.arrivals.len().max(1);
    Ok(Report {
        floor: idle.append_verdict(append_us),
        sockets: options.audience,
        posts_per_second: options.posts,
        lost: deliveries.lost,
        duplicated: deliveries.duplicated,
        frame_bytes,
        answer: answer.percentiles().context("no posts")?,
        each: deliveries.each.percentiles().context("no deliveries")?,
        last: deliveries
            .last
            .percentiles()
            .context("no post came through to everybody")?,
        raw_last: raw(options, workshop, frame_bytes)?,
    })
}

fn raw(options: &Options, workshop: &Workshop, frame_bytes: usize) -> Result<Percentiles> {
    let sync = Some(workshop.folder().join("raw-end-to-end"));
    let mut server = RawServer::start(&raw_server::Options {
        sockets: options.audience,
        frame_bytes,
        sync,
    })?;
    let listeners = Listeners::gather(
        server.address,
        options.audience,
        swarm::Audience::Raw {
            message_bytes: frame_bytes,
        },
    )?;
    server.wait_until_ready()?;
    let schedule = Schedule::new(clock::now(), options.posts, options.duration);
    for round in 0..schedule.count {
        schedule.wait_for(round);
        server.write_round()?;
    }
    listeners.wait_for(schedule.count as usize * options.audience, DRAIN_WITHIN)?;
    let heard = listeners.dismiss()?;
    Deliveries::of(&heard.arrivals, &schedule, 0, options.audience)
        .last
        .percentiles()
        .context("no rounds")
}

/// One message on one socket.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    /// The number of its post, warm-up included.
    post: u32,
    socket: usize,
    at: Instant,
}

/// The deliveries of the posts on the schedule, judged.
#[derive(Debug, Default)]
struct Deliveries {
    each: Samples,
    last: Samples,
    lost: usize,
    duplicated: usize,
}

impl Deliveries {
    fn of(arrivals: &[Arrival], schedule: &Schedule, warm_up: u32, sockets: usize) -> Self {
        let mut first = BTreeMap::new();
        let mut deliveries = Self::default();
        for arrival in arrivals.iter().filter(|arrival| warm_up <= arrival.post) {
            let before = first.insert((arrival.post - warm_up, arrival.socket), arrival.at);
            deliveries.duplicated += usize::from(before.is_some());
        }
        for post in 0..schedule.count {
            let due = schedule.due(post);
            let came = first
                .range((post, 0)..(post + 1, 0))
                .map(|(_, at)| at.saturating_duration_since(due));
            let came = came.collect::<Vec<_>>();
            deliveries.lost += sockets - came.len();
            if let (Some(last), true) = (came.iter().max(), came.len() == sockets) {
                deliveries.last.push(*last);
            }
            came.into_iter().for_each(|time| deliveries.each.push(time));
        }
        deliveries
    }
}

/// The sockets, on a thread of this process, so that one clock sees post and arrival.
struct Listeners {
    stop: Arc<AtomicBool>,
    arrived: Arc<AtomicUsize>,
    thread: JoinHandle<Result<Recorder>>,
}

impl Listeners {
    fn gather(target: SocketAddr, count: usize, audience: swarm::Audience) -> Result<Self> {
        let options = swarm::Options {
            target,
            source: Ipv4Addr::LOCALHOST,
            first: 0,
            count,
            audience,
        };
        let (stop, ready, arrived) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let mut recorder = Recorder {
            ready: Arc::clone(&ready),
            arrived: Arc::clone(&arrived),
            per_socket: vec![0; count],
            arrivals: Vec::new(),
            wire_bytes: 0,
        };
        let stopped = Arc::clone(&stop);
        let thread =
            thread::spawn(move || swarm::run(&options, &stopped, &mut recorder).map(|()| recorder));
        let listeners = Self {
            stop,
            arrived,
            thread,
        };
        listeners.wait("subscribe", READY_WITHIN, || ready.load(Ordering::Relaxed))?;
        Ok(listeners)
    }

    fn wait_for(&self, messages: usize, within: Duration) -> Result<()> {
        self.wait("hear everything", within, || {
            messages <= self.arrived.load(Ordering::Relaxed)
        })
    }

    fn wait(&self, what: &str, within: Duration, reached: impl Fn() -> bool) -> Result<()> {
        let deadline = clock::now() + within;
        while !reached() {
            ensure!(
                !self.thread.is_finished(),
                "the sockets ended before they could {what}"
            );
            ensure!(
                clock::now() < deadline,
                "the sockets did not {what} within {within:?}"
            );
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn dismiss(self) -> Result<Recorder> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .expect("the sockets' thread does not panic")
    }
}

/// Writes down when each message came.
struct Recorder {
    ready: Arc<AtomicBool>,
    arrived: Arc<AtomicUsize>,
    per_socket: Vec<u32>,
    arrivals: Vec<Arrival>,
    wire_bytes: usize,
}

impl Observer for Recorder {
    fn ready(&mut self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    fn message(&mut self, socket: usize, payload: &[u8], wire_bytes: usize) {
        let at = clock::now();
        let post = post_of(payload).unwrap_or(self.per_socket[socket]);
        self.per_socket[socket] += 1;
        self.arrivals.push(Arrival { post, socket, at });
        self.wire_bytes += wire_bytes;
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    fn beat(&mut self, _socket: usize) {}
}

/// The number of a post stands in its text; a raw frame has none, and comes in order.
fn post_of(payload: &[u8]) -> Option<u32> {
    const MARK: &[u8] = b"\"text\":\"bench-";
    let at = payload
        .windows(MARK.len())
        .position(|window| window == MARK)?
        + MARK.len();
    let digits = payload[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    std::str::from_utf8(&payload[at..at + digits])
        .ok()?
        .parse()
        .ok()
}

/// Posts over one connection, one after the other.
struct Poster {
    stream: TcpStream,
    address: SocketAddr,
    tokens: Vec<String>,
    received: Vec<u8>,
}

impl Poster {
    /// Makes the tokens beforehand, one house per post: a house may call five times and then once in 20 s.
    fn connect(address: SocketAddr, posts: u32) -> Result<Self> {
        let stream = TcpStream::connect(address).context("connect to the api")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READY_WITHIN))?;
        let line = tokens::line(0)?;
        let tokens = (0..posts)
            .map(|post| tokens::token(&line, &post.to_string()))
            .collect::<Result<_>>()?;
        Ok(Self {
            stream,
            address,
            tokens,
            received: Vec::new(),
        })
    }

    fn post(&mut self, post: u32) -> Result<()> {
        let body = format!(
            r#"{{"line":"bench-0","house":"{post}","text":"bench-{post}","lat":"37.5665","lng":"126.9780"}}"#
        );
        let token = &self.tokens[post as usize];
        let request = format!(
            "POST /alert HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).context("post")?;
        let head = self.answer()?;
        ensure!(
            head.starts_with("HTTP/1.1 201"),
            "post {post} was answered with {head}"
        );
        Ok(())
    }

    /// Reads one answer whole; its head.
    fn answer(&mut self) -> Result<String> {
        loop {
            if let Some((head, length)) = whole_answer(&self.received)? {
                self.received.drain(..length);
                return Ok(head);
            }
            let mut chunk = [0; 4_096];
            let count = self
                .stream
                .read(&mut chunk)
                .context("wait for the api's answer")?;
            if count == 0 {
                bail!(
                    "the api closed the connection: {}",
                    String::from_utf8_lossy(&self.received)
                );
            }
            self.received.extend_from_slice(&chunk[..count]);
        }
    }
}

/// Head and whole length of an answer with a Content-Length, once it has arrived.
fn whole_answer(received: &[u8]) -> Result<Option<(String, usize)>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>())
    });
    let whole = end + 4 + length.context("an answer without length")??;
    Ok((whole <= received.len()).then_some((head, whole)))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            floor,
            sockets,
            posts_per_second,
            lost,
            duplicated,
            frame_bytes,
            answer,
            each,
            last,
            raw_last,
        } = self;
        writeln!(
            f,
            "end to end, {posts_per_second} posts a second to {sockets} sockets, frames of {frame_bytes} bytes, lost {lost}, duplicated {duplicated}"
        )?;
        writeln!(f, "  {floor}")?;
        writeln!(f, "  201 answered   {answer}")?;
        writeln!(f, "  each socket    {each}")?;
        writeln!(f, "  last socket    {last}  (target: p99 at most 25000)")?;
        write!(f, "  raw, last      {raw_last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_and_doubled_deliveries_are_counted_and_only_whole_posts_have_a_last_socket() {
        let start = clock::now();
        let schedule = Schedule::new(start, 10, 1);
        let arrival = |post, socket, millis| Arrival {
            post,
            socket,
            at: start + Duration::from_millis(millis),
        };
        let mut arrivals = vec![
            arrival(0, 0, 1),
            arrival(1, 0, 5),
            arrival(1, 1, 7),
            arrival(1, 1, 8),
            arrival(2, 0, 130),
        ];
        for post in 3..11 {
            arrivals.extend([0, 1].map(|socket| arrival(post, socket, 1_000)));
        }

        let deliveries = Deliveries::of(&arrivals, &schedule, 1, 2);

        assert_eq!((deliveries.lost, deliveries.duplicated), (1, 1));
        assert_eq!(deliveries.each.percentiles().expect("some").count, 19);
        assert_eq!(deliveries.last.percentiles().expect("some").count, 9);
    }

    #[test]
    fn a_post_is_found_again_by_its_text() {
        assert_eq!(
            post_of(br#"MESSAGE..{"type":"alert","text":"bench-417","lat":"1"}"#),
            Some(417)
        );
        assert_eq!(post_of(b"xxxxxxxx"), None);
    }

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabc";
        assert!(whole_answer(&answer[..10]).expect("fine").is_none());
        assert!(
            whole_answer(&answer[..answer.len() - 1])
                .expect("fine")
                .is_none()
        );
        let (head, length) = whole_answer(answer).expect("fine").expect("whole");
        assert!(head.starts_with("HTTP/1.1 201"));
        assert_eq!(length, answer.len());
        assert!(whole_answer(b"HTTP/1.1 201 Created\r\n\r\n").is_err());
    }
}
