//! The files of a report: written beside their place under a name of their own, and moved there in one step, so that
//! nobody ever sees half a report.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// A file could not be written. What was there before is untouched.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}", path.display())]
pub struct WriteError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    move |source| WriteError {
        action,
        path,
        source,
    }
}

/// A report that is being written.
pub(super) struct Draft {
    folder: PathBuf,
    place: PathBuf,
}

impl Draft {
    /// Begins a report that will stand at `place`. What an earlier run left unfinished there is removed.
    pub(super) fn begin(place: &Path) -> Result<Self, WriteError> {
        let folder = with_suffix(place, ".unfinished");
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(failed("remove", &folder))?;
        }
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        Ok(Self {
            folder,
            place: place.to_owned(),
        })
    }

    /// Writes one folder of files, and returns what stands in its manifest about them.
    pub(super) fn write(
        &self,
        folder: &Path,
        files: &BTreeMap<String, Vec<u8>>,
    ) -> Result<(), WriteError> {
        let folder = self.folder.join(folder);
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        for (name, bytes) in files {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(failed("write", &path))?;
        }
        Ok(())
    }

    /// Moves the report to its place. An earlier one of the same name goes only when the new one stands.
    pub(super) fn publish(self) -> Result<(), WriteError> {
        let earlier = with_suffix(&self.place, ".replaced");
        if earlier.exists() {
            fs::remove_dir_all(&earlier).map_err(failed("remove", &earlier))?;
        }
        if self.place.exists() {
            fs::rename(&self.place, &earlier).map_err(failed("move away", &self.place))?;
        }
        fs::rename(&self.folder, &self.place).map_err(failed("move to", &self.place))?;
        if earlier.exists() {
            fs::remove_dir_all(&earlier).map_err(failed("remove", &earlier))?;
        }
        Ok(())
    }
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

/// A folder name for a line: letters and digits of any script, `-` and `_` stay, everything else becomes `%` and two
/// digits for each byte. A name that grows too long is told by its hash.
pub(super) fn folder_name(line: &str) -> String {
    let mut name = String::with_capacity(line.len());
    for character in line.chars() {
        if character.is_alphanumeric() || matches!(character, '-' | '_') {
            name.push(character);
        } else {
            let mut bytes = [0; 4];
            name.extend(
                character
                    .encode_utf8(&mut bytes)
                    .bytes()
                    .map(|byte| format!("%{byte:02X}")),
            );
        }
    }
    if name.len() <= NAME_BYTES_MAX {
        name
    } else {
        format!("%{}", sha256(line.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_names_a_folder_elsewhere() {
        assert_eq!(folder_name(".."), "%2E%2E");
        assert_eq!(folder_name("래미안 1단지"), "래미안%201단지");
        assert_eq!(folder_name(&"가".repeat(64)), "가".repeat(64));
        assert_eq!(folder_name(&"𠀀 ".repeat(32)).len(), 65);
    }

    #[test]
    fn a_report_replaces_the_one_of_the_same_name_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("report");
        for content in ["one", "two"] {
            let draft = Draft::begin(&place).unwrap();
            draft
                .write(
                    Path::new("total"),
                    &BTreeMap::from([("a.txt".to_owned(), content.as_bytes().to_vec())]),
                )
                .unwrap();
            draft.publish().unwrap();
            assert_eq!(
                fs::read_to_string(place.join("total/a.txt")).unwrap(),
                content
            );
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_hash_is_the_one_of_sha256sum() {
        assert_eq!(
            sha256(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
