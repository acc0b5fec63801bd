//! The folder that keeps the log and the secret.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rand::RngCore;
use resident_token::{KeyError, Secret, read_file};

use crate::addresses::Addresses;

/// Bytes of chance in a secret that we make.
const SECRET_BYTES: usize = 48;

/// Data is its owner's alone.
const FOLDER_MODE: u32 = 0o700;
/// The same for files.
const FILE_MODE: u32 = 0o600;

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataFolderError {
    #[error("there is no user's data directory: name a folder with --data")]
    NoDefault,
    #[error("{path}: this folder cannot be written; choose another with --data")]
    Unwritable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path}: the secret that signs tokens cannot be read")]
    SecretUnreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{path} is gone, and this folder holds a log: put the file back (a link must lead to one), or set MAYDAY_JWT_SECRET \
         to the secret used before. With another secret every token in use is refused; to want that, write one of at least \
         32 bytes there"
    )]
    SecretGone { path: PathBuf },
    #[error(
        "{path}: no secret is kept here; start mayday on this folder once, or set MAYDAY_JWT_SECRET"
    )]
    NoSecret { path: PathBuf },
    #[error(
        "the secret that signs tokens (MAYDAY_JWT_SECRET, or the file jwt-secret of the data folder) is no good"
    )]
    SecretRefused(#[source] KeyError),
}

/// A data folder.
#[derive(Clone, Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    given_secret: Option<String>,
}

impl DataFolder {
    /// The folder that was named, else `mayday` in the user's data directory. Nothing is made yet.
    pub(crate) fn at(
        named: Option<PathBuf>,
        given_secret: Option<String>,
    ) -> Result<Self, DataFolderError> {
        let path = match named {
            Some(path) => path,
            None => dirs::data_dir()
                .ok_or(DataFolderError::NoDefault)?
                .join("mayday"),
        };
        Ok(Self { path, given_secret })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The secret that was given, which other machines may have been given too.
    pub(crate) fn given_secret(&self) -> Option<&str> {
        self.given_secret.as_deref()
    }

    /// The log's folder.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// The folder of the api's outbox.
    pub(crate) fn outbox(&self) -> PathBuf {
        self.path.join("outbox")
    }

    /// The reports' folder.
    pub(crate) fn reports(&self) -> PathBuf {
        self.path.join("reports")
    }

    /// The api that was named, else that of the running process, else the one at the default port.
    pub(crate) fn api(&self, named: Option<&str>) -> String {
        self.address(named, |running| running.api, "http://127.0.0.1:8082")
    }

    /// The gateway, found in the same way.
    pub(crate) fn gateway(&self, named: Option<&str>) -> String {
        self.address(
            named,
            |running| running.gateway,
            "ws://127.0.0.1:8083/an-ws",
        )
    }

    /// The log, found in the same way.
    pub(crate) fn log_address(&self, named: Option<&str>) -> String {
        self.address(named, |running| running.log, "127.0.0.1:9092")
    }

    fn address(
        &self,
        named: Option<&str>,
        of: impl FnOnce(Addresses) -> String,
        default: &str,
    ) -> String {
        match named {
            Some(named) => named.to_owned(),
            None => Addresses::kept(&self.path).map_or_else(|| default.to_owned(), of),
        }
    }

    /// Makes the folder and those in it that hold data, readable by their owner only. A folder that was there keeps its
    /// rights, since it may be more than ours; what is in it does not.
    pub(crate) fn create(&self) -> Result<(), DataFolderError> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        for folder in [&self.path, &self.log(), &self.outbox()] {
            let mut builder = fs::DirBuilder::new();
            let made = builder.recursive(true).mode(FOLDER_MODE).create(folder);
            let private = fs::Permissions::from_mode(FOLDER_MODE);
            let closed = made.and_then(|()| match folder == &self.path {
                true => Ok(()),
                false => fs::set_permissions(folder, private),
            });
            closed.map_err(|source| DataFolderError::Unwritable {
                path: folder.clone(),
                source,
            })?;
        }
        Ok(())
    }

    /// The secret that was given, else the one kept here.
    pub(crate) fn secret(&self) -> Result<Secret, DataFolderError> {
        let text = match &self.given_secret {
            Some(text) => text.clone(),
            None => self
                .kept_secret()?
                .ok_or_else(|| DataFolderError::NoSecret {
                    path: self.path.clone(),
                })?,
        };
        Secret::new(text.as_bytes()).map_err(DataFolderError::SecretRefused)
    }

    /// The same, making and keeping one where there is none, unless the folder holds a log: it has had a secret then, and
    /// a new one would refuse every token in use.
    pub(crate) fn secret_or_new(&self) -> Result<Secret, DataFolderError> {
        if self.given_secret.is_none() && self.kept_secret()?.is_none() {
            if self.holds_a_log() || self.secret_path().is_symlink() {
                return Err(DataFolderError::SecretGone {
                    path: self.secret_path(),
                });
            }
            self.keep_new_secret()?;
        }
        self.secret()
    }

    /// Whether a log or calls for one are here: anything but the empty folders that [`create`](Self::create) makes.
    fn holds_a_log(&self) -> bool {
        let has_entries = |folder: PathBuf| {
            fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
        };
        has_entries(self.log()) || has_entries(self.outbox())
    }

    fn kept_secret(&self) -> Result<Option<String>, DataFolderError> {
        let path = self.secret_path();
        let text = read_file(&path).and_then(|bytes| {
            String::from_utf8(bytes)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text"))
        });
        match text {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DataFolderError::SecretUnreadable { path, source }),
        }
    }

    /// Written beside and renamed, so that a start that is cut off leaves no half a secret; synced with its name, before
    /// there is a log whose tokens it signs.
    fn keep_new_secret(&self) -> Result<(), DataFolderError> {
        use base64::Engine;
        let mut chance = [0; SECRET_BYTES];
        rand::rng().fill_bytes(&mut chance);
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(chance);
        let kept = write_privately(&self.path, "jwt-secret", format!("{text}\n").as_bytes());
        kept.map_err(|source| DataFolderError::Unwritable {
            path: self.path.clone(),
            source,
        })
    }

    fn secret_path(&self) -> PathBuf {
        self.path.join("jwt-secret")
    }
}

/// Puts a file of the owner's in a folder: all of it or nothing, on the disk when this returns. No link is followed, so
/// that another user who may write in the folder cannot choose what is overwritten.
pub(crate) fn write_privately(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let draft = folder.join(format!("{name}.new"));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&draft)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&draft, folder.join(name)))
        .and_then(|()| fs::File::open(folder)?.sync_all());
    if written.is_err() {
        // On a full disk an empty draft is of no use either.
        drop(fs::remove_file(&draft));
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn data_folder(folder: &tempfile::TempDir, secret: Option<&str>) -> DataFolder {
        let data =
            DataFolder::at(Some(folder.path().join("data")), secret.map(str::to_owned)).unwrap();
        data.create().unwrap();
        data
    }

    #[test]
    fn a_secret_is_made_once_and_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = data_folder(&folder, None);

        data.secret_or_new().unwrap();
        let kept = fs::read_to_string(data.secret_path()).unwrap();
        data.secret_or_new().unwrap();

        assert_eq!(fs::read_to_string(data.secret_path()).unwrap(), kept);
        assert_eq!(
            fs::metadata(data.secret_path())
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
    }

    #[test]
    fn a_folder_that_holds_a_log_never_gets_a_new_secret_for_one_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let data = data_folder(&folder, None);
        data.secret_or_new().unwrap();
        fs::remove_file(data.secret_path()).unwrap();
        data.secret_or_new().unwrap();
        fs::write(data.log().join("identity.json"), "{}").unwrap();
        data.secret_or_new().unwrap();

        fs::remove_file(data.secret_path()).unwrap();
        let gone = data.secret_or_new().unwrap_err().to_string();
        assert!(gone.contains("holds a log"), "{gone}");
        assert!(!data.secret_path().exists());
    }

    #[test]
    fn a_secret_behind_a_link_that_leads_nowhere_is_not_made_anew_and_nothing_is_written_there() {
        let folder = tempfile::tempdir().unwrap();
        let data = data_folder(&folder, None);
        let elsewhere = folder.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, data.secret_path()).unwrap();

        data.secret_or_new().unwrap_err();

        assert!(!elsewhere.exists() && data.secret_path().is_symlink());
    }

    #[test]
    fn what_is_in_the_data_folder_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("log")).unwrap();
        fs::set_permissions(data.join("log"), fs::Permissions::from_mode(0o755)).unwrap();
        let data = data_folder(&folder, None);
        data.secret_or_new().unwrap();

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&data.log()), 0o700);
        assert_eq!(mode(&data.outbox()), 0o700);
        assert_eq!(mode(&data.secret_path()), 0o600);
    }

    #[test]
    fn a_draft_that_is_a_link_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "theirs").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("name.new")).unwrap();

        write_privately(folder.path(), "name", b"ours").unwrap();

        assert_eq!(fs::read_to_string(&victim).unwrap(), "theirs");
        assert_eq!(
            fs::read_to_string(folder.path().join("name")).unwrap(),
            "ours"
        );
    }

    #[test]
    fn a_given_secret_goes_before_the_kept_one_and_is_not_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let data = data_folder(&folder, Some("a secret of at least thirty-two bytes!"));

        data.secret_or_new().unwrap();

        assert!(!data.secret_path().exists());
    }

    #[test]
    fn a_folder_without_a_secret_says_how_to_get_one() {
        let folder = tempfile::tempdir().unwrap();

        let error = data_folder(&folder, None).secret().unwrap_err();

        assert!(
            error
                .to_string()
                .contains("start mayday on this folder once"),
            "{error}"
        );
    }
}
