//! Connections to one database file: how each is set up, how many there are, and that they still
//! lead to the file that the path names.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use scheduled_thread_pool::ScheduledThreadPool;

use super::failure::failed;
use super::file::{FileIdentity, create_if_missing};
use super::marks::{LogHead, Marks};
use super::options::SqliteOptions;
use super::schema;
use super::sidecars::Sidecars;
use crate::error::{Error, ErrorKind, Result};

/// A connection of the pool; it goes back when dropped.
pub(super) type Pooled = r2d2::PooledConnection<SqliteConnectionManager>;

/// The oldest SQLite that is safe: earlier ones can lose commits when the log of a WAL database is
/// reset.
const OLDEST_SQLITE: i32 = 3_051_003;

/// More than all statements that the store ever prepares.
const STATEMENT_CACHE: usize = 64;

/// How long to wait before the switch to the write-ahead log is tried again: it takes about a
/// millisecond.
const WAL_RETRY: Duration = Duration::from_millis(2);

/// How long a database whose log was lost is left alone: somebody who deletes its `-wal` may be about
/// to put another database in its place, and must not find a new log of the old one there.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// The connections to one file, as it was found when they were opened.
#[derive(Debug)]
pub(super) struct Pool {
    connections: r2d2::Pool<SqliteConnectionManager>,
    file: PathBuf,
    identity: FileIdentity,
    /// The files beside it; known from its first connection on, which holds them open.
    sidecars: OnceLock<Sidecars>,
    /// The schema cookie under which change capture was last found intact.
    verified: AtomicI64,
    /// Whether that schema has triggers that are not ours.
    foreign_triggers: AtomicBool,
    history: Mutex<History>,
}

/// What transactions have seen of the log.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    head: LogHead,
    marks: Arc<Marks>,
    /// How often the log was found to be another one than before.
    others: u64,
}

impl History {
    /// How often the log was found to be another one than before.
    pub(super) fn others(&self) -> u64 {
        self.others
    }
}

impl Pool {
    /// Opens the file, made if it is missing, and brings its schema up to date.
    pub(super) fn create(file: &Path, options: &SqliteOptions) -> Result<Self> {
        assert_version()?;
        create_if_missing(file)?;
        Self::open(file, options)
    }

    /// Opens a file that must exist, and brings its schema up to date.
    pub(super) fn open(file: &Path, options: &SqliteOptions) -> Result<Self> {
        let identity = FileIdentity::of(file)?;
        let mut conn = connect(file, options.timeout())?;
        schema::version(&conn, file)?;
        use_wal(&conn, file, options.timeout())?;
        schema::migrate(&mut conn, file)?;
        drop(conn);
        let timeout = options.timeout();
        let manager = SqliteConnectionManager::file(file)
            .with_flags(FLAGS)
            .with_init(move |conn| {
                set_up(conn, timeout)?;
                leave_alone_on_close(conn, true)
            });
        // One thread: all it does here is to open connections.
        let opener = ScheduledThreadPool::builder().num_threads(1).build();
        let connections = r2d2::Pool::builder()
            .max_size(options.pool_size())
            .min_idle(Some(0))
            .connection_timeout(timeout)
            // A connection to a local file neither ages nor breaks while idle.
            .max_lifetime(None)
            .idle_timeout(None)
            .test_on_check_out(false)
            .error_handler(Box::new(Traced))
            .thread_pool(Arc::new(opener))
            .build_unchecked(manager);
        Ok(Pool {
            connections,
            file: file.to_owned(),
            identity,
            sidecars: OnceLock::new(),
            verified: AtomicI64::new(-1),
            foreign_triggers: AtomicBool::new(true),
            history: Mutex::default(),
        })
    }

    /// Which file the connections lead to.
    pub(super) fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Remembers which files beside the database are ours. A connection has read something before.
    ///
    /// # Errors
    /// `DatabaseCorrupt` if they were deleted at once.
    pub(super) fn note_sidecars(&self) -> Result<()> {
        let found = Sidecars::of(&self.file, self.identity).map_err(|cause| {
            let name = self.file.display();
            let message = format!("the write-ahead log of {name} was deleted while it was opened");
            Error::new(ErrorKind::DatabaseCorrupt, message)
                .with_help("try again")
                .because(cause)
        })?;
        // Once: later on, what lies there may be somebody else's.
        self.sidecars.get_or_init(|| found);
        Ok(())
    }

    /// Whether the path still names our file.
    pub(super) fn is_in_place(&self) -> bool {
        FileIdentity::of(&self.file).is_ok_and(|now| now == self.identity)
    }

    /// The file beside the database that somebody deleted, or put another one in the place of, while
    /// our connections have it open: what they read and write is not what the database's other users
    /// see.
    pub(super) fn lost_sidecar(&self) -> Option<&Path> {
        self.sidecars.get().and_then(Sidecars::lost)
    }

    /// What must be known to open the database again after it lost a file beside it.
    pub(super) fn lost_log(&self) -> Option<LostLog> {
        let sidecars = self.sidecars.get().filter(|known| known.lost().is_some())?;
        Some(LostLog {
            sidecars: sidecars.clone(),
            identity: self.identity,
            others: self.history().others(),
            found_at: Instant::now(),
        })
    }

    /// Checks, once another file is in the place of ours, that our write-ahead log does not lie beside
    /// that.
    ///
    /// # Errors
    /// As [`Sidecars::assert_left_no_wal`].
    pub(super) fn assert_left_no_wal(&self) -> Result<()> {
        match self.sidecars.get() {
            Some(known) if !self.is_in_place() => known.assert_left_no_wal(&self.file),
            _ => Ok(()),
        }
    }

    /// Lets a connection end as SQLite has it, if all files are in their places: the last one ends with
    /// a checkpoint and deletes the write-ahead log, by name. Otherwise it leaves alone what has come
    /// in their places: SQLite notices by itself that the database was moved, but not if the file is
    /// empty, or was never read, and not that its log is gone.
    pub(super) fn prepare_to_close(&self, conn: &Connection) {
        let is_whole = self.is_in_place() && self.lost_sidecar().is_none();
        if let Err(error) = leave_alone_on_close(conn, !is_whole) {
            tracing::warn!(%error, "a connection to a database may disturb another one when it is closed");
        }
    }

    /// A connection, waiting for one at most for the connection time-out.
    pub(super) fn get(&self, file: &Path) -> Result<Pooled> {
        self.connections.get().map_err(|e| {
            let size = self.connections.max_size();
            let name = file.display();
            if self.connections.state().connections < size {
                let message = format!("cannot open a connection to the database {name}");
                return Error::new(ErrorKind::Database, message).because(e);
            }
            let message = format!("none of {size} connections to the database {name} came free");
            Error::new(ErrorKind::DatabaseBusy, message)
                .with_help("raise database.max_connections or database.connection_timeout")
                .because(e)
        })
    }

    /// What was seen of the log so far: whatever begins now sees it too.
    pub(super) fn history(&self) -> History {
        self.history.lock().clone()
    }

    /// Compares what a transaction sees of the log with what was seen before it began. Returns how
    /// often the log was found to be another one, this time included: somebody who can write to the
    /// file may have put an older copy back in place, or emptied the log.
    pub(super) fn compare(
        &self,
        conn: &Connection,
        head: LogHead,
        pruned_to: u64,
        before: &History,
    ) -> rusqlite::Result<u64> {
        if head == before.head {
            return Ok(before.others);
        }
        let is_same = head.follows(before.head) && before.marks.fit(conn, pruned_to)?;
        let marks = Arc::new(Marks::read(conn)?);
        let mut now = self.history.lock();
        // Somebody else may have found out first, and this transaction see either history.
        let is_first = now.others == before.others;
        if is_same {
            if is_first && head.seq >= now.head.seq {
                (now.head, now.marks) = (head, marks);
            }
            return Ok(before.others);
        }
        if is_first {
            tracing::warn!("the change log is another one: an older copy, or an emptied log");
            now.others += 1;
            (now.head, now.marks) = (head, marks);
        }
        Ok(now.others)
    }

    /// Takes in the last entries of the log after a commit of our own.
    pub(super) fn committed(&self, marks: Marks, before: &History) {
        let (head, marks) = (marks.head(), Arc::new(marks));
        let mut now = self.history.lock();
        if now.others == before.others && head.seq > now.head.seq {
            (now.head, now.marks) = (head, marks);
        }
    }

    /// Whether somebody's own triggers may write while ours are switched off; known once
    /// [`Pool::verify_capture`] has run.
    pub(super) fn has_foreign_triggers(&self) -> bool {
        self.foreign_triggers.load(Ordering::Relaxed)
    }

    /// Checks, once for each state of the schema, that changes are captured. Returns the state.
    ///
    /// # Errors
    /// `DatabaseCorrupt` naming what is missing.
    pub(super) fn verify_capture(&self, conn: &Connection, file: &Path) -> Result<i64> {
        let fail = |e| failed(file, "read the schema", e);
        let cookie = schema::cookie(conn).map_err(fail)?;
        if self.verified.load(Ordering::Acquire) != cookie {
            let faults = schema::capture_faults(conn).map_err(fail)?;
            if !faults.is_empty() {
                return Err(not_captured(file, &faults.join(", ")));
            }
            let foreign = schema::has_foreign_triggers(conn).map_err(fail)?;
            self.foreign_triggers.store(foreign, Ordering::Relaxed);
            // What was found is seen by whoever sees the cookie.
            self.verified.store(cookie, Ordering::Release);
        }
        Ok(cookie)
    }
}

/// What has to be known of a database whose write-ahead log was lost, when it is opened again.
#[derive(Debug)]
pub(super) struct LostLog {
    sidecars: Sidecars,
    identity: FileIdentity,
    /// How often the log had been found to be another one.
    others: u64,
    found_at: Instant,
}

impl LostLog {
    /// Opens the database again, a while after its log was lost and once nobody uses that any more. What was only in there may be
    /// gone, and others may have gone on from there: it is another history.
    ///
    /// # Errors
    /// `DatabaseCorrupt` before that, naming who uses it still; those of [`Pool::open`].
    pub(super) fn reopen(&self, file: &Path, options: &SqliteOptions) -> Result<Pool> {
        if FileIdentity::of(file)? == self.identity {
            if self.found_at.elapsed() < REOPEN_AFTER {
                return Err(self.sidecars.lost_error(file, "", "try again in a second"));
            }
            self.sidecars.assert_let_go(file)?;
        } else {
            self.sidecars.assert_left_no_wal(file)?;
        }
        let pool = Pool::open(file, options)?;
        pool.history.lock().others = self.others + 1;
        Ok(pool)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut idle = Vec::new();
        while let Some(conn) = self.connections.try_get() {
            self.prepare_to_close(&conn);
            idle.push(conn);
        }
    }
}

/// Changes of this database may have gone unlogged.
pub(super) fn not_captured(file: &Path, reason: &str) -> Error {
    let message = format!(
        "changes of the database {} may be unlogged: {reason}",
        file.display()
    );
    Error::new(ErrorKind::DatabaseCorrupt, message)
        .with_help("`cardex db check --repair` mends the log and has every index built anew")
}

/// No `SQLITE_OPEN_URI` (a path is a path), no `SQLITE_OPEN_CREATE` (we create the file with the
/// right mode), and no mutex (the pool gives a connection to one thread at a time).
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// A connection of its own, outside any pool, set up like those of the pool.
pub(super) fn connect(file: &Path, timeout: Duration) -> Result<Connection> {
    let open = || {
        let mut conn = Connection::open_with_flags(file, FLAGS)?;
        set_up(&mut conn, timeout)?;
        Ok(conn)
    };
    open().map_err(|e| failed(file, "open", e))
}

/// Whether a connection leaves checkpoint and log alone when it is closed. Those that are kept open for
/// long do until [`Pool::prepare_to_close`] finds that all is as it was.
pub(super) fn leave_alone_on_close(conn: &Connection, leave: bool) -> rusqlite::Result<()> {
    let option = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    conn.set_db_config(option, leave).map(drop)
}

/// What every connection is told. The file is data from outside: its schema may call no function
/// with side effects, its cells are checked as they are read, and nothing may edit its internals.
///
/// `synchronous = NORMAL`: a commit survives the end of this program at once, and a power cut from
/// the next checkpoint on. The cut may take the last commits whole; the index is built from what is
/// there, and a sequence that is then used again gets another nonce, which followers are to compare.
///
/// `cache_size` is 8 MiB: a commit of another connection empties the cache, and reading a hundred
/// changed files of a large project touches more pages than the default 2 MiB hold. No memory map:
/// a file cut short by somebody else must be an error, not a signal.
fn set_up(conn: &mut Connection, timeout: Duration) -> rusqlite::Result<()> {
    conn.busy_timeout(timeout)?;
    conn.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true)?;
    conn.execute_batch(
        "PRAGMA cell_size_check = ON; PRAGMA synchronous = NORMAL;
         PRAGMA cache_size = -8192; PRAGMA journal_size_limit = 67108864;",
    )
}

/// Readers and a writer at the same time need the write-ahead log; the file keeps the setting.
///
/// The switch takes a lock that SQLite does not wait for, so others that open a fresh file at the
/// same time are waited for here.
fn use_wal(conn: &Connection, file: &Path, timeout: Duration) -> Result<()> {
    let begin = Instant::now();
    let switch = || {
        conn.query_row("PRAGMA journal_mode = WAL", [], |row| {
            row.get::<_, String>(0)
        })
    };
    let mode = loop {
        match switch() {
            Err(e) if is_busy(&e) && begin.elapsed() < timeout => thread::sleep(WAL_RETRY),
            done => break done.map_err(|e| failed(file, "switch to the write-ahead log", e))?,
        }
    };
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    let name = file.display();
    Err(Error::new(
        ErrorKind::Database,
        format!("{name} cannot have a write-ahead log ({mode})"),
    )
    .with_help("put the database on a local file system"))
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn assert_version() -> Result<()> {
    if rusqlite::version_number() >= OLDEST_SQLITE {
        return Ok(());
    }
    let message = format!(
        "SQLite {} is too old: it can lose commits",
        rusqlite::version()
    );
    Err(Error::new(ErrorKind::Database, message).with_help("build with SQLite 3.51.3 or later"))
}

/// Failures to open a connection are told to the log; the caller gets the last one at its time-out.
#[derive(Debug)]
struct Traced;

impl r2d2::HandleError<rusqlite::Error> for Traced {
    fn handle_error(&self, error: rusqlite::Error) {
        tracing::warn!(%error, "cannot open a connection to the database");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The switch to the write-ahead log does not wait for locks by itself; all must get there.
    #[test]
    fn a_fresh_file_can_be_opened_by_many_at_once() {
        for round in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let file = &directory.path().join("fresh.db");
            create_if_missing(file).unwrap();
            let begin = std::sync::Barrier::new(8);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        let options = SqliteOptions::default();
                        let conn = connect(file, options.timeout()).unwrap();
                        begin.wait();
                        let pool = Pool::open(file, &options);
                        if let Err(e) = pool.and_then(|pool| pool.get(file).map(drop)) {
                            panic!("round {round}: {e}: {:?}", std::error::Error::source(&e));
                        }
                        drop(conn);
                    });
                }
            });
        }
    }
}
