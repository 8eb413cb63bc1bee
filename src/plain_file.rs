//! Opening a file that stands where it is named: what lies in a source tree comes from whoever made that,
//! and a link there could lead to any file of the user's.

use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::path::Path;

/// Opens it, if it is a file itself, or a device: what no link leads to, and what does not wait for
/// somebody at its other end. Nothing is changed in what is refused, as long as the options do not truncate.
///
/// # Errors
/// Those of opening it; `InvalidInput` for a link, a directory, a pipe or a socket.
pub(crate) fn open_plain(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits() as i32);
    }
    let opened = options
        .open(path)
        .map_err(|cause| match path.is_symlink() {
            true => refused("it is a symbolic link, which is not followed"),
            false => cause,
        })?;
    if !is_plain(opened.metadata()?.file_type()) {
        return Err(refused("it is no file"));
    }
    Ok(opened)
}

#[cfg(unix)]
fn is_plain(kind: FileType) -> bool {
    kind.is_file() || std::os::unix::fs::FileTypeExt::is_char_device(&kind)
}

#[cfg(not(unix))]
fn is_plain(kind: FileType) -> bool {
    kind.is_file()
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_link_and_a_directory_are_refused_and_nothing_is_made_behind_a_link() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        std::fs::write(at("mine"), "precious").unwrap();
        std::os::unix::fs::symlink(at("mine"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("none"), at("dangling")).unwrap();
        let open = |name: &str| {
            let mut options = OpenOptions::new();
            open_plain(options.read(true).append(true).create(true), &at(name))
        };
        for name in ["link", "dangling"] {
            let error = open(name).unwrap_err();
            assert!(error.to_string().contains("symbolic link"), "{error}");
        }
        open(".").unwrap_err();
        assert!(!at("none").exists());
        open("mine").unwrap();
        open("new").unwrap();
        assert_eq!(std::fs::read(at("mine")).unwrap(), b"precious");
    }
}
