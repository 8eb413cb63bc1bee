//! Inside one process: caches, hooks, the database's changes, and too many events.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cardex::bus::{FileChanges, Invalidation, InvalidationBus, Origin, What};
use cardex::kv::{KvCache, KvOptions};
use cardex::store::Write;
use cardex::tier::{Lifetime, MemoryTier, MemoryTierOptions};
use cardex::{Error, ErrorKind, FileMetadata, Scope};

use crate::redis_support::{SOON, soon};
use crate::support::{clock, database, pattern};

fn cache(name: &str) -> KvCache {
    let tier = MemoryTier::new(name, MemoryTierOptions::default(), clock());
    KvCache::new(name, KvOptions::default(), Arc::new(tier), clock())
}

fn bus(caches: &[&KvCache]) -> Arc<InvalidationBus> {
    let bus = InvalidationBus::new(clock()).unwrap();
    for cache in caches {
        bus.subscribe_keys(Arc::new((*cache).clone())).unwrap();
    }
    bus
}

fn filled(name: &str, keys: &[&str]) -> KvCache {
    let cache = cache(name);
    for key in keys {
        cache.set(*key, &1, Lifetime::Default).unwrap();
    }
    cache
}

fn keys(cache: &KvCache) -> Vec<String> {
    let keys = cache.keys(&pattern("*")).unwrap();
    keys.iter().map(ToString::to_string).collect()
}

#[test]
fn an_event_is_about_its_cache_and_a_full_key_names_it() {
    let users = filled("users", &["7:name", "7:mail", "8:name"]);
    let teams = filled("teams", &["7:name"]);
    let bus = bus(&[&users, &teams]);
    bus.publish(Invalidation::keys("users", pattern("7:n*"), "a rename"));
    assert!(bus.settle(SOON));
    assert_eq!(keys(&users), ["7:mail", "8:name"]);
    assert_eq!(keys(&teams), ["7:name"]);

    let mut everywhere = Invalidation::keys("", pattern("*s:?:name"), "a rename");
    if let What::Keys { cache, .. } = &mut everywhere.what {
        *cache = None;
    }
    bus.publish(everywhere);
    assert!(bus.settle(SOON));
    assert_eq!(keys(&users), ["7:mail"]);
    assert_eq!(keys(&teams), [""; 0]);
    let stats = bus.stats();
    assert_eq!((stats.by_origin["api"], stats.by_cause["a rename"]), (2, 2));
    assert_eq!(bus.log().last(1)[0].cause, "a rename");
}

#[test]
fn a_hook_that_fails_stops_no_other_and_no_cache() {
    let users = filled("users", &["k"]);
    let bus = bus(&[&users]);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    bus.hook("fails", |_| Err(Error::new(ErrorKind::Io, "no disk")))
        .unwrap();
    bus.hook("panics", |_| panic!("out of order")).unwrap();
    bus.hook("works", move |event| {
        hears.lock().unwrap().push(event.what.to_string());
        Ok(())
    })
    .unwrap();
    assert_eq!(
        bus.hook("works", |_| Ok(())).unwrap_err().kind(),
        ErrorKind::Coordinator
    );
    bus.publish(Invalidation::keys("users", pattern("k"), "a test"));
    assert!(bus.settle(SOON));
    assert_eq!(*heard.lock().unwrap(), ["users: k"]);
    assert_eq!(keys(&users), [""; 0]);
    assert_eq!(bus.stats().hook_failures, 2);
    let failures: Vec<String> = bus
        .log()
        .last(10)
        .into_iter()
        .filter_map(|one| one.error)
        .collect();
    assert!(
        failures.iter().any(|error| error.contains("no disk")),
        "{failures:?}"
    );
    assert!(
        failures.iter().any(|error| error.contains("out of order")),
        "{failures:?}"
    );
    assert!(bus.unsubscribe("works") && !bus.unsubscribe("works"));
}

#[test]
fn a_hook_that_hangs_holds_up_no_cache_and_too_many_events_become_all_of_their_scope() {
    let users = filled("users", &["k"]);
    let bus = bus(&[&users]);
    let (is_let_go, called) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (waits, counts) = (Arc::clone(&is_let_go), Arc::clone(&called));
    let last = Arc::new(Mutex::new(String::new()));
    let hears = Arc::clone(&last);
    bus.hook("hangs", move |event| {
        counts.fetch_add(1, Ordering::SeqCst);
        *hears.lock().unwrap() = event.what.to_string();
        soon("it is let go", || waits.load(Ordering::SeqCst));
        Ok(())
    })
    .unwrap();
    for n in 0..5000 {
        bus.publish(Invalidation::keys(
            "other",
            pattern(&format!("x{n}")),
            "a flood",
        ));
    }
    bus.publish(Invalidation::keys("users", pattern("k"), "a test"));
    soon("the cache has forgotten", || !users.exists("k").unwrap());
    assert!(!bus.settle(Duration::ZERO), "the hook still hangs");
    for _ in 0..2 {
        bus.publish(Invalidation::keys("users", pattern("k"), "a test"));
    }
    let stats = bus.stats();
    assert!(stats.overflows > 0 && stats.coalesced >= 1, "{stats:?}");
    assert!(stats.waiting <= 3 * 1024, "{stats:?}");
    is_let_go.store(true, Ordering::SeqCst);
    assert!(bus.settle(SOON));
    assert!(
        called.load(Ordering::SeqCst) < 2500,
        "details were forgotten"
    );
    assert_eq!(*last.lock().unwrap(), "users: k");
}

#[test]
fn what_changes_in_the_database_is_told_with_its_files_and_its_position() {
    let home = tempfile::tempdir().unwrap();
    let cardex = database(home.path()).unwrap();
    let record = |path: &str| {
        FileMetadata::builder(path)
            .language("rust")
            .build()
            .unwrap()
    };
    let before = cardex.update(&record("src/a.rs")).unwrap();
    let bus = InvalidationBus::new(clock()).unwrap();
    let outputs = filled("outputs", &["a", "b"]);
    bus.subscribe(Arc::new(outputs.clone())).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    bus.hook("hears", move |event| {
        hears.lock().unwrap().push(event.clone());
        Ok(())
    })
    .unwrap();
    let _follows = FileChanges::follow(&cardex, before, Arc::clone(&bus)).unwrap();
    let position = cardex.update(&record("src/b.rs")).unwrap();
    soon("the change is told", || !heard.lock().unwrap().is_empty());
    let event = heard.lock().unwrap()[0].clone();
    let path = Scope::Path(cardex::FilePath::new("src/b.rs").unwrap());
    assert_eq!(event.what, What::Files(vec![path]));
    assert_eq!(
        (event.origin, event.position),
        (Origin::Sync, Some(position))
    );
    soon("what was made from files is gone", || {
        keys(&outputs).is_empty()
    });

    let many = (0..200).map(|n| Write::Put(record(&format!("src/gen/f{n}.rs"))));
    cardex.store().write(&many.collect::<Vec<_>>()).unwrap();
    let told = || {
        let heard = heard.lock().unwrap();
        heard
            .iter()
            .any(|event| event.what == What::Files(vec![Scope::Prefix("src/gen".to_owned())]))
    };
    soon("many files are told as their directory", told);
}

#[test]
fn the_first_event_of_a_database_that_is_followed_from_anywhere_is_about_everything() {
    let home = tempfile::tempdir().unwrap();
    let cardex = database(home.path()).unwrap();
    let record = |path: String| FileMetadata::builder(&path).language("rust").build();
    let many = (0..200).map(|n| Write::Put(record(format!("src/{n}.rs")).unwrap()));
    cardex.store().write(&many.collect::<Vec<_>>()).unwrap();
    cardex.sync(cardex::SyncMode::Incremental).unwrap();
    let bus = InvalidationBus::new(clock()).unwrap();
    let (tells, told) = std::sync::mpsc::channel();
    bus.hook("tells", move |event| {
        tells.send(event.clone()).ok();
        Ok(())
    })
    .unwrap();
    let since = cardex::Position::default();
    let _follows = FileChanges::follow(&cardex, since, Arc::clone(&bus)).unwrap();
    let first = told.recv_timeout(SOON).unwrap();
    assert_eq!(first.what, What::Files(vec![Scope::All]));
    let position = cardex
        .update(&record("src/new.rs".to_owned()).unwrap())
        .unwrap();
    assert!(first.position.unwrap().sequence < position.sequence);
    let next = told.recv_timeout(SOON).unwrap();
    assert_eq!(next.what.to_string(), "src/new.rs");
    assert_eq!(next.position, Some(position));
}
