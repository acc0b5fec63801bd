//! Folders that are still there after a power cut.

use std::io;
use std::path::Path;

use crate::disk::Disk;

/// Makes a folder and the missing ones above it, with names that last.
///
/// # Errors
/// What the system says; the folder may be there, and may not last.
pub fn make_lasting(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder
        .ancestors()
        .take_while(|folder| !disk.exists(folder))
        .collect();
    disk.create_folder(folder)?;
    // A folder that is there may have been made just before the power went: its name may not last yet.
    let suspects = missing.into_iter().chain([folder]);
    for parent in suspects.filter_map(named_parent) {
        disk.sync_folder(parent)?;
    }
    Ok(())
}

/// The folder that holds the name; a relative path of one part lies in the current one.
fn named_parent(path: &Path) -> Option<&Path> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() && !path.as_os_str().is_empty() => {
            Some(Path::new("."))
        }
        parent => parent,
    }
}
