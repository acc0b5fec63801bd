//! The names on a simulated disk: as a process sees them, as they are on the plate, and the changes in between.
//!
//! A folder is more than its path: renamed, it takes along what lies in it, synced or not; removed, it takes away even
//! the names whose removal was not synced; and another one under its old path has nothing to do with it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use rand::Rng;

use super::fault::{Roughness, UnsyncedWrite};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(pub(super) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FolderId(u64);

const ROOT: FolderId = FolderId(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    File(FileId),
    Folder(FolderId),
}

/// The names in each folder, also in those that no path leads to yet or any more.
type Folders = BTreeMap<FolderId, BTreeMap<String, Node>>;

#[derive(Clone, Debug)]
pub(super) struct Names {
    cached: Folders,
    durable: Folders,
    /// Oldest first.
    unsynced: Vec<Change>,
    folders_made: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct DirectoryEntry {
    folder: FolderId,
    name: String,
}

#[derive(Clone, Debug)]
enum Change {
    Put {
        at: DirectoryEntry,
        node: Node,
    },
    Move {
        from: DirectoryEntry,
        to: DirectoryEntry,
        node: Node,
    },
    Remove {
        at: DirectoryEntry,
    },
}

impl Default for Names {
    fn default() -> Self {
        let root = Folders::from([(ROOT, BTreeMap::new())]);
        Self {
            cached: root.clone(),
            durable: root,
            unsynced: Vec::new(),
            folders_made: 0,
        }
    }
}

impl Names {
    pub(super) fn file(&self, path: &Path) -> Option<FileId> {
        match self.node(path) {
            Some(Node::File(file)) => Some(file),
            Some(Node::Folder(_)) | None => None,
        }
    }

    pub(super) fn is_folder(&self, path: &Path) -> bool {
        self.folder(path).is_some()
    }

    /// All files that a path leads to, in the order of the paths; one with two names comes twice.
    pub(super) fn files(&self) -> Vec<(PathBuf, FileId)> {
        let nodes = below(&self.cached, Path::new("/"), ROOT).into_iter();
        nodes
            .filter_map(|(path, _, node)| match node {
                Node::File(file) => Some((path, file)),
                Node::Folder(_) => None,
            })
            .collect()
    }

    /// The names right inside a folder, sorted.
    pub(super) fn inside(&self, folder: &Path) -> Vec<String> {
        let folder = self.folder(folder);
        folder.map_or_else(Vec::new, |folder| {
            self.cached[&folder].keys().cloned().collect()
        })
    }

    pub(super) fn create_file(&mut self, path: &Path, file: FileId) -> io::Result<()> {
        self.put(path, Node::File(file))
    }

    pub(super) fn create_folder(&mut self, path: &Path) -> io::Result<()> {
        self.folders_made += 1;
        let folder = FolderId(self.folders_made);
        self.put(path, Node::Folder(folder))?;
        self.cached.insert(folder, BTreeMap::new());
        self.durable.insert(folder, BTreeMap::new());
        Ok(())
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.file(from).ok_or(ErrorKind::NotFound)?;
        self.put(to, Node::File(file))
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.node(from).ok_or(ErrorKind::NotFound)?;
        let places = (self.place(from)?, self.place(to)?);
        match self.node(to) {
            // POSIX: two names of one file both stay.
            Some(there) if there == node => return Ok(()),
            Some(Node::Folder(_)) => return Err(ErrorKind::AlreadyExists.into()),
            Some(Node::File(_)) | None => {}
        }
        let (from, to) = places;
        self.change(Change::Move { from, to, node });
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.file(path).ok_or(ErrorKind::NotFound)?;
        let at = self.place(path)?;
        self.change(Change::Remove { at });
        Ok(())
    }

    /// A folder goes name by name, as on any real disk: a power cut may leave some of them.
    pub(super) fn remove_folder(&mut self, path: &Path) {
        let (Some(folder), Ok(at)) = (self.folder(path), self.place(path)) else {
            return;
        };
        let inner = below(&self.cached, path, folder).into_iter().rev();
        for (_, at, _) in inner {
            self.change(Change::Remove { at });
        }
        self.change(Change::Remove { at });
    }

    pub(super) fn sync_folder(&mut self, path: &Path) {
        let folder = self.folder(path);
        let mut later = Vec::with_capacity(self.unsynced.len());
        for change in self.unsynced.drain(..) {
            if Some(change.folder()) != folder {
                later.push(change);
                continue;
            }
            if let Change::Move { from, .. } = &change {
                // Nothing that happened under the old name before is to come back there.
                later.retain(|older: &Change| older.at() != from);
            }
            change.apply_to(&mut self.durable);
        }
        self.unsynced = later;
    }

    /// The power is cut: of the unsynced changes, chance keeps what it likes.
    pub(super) fn lose_unsynced(&mut self, chance: &mut impl Rng, roughness: Roughness) {
        for change in self.unsynced.drain(..) {
            // A name is there or not: nothing to tear.
            if roughness.unsynced_write(chance) == UnsyncedWrite::Kept {
                change.apply_to(&mut self.durable);
            }
        }
        drop_what_hangs_in_the_air(&mut self.durable);
        self.cached.clone_from(&self.durable);
    }

    /// The same names, all of them on the plate.
    pub(super) fn settled(&self) -> Self {
        Self {
            cached: self.cached.clone(),
            durable: self.cached.clone(),
            unsynced: Vec::new(),
            folders_made: self.folders_made,
        }
    }

    fn put(&mut self, path: &Path, node: Node) -> io::Result<()> {
        if self.node(path).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let at = self.place(path)?;
        self.change(Change::Put { at, node });
        Ok(())
    }

    fn change(&mut self, change: Change) {
        change.apply_to(&mut self.cached);
        self.unsynced.push(change);
    }

    /// Where a path's last name is, or would be.
    fn place(&self, path: &Path) -> io::Result<DirectoryEntry> {
        let parent = path.parent().ok_or(ErrorKind::InvalidInput)?;
        let folder = self.folder(parent).ok_or(ErrorKind::NotFound)?;
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        let name = name.to_string_lossy().into_owned();
        Ok(DirectoryEntry { folder, name })
    }

    fn folder(&self, path: &Path) -> Option<FolderId> {
        match self.node(path) {
            Some(Node::Folder(folder)) => Some(folder),
            Some(Node::File(_)) | None => None,
        }
    }

    fn node(&self, path: &Path) -> Option<Node> {
        let mut names = path.components().filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy()),
            _ => None,
        });
        names.try_fold(Node::Folder(ROOT), |node, name| match node {
            Node::Folder(folder) => self.cached[&folder].get(&*name).copied(),
            Node::File(_) => None,
        })
    }
}

impl Change {
    /// Whose sync makes it durable. A move between folders is durable with the one it went to.
    fn folder(&self) -> FolderId {
        match self {
            Self::Put { at, .. } | Self::Remove { at } => at.folder,
            Self::Move { to, .. } => to.folder,
        }
    }

    /// The name that it gives or takes.
    fn at(&self) -> &DirectoryEntry {
        match self {
            Self::Put { at, .. } | Self::Remove { at } => at,
            Self::Move { to, .. } => to,
        }
    }

    fn apply_to(&self, folders: &mut Folders) {
        match self {
            Self::Put { at, node } => {
                put(folders, at, *node);
            }
            Self::Remove { at } => remove(folders, at),
            Self::Move { from, to, node } => {
                remove(folders, from);
                put(folders, to, *node);
            }
        }
    }
}

fn put(folders: &mut Folders, at: &DirectoryEntry, node: Node) {
    if let Some(names) = folders.get_mut(&at.folder) {
        names.insert(at.name.clone(), node);
    }
}

fn remove(folders: &mut Folders, at: &DirectoryEntry) {
    if let Some(names) = folders.get_mut(&at.folder) {
        names.remove(&at.name);
    }
}

/// All that lies in a folder, however deep, in the order of the paths.
fn below(folders: &Folders, path: &Path, folder: FolderId) -> Vec<(PathBuf, DirectoryEntry, Node)> {
    let mut found = Vec::new();
    for (name, node) in &folders[&folder] {
        let (path, name) = (path.join(name), name.clone());
        found.push((path.clone(), DirectoryEntry { folder, name }, *node));
        if let Node::Folder(inner) = node {
            found.extend(below(folders, &path, *inner));
        }
    }
    found
}

/// What lies in a folder whose own name was lost cannot be reached any more.
fn drop_what_hangs_in_the_air(folders: &mut Folders) {
    let nodes = below(folders, Path::new("/"), ROOT).into_iter();
    let mut reached: BTreeSet<FolderId> = nodes
        .filter_map(|(_, _, node)| match node {
            Node::Folder(folder) => Some(folder),
            Node::File(_) => None,
        })
        .collect();
    reached.insert(ROOT);
    folders.retain(|folder, _| reached.contains(folder));
}
