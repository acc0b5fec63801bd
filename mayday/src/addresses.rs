//! Where the running process is: kept in the data folder, so that commands on the same folder find it by themselves.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data_folder::write_privately;

const FILE: &str = "addresses.json";

/// The addresses of a running process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// `http://` and the api's address.
    pub(crate) api: String,
    /// `ws://`, the gateway's address and its path.
    pub(crate) gateway: String,
    /// `http://` and the address of the residents' page.
    pub(crate) page: String,
    /// Kafka's `bootstrap.servers`.
    pub(crate) log: String,
    /// `http://` and the operator's address.
    pub(crate) admin: String,
}

impl Addresses {
    /// Writes them into the folder; renamed into place, so a reader sees all or nothing.
    pub(crate) fn keep(&self, folder: &Path) -> io::Result<()> {
        write_privately(folder, FILE, &serde_json::to_vec_pretty(self)?)
    }

    /// The ones that the last start on this folder wrote, if any. They may be out of date: then nothing answers there.
    pub(crate) fn kept(folder: &Path) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(folder.join(FILE)).ok()?).ok()
    }

    /// Forgets them, at the end of the process.
    pub(crate) fn forget(folder: &Path) {
        // Left behind they mislead no command for long: what they name does not answer.
        drop(fs::remove_file(folder.join(FILE)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_addresses_or_with_nonsense_names_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Addresses::kept(folder.path()), None);

        fs::write(folder.path().join(FILE), "{\"api\": 1}").unwrap();
        assert_eq!(Addresses::kept(folder.path()), None);
    }
}
