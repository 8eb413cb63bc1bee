//! What the tests of the cache share: a cache over a gated store, in a directory of its own.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use std::sync::Arc;
use std::time::Duration;

use cardex::store::{SqliteOptions, SqliteStore};
use cardex::{CacheOptions, Cardex, FileMetadata, FilePath, Query, SystemClock};

use crate::gated_store::GatedStore;

/// A cache over a test store in a directory of its own.
pub struct TestCache {
    pub directory: tempfile::TempDir,
    pub store: Arc<GatedStore>,
    pub cache: Cardex,
}

impl TestCache {
    /// Loaded, without records.
    pub fn new() -> Self {
        Self::with(CacheOptions::default().load_bodies(false), |_| {})
    }

    /// Loaded over what `prepare` put into the store.
    /// Nothing follows the database but what the test asks for.
    pub fn with(options: CacheOptions, prepare: impl FnOnce(&SqliteStore)) -> Self {
        let options = options.follow(false);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("test.db");
        let inner = SqliteStore::open(file, "default", SqliteOptions::default()).unwrap();
        prepare(&inner);
        let store = Arc::new(GatedStore::new(inner));
        let cache = Cardex::over(store.clone(), Arc::new(SystemClock), options).unwrap();
        cache.load().unwrap();
        TestCache {
            directory,
            store,
            cache,
        }
    }

    /// Another program's connection.
    pub fn sql(&self, sql: &str) {
        let conn = rusqlite::Connection::open(self.directory.path().join("test.db")).unwrap();
        conn.busy_timeout(Duration::from_secs(10)).unwrap();
        conn.execute_batch(sql).unwrap();
    }

    pub fn paths(&self, query: &Query) -> Vec<String> {
        let answer = self.cache.query(query).unwrap();
        answer.paths().map(str::to_owned).collect()
    }
}

pub fn path(text: &str) -> FilePath {
    FilePath::new(text).unwrap()
}

/// A record of a path, in a language.
pub fn record(path: &str, language: &str) -> FileMetadata {
    let builder = FileMetadata::builder(path);
    builder.language(language).build().unwrap()
}
