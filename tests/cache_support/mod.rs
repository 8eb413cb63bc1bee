//! What the tests of the cache share: a store that counts what is asked of it, and can be down, or
//! held up, on purpose.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cardex::store::{
    Fetched, MetadataStore, Removal, RowSink, ScanReport, SqliteOptions, SqliteStore, Stored,
    Versioned, Write,
};
use cardex::{
    CacheOptions, Cardex, Error, ErrorKind, FileMetadata, FilePath, FileState, Position, Query,
    Result, SystemClock,
};

/// How long a test waits for what must happen.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// An SQLite store that does what the test wants.
#[derive(Debug)]
pub struct TestStore {
    pub inner: SqliteStore,
    /// Every verb fails.
    pub is_down: AtomicBool,
    /// Every verb that reads changes or everything fails.
    pub is_deaf: AtomicBool,
    /// Calls of `fetch`, of `scan_changes`, and of `scan`.
    pub fetches: AtomicUsize,
    pub looks: AtomicUsize,
    pub scans: AtomicUsize,
    held: Mutex<Option<FilePath>>,
    released: Condvar,
    pub is_held_up: AtomicBool,
}

impl TestStore {
    pub fn over(inner: SqliteStore) -> Arc<Self> {
        Arc::new(TestStore {
            inner,
            is_down: AtomicBool::new(false),
            is_deaf: AtomicBool::new(false),
            fetches: AtomicUsize::new(0),
            looks: AtomicUsize::new(0),
            scans: AtomicUsize::new(0),
            held: Mutex::new(None),
            released: Condvar::new(),
            is_held_up: AtomicBool::new(false),
        })
    }

    pub fn set_down(&self, down: bool) {
        self.is_down.store(down, Ordering::SeqCst);
    }

    pub fn set_deaf(&self, deaf: bool) {
        self.is_deaf.store(deaf, Ordering::SeqCst);
    }

    /// From now on a fetch of this path, once it has read, waits for [`TestStore::release`].
    pub fn hold(&self, path: &FilePath) {
        *self.held.lock().unwrap() = Some(path.clone());
    }

    pub fn release(&self) {
        *self.held.lock().unwrap() = None;
        self.released.notify_all();
    }

    fn up(&self) -> Result<&SqliteStore> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Database, "the database is down"));
        }
        Ok(&self.inner)
    }

    fn heard(&self) -> Result<&SqliteStore> {
        if self.is_deaf.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Database, "the log cannot be read"));
        }
        self.up()
    }
}

impl MetadataStore for TestStore {
    fn head(&self) -> Result<Position> {
        self.up()?.head()
    }

    fn fetch(&self, paths: &[FilePath]) -> Result<Fetched> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let fetched = self.up()?.fetch(paths);
        let held = self.held.lock().unwrap();
        let is_held =
            |held: &mut Option<FilePath>| held.as_ref().is_some_and(|p| paths.contains(p));
        self.is_held_up.store(
            held.as_ref().is_some_and(|p| paths.contains(p)),
            Ordering::SeqCst,
        );
        drop(self.released.wait_while(held, is_held).unwrap());
        fetched
    }

    fn newest(&self, limit: usize) -> Result<Vec<FilePath>> {
        self.up()?.newest(limit)
    }

    fn put(&self, record: &FileMetadata) -> Result<Stored> {
        self.up()?.put(record)
    }

    fn remove(&self, path: &FilePath) -> Result<Removal> {
        self.up()?.remove(path)
    }

    fn write(&self, batch: &[Write]) -> Result<Position> {
        self.up()?.write(batch)
    }

    fn for_each(&self, visit: &mut dyn FnMut(Versioned) -> Result<()>) -> Result<ScanReport> {
        self.up()?.for_each(visit)
    }

    fn file_states(&self) -> Result<Vec<FileState>> {
        self.up()?.file_states()
    }

    fn scan(&self, sink: &mut dyn RowSink) -> Result<ScanReport> {
        self.scans.fetch_add(1, Ordering::SeqCst);
        self.heard()?.scan(sink)
    }

    fn scan_changes(&self, since: Position, sink: &mut dyn RowSink) -> Result<ScanReport> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.heard()?.scan_changes(since, sink)
    }
}

/// A cache over a test store in a directory of its own.
pub struct TestCache {
    pub directory: tempfile::TempDir,
    pub store: Arc<TestStore>,
    pub cache: Cardex,
}

impl TestCache {
    /// Loaded, without records.
    pub fn new() -> Self {
        Self::with(CacheOptions::default().load_bodies(false), |_| {})
    }

    /// Loaded over what `prepare` put into the store.
    pub fn with(options: CacheOptions, prepare: impl FnOnce(&SqliteStore)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("test.db");
        let inner = SqliteStore::open(file, "default", SqliteOptions::default()).unwrap();
        prepare(&inner);
        let store = TestStore::over(inner);
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

/// Waits, busily, for what another thread does.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !condition() {
        assert!(begin.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::yield_now();
    }
}
