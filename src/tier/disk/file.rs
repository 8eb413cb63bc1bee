//! The file of a tier: how it is made and recognised, and what happens to one that is damaged. It is
//! moved aside, never deleted at once, and an empty one takes its place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::error::{Error, ErrorKind, Result};
use crate::store::{beside, create_private, open_sqlite};

/// Marks a file as a tier, in SQLite's header: "cdxt" in ASCII.
const APPLICATION_ID: i32 = 0x6364_7874;
/// The form of the file that this program reads and writes.
const SCHEMA_VERSION: i32 = 1;

const SCHEMA: &str = "
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY,   -- the order of writing
        key TEXT NOT NULL UNIQUE,
        version INTEGER NOT NULL,
        written_ns INTEGER NOT NULL,   -- since 1970
        boot_ns INTEGER NOT NULL,      -- since the boot
        boot BLOB NOT NULL,
        lifetime_ns INTEGER,           -- without one: forever
        ends_ns INTEGER,               -- since 1970
        digest BLOB NOT NULL,
        value BLOB NOT NULL
    ) STRICT;
    CREATE INDEX entries_by_end ON entries (ends_ns) WHERE ends_ns IS NOT NULL;";

/// The row of a key.
pub(super) const SELECT: &str =
    "SELECT seq, version, written_ns, boot_ns, boot, lifetime_ns, digest, value
     FROM entries WHERE key = ?1";

pub(super) const INSERT: &str = "INSERT INTO entries
    (key, version, written_ns, boot_ns, boot, lifetime_ns, ends_ns, digest, value)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// How many damaged files are kept beside the tier's own; a further one takes the last one's place.
pub(super) const MOST_ASIDE: u32 = 3;

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) enum Fault {
    /// Its contents are damaged, or in a form of another version: an empty one is to take its place.
    Damaged(String),
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

/// Opens the file, made (mode 0600) if it is missing. One that is damaged, or of another version, is
/// moved aside, and told about. Returns whether that happened.
///
/// # Errors
/// `DatabaseCorrupt` for a database of something else, which is left as it is; `DatabaseBusy`,
/// `Database`, `Io`.
pub(super) fn open_or_rebuild(file: &Path, limits: &FileLimits) -> Result<(Connection, bool)> {
    match open(file, limits) {
        Ok(conn) => Ok((conn, false)),
        Err(Fault::Failed(error)) => Err(error),
        Err(Fault::Damaged(reason)) => {
            move_aside(file, &reason)?;
            match open(file, limits) {
                Ok(conn) => Ok((conn, true)),
                Err(Fault::Failed(error)) => Err(error),
                Err(Fault::Damaged(reason)) => {
                    let name = file.display();
                    let message = format!("an empty cache file {name} is damaged: {reason}");
                    Err(Error::new(ErrorKind::DatabaseCorrupt, message))
                }
            }
        }
    }
}

/// What a connection is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileLimits {
    pub(super) max_bytes: u64,
    pub(super) timeout: Duration,
}

fn open(file: &Path, limits: &FileLimits) -> Result<Connection, Fault> {
    let fail = |cause| fault(file, "open", cause);
    create_private(file).map_err(Fault::Failed)?;
    let conn = open_sqlite(file, limits.timeout).map_err(fail)?;
    // One process has the file: it needs no memory that is shared with others.
    conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE;")
        .map_err(fail)?;
    recognise(&conn, file)?;
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .map_err(fail)?;
    create(&conn).map_err(fail)?;
    // A schema that was altered is damage.
    for sql in [SELECT, INSERT] {
        let prepared = conn.prepare_cached(sql).map(drop);
        prepared.map_err(|cause| Fault::Damaged(cause.to_string()))?;
    }
    let pages = limits.max_bytes / page_size(&conn).map_err(fail)?;
    conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
        .map_err(fail)?;
    Ok(conn)
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
        (APPLICATION_ID, version, _) => Err(Fault::Damaged(format!(
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

fn header(conn: &Connection) -> rusqlite::Result<(i32, i32)> {
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    Ok((pragma("application_id")?, pragma("user_version")?))
}

/// Makes the tables of an empty file, in one transaction.
fn create(conn: &Connection) -> rusqlite::Result<()> {
    if header(conn)? == (APPLICATION_ID, SCHEMA_VERSION) {
        return Ok(());
    }
    let tx = conn.unchecked_transaction()?;
    tx.execute_batch(SCHEMA)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    tx.commit()
}

pub(super) fn page_size(conn: &Connection) -> rusqlite::Result<u64> {
    let size: u32 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
    Ok(size.max(512).into())
}

/// Gives a damaged file, which nobody has open, another name, `NAME.corrupt-1` and so on; its log goes
/// first, or it would be taken for that of the next file.
pub(super) fn move_aside(file: &Path, reason: &str) -> Result<()> {
    let free = (1..MOST_ASIDE).find(|n| !aside(file, *n).exists());
    let target = aside(file, free.unwrap_or(MOST_ASIDE));
    for suffix in ["-wal", "-shm", ""] {
        let from = beside(file, suffix);
        match std::fs::rename(&from, beside(&target, suffix)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(io_error("move aside", &from, e));
            }
            _ => {}
        }
    }
    tracing::warn!(
        file = %file.display(), moved_to = %target.display(), reason,
        "a cache file cannot be used: it was moved aside, and an empty one takes its place"
    );
    Ok(())
}

fn aside(file: &Path, n: u32) -> PathBuf {
    beside(file, &format!(".corrupt-{n}"))
}

fn io_error(operation: &str, path: &Path, cause: std::io::Error) -> Error {
    let message = format!("cannot {operation} {}", path.display());
    Error::new(ErrorKind::Io, message).because(cause)
}
