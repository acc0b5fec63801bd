//! What the machine says: how busy it is, and what a process has taken of it. All from `/proc`.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;

/// Linux counts the time of processes in hundredths of a second, whatever its own clock.
const TICK: Duration = Duration::from_millis(10);

/// Under which conditions a run took place.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    /// Runnable processes, averaged over the last minute, before the run.
    pub(crate) load_one_minute: f64,
    /// Cores that were busy in the second before the run: 0.0 on an idle machine.
    pub(crate) busy_cores: f64,
}

impl Machine {
    /// Looks for a second.
    pub(crate) fn look() -> Result<Self> {
        let before = Jiffies::read()?;
        thread::sleep(Duration::from_secs(1));
        let passed = Jiffies::read()?.since(before);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            processor: processor()?,
            cores,
            load_one_minute: read("/proc/loadavg")?
                .split(' ')
                .next()
                .unwrap_or_default()
                .parse()?,
            busy_cores: (passed.busy_share() * cores as f64 * 100.0).round() / 100.0,
        })
    }
}

fn processor() -> Result<String> {
    let text = read("/proc/cpuinfo")?;
    let model = text.lines().find(|line| line.starts_with("model name"));
    let name = model
        .and_then(|line| line.split_once(": "))
        .map(|(_, name)| name.to_owned());
    Ok(name.unwrap_or_else(|| "unknown".to_owned()))
}

/// The machine's time since it was started.
#[derive(Clone, Copy, Debug)]
struct Jiffies {
    idle: u64,
    all: u64,
}

impl Jiffies {
    fn read() -> Result<Self> {
        Self::parse(&read("/proc/stat")?)
    }

    /// The first line: user, nice, system, idle, iowait, irq, softirq, steal, and two that are in user and nice already.
    fn parse(stat: &str) -> Result<Self> {
        let line = stat.lines().next().context("/proc/stat is empty")?;
        let numbers = line.split_whitespace().skip(1).take(8).map(str::parse);
        let numbers = numbers
            .collect::<Result<Vec<u64>, _>>()
            .context("/proc/stat has numbers")?;
        let idle = numbers.iter().skip(3).take(2).sum();
        Ok(Self {
            idle,
            all: numbers.iter().sum(),
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            idle: self.idle.saturating_sub(before.idle),
            all: self.all.saturating_sub(before.all),
        }
    }

    fn busy_share(self) -> f64 {
        if self.all == 0 {
            0.0
        } else {
            (self.all - self.idle.min(self.all)) as f64 / self.all as f64
        }
    }
}

/// The processor time that a process and its threads have used.
pub(crate) fn processor_time(pid: u32) -> Result<Duration> {
    parse_processor_time(&read(&format!("/proc/{pid}/stat"))?)
}

/// Fields 14 and 15, counted after the name, which is in parentheses and may contain anything.
fn parse_processor_time(stat: &str) -> Result<Duration> {
    let (_, after_name) = stat
        .rsplit_once(')')
        .context("a process's stat has a name")?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut next = || -> Result<u32> {
        Ok(fields
            .next()
            .context("a process's stat has times")?
            .parse()?)
    };
    Ok(TICK * (next()? + next()?))
}

/// The memory of a process in bytes, what it shares with others divided among them (PSS).
pub(crate) fn proportional_memory(pid: u32) -> Result<u64> {
    parse_proportional_memory(&read(&format!("/proc/{pid}/smaps_rollup"))?)
}

/// The most memory that a process has had in RAM at once, in bytes.
pub(crate) fn memory_peak(pid: u32) -> Result<u64> {
    parse_memory_peak(&read(&format!("/proc/{pid}/status"))?)
}

fn parse_memory_peak(status: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.context("a process's status has VmHWM")?;
    let kibibytes = kibibytes.trim().trim_end_matches(" kB").parse::<u64>();
    Ok(kibibytes.context("VmHWM is a number of kB")? * 1_024)
}

fn parse_proportional_memory(rollup: &str) -> Result<u64> {
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .context("smaps_rollup has Pss")?;
    let kibibytes = line
        .trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .context("Pss is a number of kB")?;
    Ok(kibibytes * 1_024)
}

/// How many files this process and its children may have open each.
pub(crate) fn open_files_max() -> Result<u64> {
    let limits = read("/proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .context("limits of open files")?;
    let soft = line.split_whitespace().next().context("a limit")?;
    Ok(if soft == "unlimited" {
        u64::MAX
    } else {
        soft.parse()?
    })
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(file).map_err(|error| anyhow!("{file}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_is_found_behind_a_name_with_blanks_and_parentheses() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 7 9 20 0 4 0 100 1000 10";
        assert_eq!(
            parse_processor_time(stat).expect("parsed"),
            Duration::from_secs(3)
        );
    }

    #[test]
    fn a_machine_that_waited_for_its_disk_was_idle() {
        let before = Jiffies::parse("cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1").expect("parsed");
        let after = Jiffies::parse("cpu  150 0 100 840 10 0 0 0 0 0\n").expect("parsed");
        assert!((after.since(before).busy_share() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn shared_memory_counts_by_its_share() {
        let rollup = "55-ff ---p 0 00:00 0 [rollup]\nRss:  1772 kB\nPss:                 250 kB\nPss_Dirty: 112 kB\n";
        assert_eq!(
            parse_proportional_memory(rollup).expect("parsed"),
            250 * 1_024
        );
    }

    #[test]
    fn this_process_has_used_some_time_and_some_memory() {
        let pid = std::process::id();
        assert!(processor_time(pid).is_ok());
        assert!(0 < proportional_memory(pid).expect("it has memory"));
        assert!(0 < memory_peak(pid).expect("it has memory"));
        assert!(0 < open_files_max().expect("it has a limit"));
    }
}
