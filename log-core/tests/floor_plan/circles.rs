//! Import circles between the files of a crate: of two files that need each other, neither can be read or tested alone.
//!
//! A file needs the files in which the names are made that it uses; a name that another file only passes on (`use`,
//! `pub use`) leads to where it is made. A file of a type's own folder that has an `impl` of the type may name it: the
//! type is split over its folder, and the files are one. What is for unit tests only does not count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use super::source::{Reference, Source};

/// A file, as the path of its module.
type File = Vec<String>;

/// Files that need each other, each the next one and the last the first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Circle(Vec<Need>);

/// One file needs another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Need {
    file: File,
    line: usize,
    path: String,
    needed: File,
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Need {
            file,
            line,
            path,
            needed,
        } in &self.0
        {
            let (file, needed) = (file.join("/"), needed.join("/"));
            writeln!(f, "  {file}:{line}: `{path}` of {needed}")?;
        }
        Ok(())
    }
}

/// The circles of a crate: of each file that is in one the shortest, no circle twice.
pub(crate) fn circles(files: &BTreeMap<File, Source>) -> Vec<Circle> {
    let needs: BTreeMap<_, _> = files
        .iter()
        .map(|(file, source)| (file, needs_of(files, file, source)))
        .collect();
    let mut known = BTreeSet::new();
    let shortest = files.keys().filter_map(|file| shortest(&needs, file));
    shortest
        .filter(|Circle(way)| {
            known.insert(
                way.iter()
                    .map(|need| need.file.clone())
                    .collect::<BTreeSet<_>>(),
            )
        })
        .collect()
}

fn shortest(needs: &BTreeMap<&File, Vec<Need>>, first: &File) -> Option<Circle> {
    let mut reached = BTreeSet::new();
    let mut ways = VecDeque::from([Vec::new()]);
    while let Some(way) = ways.pop_front() {
        let end = way.last().map_or(first, |need: &Need| &need.needed);
        if !way.is_empty() && end == first {
            return Some(Circle(way));
        }
        for need in &needs[end] {
            if reached.insert(need.needed.clone()) {
                ways.push_back(way.iter().chain([need]).cloned().collect());
            }
        }
    }
    None
}

fn needs_of(files: &BTreeMap<File, Source>, file: &File, source: &Source) -> Vec<Need> {
    let used = source.references.iter().filter(|it| !it.is_reexport);
    let need = |reference: &Reference| {
        let needed = made_in(files, &from_root(files, file, &reference.path)?)?;
        let is_split = file.starts_with(&needed)
            && reference
                .path
                .last()
                .is_some_and(|name| source.implemented.contains(name));
        (*file != needed && !is_split).then(|| Need {
            file: file.clone(),
            line: reference.line,
            path: reference.path.join("::"),
            needed,
        })
    };
    used.filter_map(need).collect()
}

/// A path from the crate's root; none for what is of another crate.
fn from_root(files: &BTreeMap<File, Source>, file: &File, path: &[String]) -> Option<Vec<String>> {
    if path.first()? == "crate" {
        return Some(path[1..].to_vec());
    }
    // A word alone declares a module, or is another thing's name.
    if path.len() < 2 {
        return None;
    }
    let child = file.iter().chain(path.first()).cloned().collect::<File>();
    files
        .contains_key(&child)
        .then(|| file.iter().chain(path).cloned().collect())
}

/// The file in which the item of a path is made; none where the crate passes on what is of another.
fn made_in(files: &BTreeMap<File, Source>, path: &[String]) -> Option<File> {
    let (mut path, mut seen) = (path.to_vec(), BTreeSet::new());
    loop {
        let file = (0..=path.len()).rev().map(|end| path[..end].to_vec());
        let file = file.into_iter().find(|file| files.contains_key(file))?;
        let Some(name) = path.get(file.len()).filter(|name| *name != "*") else {
            return Some(file);
        };
        let mut imports = files[&file].imports.iter();
        let passed_on = imports.rfind(|import| import.name == *name);
        let Some(import) = passed_on.filter(|_| seen.insert((file.clone(), name.clone()))) else {
            return Some(file);
        };
        let rest = path[file.len() + 1..].to_vec();
        path = from_root(files, &file, &import.path)?;
        path.extend(rest);
    }
}
