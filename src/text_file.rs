//! Reading a small text file that may come from anybody: a pipe or a device in its place must not
//! hold the program up, and a large file must not fill its memory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// The text of a regular file of at most `max_bytes` bytes.
///
/// # Errors
/// `InvalidInput` if it is no regular file, `FileTooLarge` if it is larger, `InvalidData` if it is
/// not UTF-8, and whatever the system says.
#[cfg(feature = "cli")]
pub fn read_text(path: &Path, max_bytes: u64) -> io::Result<String> {
    read(open(path)?, max_bytes)
}

/// The text of a regular file of at most `max_bytes` bytes that nobody but its owner may read or write.
///
/// # Errors
/// As `read_text`; `PermissionDenied` if others may.
#[cfg(feature = "server")]
pub(crate) fn read_secret(path: &Path, max_bytes: u64) -> io::Result<String> {
    use std::os::unix::fs::PermissionsExt;

    let file = open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        let message = format!("its mode is {:03o}: others may use it", mode & 0o777);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    read(file, max_bytes)
}

fn open(path: &Path) -> io::Result<File> {
    // Asked before it is opened, for to open a device can be an act; and after, for it may be another.
    assert_regular(&fs::metadata(path)?)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = File::options()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)?;
    assert_regular(&file.metadata()?)?;
    Ok(file)
}

fn read(file: File, max_bytes: u64) -> io::Result<String> {
    let mut text = String::new();
    file.take(max_bytes + 1).read_to_string(&mut text)?;
    if text.len() as u64 > max_bytes {
        let message = format!("it has more than {max_bytes} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

fn assert_regular(found: &fs::Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let message = "it is no regular file";
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "server")]
    #[test]
    fn a_secret_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        fs::write(&file, "12345").unwrap();
        for (mode, is_read) in [(0o600, true), (0o400, true), (0o640, false), (0o602, false)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_secret(&file, 5).is_ok(), is_read, "{mode:o}");
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn only_small_regular_files_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("text"), "12345").unwrap();
        assert_eq!(read_text(&at("text"), 5).unwrap(), "12345");
        let kind = |name: &str, max| read_text(&at(name), max).unwrap_err().kind();
        assert_eq!(kind("text", 4), io::ErrorKind::FileTooLarge);
        assert_eq!(kind("", 4), io::ErrorKind::InvalidInput);
        assert_eq!(kind("none", 4), io::ErrorKind::NotFound);
    }
}
