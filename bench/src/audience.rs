//! An audience in processes of its own: a process may have 20,000 files open, and the time of the clients must not be
//! counted as the gateway's. Each child is this program again, told by one line what to be, and says in lines what it
//! hears.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use service_kit::clock;

use crate::swarm::{self, Observer};

/// Sockets of one child; well below the 20,000 files of a process.
const SOCKETS_PER_CHILD: usize = 5_000;
/// All the lines that the children say in a run fit; a child that is faster than its parent waits.
const EVENTS_MAX: usize = 1_024;

/// How many audiences this run has connected.
static AUDIENCES: AtomicUsize = AtomicUsize::new(0);

/// What a child says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum AudienceEvent {
    /// All its sockets are subscribed.
    Ready,
    /// All its sockets have heard so many messages, or more.
    Round(u32),
    /// All its sockets have heard so many heart-beats, or more.
    Beats(u32),
    /// What its sockets heard in the whole run.
    Done(DeliveryCounts),
}

/// What was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeliveryCounts {
    pub(crate) messages: u64,
    pub(crate) wire_bytes: u64,
    /// The least and the most that one socket heard.
    pub(crate) least: u32,
    pub(crate) most: u32,
}

/// The child: reads what it is, serves until its input ends.
pub(crate) fn be_a_child() -> Result<()> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("read what to be")?;
    let options: swarm::Options = serde_json::from_str(&line).context("understand what to be")?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    thread::spawn(move || {
        // The input has nothing more to say: it ends when the parent is done, or is gone.
        let _ended = io::copy(&mut io::stdin().lock(), &mut io::sink()).is_ok();
        told.store(true, Ordering::Relaxed);
    });
    let mut counter = Counter::new(options.count);
    swarm::run(&options, &stop, &mut counter)?;
    send_event(AudienceEvent::Done(counter.heard()));
    Ok(())
}

fn send_event(event: AudienceEvent) {
    let line = serde_json::to_string(&event).expect("events are plain");
    let mut out = io::stdout().lock();
    // A parent that is gone hears nothing; the child ends with its input.
    let _heard = writeln!(out, "{line}").and_then(|()| out.flush()).is_ok();
}

/// Counts per socket, and tells when the slowest socket has come a step further.
struct Counter {
    messages: Tally,
    beats: Tally,
    wire_bytes: u64,
}

impl Counter {
    fn new(sockets: usize) -> Self {
        Self {
            messages: Tally::new(sockets),
            beats: Tally::new(sockets),
            wire_bytes: 0,
        }
    }

    fn heard(&self) -> DeliveryCounts {
        DeliveryCounts {
            messages: self
                .messages
                .each
                .iter()
                .map(|count| u64::from(*count))
                .sum(),
            wire_bytes: self.wire_bytes,
            least: self.messages.each.iter().min().copied().unwrap_or_default(),
            most: self.messages.each.iter().max().copied().unwrap_or_default(),
        }
    }
}

impl Observer for Counter {
    fn ready(&mut self) {
        send_event(AudienceEvent::Ready);
    }

    fn message(&mut self, socket: usize, _payload: &[u8], wire_bytes: usize) {
        self.wire_bytes += wire_bytes as u64;
        if let Some(round) = self.messages.count(socket) {
            send_event(AudienceEvent::Round(round));
        }
    }

    fn beat(&mut self, socket: usize) {
        if let Some(beats) = self.beats.count(socket) {
            send_event(AudienceEvent::Beats(beats));
        }
    }
}

/// Counts for each, and knows how many have reached each count.
struct Tally {
    each: Vec<u32>,
    reached: Vec<usize>,
}

impl Tally {
    fn new(members: usize) -> Self {
        Self {
            each: vec![0; members],
            reached: Vec::new(),
        }
    }

    /// Counts one; the new count if this was the last member to reach it.
    fn count(&mut self, member: usize) -> Option<u32> {
        let place = self.each[member] as usize;
        self.each[member] += 1;
        if self.reached.len() <= place {
            self.reached.push(0);
        }
        self.reached[place] += 1;
        (self.reached[place] == self.each.len()).then_some(self.each[member])
    }
}

/// The children, as their parent has them.
pub(crate) struct Audience {
    children: Vec<ChildProcess>,
    events: Receiver<(usize, Result<AudienceEvent, String>)>,
}

struct ChildProcess {
    child: Child,
    input: Option<ChildStdin>,
    ready: bool,
    rounds: u32,
    beats: u32,
    done: Option<DeliveryCounts>,
}

impl Audience {
    /// Starts as many children as it takes and waits until all sockets are subscribed.
    pub(crate) fn connect(
        target: SocketAddr,
        sockets: usize,
        audience: swarm::Audience,
        within: Duration,
    ) -> Result<Self> {
        let mut connected = Self::connecting(target, sockets, audience)?;
        connected.wait(within, "subscribe all sockets", |child| child.ready)?;
        Ok(connected)
    }

    fn connecting(target: SocketAddr, sockets: usize, audience: swarm::Audience) -> Result<Self> {
        let audience_number = AUDIENCES.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = sync_channel(EVENTS_MAX);
        let mut children = Vec::new();
        for (number, first) in (0..sockets).step_by(SOCKETS_PER_CHILD).enumerate() {
            let options = swarm::Options {
                target,
                source: source(audience_number, number)?,
                first,
                count: SOCKETS_PER_CHILD.min(sockets - first),
                audience,
            };
            children.push(ChildProcess::start(&options, number, sender.clone())?);
        }
        Ok(Self { children, events })
    }

    /// Waits until every socket has heard so many messages; when that was.
    pub(crate) fn wait_for_round(&mut self, round: u32, within: Duration) -> Result<Instant> {
        self.wait(within, "hear a round", |child| round <= child.rounds)
    }

    /// Waits until every socket has heard so many heart-beats.
    pub(crate) fn wait_for_beats(&mut self, beats: u32, within: Duration) -> Result<Instant> {
        self.wait(within, "hear the heart-beats", |child| beats <= child.beats)
    }

    /// Ends the children; what all of them heard.
    pub(crate) fn close(mut self, within: Duration) -> Result<DeliveryCounts> {
        for child in &mut self.children {
            child.input = None;
        }
        self.wait(within, "end", |child| child.done.is_some())?;
        let heard = self.children.iter().filter_map(|child| child.done);
        let sum = heard.reduce(|all, more| DeliveryCounts {
            messages: all.messages + more.messages,
            wire_bytes: all.wire_bytes + more.wire_bytes,
            least: all.least.min(more.least),
            most: all.most.max(more.most),
        });
        sum.context("there was no audience")
    }

    fn wait(
        &mut self,
        within: Duration,
        what: &str,
        reached: impl Fn(&ChildProcess) -> bool,
    ) -> Result<Instant> {
        let deadline = clock::steady() + within;
        while !self.children.iter().all(&reached) {
            let left = deadline.saturating_duration_since(clock::steady());
            let Ok((number, event)) = self.events.recv_timeout(left) else {
                bail!("the audience did not {what} within {within:?}");
            };
            match event {
                Ok(event) => self.children[number].receive(event),
                Err(last_words) => bail!("a child of the audience ended: {last_words}"),
            }
        }
        Ok(clock::steady())
    }
}

impl ChildProcess {
    fn start(
        options: &swarm::Options,
        number: usize,
        sender: SyncSender<(usize, Result<AudienceEvent, String>)>,
    ) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("sockets")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start a child of the audience")?;
        let mut input = child.stdin.take().context("the child's input")?;
        writeln!(input, "{}", serde_json::to_string(options)?)
            .context("tell the child what to be")?;
        let output = child.stdout.take().context("the child's output")?;
        thread::spawn(move || forward(output, number, &sender));
        Ok(Self {
            child,
            input: Some(input),
            ready: false,
            rounds: 0,
            beats: 0,
            done: None,
        })
    }

    fn receive(&mut self, event: AudienceEvent) {
        match event {
            AudienceEvent::Ready => self.ready = true,
            AudienceEvent::Round(round) => self.rounds = round,
            AudienceEvent::Beats(beats) => self.beats = beats,
            AudienceEvent::Done(heard) => self.done = Some(heard),
        }
    }
}

/// Ends by itself when the child has said all, or nothing reads it.
fn forward(
    output: ChildStdout,
    number: usize,
    sender: &SyncSender<(usize, Result<AudienceEvent, String>)>,
) {
    let mut done = false;
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let event = serde_json::from_str::<AudienceEvent>(&line)
            .map_err(|error| format!("{line}: {error}"));
        done |= matches!(event, Ok(AudienceEvent::Done(_)));
        if sender.send((number, event)).is_err() {
            return;
        }
    }
    if !done {
        // Nobody listening is as good as told.
        let _told = sender
            .send((number, Err("its error is above".to_owned())))
            .is_ok();
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // Ended already is as good.
        if self.child.kill().is_ok() {
            let _ended = self.child.wait().is_ok();
        }
    }
}

/// A loopback address of its own for each child of each audience: the ports of the one before are not free again for a
/// minute, and an address has 28,232.
pub(crate) fn source(audience: usize, child: usize) -> Result<Ipv4Addr> {
    let run = u8::try_from(1 + std::process::id() % 250)?;
    let audience = u8::try_from(1 + audience % 250)?;
    Ok(Ipv4Addr::new(127, run, audience, u8::try_from(child + 1)?))
}

/// Refuses what the limit of open files would break in the middle.
pub(crate) fn check_open_files(sockets: usize) -> Result<()> {
    let limit = crate::machine::open_files_max()?;
    let needed = sockets as u64 + 1_000;
    ensure!(
        needed <= limit,
        "{sockets} sockets need {needed} open files, the limit is {limit}: raise `ulimit -n`"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_over_when_the_slowest_socket_has_heard_it() {
        let mut tally = Tally::new(2);
        assert_eq!(tally.count(0), None);
        assert_eq!(tally.count(0), None);
        assert_eq!(tally.count(1), Some(1));
        assert_eq!(tally.count(1), Some(2));
    }

    #[test]
    fn what_was_heard_tells_lost_and_doubled_messages() {
        let mut counter = Counter::new(2);
        counter.message(0, b"", 10);
        counter.message(0, b"", 10);
        assert_eq!(
            counter.heard(),
            DeliveryCounts {
                messages: 2,
                wire_bytes: 20,
                least: 0,
                most: 2
            }
        );
    }

    #[test]
    fn news_survive_the_way_through_a_pipe() {
        for event in [
            AudienceEvent::Ready,
            AudienceEvent::Round(7),
            AudienceEvent::Beats(2),
            AudienceEvent::Done(DeliveryCounts {
                messages: 3,
                ..DeliveryCounts::default()
            }),
        ] {
            let line = serde_json::to_string(&event).expect("written");
            assert_eq!(
                serde_json::from_str::<AudienceEvent>(&line).expect("read"),
                event
            );
        }
    }
}
