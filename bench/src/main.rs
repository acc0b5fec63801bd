//! How fast it is, beside how fast it could be.
//!
//! Each measure stands beside its floor, a raw loop that does the least that could do the job, in the same run on the
//! same machine; the ratio is the result. Load is open loop: lateness counts from when a request was due. The services
//! run as processes of their own, so build everything in one profile first:
//!
//! ```text
//! cargo build --profile dist -p log-core -p ws-gateway -p producer-api -p bench
//! target/dist/bench all --json bench.json
//! target/dist/bench append --seconds 30
//! target/dist/bench fan-out --sockets 10000 --lines 1 --ids unique
//! target/dist/bench end-to-end
//! target/dist/bench append --nodes 3
//! target/dist/bench failover
//! target/dist/bench upgrade --from 1e48f1d
//! ```
//!
//! - `append`: a record of 300 bytes acknowledged with acks=all by a log of one node or three, at 10, 100 and 1,000 a second and
//!   flat out; beside appending and syncing the same bytes to a preallocated file.
//! - `fan-out`: an alert delivered by the gateway to 1,000 and 10,000 STOMP sockets on one line and on a hundred;
//!   beside an epoll loop that writes a prepared frame of the same length to as many sockets. Also the memory of an
//!   idle socket, after one alert and two heart-beats to all.
//! - `end-to-end`: a POST heard on each of 100 sockets; beside append, sync and writes alone.
//!
//! - `failover`: SIGKILL of the leader of three nodes, until the next press is answered with 201, and delivered.
//!
//! - `flood`: what a resident feels while one address floods the whole process, and whether the log goes on; with `--old` by
//!   turns with an older program.
//!
//! - `upgrade`: three nodes of an older program become this one's, one at a time, under load: no record lost or doubled, old
//!   and new nodes side by side. Nothing is measured.
//!
//! The result says how busy the machine was, and a run whose floor is more than 25 % off an idle machine's says that it
//! does not count. Where the cores cannot be had alone, `chrt -f 10 target/dist/bench ...` gives the whole run,
//! services and floors alike, precedence over the machine's other guests. Everything happens on loopback and in one
//! folder that is removed afterwards.
//!
//! Not here: micro-benchmarks (they live in the crates), and judging whether a figure is good.

mod append;
mod audience;
mod end_to_end;
mod failover;
mod fan_out;
mod flood;
mod floor;
mod kafka_client;
mod listeners;
mod machine;
mod percentiles;
mod poster;
mod raw_server;
mod schedule;
mod services;
mod swarm;
mod tokens;
mod upgrade;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Program;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use floor::Floor;
use machine::Machine;
use services::BenchEnv;

/// Measures the system beside the floors it stands on.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    setting: Setting,
}

#[derive(Debug, Args)]
struct Setting {
    /// Write the result to this file as JSON too.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Folder of the services' programs [default: this program's].
    #[arg(long, global = true, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// Folder for the data, on the disk that is to be measured; a folder in it is made and removed.
    #[arg(long, global = true, value_name = "FOLDER", default_value = ".")]
    data: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Records acknowledged with acks=all.
    Append {
        #[command(flatten)]
        append: append::Options,
        #[command(flatten)]
        floor: Floor,
    },
    /// Alerts delivered to many sockets.
    FanOut {
        #[command(flatten)]
        fan_out: fan_out::Options,
        #[command(flatten)]
        floor: Floor,
    },
    /// From a POST to each socket.
    EndToEnd {
        #[command(flatten)]
        end_to_end: end_to_end::Options,
        #[command(flatten)]
        floor: Floor,
    },
    /// The time without a leader, as residents see it.
    Failover {
        #[command(flatten)]
        failover: failover::Options,
    },
    /// What others feel while one address floods the whole process.
    Flood {
        #[command(flatten)]
        flood: flood::Options,
    },
    /// A rolling upgrade from an older program, under load.
    Upgrade {
        #[command(flatten)]
        upgrade: upgrade::Options,
    },
    /// Append, fan-out and end-to-end, one after the other.
    All {
        #[command(flatten)]
        append: append::Options,
        #[command(flatten)]
        fan_out: fan_out::Options,
        #[command(flatten)]
        end_to_end: end_to_end::Options,
        #[command(flatten)]
        floor: Floor,
    },
    /// Be the sockets of an audience (started by the other commands).
    #[command(hide = true)]
    Sockets,
    /// Be the floor of a fan-out (started by the other commands).
    #[command(hide = true)]
    RawServer(raw_server::Options),
}

/// What is printed and written.
#[derive(Debug, Serialize)]
struct Outcome {
    commit: String,
    profile: &'static str,
    machine: Machine,
    #[serde(skip_serializing_if = "Option::is_none")]
    append: Option<append::Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fan_out: Option<fan_out::Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_to_end: Option<end_to_end::Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failover: Option<failover::Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flood: Option<flood::Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upgrade: Option<upgrade::Report>,
}

fn main() -> Result<()> {
    let Arguments { command, setting } = Arguments::parse();
    match command {
        Command::Sockets => audience::be_a_child(),
        Command::RawServer(options) => raw_server::run(&options),
        Command::Append { append, floor } => setting.measure(|bench| bench.append(&append, &floor)),
        Command::FanOut { fan_out, floor } => {
            setting.measure(|bench| bench.fan_out(&fan_out, &floor))
        }
        Command::EndToEnd { end_to_end, floor } => {
            setting.measure(|bench| bench.end_to_end(&end_to_end, &floor))
        }
        Command::Failover { failover } => setting.measure(|bench| bench.failover(&failover)),
        Command::Flood { flood } => setting.measure(|bench| bench.flood(&flood)),
        Command::Upgrade { upgrade } => setting.measure(|bench| bench.upgrade(&upgrade)),
        Command::All {
            append,
            fan_out,
            end_to_end,
            floor,
        } => setting.measure(|bench| {
            bench.append(&append, &floor)?;
            bench.fan_out(&fan_out, &floor)?;
            bench.end_to_end(&end_to_end, &floor)
        }),
    }
}

impl Setting {
    /// Looks at the machine, lets `run` fill the outcome in, and tells it.
    fn measure(&self, run: impl FnOnce(&mut Bench) -> Result<()>) -> Result<()> {
        let mut bench = Bench::open(self)?;
        run(&mut bench)?;
        let outcome = bench.outcome;
        println!("{outcome}");
        if let Some(file) = &self.json {
            let json = serde_json::to_string_pretty(&outcome)?;
            fs::write(file, json).with_context(|| format!("write {}", file.display()))?;
        }
        Ok(())
    }
}

/// A run, with what it has measured so far.
struct Bench {
    env: BenchEnv,
    outcome: Outcome,
}

impl Bench {
    fn open(setting: &Setting) -> Result<Self> {
        let env = BenchEnv::open(setting.programs.as_deref(), &setting.data)?;
        let outcome = Outcome {
            commit: commit(),
            profile: profile_of(env.programs()),
            machine: Machine::look()?,
            append: None,
            fan_out: None,
            end_to_end: None,
            failover: None,
            flood: None,
            upgrade: None,
        };
        Ok(Self { env, outcome })
    }

    fn append(&mut self, options: &append::Options, floor: &Floor) -> Result<()> {
        let report = append::run(options, &self.env, floor).context("append")?;
        self.outcome.append = Some(report);
        Ok(())
    }

    fn fan_out(&mut self, options: &fan_out::Options, floor: &Floor) -> Result<()> {
        let report = fan_out::run(options, &self.env, floor).context("fan-out")?;
        self.outcome.fan_out = Some(report);
        Ok(())
    }

    fn end_to_end(&mut self, options: &end_to_end::Options, floor: &Floor) -> Result<()> {
        let report = end_to_end::run(options, &self.env, floor).context("end to end")?;
        self.outcome.end_to_end = Some(report);
        Ok(())
    }

    fn failover(&mut self, options: &failover::Options) -> Result<()> {
        let report = failover::run(options, &self.env).context("failover")?;
        self.outcome.failover = Some(report);
        Ok(())
    }

    fn flood(&mut self, options: &flood::Options) -> Result<()> {
        let report = flood::run(options, &self.env).context("flood")?;
        self.outcome.flood = Some(report);
        Ok(())
    }

    fn upgrade(&mut self, options: &upgrade::Options) -> Result<()> {
        let report = upgrade::run(options, &self.env).context("upgrade")?;
        self.outcome.upgrade = Some(report);
        Ok(())
    }
}

/// Cargo's folders of programs, each named after the profile that they were built in.
const PROFILES: [&str; 3] = ["debug", "release", "dist"];

/// The profile that the services were built in, by the folder that they lie in.
fn profile_of(programs: &Path) -> &'static str {
    let programs = programs.canonicalize().unwrap_or_default();
    let folder = programs.file_name().unwrap_or_default();
    let known = PROFILES.into_iter().find(|profile| folder == *profile);
    known.unwrap_or("unknown")
}

/// The commit that is measured, with a `+` when the tree has changes.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Program::new("git").args(arguments).output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])
        .is_some_and(|changes| !changes.is_empty());
    if changed {
        format!("{commit}+")
    } else {
        commit
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine {
            kernel,
            processor,
            cores,
            load_one_minute,
            busy_cores,
        } = &self.machine;
        writeln!(
            f,
            "commit {}, services of profile {}; {cores} cores of {processor}, Linux {kernel}",
            self.commit, self.profile
        )?;
        writeln!(
            f,
            "before the run: {busy_cores} cores busy, load {load_one_minute}"
        )?;
        if self.profile == "debug" || cfg!(debug_assertions) {
            writeln!(f, "a debug build: THESE FIGURES DO NOT COUNT")?;
        }
        if let Some(append) = &self.append {
            writeln!(f, "\n{append}")?;
        }
        if let Some(fan_out) = &self.fan_out {
            writeln!(f, "\n{fan_out}")?;
        }
        if let Some(end_to_end) = &self.end_to_end {
            writeln!(f, "\n{end_to_end}")?;
        }
        if let Some(failover) = &self.failover {
            writeln!(f, "\n{failover}")?;
        }
        if let Some(flood) = &self.flood {
            writeln!(f, "\n{flood}")?;
        }
        if let Some(upgrade) = &self.upgrade {
            writeln!(f, "\n{upgrade}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_profile_is_that_of_the_folder_with_the_services() {
        let target = tempfile::tempdir().expect("a folder");
        let in_folder = |name: &str| {
            let folder = target.path().join(name);
            fs::create_dir_all(&folder).expect("made");
            profile_of(&folder)
        };
        assert_eq!(in_folder("dist"), "dist");
        assert_eq!(in_folder("release"), "release");
        assert_eq!(in_folder("programs-of-another-machine"), "unknown");
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
