//! How much memory the process may count on, and who gets how much.

use std::{
    fs,
    path::{Path, PathBuf},
};

const MIB: usize = 1 << 20;
/// What one socket of a resident takes, TLS included.
const SOCKET_BYTES: usize = 6 << 10;

/// The bytes of memory that this process may count on: the least of its control groups' limits and of what the machine
/// has. All shares are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory(usize);

impl Memory {
    /// Asks the system. What it does not tell is taken for no limit.
    pub fn read() -> Self {
        let machine = rustix::system::sysinfo();
        let machine = machine.totalram.saturating_mul(u64::from(machine.mem_unit));
        let least = cgroup_limits().into_iter().chain([machine]).min();
        Self::of(least.map_or(usize::MAX, |bytes| {
            usize::try_from(bytes).unwrap_or(usize::MAX)
        }))
    }

    /// So many bytes.
    pub const fn of(bytes: usize) -> Self {
        Self(bytes)
    }

    /// All of it.
    pub fn bytes(self) -> usize {
        self.0
    }

    /// Requests that the log is reading or answering: an eighth, 32 to 256 MiB.
    pub fn log_requests(self) -> usize {
        (self.0 / 8).clamp(32 * MIB, 256 * MIB)
    }

    /// The largest of them: at most half of [`log_requests`](Self::log_requests), and 100 MiB.
    pub fn log_request_max(self) -> usize {
        (self.log_requests() / 2).min(100 * MIB)
    }

    /// Answers of the log that are under way: an eighth, 32 to 256 MiB.
    pub fn log_answers(self) -> usize {
        (self.0 / 8).clamp(32 * MIB, 256 * MIB)
    }

    /// Frames that are kept for residents who were away: a sixteenth, 8 to 64 MiB.
    pub fn recent_frames(self) -> usize {
        (self.0 / 16).clamp(8 * MIB, 64 * MIB)
    }

    /// The queues of all slow sockets together: a sixteenth, 8 to 64 MiB.
    pub fn slow_queues(self) -> usize {
        (self.0 / 16).clamp(8 * MIB, 64 * MIB)
    }

    /// What has begun to arrive at the sockets and is not whole: a 64th, 4 to 32 MiB.
    pub fn partial_messages(self) -> usize {
        (self.0 / 64).clamp(4 * MIB, 32 * MIB)
    }

    /// Calls that wait in the outbox: a sixteenth.
    pub fn outbox(self) -> usize {
        self.0 / 16
    }

    /// How many sockets fit into a quarter of it.
    pub fn sockets_max(self) -> usize {
        self.0 / 4 / SOCKET_BYTES
    }
}

/// The limits of this process's control group and of those around it.
fn cgroup_limits() -> Vec<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        limits.extend(limits_up_to(Path::new(root), path, file));
    }
    limits
}

fn limits_up_to(root: &Path, group: &str, file: &str) -> Vec<u64> {
    let group: PathBuf = root.join(group.trim_start_matches('/'));
    let around = group
        .ancestors()
        .take_while(|folder| folder.starts_with(root));
    around
        .filter_map(|folder| fs::read_to_string(folder.join(file)).ok())
        .filter_map(|limit| limit.trim().parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_memory_have_their_floors_and_ceilings() {
        let small = Memory::of(128 * MIB);
        assert_eq!(small.log_requests(), 32 * MIB);
        assert_eq!(small.log_request_max(), 16 * MIB);
        assert_eq!(small.recent_frames(), 8 * MIB);
        assert_eq!(small.partial_messages(), 4 * MIB);
        assert_eq!(small.sockets_max(), 5_461);

        let large = Memory::of(64 << 30);
        assert_eq!(large.log_requests(), 256 * MIB);
        assert_eq!(large.log_request_max(), 100 * MIB);
        assert_eq!(large.log_answers(), 256 * MIB);
        assert_eq!(large.slow_queues(), 64 * MIB);
        assert_eq!(large.partial_messages(), 32 * MIB);
        assert_eq!(large.outbox(), 4 << 30);
    }

    #[test]
    fn the_narrowest_control_group_around_the_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("a/memory.max"), "1048576\n").unwrap();

        let limits = limits_up_to(root.path(), "/a/b", "memory.max");

        assert_eq!(limits, [1_048_576]);
    }

    #[test]
    fn this_machine_has_some_memory() {
        assert!(16 * MIB < Memory::read().bytes());
    }
}
