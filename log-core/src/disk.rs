//! The seam to files. The world's disk is here; the simulated one, which loses and tears what was not synced,
//! lives in `testing/`.
//!
//! Positional I/O only. A write is durable after `sync_data` of its file; a new, renamed or removed name is durable
//! after `sync_folder` of its folder. Whoever gets an error from a sync must not try again: the kernel may have
//! dropped the pages (fsyncgate), so the bytes are unknown.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A file that must not exist yet, for reading and writing.
    CreateNew,
}

/// Folders and names.
pub trait Disk: Send + Sync + 'static {
    /// Opens or makes a file.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `StorageFull`, and what else the system says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>>;
    /// Makes a folder and the missing ones above it; fine if it is there. Not durable before the parents are synced.
    ///
    /// # Errors
    /// What the system says.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// `NotFound`, and what else the system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Whether a file or folder of that name is there.
    fn exists(&self, path: &Path) -> bool;
    /// Gives a file or folder another name, replacing a file of that name.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name on the same disk: both show the same bytes, and neither is the older one. The name lasts
    /// once its folder is synced, the bytes once the file is, under whichever name.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `CrossesDevices`, and what else the system says.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name; its bytes go with the last one.
    ///
    /// # Errors
    /// What the system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder and all in it; fine if it is not there.
    ///
    /// # Errors
    /// What the system says.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// What the system says; the names are unknown then, and the caller stops.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// How many bytes may still be written to the disk that holds a folder.
    ///
    /// # Errors
    /// `NotFound`, and what else the system says.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// One open file.
#[expect(
    clippy::len_without_is_empty,
    reason = "nobody asks a file whether it is empty"
)]
pub trait DiskFile: Send + Sync {
    /// Fills `buffer` from `position`; returns how many bytes there were (fewer only at the end of the file).
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `position`, extending the file where needed.
    ///
    /// # Errors
    /// `StorageFull`, and what else the system says; any part may have been written.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Makes the file's bytes and length durable (`fdatasync`).
    ///
    /// # Errors
    /// What the system says; what was written since the last sync is unknown then, and the caller stops.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts or extends (with zeros) the file.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;
}

/// The world's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => {
                options.write(true);
            }
            OpenMode::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        Ok(Box::new(SystemFile {
            file: options.open(path)?,
        }))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name().into_string();
            names.push(
                name.map_err(|name| io::Error::other(format!("name {name:?} is not UTF-8")))?,
            );
        }
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(folder)?;
        // What is kept back for the administrator is not ours to fill.
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

struct SystemFile {
    file: File,
}

impl DiskFile for SystemFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self
                .file
                .read_at(&mut buffer[filled..], position + filled as u64)
            {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, position)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_across_the_end_of_a_file_says_how_much_there_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let file = SystemDisk.open(&path, OpenMode::CreateNew).expect("made");
        file.write_at(b"later", 5).expect("written");
        file.write_at(b"first", 0).expect("written");

        let mut buffer = [0; 8];
        assert_eq!(file.read_at(&mut buffer, 4).expect("read"), 6);
        assert_eq!(&buffer[..6], b"tlater");
        assert_eq!(file.read_at(&mut buffer, 10).expect("read"), 0);
    }

    #[test]
    fn two_names_of_a_file_show_the_same_bytes_until_the_last_one_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        let file = SystemDisk.open(&first, OpenMode::CreateNew).expect("made");
        SystemDisk.hard_link(&first, &second).expect("linked");
        file.write_at(b"later", 0).expect("written");
        SystemDisk.remove_file(&first).expect("removed");

        let mut buffer = [0; 8];
        let linked = SystemDisk.open(&second, OpenMode::Read).expect("there");
        assert_eq!(linked.read_at(&mut buffer, 0).expect("read"), 5);
        let taken = SystemDisk.hard_link(&second, &second);
        let taken = taken.expect_err("there is one already");
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_disk_says_how_much_room_it_has() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(0 < SystemDisk.free_bytes(folder.path()).expect("asked"));
        let missing = SystemDisk.free_bytes(&folder.path().join("missing"));
        assert_eq!(
            missing.expect_err("no such folder").kind(),
            ErrorKind::NotFound
        );
    }

    #[test]
    fn the_names_in_a_folder_come_sorted_and_a_missing_folder_is_an_error_only_to_the_reader() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("a/b");
        SystemDisk.create_folder(&inner).expect("made");
        for name in ["2", "10", "1"] {
            SystemDisk
                .open(&inner.join(name), OpenMode::CreateNew)
                .expect("made");
        }
        SystemDisk
            .rename(&inner.join("2"), &inner.join("3"))
            .expect("renamed");
        SystemDisk.sync_folder(&inner).expect("synced");
        assert_eq!(SystemDisk.list(&inner).expect("listed"), ["1", "10", "3"]);

        SystemDisk
            .remove_folder(&folder.path().join("a"))
            .expect("removed");
        SystemDisk
            .remove_folder(&inner)
            .expect("fine when it is not there");
        let listed = SystemDisk.list(&inner).expect_err("gone");
        assert_eq!(listed.kind(), ErrorKind::NotFound);
    }
}
