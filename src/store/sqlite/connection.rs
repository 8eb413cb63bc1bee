//! One connection to the database: how it is set up, and how it ends without disturbing what has come
//! in the place of its file.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::failure::failed;
use super::place::Place;
use crate::error::Result;

/// More than all statements that the store ever prepares.
const STATEMENT_CACHE: usize = 64;

/// No `SQLITE_OPEN_URI` (a path is a path), no `SQLITE_OPEN_CREATE` (we create the file with the
/// right mode), and no mutex (the pool gives a connection to one thread at a time).
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// A connection of its own, outside any pool, set up like those of the pool.
pub(super) fn connect(file: &Path, timeout: Duration) -> Result<Connection> {
    open_sqlite(file, timeout).map_err(|e| failed(file, "open", e))
}

/// A connection to a file that exists and is not trusted, whatever it holds.
pub(crate) fn open_sqlite(file: &Path, timeout: Duration) -> rusqlite::Result<Connection> {
    let mut conn = Connection::open_with_flags(file, FLAGS)?;
    set_up(&mut conn, timeout)?;
    Ok(conn)
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

/// A connection that stays open for long, while anything may happen to its file.
#[derive(Debug)]
pub(super) struct Lasting {
    conn: Connection,
    place: Arc<Place>,
}

impl Lasting {
    /// A connection outside any pool to the database of this place.
    ///
    /// # Errors
    /// Those of opening the file.
    pub(super) fn open(place: Arc<Place>, timeout: Duration) -> Result<Self> {
        let conn = connect(place.file(), timeout)?;
        Ok(Lasting { conn, place })
    }
}

impl Deref for Lasting {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.conn
    }
}

impl Drop for Lasting {
    /// SQLite ends the last connection with a checkpoint and deletes the write-ahead log, by name. It
    /// notices by itself that the database was moved, but not if the file is empty, or was never read,
    /// and not that its log is gone: then this connection leaves alone what is there now.
    fn drop(&mut self) {
        let option = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        if let Err(error) = self.conn.set_db_config(option, !self.place.is_whole()) {
            tracing::warn!(%error, "a connection that is closed may disturb another database");
        }
    }
}

/// Opens the connections of a pool.
#[derive(Debug)]
pub(super) struct Manager {
    inner: SqliteConnectionManager,
    place: Arc<Place>,
}

impl Manager {
    pub(super) fn new(place: Arc<Place>, timeout: Duration) -> Self {
        let inner = SqliteConnectionManager::file(place.file())
            .with_flags(FLAGS)
            .with_init(move |conn| set_up(conn, timeout));
        Manager { inner, place }
    }
}

impl r2d2::ManageConnection for Manager {
    type Connection = Lasting;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<Lasting> {
        Ok(Lasting {
            conn: self.inner.connect()?,
            place: Arc::clone(&self.place),
        })
    }

    fn is_valid(&self, lasting: &mut Lasting) -> rusqlite::Result<()> {
        self.inner.is_valid(&mut lasting.conn)
    }

    fn has_broken(&self, lasting: &mut Lasting) -> bool {
        self.inner.has_broken(&mut lasting.conn)
    }
}
