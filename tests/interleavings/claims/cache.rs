//! `MetadataCache`: whatever is written, evicted or invalidated meanwhile, a record is what the
//! store held at the position that the record names, and no thread sees the project go back.

use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use shuttle::thread;

use super::history::{Eyes, path, record};
use super::world::World;
use crate::bounded::Limits;
use crate::cache::Scope;
use crate::error::ErrorKind;
use crate::explore::{claim, join};
use crate::freshness::Freshness;
use crate::metadata_cache::{Fetch, MetadataCache};
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
        claim("cache: what was cleared is not put back", 1500, || {
            forgotten(|cache| cache.clear().unwrap());
        }),
        claim("cache: what was invalidated is not put back", 1500, || {
            forgotten(|cache| assert!(cache.invalidate(&one("a")).unwrap() <= 1));
        }),
        claim(
            "cache: what was invalidated by its directory is not",
            1500,
            || {
                forgotten(|cache| assert!(cache.invalidate(&below("a")).unwrap() <= 1));
            },
        ),
        claim(
            "cache: fill and update against invalidation",
            1200,
            invalidation,
        ),
        claim("cache: get and query go forward together", 1200, forward),
        claim("cache: updates of one file", 1200, updates),
        claim("cache: a file that comes and goes", 1200, comes_and_goes),
        claim("cache: fill against a rebuild", 1200, rebuild),
        claim("cache: fill against eviction", 1200, evicted),
        claim("cache: records are of the answer's instant", 1200, records),
        claim("cache: an answer is as fresh as demanded", 1200, freshness),
        claim("cache: many at once, in any order", 1200, many),
        claim(
            "cache: a request is served by a pass of its kind",
            1200,
            passes,
        ),
    ]
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

fn one(name: &str) -> Scope {
    Scope::Path(path(name))
}

fn below(directory: &str) -> Scope {
    Scope::Prefix(directory.to_owned())
}

/// A load that began before the record was to be forgotten does not put it back after that.
fn forgotten(forget: fn(&MetadataCache)) {
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
            forget(&world.cache);
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

/// No thread sees a file go back, and each invalidation tells how many left.
fn invalidation() {
    let world = World::of(&["a", "b"]);
    join([
        world.spawn(|world, eyes| {
            for mark in ["second", "third"] {
                world.update(eyes, "a", mark);
                world.get(eyes, "a");
            }
        }),
        world.spawn(|world, eyes| (0..3).for_each(|_| world.get(eyes, "a"))),
        world.spawn(|world, eyes| {
            for scope in [one("a"), Scope::All, below("b")] {
                let left = world.cache.invalidate(&scope).unwrap();
                assert!(left <= 2, "{left} of two");
                world.get(eyes, "b");
            }
        }),
    ]);
    world.at_rest(&["a", "b"]);
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
        world.spawn(|world, _| {
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

/// Whoever demands it sees every commit that was there before the call, or the one that it names.
fn freshness() {
    let world = World::of(&["a", "b"]);
    let ask = |world: &World, eyes: &mut Eyes, freshness: Freshness| {
        let record = world.cache.get_with(&path("a"), freshness).unwrap();
        eyes.saw(&path("a"), record.as_ref());
        let all = Query::builder().build().unwrap();
        eyes.saw_all(&world.cache.query_with(&all, freshness).unwrap());
    };
    join([
        world.spawn(move |world, eyes| {
            let commit = world.history.foreign(&record("a", "second"));
            eyes.knows(commit);
            ask(world, eyes, Freshness::AtLeast(commit));
        }),
        world.spawn(move |world, eyes| {
            world.history.foreign(&record("b", "second"));
            eyes.knows(world.history.head().unwrap());
            ask(world, eyes, Freshness::Latest);
        }),
        world.spawn(move |world, eyes| {
            ask(world, eyes, Freshness::Cached);
            eyes.knows(world.history.head().unwrap());
            ask(world, eyes, Freshness::MaxAge(Duration::ZERO));
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
    let rebuild = |world: &World, _: &mut Eyes| {
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
