//! Copies of a cache file: one is written whole or not at all, and one that is read back is not believed:
//! each row has to match its digests and to be alive, by the same clocks as in the file itself.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::doom::Touched;
use super::file::{DiskFile, Stop};
use super::rows::{self, Copied};
use super::schema;
use crate::error::{Error, ErrorKind, Result};

/// What came of reading a copy back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// Entries that are in the file now.
    pub entries: u64,
    /// Entries of the copy whose time is over.
    pub expired: u64,
    /// Entries of the copy that do not match their digests.
    pub damaged: u64,
}

impl DiskFile {
    /// Writes what the file holds at one moment to a new file (mode 0600), and returns how many bytes that
    /// has. Whoever wants to change something waits meanwhile.
    ///
    /// # Errors
    /// `InvalidInput` if there is such a file already; `Database`, `DatabaseBusy`, `Io`, and nothing of
    /// the new file is left.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<u64> {
        let to = crate::store::absolute(to.as_ref())?;
        // SQLite fills an empty file, and no other.
        let made = create_new(&to)?;
        let name = to.to_str().map(str::to_owned).ok_or_else(|| {
            let message = format!("the name of {} is not UTF-8", to.display());
            Error::new(ErrorKind::InvalidInput, message)
        });
        let written = name.and_then(|name| {
            self.aside("copy the entries", |conn| {
                conn.execute("VACUUM INTO ?1", [&name])
            })?;
            made.sync_all()
                .map_err(|cause| failed("write", &to, cause))?;
            let metadata = made.metadata();
            metadata.map_err(|cause| failed("look at", &to, cause))
        });
        if written.is_err() {
            // A file that stays is empty, or a stump, which nothing takes for a copy.
            let _ = std::fs::remove_file(&to);
        }
        Ok(written?.len())
    }

    /// Puts what a copy holds in place of all that the file holds, in one transaction. What is damaged or
    /// expired is left out. Memory above the file does not know of it: no cache should be open over it.
    ///
    /// # Errors
    /// `InvalidInput` if it is no copy of such a file of this version, or the file itself; `Io`,
    /// `Database`, also where the copy has more than the file may, and the file is as it was.
    pub fn restore(&self, from: impl AsRef<Path>) -> Result<Restored> {
        let from = from.as_ref();
        let copy = self.open_copy(from)?;
        schema::recognise_copy(&copy, from)?;
        let now = self.now();
        self.change(
            "restore the entries",
            Touched::Nothing,
            |database, tally| {
                rows::take_everything(&database.conn, tally)?;
                let mut restored = Restored::default();
                rows::each(&copy, now, |row| {
                    match row {
                        Copied::Lives {
                            space,
                            key,
                            version,
                            times,
                            value,
                        } => {
                            rows::insert(&database.conn, space, &key, value, version, times)?;
                            tally.of(space).added += 1;
                            restored.entries += 1;
                        }
                        Copied::Expired => restored.expired += 1,
                        Copied::Damaged => restored.damaged += 1,
                    }
                    Ok::<(), Stop>(())
                })?;
                Ok(restored)
            },
        )
    }

    fn open_copy(&self, from: &Path) -> Result<Connection> {
        let real = from.canonicalize();
        let real = real.map_err(|cause| failed("open", from, cause))?;
        if self.path().canonicalize().is_ok_and(|own| own == real) {
            let message = format!("{} is the cache file itself", from.display());
            let error = Error::new(ErrorKind::InvalidInput, message);
            return Err(error.with_help("name a file that `cardex cache backup` wrote"));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&real, flags).and_then(|conn| {
            conn.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")?;
            Ok(conn)
        });
        opened.map_err(|cause| {
            let message = format!("cannot open {}", from.display());
            Error::new(ErrorKind::Database, message).because(cause)
        })
    }
}

fn create_new(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => {
            let message = format!("{} exists already", path.display());
            let error = Error::new(ErrorKind::InvalidInput, message);
            error.with_help("name another file: nothing is overwritten")
        }
        _ => failed("create", path, cause),
    })
}

fn failed(operation: &str, path: &Path, cause: io::Error) -> Error {
    let message = format!("cannot {operation} {}", path.display());
    Error::new(ErrorKind::Io, message).because(cause)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::tier::{DiskFileOptions, DiskTier, DiskTierOptions, Key, Lifetime, Tier};

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    struct Place {
        directory: tempfile::TempDir,
        clock: Arc<ManualClock>,
    }

    impl Place {
        fn new() -> Self {
            Place {
                directory: tempfile::tempdir().unwrap(),
                clock: Arc::default(),
            }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn open(&self, name: &str) -> Arc<DiskFile> {
            let clock: Arc<dyn Clock> = self.clock.clone();
            DiskFile::open(self.at(name), DiskFileOptions::default(), clock).unwrap()
        }

        /// A backup of a file with `short`, for a minute, and `long`, for an hour.
        fn backup(&self) -> PathBuf {
            let file = self.open("a.db");
            let tier = DiskTier::over(&file, "s", DiskTierOptions::default()).unwrap();
            for (name, seconds) in [("short", 60), ("long", 3600)] {
                let lifetime = Lifetime::For(Duration::from_secs(seconds));
                let value = name.as_bytes().into();
                assert!(tier.put(&key(name), value, 7, lifetime.into()).unwrap());
            }
            let copy = self.at("copy.db");
            assert!(file.backup(&copy).unwrap() > 0);
            copy
        }
    }

    fn values(file: &Arc<DiskFile>) -> [Option<Vec<u8>>; 3] {
        let tier = DiskTier::over(file, "s", DiskTierOptions::default()).unwrap();
        let value = |name| Some(tier.get(&key(name)).unwrap()?.value.to_vec());
        ["short", "long", "other"].map(value)
    }

    #[test]
    fn a_copy_brings_back_what_lives_with_the_time_it_had_left() {
        let place = Place::new();
        let copy = place.backup();
        let file = place.open("b.db");
        let tier = DiskTier::over(&file, "s", DiskTierOptions::default()).unwrap();
        tier.put(&key("other"), b"x"[..].into(), 1, Lifetime::Never.into())
            .unwrap();
        drop(tier);
        place.clock.advance(Duration::from_secs(61));
        let restored = file.restore(&copy).unwrap();
        assert_eq!(
            (restored.entries, restored.expired, restored.damaged),
            (1, 1, 0)
        );
        assert_eq!(values(&file), [None, Some(b"long".to_vec()), None]);
        place.clock.advance(Duration::from_secs(3600 - 61));
        assert_eq!(values(&file), [None, None, None]);
    }

    #[test]
    fn a_file_that_was_closed_says_so_and_is_opened_again_by_whoever_uses_it() {
        let place = Place::new();
        place.backup();
        let file = place.open("a.db");
        file.close();
        let says = || {
            let conn = Connection::open(place.at("a.db")).unwrap();
            let boot = "SELECT CAST(boot AS TEXT) = 'closed properly.' FROM state";
            conn.query_row(boot, [], |row| row.get::<_, Option<bool>>(0))
                .unwrap()
        };
        assert_eq!(says(), Some(true));
        assert_eq!(values(&file)[1], Some(b"long".to_vec()));
        file.close();
        file.close();
        assert_eq!(says(), Some(true));
    }

    #[test]
    fn a_copy_is_for_its_owner_alone_and_never_overwrites() {
        let place = Place::new();
        let copy = place.backup();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = copy.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let before = std::fs::read(&copy).unwrap();
        let error = place.open("c.db").backup(&copy).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(std::fs::read(&copy).unwrap(), before);
    }

    #[test]
    fn a_row_that_was_altered_does_not_come_back() {
        let place = Place::new();
        let copy = place.backup();
        let conn = Connection::open(&copy).unwrap();
        let altered = "UPDATE entries SET value = CAST('short' AS BLOB) WHERE key = 'long'";
        assert_eq!(conn.execute(altered, []).unwrap(), 1);
        let select = "SELECT head FROM entries WHERE key = 'short'";
        let head: Vec<u8> = conn.query_row(select, [], |row| row.get(0)).unwrap();
        for at in 0..head.len() {
            let mut altered = head.clone();
            altered[at] ^= 1;
            let update = "UPDATE entries SET head = ?1 WHERE key = 'short'";
            assert_eq!(conn.execute(update, [&altered]).unwrap(), 1);
            let mut damaged = 0;
            let count = |row: Copied<'_>| {
                damaged += usize::from(matches!(row, Copied::Damaged));
                Ok::<_, rusqlite::Error>(())
            };
            let now = super::super::row::Instant::now(&ManualClock::new(), [0; 16]);
            rows::each(&conn, now, count).unwrap();
            assert_eq!(damaged, 2, "byte {at}");
        }
        drop(conn);
        let file = place.open("b.db");
        let restored = file.restore(&copy).unwrap();
        assert_eq!((restored.entries, restored.damaged), (0, 2));
        assert_eq!(values(&file), [None, None, None]);
    }

    #[test]
    fn what_is_no_copy_is_refused_and_nothing_changes() {
        let place = Place::new();
        place.backup();
        let file = place.open("a.db");
        std::fs::write(place.at("text"), "no database at all, whoever says so").unwrap();
        let foreign = Connection::open(place.at("foreign.db")).unwrap();
        foreign.execute_batch("CREATE TABLE t (x)").unwrap();
        drop(foreign);
        for name in ["text", "foreign.db", "a.db"] {
            let error = file.restore(place.at(name)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error:#}");
        }
        assert_eq!(
            file.restore(place.at("absent")).unwrap_err().kind(),
            ErrorKind::Io
        );
        assert_eq!(values(&file)[1], Some(b"long".to_vec()));
    }
}
