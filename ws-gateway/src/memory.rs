//! How much memory there is for this process: the machine's, or what its control group allows.

use std::fs;

const MIB: u64 = 1024 * 1024;
/// Where neither says: a small machine.
const UNKNOWN: u64 = 1024 * MIB;

/// A sixteenth of it, 8 to 64 MiB.
pub(crate) fn sixteenth() -> usize {
    let sources = [
        read("/proc/meminfo").and_then(|text| machine(&text)),
        read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok()),
    ];
    share(sources.into_iter().flatten().min())
}

fn share(memory: Option<u64>) -> usize {
    let share = (memory.unwrap_or(UNKNOWN) / 16).clamp(8 * MIB, 64 * MIB);
    usize::try_from(share).expect("64 MiB fit")
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// `MemTotal:       16384256 kB`
fn machine(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sixteenth_of_the_memory_is_between_8_and_64_mib() {
        let mib = |memory| share(memory) / (1024 * 1024);
        assert_eq!(mib(Some(64 * MIB)), 8);
        assert_eq!(mib(Some(512 * MIB)), 32);
        assert_eq!(mib(Some(64 * 1024 * MIB)), 64);
        assert_eq!(mib(None), 64);
        assert_eq!(
            machine("MemTotal:       16384256 kB\nMemFree: 1 kB"),
            Some(16_384_256 * 1024)
        );
    }
}
