//! `MetadataCache`: whatever is written, evicted or invalidated meanwhile, a record is what the
//! store held at the position that the record names, and no thread sees the project go back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use libtest_mimic::Trial;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};

use super::history::{Eyes, History, Trouble, includes, path, record};
use crate::bounded::Limits;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::explore::claim;
use crate::metadata_cache::{CacheOptions, CacheStats, Fetch, MetadataCache};
use crate::query::Query;
use crate::store::MetadataStore;
use crate::sync::SyncMode;

pub(crate) fn claims() -> Vec<Trial> {
    vec![
        claim(
            "cache: fill against a foreign commit and a sync",
            1500,
            fill_sync,
        ),
        claim("cache: fill against update", 1500, fill_update),
        claim("cache: two fills are one load", 1500, two_fills),
        claim("cache: remove against fill", 1500, remove_fill),
        claim("cache: what was cleared is not put back", 1500, clear_fill),
        claim("cache: get and query go forward together", 1200, forward),
        claim("cache: updates of one file", 1200, updates),
        claim("cache: a file that comes and goes", 1200, comes_and_goes),
        claim("cache: fill against a rebuild", 1200, rebuild),
        claim("cache: fill against eviction", 1200, evicted),
        claim("cache: records are of the answer's instant", 1200, records),
        claim("cache: another database in its place", 1200, another),
        claim("cache: many at once, in any order", 1200, many),
        claim(
            "cache: a request is served by a pass of its kind",
            1200,
            passes,
        ),
        claim("cache: a failed load is no absence", 1200, failures),
        claim(
            "cache: a failed pass is told, and takes nothing back",
            1200,
            failed_pass,
        ),
        claim(
            "cache: a reader that breaks hands over",
            1200,
            broken_reader,
        ),
        claim("cache: the first load against readers", 600, first_load),
        claim("cache: counts against their reset", 1200, counts),
        claim(
            "cache: shutdown in the middle of everything",
            1200,
            shutdown,
        ),
    ]
}

/// A loaded cache over a history, for several threads.
#[derive(Clone)]
struct World {
    history: Arc<History>,
    cache: Arc<MetadataCache>,
}

impl World {
    /// With these files, of which none or all are in memory.
    fn of(paths: &[&str]) -> World {
        Self::with_bodies(paths, thread_rng().gen_bool(0.5))
    }

    fn with_bodies(paths: &[&str], load_bodies: bool) -> World {
        let history = History::of(paths);
        let world = World::not_loaded(history, load_bodies);
        world.cache.load().unwrap();
        world
    }

    fn not_loaded(history: Arc<History>, load_bodies: bool) -> World {
        let options = CacheOptions::default().load_bodies(load_bodies);
        let (store, clock) = (Arc::clone(&history) as _, Arc::clone(&history.clock) as _);
        let cache = Arc::new(MetadataCache::new(store, clock, options).unwrap());
        World { history, cache }
    }

    fn spawn(&self, body: impl FnOnce(&World, &mut Eyes) + Send + 'static) -> JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || body(&world, &mut Eyes::new(&world.history)))
    }

    fn get(&self, eyes: &mut Eyes, name: &str) {
        let path = path(name);
        let record = self.cache.get(&path).unwrap();
        eyes.saw(&path, record.as_ref());
    }

    fn query(&self, eyes: &mut Eyes) {
        let all = Query::builder().build().unwrap();
        eyes.saw_all(&self.cache.query(&all).unwrap());
    }

    /// Counts and state, which agree with each other and with history.
    fn stats(&self) -> CacheStats {
        let now = self.history.clock.elapsed();
        let stats = self.cache.stats().unwrap();
        assert!(stats.items <= stats.max_items && stats.bytes <= stats.max_bytes);
        assert!(stats.db_lookup_hits <= stats.db_lookups);
        if let Some(age) = stats.age {
            // The age was told a little later than `now`.
            self.history
                .assert_seen(stats.watermark, now.saturating_sub(age));
        }
        stats
    }

    fn update(&self, eyes: &mut Eyes, name: &str, mark: &str) {
        let position = self.cache.update(&record(name, mark)).unwrap();
        eyes.knows(position);
    }

    fn sync(&self, eyes: &mut Eyes) {
        let head = self.history.head().unwrap();
        let report = self.cache.sync().unwrap();
        assert!(
            includes(report.to, head),
            "a pass that began after the call"
        );
        eyes.knows(head);
    }

    /// All threads are done: what is in memory, what is not, and the counts are as they should be.
    fn at_rest(&self, names: &[&str]) {
        let eyes = &mut Eyes::new(&self.history);
        let before = self.stats();
        names.iter().for_each(|name| self.get(eyes, name));
        self.sync(eyes);
        names.iter().for_each(|name| self.get(eyes, name));
        self.query(eyes);
        names.iter().for_each(|name| self.get(eyes, name));
        let stats = self.stats();
        let gets = 3 * names.len() as u64;
        assert_eq!(
            stats.hits + stats.misses,
            before.hits + before.misses + gets
        );
        assert_eq!(stats.watermark, self.history.head().unwrap());
    }
}

fn join<const N: usize>(threads: [JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().unwrap();
    }
}

fn fill_sync() {
    let world = World::of(&["a", "b"]);
    join([
        world.spawn(|world, eyes| {
            for mark in ["second", "third"] {
                world.history.foreign(&record("a", mark));
                world.sync(eyes);
                world.get(eyes, "a");
            }
        }),
        world.spawn(|world, eyes| (0..3).for_each(|_| world.get(eyes, "a"))),
        world.spawn(|world, eyes| {
            ["b", "a", "b"]
                .into_iter()
                .for_each(|name| world.get(eyes, name));
        }),
    ]);
    world.at_rest(&["a", "b"]);
}

fn fill_update() {
    let world = World::of(&["a", "b"]);
    join([
        world.spawn(|world, eyes| {
            for mark in ["second", "third"] {
                world.update(eyes, "a", mark);
                world.get(eyes, "a");
                world.query(eyes);
            }
        }),
        world.spawn(|world, eyes| (0..3).for_each(|_| world.get(eyes, "a"))),
        world.spawn(|world, eyes| {
            world.history.foreign(&record("a", "foreign"));
            world.get(eyes, "b");
            world.sync(eyes);
            world.get(eyes, "a");
        }),
    ]);
    world.at_rest(&["a", "b"]);
}

/// Nobody writes: the record is read once, however many ask.
fn two_fills() {
    let world = World::with_bodies(&["a", "b"], false);
    let ask = |world: &World, eyes: &mut Eyes| world.get(eyes, "a");
    join([world.spawn(ask), world.spawn(ask), world.spawn(ask)]);
    assert_eq!(world.history.fetches(&path("a")), 1);
    let stats = world.cache.stats().unwrap();
    assert_eq!((stats.loads, stats.items), (1, 1));
    assert_eq!(stats.hits + stats.misses, 3);
    world.at_rest(&["a", "b"]);
}

fn remove_fill() {
    let world = World::of(&["a", "b"]);
    join([
        world.spawn(|world, eyes| {
            let removal = world.cache.remove(&path("a")).unwrap();
            eyes.knows(removal.position);
            assert!(removal.existed);
            world.get(eyes, "a");
            world.update(eyes, "a", "again");
            world.get(eyes, "a");
        }),
        world.spawn(|world, eyes| (0..3).for_each(|_| world.get(eyes, "a"))),
        world.spawn(|world, eyes| {
            world.query(eyes);
            world.get(eyes, "a");
            world.query(eyes);
        }),
    ]);
    world.at_rest(&["a", "b"]);
}

/// A load that began before the clearing does not put its record back after it.
fn clear_fill() {
    let world = World::with_bodies(&["a"], false);
    let before = Arc::new(crate::primitives::Mutex::new(Vec::new()));
    let loads = Arc::clone(&before);
    join([
        world.spawn(move |world, eyes| {
            world.get(eyes, "a");
            loads.lock().push("got");
        }),
        world.spawn(move |world, _| {
            let (fetched, got) = {
                let fetched = world.history.fetches(&path("a"));
                (fetched, !before.lock().is_empty())
            };
            world.cache.clear().unwrap();
            // The one reader had read the store before, or had not asked it yet.
            if got || fetched > 0 {
                assert_eq!(world.cache.stats().unwrap().items, 0);
                thread::yield_now();
                assert_eq!(world.cache.stats().unwrap().items, 0);
            }
        }),
    ]);
    world.at_rest(&["a"]);
}

/// Two files, two readers who look by both ways, a foreign writer and a sync of its own.
fn forward() {
    let world = World::of(&["a", "b"]);
    let look = |world: &World, eyes: &mut Eyes| {
        for name in ["a", "b", "a"] {
            world.get(eyes, name);
            world.query(eyes);
        }
    };
    join([
        world.spawn(|world, eyes| {
            world.history.foreign(&record("a", "second"));
            world.history.foreign(&record("b", "second"));
            world.sync(eyes);
            world.history.foreign(&record("a", "third"));
            world.sync(eyes);
        }),
        world.spawn(look),
        world.spawn(look),
    ]);
    world.at_rest(&["a", "b"]);
}

fn updates() {
    let world = World::of(&["a"]);
    let write = |mark: &'static str| {
        move |world: &World, eyes: &mut Eyes| {
            world.update(eyes, "a", mark);
            world.get(eyes, "a");
        }
    };
    join([
        world.spawn(write("one")),
        world.spawn(write("two")),
        world.spawn(|world, eyes| {
            world.history.foreign(&record("a", "foreign"));
            world.get(eyes, "a");
            world.query(eyes);
        }),
    ]);
    world.at_rest(&["a"]);
}

fn comes_and_goes() {
    let world = World::of(&["a"]);
    join([
        world.spawn(|world, eyes| {
            world.history.foreign(&record("new", "one"));
            world.get(eyes, "new");
            world.history.foreign_removal(&path("new"));
            world.sync(eyes);
            world.get(eyes, "new");
        }),
        world.spawn(|world, eyes| (0..3).for_each(|_| world.get(eyes, "new"))),
        world.spawn(|world, eyes| {
            world.update(eyes, "new", "two");
            world.get(eyes, "new");
            world.query(eyes);
        }),
    ]);
    world.at_rest(&["a", "new"]);
}

fn rebuild() {
    let world = World::of(&["a", "b"]);
    join([
        world.spawn(|world, eyes| {
            let commit = world.history.foreign(&record("a", "second"));
            let report = world.cache.rebuild().unwrap();
            assert_eq!(report.mode, SyncMode::Full);
            eyes.knows(commit);
            world.get(eyes, "a");
        }),
        world.spawn(|world, eyes| {
            world.get(eyes, "a");
            world.update(eyes, "b", "second");
            world.get(eyes, "b");
            world.get(eyes, "a");
        }),
        world.spawn(|world, eyes| {
            ["a", "b", "a"]
                .into_iter()
                .for_each(|name| world.get(eyes, name));
            world.query(eyes);
        }),
    ]);
    world.at_rest(&["a", "b"]);
}

fn evicted() {
    let world = World::of(&["a", "b", "c"]);
    join([
        world.spawn(|world, eyes| {
            let limits = Limits {
                max_items: 1,
                max_bytes: 1 << 20,
                eviction_batch: 1,
            };
            world.cache.set_limits(limits).unwrap();
            assert!(world.cache.stats().unwrap().items <= 1);
            world.cache.evict(1).unwrap();
        }),
        world.spawn(|world, eyes| {
            ["a", "b", "c", "a"]
                .into_iter()
                .for_each(|name| world.get(eyes, name));
        }),
        world.spawn(|world, eyes| {
            world.update(eyes, "b", "second");
            world.get(eyes, "b");
            world.stats();
        }),
    ]);
    world.at_rest(&["a", "b", "c"]);
}

fn records() {
    let world = World::of(&["a", "b"]);
    let ask = |world: &World, eyes: &mut Eyes| {
        let all = Query::builder().build().unwrap();
        match world.cache.query_records(&all, &Fetch::all()) {
            Ok((answer, page)) => {
                eyes.saw_all(&answer);
                let versions = answer.hits().map(|hit| hit.version);
                let found = page.records.iter().map(|record| record.version());
                assert_eq!(found.collect::<Vec<_>>(), versions.collect::<Vec<_>>());
                for record in &page.records {
                    // Read for this answer, or kept since: true as of then.
                    Eyes::new(&world.history).saw(&record.path, Some(record));
                }
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Superseded),
        }
    };
    join([
        world.spawn(|world, eyes| {
            world.update(eyes, "a", "second");
            world.history.foreign_removal(&path("b"));
            world.sync(eyes);
        }),
        world.spawn(ask),
        world.spawn(move |world, eyes| {
            world.get(eyes, "b");
            ask(world, eyes);
        }),
    ]);
    world.at_rest(&["a", "b"]);
}

/// A copy is put back, whose log ends earlier and goes on otherwise: nobody sees the two mixed, or
/// the first one again after the second.
fn another() {
    let world = World::of(&["a", "b"]);
    join([
        world.spawn(|world, eyes| {
            world.history.foreign(&record("a", "lost"));
            world.sync(eyes);
            world.history.restore(2);
            world.history.foreign(&record("a", "found"));
            world.sync(eyes);
            world.get(eyes, "a");
            world.query(eyes);
        }),
        world.spawn(|world, eyes| {
            for name in ["a", "b", "a"] {
                world.get(eyes, name);
                world.query(eyes);
            }
        }),
        world.spawn(|world, eyes| {
            world.update(eyes, "b", "second");
            world.get(eyes, "b");
            world.get(eyes, "a");
        }),
    ]);
    world.at_rest(&["a", "b"]);
}

/// Each leads some loads and joins those of others, and nobody waits in a circle.
fn many() {
    let world = World::with_bodies(&["a", "b", "c"], false);
    let ask = |names: [&'static str; 3]| {
        move |world: &World, eyes: &mut Eyes| {
            let paths = names.map(path);
            let records = world.cache.get_many(&paths).unwrap();
            // Those of one call are of several instants, each no older than what was seen before.
            let floor = eyes.clone();
            for (path, record) in paths.iter().zip(&records) {
                floor.clone().saw(path, record.as_ref());
                eyes.knows(record.as_ref().expect("nobody removes it").as_of());
            }
            world.query(eyes);
        }
    };
    join([
        world.spawn(ask(["a", "b", "c"])),
        world.spawn(ask(["c", "b", "a"])),
        world.spawn(move |world, eyes| {
            world.update(eyes, "b", "second");
            ask(["b", "c", "a"])(world, eyes);
        }),
    ]);
    world.at_rest(&["a", "b", "c"]);
}

/// Whoever wants a full pass gets one, however many others there are, and each began after it was
/// asked for.
fn passes() {
    let world = World::of(&["a"]);
    let sync = |world: &World, eyes: &mut Eyes| (0..2).for_each(|_| world.sync(eyes));
    let rebuild = |world: &World, eyes: &mut Eyes| {
        let commit = world.history.foreign(&record("a", "second"));
        let report = world.cache.rebuild().unwrap();
        assert_eq!(report.mode, SyncMode::Full);
        assert!(report.to >= commit);
    };
    join([
        world.spawn(rebuild),
        world.spawn(sync),
        world.spawn(sync),
        world.spawn(rebuild),
    ]);
    world.at_rest(&["a"]);
}

fn failures() {
    let world = World::with_bodies(&["a"], false);
    let ask = |world: &World, eyes: &mut Eyes| {
        for _ in 0..2 {
            match world.cache.get(&path("a")) {
                Ok(record) => eyes.saw(&path("a"), record.as_ref()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::DatabaseBusy),
            }
        }
    };
    join([
        world.spawn(|world, eyes| {
            world.history.trouble(Trouble::Fetch);
            world.history.foreign(&record("a", "second"));
            world.sync(eyes);
        }),
        world.spawn(ask),
        world.spawn(ask),
    ]);
    // It may not have been met yet.
    let _ = world.cache.get(&path("a"));
    world.at_rest(&["a"]);
}

/// A pass fails: whoever waited for it is told, what it was to bring in stays committed, and
/// everybody else has what was true before.
fn failed_pass() {
    let world = World::of(&["a", "b"]);
    let write = |name: &'static str| {
        move |world: &World, eyes: &mut Eyes| match world.cache.update(&record(name, "second")) {
            Ok(position) => {
                eyes.knows(position);
                world.get(eyes, name);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::CommittedNotApplied),
        }
    };
    join([
        world.spawn(|world, eyes| {
            world.history.trouble(Trouble::Scan);
            world.query(eyes);
            world.stats();
            world.query(eyes);
        }),
        world.spawn(write("a")),
        world.spawn(write("b")),
    ]);
    // It may not have been met yet.
    let _ = world.cache.sync();
    world.at_rest(&["a", "b"]);
}

/// The one who reads for all breaks: another one reads.
fn broken_reader() {
    let world = World::with_bodies(&["a"], false);
    let ask = |world: &World, eyes: &mut Eyes| {
        let get = || world.cache.get(&path("a")).unwrap();
        // Whoever meets the trouble goes on as a thread that was told to.
        if let Ok(record) = catch_unwind(AssertUnwindSafe(get)) {
            eyes.saw(&path("a"), record.as_ref());
        }
    };
    world.history.trouble(Trouble::FetchPanics);
    join([world.spawn(ask), world.spawn(ask), world.spawn(ask)]);
    assert_eq!(world.history.fetches(&path("a")), 1, "by the second one");
    world.at_rest(&["a"]);
}

/// Before the first good pass nothing is known, which is no answer; from then on all is.
fn first_load() {
    let history = History::of(&["a", "b"]);
    let world = World::not_loaded(history, thread_rng().gen_bool(0.5));
    let all = || Query::builder().build().unwrap();
    join([
        world.spawn(|world, eyes| {
            world.cache.load().unwrap();
            world.query(eyes);
        }),
        world.spawn(move |world, eyes| {
            for _ in 0..2 {
                match world.cache.query(&all()) {
                    Ok(answer) => eyes.saw_all(&answer),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::NotLoaded),
                }
            }
            world.get(eyes, "a");
            world.query(eyes);
        }),
        world.spawn(|world, eyes| {
            world.update(eyes, "b", "second");
            world.get(eyes, "b");
            world.query(eyes);
        }),
    ]);
    world.at_rest(&["a", "b"]);
}

/// A reset in the middle: no count goes below zero, none counts more than there was.
fn counts() {
    let world = World::of(&["a", "b"]);
    join([
        world.spawn(|world, eyes| {
            ["a", "b", "a"]
                .into_iter()
                .for_each(|name| world.get(eyes, name));
        }),
        world.spawn(|world, eyes| {
            world.update(eyes, "a", "second");
            world.cache.evict(1).unwrap();
            world.get(eyes, "a");
        }),
        world.spawn(|world, _| {
            let before = world.stats();
            assert!(before.hits + before.misses <= 4);
            world.cache.reset_stats().unwrap();
            let after = world.stats();
            assert!(after.hits + after.misses <= 4 && after.updates <= 1);
            world.stats();
        }),
    ]);
    world.at_rest(&["a", "b"]);
}

/// Every verb ends, with what it is for or with `NotInitialized`, and nothing stays in memory.
fn shutdown() {
    let world = World::of(&["a", "b"]);
    let ended = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::NotInitialized);
    };
    join([
        world.spawn(|world, _| {
            world.cache.shutdown();
            assert!(!world.cache.is_running());
        }),
        world.spawn(move |world, eyes| {
            for name in ["a", "b"] {
                match world.cache.get(&path(name)) {
                    Ok(record) => eyes.saw(&path(name), record.as_ref()),
                    Err(error) => ended(error),
                }
            }
        }),
        world.spawn(move |world, _| {
            world
                .cache
                .update(&record("a", "second"))
                .map(drop)
                .unwrap_or_else(ended);
        }),
    ]);
    assert_eq!(
        world.cache.get(&path("a")).unwrap_err().kind(),
        ErrorKind::NotInitialized
    );
}
