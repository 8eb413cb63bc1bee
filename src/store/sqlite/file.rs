//! The database as a file of the file system: made for its owner only, and recognised by device and
//! inode, so that a file put in its place is noticed.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, ErrorKind, Result};
use crate::plain_file::open_plain;

/// How long a lock is waited for that may be about to come free: its last owner may be a thread that has
/// one more transaction to end, and a process that was just begun has all that its parent has open, until it
/// runs its own program. What takes longer, on a slow disk, is not waited for.
const FREE_SOON: Duration = Duration::from_millis(500);

/// How often it is tried meanwhile.
const TRY_EVERY: Duration = Duration::from_millis(5);

/// Which file of the file system it is: another one under the same name differs. A file that nobody has
/// open any more leaves its number to the next one, which was made later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
    /// Where the file system knows.
    made_at: Option<SystemTime>,
}

impl FileIdentity {
    /// The identity of the file that `path` names now.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|e| io_error("find", path, e))?;
        Ok(Self::from_metadata(&metadata))
    }

    #[cfg(unix)]
    pub(super) fn from_metadata(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        FileIdentity {
            device: metadata.dev(),
            inode: metadata.ino(),
            made_at: metadata.created().ok(),
        }
    }

    #[cfg(not(unix))]
    pub(super) fn from_metadata(metadata: &Metadata) -> Self {
        FileIdentity {
            device: 0,
            inode: 0,
            made_at: metadata.created().ok(),
        }
    }

    /// The number of the file in its file system.
    pub(super) fn inode(self) -> u64 {
        self.inode
    }

    /// Device, number and time.
    pub(super) fn bytes(self) -> [u8; 32] {
        let made_at = self
            .made_at
            .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let made_at = made_at.map_or(0, |since| since.as_nanos());
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.device.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.inode.to_le_bytes());
        bytes[16..].copy_from_slice(&made_at.to_le_bytes());
        bytes
    }
}

/// The absolute path of the database. SQLite gives meanings of its own to names such as
/// `:memory:`; an absolute path has none.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| {
        Error::new(
            ErrorKind::Io,
            format!("`{}` names no database file", path.display()),
        )
        .because(e)
    })
}

/// Makes an empty file (mode 0600) if there is none, and the directories that are missing above it
/// (mode 0700). What exists keeps its mode. SQLite gives its `-wal` and `-shm` files the mode of the
/// database.
pub(crate) fn create_if_missing(path: &Path) -> Result<()> {
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        private_directory()
            .create(parent)
            .map_err(|e| io_error("make the directory of", path, e))?;
    }
    match private_file().open(path) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(io_error("create", path, e)),
    }
}

/// Takes the lock that one process at a time holds on a file of its own, as long as the result lives;
/// `what` is what the file is to people. The lock is on a file beside it, `NAME.lock`, which stays when
/// the file itself is moved aside. It is written to, so that no link in its place is followed.
///
/// # Errors
/// `DatabaseBusy` if somebody has it, and still has it half a second later; `Io`.
pub(crate) fn own(file: &Path, what: &str) -> Result<File> {
    let path = beside(file, ".lock");
    create_if_missing(&path)?;
    let fail = |operation: &str, cause: io::Error| {
        let message = format!("cannot {operation} {}", path.display());
        Error::new(ErrorKind::Io, message).because(cause)
    };
    let held = open_plain(File::options().read(true).write(true), &path);
    let held = held.map_err(|e| fail("open", e))?;
    match lock_soon(&held) {
        Ok(()) => Ok(held),
        Err(TryLockError::WouldBlock) => {
            let message = format!("the {what} {} is in use", file.display());
            Err(Error::new(ErrorKind::DatabaseBusy, message)
                .with_help("it belongs to one owner at a time: name a file of its own"))
        }
        Err(TryLockError::Error(e)) => Err(fail("lock", e)),
    }
}

/// Takes the lock of a file, also one that comes free within `FREE_SOON`.
fn lock_soon(file: &File) -> Result<(), TryLockError> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if began.elapsed() < FREE_SOON => {
                thread::sleep(TRY_EVERY);
            }
            done => return done,
        }
    }
}

/// The file of this name with the suffix.
pub(crate) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(suffix);
    name.into()
}

fn private_directory() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn io_error(operation: &str, path: &Path, cause: io::Error) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("cannot {operation} the database {}", path.display()),
    )
    .because(cause)
}
