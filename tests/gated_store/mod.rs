//! A store that stops at a gate when it is told to, until it is let through, that can be down, and
//! that counts what it is asked. Behind it is a real database.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cardex::store::{
    ChangeSet, Fetched, MetadataStore, Removal, RowSink, ScanReport, SqliteStore, Stored, Traces,
    Versioned, Write,
};
use cardex::{Error, ErrorKind, FileMetadata, FilePath, FileState, Position, Result};
use parking_lot::{Condvar, Mutex};

/// How long anything may take before a test has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for a condition.
#[track_caller]
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "not in time: {what}");
        std::thread::yield_now();
    }
}

/// Which side of a read its gate is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing has been read yet.
    Before,
    /// What was read is not handed over yet.
    After,
}

/// A gate that stops whoever comes first.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: bool,
    released: bool,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock();
        state.waiting = true;
        self.changed.notify_all();
        let deadline = Instant::now() + DEADLINE;
        while !state.released {
            let timeout = self.changed.wait_until(&mut state, deadline);
            assert!(!timeout.timed_out(), "nobody opens the gate");
        }
        state.waiting = false;
    }

    /// Returns when somebody stands at the gate.
    pub fn wait(&self) {
        let mut state = self.state.lock();
        let deadline = Instant::now() + DEADLINE;
        while !state.waiting {
            let timeout = self.changed.wait_until(&mut state, deadline);
            assert!(!timeout.timed_out(), "nobody comes to the gate");
        }
    }

    /// Whether somebody stands at the gate.
    pub fn is_waiting(&self) -> bool {
        self.state.lock().waiting
    }

    /// Lets whoever stands at the gate, or will come to it, through.
    pub fn release(&self) {
        self.state.lock().released = true;
        self.changed.notify_all();
    }
}

/// A store with gates.
#[derive(Debug)]
pub struct GatedStore {
    inner: SqliteStore,
    fetch: Mutex<Option<(FilePath, When, Arc<Gate>)>>,
    look: Mutex<Option<Arc<Gate>>>,
    scan: Mutex<Option<Arc<Gate>>>,
    fetches: AtomicUsize,
    looks: AtomicUsize,
    scans: AtomicUsize,
    traces: AtomicUsize,
    is_down: AtomicBool,
    is_deaf: AtomicBool,
}

impl GatedStore {
    pub fn new(inner: SqliteStore) -> Self {
        GatedStore {
            inner,
            fetch: Mutex::default(),
            look: Mutex::default(),
            scan: Mutex::default(),
            fetches: AtomicUsize::new(0),
            looks: AtomicUsize::new(0),
            scans: AtomicUsize::new(0),
            traces: AtomicUsize::new(0),
            is_down: AtomicBool::new(false),
            is_deaf: AtomicBool::new(false),
        }
    }

    /// The database itself.
    pub fn sqlite(&self) -> &SqliteStore {
        &self.inner
    }

    /// While it is down, every verb fails.
    pub fn set_down(&self, down: bool) {
        self.is_down.store(down, Ordering::SeqCst);
    }

    /// While it is deaf, neither the log nor everything can be read.
    pub fn set_deaf(&self, deaf: bool) {
        self.is_deaf.store(deaf, Ordering::SeqCst);
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

    /// A gate for the next read of this path.
    pub fn hold_fetch(&self, path: &FilePath, when: When) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        *self.fetch.lock() = Some((path.clone(), when, Arc::clone(&gate)));
        gate
    }

    /// A gate for the next look at the log.
    pub fn hold_look(&self) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        *self.look.lock() = Some(Arc::clone(&gate));
        gate
    }

    /// A gate for the next time that everything is read, after that.
    pub fn hold_scan(&self) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        *self.scan.lock() = Some(Arc::clone(&gate));
        gate
    }

    /// How often records were read, in batches.
    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// How often the log was looked at.
    pub fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }

    /// How often everything was read.
    pub fn scans(&self) -> usize {
        self.scans.load(Ordering::SeqCst)
    }

    /// How often it was asked for the last change of something.
    pub fn traced(&self) -> usize {
        self.traces.load(Ordering::SeqCst)
    }
}

impl MetadataStore for GatedStore {
    fn fetch(&self, paths: &[FilePath]) -> Result<Fetched> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let mut held = self.fetch.lock();
        let gate = held.take_if(|(path, ..)| paths.contains(path));
        drop(held);
        let at = |side| gate.iter().filter(move |(_, when, _)| *when == side);
        at(When::Before).for_each(|(.., gate)| gate.pass());
        let fetched = self.up().and_then(|store| store.fetch(paths));
        at(When::After).for_each(|(.., gate)| gate.pass());
        fetched
    }

    fn scan_changes(&self, since: Position, sink: &mut dyn RowSink) -> Result<ScanReport> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        let gate = self.look.lock().take();
        if let Some(gate) = gate {
            gate.pass();
        }
        self.heard()?.scan_changes(since, sink)
    }

    fn head(&self) -> Result<Position> {
        self.up()?.head()
    }

    fn newest(&self, limit: usize) -> Result<Vec<FilePath>> {
        self.up()?.newest(limit)
    }

    fn changes(&self, since: Position, limit: usize) -> Result<ChangeSet> {
        self.up()?.changes(since, limit)
    }

    fn traces(&self, since: Position, limit: usize, of: Option<&str>) -> Result<Option<Traces>> {
        self.traces.fetch_add(1, Ordering::SeqCst);
        self.heard()?.traces(since, limit, of)
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
        let scanned = self.heard()?.scan(sink);
        let gate = self.scan.lock().take();
        if let Some(gate) = gate {
            gate.pass();
        }
        scanned
    }
}
