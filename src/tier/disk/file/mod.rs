//! `DiskFile`: one file, one lock and one limit of bytes for all tiers in it. Whoever changes it has its
//! turn; whoever reads has a connection of his own, and waits for nobody.
//!
//! A change that fails must leave nothing older to be found. Its entry is taken out; if that fails too,
//! the whole file is removed, which works on a disk that is full; and while nothing can be done, it is
//! remembered what must not be found, here and in the lock file.

mod amends;
mod slot;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use self::slot::{Slot, Tenure};
use super::condition::Condition;
use super::doom::{Doom, Touched};
use super::guard::Guard;
use super::options::DiskFileOptions;
use super::readers::{Reader, Readers, Taken};
use super::row::Instant;
use super::schema::{self, Database, Fault};
use super::space::Space;
use super::sweeper;
use super::tally::Tally;
use super::turn::Turns;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::machine;
use crate::primitives::Mutex;
use crate::stats::Counter;
use crate::worker::Worker;

/// How often something is done anew whose file was given up meanwhile.
const TRIES: usize = 3;

/// A file that tiers share: each is a space in it, and sees no other. When the file is full, what was
/// written first leaves, expired first, whichever space it is in.
///
/// It belongs to one process. What was acknowledged outlives that process, however it ends; if the
/// machine goes down while the file is open, it is emptied when it is opened next, since a change that
/// the disk had not got yet may have been a removal.
pub struct DiskFile {
    path: PathBuf,
    options: DiskFileOptions,
    clock: Arc<dyn Clock>,
    boot: [u8; 16],
    writer: Turns<Slot>,
    readers: Readers,
    doom: Doom,
    guard: Guard,
    spaces: Mutex<Vec<Weak<Space>>>,
    /// What the last transaction left, for those who may not do I/O.
    bytes: AtomicU64,
    /// How often all that the file held was given up.
    rebuilds: Counter,
    condition: Condition,
    sweeper: Mutex<Option<Worker>>,
}

/// Why a transaction was not committed.
#[derive(Debug)]
pub(super) enum Stop {
    Sql(rusqlite::Error),
    /// The caller's own code says so: nothing changes.
    Caller(Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(cause: rusqlite::Error) -> Self {
        Stop::Sql(cause)
    }
}

/// The same, once it is known what an error of SQLite means.
enum Halt {
    Fault(Fault),
    Caller(Error),
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Halt::Fault(fault)
    }
}

impl DiskFile {
    /// Opens the file, made (mode 0600) if it is missing. A damaged file, and one of another version, is
    /// moved aside to `NAME.corrupt-1` and so on (at most three are kept), with a warning in the log.
    ///
    /// # Errors
    /// `DatabaseBusy` if another process, or this one, has the file open; `DatabaseCorrupt` for a database
    /// of something else, which is left as it is; `Io`, `Database`.
    pub fn open(
        path: impl AsRef<Path>,
        options: DiskFileOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let path = crate::store::absolute(path.as_ref())?;
        let guard = Guard::take(&path)?;
        let interval = options.sweep_interval;
        let file = Arc::new(DiskFile {
            path,
            options,
            clock,
            boot: boot(),
            writer: Turns::new(Slot::Closed),
            readers: Readers::default(),
            doom: Doom::default(),
            guard,
            spaces: Mutex::default(),
            bytes: AtomicU64::new(0),
            rebuilds: Counter::default(),
            condition: Condition::default(),
            sweeper: Mutex::new(None),
        });
        file.ensure_open()?;
        *file.sweeper.lock() = Some(sweeper::start(&file, interval)?);
        Ok(file)
    }

    /// Says in the file that it was closed, unless there is something in it that must not be found: as
    /// dropping it does, for who cannot wait until nobody has it any more. It stays this process' own, and
    /// whoever uses it opens it again.
    pub fn close(&self) {
        self.readers.retire();
        let Ok(mut turn) = self.turn() else {
            return;
        };
        if self.doom.is_pending() {
            drop(self.made_up(&mut turn));
        }
        self.readers.retire();
        self.shut(&mut turn);
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What all entries take, in bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The most that they may take.
    pub fn max_bytes(&self) -> u64 {
        self.options.max_bytes
    }

    /// How often all that the file held was given up.
    pub(super) fn rebuilds(&self) -> u64 {
        self.rebuilds.get()
    }

    pub(super) fn condition(&self) -> &Condition {
        &self.condition
    }

    pub(super) fn now(&self) -> Instant {
        Instant::now(&*self.clock, self.boot)
    }

    /// What must not be found although it may be there.
    pub(super) fn doom(&self) -> &Doom {
        &self.doom
    }

    /// A space of this name, which nobody else has.
    ///
    /// # Errors
    /// `InvalidInput` if a tier is over it already, or for a name without a character.
    pub(super) fn add_space(&self, name: &str) -> Result<Arc<Space>> {
        let refuse = |what: &str| {
            let message = format!("a tier of {} {what}", self.path.display());
            let error = Error::new(ErrorKind::InvalidInput, message);
            Err(error.with_help("give each tier of a file a name of its own"))
        };
        if name.is_empty() {
            return refuse("has no name");
        }
        let mut spaces = self.spaces.lock();
        spaces.retain(|space| space.strong_count() > 0);
        let live = spaces.iter().filter_map(Weak::upgrade);
        if live.into_iter().any(|space| *space.name == *name) {
            return refuse(&format!("is called {name} already"));
        }
        let space = Arc::new(Space::new(name));
        spaces.push(Arc::downgrade(&space));
        Ok(space)
    }

    fn spaces(&self) -> Vec<Arc<Space>> {
        let spaces = self.spaces.lock();
        spaces.iter().filter_map(Weak::upgrade).collect()
    }

    /// Asks for a sweep in the background.
    pub(super) fn ring(&self) {
        if let Some(sweeper) = &*self.sweeper.lock() {
            sweeper.ring();
        }
    }

    /// Looks something up, now. A file that turns out to be damaged is moved aside, and this is done once
    /// more, with an empty one.
    pub(super) fn read<R>(
        &self,
        operation: &str,
        now: Instant,
        work: impl Fn(&Connection) -> rusqlite::Result<R>,
    ) -> Result<R> {
        for _ in 0..TRIES {
            let Some(mut reader) = self.reader()? else {
                continue;
            };
            let cause = match reader.prepare(now).and_then(|()| work(&reader)) {
                Ok(done) => return Ok(done),
                Err(cause) => cause,
            };
            reader.forget();
            let (file, is_current) = (reader.file, reader.is_current());
            match schema::fault(&self.path, operation, cause) {
                Fault::Failed(error) if is_current => {
                    self.condition.fails(&error);
                    return Err(error);
                }
                // Its file is not the one that is open any more.
                Fault::Failed(_) => {}
                fault => {
                    drop(reader);
                    self.abandon_if_still(file, fault)?;
                }
            }
        }
        Err(self.restless(operation))
    }

    /// A connection to the file that is open; `None` if it is to be asked for again.
    fn reader(&self) -> Result<Option<Reader<'_>>> {
        match self.readers.take(self.options.timeout) {
            Taken::Reader(reader) => Ok(Some(reader)),
            Taken::Closed => self.ensure_open().map(|()| None),
            Taken::TooLate => Err(self.busy()),
        }
    }

    /// Changes the file in one transaction, and takes note of what it holds then. The work may be done
    /// more than once, the last time for good.
    pub(super) fn change<R>(
        &self,
        operation: &str,
        touched: Touched<'_>,
        mut work: impl FnMut(&Database, &mut Tally) -> Result<R, Stop>,
    ) -> Result<R> {
        let mut turn = self.turn().inspect_err(|_| self.condemn(touched))?;
        for _ in 0..TRIES {
            match self.attempt(&mut turn, operation, &mut work) {
                Ok(done) => {
                    self.condition.works();
                    return Ok(done);
                }
                Err(Halt::Caller(error)) => return Err(error),
                Err(Halt::Fault(Fault::Failed(error))) => {
                    self.condition.fails(&error);
                    self.make_up_for(&mut turn, touched, &error);
                    return Err(error);
                }
                Err(Halt::Fault(fault)) => {
                    let given_up = self.give_up(&mut turn, fault);
                    given_up.inspect_err(|_| self.condemn(touched))?;
                }
            }
        }
        let error = self.restless(operation);
        self.make_up_for(&mut turn, touched, &error);
        Err(error)
    }

    /// Does something with the open file in its turn, outside of a transaction; nothing in it changes.
    pub(super) fn aside<R>(
        &self,
        operation: &str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<R>,
    ) -> Result<R> {
        let mut turn = self.turn()?;
        let told = |fault| match fault {
            Fault::Failed(error) => error,
            _ => self.restless(operation),
        };
        let database = self.made_up(&mut turn).map_err(told)?;
        let done = work(&database.conn);
        done.map_err(|cause| told(schema::fault(&self.path, operation, cause)))
    }

    fn attempt<R>(
        &self,
        slot: &mut Slot,
        operation: &str,
        work: &mut impl FnMut(&Database, &mut Tally) -> Result<R, Stop>,
    ) -> Result<R, Halt> {
        let fail = |cause| Halt::Fault(schema::fault(&self.path, operation, cause));
        let database = self.made_up(slot)?;
        let tx = begin(&database.conn).map_err(fail)?;
        let before = database.conn.total_changes();
        let mut tally = Tally::default();
        let done = work(database, &mut tally).map_err(|stop| match stop {
            Stop::Sql(cause) => fail(cause),
            Stop::Caller(error) => Halt::Caller(error),
        })?;
        if database.conn.total_changes() == before {
            return Ok(done);
        }
        let changes = database.count().map_err(fail)?;
        let used = database.used_pages().map_err(fail)?;
        tx.commit().map_err(fail)?;
        database.changes = changes;
        self.guard.note_changes(changes);
        self.bytes
            .store(used * database.page_size, Ordering::Relaxed);
        tally.count(&self.spaces());
        Ok(done)
    }

    fn turn(&self) -> Result<Tenure<'_>> {
        let turn = self.writer.take(self.options.timeout);
        let turn = turn.ok_or_else(|| self.busy())?;
        Ok(Tenure {
            _disturbance: self.readers.disturb(),
            turn,
        })
    }

    /// Opens the file if it is not, and anew if nobody is left to read it.
    fn ensure_open(&self) -> Result<()> {
        let mut turn = self.turn()?;
        if self.readers.current() == 0 {
            self.shut(&mut turn);
        }
        match self.made_up(&mut turn) {
            Ok(_) => Ok(()),
            Err(Fault::Failed(error)) => {
                self.condition.fails(&error);
                Err(error)
            }
            Err(fault) => self.give_up(&mut turn, fault),
        }
    }

    fn busy(&self) -> Error {
        let message = format!("the cache file {} is busy", self.path.display());
        Error::new(ErrorKind::DatabaseBusy, message)
            .with_help("try again, or give the file a longer time-out")
    }

    fn restless(&self, operation: &str) -> Error {
        let name = self.path.display();
        let message = format!("cannot {operation}: {name} was given up {TRIES} times");
        Error::new(ErrorKind::DatabaseCorrupt, message).with_help("look after the disk")
    }
}

/// A transaction that is rolled back unless it is committed.
fn begin(conn: &Connection) -> rusqlite::Result<Transaction<'_>> {
    Transaction::new_unchecked(conn, TransactionBehavior::Immediate)
}

/// Which boot of which machine this is: only of the same one do the times since the boot compare.
fn boot() -> [u8; 16] {
    let name = machine::boot_name().unwrap_or_else(|| {
        // Not known: of this process alone.
        use std::hash::BuildHasher;
        let random = || foldhash::fast::RandomState::default().hash_one(0);
        format!("{:x}{:x}{}", random(), random(), std::process::id())
    });
    let mut boot = [0; 16];
    boot.copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..16]);
    boot
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        drop(self.sweeper.lock().take());
        self.close();
    }
}

impl fmt::Debug for DiskFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskFile")
            .field("path", &self.path)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::readers::READERS;
    use super::super::{DiskTier, DiskTierOptions};
    use super::*;
    use crate::clock::ManualClock;
    use crate::tier::{Key, Lifetime, Tier};

    #[test]
    fn a_file_whose_readers_are_all_lost_is_opened_anew() {
        let home = tempfile::tempdir().unwrap();
        let (path, clock) = (home.path().join("t.db"), Arc::new(ManualClock::new()));
        let tier = DiskTier::open("tier", path, DiskTierOptions::default(), clock).unwrap();
        let key = Key::new("k").unwrap();
        for version in 1..=3 {
            let never = Lifetime::Never.into();
            assert!(tier.put(&key, Arc::default(), version, never).unwrap());
            for lost in 0..READERS {
                assert_eq!(tier.get(&key).unwrap().unwrap().version, version, "{lost}");
                tier.file.reader().unwrap().expect("it is open").lose();
            }
            assert_eq!(tier.file.readers.current(), 0);
        }
        assert_eq!(tier.get(&key).unwrap().unwrap().version, 3);
        assert_eq!(tier.file.rebuilds(), 0, "nothing was given up");
    }
}
