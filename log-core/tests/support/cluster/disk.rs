//! What a data folder stands on: a plain folder, a small disk that fills up, or a disk whose power can be cut.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use journal::disk::{Disk as _, SystemDisk};

use super::program::{run, run_if_possible};

/// Enough for a journal, a checkpoint and what a test writes; the file behind it takes what is used.
const POWERED_BYTES: &str = "1G";
/// Cuts a mounted ext4 off from its disk (`EXT4_IOC_SHUTDOWN`) without flushing its journal (`NOLOGFLUSH`): what was
/// not synced is gone, as after a power cut.
const CUT: &str = "import fcntl, os, struct, sys\n\
    for disk in [os.open(path, os.O_RDONLY) for path in sys.argv[1:]]:\n \
    fcntl.ioctl(disk, 0x8004587d, struct.pack('I', 2))";

/// Which disk a node gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskKind {
    Folder,
    /// A file system in memory of so many MiB.
    Small {
        mebibytes: u32,
    },
    /// An ext4 with a journal, on a file.
    Powered,
}

impl DiskKind {
    /// Whether this machine lets us mount; says so where it does not.
    pub fn is_possible(self) -> bool {
        if self == Self::Folder {
            return true;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Disk::try_mount(self, &folder.path().join("probe")).is_some();
        if !mounted {
            eprintln!("no disk of our own can be mounted here (root, and for ext4 a loop device)");
        }
        mounted
    }
}

/// A mounted disk. Dropping it unmounts it.
pub struct Disk {
    kind: DiskKind,
    mount: PathBuf,
}

impl Disk {
    /// Made at `mount`, which is made too.
    pub fn make(kind: DiskKind, mount: &Path) -> Self {
        Self::try_mount(kind, mount).unwrap_or_else(|| panic!("mount {kind:?}"))
    }

    fn try_mount(kind: DiskKind, mount: &Path) -> Option<Self> {
        std::fs::create_dir_all(mount).expect("made");
        let disk = Self {
            kind,
            mount: mount.to_owned(),
        };
        let mounted = match kind {
            DiskKind::Folder => true,
            DiskKind::Small { mebibytes } => {
                let size = format!("size={mebibytes}m");
                run_if_possible("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", disk.at()])
            }
            DiskKind::Powered => disk.make_image() && disk.mount_image(),
        };
        mounted.then_some(disk)
    }

    fn at(&self) -> &str {
        self.mount.to_str().expect("UTF-8")
    }

    fn image(&self) -> String {
        format!("{}.image", self.at())
    }

    fn make_image(&self) -> bool {
        let image = self.image();
        run_if_possible("truncate", &["-s", POWERED_BYTES, &image])
            && run_if_possible("mkfs.ext4", &["-q", "-E", "nodiscard", &image])
    }

    fn mount_image(&self) -> bool {
        run_if_possible("mount", &["-o", "loop", &self.image(), self.at()])
    }

    /// From now on nothing reaches these disks, and what was not synced is lost.
    pub fn cut_power<'a>(disks: impl IntoIterator<Item = &'a Self>) {
        let powered = disks.into_iter().inspect(|disk| {
            assert_eq!(disk.kind, DiskKind::Powered, "only that disk has a plug");
        });
        let mounts: Vec<_> = powered.map(Self::at).collect();
        run("python3", &[&["-c", CUT][..], &mounts].concat());
    }

    /// The power is back. Nobody may have a file of the disk open.
    pub fn mount_again(&self) {
        run("umount", &[self.at()]);
        assert!(self.mount_image(), "mount the disk after the power cut");
    }

    /// Takes the room but for some MiB, as another program would, until what is returned is dropped.
    pub fn fill(&self, but_mebibytes: u64) -> Ballast {
        let path = self.mount.join("ballast");
        let mut file = File::create(&path).expect("created");
        let chunk = vec![1; 64 << 10];
        while but_mebibytes << 20 < SystemDisk.free_bytes(&self.mount).expect("asked")
            && file.write_all(&chunk).is_ok()
        {}
        Ballast { path }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.kind != DiskKind::Folder {
            // Lazily: a process that was just killed may not have closed its files yet.
            run_if_possible("umount", &["-l", self.at()]);
        }
    }
}

/// A file that fills a disk until this is dropped.
pub struct Ballast {
    path: PathBuf,
}

impl Drop for Ballast {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).expect("removed");
    }
}
