//! What a cache says of its own health, from before its first load to after its shutdown; and what can
//! be changed while it runs.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cache_support;
mod gated_store;

use std::sync::Arc;
use std::time::Duration;

use cache_support::{TestCache, record};
use cardex::store::{MetadataStore, SqliteOptions, SqliteStore, Write};
use cardex::{CacheOptions, Cardex, HealthState, ManualClock, SyncMode, SystemClock};

/// A cache that nobody loaded, of a database that may not be there.
fn unloaded(file: &std::path::Path) -> Cardex {
    let store = SqliteStore::open_lazily(file, "default", SqliteOptions::default()).unwrap();
    let options = CacheOptions::default().follow(false);
    Cardex::over(Arc::new(store), Arc::new(ManualClock::default()), options).unwrap()
}

#[track_caller]
fn assert_health(cache: &Cardex, state: HealthState, codes: &[&str]) {
    let health = cache.health();
    let told: Vec<&str> = health.reasons.iter().map(|reason| reason.code).collect();
    assert_eq!((health.state, &told[..]), (state, codes), "{health:?}");
    assert_eq!(health.name, "memory_cache");
}

#[test]
fn it_is_unknown_before_the_first_load_and_disabled_after_the_shutdown() {
    let directory = tempfile::tempdir().unwrap();
    let cache = unloaded(&directory.path().join("a.db"));
    assert_health(&cache, HealthState::Unknown, &["not-loaded"]);
    cache.load().unwrap();
    assert_health(&cache, HealthState::Healthy, &[]);
    cache.shutdown();
    assert_health(&cache, HealthState::Disabled, &["not-initialized"]);
}

#[test]
fn a_first_load_that_failed_is_unhealthy_and_the_next_one_heals() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    std::fs::write(
        &file,
        b"this is no database, and long enough to be seen not to be one",
    )
    .unwrap();
    let cache = unloaded(&file);
    cache.load().unwrap_err();
    assert_health(&cache, HealthState::Unhealthy, &["database-corrupt"]);
    std::fs::remove_file(&file).unwrap();
    cache.sync(SyncMode::Full).unwrap();
    assert_health(&cache, HealthState::Healthy, &[]);
}

#[test]
fn a_failure_that_may_pass_degrades_and_one_that_wants_somebody_to_act_is_unhealthy() {
    let test = TestCache::with(CacheOptions::default(), |store| {
        store.put(&record("a.rs", "rust")).unwrap();
    });
    let (file, aside) = ("test.db", "aside.db");
    let at = |name: &str| test.directory.path().join(name);
    std::fs::rename(at(file), at(aside)).unwrap();
    test.cache.sync(SyncMode::Incremental).unwrap_err();
    assert_eq!(test.cache.health().state, HealthState::Degraded);
    std::fs::rename(at(aside), at(file)).unwrap();
    test.cache.sync(SyncMode::Incremental).unwrap();
    assert_health(&test.cache, HealthState::Healthy, &[]);

    test.sql("DROP TRIGGER documents_after_update");
    test.cache.sync(SyncMode::Incremental).unwrap_err();
    assert_eq!(test.cache.health().state, HealthState::Unhealthy);
}

#[test]
fn rows_that_cannot_be_read_degrade_until_they_are_mended() {
    let test = TestCache::with(CacheOptions::default(), |store| {
        store.put(&record("a.rs", "rust")).unwrap();
    });
    test.sql("UPDATE documents SET language = CAST(x'ff' AS TEXT)");
    test.cache.sync(SyncMode::Incremental).unwrap();
    assert_health(&test.cache, HealthState::Degraded, &["unreadable-rows"]);
    test.sql("UPDATE documents SET language = 'rust'");
    test.cache.sync(SyncMode::Incremental).unwrap();
    assert_health(&test.cache, HealthState::Healthy, &[]);
}

#[test]
fn a_follower_that_is_held_up_makes_its_cache_degraded_though_nothing_failed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    let store = SqliteStore::open(&file, "default", SqliteOptions::default()).unwrap();
    let store = Arc::new(gated_store::GatedStore::new(store));
    let clock = Arc::new(ManualClock::default());
    let cache = Cardex::over(store.clone(), clock.clone(), CacheOptions::default()).unwrap();
    cache.load().unwrap();
    let gate = store.hold_look();
    gate.wait();
    // The rest between two looks is no delay.
    clock.advance(Duration::from_secs(5) + Duration::from_millis(10));
    assert_health(&cache, HealthState::Healthy, &[]);
    clock.advance(Duration::from_millis(1));
    assert_health(&cache, HealthState::Degraded, &["behind"]);
    gate.release();
    gated_store::wait_until("it looks again", || {
        cache.health().state == HealthState::Healthy
    });
}

#[test]
fn new_limits_and_intervals_are_taken_while_the_cache_runs() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    let records = (0..200).map(|at| record(&format!("f{at:03}"), "rust"));
    let writer = SqliteStore::open(&file, "default", SqliteOptions::default()).unwrap();
    writer
        .write(&records.map(Write::Put).collect::<Vec<_>>())
        .unwrap();
    let store = SqliteStore::open(&file, "default", SqliteOptions::default()).unwrap();
    // Nobody waits so long for the first look.
    let seldom = CacheOptions::default()
        .change_poll(Duration::from_secs(10))
        .unwrap();
    let cache = Cardex::over(Arc::new(store), Arc::new(SystemClock), seldom).unwrap();
    cache.load().unwrap();
    assert_eq!(cache.stats().unwrap().items, 200);
    let often = CacheOptions::default()
        .change_poll(Duration::from_millis(1))
        .unwrap();
    cache.reconfigure(&often.max_items(100).unwrap()).unwrap();
    assert!(cache.stats().unwrap().items <= 100);
    let start = std::time::Instant::now();
    for at in 0..3 {
        let position = writer
            .put(&record(&format!("new{at}"), "go"))
            .unwrap()
            .position;
        let is_seen = || cache.snapshot().unwrap().position() >= position;
        gated_store::wait_until("it follows", is_seen);
    }
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "{:?}",
        start.elapsed()
    );
    cache.shutdown();
    assert!(cache.reconfigure(&CacheOptions::default()).is_err());
}
