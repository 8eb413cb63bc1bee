//! Connections to one database file: how each is set up, how many there are, and that they still
//! lead to the file that the path names.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use scheduled_thread_pool::ScheduledThreadPool;

use super::failure::failed;
use super::file::{FileIdentity, create_if_missing};
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

/// The connections to one file, as it was found when they were opened.
#[derive(Debug)]
pub(super) struct Pool {
    connections: r2d2::Pool<SqliteConnectionManager>,
    identity: FileIdentity,
    /// The schema cookie under which change capture was last found intact.
    verified: AtomicI64,
    /// Whether that schema has triggers that are not ours.
    foreign_triggers: AtomicBool,
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
        use_wal(&conn, file)?;
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
            identity,
            verified: AtomicI64::new(-1),
            foreign_triggers: AtomicBool::new(true),
        })
    }

    /// Which file the connections lead to.
    pub(super) fn identity(&self) -> FileIdentity {
        self.identity
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

/// Changes of this database may have gone unlogged.
pub(super) fn not_captured(file: &Path, reason: &str) -> Error {
    let message = format!(
        "changes of the database {} may be unlogged: {reason}",
        file.display()
    );
    Error::new(ErrorKind::DatabaseCorrupt, message)
        .with_help("`cardex db repair` mends the log and has every index built anew")
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
fn use_wal(conn: &Connection, file: &Path) -> Result<()> {
    let mode: String = conn
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(|e| failed(file, "switch to the write-ahead log", e))?;
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
