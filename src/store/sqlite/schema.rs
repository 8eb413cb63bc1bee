//! The schema: its migrations, how a file is recognised as ours, and whether the parts that capture
//! changes are as we made them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::failure::failed;
use crate::error::{Error, ErrorKind, Result};

/// Marks a file as ours, in SQLite's header: "card" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x6361_7264;

/// The schema that this program reads and writes.
pub(super) const SCHEMA_VERSION: i32 = MIGRATIONS.len() as i32;

/// What makes version `n + 1` of version `n`, in order; each a few files, one noun a file.
const MIGRATIONS: &[&[&str]] = &[
    &[
        include_str!("../../../migrations/sqlite/0001_files.sql"),
        include_str!("../../../migrations/sqlite/0001_log.sql"),
        include_str!("../../../migrations/sqlite/0001_triggers.sql"),
        include_str!("../../../migrations/sqlite/0001_views.sql"),
    ],
    &[include_str!("../../../migrations/sqlite/0002_pruned.sql")],
];

/// Brings the schema up to date, in one transaction. An empty file becomes a database; one that is
/// not ours, or is newer than we are, is refused before anything is written.
pub(super) fn migrate(conn: &mut Connection, file: &Path) -> Result<()> {
    if version(conn, file)? == SCHEMA_VERSION {
        return Ok(());
    }
    let fail = |e| failed(file, "migrate", e);
    let tx = Transaction::new(conn, TransactionBehavior::Immediate).map_err(fail)?;
    // Read again: another process may have migrated while we waited for the lock.
    let from = version(&tx, file)?;
    for parts in MIGRATIONS.iter().skip(from as usize) {
        parts
            .iter()
            .try_for_each(|sql| tx.execute_batch(sql))
            .map_err(fail)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(fail)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)
        .map_err(fail)?;
    tx.commit().map_err(fail)
}

/// The schema's version, from 0 (an empty file) to [`SCHEMA_VERSION`], of one instant: another
/// process may be making the schema meanwhile.
///
/// # Errors
/// `DatabaseCorrupt` if the file is not ours, `SchemaTooNew` if it is newer than we are.
pub(super) fn version(conn: &Connection, file: &Path) -> Result<i32> {
    if !conn.is_autocommit() {
        return version_in_transaction(conn, file);
    }
    let fail = |e| failed(file, "open", e);
    let tx = conn.unchecked_transaction().map_err(fail)?;
    version_in_transaction(&tx, file)
}

fn version_in_transaction(conn: &Connection, file: &Path) -> Result<i32> {
    let fail = |e| failed(file, "open", e);
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application = pragma("application_id").map_err(fail)?;
    let version = pragma("user_version").map_err(fail)?;
    let objects: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(fail)?;
    match (application, version, objects) {
        (0, 0, 0) => Ok(0),
        (APPLICATION_ID, 1..=SCHEMA_VERSION, _) => Ok(version),
        (APPLICATION_ID, newer, _) if newer > SCHEMA_VERSION => Err(too_new(file, newer)),
        _ => Err(Error::new(
            ErrorKind::DatabaseCorrupt,
            format!(
                "{} is an SQLite database, but not one of cardex",
                file.display()
            ),
        )
        .with_help("name another file; this one was left as it is")),
    }
}

/// Checks, in a transaction, that nobody has made the schema another one since the file was opened: its
/// version is no part of what moves the schema's cookie.
///
/// # Errors
/// `SchemaTooNew`; `DatabaseCorrupt` if it is older than when it was opened.
pub(super) fn assert_known(conn: &Connection, file: &Path) -> Result<()> {
    let version: i32 = conn
        .prepare_cached("PRAGMA user_version")
        .and_then(|mut pragma| pragma.query_row([], |row| row.get(0)))
        .map_err(|e| failed(file, "read the schema", e))?;
    match version.cmp(&SCHEMA_VERSION) {
        Ordering::Greater => Err(too_new(file, version)),
        Ordering::Less => Err(became_older(file, version)),
        Ordering::Equal => Ok(()),
    }
}

fn became_older(file: &Path, version: i32) -> Error {
    let message = format!(
        "the schema version of the database {} became {version} while it was open, from \
         {SCHEMA_VERSION}",
        file.display()
    );
    Error::new(ErrorKind::DatabaseCorrupt, message).with_help(
        "restore a good copy; a program that starts now brings an older schema up to date",
    )
}

fn too_new(file: &Path, version: i32) -> Error {
    let message = format!(
        "the database {} has schema version {version}; this program knows versions up to \
         {SCHEMA_VERSION}",
        file.display()
    );
    Error::new(ErrorKind::SchemaTooNew, message)
        .with_help("install a newer cardex, or name another file; this one was left as it is")
}

/// The triggers, and the view that they write through, by name with their text: what change capture
/// rests on.
pub(super) fn capture() -> &'static BTreeMap<String, String> {
    static CAPTURE: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    CAPTURE.get_or_init(|| {
        // SQLite is asked how it stores our statements, rather than our guessing it.
        let conn = Connection::open_in_memory().expect("SQLite has room for an empty database");
        for sql in MIGRATIONS.iter().copied().flatten() {
            conn.execute_batch(sql)
                .expect("our migrations are valid SQL");
        }
        stored_capture(&conn).expect("the schema of an open database can be read")
    })
}

/// The triggers and the log's view as the database has them.
fn stored_capture(conn: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    conn.prepare_cached(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' OR name = 'touched'",
    )?
    .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

/// What is missing or different in the database of the parts that capture changes; empty if all is
/// well. Triggers that others added are no fault: see [`has_foreign_triggers`].
pub(super) fn capture_faults(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let stored = stored_capture(conn)?;
    let faults = capture()
        .iter()
        .filter_map(|(name, sql)| match stored.get(name) {
            None => Some(format!("`{name}` is missing")),
            Some(text) if text != sql => Some(format!("`{name}` was altered")),
            Some(_) => None,
        });
    Ok(faults.collect())
}

/// Whether somebody added triggers of their own. Such a trigger may change another file than the one
/// that our writer writes, so the writer must not switch the log's triggers off.
pub(super) fn has_foreign_triggers(conn: &Connection) -> rusqlite::Result<bool> {
    let stored = stored_capture(conn)?;
    Ok(stored.keys().any(|name| !capture().contains_key(name)))
}

/// SQLite's counter of schema changes: moves when anyone creates, alters or drops anything.
pub(super) fn cookie(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("PRAGMA schema_version")?
        .query_row([], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_files_is_captured_and_a_lost_trigger_is_named() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, Path::new("test.db")).unwrap();
        assert_eq!(
            version(&conn, Path::new("test.db")).unwrap(),
            SCHEMA_VERSION
        );
        assert!(capture_faults(&conn).unwrap().is_empty());
        // touched and its trigger, five on documents, three on each of five child tables.
        assert_eq!(capture().len(), 2 + 5 + 3 * 5);
        conn.execute_batch("DROP TRIGGER classes_after_delete")
            .unwrap();
        assert_eq!(
            capture_faults(&conn).unwrap(),
            ["`classes_after_delete` is missing"]
        );
    }

    /// Nothing is lost, changes are captured, and a copy that is brought up to date on its own draws
    /// another nonce for what it had forgotten before.
    #[test]
    fn a_database_of_the_first_version_is_brought_up_to_date() {
        let brought_up = || {
            let mut conn = Connection::open_in_memory().unwrap();
            for sql in MIGRATIONS[0] {
                conn.execute_batch(sql).unwrap();
            }
            conn.execute_batch(
                "INSERT INTO projects (id, name) VALUES (1, 'default');
                 INSERT INTO documents (project_id, path) VALUES (1, 'a');
                 UPDATE log_state SET pruned_to = 7;",
            )
            .unwrap();
            conn.pragma_update(None, "application_id", APPLICATION_ID)
                .unwrap();
            conn.pragma_update(None, "user_version", 1).unwrap();
            migrate(&mut conn, Path::new("test.db")).unwrap();
            assert_eq!(version(&conn, Path::new("test.db")).unwrap(), 2);
            assert_eq!(capture_faults(&conn).unwrap(), Vec::<String>::new());
            conn.execute_batch("INSERT INTO documents (project_id, path) VALUES (1, 'b')")
                .unwrap();
            let log = "SELECT group_concat(path || seq) FROM changes";
            let log: String = conn.query_row(log, [], |row| row.get(0)).unwrap();
            assert_eq!(log, "a1,b8");
            let state = "SELECT quiet, pruned_to, pruned_nonce FROM log_state";
            conn.query_row(state, [], |row| <(i64, i64, i64)>::try_from(row))
                .unwrap()
        };
        let (one, other) = (brought_up(), brought_up());
        assert_eq!((one.0, one.1), (0, 7));
        assert_ne!(one.2, other.2);
    }

    /// The version is of one instant: whoever looks while the schema is made sees all of it or
    /// nothing.
    #[test]
    fn the_version_is_never_seen_in_the_making() {
        for round in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let file = &directory.path().join("fresh.db");
            let open = || {
                let conn = Connection::open(file).unwrap();
                conn.busy_timeout(std::time::Duration::from_secs(5))
                    .unwrap();
                conn
            };
            let mut maker = open();
            maker
                .execute_batch("PRAGMA journal_mode = WAL; VACUUM")
                .unwrap();
            let begin = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        let conn = open();
                        begin.wait();
                        loop {
                            match version(&conn, file) {
                                Ok(0) => {}
                                Ok(version) => break assert_eq!(version, SCHEMA_VERSION),
                                Err(error) => panic!("round {round}: {error}"),
                            }
                        }
                    });
                }
                begin.wait();
                migrate(&mut maker, file).unwrap();
            });
        }
    }
}
