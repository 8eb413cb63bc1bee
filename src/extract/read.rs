//! Reads a file whole, inside its root and unchanged while it is read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::Path;

use chrono::{DateTime, Utc};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::metadata::FilePath;

use super::skip::SkipReason;
use super::walk::time;

/// Where a NUL byte makes a file binary: git looks as far.
pub(super) const SNIFF_BYTES: usize = 8192;

/// How often a file that changes under the reader is read before it is skipped.
const TRIES: usize = 3;

/// The directory of a tree, held open: what is read is read below it.
#[derive(Debug)]
pub(super) struct Root(OwnedFd);

/// Size and time of a file at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) size_bytes: u64,
    pub(super) last_modified: Option<DateTime<Utc>>,
}

/// Why a file was not read.
#[derive(Debug)]
pub(super) enum NotRead {
    /// It does not exist.
    Gone,
    /// It exists.
    Skip(SkipReason),
}

impl From<io::Error> for NotRead {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => NotRead::Gone,
            _ => NotRead::Skip(SkipReason::Unreadable(error.to_string())),
        }
    }
}

impl Root {
    /// # Errors
    /// `Io` if the directory cannot be opened.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty())
            .map(Root)
            .map_err(|cause| {
                Error::new(
                    ErrorKind::Io,
                    format!("cannot open the directory {}", path.display()),
                )
                .because(io::Error::from(cause))
            })
    }

    /// Whether it is still the directory of this name. What cannot be told is no.
    pub(super) fn stands_at(&self, path: &Path) -> bool {
        let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        match (rustix::fs::fstat(&self.0), rustix::fs::stat(path)) {
            (Ok(held), Ok(named)) => identity(held) == identity(named),
            _ => false,
        }
    }

    /// Reads a file of at most `limit` bytes into `buffer`.
    ///
    /// # Errors
    /// Why it was not read; `buffer` then holds nothing of worth.
    pub(super) fn read(
        &self,
        path: &FilePath,
        limit: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<Facts, NotRead> {
        let mut file = self.open_file(path)?;
        if !file.metadata()?.is_file() {
            return Err(NotRead::Skip(SkipReason::NotAFile));
        }
        read_settled(&mut file, limit, buffer)
    }

    /// Opens without following links, also in the directories on the way, and without waiting for
    /// the writer of a pipe that took the file's place.
    fn open_file(&self, path: &FilePath) -> Result<File, NotRead> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = self.open_beneath(path.as_str(), flags);
        match opened {
            Ok(fd) => Ok(File::from(fd)),
            Err(Errno::LOOP | Errno::XDEV) => Err(NotRead::Skip(SkipReason::Symlink)),
            Err(error) => Err(NotRead::from(io::Error::from(error))),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn open_beneath(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        use rustix::fs::ResolveFlags;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&self.0, path, flags, Mode::empty(), resolve) {
            // Old kernels and some sandboxes have no openat2.
            Err(Errno::NOSYS | Errno::PERM) => self.open_by_parts(path, flags),
            opened => opened,
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn open_beneath(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        self.open_by_parts(path, flags)
    }

    /// One directory after the other, none through a link.
    fn open_by_parts(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let (directories, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut directory: Option<OwnedFd> = None;
        for part in directories.split('/').filter(|part| !part.is_empty()) {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let from = directory.as_ref().unwrap_or(&self.0);
            directory = Some(rustix::fs::openat(from, part, flags, Mode::empty())?);
        }
        rustix::fs::openat(
            directory.as_ref().unwrap_or(&self.0),
            name,
            flags,
            Mode::empty(),
        )
    }
}

/// What `read_settled` asks of a file; tests bring one that changes.
trait Handle {
    fn facts(&mut self) -> io::Result<Facts>;
    /// From the beginning, at most `limit` bytes.
    fn read_from_start(&mut self, limit: u64, buffer: &mut Vec<u8>) -> io::Result<()>;
}

impl Handle for File {
    fn facts(&mut self) -> io::Result<Facts> {
        let metadata = self.metadata()?;
        let last_modified = metadata.modified().ok().and_then(time);
        Ok(Facts {
            size_bytes: metadata.len(),
            last_modified,
        })
    }

    fn read_from_start(&mut self, limit: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.seek(SeekFrom::Start(0))?;
        self.take(limit).read_to_end(buffer).map(drop)
    }
}

/// Reads until size and time are the same before and after. Of a large binary file, only the head.
fn read_settled(
    file: &mut impl Handle,
    limit: u64,
    buffer: &mut Vec<u8>,
) -> Result<Facts, NotRead> {
    let mut before = file.facts()?;
    for _ in 0..TRIES {
        if before.size_bytes > limit {
            let reason = SkipReason::TooLarge {
                bytes: before.size_bytes,
                limit,
            };
            return Err(NotRead::Skip(reason));
        }
        // A binary file costs one small read, however large it is.
        if before.size_bytes > SNIFF_BYTES as u64 {
            buffer.clear();
            file.read_from_start(SNIFF_BYTES as u64, buffer)?;
            if buffer.contains(&0) {
                return Err(NotRead::Skip(SkipReason::Binary));
            }
        }
        buffer.clear();
        // One byte more than expected shows that the file grew.
        file.read_from_start(before.size_bytes + 1, buffer)?;
        let after = file.facts()?;
        if after == before && buffer.len() as u64 == after.size_bytes {
            return Ok(after);
        }
        before = after;
    }
    Err(NotRead::Skip(SkipReason::ChangedWhileRead))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is written to during its first reads.
    struct Restless {
        writes_left: usize,
        content: Vec<u8>,
        written: i64,
        given: usize,
    }

    impl Restless {
        fn new(content: &[u8], writes_left: usize) -> Self {
            Restless {
                writes_left,
                content: content.to_vec(),
                written: 0,
                given: 0,
            }
        }
    }

    impl Handle for Restless {
        fn facts(&mut self) -> io::Result<Facts> {
            let last_modified = DateTime::from_timestamp(self.written, 0);
            Ok(Facts {
                size_bytes: self.content.len() as u64,
                last_modified,
            })
        }

        fn read_from_start(&mut self, limit: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
            let length = self.content.len().min(usize::try_from(limit).unwrap());
            buffer.extend_from_slice(&self.content[..length]);
            self.given += length;
            if self.writes_left > 0 {
                self.writes_left -= 1;
                self.written += 1;
                self.content[0] += 1;
            }
            Ok(())
        }
    }

    #[test]
    fn a_file_that_changes_while_read_is_read_again() {
        let mut file = Restless::new(b"a-", 2);
        let mut buffer = Vec::new();
        read_settled(&mut file, 10, &mut buffer).unwrap();
        assert_eq!(buffer, b"c-");
    }

    #[test]
    fn a_file_that_never_rests_is_skipped() {
        let mut file = Restless::new(b"a-", 9);
        let failure = read_settled(&mut file, 10, &mut Vec::new()).unwrap_err();
        assert!(
            matches!(failure, NotRead::Skip(SkipReason::ChangedWhileRead)),
            "{failure:?}"
        );
    }

    #[test]
    fn of_a_large_binary_file_only_the_head_is_read() {
        let mut file = Restless::new(&[b'x'; 1 << 20], 0);
        file.content[100] = 0;
        let failure = read_settled(&mut file, 2 << 20, &mut Vec::new()).unwrap_err();
        assert!(
            matches!(failure, NotRead::Skip(SkipReason::Binary)),
            "{failure:?}"
        );
        assert_eq!(file.given, SNIFF_BYTES);
    }

    #[test]
    fn both_ways_to_open_refuse_links_on_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        std::fs::create_dir(at("real")).unwrap();
        std::fs::write(at("real/file"), "x").unwrap();
        std::os::unix::fs::symlink(at("real"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("real/file"), at("real/alias")).unwrap();
        let root = Root::open(directory.path()).unwrap();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
        for open in [Root::open_beneath, Root::open_by_parts] {
            assert!(open(&root, "real/file", flags).is_ok());
            assert!(open(&root, "link/file", flags).is_err());
            assert!(open(&root, "real/alias", flags).is_err());
            assert_eq!(open(&root, "real/gone", flags).unwrap_err(), Errno::NOENT);
        }
    }
}
