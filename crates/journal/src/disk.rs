//! The seam to files. The world's disk is here; the simulated one, which loses and tears what was not synced,
//! lives in `testing/`.
//!
//! Positional I/O only. A write is durable after `sync_data` of its file; a new, renamed or removed name is durable
//! after `sync_folder` of its folder. Whoever gets an error from a sync must not try again: the kernel may have
//! dropped the pages (fsyncgate), so the bytes are unknown.
//!
//! Folders are made for their owner alone (0700), and so are files (0600): a call says where a person needs help.
//!
//! A process that has no descriptor left is no broken disk. What needs one waits for it; a few are held back for that,
//! so that what clients take of the process's descriptors does not stop the log.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use rustix::io::{DupFlags, Errno, dup3};

/// What a new folder allows: everything to its owner, nothing to others.
const FOLDER_MODE: u32 = 0o700;
/// What a new file allows: its owner to read and write.
const FILE_MODE: u32 = 0o600;
/// Descriptors held back for files. The journal's next file takes one; a checkpoint, a snapshot and the folders that are
/// synced take one each, for a moment.
const SPARE_DESCRIPTORS: usize = 9;
/// Wait before a descriptor is asked for again.
const DESCRIPTOR_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// Waits between two warnings: about every ten seconds.
const WAITS_A_WARNING: u32 = 500;

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
    /// The same, but does not wait where the process has no descriptor left: for a caller that can give one back.
    ///
    /// # Errors
    /// As [`Disk::open`], and what [`is_out_of_descriptors`] recognises.
    fn open_at_once(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        self.open(path, mode)
    }
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

/// Whether the process, or the machine, has no descriptor left: nothing is wrong with the file.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| matches!(errno, Errno::MFILE | Errno::NFILE))
}

/// Makes what is in a folder its owner's alone; says whether it was not. For a folder that an older version, or the
/// operator, has made: what was widened on purpose can be widened again, what was never meant to be is closed.
///
/// # Errors
/// What the system says, such as that the folder is another user's.
pub fn make_private(folder: &Path) -> io::Result<bool> {
    let mode = fs::metadata(folder)?.mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(false);
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(mode & !0o077))?;
    Ok(true)
}

/// The world's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

/// Held open for when there is none left. As the process's descriptors are one table, so these are one list.
static SPARES: Mutex<Vec<File>> = Mutex::new(Vec::new());

fn spares() -> MutexGuard<'static, Vec<File>> {
    // Changed by single pushes and pops, so whole even after a panic.
    SPARES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes a file, or keeps its descriptor where spare ones are missing: given back to the process it might be a client's
/// by the time it is needed. What it names is let go of either way, so that a removed file takes no room.
fn close(file: File) {
    let mut spares = spares();
    if SPARE_DESCRIPTORS <= spares.len() {
        return;
    }
    let Some(nothing) = spares.first() else {
        // Without one that names nothing there is none to copy.
        drop(file);
        return;
    };
    let mut descriptor = OwnedFd::from(file);
    if dup3(nothing, &mut descriptor, DupFlags::CLOEXEC).is_ok() {
        spares.push(File::from(descriptor));
    }
}

/// Takes spare descriptors until there are enough, or none is left.
fn take_spares() {
    let mut spares = spares();
    while spares.len() < SPARE_DESCRIPTORS {
        let Ok(spare) = File::open("/dev/null") else {
            return;
        };
        spares.push(spare);
    }
}

/// The last one stays: it is what a closed file's descriptor is made a copy of.
fn give_up_spare() -> bool {
    let mut spares = spares();
    1 < spares.len() && spares.pop().is_some()
}

/// Does what needs a descriptor for a moment or longer. Where there is none it gives up a spare one, then waits.
fn with_descriptor<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    take_spares();
    let mut waits = 0_u32;
    loop {
        match act() {
            Err(error) if is_out_of_descriptors(&error) => {
                if give_up_spare() {
                    continue;
                }
                if waits.is_multiple_of(WAITS_A_WARNING) {
                    tracing::warn!(
                        error = &error as &(dyn std::error::Error + 'static),
                        "no descriptor is left for a file: waiting for one"
                    );
                }
                waits = waits.saturating_add(1);
                sleep(DESCRIPTOR_AGAIN_AFTER);
            }
            done => {
                take_spares();
                return done;
            }
        }
    }
}

impl Disk for SystemDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        with_descriptor(|| self.open_at_once(path, mode))
    }

    fn open_at_once(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).mode(FILE_MODE);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => {
                options.write(true);
            }
            OpenMode::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        let file = Some(options.open(path)?);
        Ok(Box::new(SystemFile { file }))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in with_descriptor(|| fs::read_dir(folder))? {
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
        match with_descriptor(|| fs::remove_dir_all(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let folder = with_descriptor(|| File::open(path))?;
        let synced = folder.sync_all();
        close(folder);
        synced
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(folder)?;
        // What is kept back for the administrator is not ours to fill.
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

struct SystemFile {
    /// None once it is dropped.
    file: Option<File>,
}

impl SystemFile {
    fn file(&self) -> &File {
        self.file.as_ref().expect("there until it is dropped")
    }
}

impl Drop for SystemFile {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            close(file);
        }
    }
}

impl DiskFile for SystemFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self
                .file()
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
        self.file().write_all_at(bytes, position)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file().sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file().set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file().metadata()?.len())
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
    fn what_is_made_is_its_owners_alone_and_an_older_folder_becomes_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let (inner, path) = (folder.path().join("a/b"), folder.path().join("a/b/file"));
        SystemDisk.create_folder(&inner).expect("made");
        drop(SystemDisk.open(&path, OpenMode::CreateNew).expect("made"));
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!((mode(&inner), mode(&path)), (0o700, 0o600));
        assert_eq!(mode(&folder.path().join("a")), 0o700, "the ones above too");
        assert!(!make_private(&inner).expect("looked at"));

        let wide = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&inner, wide).expect("widened");
        assert!(make_private(&inner).expect("closed"));
        assert_eq!(mode(&inner), 0o700);
    }

    #[test]
    fn what_finds_no_descriptor_takes_the_spare_ones_and_then_waits() {
        let mut refusals = SPARE_DESCRIPTORS + 2;
        let done = with_descriptor(|| {
            if refusals == 0 {
                return Ok("done");
            }
            refusals -= 1;
            Err(io::Error::from(Errno::MFILE))
        });
        assert_eq!(done.expect("in the end"), "done");

        let missing = with_descriptor(|| Err::<(), _>(ErrorKind::NotFound.into()));
        let missing = missing.expect_err("another error is told");
        assert_eq!(missing.kind(), ErrorKind::NotFound);
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
