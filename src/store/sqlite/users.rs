//! Which processes have a database open, and which other files: as Linux tells it under `/proc`.
//! Nothing is opened to that end: closing a file gives up the locks that this process has on it.

use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind::{NotFound, PermissionDenied};

use super::file::FileIdentity;

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct User(u32);

/// `this process`, `process 4711`.
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 == std::process::id() {
            true => f.write_str("this process"),
            false => write!(f, "process {}", self.0),
        }
    }
}

/// This process, and those that hold locks on a file, as every user of a database does that has a
/// write-ahead log; `None` where the system does not tell. Those of another container are not seen.
pub(super) fn of(file: FileIdentity) -> Option<BTreeSet<User>> {
    let mut users = holders(file)?;
    users.insert(User(std::process::id()));
    Some(users)
}

/// How often the list of locks is read. The kernel hands it out a page at a time, and a lock that ends
/// meanwhile, anybody's, moves another one over the edge of a page: then that one is not told.
const READINGS: usize = 5;

/// Who holds locks on a file: whoever any of the readings tells of.
fn holders(file: FileIdentity) -> Option<BTreeSet<User>> {
    let mut holders = BTreeSet::new();
    for _ in 0..READINGS {
        holders.extend(holders_now(file)?);
    }
    Some(holders)
}

/// The same by one reading, which may lack some where there are many locks.
fn holders_now(file: FileIdentity) -> Option<BTreeSet<User>> {
    let locks = match std::fs::read_to_string("/proc/locks") {
        Ok(locks) => locks,
        // Elsewhere than on Linux, nothing is found out.
        Err(error) if error.kind() == NotFound && !cfg!(target_os = "linux") => String::new(),
        Err(_) => return None,
    };
    let lines = locks.lines();
    Some(
        lines
            .filter_map(|line| holder(line, file.inode()))
            .collect(),
    )
}

/// Who holds the lock of this line, if it is one on a file of this inode. The device is left out: some
/// file systems tell another one here than elsewhere.
///
/// `1: POSIX  ADVISORY  READ 4179 fe:00:10584096 1073741826 1073742335`
fn holder(line: &str, inode: u64) -> Option<User> {
    let mut fields = line.split_whitespace().skip(4);
    let process = fields.next()?.parse().ok()?;
    let (_, number) = fields.next()?.rsplit_once(':')?;
    (number.parse() == Ok(inode)).then_some(User(process))
}

impl User {
    /// Whether the process, a user of a database, has one of these files open, or may have: what it has
    /// open is told to its owner and to root only, and to others it may be hidden altogether.
    pub(super) fn has_open(self, files: &[FileIdentity], database: FileIdentity) -> bool {
        let directory = format!("/proc/{}/fd", self.0);
        let descriptors = match std::fs::read_dir(directory) {
            Ok(descriptors) => descriptors,
            // It has ended since, or it is hidden.
            Err(_) => return holders(database).is_none_or(|users| users.contains(&self)),
        };
        let is_one = |path| match std::fs::metadata(path) {
            Ok(found) => files.contains(&FileIdentity::from_metadata(&found)),
            Err(error) => error.kind() == PermissionDenied,
        };
        descriptors.flatten().any(|open| is_one(open.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_read_off_its_line() {
        let line = "1: POSIX  ADVISORY  READ 4179 fe:00:10584096 1073741826 1073742335";
        assert_eq!(holder(line, 10_584_096), Some(User(4179)));
        assert_eq!(holder(line, 584_096), None);
        // A lock of an open file is nobody's, and who waits for a lock has none.
        let of_file = "2: OFDLCK ADVISORY  READ -1 fe:00:10584096 0 EOF";
        assert_eq!(holder(of_file, 10_584_096), None);
        let waiting = "1: -> POSIX  ADVISORY  WRITE 4180 fe:00:10584096 0 0";
        assert_eq!(holder(waiting, 10_584_096), None);
        assert_eq!(holder("", 0), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_deleted_file_is_seen_as_long_as_it_is_open() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = std::fs::File::create(&path).unwrap();
        let identity = FileIdentity::of(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let has_open = || {
            let users = of(identity).unwrap();
            users
                .iter()
                .any(|user| user.has_open(&[identity], identity))
        };
        assert!(has_open());
        drop(file);
        assert!(!has_open());
    }
}
