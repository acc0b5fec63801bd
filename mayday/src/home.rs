//! The folder that keeps the log and the secret.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rand::RngCore;
use resident_token::{KeyError, Secret};

use crate::addresses::Addresses;

/// Bytes of chance in a secret that we make.
const SECRET_BYTES: usize = 48;

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HomeError {
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
pub(crate) struct Home {
    path: PathBuf,
    given_secret: Option<String>,
}

impl Home {
    /// The folder that was named, else `mayday` in the user's data directory. Nothing is made yet.
    pub(crate) fn at(
        named: Option<PathBuf>,
        given_secret: Option<String>,
    ) -> Result<Self, HomeError> {
        let path = match named {
            Some(path) => path,
            None => dirs::data_dir().ok_or(HomeError::NoDefault)?.join("mayday"),
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

    /// The api that was named, else the running house's, else the one at the default port.
    pub(crate) fn api(&self, named: Option<&str>) -> String {
        self.address(named, |house| house.api, "http://127.0.0.1:8082")
    }

    /// The gateway, found in the same way.
    pub(crate) fn gateway(&self, named: Option<&str>) -> String {
        self.address(named, |house| house.gateway, "ws://127.0.0.1:8083/an-ws")
    }

    /// The log, found in the same way.
    pub(crate) fn log_address(&self, named: Option<&str>) -> String {
        self.address(named, |house| house.log, "127.0.0.1:9092")
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

    /// Makes the folder, readable by its owner only.
    pub(crate) fn create(&self) -> Result<(), HomeError> {
        use std::os::unix::fs::DirBuilderExt;
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path);
        made.map_err(|source| HomeError::Unwritable {
            path: self.path.clone(),
            source,
        })
    }

    /// The secret that was given, else the one kept here.
    pub(crate) fn secret(&self) -> Result<Secret, HomeError> {
        let text = match &self.given_secret {
            Some(text) => text.clone(),
            None => self.kept_secret()?.ok_or_else(|| HomeError::NoSecret {
                path: self.path.clone(),
            })?,
        };
        Secret::new(text.as_bytes()).map_err(HomeError::SecretRefused)
    }

    /// The same, making and keeping one where there is none.
    pub(crate) fn secret_or_new(&self) -> Result<Secret, HomeError> {
        if self.given_secret.is_none() && self.kept_secret()?.is_none() {
            self.keep_new_secret()?;
        }
        self.secret()
    }

    fn kept_secret(&self) -> Result<Option<String>, HomeError> {
        let path = self.secret_path();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HomeError::SecretUnreadable { path, source }),
        }
    }

    /// Written beside and renamed, so that a start that is cut off leaves no half a secret.
    fn keep_new_secret(&self) -> Result<(), HomeError> {
        use base64::Engine;
        let mut chance = [0; SECRET_BYTES];
        rand::rng().fill_bytes(&mut chance);
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(chance);
        let draft = self.path.join("jwt-secret.new");
        let write = || {
            let mut options = fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&draft)?;
            writeln!(file, "{text}")?;
            file.sync_all()?;
            fs::rename(&draft, self.secret_path())
        };
        write().map_err(|source| HomeError::Unwritable {
            path: self.path.clone(),
            source,
        })
    }

    fn secret_path(&self) -> PathBuf {
        self.path.join("jwt-secret")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn home(folder: &tempfile::TempDir, secret: Option<&str>) -> Home {
        let home = Home::at(Some(folder.path().join("data")), secret.map(str::to_owned)).unwrap();
        home.create().unwrap();
        home
    }

    #[test]
    fn a_secret_is_made_once_and_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(&folder, None);

        home.secret_or_new().unwrap();
        let kept = fs::read_to_string(home.secret_path()).unwrap();
        home.secret_or_new().unwrap();

        assert_eq!(fs::read_to_string(home.secret_path()).unwrap(), kept);
        assert_eq!(
            fs::metadata(home.secret_path())
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
    }

    #[test]
    fn a_given_secret_goes_before_the_kept_one_and_is_not_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(&folder, Some("a secret of at least thirty-two bytes!"));

        home.secret_or_new().unwrap();

        assert!(!home.secret_path().exists());
    }

    #[test]
    fn a_folder_without_a_secret_says_how_to_get_one() {
        let folder = tempfile::tempdir().unwrap();

        let error = home(&folder, None).secret().unwrap_err();

        assert!(
            error
                .to_string()
                .contains("start mayday on this folder once"),
            "{error}"
        );
    }
}
