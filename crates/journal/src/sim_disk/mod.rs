//! A disk in memory that keeps its promises to the letter and nothing beyond them.
//!
//! What a process sees is the page cache: every write and every name at once. What a power cut leaves is what was synced,
//! and of the rest whatever chance decides: each unsynced write is kept, lost, or torn between its sectors; each unsynced
//! name, rename or removal is kept or lost; in any combination. A sector is written whole or not at all.
//!
//! The power can be cut at any chosen operation. From then on every operation fails, until [`SimDisk::reboot`], and files
//! opened before the cut fail for ever.
//!
//! ```
//! # use std::path::Path;
//! use journal::disk::{Disk, OpenMode};
//! use journal::sim_disk::SimDisk;
//!
//! let disk = SimDisk::with_seed(7);
//! let file = disk.open(Path::new("/note"), OpenMode::CreateNew)?;
//! file.write_at(b"kept", 0)?;
//! file.sync_data()?;
//! disk.sync_folder(Path::new("/"))?;
//! file.write_at(b"perhaps", 4)?;
//!
//! disk.crash();
//! disk.reboot();
//!
//! assert!(disk.file(Path::new("/note")).expect("synced").starts_with(b"kept"));
//! # Ok::<(), std::io::Error>(())
//! ```

mod content;
mod fault;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use self::content::Content;
use self::fault::Roughness;
use self::names::{FileId, Names};
use crate::disk::{Disk, DiskFile, OpenMode};

/// The simulated twin of [`crate::disk::SystemDisk`]. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
}

/// One call, as a fault sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskCall<'a> {
    /// What is asked.
    pub operation: Operation,
    /// Of which file or folder.
    pub path: &'a Path,
}

/// The kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Bytes of a file are read.
    Read,
    /// A file is made.
    Create,
    /// A folder is made.
    CreateFolder,
    /// Bytes are written into a file.
    Write,
    /// A file gets another length.
    SetLen,
    /// A file's bytes are made durable.
    SyncFile,
    /// A folder's names are made durable.
    SyncFolder,
    /// A name is changed; the call's path is the new one.
    Rename,
    /// A file gets a second name; the call's path is the new one.
    Link,
    /// A file or folder is removed.
    Remove,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It says that it was done, and was not.
    Ignored,
    /// It fails; a write may have got half way, and what a failed sync should have kept is out of anybody's hands.
    Fails(ErrorKind),
    /// A read ends before the end of the file.
    Short,
}

type Faults = Box<dyn FnMut(&DiskCall<'_>) -> Option<Fault> + Send>;

struct World {
    chance: ChaCha8Rng,
    names: Names,
    files: BTreeMap<FileId, Content>,
    power: bool,
    /// Counts the boots, so that a file of an earlier one is known.
    boot: u64,
    operations: u64,
    crash_at: Option<u64>,
    capacity_bytes: Option<u64>,
    faults: Option<Faults>,
}

impl SimDisk {
    /// An empty disk, all of whose chance comes from `seed`.
    pub fn with_seed(seed: u64) -> Self {
        let world = World {
            chance: ChaCha8Rng::seed_from_u64(seed),
            names: Names::default(),
            files: BTreeMap::new(),
            power: true,
            boot: 0,
            operations: 0,
            crash_at: None,
            capacity_bytes: None,
            faults: None,
        };
        Self {
            world: Arc::new(Mutex::new(world)),
        }
    }

    /// How many operations have changed something (reads are not counted).
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// Cuts the power in the middle of the changing operation with this number; see [`Self::operations`].
    pub fn crash_at(&self, operation: u64) {
        self.world().crash_at = Some(operation);
    }

    /// Cuts the power now.
    pub fn crash(&self) {
        self.world().cut_power();
    }

    /// Ends the process, not the machine: open files are gone, every write stays.
    pub fn kill(&self) {
        self.world().boot += 1;
    }

    /// Whether the power is off.
    pub fn is_down(&self) -> bool {
        !self.world().power
    }

    /// Gives the power back.
    pub fn reboot(&self) {
        let mut world = self.world();
        world.power = true;
        world.boot += 1;
        world.crash_at = None;
    }

    /// Asks `faults` before each call whether something goes wrong with it. Replaces what was set before.
    pub fn inject(&self, faults: impl FnMut(&DiskCall<'_>) -> Option<Fault> + Send + 'static) {
        self.world().faults = Some(Box::new(faults));
    }

    /// Ends what [`Self::inject`] began.
    pub fn heal(&self) {
        self.world().faults = None;
    }

    /// Lets writes that would make all files together larger than this fail with `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.world().capacity_bytes = bytes;
    }

    /// Flips one bit, in the cache and on the plate.
    ///
    /// # Panics
    /// When there is no such file or byte.
    pub fn flip_bit(&self, path: &Path, byte: usize, bit: u8) {
        let mut world = self.world();
        let file = world.names.file(path).expect("the file is there");
        world
            .files
            .get_mut(&file)
            .expect("named files have content")
            .flip_bit(byte, bit);
    }

    /// Cuts a file short behind everybody's back.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn truncate(&self, path: &Path, len: usize) {
        let mut world = self.world();
        let file = world.names.file(path).expect("the file is there");
        world
            .files
            .get_mut(&file)
            .expect("named files have content")
            .truncate(len);
    }

    /// What a process would read in the file.
    pub fn file(&self, path: &Path) -> Option<Vec<u8>> {
        let world = self.world();
        let file = world.names.file(path)?;
        Some(world.files[&file].cached().to_vec())
    }

    /// All files that a process would see, with what it would read in them.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = self.world();
        let content = |(path, file)| (path, world.files[&file].cached().to_vec());
        world.names.files().into_iter().map(content).collect()
    }

    /// Another disk with the same files, all of them synced, and chance of its own: for trying out damage.
    pub fn copy(&self, seed: u64) -> Self {
        let copy = Self::with_seed(seed);
        {
            let from = self.world();
            let mut to = copy.world();
            // Files are named by the operation that made them.
            to.operations = from.operations;
            to.names = from.names.settled();
            to.files = from
                .files
                .iter()
                .map(|(&file, content)| (file, content.settled()))
                .collect();
        }
        copy
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A test that panicked with the lock held has failed already; its helpers may still look.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let world = self.world();
        f.debug_struct("SimDisk")
            .field("operations", &world.operations)
            .field("power", &world.power)
            .finish_non_exhaustive()
    }
}

impl World {
    /// Performs one changing call: counts it, lets the faults have their say, and cuts the power if its time has come.
    fn change(
        &mut self,
        operation: Operation,
        path: &Path,
        perform: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        self.needs_power()?;
        self.operations += 1;
        let last = self.crash_at == Some(self.operations);
        let syncs = matches!(operation, Operation::SyncFile | Operation::SyncFolder);
        let fault = self.fault(operation, path);
        let result = match fault {
            Some(Fault::Ignored) => Ok(()),
            Some(Fault::Fails(kind)) => Err(kind.into()),
            // A sync that the power cut interrupts has kept any part of what it should: what the cut decides anyway.
            Some(Fault::Short) | None if last && syncs => Ok(()),
            Some(Fault::Short) | None => perform(self),
        };
        if last {
            self.cut_power();
            return Err(machine_is_down());
        }
        result
    }

    fn fault(&mut self, operation: Operation, path: &Path) -> Option<Fault> {
        self.faults
            .as_mut()
            .and_then(|faults| faults(&DiskCall { operation, path }))
    }

    fn needs_power(&self) -> io::Result<()> {
        if self.power {
            Ok(())
        } else {
            Err(machine_is_down())
        }
    }

    fn cut_power(&mut self) {
        self.power = false;
        self.crash_at = None;
        let roughness = Roughness::draw(&mut self.chance);
        self.names.lose_unsynced(&mut self.chance, roughness);
        let named = self.named_files();
        self.files.retain(|file, _| named.contains(file));
        for content in self.files.values_mut() {
            content.lose_unsynced(&mut self.chance, roughness);
        }
    }

    fn create(&mut self, path: &Path) -> io::Result<()> {
        let file = FileId(self.operations);
        self.names.create_file(path, file)?;
        self.files.insert(file, Content::default());
        Ok(())
    }

    /// A file with two names takes its room once.
    fn used_bytes(&self) -> u64 {
        let named = self.named_files();
        named.iter().map(|file| self.files[file].len()).sum()
    }

    fn named_files(&self) -> BTreeSet<FileId> {
        self.names
            .files()
            .into_iter()
            .map(|(_, file)| file)
            .collect()
    }

    fn needs_room(&self, file: FileId, len: u64) -> io::Result<()> {
        let Some(capacity) = self.capacity_bytes else {
            return Ok(());
        };
        let used = self.used_bytes();
        let more = len.saturating_sub(self.files[&file].len());
        if used + more <= capacity {
            Ok(())
        } else {
            Err(ErrorKind::StorageFull.into())
        }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        world.needs_power()?;
        if mode == OpenMode::CreateNew {
            world.change(Operation::Create, path, |world| world.create(path))?;
        }
        let file = world.names.file(path).ok_or(ErrorKind::NotFound)?;
        let handle = SimFile {
            disk: self.clone(),
            path: path.to_owned(),
            file,
            boot: world.boot,
            mode,
        };
        Ok(Box::new(handle))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        let missing: Vec<&Path> = path
            .ancestors()
            .filter(|folder| !world.names.is_folder(folder))
            .collect();
        for folder in missing.into_iter().rev() {
            world.change(Operation::CreateFolder, folder, |world| {
                world.names.create_folder(folder)
            })?;
        }
        world.needs_power()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        world.needs_power()?;
        if !world.names.is_folder(folder) {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(world.names.inside(folder))
    }

    fn exists(&self, path: &Path) -> bool {
        let world = self.world();
        world.power && (world.names.is_folder(path) || world.names.file(path).is_some())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.world()
            .change(Operation::Rename, to, |world| world.names.rename(from, to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.world()
            .change(Operation::Link, to, |world| world.names.link(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.world().change(Operation::Remove, path, |world| {
            world.names.remove_file(path)
        })
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.world().change(Operation::Remove, path, |world| {
            world.names.remove_folder(path);
            Ok(())
        })
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        if world.power && !world.names.is_folder(path) {
            return Err(ErrorKind::NotFound.into());
        }
        world.change(Operation::SyncFolder, path, |world| {
            world.names.sync_folder(path);
            Ok(())
        })
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let world = self.world();
        world.needs_power()?;
        if !world.names.is_folder(folder) {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(world.capacity_bytes.map_or(u64::MAX, |capacity| {
            capacity.saturating_sub(world.used_bytes())
        }))
    }
}

struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    file: FileId,
    boot: u64,
    mode: OpenMode,
}

impl SimFile {
    fn world(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.disk.world();
        world.needs_power()?;
        if world.boot == self.boot {
            return Ok(world);
        }
        Err(io::Error::other(
            "the file was opened before the machine went down",
        ))
    }

    fn change(
        &self,
        operation: Operation,
        perform: impl FnOnce(&mut World) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.mode == OpenMode::Read && operation != Operation::SyncFile {
            return Err(ErrorKind::PermissionDenied.into());
        }
        self.world()?.change(operation, &self.path, perform)
    }
}

impl World {
    fn content(&mut self, file: FileId) -> &mut Content {
        self.files
            .get_mut(&file)
            .expect("content outlives the names until a power cut, and the handles do not")
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut world = self.world()?;
        let short = match world.fault(Operation::Read, &self.path) {
            Some(Fault::Fails(kind)) => return Err(kind.into()),
            Some(Fault::Short) => true,
            Some(Fault::Ignored) | None => false,
        };
        let count = world.content(self.file).read_at(buffer, position);
        Ok(if short { count / 2 } else { count })
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.change(Operation::Write, |world| {
            world.needs_room(self.file, position + bytes.len() as u64)?;
            world.content(self.file).write_at(bytes, position);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let result = self.change(Operation::SyncFile, |world| {
            world.content(self.file).sync();
            Ok(())
        });
        if result.is_err() {
            self.forget_what_the_sync_was_for();
        }
        result
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Operation::SetLen, |world| {
            world.needs_room(self.file, len)?;
            world.content(self.file).set_len(len);
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.world()?.content(self.file).len())
    }
}

impl SimFile {
    /// After a failed sync the kernel takes its dirty pages for clean (fsyncgate): some got to the plate, the others
    /// never will, and a second sync would say that all is well.
    fn forget_what_the_sync_was_for(&self) {
        let Ok(mut world) = self.world() else {
            return;
        };
        let World { chance, files, .. } = &mut *world;
        if let Some(content) = files.get_mut(&self.file) {
            content.write_some_back(chance, Roughness::EVEN);
        }
    }
}

fn machine_is_down() -> io::Error {
    io::Error::other("the machine is down")
}

#[cfg(test)]
mod tests;
