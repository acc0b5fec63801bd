//! The open files of all partitions: opened when they are used, and closed by age, so that a topic costs descriptors only
//! while it is written or read.
//!
//! A file that is closed keeps its place: the next use opens it again. What was written into it is synced first, since
//! an error that the kernel finds while nobody has the file open may never be told to anybody.
//!
//! A file is not closed under a read or write: each holds the file's own lock for as long as it takes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use journal::disk::{Disk, DiskFile, OpenMode, is_out_of_descriptors};

/// Of so many open files one is closed at once, so that not every use of another one has to look for the oldest.
const CLOSED_SHARE: usize = 16;

/// Opens files for as long as there are places.
pub(super) struct FilePool {
    disk: Arc<dyn Disk>,
    /// At least one: where a limit is lower than what is in use at one moment, the moment wins.
    open_max: usize,
    /// Counts the uses: what was used last is closed last.
    uses: AtomicU64,
    open: Mutex<BTreeMap<u64, Arc<Slot>>>,
    files: AtomicU64,
}

/// A file, open or not.
struct Slot {
    /// Its number in the pool.
    number: u64,
    path: PathBuf,
    file: RwLock<Option<Box<dyn DiskFile>>>,
    last_use: AtomicU64,
    /// Whether something was written since it was last synced.
    unsynced: AtomicBool,
    /// A sync failed before the file was closed. What it should have kept is unknown, and no later sync may say
    /// otherwise.
    sync_failed: AtomicBool,
    /// Its owner has let go of it.
    released: AtomicBool,
}

/// Who needs a place. A reader closes only what is synced: a sync that fails is the writer's to hear of, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Reader,
    Writer,
}

/// One file of a pool. Dropped, it is closed.
pub(super) struct PooledFile {
    pool: Arc<FilePool>,
    slot: Arc<Slot>,
}

impl FilePool {
    /// At most `open_max` files are open at once.
    pub(super) fn new(disk: Arc<dyn Disk>, open_max: usize) -> Arc<Self> {
        Arc::new(Self {
            disk,
            open_max: open_max.max(1),
            uses: AtomicU64::new(0),
            open: Mutex::default(),
            files: AtomicU64::new(0),
        })
    }

    /// Makes an empty file.
    ///
    /// # Errors
    /// As [`Disk::open`].
    pub(super) fn make(self: &Arc<Self>, path: PathBuf) -> io::Result<PooledFile> {
        let file = self.pooled(path);
        file.open(OpenMode::CreateNew, By::Writer)?;
        Ok(file)
    }

    /// A file that is there. It is opened at its first use.
    pub(super) fn pooled(self: &Arc<Self>, path: PathBuf) -> PooledFile {
        let slot = Arc::new(Slot {
            number: self.files.fetch_add(1, Ordering::Relaxed),
            path,
            file: RwLock::default(),
            last_use: AtomicU64::new(0),
            unsynced: AtomicBool::new(false),
            sync_failed: AtomicBool::new(false),
            released: AtomicBool::new(false),
        });
        PooledFile {
            pool: Arc::clone(self),
            slot,
        }
    }

    /// How many files are open.
    pub(super) fn open_files(&self) -> usize {
        self.open().len()
    }

    fn open_file(&self, path: &Path, mode: OpenMode, by: By) -> io::Result<Box<dyn DiskFile>> {
        loop {
            match self.disk.open_at_once(path, mode) {
                // The descriptors are all in use, by others too: ours are given back before anything waits.
                Err(error) if is_out_of_descriptors(&error) => {
                    if self.close_oldest(1, by)? == 0 {
                        return self.disk.open(path, mode);
                    }
                }
                opened => return opened,
            }
        }
    }

    fn make_room(&self, by: By) -> io::Result<()> {
        if let Some(beyond) = self.open_files().checked_sub(self.open_max) {
            self.close_oldest(beyond + self.open_max / CLOSED_SHARE + 1, by)?;
        }
        Ok(())
    }

    /// Closes so many of the files that have not been used for longest; tells how many it could. Those in use stay.
    ///
    /// # Errors
    /// One could not be synced: what was written into it is unknown.
    fn close_oldest(&self, count: usize, by: By) -> io::Result<usize> {
        let oldest = {
            let open = self.open();
            let may_close = |slot: &&Arc<Slot>| by == By::Writer || !slot.is_unsynced();
            let mut slots: Vec<_> = open.values().filter(may_close).cloned().collect();
            if count < slots.len() {
                let last_use = |slot: &Arc<Slot>| slot.last_use.load(Ordering::Relaxed);
                slots.select_nth_unstable_by_key(count, last_use);
                slots.truncate(count);
            }
            slots
        };
        let mut closed = 0;
        for slot in oldest {
            closed += usize::from(slot.close(self, by)?);
        }
        Ok(closed)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Slot>>> {
        // Changed by single inserts and removals, so whole even after a panic.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn is_unsynced(&self) -> bool {
        self.unsynced.load(Ordering::Relaxed)
    }

    /// Closes the file unless it is in use just now, or closed already.
    fn close(&self, pool: &FilePool, by: By) -> io::Result<bool> {
        let Ok(mut file) = self.file.try_write() else {
            return Ok(false);
        };
        // Looked at again: it may have been written meanwhile.
        if by == By::Reader && self.is_unsynced() {
            return Ok(false);
        }
        let Some(open) = file.take() else {
            return Ok(false);
        };
        pool.open().remove(&self.number);
        let is_needed = !self.released.load(Ordering::Relaxed);
        if is_needed && self.unsynced.swap(false, Ordering::Relaxed) {
            open.sync_data().map_err(|error| {
                self.sync_failed.store(true, Ordering::Relaxed);
                let path = self.path.display();
                io::Error::new(
                    error.kind(),
                    format!("sync {path} before it is closed: {error}"),
                )
            })?;
        }
        Ok(true)
    }

    fn file(&self) -> RwLockReadGuard<'_, Option<Box<dyn DiskFile>>> {
        // Replaced as a whole.
        self.file.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn file_mut(&self) -> RwLockWriteGuard<'_, Option<Box<dyn DiskFile>>> {
        self.file.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PooledFile {
    pub(super) fn path(&self) -> &Path {
        &self.slot.path
    }

    /// Reads, or looks at, the file, which is opened first where it is not.
    pub(super) fn with<T>(
        &self,
        act: impl FnOnce(&dyn DiskFile) -> io::Result<T>,
    ) -> io::Result<T> {
        self.act(By::Reader, act)
    }

    fn act<T>(&self, by: By, act: impl FnOnce(&dyn DiskFile) -> io::Result<T>) -> io::Result<T> {
        loop {
            let uses = self.pool.uses.fetch_add(1, Ordering::Relaxed);
            self.slot.last_use.store(uses, Ordering::Relaxed);
            if let Some(file) = &*self.slot.file() {
                return act(&**file);
            }
            self.open(OpenMode::Write, by)?;
        }
    }

    /// Writes at a position. What was written lasts after [`PooledFile::sync`].
    pub(super) fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.act(By::Writer, |file| {
            self.slot.unsynced.store(true, Ordering::Relaxed);
            file.write_at(bytes, position)
        })
    }

    /// Makes everything that was written durable.
    ///
    /// # Errors
    /// What the system says, now or when the file was closed meanwhile.
    pub(super) fn sync(&self) -> io::Result<()> {
        let synced = self.act(By::Writer, |file| {
            self.slot.unsynced.store(false, Ordering::Relaxed);
            file.sync_data()
        });
        if self.slot.sync_failed.load(Ordering::Relaxed) {
            let message = "an earlier sync of this file failed";
            return synced.and(Err(io::Error::other(message)));
        }
        synced
    }

    fn open(&self, mode: OpenMode, by: By) -> io::Result<()> {
        let mut file = self.slot.file_mut();
        if file.is_some() {
            return Ok(());
        }
        self.pool.make_room(by)?;
        *file = Some(self.pool.open_file(&self.slot.path, mode, by)?);
        let slot = Arc::clone(&self.slot);
        self.pool.open().insert(slot.number, slot);
        Ok(())
    }
}

impl Drop for PooledFile {
    fn drop(&mut self) {
        self.slot.released.store(true, Ordering::Relaxed);
        // Nothing of it is synced any more, so nothing can fail.
        self.slot.close(&self.pool, By::Writer).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use journal::sim_disk::{Fault, Operation, SimDisk};

    fn paths() -> impl Iterator<Item = PathBuf> {
        (0..).map(|number| PathBuf::from(format!("/data/{number}")))
    }

    fn pool_of(disk: &SimDisk, open_max: usize) -> Arc<FilePool> {
        disk.create_folder(Path::new("/data")).expect("made");
        FilePool::new(Arc::new(disk.clone()), open_max)
    }

    fn read(file: &PooledFile) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        let count = file.with(|file| file.read_at(&mut bytes, 0)).expect("read");
        bytes.truncate(count);
        bytes
    }

    #[test]
    fn more_files_than_may_be_open_are_written_and_read_all_the_same() {
        let disk = SimDisk::with_seed(1);
        let pool = pool_of(&disk, 4);
        let files: Vec<_> = paths()
            .take(20)
            .map(|path| pool.make(path).expect("made"))
            .collect();
        for round in 0..3_u8 {
            for (number, file) in (0_u8..).zip(&files) {
                file.write_at(&[number, round], 0).expect("written");
                assert!(pool.open_files() <= 4);
            }
        }
        for (number, file) in (0_u8..).zip(&files) {
            assert_eq!(read(file), [number, 2]);
        }
        drop(files);
        assert_eq!(pool.open_files(), 0);
    }

    #[test]
    fn what_was_used_last_is_closed_last() {
        let disk = SimDisk::with_seed(1);
        let pool = pool_of(&disk, 2);
        let mut made = paths().map(|path| pool.make(path).expect("made"));
        let [first, second] = [made.next().expect("a path"), made.next().expect("a path")];
        read(&first);
        let third = made.next().expect("a path");
        let is_open = |file: &PooledFile| file.slot.file().is_some();
        assert_eq!([&first, &second, &third].map(is_open), [true, false, true]);
    }

    #[test]
    fn a_sync_that_fails_before_a_file_is_closed_is_told_at_once_and_by_every_later_sync() {
        let disk = SimDisk::with_seed(1);
        let pool = pool_of(&disk, 1);
        let mut paths = paths();
        let mut make = || pool.make(paths.next().expect("a path"));
        let first = make().expect("made");
        first.write_at(b"bytes", 0).expect("written");
        disk.inject(|call| {
            (call.operation == Operation::SyncFile).then_some(Fault::Fails(ErrorKind::Other))
        });
        assert!(make().is_err(), "what the first one wrote may be lost");
        disk.heal();
        assert!(first.sync().is_err(), "and stays so");
    }

    #[test]
    fn a_reader_closes_only_what_is_synced() {
        let disk = SimDisk::with_seed(1);
        let pool = pool_of(&disk, 2);
        let mut made = paths().map(|path| pool.make(path).expect("made"));
        let [first, second] = [made.next().expect("a path"), made.next().expect("a path")];
        first.write_at(b"bytes", 0).expect("written");
        let third = made.next().expect("a path");
        third.write_at(b"bytes", 0).expect("written");
        disk.inject(|call| {
            (call.operation == Operation::SyncFile).then_some(Fault::Fails(ErrorKind::Other))
        });
        for file in [&first, &second, &third, &first, &second] {
            file.with(|file| file.len()).expect("no sync is needed");
        }
    }
}
