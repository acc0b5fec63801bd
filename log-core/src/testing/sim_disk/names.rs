//! The names on a simulated disk: as a process sees them, as they are on the plate, and the changes in between.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use rand::Rng;

use super::{Fate, Roughness};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(pub(super) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File(FileId),
    Folder,
}

type Tree = BTreeMap<PathBuf, Node>;

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    cached: Tree,
    durable: Tree,
    /// Oldest first.
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Put {
        path: PathBuf,
        node: Node,
    },
    Move {
        from: PathBuf,
        to: PathBuf,
        node: Node,
    },
    Remove {
        path: PathBuf,
    },
}

impl Names {
    pub(super) fn file(&self, path: &Path) -> Option<FileId> {
        match self.cached.get(path) {
            Some(&Node::File(file)) => Some(file),
            Some(Node::Folder) | None => None,
        }
    }

    pub(super) fn is_folder(&self, path: &Path) -> bool {
        is_root(path) || self.cached.get(path) == Some(&Node::Folder)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&PathBuf, FileId)> {
        self.cached.iter().filter_map(|(path, node)| match node {
            Node::File(file) => Some((path, *file)),
            Node::Folder => None,
        })
    }

    /// The names right inside a folder, sorted.
    pub(super) fn inside(&self, folder: &Path) -> Vec<String> {
        let inner = below(&self.cached, folder).filter(|(path, _)| path.parent() == Some(folder));
        let mut names: Vec<String> = inner
            .filter_map(|(path, _)| path.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        names
    }

    pub(super) fn create(&mut self, path: &Path, node: Node) -> io::Result<()> {
        if self.cached.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.needs_folder_of(path)?;
        self.change(Change::Put {
            path: path.to_owned(),
            node,
        });
        Ok(())
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.file(from).ok_or(ErrorKind::NotFound)?;
        self.create(to, Node::File(file))
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = *self.cached.get(from).ok_or(ErrorKind::NotFound)?;
        self.needs_folder_of(to)?;
        match self.cached.get(to) {
            Some(Node::Folder) => return Err(ErrorKind::AlreadyExists.into()),
            // POSIX: two names of one file both stay.
            Some(there) if *there == node => return Ok(()),
            Some(_) | None => {}
        }
        self.change(Change::Move {
            from: from.to_owned(),
            to: to.to_owned(),
            node,
        });
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.file(path).ok_or(ErrorKind::NotFound)?;
        self.change(Change::Remove {
            path: path.to_owned(),
        });
        Ok(())
    }

    /// A folder goes name by name, as on any real disk: a power cut may leave some of them.
    pub(super) fn remove_folder(&mut self, path: &Path) {
        let inner: Vec<PathBuf> = below(&self.cached, path)
            .map(|(path, _)| path.clone())
            .collect();
        for path in inner.into_iter().rev() {
            self.change(Change::Remove { path });
        }
        if self.cached.contains_key(path) {
            self.change(Change::Remove {
                path: path.to_owned(),
            });
        }
    }

    pub(super) fn sync_folder(&mut self, folder: &Path) {
        let (now, later) = self
            .unsynced
            .drain(..)
            .partition::<Vec<_>, _>(|change| change.folder() == Some(folder));
        self.unsynced = later;
        for change in now {
            change.apply_to(&mut self.durable);
        }
    }

    /// The power is cut: of the unsynced changes, chance keeps what it likes.
    pub(super) fn lose_unsynced(&mut self, chance: &mut impl Rng, roughness: Roughness) {
        for change in self.unsynced.drain(..) {
            // A name is there or not: nothing to tear.
            if roughness.fate(chance) == Fate::Kept {
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
        }
    }

    fn change(&mut self, change: Change) {
        change.apply_to(&mut self.cached);
        self.unsynced.push(change);
    }

    fn needs_folder_of(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
        if self.is_folder(folder) {
            Ok(())
        } else {
            Err(ErrorKind::NotFound.into())
        }
    }
}

impl Change {
    /// Whose sync makes it durable. A move between folders is durable with the one it went to.
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Put { path, .. } | Self::Remove { path } => path.parent(),
            Self::Move { to, .. } => to.parent(),
        }
    }

    fn apply_to(&self, tree: &mut Tree) {
        match self {
            Self::Put { path, node } => {
                tree.insert(path.clone(), *node);
            }
            Self::Remove { path } => {
                tree.remove(path);
            }
            Self::Move { from, to, node } => {
                tree.remove(from);
                tree.insert(to.clone(), *node);
                move_below(tree, from, to);
            }
        }
    }
}

fn move_below(tree: &mut Tree, from: &Path, to: &Path) {
    let inner: Vec<PathBuf> = below(tree, from).map(|(path, _)| path.clone()).collect();
    for path in inner {
        let rest = path.strip_prefix(from).expect("it lies below");
        let moved = to.join(rest);
        let node = tree.remove(&path).expect("just listed");
        tree.insert(moved, node);
    }
}

fn below<'a>(tree: &'a Tree, folder: &Path) -> impl Iterator<Item = (&'a PathBuf, &'a Node)> {
    let folder = folder.to_owned();
    let after = (Bound::Excluded(folder.clone()), Bound::Unbounded);
    tree.range::<PathBuf, _>(after)
        .take_while(move |(path, _)| path.starts_with(&folder))
}

/// What lies in a folder whose own name was lost cannot be reached any more.
fn drop_what_hangs_in_the_air(tree: &mut Tree) {
    let names = std::mem::take(tree);
    // Folders sort before what is in them, so each finds its own folder decided.
    for (path, node) in names {
        let folder = path.parent().unwrap_or(Path::new("/"));
        if is_root(folder) || tree.get(folder) == Some(&Node::Folder) {
            tree.insert(path, node);
        }
    }
}

fn is_root(path: &Path) -> bool {
    path.parent().is_none()
}
