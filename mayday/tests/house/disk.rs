//! A small disk of its own, that another program can fill.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Beyond the reserve that the log leaves alone, with room for its journal. The file behind it takes what is used.
const BYTES: &str = "700M";

/// An ext4 on a file, mounted. Dropping it unmounts it.
pub(crate) struct Disk {
    mount: PathBuf,
}

impl Disk {
    /// `None`, and a line that says so, where this machine lets us mount nothing.
    pub(crate) fn mount(below: &Path) -> Option<Self> {
        let disk = Self {
            mount: below.join("disk"),
        };
        std::fs::create_dir_all(&disk.mount).expect("made");
        let image = below.join("image");
        let image = image.to_str().expect("UTF-8");
        let mounted = succeeds("truncate", &["-s", BYTES, image])
            && succeeds("mkfs.ext4", &["-q", "-m", "0", "-E", "nodiscard", image])
            && succeeds("mount", &["-o", "loop", image, disk.at()]);
        if mounted {
            return Some(disk);
        }
        eprintln!("no disk of our own can be mounted here: it needs root and a loop device");
        None
    }

    fn at(&self) -> &str {
        self.mount.to_str().expect("UTF-8")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.mount
    }

    /// Takes every byte, as another program would, until what is returned is dropped.
    pub(crate) fn fill(&self) -> Ballast {
        let ballast = Ballast([self.mount.join("ballast"), self.mount.join("crumbs")]);
        let [most, rest] = &ballast.0;
        // What does not fit at once is halved: the room is in pieces, some of them held back by the file system.
        let mut bytes: u64 = 512 << 20;
        let mut taken = 0;
        while 4096 <= bytes {
            let length = (taken + bytes).to_string();
            let most = most.to_str().expect("UTF-8");
            if succeeds("fallocate", &["-l", &length, most]) {
                taken += bytes;
            } else {
                bytes /= 2;
            }
        }
        let mut file = std::fs::File::create(rest).expect("a name has room");
        while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
        ballast
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that was just killed may not have closed its files yet.
        succeeds("umount", &["-l", self.at()]);
    }
}

/// Files that fill a disk until this is dropped.
pub(crate) struct Ballast([PathBuf; 2]);

impl Drop for Ballast {
    fn drop(&mut self) {
        for path in &self.0 {
            drop(std::fs::remove_file(path));
        }
    }
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}
