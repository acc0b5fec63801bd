//! A disk whose syncs take long, for a while: `strace` holds each of a process's syncs up before the kernel sees it.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::program::{run, run_if_possible};
use super::wait_until;

/// The syncs of one process are slow until this is dropped.
pub struct SlowSyncs {
    strace: Child,
}

impl SlowSyncs {
    /// Whether processes can be held up here; says so where they cannot.
    pub fn are_possible() -> bool {
        let traced = ["-o", "/dev/null", "-e", "trace=fdatasync", "true"];
        let possible = run_if_possible("strace", &traced);
        if !possible {
            eprintln!("no process can be traced here (strace, and the right to use it)");
        }
        possible
    }

    /// From when this returns, each sync of the process takes so long more.
    pub fn of(process: u32, by: Duration) -> Self {
        let inject = format!("inject=fdatasync,fsync:delay_enter={}", by.as_micros());
        let strace = Command::new("strace")
            .args(["-f", "-q", "-o", "/dev/null"])
            .args(["-e", "trace=fdatasync,fsync", "-e", &inject])
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let slow = Self {
            strace: strace.expect("strace starts"),
        };
        wait_until("all threads are traced", || are_traced(process));
        slow
    }
}

fn are_traced(process: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    threads.filter_map(Result::ok).all(|thread| {
        // A thread that has just ended need not be traced.
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        let tracer = status
            .lines()
            .find_map(|line| line.strip_prefix("TracerPid:"));
        tracer.is_none_or(|tracer| tracer.trim() != "0")
    })
}

impl Drop for SlowSyncs {
    fn drop(&mut self) {
        // Told to end, it lets go of the process first.
        run("kill", &["-TERM", &self.strace.id().to_string()]);
        self.strace.wait().expect("strace ends");
    }
}
