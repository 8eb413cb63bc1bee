//! Connections to one database file: how each is set up, how many there are, and that they still
//! lead to the file that the path names.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
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

/// The connections to one file, as it was found when they were opened.
#[derive(Debug)]
pub(super) struct Pool {
    connections: r2d2::Pool<SqliteConnectionManager>,
    file: PathBuf,
    identity: FileIdentity,
    /// The write-ahead log as it was last seen beside the file. Our connections hold it open, so no
    /// other file can come to look like it.
    wal: Mutex<Option<FileIdentity>>,
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
            .with_init(move |conn| set_up(conn, timeout));
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
            wal: Mutex::default(),
            verified: AtomicI64::new(-1),
            foreign_triggers: AtomicBool::new(true),
            history: Mutex::default(),
        })
    }

    /// Which file the connections lead to.
    pub(super) fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Remembers which write-ahead log is that of our file.
    fn note_wal(&self) {
        let wal = FileIdentity::of(&wal_of(&self.file)).ok();
        // Another file may have come meanwhile, with a log of its own.
        if wal.is_some() && self.is_in_place() {
            *self.wal.lock() = wal;
        }
    }

    /// Whether the path still names our file.
    fn is_in_place(&self) -> bool {
        FileIdentity::of(&self.file).is_ok_and(|now| now == self.identity)
    }

    /// Whether somebody deleted our write-ahead log, or put another one in its place, while our
    /// connections have it open: what they read and write is not what the file's other readers see.
    pub(super) fn has_lost_wal(&self) -> bool {
        let known = *self.wal.lock();
        known.is_some() && FileIdentity::of(&wal_of(&self.file)).ok() != known
    }

    /// Checks, once another file is in the place of ours, that our write-ahead log does not lie beside
    /// that: SQLite would take its pages for the latest ones of the new file, and mix both.
    ///
    /// # Errors
    /// `DatabaseCorrupt` naming what to delete.
    pub(super) fn assert_left_no_wal(&self) -> Result<()> {
        let wal = wal_of(&self.file);
        let is_empty = std::fs::metadata(&wal).map_or(true, |found| found.len() == 0);
        let known = *self.wal.lock();
        if is_empty || self.is_in_place() || FileIdentity::of(&wal).ok() != known {
            return Ok(());
        }
        let name = self.file.display();
        let message = format!(
            "the database {name} was replaced, but {} is still that of the former one",
            wal.display()
        );
        Err(
            Error::new(ErrorKind::DatabaseCorrupt, message).with_help(format!(
                "delete {name}-wal and {name}-shm: they do not belong to the file that is there now"
            )),
        )
    }

    /// Sees to it that a connection leaves alone, when it is closed, what has come in the place of its
    /// file. SQLite ends the last connection with a checkpoint and deletes the write-ahead log, by name;
    /// it notices by itself that the file was moved, but not if the file is empty, or was never read.
    pub(super) fn prepare_to_close(&self, conn: &Connection) {
        if self.is_in_place() && !self.has_lost_wal() {
            return;
        }
        let unused = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        if let Err(error) = unused {
            tracing::warn!(%error, "a connection to a replaced database may disturb the new one");
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
        self.note_wal();
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

fn wal_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
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
