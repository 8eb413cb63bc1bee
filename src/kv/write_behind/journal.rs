//! The journal: an SQLite file that holds what was acknowledged and is not yet done. It is written
//! before anything is acknowledged, and is never given up by itself: what is damaged is refused, since
//! acknowledged writes are in it.
//!
//! An accepted write is on the disk before it is told (`synchronous = FULL`: one wait for the disk a
//! transaction, however many writes are in it). That something is done need not be (`NORMAL`): the log is
//! lost from its end alone, so what a power cut brings back is a state that there was, and whatever was
//! accepted after it is lost with it, which was told to nobody. So no operation comes after a later one.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, Row, params};

use super::operation::{Operation, OperationId};
use super::queue::{DeadLetter, Held, Planned, Verdict};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{self, FileIdentity, beside};
use crate::tier::Key;

/// Marks a file as a journal, in SQLite's header: "cdxj" in ASCII.
const APPLICATION_ID: i32 = 0x6364_786a;
/// The form of the file that this program reads and writes.
const SCHEMA_VERSION: i32 = 1;
/// Bytes of a digest.
const DIGEST: usize = 16;
/// Part of every digest.
const FORM: &[u8] = b"cardex journal row 1";
/// More journals than this beside each other want a look.
const MOST_ASIDE: u32 = 1000;
/// Another program that reads the file is waited for for so long.
const TIMEOUT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
    CREATE TABLE journal (id BLOB NOT NULL) STRICT;
    INSERT INTO journal VALUES (randomblob(16));
    CREATE TABLE operations (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL,
        version INTEGER NOT NULL,
        value BLOB,                 -- without one: deletes
        tries INTEGER NOT NULL,
        digest BLOB NOT NULL
    ) STRICT;
    CREATE TABLE dead_letters (
        number INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        version INTEGER NOT NULL,
        value BLOB,
        tries INTEGER NOT NULL,
        digest BLOB NOT NULL,
        error TEXT NOT NULL,
        died_at TEXT NOT NULL
    ) STRICT;";

const INSERT: &str = "INSERT INTO operations (number, key, version, value, tries, digest)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const BURY: &str = "INSERT INTO dead_letters
    (number, key, version, value, tries, digest, error, died_at)
    SELECT number, key, version, value, ?2, digest, ?3, ?4 FROM operations WHERE number = ?1";
const REVIVE: &str = "INSERT INTO operations (number, key, version, value, tries, digest)
    SELECT number, key, version, value, 0, digest FROM dead_letters WHERE number = ?1";
const FORGET: &str = "DELETE FROM operations WHERE number = ?1";
const FORGET_DEAD: &str = "DELETE FROM dead_letters WHERE number = ?1";

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    conn: Connection,
    file: PathBuf,
    identity: FileIdentity,
    id: u128,
    /// Whether a commit waits for the disk.
    is_full: bool,
    /// Let go of after the connection, and the lock with it.
    marker: Marker,
}

/// What a journal held when it was opened.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// In the order in which they were accepted.
    pub(super) operations: Vec<Held>,
    pub(super) dead_letters: Vec<DeadLetter>,
    /// The greatest number that was ever given.
    pub(super) last_number: u64,
}

impl Journal {
    /// Opens the journal, made (mode 0600) if there never was one here, and reads it. It is given its
    /// lock, and holds it.
    ///
    /// # Errors
    /// `DatabaseCorrupt` if it is damaged, is something else, or is gone; `SchemaTooNew`; `Database`, `Io`.
    pub(super) fn open(file: &Path, lock: File) -> Result<(Self, Contents)> {
        let mut marker = Marker::new(lock, file);
        let made = marker.read()?;
        store::create_private(file)?;
        let fail = |cause| failed(file, "open", cause);
        let conn = store::open_sqlite(file, TIMEOUT).map_err(fail)?;
        // One process has the file: it needs no memory that is shared with others.
        conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE;")
            .map_err(fail)?;
        if is_empty(&conn, file)? && made.is_some() {
            return Err(damaged(file, "it is empty or gone, and was neither before"));
        }
        conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
            .map_err(fail)?;
        conn.execute_batch("PRAGMA synchronous = FULL;")
            .map_err(fail)?;
        create(&conn).map_err(fail)?;
        check(&conn, file)?;
        let id = read_id(&conn, file)?;
        let mut journal = Journal {
            conn,
            file: file.to_owned(),
            identity: FileIdentity::of(file)?,
            id,
            is_full: true,
            marker,
        };
        let contents = journal.contents()?;
        let number = contents.last_number;
        match made {
            None => journal.marker.make(Mark { id, number }, file)?,
            Some(made) if made.id != id => {
                return Err(damaged(file, "another journal has taken its place"));
            }
            Some(made) if made.number > number => {
                let lost = made.number - number;
                let reason = format!("the last {lost} writes that were acknowledged are not in it");
                return Err(damaged(file, &reason));
            }
            Some(_) => {}
        }
        Ok((journal, contents))
    }

    /// Its name, which is part of that of each operation.
    pub(super) fn id(&self) -> u128 {
        self.id
    }

    /// Writes down what is accepted, and returns when it is on the disk. After an error it may be there
    /// or not.
    ///
    /// # Errors
    /// `DatabaseCorrupt` if the file is damaged, or is not what was opened any more; `Database`, `Io`.
    pub(super) fn append(&mut self, planned: &[Planned]) -> Result<()> {
        self.write("accept operations", true, |conn| {
            for Planned {
                operation,
                replaces,
            } in planned
            {
                if let Some(number) = replaces {
                    conn.prepare_cached(FORGET)?.execute([column(*number)])?;
                    conn.prepare_cached(FORGET_DEAD)?
                        .execute([column(*number)])?;
                }
                conn.prepare_cached(INSERT)?.execute(params![
                    column(operation.id.number),
                    operation.key.as_str(),
                    operation.version.cast_signed(),
                    operation.value.as_deref(),
                    0,
                    digest(operation),
                ])?;
            }
            Ok(())
        })?;
        let number = planned
            .iter()
            .map(|planned| planned.operation.id.number)
            .max();
        let mark = number.map(|number| Mark {
            id: self.id,
            number,
        });
        if let Some(Err(error)) = mark.map(|mark| self.marker.write(mark)) {
            // Then a log that is lost may not be missed.
            tracing::warn!(%error, "the lock file of a journal cannot be written");
        }
        Ok(())
    }

    /// Writes down what became of operations.
    ///
    /// # Errors
    /// Those of [`Journal::append`].
    pub(super) fn settle(
        &mut self,
        judged: &[(Operation, Verdict)],
        died_at: DateTime<Utc>,
    ) -> Result<()> {
        self.write("note what was delivered", false, |conn| {
            for (operation, verdict) in judged {
                let number = column(operation.id.number);
                match verdict {
                    Verdict::Done | Verdict::Overtaken => {}
                    Verdict::Again(tries) => {
                        conn.prepare_cached("UPDATE operations SET tries = ?2 WHERE number = ?1")?
                            .execute(params![number, tries])?;
                        continue;
                    }
                    Verdict::Dead(tries, error) => {
                        let (error, at) = (format!("{error:#}"), died_at.to_rfc3339());
                        conn.prepare_cached(BURY)?
                            .execute(params![number, tries, error, at])?;
                    }
                }
                conn.prepare_cached(FORGET)?.execute([number])?;
            }
            Ok(())
        })
    }

    /// Makes dead letters operations again, under their names.
    ///
    /// # Errors
    /// Those of [`Journal::append`].
    pub(super) fn revive(&mut self, letters: &[DeadLetter]) -> Result<()> {
        self.write("try dead letters again", true, |conn| {
            for letter in letters {
                let number = column(letter.operation.id.number);
                conn.prepare_cached(REVIVE)?.execute([number])?;
                conn.prepare_cached(FORGET_DEAD)?.execute([number])?;
            }
            Ok(())
        })
    }

    /// Forgets dead letters.
    ///
    /// # Errors
    /// Those of [`Journal::append`].
    pub(super) fn bury(&mut self, letters: &[DeadLetter]) -> Result<()> {
        self.write("drop dead letters", true, |conn| {
            for letter in letters {
                let number = column(letter.operation.id.number);
                conn.prepare_cached(FORGET_DEAD)?.execute([number])?;
            }
            Ok(())
        })
    }

    /// Forgets operations that others overtook while they lay here.
    ///
    /// # Errors
    /// Those of [`Journal::append`].
    pub(super) fn forget(&mut self, numbers: &[u64]) -> Result<()> {
        self.write("forget overtaken operations", false, |conn| {
            for number in numbers {
                conn.prepare_cached(FORGET)?.execute([column(*number)])?;
            }
            Ok(())
        })
    }

    fn write(
        &mut self,
        operation: &str,
        is_full: bool,
        work: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<()> {
        if FileIdentity::of(&self.file).ok() != Some(self.identity) {
            return Err(damaged(
                &self.file,
                "it was moved or replaced while it was open",
            ));
        }
        let fail = |cause| failed(&self.file, operation, cause);
        if is_full != self.is_full {
            let level = if is_full { "FULL" } else { "NORMAL" };
            let pragma = format!("PRAGMA synchronous = {level};");
            self.conn.execute_batch(&pragma).map_err(fail)?;
            self.is_full = is_full;
        }
        let tx = self.conn.unchecked_transaction().map_err(fail)?;
        work(&tx).map_err(fail)?;
        tx.commit().map_err(fail)
    }

    fn contents(&self) -> Result<Contents> {
        let fail = |cause| failed(&self.file, "read", cause);
        let mut contents = Contents::default();
        let select = "SELECT number, key, version, value, tries, digest FROM operations
            ORDER BY number";
        let mut select = self.conn.prepare(select).map_err(fail)?;
        let mut rows = select.query([]).map_err(fail)?;
        while let Some(row) = rows.next().map_err(fail)? {
            contents.operations.push(self.held(row)?);
        }
        let select = "SELECT number, key, version, value, tries, digest, error, died_at
            FROM dead_letters ORDER BY number";
        let mut select = self.conn.prepare(select).map_err(fail)?;
        let mut rows = select.query([]).map_err(fail)?;
        while let Some(row) = rows.next().map_err(fail)? {
            let Held { operation, tries } = self.held(row)?;
            let died_at: String = row.get(7).map_err(fail)?;
            let died_at = DateTime::parse_from_rfc3339(&died_at).unwrap_or_default();
            contents.dead_letters.push(DeadLetter {
                operation,
                tries,
                error: row.get(6).map_err(fail)?,
                died_at: died_at.to_utc(),
            });
        }
        let last = "SELECT max((SELECT coalesce(max(seq), 0) FROM sqlite_sequence
                WHERE name = 'operations'),
            (SELECT coalesce(max(number), 0) FROM operations),
            (SELECT coalesce(max(number), 0) FROM dead_letters))";
        let last: i64 = self
            .conn
            .query_row(last, [], |row| row.get(0))
            .map_err(fail)?;
        contents.last_number = last.cast_unsigned();
        Ok(contents)
    }

    /// The operation of a row, if the row is whole.
    fn held(&self, row: &Row<'_>) -> Result<Held> {
        let read = || -> Option<Held> {
            let key: String = row.get(1).ok()?;
            let value: Option<Vec<u8>> = row.get(3).ok()?;
            let operation = Operation {
                id: OperationId {
                    journal: self.id,
                    number: row.get::<_, i64>(0).ok()?.cast_unsigned(),
                },
                key: Key::new(&key).ok()?,
                value: value.map(Into::into),
                version: row.get::<_, i64>(2).ok()?.cast_unsigned(),
            };
            let stored: Vec<u8> = row.get(5).ok()?;
            let tries = row.get(4).ok()?;
            (stored == digest(&operation)).then_some(Held { operation, tries })
        };
        read().ok_or_else(|| {
            let number = row.get::<_, i64>(0).unwrap_or_default();
            damaged(
                &self.file,
                &format!("operation {number} is not what was written"),
            )
        })
    }
}

impl Drop for Journal {
    /// SQLite ends its log by name when it is closed: not if another file has the name.
    fn drop(&mut self) {
        let is_ours = FileIdentity::of(&self.file).ok() == Some(self.identity);
        let option = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        if let Err(error) = self.conn.set_db_config(option, !is_ours) {
            tracing::warn!(%error, "a journal that is closed may disturb another one");
        }
    }
}

/// Gives the journal, and what lies beside it, another name, `NAME.aside-1` and so on, and returns that.
/// It is given the lock.
///
/// # Errors
/// `NotFound` if there is no journal; `Io`.
pub(super) fn set_aside(file: &Path, lock: File) -> Result<PathBuf> {
    let fail = |cause| io_error("move aside", file, cause);
    let name = |n: u32| beside(file, &format!(".aside-{n}"));
    let target = (1..=MOST_ASIDE).map(name).find(|target| !target.exists());
    let target = target.ok_or_else(|| {
        let message = format!("{MOST_ASIDE} journals lie beside {}", file.display());
        Error::new(ErrorKind::Io, message).with_help("see what is in them, and move them elsewhere")
    })?;
    if !file.exists() {
        let message = format!("there is no journal {}", file.display());
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    // The log first: a file without it is older, and would be taken for the whole.
    for suffix in ["-wal", "-shm", ""] {
        match std::fs::rename(beside(file, suffix), beside(&target, suffix)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fail(e)),
            _ => {}
        }
    }
    Marker::new(lock, file).clear()?;
    Ok(target)
}

/// What the lock file says of the journal beside it: that one was made here, which, and the greatest number
/// that was acknowledged. So one that was emptied, deleted, or lost its log is not taken for the whole.
///
/// The number is written after the operations are on the disk, and without a wait: it may be behind the
/// journal, and never before it.
#[derive(Debug)]
struct Marker {
    lock: File,
    path: PathBuf,
}

/// A journal's name in hexadecimal digits, and a number in decimal ones, each as long as they can be.
#[derive(Clone, Copy, Debug)]
struct Mark {
    id: u128,
    number: u64,
}

impl Marker {
    fn new(lock: File, journal: &Path) -> Self {
        Marker {
            lock,
            path: beside(journal, ".lock"),
        }
    }

    fn read(&mut self) -> Result<Option<Mark>> {
        let mut text = String::new();
        let read = self.lock.rewind();
        // No more than a mark takes.
        let read = read.and_then(|()| (&self.lock).take(64).read_to_string(&mut text));
        read.map_err(|e| io_error("read", &self.path, e))?;
        let parts = text.split_once(' ').and_then(|(id, number)| {
            Some(Mark {
                id: u128::from_str_radix(id, 16).ok()?,
                number: number.trim().parse().ok()?,
            })
        });
        Ok(parts)
    }

    fn write(&mut self, mark: Mark) -> std::io::Result<()> {
        let Mark { id, number } = mark;
        self.lock.rewind()?;
        self.lock
            .write_all(format!("{id:032x} {number:020}\n").as_bytes())
    }

    /// Also makes sure that the names of the new files last.
    fn make(&mut self, mark: Mark, journal: &Path) -> Result<()> {
        let written = self.write(mark).and_then(|()| self.lock.sync_all());
        written.map_err(|e| io_error("write", &self.path, e))?;
        let folder = journal.parent().unwrap_or(Path::new("/"));
        for folder in [Some(folder), folder.parent()].into_iter().flatten() {
            // Not every file system knows how.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<()> {
        let cleared = self.lock.set_len(0);
        cleared.map_err(|e| io_error("write", &self.path, e))
    }
}

/// What vouches for all of an operation.
fn digest(operation: &Operation) -> Vec<u8> {
    let Operation {
        id,
        key,
        value,
        version,
    } = operation;
    let mut hasher = blake3::Hasher::new();
    hasher.update(FORM);
    hasher.update(&id.journal.to_le_bytes());
    hasher.update(&id.number.to_le_bytes());
    hasher.update(&version.to_le_bytes());
    hasher.update(&(key.as_str().len() as u64).to_le_bytes());
    hasher.update(key.as_str().as_bytes());
    hasher.update(&[u8::from(value.is_some())]);
    hasher.update(value.as_deref().unwrap_or_default());
    hasher.finalize().as_bytes()[..DIGEST].to_vec()
}

fn column(number: u64) -> i64 {
    number.cast_signed()
}

/// Whether there is nothing in it yet. Refuses what is not ours.
fn is_empty(conn: &Connection, file: &Path) -> Result<bool> {
    let fail = |cause| failed(file, "open", cause);
    let (application, version) = header(conn).map_err(fail)?;
    let objects: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(fail)?;
    match (application, version, objects) {
        (0, 0, 0) => Ok(true),
        (APPLICATION_ID, SCHEMA_VERSION, _) => Ok(false),
        (APPLICATION_ID, version, _) if version > SCHEMA_VERSION => {
            let message = format!(
                "the journal {} has version {version}, and this program knows {SCHEMA_VERSION}",
                file.display()
            );
            Err(Error::new(ErrorKind::SchemaTooNew, message)
                .with_help("deliver what is in it with the program that wrote it"))
        }
        _ => {
            let name = file.display();
            let message = format!("{name} is an SQLite database, but not a journal of cardex");
            Err(Error::new(ErrorKind::DatabaseCorrupt, message)
                .with_help("name another file; this one was left as it is"))
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

/// Reads all of it: it is bounded, and a page that is lost is an operation that is lost.
fn check(conn: &Connection, file: &Path) -> Result<()> {
    let found: String = conn
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|cause| failed(file, "check", cause))?;
    if found != "ok" {
        return Err(damaged(file, &found));
    }
    // A schema that was altered is damage.
    for sql in [INSERT, BURY, REVIVE, FORGET, FORGET_DEAD] {
        let prepared = conn.prepare(sql).map(drop);
        prepared.map_err(|cause| damaged(file, &cause.to_string()))?;
    }
    Ok(())
}

fn read_id(conn: &Connection, file: &Path) -> Result<u128> {
    let id = conn.query_row("SELECT id FROM journal", [], |row| row.get::<_, Vec<u8>>(0));
    let id = id.ok().and_then(|id| id.try_into().ok());
    id.map(u128::from_le_bytes)
        .ok_or_else(|| damaged(file, "it does not tell its name"))
}

fn damaged(file: &Path, reason: &str) -> Error {
    let message = format!("the journal {} cannot be trusted: {reason}", file.display());
    Error::new(ErrorKind::DatabaseCorrupt, message).with_help(
        "acknowledged writes may be in it: put it back, or set it aside (`WriteBehind::set_aside`), \
         read what is left of it with `sqlite3 FILE .recover`, and start with an empty one",
    )
}

fn failed(file: &Path, operation: &str, cause: rusqlite::Error) -> Error {
    let name = file.display();
    match cause.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            damaged(file, &cause.to_string())
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let message = format!("cannot {operation}: another program holds the journal {name}");
            Error::new(ErrorKind::DatabaseBusy, message).because(cause)
        }
        _ => {
            let message = format!("cannot {operation} in the journal {name}");
            Error::new(ErrorKind::Database, message).because(cause)
        }
    }
}

fn io_error(operation: &str, path: &Path, cause: std::io::Error) -> Error {
    let message = format!("cannot {operation} {}", path.display());
    Error::new(ErrorKind::Io, message).because(cause)
}
