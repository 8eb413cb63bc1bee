//! Sinks: one that writes down what it was given and does as it is told, and one over SQLite that has
//! each effect exactly once.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use cardex::kv::write_behind::{Operation, Outcome, Sink};
use cardex::{Error, ErrorKind};
use rusqlite::{Connection, params};

/// What a sink does with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Apply,
    Refuse,
    Vanish,
    Panic,
}

/// Remembers what it was given, and does what the script says of each key and value.
pub(crate) struct Scripted {
    pub(crate) seen: Mutex<Vec<Operation>>,
    pub(crate) applied: Mutex<Vec<Operation>>,
    script: Box<dyn Fn(&Operation) -> Act + Send + Sync>,
    held: Mutex<bool>,
    let_go: Condvar,
    pub(crate) is_holding: AtomicBool,
}

impl Scripted {
    pub(crate) fn new(script: impl Fn(&Operation) -> Act + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Scripted {
            seen: Mutex::default(),
            applied: Mutex::default(),
            script: Box::new(script),
            held: Mutex::new(false),
            let_go: Condvar::new(),
            is_holding: AtomicBool::new(false),
        })
    }

    pub(crate) fn applying() -> Arc<Self> {
        Self::new(|_| Act::Apply)
    }

    /// Lets nothing through until it is let go.
    pub(crate) fn hold(&self) {
        *self.held.lock().unwrap() = true;
    }

    pub(crate) fn let_go(&self) {
        *self.held.lock().unwrap() = false;
        self.let_go.notify_all();
    }

    /// Waits until it is given something while it holds.
    pub(crate) fn wait_until_holding(&self) {
        let end = std::time::Instant::now() + crate::LONG;
        while !self.is_holding.load(Ordering::SeqCst) {
            assert!(
                std::time::Instant::now() < end,
                "the sink was given nothing"
            );
            std::thread::yield_now();
        }
    }

    pub(crate) fn applied_values(&self, key: &str) -> Vec<String> {
        let applied = self.applied.lock().unwrap();
        let of_key = applied.iter().filter(|one| one.key.as_str() == key);
        of_key
            .map(|one| match &one.value {
                Some(value) => String::from_utf8_lossy(value).into_owned(),
                None => "deleted".to_owned(),
            })
            .collect()
    }
}

impl Sink for Scripted {
    fn apply(&self, operations: &[Operation]) -> Vec<Outcome> {
        let mut held = self.held.lock().unwrap();
        self.is_holding.store(*held, Ordering::SeqCst);
        while *held {
            held = self.let_go.wait(held).unwrap();
        }
        self.is_holding.store(false, Ordering::SeqCst);
        drop(held);
        let apply = |operation: &Operation| {
            self.seen.lock().unwrap().push(operation.clone());
            match (self.script)(operation) {
                Act::Apply => {
                    self.applied.lock().unwrap().push(operation.clone());
                    Outcome::Applied
                }
                Act::Refuse => Outcome::Refused(Error::new(ErrorKind::InvalidInput, "no good")),
                Act::Vanish => Outcome::Unavailable(Error::new(ErrorKind::Io, "not there")),
                Act::Panic => panic!("at {}", operation.key),
            }
        };
        operations.iter().map(apply).collect()
    }
}

/// A table of values, and in the same transaction the number of the operation that wrote each: effects
/// exactly once. `effects` has a line for each effect, in their order.
pub(crate) struct SqliteSink(Mutex<Connection>);

impl SqliteSink {
    pub(crate) fn open(file: &Path) -> Self {
        let conn = Connection::open(file).unwrap();
        conn.busy_timeout(crate::LONG).unwrap();
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             CREATE TABLE IF NOT EXISTS vals (key TEXT PRIMARY KEY, value BLOB, version INTEGER);
             CREATE TABLE IF NOT EXISTS applied (
                key TEXT, journal TEXT, number INTEGER, PRIMARY KEY (key, journal));
             CREATE TABLE IF NOT EXISTS effects (
                at INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT, number INTEGER, version INTEGER);",
        )
        .unwrap();
        SqliteSink(Mutex::new(conn))
    }

    fn write(tx: &Connection, operation: &Operation) -> rusqlite::Result<()> {
        let (key, id) = (operation.key.as_str(), operation.id);
        let journal = format!("{:032x}", id.journal);
        let is_new = tx
            .prepare_cached(
                "INSERT INTO applied VALUES (?1, ?2, ?3) ON CONFLICT (key, journal)
                 DO UPDATE SET number = excluded.number WHERE excluded.number > number",
            )?
            .execute(params![key, journal, id.number as i64])?;
        if is_new == 0 {
            return Ok(());
        }
        tx.prepare_cached("INSERT OR REPLACE INTO vals VALUES (?1, ?2, ?3)")?
            .execute(params![
                key,
                operation.value.as_deref(),
                operation.version as i64
            ])?;
        tx.prepare_cached("INSERT INTO effects (key, number, version) VALUES (?1, ?2, ?3)")?
            .execute(params![key, id.number as i64, operation.version as i64])?;
        Ok(())
    }

    /// Key, number and version of each effect, in their order.
    pub(crate) fn effects(&self) -> Vec<(String, u64, u64)> {
        let conn = self.0.lock().unwrap();
        let mut select = conn
            .prepare("SELECT key, number, version FROM effects ORDER BY at")
            .unwrap();
        let number = |row: &rusqlite::Row<'_>, at| row.get::<_, i64>(at).map(|n| n as u64);
        let rows = select
            .query_map([], |row| {
                Ok((row.get(0)?, number(row, 1)?, number(row, 2)?))
            })
            .unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// The version of the value of a key, and whether it was deleted.
    pub(crate) fn value(&self, key: &str) -> Option<(u64, Option<Vec<u8>>)> {
        let conn = self.0.lock().unwrap();
        let select = "SELECT version, value FROM vals WHERE key = ?1";
        let found = conn.query_row(select, [key], |row| {
            Ok((row.get::<_, i64>(0)? as u64, row.get(1)?))
        });
        found.ok()
    }

    /// Applies all, and calls `between` before and after the commit.
    pub(crate) fn apply_with(
        &self,
        operations: &[Operation],
        between: &dyn Fn(&str),
    ) -> Vec<Outcome> {
        let mut conn = self.0.lock().unwrap();
        let done: rusqlite::Result<()> = (|| {
            let tx = conn.transaction()?;
            for operation in operations {
                Self::write(&tx, operation)?;
            }
            between("before");
            tx.commit()?;
            between("after");
            Ok(())
        })();
        let outcome = || match &done {
            Ok(()) => Outcome::Applied,
            Err(cause) => Outcome::Unavailable(Error::new(ErrorKind::Database, cause.to_string())),
        };
        operations.iter().map(|_| outcome()).collect()
    }
}

impl Sink for SqliteSink {
    fn apply(&self, operations: &[Operation]) -> Vec<Outcome> {
        self.apply_with(operations, &|_| {})
    }
}
