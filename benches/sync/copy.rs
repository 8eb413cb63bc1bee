//! `Copy`: a database that a case may change, and that vanishes with it.

use std::path::Path;
use std::sync::Arc;

use cardex::{CacheOptions, Cardex, SystemClock};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::common::Random;
use crate::common::database::Database;

pub(crate) struct Copy {
    pub(crate) database: Database,
    _directory: TempDir,
}

impl Copy {
    pub(crate) fn of(database: &Database) -> Self {
        // All that was written is in the file itself.
        let conn = Connection::open(&database.path).expect("the database is good");
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .expect("nobody else has it open");
        drop(conn);
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let directory = directory.expect("a directory can be made");
        let path = directory.path().join("copy.db");
        std::fs::copy(&database.path, &path).expect("there is room for a copy");
        let (files, label) = (database.files, database.label);
        Copy {
            database: Database { path, files, label },
            _directory: directory,
        }
    }

    /// The cache over it, loaded, that follows it if wanted; without records in memory.
    pub(crate) fn cardex(&self, follow: bool) -> Cardex {
        open(&self.database, follow)
    }

    /// Somebody else's connection to it.
    pub(crate) fn foreign(&self) -> Foreign {
        Foreign::to(&self.database.path)
    }
}

pub(crate) fn open(database: &Database, follow: bool) -> Cardex {
    let store = database.store().expect("the database is good");
    let options = CacheOptions::default().load_bodies(false).follow(follow);
    let cardex = Cardex::over(store, Arc::new(SystemClock), options).expect("threads can start");
    cardex.load().expect("the database can be read");
    cardex
}

/// A program that knows nothing of cardex, and changes files.
pub(crate) struct Foreign {
    pub(crate) conn: Connection,
    last_id: i64,
    random: Random,
}

impl Foreign {
    pub(crate) fn to(path: &Path) -> Self {
        let conn = Connection::open(path).expect("the database is good");
        conn.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000")
            .expect("these are known");
        let last_id = conn
            .query_row("SELECT max(id) FROM documents", [], |row| row.get(0))
            .expect("there are files");
        Foreign {
            conn,
            last_id,
            random: Random(11),
        }
    }

    /// Changes one file, by a statement of its own: a commit, unless a transaction is open.
    pub(crate) fn change(&mut self) {
        let mut update = self
            .conn
            .prepare_cached("UPDATE documents SET size_bytes = size_bytes + 1 WHERE id = ?1")
            .expect("there is such a table");
        loop {
            let id = 1 + self.random.below(self.last_id as usize) as i64;
            if update.execute([id]).expect("it can be written") == 1 {
                return;
            }
        }
    }

    /// The sequence of the last change.
    pub(crate) fn head(&self) -> u64 {
        let mut head = self
            .conn
            .prepare_cached("SELECT max(seq) FROM changes")
            .expect("there is a log");
        let head: i64 = head.query_row([], |row| row.get(0)).expect("it has rows");
        head.cast_unsigned()
    }
}
