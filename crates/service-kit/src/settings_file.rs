//! Settings and key files: small, regular, and never shown. An error names the file, the line or the setting and what is
//! wrong with it; the line itself may hold a password, so it is left out.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use config::{ConfigError, FileFormat, FileSourceString};
use rustix::fs::OFlags;

/// Bytes of the largest settings file.
const SETTINGS_BYTES_MAX: usize = 1 << 20;
/// Bytes of the largest file with a secret.
pub const SECRET_BYTES_MAX: usize = 64 << 10;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum SmallFileError {
    /// It is not there, or not to be read by this user.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A folder, a pipe or a device: it may never end.
    #[error("{path} is not a regular file")]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// It is certainly another file than the one that was meant.
    #[error("{path} has more than {bytes_max} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        bytes_max: usize,
    },
}

/// Why settings cannot be used. No value is in its text.
#[derive(Debug, thiserror::Error)]
pub enum SettingsFileError {
    /// The file was not read.
    #[error(transparent)]
    File(#[from] SmallFileError),
    /// It is not UTF-8.
    #[error("{path} is not UTF-8")]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// What it says is no TOML, or no settings of this program.
    #[error("{0}")]
    Settings(String),
}

/// Reads a regular file of at most `bytes_max` bytes. A link is followed.
///
/// # Errors
///
/// [`SmallFileError`].
pub fn read_small(path: &Path, bytes_max: usize) -> Result<Vec<u8>, SmallFileError> {
    let failed = |source| SmallFileError::Read {
        path: path.to_owned(),
        source,
    };
    let mut options = OpenOptions::new();
    // To open a pipe would wait for its other end.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = options.read(true).custom_flags(nonblocking).open(path);
    let file = file.map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(SmallFileError::NotRegular {
            path: path.to_owned(),
        });
    }
    let mut bytes = Vec::new();
    let one_more = bytes_max as u64 + 1;
    file.take(one_more)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes_max < bytes.len() {
        return Err(SmallFileError::TooLarge {
            path: path.to_owned(),
            bytes_max,
        });
    }
    Ok(bytes)
}

/// A TOML file as a source of settings.
///
/// # Errors
///
/// [`SettingsFileError`]; what the file says is not looked at yet.
pub fn toml(path: &Path) -> Result<config::File<FileSourceString, FileFormat>, SettingsFileError> {
    let bytes = read_small(path, SETTINGS_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| SettingsFileError::NotText {
        path: path.to_owned(),
    })?;
    Ok(config::File::from_str(&text, FileFormat::Toml))
}

/// What the settings' library says, without the values that it shows.
pub fn without_values(error: &ConfigError) -> SettingsFileError {
    let said = match error {
        // "TOML parse error at line 3, column 9", and below it the line.
        ConfigError::FileParse { cause, .. } => {
            let said = cause.to_string();
            said.lines().next().unwrap_or_default().to_owned()
        }
        ConfigError::Type { expected, key, .. } => {
            let key = key.as_deref().unwrap_or("a setting");
            format!("{key}: not {expected}")
        }
        ConfigError::At { error, key, .. } => {
            let inner = without_values(error);
            match key {
                Some(key) => format!("{key}: {inner}"),
                None => inner.to_string(),
            }
        }
        other => without_quoted(&other.to_string()),
    };
    SettingsFileError::Settings(said)
}

/// Values stand in double quotes, the names of settings in others.
fn without_quoted(text: &str) -> String {
    let parts = text.split('"').enumerate();
    let kept = parts.map(|(number, part)| if number % 2 == 0 { part } else { "..." });
    kept.collect::<Vec<_>>().join("\"")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Settings {
        port: Option<u16>,
        #[serde(default, with = "level")]
        level: Option<u8>,
        properties: Option<std::collections::BTreeMap<String, String>>,
    }

    mod level {
        use serde::{Deserialize, Deserializer, de};

        pub(super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<u8>, D::Error> {
            let text = String::deserialize(from)?;
            let unexpected = de::Unexpected::Str(&text);
            Err(de::Error::invalid_value(unexpected, &"a level"))
        }
    }

    fn complaint(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        fs::write(&path, text).unwrap();
        let read = config::Config::builder().add_source(toml(&path).unwrap());
        let settings = read
            .build()
            .and_then(config::Config::try_deserialize::<Settings>);
        let error = without_values(&settings.unwrap_err());
        format!("{error} {error:?}")
    }

    #[test]
    fn a_settings_file_with_a_mistake_never_shows_what_it_holds() {
        for (text, named) in [
            (
                "port = 1\nproperties = { password = \"hunter2 }\n",
                "line 2",
            ),
            ("password = hunter2\n", "line 1"),
            ("port = \"hunter2\"\n", "port"),
            ("level = \"hunter2\"\n", "a level"),
            ("properties = \"hunter2\"\n", "properties"),
            ("prot = \"hunter2\"\n", "prot"),
        ] {
            let said = complaint(text);
            assert!(!said.contains("hunter2"), "{text}: {said}");
            assert!(said.contains(named), "{text}: {said}");
        }
    }

    #[test]
    fn only_a_small_regular_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "16 bytes of text").unwrap();
        assert_eq!(read_small(&path, 16).unwrap(), b"16 bytes of text");

        let large = read_small(&path, 15).unwrap_err();
        assert!(matches!(large, SmallFileError::TooLarge { .. }), "{large}");
        let endless = read_small(Path::new("/dev/zero"), 16).unwrap_err();
        assert!(matches!(endless, SmallFileError::NotRegular { .. }));
        let a_folder = read_small(folder.path(), 16).unwrap_err();
        assert!(matches!(a_folder, SmallFileError::NotRegular { .. }));
        let missing = read_small(&folder.path().join("none"), 16).unwrap_err();
        assert!(matches!(missing, SmallFileError::Read { .. }));
    }
}
