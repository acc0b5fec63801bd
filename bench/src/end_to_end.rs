//! End to end: from when a POST was due until its alert is read from each of a hundred sockets; beside a raw loop that
//! appends and syncs as many bytes and writes a frame of the same length to as many sockets.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use service_kit::clock;

use crate::append;
use crate::fan_out::RawServer;
use crate::floor::{Floor, Verdict};
use crate::listeners::{Arrival, Listeners, READY_WITHIN};
use crate::percentiles::{Percentiles, Samples};
use crate::poster::Poster;
use crate::raw_server;
use crate::schedule::Schedule;
use crate::services::BenchEnv;
use crate::swarm::{self, SubscriptionIds};

/// How long after the last post a delivery may come; later ones are lost.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
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

pub(crate) fn run(options: &Options, env: &BenchEnv, idle: &Floor) -> Result<Report> {
    let append_us = append::raw_median_us(&env.folder().join("raw-append"))?;
    let log = env.log(1)?;
    let api = env.api(&log.bootstrap())?;
    let gateway = env.gateway(&log.bootstrap())?;
    let audience = swarm::Audience::Stomp {
        lines: 1,
        ids: SubscriptionIds::Unique,
    };
    let listeners = Listeners::connect(gateway.address, options.audience, audience)?;
    let count = options.posts * options.duration;
    let mut poster = Poster::connect(api.address, 0..WARM_UP + count)?;
    for post in 0..WARM_UP {
        poster.post(post)?;
    }
    listeners.wait_for((WARM_UP as usize) * options.audience, READY_WITHIN)?;

    let schedule = Schedule::new(clock::steady(), options.posts, options.duration);
    let mut answer = Samples::with_capacity(count as usize);
    for post in 0..count {
        let due = schedule.wait_for(post);
        poster.post(WARM_UP + post)?;
        answer.push(clock::steady().saturating_duration_since(due));
    }
    let expected = (WARM_UP + count) as usize * options.audience;
    // What has not come by then is counted as lost.
    let _all_came = listeners.wait_for(expected, DRAIN_WITHIN).is_ok();
    let heard = listeners.close()?;
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
        raw_last: raw(options, env, frame_bytes)?,
    })
}

fn raw(options: &Options, env: &BenchEnv, frame_bytes: usize) -> Result<Percentiles> {
    let sync = Some(env.folder().join("raw-end-to-end"));
    let mut server = RawServer::start(&raw_server::Options {
        sockets: options.audience,
        frame_bytes,
        sync,
    })?;
    let listeners = Listeners::connect(
        server.address,
        options.audience,
        swarm::Audience::Raw {
            message_bytes: frame_bytes,
        },
    )?;
    server.wait_until_ready()?;
    let schedule = Schedule::new(clock::steady(), options.posts, options.duration);
    for round in 0..schedule.count {
        schedule.wait_for(round);
        server.write_round()?;
    }
    listeners.wait_for(schedule.count as usize * options.audience, DRAIN_WITHIN)?;
    let heard = listeners.close()?;
    Deliveries::of(&heard.arrivals, &schedule, 0, options.audience)
        .last
        .percentiles()
        .context("no rounds")
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
        let start = clock::steady();
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
}
