//! `Database`: a database file with a corpus in it, made by the store itself and kept between runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cardex::store::{MetadataStore, SqliteOptions, SqliteStore, Write};
use cardex::{Index, Result, Synchronizer, SystemClock};
use rusqlite::{Connection, OpenFlags};

use super::corpus::{ALL, Corpus};

/// Files that are written in one transaction.
const BATCH: usize = 2_000;
pub(crate) const PROJECT: &str = "bench";

/// A database file of a known corpus.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) path: PathBuf,
    pub(crate) files: usize,
    pub(crate) label: &'static str,
}

impl Database {
    /// The database of a corpus of this size.
    pub(crate) fn of_size(files: usize, label: &'static str) -> Self {
        Self::made(files, label, || Corpus::new(files))
    }

    /// The database of as many files of the first two repositories.
    pub(crate) fn of_two_repositories(files: usize) -> Self {
        Self::made(files, "two", || Corpus::of(&ALL[..2], files))
    }

    fn made(files: usize, label: &'static str, corpus: impl FnOnce() -> Corpus) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = directory.join(format!("load-{label}.db"));
        let database = Database { path, files, label };
        if !database.is_good() {
            eprintln!("writing {} files to {}", files, database.path.display());
            database
                .write(&corpus())
                .expect("the database can be written");
        }
        database
    }

    /// Whether the file is there, of today's schema and complete.
    fn is_good(&self) -> bool {
        let empty = tempfile::tempdir().expect("a directory can be made");
        let empty = empty.path().join("empty.db");
        drop(SqliteStore::open(&empty, PROJECT, SqliteOptions::default()));
        let schema = |path: &Path| -> rusqlite::Result<String> {
            let sql =
                "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema ORDER BY name)";
            read_only(path)?.query_row(sql, [], |row| row.get(0))
        };
        let count = || -> rusqlite::Result<i64> {
            read_only(&self.path)?.query_row("SELECT count(*) FROM documents", [], |row| row.get(0))
        };
        self.path.exists()
            && schema(&self.path).ok() == schema(&empty).ok()
            && count() == Ok(self.files as i64)
    }

    fn write(&self, corpus: &Corpus) -> Result<()> {
        for suffix in ["", "-wal", "-shm"] {
            let mut file = self.path.clone().into_os_string();
            file.push(suffix);
            // It may not be there.
            let _ = std::fs::remove_file(file);
        }
        let store = self.store()?;
        for first in (0..corpus.len()).step_by(BATCH) {
            let batch = first..(first + BATCH).min(corpus.len());
            let batch: Vec<Write> = batch.map(|file| Write::Put(corpus.record(file))).collect();
            store.write(&batch)?;
        }
        Ok(())
    }

    pub(crate) fn store(&self) -> Result<Arc<SqliteStore>> {
        Ok(Arc::new(SqliteStore::open(
            &self.path,
            PROJECT,
            SqliteOptions::default(),
        )?))
    }

    /// An index over the store, still empty.
    pub(crate) fn index(store: &Arc<SqliteStore>) -> Result<(Arc<Index>, Synchronizer)> {
        let index = Arc::new(Index::new()?);
        let clock = Arc::new(SystemClock);
        let sync = Synchronizer::new(Arc::clone(store) as _, Arc::clone(&index), clock);
        Ok((index, sync))
    }
}

/// A connection that only reads.
pub(crate) fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.execute_batch("PRAGMA cache_size = -8192")?;
    Ok(conn)
}
