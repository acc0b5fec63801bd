//! The outbox's files, held before they are needed: it works on a disk that something else has filled, and in a process
//! that has no descriptor left.
//!
//! A [`Disk`] that keeps spare segments, allocated and open. Where the journal makes a file for its next segment, it gets
//! a spare under that name; a segment that the journal is done with becomes a spare again. What a spare holds does not
//! matter: the journal fills each new segment with zeros before it counts. Folders that are synced stay open too.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use journal::{
    JournalConfig,
    disk::{Disk, DiskFile, OpenMode, SystemDisk},
};
use service_kit::error_value;
use tracing::warn;

/// How the journal calls a segment that is being made.
const UNFINISHED: &str = ".journal.new";
const SEGMENT: &str = ".journal";

pub(super) struct ReservedDisk {
    disk: SystemDisk,
    folder: PathBuf,
    file_bytes: u64,
    files_max: usize,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    spares: Vec<SpareFile>,
    next_number: u64,
    /// Files of the journal that are open here, by their present names.
    held: BTreeMap<PathBuf, HeldFile>,
    folders: BTreeMap<PathBuf, File>,
}

struct SpareFile {
    path: PathBuf,
    file: HeldFile,
}

impl ReservedDisk {
    /// Takes over the spares of an earlier run and makes those that are missing. A disk without room for them is no
    /// reason not to start: what is there is used.
    pub(super) fn open(folder: &Path, sizes: JournalConfig, reserve_bytes: u64) -> Self {
        let file_bytes = u64::from(sizes.segment_bytes);
        let reserved = Self {
            disk: SystemDisk,
            folder: folder.to_owned(),
            file_bytes,
            files_max: usize::try_from(reserve_bytes / file_bytes).unwrap_or(usize::MAX),
            pool: Mutex::default(),
        };
        if let Err(error) = reserved
            .take_over_spares()
            .and_then(|()| reserved.allocate_missing())
        {
            warn!(
                error = error_value(&error),
                reserve_bytes,
                "the outbox could not reserve its part of the disk: on a full disk calls may be refused"
            );
        }
        reserved
    }

    fn take_over_spares(&self) -> io::Result<()> {
        let mut pool = self.pool();
        self.disk.create_folder(&self.folder)?;
        for name in self.disk.list(&self.folder)? {
            let path = self.folder.join(&name);
            let number = name
                .strip_prefix("spare-")
                .and_then(|number| number.parse().ok());
            let file = self.disk.open(&path, OpenMode::Write)?;
            if pool.spares.len() == self.files_max || file.len()? != self.file_bytes {
                drop(file);
                self.disk.remove_file(&path)?;
                continue;
            }
            pool.next_number = pool.next_number.max(number.unwrap_or(0) + 1);
            let file = HeldFile::new(file);
            pool.spares.push(SpareFile { path, file });
        }
        Ok(())
    }

    fn allocate_missing(&self) -> io::Result<()> {
        let mut pool = self.pool();
        while pool.spares.len() < self.files_max {
            let path = self.spare_path(&mut pool);
            allocate(&path, self.file_bytes).inspect_err(|_| {
                // A part of a spare is none.
                drop(self.disk.remove_file(&path));
            })?;
            let file = HeldFile::new(self.disk.open(&path, OpenMode::Write)?);
            pool.spares.push(SpareFile { path, file });
        }
        record_metrics(&pool, self.file_bytes);
        Ok(())
    }

    fn spare_path(&self, pool: &mut Pool) -> PathBuf {
        let number = pool.next_number;
        pool.next_number += 1;
        self.folder.join(format!("spare-{number}"))
    }

    /// Gives a spare the name of a file that is being made.
    fn take_spare(&self, pool: &mut Pool, path: &Path) -> Option<HeldFile> {
        if self.disk.exists(path) {
            return None;
        }
        let SpareFile { path: spare, file } = pool.spares.pop()?;
        // The old name is gone for good before the file counts under its new one.
        let renamed = self.disk.rename(&spare, path);
        if renamed
            .and_then(|()| sync(&mut pool.folders, &self.folder))
            .is_err()
        {
            return None;
        }
        pool.held.insert(path.to_owned(), file.clone());
        record_metrics(pool, self.file_bytes);
        Some(file)
    }

    /// Makes a segment that is not needed any more a spare. False: it is to be removed.
    fn keep_as_spare(&self, pool: &mut Pool, path: &Path) -> bool {
        let file = match pool.held.remove(path) {
            Some(file) => file,
            None => match self.disk.open(path, OpenMode::Write) {
                Ok(file) => HeldFile::new(file),
                Err(_) => return false,
            },
        };
        // A file whose sync failed is not written again, whatever for.
        let fits = !file.has_failed() && file.len().is_ok_and(|bytes| bytes == self.file_bytes);
        if !fits || self.files_max <= pool.spares.len() {
            return false;
        }
        let spare = self.spare_path(pool);
        if self.disk.rename(path, &spare).is_err() {
            return false;
        }
        pool.spares.push(SpareFile { path: spare, file });
        record_metrics(pool, self.file_bytes);
        true
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().expect("no holder of this lock panics")
    }
}

impl Disk for ReservedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut pool = self.pool();
        let held = match mode {
            OpenMode::CreateNew if ends_with(path, UNFINISHED) => self.take_spare(&mut pool, path),
            OpenMode::Write | OpenMode::Read => pool.held.get(path).cloned(),
            OpenMode::CreateNew => None,
        };
        match held {
            Some(file) => Ok(Box::new(file)),
            None => self.disk.open(path, mode),
        }
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.create_folder(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }

    fn exists(&self, path: &Path) -> bool {
        self.disk.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)?;
        let mut pool = self.pool();
        if let Some(file) = pool.held.remove(from) {
            pool.held.insert(to.to_owned(), file);
        }
        // A folder that got another name takes its files along; they are opened anew there.
        pool.held.retain(|path, _| !path.starts_with(from));
        pool.folders.retain(|path, _| !path.starts_with(from));
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut pool = self.pool();
        let ours = ends_with(path, SEGMENT) || ends_with(path, UNFINISHED);
        if ours && self.keep_as_spare(&mut pool, path) {
            return Ok(());
        }
        pool.held.remove(path);
        self.disk.remove_file(path)
    }

    /// Its files are not used again: the journal in it may have failed.
    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut pool = self.pool();
        pool.held.retain(|held, _| !held.starts_with(path));
        pool.folders.retain(|held, _| !held.starts_with(path));
        drop(pool);
        self.disk.remove_folder(path)?;
        // Best effort, as at the start: the next removal tries again.
        drop(self.allocate_missing());
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        sync(&mut self.pool().folders, path)
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        self.disk.free_bytes(folder)
    }
}

/// A file that stays open however often it is opened and closed.
#[derive(Clone)]
struct HeldFile {
    file: Arc<dyn DiskFile>,
    failed: Arc<AtomicBool>,
}

impl HeldFile {
    fn new(file: Box<dyn DiskFile>) -> Self {
        Self {
            file: Arc::from(file),
            failed: Arc::default(),
        }
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

impl DiskFile for HeldFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.file.write_at(bytes, position)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file
            .sync_data()
            .inspect_err(|_| self.failed.store(true, Ordering::Relaxed))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

/// Makes a file whose bytes the disk has set aside.
fn allocate(path: &Path, bytes: u64) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => write_zeros(&file, bytes),
        Err(error) => Err(error.into()),
    }
}

fn write_zeros(mut file: &File, bytes: u64) -> io::Result<()> {
    let mut zeros = io::Read::take(io::repeat(0), bytes);
    io::copy(&mut zeros, &mut file).map(drop)
}

/// Makes the names in a folder durable, and keeps it open.
fn sync(folders: &mut BTreeMap<PathBuf, File>, path: &Path) -> io::Result<()> {
    if !folders.contains_key(path) {
        folders.insert(path.to_owned(), File::open(path)?);
    }
    folders[path].sync_all()
}

fn ends_with(path: &Path, ending: &str) -> bool {
    path.to_str().is_some_and(|path| path.ends_with(ending))
}

fn record_metrics(pool: &Pool, file_bytes: u64) {
    let reserved = pool.spares.len() as u64 * file_bytes;
    metrics::gauge!("producer_api_outbox_reserved_bytes").set(reserved as f64);
}
