//! `MetadataCache` when something goes wrong or comes to its end: nothing is made up, nothing that was
//! promised is taken back, and nobody waits for good.

use std::panic::{AssertUnwindSafe, catch_unwind};

use libtest_mimic::Trial;
use shuttle::rand::{Rng, thread_rng};

use super::history::{Eyes, History, Trouble, path, record};
use super::world::World;
use crate::error::{Error, ErrorKind};
use crate::explore::{claim, join};
use crate::query::Query;
use crate::sync::SyncMode;

pub(crate) fn claims() -> Vec<Trial> {
    vec![
        claim("cache: another database in its place", 1200, another),
        claim(
            "cache: another database while everything is read anew",
            1200,
            another_in_full,
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

/// The log cannot be followed any more, twice, while everything is read: who reads it all, and who
/// waits for that, and who only looks, have what is there at last.
fn another_in_full() {
    let world = World::of(&["a", "b"]);
    join([
        world.spawn(|world, eyes| {
            world.history.foreign(&record("a", "lost"));
            world.history.restore(2);
            world.sync(eyes);
            world.history.restore(2);
            world.history.foreign(&record("a", "found"));
            world.sync(eyes);
            world.get(eyes, "a");
        }),
        world.spawn(|world, eyes| {
            world.cache.sync(SyncMode::Full).unwrap();
            world.query(eyes);
            world.sync(eyes);
            world.query(eyes);
        }),
        world.spawn(|world, eyes| {
            world.update(eyes, "b", "second");
            world.get(eyes, "b");
            world.stats();
        }),
    ]);
    world.at_rest(&["a", "b"]);
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
    let _ = world.cache.sync(SyncMode::Incremental);
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
