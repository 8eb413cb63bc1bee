//! The metadata cache as one among the caches of a process: the contract of a cache, what its rounds
//! cost nobody, and that no answer changes.

#![expect(clippy::unwrap_used, reason = "a test stops at its first surprise")]
#![cfg(feature = "sqlite")]

mod cache_support;
mod coordinator_support;
mod gated_store;

use std::sync::Arc;

use cache_support::{TestCache, path, record};
use cardex::store::{MetadataStore, SqliteStore, Write};
use cardex::{
    Cache, CacheOptions, CacheUsage, ErrorKind, FileMetadata, FilePath, Query, RemovalCause, Scope,
    SyncMode,
};
use coordinator_support::{Bench, FakeCache, FakeGauge};
use gated_store::When;
use proptest::prelude::*;

const FILES: usize = 100;

fn name(n: usize) -> String {
    let directory = ["src", "srcs", "docs/design", "src/deep/er"][n % 4];
    format!("{directory}/f{n:03}.rs")
}

fn files(store: &SqliteStore) {
    let writes: Vec<Write> = (0..FILES)
        .map(|n| Write::Put(record(&name(n), "rust")))
        .collect();
    store.write(&writes).unwrap();
}

/// A cache that holds all of its files in memory.
fn full() -> TestCache {
    TestCache::with(CacheOptions::default(), files)
}

fn prefix(text: &str) -> Scope {
    Scope::Prefix(text.to_owned())
}

fn glob(text: &str) -> Scope {
    Scope::Pattern(text.to_owned())
}

/// What every cache promises, of one that holds so many entries.
fn keeps_the_contract(cache: &dyn Cache, held: usize, evictions: bool) {
    let usage = cache.usage();
    assert_eq!(usage.entries, held);
    assert!(usage.capacity.is_none_or(|capacity| capacity >= held));
    let before = cache.stats().unwrap();
    assert_eq!(before.usage, usage);
    assert_eq!(cache.evict(0).unwrap(), 0);
    assert_eq!(cache.usage(), usage, "nothing left");
    assert_eq!(cache.evict(3).unwrap(), 3);
    assert_eq!(cache.usage().entries, held - 3);
    assert!(cache.usage().bytes < usage.bytes || usage.bytes.is_none());
    assert_eq!(cache.evict(usize::MAX).unwrap(), held - 3, "what it held");
    assert_eq!(cache.evict(1).unwrap(), 0);
    assert_eq!(cache.usage().entries, 0);
    assert_eq!(cache.usage().bytes.unwrap_or(0), 0);
    if evictions {
        let after = cache.stats().unwrap();
        assert_eq!(after.evictions, before.evictions + held as u64);
    }
    assert_eq!(cache.invalidate(&Scope::All).unwrap(), 0);
    assert!(cache.invalidate(&prefix("")).is_err());
    cache.clear().unwrap();
    cache.clear().unwrap();
    assert_eq!(cache.usage().capacity, usage.capacity);
}

#[test]
fn the_metadata_cache_keeps_the_contract_of_a_cache() {
    let test = full();
    let cache = test.cache.as_cache();
    assert_eq!(cache.name(), "memory_cache");
    keeps_the_contract(&*cache, FILES, true);
}

#[test]
fn the_fake_of_the_tests_keeps_it_too() {
    let cache = FakeCache::new("fake", 10, 20);
    assert_eq!(cache.evict(0).unwrap(), 0);
    assert_eq!(cache.evict(3).unwrap(), 3);
    assert_eq!(cache.evict(usize::MAX).unwrap(), 7);
    assert_eq!(cache.usage().bytes, Some(0));
}

#[test]
fn evicted_records_are_counted_as_given_for_pressure_and_no_answer_changes() {
    let test = full();
    let everything = Query::builder().build().unwrap();
    let before = test.paths(&everything);
    assert_eq!(test.cache.as_cache().evict(60).unwrap(), 60);
    let stats = test.cache.stats().unwrap();
    assert_eq!(stats.items, FILES - 60);
    assert_eq!(stats.evictions(RemovalCause::Pressure), 60);
    assert_eq!(test.cache.as_cache().stats().unwrap().evictions, 60);
    assert_eq!(test.paths(&everything), before);
    for path in (0..FILES).map(|n| FilePath::new(&name(n)).unwrap()) {
        assert!(test.cache.get(&path).unwrap().is_some());
    }
}

#[test]
fn an_invalidation_drops_the_records_of_its_scope_and_counts_them() {
    let in_quarter = FILES / 4;
    for (scope, count) in [
        (Scope::All, FILES),
        (Scope::Path(path(&name(7))), 1),
        (Scope::Path(path("src/nobody.rs")), 0),
        (prefix("src"), 2 * in_quarter),
        (prefix("src/deep"), in_quarter),
        (prefix("sr"), 0),
        (glob("src/*"), in_quarter),
        (glob("**/f00[0-3].rs"), 4),
    ] {
        let test = full();
        let cache = test.cache.as_cache();
        assert_eq!(cache.invalidate(&scope).unwrap(), count, "{scope:?}");
        assert_eq!(cache.usage().entries, FILES - count, "{scope:?}");
        let stats = test.cache.stats().unwrap();
        assert_eq!(stats.evictions(RemovalCause::Invalidated), count as u64);
        assert_eq!(stats.evictions(RemovalCause::Pressure), 0);
        assert_eq!(cache.invalidate(&scope).unwrap(), 0, "again: {scope:?}");
        let everything = Query::builder().build().unwrap();
        assert_eq!(test.paths(&everything).len(), FILES, "the index stays");
    }
}

#[test]
fn a_scope_that_makes_no_sense_drops_nothing() {
    let test = full();
    let cache = test.cache.as_cache();
    for (scope, kind) in [
        (prefix(""), ErrorKind::InvalidPath),
        (prefix("/src"), ErrorKind::InvalidPath),
        (prefix("../x"), ErrorKind::InvalidPath),
        (glob("src/{"), ErrorKind::InvalidPattern),
    ] {
        assert_eq!(cache.invalidate(&scope).unwrap_err().kind(), kind);
    }
    assert_eq!(cache.usage().entries, FILES);
}

#[test]
fn a_load_in_flight_does_not_put_back_what_was_invalidated_and_others_are_kept() {
    let file = name(0);
    for (scope, kept) in [
        (Scope::All, 0),
        (Scope::Path(path(&file)), 0),
        (prefix("src"), 0),
        (glob("src/f*"), 0),
        (prefix("docs"), 1),
        (Scope::Path(path("docs/x.md")), 1),
    ] {
        let options = CacheOptions::default().load_bodies(false);
        let test = TestCache::with(options, files);
        let gate = test.store.hold_fetch(&path(&file), When::After);
        std::thread::scope(|scope_of_threads| {
            let load = scope_of_threads.spawn(|| test.cache.get(&path(&file)).unwrap());
            gate.wait();
            assert_eq!(test.cache.invalidate(&scope).unwrap(), 0, "not in memory");
            gate.release();
            assert!(load.join().unwrap().is_some(), "who waited is served");
        });
        assert_eq!(test.cache.as_cache().usage().entries, kept, "{scope:?}");
    }
}

#[test]
fn after_the_shutdown_it_holds_nothing_and_its_verbs_are_errors() {
    let test = full();
    let cache = test.cache.as_cache();
    test.cache.shutdown();
    assert_eq!((cache.usage().entries, cache.usage().bytes), (0, Some(0)));
    let errors = [
        cache.evict(1).unwrap_err(),
        cache.invalidate(&Scope::All).unwrap_err(),
        cache.clear().unwrap_err(),
        cache.stats().unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NotInitialized);
    }
}

#[test]
fn a_round_takes_from_it_as_from_the_others_and_no_answer_changes() {
    let test = full();
    let bench = Bench::new(FakeGauge::stuck_at(900));
    bench.coordinator.register(test.cache.as_cache()).unwrap();
    let other = bench.cache("other", 10, 10);
    let everything = Query::builder().build().unwrap();
    let before = test.paths(&everything);
    // A tenth of its 10,000 is more than it holds: pressure from outside leaves it alone.
    assert!(bench.check());
    assert_eq!(
        (test.cache.stats().unwrap().items, other.entries()),
        (FILES, 8)
    );
    let round = bench.coordinator.evict().unwrap();
    assert_eq!(round.evicted(), 20 + 2);
    assert_eq!(test.cache.stats().unwrap().items, 80);
    assert_eq!(test.paths(&everything), before);
    test.store.put(&record("new.rs", "rust")).unwrap();
    test.cache.sync(SyncMode::Incremental).unwrap();
    assert_eq!(test.paths(&everything).len(), FILES + 1);
    let stats = bench.coordinator.stats();
    assert_eq!(stats.caches[0].name, "memory_cache");
    assert_eq!(stats.total_items, 80 + 6);
    assert_eq!(stats.total_capacity, 10_000 + 10);
    test.cache.shutdown();
    let stats = bench.coordinator.stats();
    let error = stats.caches[0].report.as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotInitialized);
}

#[test]
fn two_caches_of_one_name_are_not_enrolled_together() {
    let (one, other) = (full(), full());
    let bench = Bench::new(FakeGauge::stuck_at(0));
    bench.coordinator.register(one.cache.as_cache()).unwrap();
    for again in [&one, &other] {
        let error = bench
            .coordinator
            .register(again.cache.as_cache())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Coordinator);
    }
    assert_eq!(bench.coordinator.list(), ["memory_cache"]);
}

/// What a step does to the cache.
#[derive(Clone, Debug)]
enum Step {
    Get(usize),
    Update(usize),
    Evict(usize),
    Invalidate(Scope),
    Clear,
    Round,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let scope = prop_oneof![
        Just(Scope::All),
        (0..FILES).prop_map(|n| Scope::Path(path(&name(n)))),
        prop::sample::select(vec!["src", "docs", "src/deep", "srcs", "none"]).prop_map(prefix),
        prop::sample::select(vec!["src/*", "**/f0[0-4]*", "docs/**", "*"]).prop_map(glob),
    ];
    let step = prop_oneof![
        6 => (0..FILES).prop_map(Step::Get),
        2 => (0..FILES).prop_map(Step::Update),
        2 => (0..40usize).prop_map(Step::Evict),
        3 => scope.prop_map(Step::Invalidate),
        1 => Just(Step::Clear),
        1 => Just(Step::Round),
    ];
    prop::collection::vec(step, 1..60)
}

/// The record of a file after so many updates.
fn revised(n: usize, revision: usize) -> FileMetadata {
    let mut record = record(&name(n), "rust");
    record.size_bytes = Some(revision as u64);
    record
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is taken from memory, every get is of the last revision, counts add up, and the number
    /// that each verb tells is the number of entries that left.
    #[test]
    fn no_answer_depends_on_what_was_taken(steps in steps()) {
        let test = full();
        let bench = Bench::new(FakeGauge::stuck_at(0));
        let cache: Arc<dyn Cache> = test.cache.as_cache();
        bench.coordinator.register(Arc::clone(&cache)).unwrap();
        let mut revisions = [0; FILES];
        for (at, step) in (1..).zip(steps) {
            let before: CacheUsage = cache.usage();
            match step {
                Step::Get(n) => {
                    let record = test.cache.get(&path(&name(n))).unwrap().unwrap();
                    let expected = (revisions[n] > 0).then_some(revisions[n] as u64);
                    prop_assert_eq!(record.size_bytes, expected);
                }
                Step::Update(n) => {
                    revisions[n] = at;
                    test.cache.update(&revised(n, at)).unwrap();
                }
                Step::Evict(n) => {
                    let left = cache.evict(n).unwrap();
                    prop_assert_eq!(left, n.min(before.entries));
                    prop_assert_eq!(cache.usage().entries, before.entries - left);
                }
                Step::Invalidate(scope) => {
                    let left = cache.invalidate(&scope).unwrap();
                    prop_assert_eq!(cache.usage().entries, before.entries - left);
                    prop_assert_eq!(cache.invalidate(&scope).unwrap(), 0);
                }
                Step::Clear => {
                    cache.clear().unwrap();
                    prop_assert_eq!(cache.usage().entries, 0);
                }
                Step::Round => {
                    let left = bench.coordinator.evict().unwrap().evicted();
                    prop_assert_eq!(left, before.entries.div_ceil(5));
                    prop_assert_eq!(cache.usage().entries, before.entries - left);
                }
            }
        }
    }
}
