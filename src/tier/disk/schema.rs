//! The database of a cache file: its tables, how it is opened and recognised, and when it is believed.
//!
//! A write to it is not synced, so a machine that goes down takes the last ones with it, and would bring
//! back values that were removed. So the database says under which boot of the machine it is open, and
//! says so durably before the first change; when it is closed it says that instead, in its last
//! transaction, which a disk has only if it has all before it. A database that says that it is open
//! under another boot has lost nobody knows what, and is emptied. A process that is killed loses nothing:
//! what it wrote is the kernel's.
//!
//! What a log can lose otherwise, when it is damaged or deleted, is told by the count of changes: that
//! in the database is no lower than that in the lock file, or the database is emptied.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::files::Files;
use super::guard::Guard;
use super::rows;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{create_private, open_sqlite};

/// Marks a file as a cache, in SQLite's header: "cdxt" in ASCII.
const APPLICATION_ID: i32 = 0x6364_7874;
/// The form of the file that this program reads and writes.
const SCHEMA_VERSION: i32 = 3;
/// Stands for the boot while nobody has the file open.
const CLOSED: [u8; 16] = *b"closed properly.";

const SCHEMA: &str = "
    CREATE TABLE state (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        boot BLOB NOT NULL,        -- under which it is open
        changes INTEGER NOT NULL   -- transactions, ever
    ) STRICT;
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY,   -- the order of writing
        space TEXT NOT NULL,       -- the tier
        key TEXT NOT NULL,
        head BLOB NOT NULL,        -- version, times, digests
        ends_ns INTEGER,           -- when it leaves, since 1970
        value BLOB NOT NULL,
        UNIQUE (space, key)
    ) STRICT;
    CREATE INDEX entries_by_space ON entries (space);
    CREATE INDEX entries_by_end ON entries (space, ends_ns) WHERE ends_ns IS NOT NULL;";

/// More changes than anybody makes.
pub(super) const MOST_CHANGES: u64 = 1 << 62;

/// Bytes of pages that a connection which only reads keeps, in KiB: a change empties them.
const READER_CACHE: &str = "PRAGMA cache_size = -2048; PRAGMA query_only = ON;";

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) enum Fault {
    /// Its contents are damaged: it is to be moved aside, and an empty one to take its place.
    Damaged(String),
    /// It is in a form of another version: the same is to be done.
    OtherVersion(String),
    /// It is sound, and what it says may be no longer so: it is to be removed.
    Outdated(String),
    /// Somebody took it, or its log, away: an empty one is to take its place.
    TakenAway,
    /// Anything else: the file is left as it is.
    Failed(Error),
}

/// Sorts an error of SQLite during `operation`.
pub(super) fn fault(file: &Path, operation: &str, cause: rusqlite::Error) -> Fault {
    let name = file.display();
    match cause.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Fault::Damaged(cause.to_string())
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let message = format!("cannot {operation}: another program holds {name}");
            let error = Error::new(ErrorKind::DatabaseBusy, message);
            let error = error.with_help("end the other program, or name another file");
            Fault::Failed(error.because(cause))
        }
        _ => {
            let message = format!("cannot {operation} in the cache file {name}");
            Fault::Failed(Error::new(ErrorKind::Database, message).because(cause))
        }
    }
}

/// What a connection is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileLimits {
    pub(super) max_bytes: u64,
    pub(super) timeout: Duration,
}

/// The connection that writes, and what is known of its file.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) conn: Connection,
    pub(super) files: Files,
    /// Transactions, ever.
    pub(super) changes: u64,
    pub(super) page_size: u64,
    /// The most pages that the file may have.
    pub(super) max_pages: u64,
}

impl Database {
    /// Opens the file, made (mode 0600) if it is missing, and says durably that it is open.
    pub(super) fn open(
        file: &Path,
        limits: &FileLimits,
        boot: [u8; 16],
        guard: &Guard,
    ) -> Result<Self, Fault> {
        let fail = |cause| fault(file, "open", cause);
        create_private(file).map_err(Fault::Failed)?;
        let conn = open_sqlite(file, limits.timeout).map_err(fail)?;
        leave_alone(&conn, true);
        plan_once(&conn).map_err(fail)?;
        recognise(&conn, file)?;
        let mode = conn.query_row("PRAGMA journal_mode = WAL", [], |row| {
            row.get::<_, String>(0)
        });
        if mode.map_err(fail)? != "wal" {
            let message = format!("the cache file {} cannot have a log", file.display());
            let error = Error::new(ErrorKind::Database, message);
            return Err(Fault::Failed(
                error.with_help("name a file on a local file system"),
            ));
        }
        let acknowledged = guard.changes();
        create(&conn, acknowledged).map_err(fail)?;
        rows::prepare(&conn).map_err(|cause| Fault::Damaged(cause.to_string()))?;
        let changes = believed(&conn, file, boot, acknowledged, guard.doubts())?;
        let page_size = page_size(&conn).map_err(fail)?;
        let max_pages = limits.max_bytes / page_size;
        let limit = format!("PRAGMA max_page_count = {max_pages}");
        conn.query_row(&limit, [], |_| Ok(())).map_err(fail)?;
        let mut database = Database {
            conn,
            files: Files::of(file),
            changes,
            page_size,
            max_pages,
        };
        database.say(boot, "FULL").map_err(fail)?;
        // The log is there from the first transaction on.
        database.files = Files::of(file);
        guard.note_changes(database.changes);
        Ok(database)
    }

    /// Notes one more change; part of each transaction that makes one.
    pub(super) fn count(&self) -> rusqlite::Result<u64> {
        let changes = self.changes + 1;
        let updated = self
            .conn
            .prepare_cached("UPDATE state SET changes = ?1 WHERE id = 1")?
            .execute([changes.cast_signed()])?;
        match updated {
            1 => Ok(changes),
            _ => Err(rusqlite::Error::QueryReturnedNoRows),
        }
    }

    /// Says under which boot it is open, in a transaction that is synced so much.
    fn say(&mut self, boot: [u8; 16], synchronous: &str) -> rusqlite::Result<()> {
        self.conn.pragma_update(None, "synchronous", synchronous)?;
        let tx = self.conn.unchecked_transaction()?;
        let changes = self.count()?;
        tx.execute("UPDATE state SET boot = ?1 WHERE id = 1", [boot])?;
        tx.commit()?;
        self.changes = changes;
        self.conn.pragma_update(None, "synchronous", "NORMAL")
    }

    /// Closes it, and says so. Nobody else may have it open.
    pub(super) fn close(mut self, guard: &Guard) -> rusqlite::Result<()> {
        if !self.files.are_in_place() {
            return Ok(());
        }
        self.say(CLOSED, "NORMAL")?;
        guard.note_changes(self.changes);
        leave_alone(&self.conn, false);
        self.conn.close().map_err(|(_, cause)| cause)
    }

    /// Closes it so that nothing more is written to any file. The caller does with those what he means
    /// to.
    pub(super) fn let_go(self) -> Files {
        self.files
    }

    /// Pages that hold something; the others are used again before the file grows.
    pub(super) fn used_pages(&self) -> rusqlite::Result<u64> {
        let pragma = |sql| {
            let mut statement = self.conn.prepare_cached(sql)?;
            statement.query_row([], |row| row.get::<_, i64>(0))
        };
        let used = pragma("PRAGMA page_count")? - pragma("PRAGMA freelist_count")?;
        Ok(u64::try_from(used).unwrap_or(0))
    }
}

/// A connection that only reads the file that another one has just opened. It sees each change that was
/// committed before it is used.
pub(super) fn open_reader(files: &Files, timeout: Duration) -> Result<Connection, Fault> {
    let file = files.path();
    let fail = |cause| fault(file, "open", cause);
    if !files.are_in_place() {
        return Err(Fault::TakenAway);
    }
    let conn = open_sqlite(file, timeout).map_err(fail)?;
    leave_alone(&conn, true);
    plan_once(&conn).map_err(fail)?;
    conn.execute_batch(READER_CACHE).map_err(fail)?;
    // From here on it has the log open, and not only the database.
    let read = conn.query_row("SELECT changes FROM state", [], |row| row.get::<_, i64>(0));
    if !files.are_in_place() {
        return Err(Fault::TakenAway);
    }
    read.map_err(fail)?;
    Ok(conn)
}

/// Tells a connection whether to write anything when it is closed: SQLite would find the log by its name,
/// which may be another one's then.
fn leave_alone(conn: &Connection, alone: bool) {
    let option = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    if let Err(error) = conn.set_db_config(option, alone) {
        tracing::warn!(%error, "a cache file that is closed may be disturbed");
    }
}

/// A statement is planned once, whatever values it is given. Otherwise SQLite looks at them, that of a limit
/// above all, and plans the statement anew for each that is bound, which took more than half of a write.
fn plan_once(conn: &Connection) -> rusqlite::Result<()> {
    let option = DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG;
    conn.set_db_config(option, true).map(drop)
}

/// Refuses what is not ours.
fn recognise(conn: &Connection, file: &Path) -> Result<(), Fault> {
    let fail = |cause| fault(file, "open", cause);
    let (application, version) = header(conn).map_err(fail)?;
    let objects: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(fail)?;
    match (application, version, objects) {
        (0, 0, 0) | (APPLICATION_ID, SCHEMA_VERSION, _) => Ok(()),
        (APPLICATION_ID, version, _) => Err(Fault::OtherVersion(format!(
            "it has version {version}, and this program knows {SCHEMA_VERSION}"
        ))),
        _ => {
            let name = file.display();
            let message = format!("{name} is an SQLite database, but not a cache file of cardex");
            let error = Error::new(ErrorKind::DatabaseCorrupt, message);
            let help = "name another file; this one was left as it is";
            Err(Fault::Failed(error.with_help(help)))
        }
    }
}

/// Refuses what is no copy of a cache file of this version.
pub(super) fn recognise_copy(conn: &Connection, file: &Path) -> Result<()> {
    let refuse = |what: String| {
        let message = format!("{} is no backup of a cache file: {what}", file.display());
        let error = Error::new(ErrorKind::InvalidInput, message);
        Err(error.with_help("name a file that `cardex cache backup` wrote"))
    };
    match header(conn) {
        Ok((APPLICATION_ID, SCHEMA_VERSION)) => Ok(()),
        Ok((APPLICATION_ID, version)) => refuse(format!(
            "it has version {version}, and this program knows {SCHEMA_VERSION}"
        )),
        Ok(_) => refuse("it is a database of something else".to_owned()),
        Err(cause) => refuse(cause.to_string()),
    }
}

fn header(conn: &Connection) -> rusqlite::Result<(i32, i32)> {
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    Ok((pragma("application_id")?, pragma("user_version")?))
}

/// Makes the tables of an empty file, in one transaction. It goes on counting where the one before it
/// stood, so that no copy of that is ever believed again.
fn create(conn: &Connection, changes: u64) -> rusqlite::Result<()> {
    if header(conn)? == (APPLICATION_ID, SCHEMA_VERSION) {
        return Ok(());
    }
    let tx = conn.unchecked_transaction()?;
    tx.execute_batch(SCHEMA)?;
    tx.execute(
        "INSERT INTO state VALUES (1, ?1, ?2)",
        params![CLOSED, changes.cast_signed()],
    )?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    tx.commit()
}

/// How many changes the database has had, if it can be believed.
fn believed(
    conn: &Connection,
    file: &Path,
    boot: [u8; 16],
    acknowledged: u64,
    doubted: bool,
) -> Result<u64, Fault> {
    let state = conn
        .query_row("SELECT boot, changes FROM state WHERE id = 1", [], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?))
        })
        .optional();
    let Some((opened, changes)) = state.map_err(|cause| fault(file, "open", cause))? else {
        return Err(Fault::Damaged("it does not say who has it open".into()));
    };
    let changes = changes.cast_unsigned();
    if changes > MOST_CHANGES {
        return Err(Fault::Damaged("it counts changes that nobody made".into()));
    }
    let outdated = |why: &str| Err(Fault::Outdated(why.into()));
    if opened != CLOSED && opened != boot {
        return outdated("the machine went down while it was open, and may have lost changes");
    }
    if changes < acknowledged {
        return outdated("it lacks changes that were made, or is an older copy");
    }
    if doubted {
        return outdated("a change to it failed, and it was closed before that was made up for");
    }
    Ok(changes)
}

fn page_size(conn: &Connection) -> rusqlite::Result<u64> {
    let size: u32 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
    Ok(size.max(512).into())
}
