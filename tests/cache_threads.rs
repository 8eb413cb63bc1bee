//! The cache under many threads: what they agree on at rest, what each of them may never see go
//! back, what a slow database may hold up and what it may not, and how often it is asked.
//!
//! `CARDEX_TEST_THREAD_OPERATIONS` sets how many operations each of the 8 threads of the long test
//! makes (100,000), `CARDEX_TEST_SEED` repeats what they try.

#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "a test stops at its first surprise")]

mod gated_store;
mod oracle_support;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use cardex::store::{SqliteOptions, SqliteStore, Write};
use cardex::{
    Answer, CacheOptions, Cardex, ErrorKind, Fetch, FileMetadata, FilePath, Function, Limits,
    Position, Query, Record, SyncMode, SystemClock,
};
use fastrand::Rng;
use gated_store::{GatedStore, When, wait_until};
use oracle_support::{Asked, compare, number, open_sql, paths, record_of, seed};
use rusqlite::Connection;

const THREADS: usize = 8;
/// Every path is written by one thread of its own, or, two in ten, by everybody.
const OWNERS: usize = THREADS + 2;
const PATHS: usize = 160;
/// Those who ask for the same thing at once.
const CALLERS: usize = 1000;

const fn is_shared_freely<T: Clone + Send + Sync + 'static>() {}
const _: () = is_shared_freely::<Cardex>();

/// Held by each test: they measure times, and would only slow each other down.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A cache over a store with gates, which nothing has been read from yet but the index.
struct Gated {
    folder: tempfile::TempDir,
    store: Arc<GatedStore>,
    cardex: Cardex,
}

impl Gated {
    fn new(records: impl Iterator<Item = FileMetadata>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gated.db");
        let sqlite = SqliteStore::open(file, "main", SqliteOptions::default()).unwrap();
        let store = Arc::new(GatedStore::new(sqlite));
        let options = CacheOptions::default().load_bodies(false).follow(false);
        let clock = Arc::new(SystemClock);
        let cardex = Cardex::over(Arc::clone(&store) as _, clock, options).unwrap();
        let records: Vec<Write> = records.map(Write::Put).collect();
        cardex.store().write(&records).unwrap();
        cardex.load().unwrap();
        Gated {
            folder,
            store,
            cardex,
        }
    }

    /// One that holds some files.
    fn of(files: usize) -> Self {
        Self::new((0..files).map(|n| file(n, "first")))
    }

    /// Another program.
    fn sql(&self) -> Connection {
        open_sql(&self.folder.path().join("gated.db"))
    }
}

fn path(n: usize) -> FilePath {
    FilePath::new(&format!("src/f{n:04}.rs")).unwrap()
}

fn file(n: usize, function: &str) -> FileMetadata {
    let builder = FileMetadata::builder(path(n).as_str()).language("rust");
    builder.function(Function::named(function)).build().unwrap()
}

fn query(limit: usize) -> Query {
    Query::builder()
        .language("rust")
        .limit(limit)
        .build()
        .unwrap()
}

/// What all threads together have been told; nobody may be told less later.
struct Told {
    sequence: AtomicU64,
    versions: HashMap<FilePath, AtomicU64>,
}

impl Told {
    fn version(&self, path: &FilePath) -> u64 {
        self.versions[path].load(Ordering::SeqCst)
    }
}

/// One of the threads.
struct Caller<'t> {
    cardex: &'t Cardex,
    database: &'t Mutex<Connection>,
    told: &'t Told,
    paths: &'t [FilePath],
    number: usize,
    random: Rng,
    /// What this thread alone has written, and when.
    mine: HashMap<FilePath, Option<(FileMetadata, u64)>>,
    sight: Sight,
    done: Done,
}

/// What threads have changed and seen, to be put together when all is done.
#[derive(Debug, Default)]
struct Sight {
    /// Paths and the positions of their changes.
    changed: Vec<(FilePath, u64)>,
    /// Paths, versions, and the positions of which they were said to be true.
    seen: Vec<(FilePath, u64, u64)>,
}

impl Sight {
    fn see(&mut self, record: &Record) {
        let (version, as_of) = (record.version(), record.as_of().sequence);
        assert!(version <= as_of, "{} {version} {as_of}", record.path);
        self.seen.push((record.path.clone(), version, as_of));
    }

    /// Asserts that no file had changed again by the position of which its record was said to be.
    fn assert_true(sights: &[Sight]) {
        let mut changes: HashMap<&FilePath, BTreeSet<u64>> = HashMap::new();
        for (path, position) in sights.iter().flat_map(|sight| &sight.changed) {
            changes.entry(path).or_default().insert(*position);
        }
        for (path, version, as_of) in sights.iter().flat_map(|sight| &sight.seen) {
            let Some(changes) = changes.get(path) else {
                continue;
            };
            let next = changes.range(version + 1..).next();
            assert!(
                next.is_none_or(|next| next > as_of),
                "{path} of {version} is said to be of {as_of}, and changed at {next:?}"
            );
        }
    }
}

/// What a thread did.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    gets: u64,
    updates: u64,
    removals: u64,
    superseded: u64,
}

impl Caller<'_> {
    fn operate(&mut self) {
        match self.random.u32(0..10_000) {
            0..6000 => self.get(),
            6000..7200 => self.get_many(),
            7200..9200 => drop(self.query()),
            9200..9960 => self.records(),
            9960..9974 => self.update(),
            9974..9978 => self.remove(),
            9978..9982 => self.foreign(),
            9982..9990 => self.sync(),
            9990..9997 => self.evict(),
            9997..9999 => self.cardex.clear().unwrap(),
            _ => drop(self.cardex.rebuild().unwrap()),
        }
    }

    /// The first paths more often than the last ones.
    fn any_path(&mut self) -> FilePath {
        let end = self.random.usize(1..=self.paths.len());
        self.paths[self.random.usize(0..end)].clone()
    }

    /// A path that this thread may write to, and whether nobody else does.
    fn my_path(&mut self) -> (FilePath, bool) {
        let owner = match self.random.u32(0..4) {
            0 => self.random.usize(THREADS..OWNERS),
            _ => self.number,
        };
        let nth = self.random.usize(0..self.paths.len() / OWNERS);
        (self.paths[nth * OWNERS + owner].clone(), owner < THREADS)
    }

    /// This position is told after that sequence was told to somebody.
    fn hear(&self, since: u64, position: Position) {
        let sequence = position.sequence;
        assert!(sequence >= since, "{position} is told after {since}");
        self.told.sequence.fetch_max(sequence, Ordering::SeqCst);
    }

    /// This version is seen after that one was seen by somebody.
    fn see(&self, path: &FilePath, since: u64, version: u64, as_of: Position) {
        assert!(version >= since, "{path} goes from {since} to {version}");
        assert!(version <= as_of.sequence, "{path} {version} {as_of}");
        self.told.versions[path].fetch_max(version, Ordering::SeqCst);
        if let Some(mine) = self.mine.get(path) {
            let written = mine.as_ref().map(|(_, version)| *version);
            assert_eq!(written, Some(version), "{path} is as I left it");
        }
    }

    fn check(&mut self, path: &FilePath, since: (u64, u64), found: Option<&Record>) {
        let Some(found) = found else {
            let mine = self.mine.get(path);
            assert!(mine.is_none_or(Option::is_none), "{path} is as I left it");
            return;
        };
        assert_eq!(found.path, *path);
        self.sight.see(found);
        self.hear(since.0, found.as_of());
        self.see(path, since.1, found.version(), found.as_of());
        if let Some(Some((record, _))) = self.mine.get(path) {
            assert_eq!(**found, *record);
        }
    }

    fn since(&self, path: &FilePath) -> (u64, u64) {
        let sequence = self.told.sequence.load(Ordering::SeqCst);
        (sequence, self.told.version(path))
    }

    fn get(&mut self) {
        let path = self.any_path();
        let since = self.since(&path);
        let found = self.cardex.get(&path).unwrap();
        self.done.gets += 1;
        self.check(&path, since, found.as_ref());
    }

    fn get_many(&mut self) {
        let count = self.random.usize(0..8);
        let paths: Vec<FilePath> = (0..count).map(|_| self.any_path()).collect();
        let since: Vec<(u64, u64)> = paths.iter().map(|path| self.since(path)).collect();
        let found = self.cardex.get_many(&paths).unwrap();
        self.done.gets += paths.len() as u64;
        for ((path, since), found) in paths.iter().zip(since).zip(found) {
            self.check(path, since, found.as_ref());
        }
    }

    fn query(&mut self) -> Answer {
        let asked = Asked::random(&mut self.random);
        let query = asked.query(Some(self.random.usize(0..10)));
        let known = self.told.sequence.load(Ordering::SeqCst);
        // Of the answer's files these are the ones whose versions can be compared.
        let since: HashMap<&str, u64> = match self.random.u32(0..10) {
            0 => self
                .paths
                .iter()
                .map(|path| (path.as_str(), self.told.version(path)))
                .collect(),
            _ => HashMap::new(),
        };
        let answer = self.cardex.query(&query).unwrap();
        self.hear(known, answer.as_of());
        for hit in answer.hits() {
            let path = FilePath::new(hit.path).unwrap();
            let since = since.get(hit.path).copied().unwrap_or(0);
            self.see(&path, since, hit.version, answer.as_of());
        }
        answer
    }

    fn records(&mut self) {
        let answer = self.query();
        let known = self.told.sequence.load(Ordering::SeqCst);
        let fetch = match self.random.bool() {
            true => Fetch::page(0..5),
            false => Fetch::page(2..9).as_scan(),
        };
        match self.cardex.records(&answer, &fetch) {
            Ok(page) => {
                let mut hits = answer.hits();
                for record in &page.records {
                    self.sight.see(record);
                    self.hear(known, record.as_of());
                    assert!(record.as_of().covers(answer.as_of()));
                    let hit = hits.find(|hit| hit.path == record.path.as_str()).unwrap();
                    assert_eq!(hit.version, record.version(), "{}", hit.path);
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Superseded, "{error:#}");
                self.done.superseded += 1;
            }
        }
    }

    fn update(&mut self) {
        let (path, is_mine) = self.my_path();
        let record = record_of(path.as_str(), &mut self.random);
        let since = self.since(&path);
        let position = self.cardex.update(&record).unwrap();
        self.done.updates += 1;
        self.sight.changed.push((path.clone(), position.sequence));
        if is_mine {
            let written = Some((record, position.sequence));
            self.mine.insert(path.clone(), written);
        }
        self.hear(since.0, position);
        self.see(&path, since.1, position.sequence, position);
        let since = self.since(&path);
        let found = self.cardex.get(&path).unwrap();
        self.done.gets += 1;
        self.check(&path, since, found.as_ref());
    }

    fn remove(&mut self) {
        let (path, is_mine) = self.my_path();
        let since = self.since(&path);
        let removal = self.cardex.remove(&path).unwrap();
        self.done.removals += u64::from(removal.existed);
        if removal.existed {
            let position = removal.position.sequence;
            self.sight.changed.push((path.clone(), position));
        }
        if let Some(mine) = self.mine.get(&path) {
            assert_eq!(removal.existed, mine.is_some(), "{path}");
        }
        if is_mine {
            self.mine.insert(path.clone(), None);
        }
        self.hear(since.0, removal.position);
        let found = self.cardex.get(&path).unwrap();
        self.done.gets += 1;
        let back = found.filter(|found| is_mine || found.version() <= removal.position.sequence);
        assert!(back.is_none(), "{path} is gone");
    }

    /// Another program writes a path that is everybody's.
    fn foreign(&mut self) {
        let owner = self.random.usize(THREADS..OWNERS);
        let nth = self.random.usize(0..self.paths.len() / OWNERS);
        let path = &self.paths[nth * OWNERS + owner];
        let sql = match self.random.u32(0..3) {
            0 => "DELETE FROM documents WHERE path = ?1",
            1 => "UPDATE documents SET language = 'go' WHERE path = ?1",
            _ => "INSERT OR IGNORE INTO documents (project_id, path) VALUES (1, ?1)",
        };
        let database = self.database.lock().unwrap();
        database.execute(sql, [path.as_str()]).unwrap();
    }

    fn sync(&mut self) {
        let known = self.told.sequence.load(Ordering::SeqCst);
        let head = self.cardex.store().head().unwrap();
        let report = self.cardex.sync(SyncMode::Incremental).unwrap();
        assert!(
            report.to.covers(head),
            "a pass begins after it is asked for"
        );
        self.hear(known, report.to);
    }

    fn evict(&mut self) {
        let evicted = self.cardex.evict(5).unwrap();
        assert!(evicted <= 5);
        let stats = self.cardex.stats().unwrap();
        assert!(
            stats.items <= stats.max_items && stats.bytes <= stats.max_bytes,
            "{stats:?}"
        );
    }
}

#[test]
fn threads_never_see_time_go_back_and_agree_with_sql_at_rest() {
    let _turn = turn();
    let operations = number("CARDEX_TEST_THREAD_OPERATIONS", 100_000);
    let seed = seed();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("threads.db");
    let cardex = Cardex::builder()
        .database(&file)
        .project("main")
        .open()
        .unwrap();
    let paths = paths(PATHS);
    let mut random = Rng::with_seed(seed);
    let records = paths
        .iter()
        .step_by(2)
        .map(|path| record_of(path.as_str(), &mut random));
    let records: Vec<Write> = records.map(Write::Put).collect();
    cardex.store().write(&records).unwrap();
    cardex.sync(SyncMode::Incremental).unwrap();
    let limits = Limits {
        max_items: PATHS / 2,
        max_bytes: 100_000,
        eviction_batch: 4,
    };
    cardex.set_limits(limits).unwrap();
    let start = cardex.stats().unwrap();
    let told = Told {
        sequence: AtomicU64::new(start.watermark.sequence),
        versions: paths
            .iter()
            .map(|path| (path.clone(), AtomicU64::new(0)))
            .collect(),
    };
    let database = Mutex::new(open_sql(&file));
    let (done, sights): (Vec<Done>, Vec<Sight>) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let mut caller = Caller {
                    cardex: &cardex,
                    database: &database,
                    told: &told,
                    paths: &paths,
                    number,
                    random: Rng::with_seed(seed.wrapping_add(1 + number as u64)),
                    mine: HashMap::new(),
                    sight: Sight::default(),
                    done: Done::default(),
                };
                scope.spawn(move || {
                    (0..operations).for_each(|_| caller.operate());
                    (caller.done, caller.sight)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });

    Sight::assert_true(&sights);
    let sum = |count: fn(&Done) -> u64| done.iter().map(count).sum::<u64>();
    let stats = cardex.stats().unwrap();
    println!(
        "{} gets, {} hits, {} superseded",
        sum(|d| d.gets),
        stats.hits,
        sum(|d| d.superseded)
    );
    assert_eq!(stats.hits + stats.misses, sum(|done| done.gets));
    assert_eq!(stats.insertions + stats.updates, sum(|done| done.updates));
    assert_eq!(stats.removals, sum(|done| done.removals));
    assert_eq!(stats.load_errors, 0);
    assert!(
        stats.items <= limits.max_items && stats.bytes <= limits.max_bytes,
        "{stats:?}"
    );

    cardex.sync(SyncMode::Incremental).unwrap();
    let database = database.into_inner().unwrap();
    let found = cardex.get_many(&paths).unwrap();
    let truth = cardex.store().fetch(&paths).unwrap().records;
    for (found, truth) in found.iter().zip(truth) {
        let found = found
            .as_ref()
            .map(|found| (FileMetadata::clone(found), found.version()));
        let truth = truth.unwrap().map(|truth| (truth.record, truth.version));
        assert_eq!(found, truth);
    }
    let everything = Asked::default();
    let answer = cardex.query(&everything.query(None)).unwrap();
    everything.assert_is_answer(&answer, None, &database, "main");
    assert_eq!(cardex.stats().unwrap().files, answer.len());
    for _ in 0..300 {
        compare(&mut random, &cardex, &database, "main");
    }
}

#[test]
fn a_record_is_what_its_file_was_at_exactly_its_position() {
    let _turn = turn();
    const CHANGES: usize = 2500;
    let gated = Gated::of(2);
    let cardex = &gated.cardex;
    let is_done = AtomicBool::new(false);
    let look = |n: usize| {
        let mut sight = Sight::default();
        while !is_done.load(Ordering::SeqCst) {
            if n == 0 {
                let found = cardex.get_many(&[path(0), path(1)]).unwrap();
                found.iter().flatten().for_each(|found| sight.see(found));
            } else {
                sight.see(&cardex.get(&path(0)).unwrap().unwrap());
            }
        }
        sight
    };
    std::thread::scope(|scope| {
        let readers = [0, 1, 2, 3].map(|n| scope.spawn(move || look(n)));
        let mut sight = Sight::default();
        for _ in 0..CHANGES {
            let position = cardex.update(&file(0, "again")).unwrap();
            sight.changed.push((path(0), position.sequence));
        }
        is_done.store(true, Ordering::SeqCst);
        let mut sights = Vec::from(readers.map(|reader| reader.join().unwrap()));
        println!(
            "{} records were seen",
            sights.iter().map(|s| s.seen.len()).sum::<usize>()
        );
        sights.push(sight);
        Sight::assert_true(&sights);
    });
}

#[test]
fn a_slow_load_holds_up_nobody_else() {
    let _turn = turn();
    const SLOW: usize = 0;
    const RESIDENT: usize = 1;
    let gated = Gated::of(100);
    let cardex = &gated.cardex;
    let held = gated.store.hold_fetch(&path(SLOW), When::Before);
    let mut latencies = Vec::new();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| cardex.get(&path(SLOW)).unwrap().unwrap());
        held.wait();
        let start = Instant::now();
        for round in 0.. {
            let mut timed = |what: &'static str, work: &dyn Fn()| {
                let start = Instant::now();
                work();
                latencies.push((start.elapsed(), what));
            };
            let other = path(2 + round % 98);
            timed("get, not resident", &|| {
                assert!(cardex.get(&other).unwrap().is_some())
            });
            timed("get, resident", &|| {
                assert!(cardex.get(&other).unwrap().is_some())
            });
            timed("get_many", &|| {
                drop(cardex.get_many(&[path(RESIDENT), path(99)]).unwrap())
            });
            timed("query", &|| {
                assert_eq!(cardex.query(&query(20)).unwrap().len(), 20)
            });
            timed("records", &|| {
                let answer = cardex.query(&query(20)).unwrap();
                let page = cardex.records(&answer, &Fetch::page(1..20)).unwrap();
                assert_eq!(page.records.len(), 19);
            });
            timed("update", &|| {
                let position = cardex.update(&file(round % 9 + 2, "again")).unwrap();
                assert!(cardex.query(&query(1)).unwrap().as_of().covers(position));
            });
            cardex.evict(30).unwrap();
            if start.elapsed() >= Duration::from_secs(1) {
                break;
            }
        }
        assert!(
            held.is_waiting() && !slow.is_finished(),
            "nobody has waited for it"
        );
        // Nor does a write of the very path wait for it.
        let position = cardex.update(&file(SLOW, "second")).unwrap();
        let found = cardex.get(&path(SLOW)).unwrap().unwrap();
        assert_eq!(found.version(), position.sequence);
        assert!(held.is_waiting());
        held.release();
        slow.join().unwrap();
    });
    latencies.sort();
    let p95 = latencies[latencies.len() * 95 / 100];
    println!(
        "{} calls, p95 {p95:?}, longest {:?}",
        latencies.len(),
        latencies.last()
    );
    assert!(p95.0 < Duration::from_millis(10), "{p95:?}");
}

#[test]
fn a_thousand_gets_of_one_path_read_it_once() {
    let _turn = turn();
    let gated = Gated::of(3);
    let held = gated.store.hold_fetch(&path(1), When::Before);
    let found: Vec<Record> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| scope.spawn(|| gated.cardex.get(&path(1)).unwrap().unwrap()))
            .collect();
        wait_until("all have missed", || {
            gated.cardex.stats().unwrap().misses == CALLERS as u64
        });
        held.release();
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect()
    });
    assert_eq!(gated.store.fetches(), 1);
    assert!(found.iter().all(|record| record.is_same(&found[0])));
    assert_eq!(gated.cardex.stats().unwrap().loads, 1);
}

/// The number of this thread, by which the system knows it.
#[cfg(target_os = "linux")]
fn thread_number() -> String {
    let link = std::fs::read_link("/proc/thread-self").unwrap();
    link.file_name().unwrap().to_str().unwrap().to_owned()
}

#[cfg(target_os = "linux")]
fn is_asleep(thread: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
    let state = stat
        .ok()
        .and_then(|stat| stat.rsplit(") ").next()?.chars().next());
    state == Some('S')
}

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_gets_of_an_unknown_path_share_two_looks() {
    let _turn = turn();
    let gated = Gated::of(3);
    let before = gated.store.looks();
    let held = gated.store.hold_look();
    let (tells, told) = mpsc::channel();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let tells = tells.clone();
                let cardex = &gated.cardex;
                scope.spawn(move || {
                    tells.send(thread_number()).unwrap();
                    assert!(cardex.get(&path(1000)).unwrap().is_none());
                })
            })
            .collect();
        wait_until("all have missed", || {
            gated.cardex.stats().unwrap().misses == CALLERS as u64
        });
        // One makes the first look, the others wait for the next: nobody is still on the way.
        let threads: Vec<String> = told.iter().take(CALLERS).collect();
        wait_until("all are waiting", || {
            threads.iter().all(|thread| is_asleep(thread))
        });
        held.release();
        callers
            .into_iter()
            .for_each(|caller| caller.join().unwrap());
    });
    assert_eq!(gated.store.looks() - before, 2);
    assert_eq!(gated.store.fetches(), 0);
    let stats = gated.cardex.stats().unwrap();
    assert_eq!((stats.db_lookups, stats.db_lookup_hits), (2, 0));
}

#[test]
fn a_load_in_flight_does_not_put_back_what_is_cleared() {
    let _turn = turn();
    let gated = Gated::of(3);
    let cardex = &gated.cardex;
    cardex.get(&path(2)).unwrap();
    let held = gated.store.hold_fetch(&path(1), When::After);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| cardex.get(&path(1)).unwrap().unwrap());
        held.wait();
        cardex.clear().unwrap();
        held.release();
        assert_eq!(*slow.join().unwrap(), file(1, "first"), "it is answered");
    });
    let stats = cardex.stats().unwrap();
    assert_eq!((stats.items, stats.bytes), (0, 0), "it is not kept");
    let before = gated.store.fetches();
    cardex.get(&path(1)).unwrap();
    assert_eq!(gated.store.fetches(), before + 1);
    assert_eq!(cardex.stats().unwrap().items, 1);
}

#[test]
fn a_load_in_flight_never_stores_or_serves_what_has_changed_since() {
    let _turn = turn();
    let gated = Gated::of(3);
    let (cardex, other) = (&gated.cardex, gated.sql());
    let mut versions = vec![cardex.get(&path(1)).unwrap().unwrap().version()];
    // Changed by us, or by another program and then synchronised in either way; asked for again
    // while the old load is held, or only after it has ended.
    let ways = [None, Some(SyncMode::Incremental), Some(SyncMode::Full)];
    let cases = ways.into_iter().flat_map(|way| [(way, true), (way, false)]);
    for (way, asks_meanwhile) in cases {
        cardex.clear().unwrap();
        let held = gated.store.hold_fetch(&path(1), When::After);
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| cardex.get(&path(1)).unwrap().unwrap());
            held.wait();
            let position = if let Some(mode) = way {
                let sql = "UPDATE documents SET language = 'l' || (SELECT max(seq) FROM changes)
                    WHERE path = ?1";
                other.execute(sql, [path(1).as_str()]).unwrap();
                cardex.sync(mode).unwrap().to
            } else {
                cardex.update(&file(1, "again")).unwrap()
            };
            let new = || {
                let found = cardex.get(&path(1)).unwrap().unwrap();
                assert_eq!(found.version(), position.sequence);
                assert_eq!(found.as_of(), position);
            };
            if asks_meanwhile {
                new();
            }
            held.release();
            let old = slow.join().unwrap();
            assert_eq!(Some(&old.version()), versions.last());
            assert!(
                !old.as_of().covers(position),
                "it says that it is of before"
            );
            new();
            versions.push(position.sequence);
        });
    }
}

#[test]
fn a_load_in_flight_never_brings_back_what_is_removed() {
    let _turn = turn();
    let gated = Gated::of(3);
    let cardex = &gated.cardex;
    let held = gated.store.hold_fetch(&path(1), When::After);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| cardex.get(&path(1)).unwrap());
        held.wait();
        assert!(cardex.remove(&path(1)).unwrap().existed);
        assert!(cardex.get(&path(1)).unwrap().is_none());
        held.release();
        slow.join().unwrap();
    });
    assert!(cardex.get(&path(1)).unwrap().is_none());
    assert_eq!(cardex.stats().unwrap().items, 0);
}

#[test]
fn who_joins_a_load_is_told_no_older_position_than_before() {
    let _turn = turn();
    let gated = Gated::of(3);
    let cardex = &gated.cardex;
    let held = gated.store.hold_fetch(&path(1), When::After);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| cardex.get(&path(1)).unwrap().unwrap());
        held.wait();
        // Another file changes: the load is as good as before.
        let position = cardex.update(&file(2, "again")).unwrap();
        let late = scope.spawn(move || {
            assert_eq!(cardex.query(&query(1)).unwrap().as_of(), position);
            cardex.get(&path(1)).unwrap().unwrap()
        });
        wait_until("both have missed", || cardex.stats().unwrap().misses == 2);
        held.release();
        let (slow, late) = (slow.join().unwrap(), late.join().unwrap());
        assert!(late.as_of().covers(position), "{} {position}", late.as_of());
        assert_eq!(slow.version(), late.version());
    });
}

#[test]
fn it_is_used_and_dropped_inside_an_asynchronous_runtime() {
    let _turn = turn();
    let (tells, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file_name = folder.path().join("async.db");
        let used = AtomicUsize::new(0);
        let used = Arc::new(used);
        let cardex = runtime.block_on(async {
            let cardex = Cardex::builder().database(file_name).open().unwrap();
            let tasks: Vec<_> = (0..8)
                .map(|n| {
                    let (cardex, used) = (cardex.clone(), Arc::clone(&used));
                    tokio::spawn(async move {
                        cardex.update(&file(n, "task")).unwrap();
                        assert!(cardex.get(&path(n)).unwrap().is_some());
                        assert!(!cardex.query(&query(9)).unwrap().is_empty());
                        used.fetch_add(1, Ordering::SeqCst);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            cardex
        });
        assert_eq!(used.load(Ordering::SeqCst), 8);
        // The last one goes on a thread of the runtime.
        let last = runtime.spawn(async move {
            assert_eq!(cardex.query(&query(9)).unwrap().total(), 8);
            drop(cardex);
        });
        runtime.block_on(last).unwrap();
        drop(runtime);
        tells.send(()).unwrap();
    });
    told.recv_timeout(Duration::from_secs(60)).unwrap();
}
