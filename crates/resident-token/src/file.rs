//! Reading a small file that an operator names: bounded, and only a regular one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// The largest file of keys, of a secret or of settings that is read: a hundred times what a real one has.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a whole file of at most [`FILE_BYTES_MAX`] bytes. Links are followed: secrets that an orchestrator mounts are links.
///
/// # Errors
///
/// It cannot be read, is larger, or is no regular file: a pipe would be waited for, a device never ends.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    let at_once = OFlags::NONBLOCK.bits().cast_signed();
    let file: File = options.read(true).custom_flags(at_once).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "this is no regular file",
        ));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if FILE_BYTES_MAX < bytes.len() as u64 {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("this file has more than {FILE_BYTES_MAX} bytes"),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_never_ends_or_is_too_large_is_refused_and_a_link_to_a_good_one_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good");
        std::fs::write(&good, "key").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&good, &link).unwrap();
        assert_eq!(read_file(&link).unwrap(), b"key");

        assert!(read_file(Path::new("/dev/zero")).is_err());
        assert!(read_file(folder.path()).is_err());
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        assert!(read_file(&pipe).is_err());
        File::create(&good)
            .unwrap()
            .set_len(FILE_BYTES_MAX + 1)
            .unwrap();
        assert!(read_file(&good).is_err());
    }
}
