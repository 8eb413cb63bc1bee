//! The wall clock, stepped back and forth: only what people read follows it. Ages, demands and
//! intervals run on the boot clock, which never steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use cardex::store::{
    ChangeSet, Fetched, MetadataStore, Removal, RowSink, ScanReport, SqliteOptions, SqliteStore,
    Stored, Versioned, Write,
};
use cardex::{
    CacheOptions, Cardex, Clock, ErrorKind, FileMetadata, FilePath, FileState, Freshness,
    ManualClock, Position, Query, Result, SyncMode,
};
use chrono::{DateTime, TimeDelta, Utc};

use crate::victim::*;

/// A clock whose wall time is set by hand, apart from the time that passes.
#[derive(Debug, Default)]
struct SteppedClock {
    elapsed: ManualClock,
    wall_seconds: AtomicI64,
}

impl SteppedClock {
    /// Sets the wall clock to this many seconds after 1970, or before it.
    fn set(&self, seconds: i64) {
        self.wall_seconds.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> DateTime<Utc> {
        let seconds = TimeDelta::seconds(self.wall_seconds.load(Ordering::SeqCst));
        self.elapsed.now() + seconds
    }

    fn elapsed(&self) -> Duration {
        self.elapsed.elapsed()
    }
}

/// A database that counts how often it is looked at, and told to take nothing for granted.
#[derive(Debug)]
struct CountedStore {
    inner: SqliteStore,
    looks: AtomicUsize,
    thorough: AtomicUsize,
}

impl CountedStore {
    fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }

    fn thorough(&self) -> usize {
        self.thorough.load(Ordering::SeqCst)
    }
}

impl MetadataStore for CountedStore {
    fn scan_changes(&self, since: Position, sink: &mut dyn RowSink) -> Result<ScanReport> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.inner.scan_changes(since, sink)
    }

    fn forget(&self) {
        self.thorough.fetch_add(1, Ordering::SeqCst);
        self.inner.forget();
    }

    fn head(&self) -> Result<Position> {
        self.inner.head()
    }

    fn fetch(&self, paths: &[FilePath]) -> Result<Fetched> {
        self.inner.fetch(paths)
    }

    fn newest(&self, limit: usize) -> Result<Vec<FilePath>> {
        self.inner.newest(limit)
    }

    fn put(&self, record: &FileMetadata) -> Result<Stored> {
        self.inner.put(record)
    }

    fn remove(&self, path: &FilePath) -> Result<Removal> {
        self.inner.remove(path)
    }

    fn write(&self, batch: &[Write]) -> Result<Position> {
        self.inner.write(batch)
    }

    fn for_each(&self, visit: &mut dyn FnMut(Versioned) -> Result<()>) -> Result<ScanReport> {
        self.inner.for_each(visit)
    }

    fn file_states(&self) -> Result<Vec<FileState>> {
        self.inner.file_states()
    }

    fn changes(&self, since: Position, limit: usize) -> Result<ChangeSet> {
        self.inner.changes(since, limit)
    }

    fn scan(&self, sink: &mut dyn RowSink) -> Result<ScanReport> {
        self.inner.scan(sink)
    }
}

/// A cache over both.
struct Timed {
    _directory: tempfile::TempDir,
    clock: Arc<SteppedClock>,
    store: Arc<CountedStore>,
    cache: Cardex,
}

impl Timed {
    fn new(options: CacheOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("project.db");
        write_all(&file, records());
        let store = Arc::new(CountedStore {
            inner: SqliteStore::open(&file, "default", SqliteOptions::default()).unwrap(),
            looks: AtomicUsize::new(0),
            thorough: AtomicUsize::new(0),
        });
        let clock = Arc::new(SteppedClock::default());
        clock.set(NOW);
        let cache = Cardex::over(store.clone(), clock.clone(), options).unwrap();
        cache.load().unwrap();
        Timed {
            _directory: directory,
            clock,
            store,
            cache,
        }
    }

    fn age(&self) -> Duration {
        let age = self.cache.stats().unwrap().age.unwrap();
        let all = Query::builder().build().unwrap();
        assert_eq!(self.cache.query(&all).unwrap().age(), age);
        age
    }
}

/// The wall clock of a good day, in seconds since 1970.
const NOW: i64 = 1_700_000_000;

const YEAR: i64 = 365 * 24 * 3600;

/// Forward, back, before 1970, and to the ends of what can be told.
const STEPS: [i64; 8] = [
    NOW + 3600,
    NOW - 3600,
    NOW + 50 * YEAR,
    0,
    -YEAR,
    NOW,
    7999 * YEAR,
    -1000 * YEAR,
];

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn ages_and_demands_know_nothing_of_a_wall_clock_that_is_stepped() {
    let timed = Timed::new(CacheOptions::default().follow(false));
    for step in STEPS {
        timed.cache.refresh(Freshness::Latest).unwrap();
        timed.clock.set(step);
        assert_eq!(timed.age(), Duration::ZERO, "{step}");
        timed.clock.elapsed.advance(MINUTE);
        assert_eq!(timed.age(), MINUTE, "{step}");
        // The last look does, whatever the wall clock says.
        let looks = timed.store.looks();
        timed.cache.refresh(Freshness::MaxAge(MINUTE)).unwrap();
        assert_eq!(timed.store.looks(), looks, "{step}");
        // It does not, whatever the wall clock says.
        timed.clock.set(NOW);
        let less = MINUTE - Duration::from_nanos(1);
        timed.cache.refresh(Freshness::MaxAge(less)).unwrap();
        assert_eq!(timed.store.looks(), looks + 1, "{step}");
        assert_eq!(timed.age(), Duration::ZERO, "{step}");
    }
}

#[test]
fn a_pass_tells_the_wall_clocks_time_and_how_long_it_took_by_the_other_one() {
    let timed = Timed::new(CacheOptions::default().follow(false));
    for step in STEPS {
        timed.clock.set(step);
        for mode in [SyncMode::Full, SyncMode::Incremental] {
            timed.cache.sync(mode).unwrap();
            let last = timed.cache.stats().unwrap().last_sync.unwrap();
            assert_eq!((last.at, last.mode), (timed.clock.now(), mode), "{step}");
            assert_eq!(last.duration, Duration::ZERO, "{step}");
        }
        let name = format!("stepped{step}");
        timed.cache.update(&record(&name, "ada", "x")).unwrap();
        assert!(timed.cache.get(&path(&name)).unwrap().is_some(), "{step}");
    }
    let all = Query::builder().build().unwrap();
    let answer = timed.cache.query_with(&all, Freshness::Latest).unwrap();
    assert_eq!(answer.len(), FILES + STEPS.len());
}

/// A look fails while the wall clock goes back: the failure is told with that time, and ages go on.
#[test]
fn a_fault_while_the_wall_clock_goes_back_is_told_and_makes_nobody_younger() {
    let timed = Timed::new(CacheOptions::default().follow(false));
    let sql = |statement: &str| {
        let conn = rusqlite::Connection::open(timed.store.inner.path()).unwrap();
        conn.execute_batch(statement).unwrap();
    };
    sql("PRAGMA user_version = 4711");
    for (passed, step) in (1..).zip(STEPS) {
        timed.clock.set(step);
        timed.clock.elapsed.advance(MINUTE);
        let error = timed.cache.refresh(Freshness::MaxAge(MINUTE / 2));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFresh, "{step}");
        assert_eq!(timed.age(), MINUTE * passed, "{step}");
        let stats = timed.cache.stats().unwrap();
        assert_eq!(stats.last_failure.unwrap().at, timed.clock.now(), "{step}");
        assert!(stats.last_sync.is_some(), "{step}");
    }
    sql("PRAGMA user_version = 2");
    timed.cache.refresh(Freshness::MaxAge(MINUTE / 2)).unwrap();
    assert_eq!(timed.age(), Duration::ZERO);
    assert!(!timed.cache.stats().unwrap().is_degraded());
}

/// The thread that follows the database looks by real time; how thoroughly, by the boot clock.
#[test]
fn a_thorough_look_comes_when_its_time_has_passed_and_at_no_step_of_the_wall_clock() {
    let timed = Timed::new(CacheOptions::default().follow(true));
    let some_looks = || {
        let looks = timed.store.looks();
        within(LATER, "it looks again", || timed.store.looks() > looks + 2);
    };
    for step in STEPS {
        timed.clock.set(step);
        some_looks();
    }
    assert_eq!(timed.store.thorough(), 0);
    for round in 1..=3 {
        timed.clock.elapsed.advance(Duration::from_secs(3600));
        within(LATER, "a thorough look", || timed.store.thorough() == round);
        some_looks();
        assert_eq!(timed.store.thorough(), round);
        assert!(timed.age() <= Duration::from_secs(3600));
    }
}
