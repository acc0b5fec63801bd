//! The files of a report: written beside their place under a name of their own, synced, and moved there in one step. So a
//! report is there whole or not at all, after a crash too; and one run at a time writes below a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags};
use service_kit::error_value;
use sha2::{Digest, Sha256};

/// The file that is locked while a report is written.
const LOCK: &str = ".lock";
/// What is put after the name of a report that is being written.
const UNFINISHED: &str = ".unfinished";
/// What is put after the name of a report that a new one takes the place of.
const REPLACED: &str = ".replaced";

/// There is no new report. What was there before is untouched.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file or folder could not be written.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: io::Error,
    },
    /// Another run writes a report below the same folder at this moment; a moment later it is done.
    #[error("another run writes a report in {}", folder.display())]
    InUse {
        /// The folder of reports.
        folder: PathBuf,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    move |source| WriteError::Io {
        action,
        path,
        source,
    }
}

/// A report that is being written. Dropped before it is published, nothing is left of it.
pub(super) struct Draft {
    folder: PathBuf,
    place: PathBuf,
    /// Held until the report stands.
    _lock: File,
}

impl Draft {
    /// Begins a report that will stand at `place`. What an earlier run left unfinished there is removed.
    ///
    /// # Errors
    /// [`WriteError::InUse`] while another run writes below the same folder.
    pub(super) fn begin(place: &Path) -> Result<Self, WriteError> {
        let below = place.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(below).map_err(failed("create", below))?;
        let lock = lock(below)?;
        let (folder, replaced) = (with_suffix(place, UNFINISHED), with_suffix(place, REPLACED));
        if replaced.exists() && !place.exists() {
            // An earlier run ended between the two renames of `publish`: its reader keeps the report there was.
            fs::rename(&replaced, place).map_err(failed("move back", &replaced))?;
        }
        for left_over in [&folder, &replaced] {
            remove(left_over)?;
        }
        fs::create_dir(&folder).map_err(failed("create", &folder))?;
        Ok(Self {
            folder,
            place: place.to_owned(),
            _lock: lock,
        })
    }

    /// Writes one folder of files.
    pub(super) fn write(
        &self,
        folder: &Path,
        files: &BTreeMap<String, Vec<u8>>,
    ) -> Result<(), WriteError> {
        let folder = self.folder.join(folder);
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        for (name, bytes) in files {
            let path = folder.join(name);
            // Synced before the report is moved to its place: a power cut must not leave one that has holes.
            let written = File::create_new(&path).and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            });
            written.map_err(failed("write", &path))?;
        }
        sync_folder(&folder)
    }

    /// Moves the report to its place. An earlier one of the same name goes only when the new one stands.
    pub(super) fn publish(self) -> Result<(), WriteError> {
        let below = self.place.parent().unwrap_or(Path::new("."));
        let lines = self.folder.join("lines");
        if lines.exists() {
            sync_folder(&lines)?;
        }
        sync_folder(&self.folder)?;
        if self.place.exists() {
            self.exchange()?;
        } else {
            fs::rename(&self.folder, &self.place).map_err(failed("move to", &self.place))?;
        }
        sync_folder(below)?;
        remove(&with_suffix(&self.place, REPLACED))
    }

    /// Takes the place of the earlier report, which is at [`UNFINISHED`] or [`REPLACED`] afterwards.
    fn exchange(&self) -> Result<(), WriteError> {
        // In one step, where the file system can do that.
        if rustix::fs::renameat_with(CWD, &self.folder, CWD, &self.place, RenameFlags::EXCHANGE)
            .is_ok()
        {
            return Ok(());
        }
        let replaced = with_suffix(&self.place, REPLACED);
        fs::rename(&self.place, &replaced).map_err(failed("move away", &self.place))?;
        fs::rename(&self.folder, &self.place).map_err(failed("move to", &self.place))
    }
}

impl Drop for Draft {
    /// What is left at the draft's name is a report that failed, or the one that was replaced: either only takes room.
    fn drop(&mut self) {
        if let Err(error) = remove(&self.folder) {
            tracing::warn!(
                error = error_value(&error),
                "an unfinished report is left behind: the next run removes it"
            );
        }
    }
}

/// Takes the lock of a folder of reports; the system gives it back with the process, however that ends.
fn lock(below: &Path) -> Result<File, WriteError> {
    let path = below.join(LOCK);
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(false).write(true);
    let no_link = OFlags::NOFOLLOW.bits().cast_signed();
    let file = options.custom_flags(no_link).open(&path);
    let file = file.map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(WriteError::InUse {
            folder: below.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
    }
}

fn remove(folder: &Path) -> Result<(), WriteError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", folder)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> Result<(), WriteError> {
    let synced = File::open(folder).and_then(|opened| opened.sync_all());
    synced.map_err(failed("sync", folder))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Hexadecimal, as `sha256sum` prints it.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The longest name that every file system takes, with room for what is put after it.
const NAME_BYTES_MAX: usize = 200;

/// Folder names for lines, one each in their order: letters and digits of any script, `-` and `_` stay, everything else
/// becomes `%` and two digits for each byte. A name that grows too long is told by its hash. Names that differ in case
/// alone share no folder, on file systems either where case does not count: of those, capital letters become `%` and
/// digits too.
pub(super) fn folder_names<'a>(lines: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let (mut seen, mut shared) = (BTreeSet::new(), BTreeSet::new());
    for line in lines.clone() {
        let folded = fold_case(line);
        if !seen.insert(folded.clone()) {
            shared.insert(folded);
        }
    }
    lines
        .map(|line| folder_name(line, shared.contains(&fold_case(line))))
        .collect()
}

fn folder_name(line: &str, is_shared: bool) -> String {
    let mut name = String::with_capacity(line.len());
    for character in line.chars() {
        let mut bytes = [0; 4];
        let encoded: &str = character.encode_utf8(&mut bytes);
        let stays = character.is_alphanumeric() || matches!(character, '-' | '_');
        if stays && !(is_shared && fold_case(encoded) != encoded) {
            name.push(character);
        } else {
            name.extend(encoded.bytes().map(|byte| format!("%{byte:02X}")));
        }
    }
    if name.len() <= NAME_BYTES_MAX {
        name
    } else {
        format!("%{}", sha256(line.as_bytes()))
    }
}

/// Equal for all spellings that some file system takes for one name: by way of capitals, so that `ß` and `SS`, or the two
/// small sigmas, meet.
fn fold_case(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_names_a_folder_elsewhere() {
        let name = |line: &str| folder_names(std::iter::once(line)).remove(0);
        assert_eq!(name(".."), "%2E%2E");
        assert_eq!(name("래미안 1단지"), "래미안%201단지");
        assert_eq!(name(&"가".repeat(64)), "가".repeat(64));
        assert_eq!(name(&"𠀀 ".repeat(32)).len(), 65);
        assert_eq!(name("Hanbit"), "Hanbit");
    }

    #[test]
    fn two_lines_never_share_a_folder_also_where_case_does_not_count() {
        let lines = [
            "hanbit", "Hanbit", "HANBIT", "Zai", "straße", "STRASSE", "%48anbit", "ΣΑΣ", "σας",
        ];
        let names = folder_names(lines.into_iter());
        assert_eq!(
            names[..4],
            ["hanbit", "%48anbit", "%48%41%4E%42%49%54", "Zai"]
        );
        let folded: BTreeSet<_> = names.iter().map(|name| fold_case(name)).collect();
        assert_eq!(folded.len(), lines.len(), "{names:?}");
    }

    #[test]
    fn a_line_alone_with_its_spelling_keeps_its_name_beside_others() {
        let names = folder_names(["Hanbit", "byeolbit"].into_iter());
        assert_eq!(names, ["Hanbit", "byeolbit"]);
    }

    fn files(content: &str) -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([("a.txt".to_owned(), content.as_bytes().to_vec())])
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name != LOCK).collect();
        names.sort();
        names
    }

    #[test]
    fn of_two_runs_at_once_one_is_told_to_wait_and_the_other_publishes_all_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("report");
        let first = Draft::begin(&place).unwrap();
        first.write(Path::new("total"), &files("one")).unwrap();

        let second = Draft::begin(&place).map(drop).unwrap_err();
        assert!(matches!(second, WriteError::InUse { .. }), "{second:?}");

        first
            .write(Path::new("lines/hanbit"), &files("two"))
            .unwrap();
        first.publish().unwrap();
        assert!(place.join("total/a.txt").exists() && place.join("lines/hanbit/a.txt").exists());
        Draft::begin(&place).unwrap();
    }

    #[test]
    fn a_report_that_fails_leaves_the_earlier_one_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("report");
        let earlier = Draft::begin(&place).unwrap();
        earlier.write(Path::new("total"), &files("one")).unwrap();
        earlier.publish().unwrap();

        let draft = Draft::begin(&place).unwrap();
        draft.write(Path::new("total"), &files("two")).unwrap();
        let nowhere = BTreeMap::from([("no/such/folder".to_owned(), Vec::new())]);
        draft.write(Path::new("total"), &nowhere).unwrap_err();
        drop(draft);

        assert_eq!(names_in(folder.path()), ["report"]);
        assert_eq!(
            fs::read_to_string(place.join("total/a.txt")).unwrap(),
            "one"
        );
    }

    #[test]
    fn a_run_that_crashed_at_any_step_costs_neither_the_report_there_was_nor_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("report");
        for left in [
            vec![UNFINISHED],
            vec![REPLACED],
            vec![REPLACED, UNFINISHED],
            vec!["", UNFINISHED],
            vec!["", REPLACED],
        ] {
            for suffix in &left {
                let total = with_suffix(&place, suffix).join("total");
                fs::create_dir_all(&total).unwrap();
                fs::write(total.join("old.txt"), suffix).unwrap();
            }

            let draft = Draft::begin(&place).unwrap();
            let was_there = left.iter().any(|suffix| *suffix != UNFINISHED);
            assert_eq!(place.join("total/old.txt").exists(), was_there, "{left:?}");
            draft.write(Path::new("total"), &files("new")).unwrap();
            draft.publish().unwrap();

            assert_eq!(names_in(folder.path()), ["report"], "{left:?}");
            assert_eq!(names_in(&place.join("total")), ["a.txt"], "{left:?}");
            fs::remove_dir_all(&place).unwrap();
        }
    }

    #[test]
    fn a_report_replaces_the_one_of_the_same_name_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("report");
        for content in ["one", "two"] {
            let draft = Draft::begin(&place).unwrap();
            draft.write(Path::new("total"), &files(content)).unwrap();
            draft.publish().unwrap();
            assert_eq!(
                fs::read_to_string(place.join("total/a.txt")).unwrap(),
                content
            );
        }
        assert_eq!(names_in(folder.path()), ["report"]);
    }

    #[test]
    fn a_hash_is_the_one_of_sha256sum() {
        assert_eq!(
            sha256(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
