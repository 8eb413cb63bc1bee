//! The rules of the metadata cache, one test each: what it answers, what it keeps, what it refuses,
//! and that a failure is never an answer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cache_support;
mod gated_store;

use std::sync::Arc;
use std::time::Duration;

use cache_support::{TestCache, path, record};
use cardex::store::{MetadataStore, SqliteOptions, SqliteStore, Write};
use cardex::{
    CacheOptions, Cardex, Class, ErrorKind, Fetch, FileMetadata, FilePath, Freshness, Function,
    Limits, ManualClock, Position, Query, RemovalCause, Strategy, SyncMode, SystemClock,
};
use gated_store::{GatedStore, When, wait_until};

fn language(name: &str) -> Query {
    Query::builder().language(name).build().unwrap()
}

/// A store with the files f000, f001, …, each modified a second after the one before it.
fn files(count: usize) -> impl FnOnce(&SqliteStore) {
    move |store| {
        let writes = (0..count).map(|at| {
            let mut record = record(&format!("f{at:03}"), "rust");
            record.last_modified = Some(chrono::DateTime::from_timestamp(at as i64, 0).unwrap());
            Write::Put(record)
        });
        store.write(&writes.collect::<Vec<_>>()).unwrap();
    }
}

fn empty_memory() -> CacheOptions {
    CacheOptions::default().load_bodies(false).follow(false)
}

fn capacity(items: usize) -> Limits {
    Limits {
        max_items: items,
        max_bytes: u64::MAX,
        eviction_batch: 1,
    }
}

fn resident(cache: &Cardex, of: impl IntoIterator<Item = &'static str>) -> Vec<&'static str> {
    let before = cache.stats().unwrap().hits;
    let mut hits = before;
    let held = of.into_iter().filter(|name| {
        cache.get(&path(name)).unwrap();
        let now = cache.stats().unwrap().hits;
        std::mem::replace(&mut hits, now) < now
    });
    held.collect()
}

// ---- get

#[test]
fn a_get_is_a_hit_or_a_miss_and_a_miss_is_one_read() {
    let test = TestCache::with(empty_memory(), files(1));
    let first = test.cache.get(&path("f000")).unwrap().unwrap();
    let second = test.cache.get(&path("f000")).unwrap().unwrap();
    assert!(first.is_same(&second), "one record in memory");
    assert_eq!(test.store.fetches(), 1);
    let stats = test.cache.stats().unwrap();
    assert_eq!((stats.hits, stats.misses, stats.loads), (1, 1, 1));
    assert_eq!(stats.hit_rate(), 0.5);
    assert_eq!(first.as_of(), test.store.head().unwrap());
}

#[test]
fn an_unknown_path_is_none_after_one_look() {
    let test = TestCache::with(empty_memory(), files(1));
    let before = test.store.looks();
    assert!(test.cache.get(&path("nothing")).unwrap().is_none());
    assert_eq!(test.store.looks() - before, 1);
    assert_eq!(test.store.fetches(), 0);
    let stats = test.cache.stats().unwrap();
    assert_eq!((stats.db_lookups, stats.db_lookup_hits), (1, 0));
    // The look finds what somebody else has put there since.
    test.store.put(&record("new", "go")).unwrap();
    assert!(test.cache.get(&path("new")).unwrap().is_some());
    let stats = test.cache.stats().unwrap();
    assert_eq!((stats.db_lookups, stats.db_lookup_hits), (2, 1));
    assert_eq!(test.paths(&language("go")), ["new"], "queries know it too");
}

#[test]
fn a_failure_of_the_database_is_an_error_and_never_absent() {
    let test = TestCache::with(empty_memory(), files(2));
    test.cache.get(&path("f000")).unwrap();
    test.store.set_down(true);
    for unknown in ["f001", "nothing"] {
        let error = test.cache.get(&path(unknown)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Database);
    }
    assert_eq!(test.cache.stats().unwrap().load_errors, 1);
    // What is in memory is served, and errors are not remembered.
    assert!(test.cache.get(&path("f000")).unwrap().is_some());
    assert_eq!(test.paths(&language("rust")).len(), 2);
    test.store.set_down(false);
    assert!(test.cache.get(&path("f001")).unwrap().is_some());
    assert!(test.cache.get(&path("nothing")).unwrap().is_none());
}

#[test]
fn many_are_got_as_one_by_one_and_missing_ones_in_one_batch() {
    let test = TestCache::with(empty_memory(), files(300));
    let mut paths: Vec<FilePath> = (0..300).map(|at| path(&format!("f{at:03}"))).collect();
    paths.push(path("nothing"));
    paths.push(path("f007"));
    let found = test.cache.get_many(&paths).unwrap();
    for (path, found) in paths.iter().zip(&found) {
        let wanted = test.store.sqlite().get(path).unwrap();
        assert_eq!(
            found.as_ref().map(|r| (**r).clone()),
            wanted.map(|w| w.record)
        );
    }
    assert!(test.store.fetches() <= 2, "batches of 256");
    let stats = test.cache.stats().unwrap();
    assert_eq!((stats.hits, stats.misses, stats.items), (0, 302, 300));
    test.cache.get_many(&paths[..300]).unwrap();
    assert_eq!(test.cache.stats().unwrap().hits, 300);
}

#[test]
fn an_unreadable_row_is_an_error_that_names_it_and_the_others_are_served() {
    let test = TestCache::with(empty_memory(), files(3));
    test.sql("UPDATE documents SET language = CAST(x'ff' AS TEXT) WHERE path = 'f001'");
    let report = test.cache.sync(SyncMode::Incremental).unwrap();
    assert_eq!(report.skipped_total, 1);
    assert_eq!(report.skipped[0].path, "f001");
    let error = test.cache.get(&path("f001")).unwrap_err();
    assert!(error.to_string().contains("f001"), "{error}");
    assert!(test.cache.get(&path("f002")).unwrap().is_some());
    assert!(test.cache.get(&path("nothing")).unwrap().is_none());
    // Answers say that they are not of the whole project, until the row is mended.
    let answer = test.cache.query(&language("rust")).unwrap();
    assert!(!answer.is_complete() && answer.len() == 2);
    assert_eq!(test.cache.stats().unwrap().unreadable, 1);
    test.sql("UPDATE documents SET language = 'rust' WHERE path = 'f001'");
    test.cache.sync(SyncMode::Incremental).unwrap();
    let answer = test.cache.query(&language("rust")).unwrap();
    assert!(answer.is_complete() && answer.len() == 3);
    // What only the record needs is no matter for the index.
    test.sql("UPDATE documents SET constraints = 'no list' WHERE path = 'f001'");
    test.cache.sync(SyncMode::Incremental).unwrap();
    let answer = test.cache.query(&language("rust")).unwrap();
    assert!(answer.is_complete() && answer.len() == 3);
    let error = test.cache.records(&answer, &Fetch::all()).unwrap_err();
    assert!(error.to_string().contains("f001"), "{error}");
    let page = test
        .cache
        .records(&answer, &Fetch::all().allow_partial())
        .unwrap();
    assert_eq!((page.records.len(), page.missing.len()), (2, 1));
}

// ---- update and remove

#[test]
fn an_update_is_written_through_and_old_terms_vanish() {
    let test = TestCache::new();
    let old = FileMetadata::builder("a").function(Function::named("old"));
    test.cache.update(&old.build().unwrap()).unwrap();
    let new = FileMetadata::builder("a").function(Function::named("new"));
    let new = new.build().unwrap();
    let position = test.cache.update(&new).unwrap();
    assert_eq!(
        test.store.sqlite().get(&new.path).unwrap().unwrap().record,
        new
    );
    let function = |name| Query::builder().function(name).build().unwrap();
    assert!(test.paths(&function("old")).is_empty());
    assert_eq!(test.paths(&function("new")), ["a"]);
    assert_eq!(test.cache.stats().unwrap().terms.functions, 1);
    // The record is in memory already, in this version.
    let found = test.cache.get(&new.path).unwrap().unwrap();
    assert_eq!((&*found, found.version()), (&new, position.sequence));
    assert_eq!(test.store.fetches(), 0);
    let stats = test.cache.stats().unwrap();
    assert_eq!((stats.insertions, stats.updates, stats.hits), (1, 1, 1));
}

#[test]
fn replacing_at_capacity_evicts_nothing_and_is_no_access() {
    for strategy in Strategy::FOR_RECORDS {
        let options = empty_memory().eviction_strategy(strategy);
        let test = TestCache::with(options, files(4));
        test.cache.set_limits(capacity(3)).unwrap();
        for name in ["f000", "f001", "f002"] {
            test.cache.get(&path(name)).unwrap();
        }
        test.cache.get(&path("f001")).unwrap();
        test.cache.get(&path("f002")).unwrap();
        for _ in 0..5 {
            test.cache.update(&record("f000", "go")).unwrap();
        }
        let stats = test.cache.stats().unwrap();
        assert_eq!(
            (stats.items, stats.evictions(RemovalCause::Capacity)),
            (3, 0)
        );
        // Written five times, never read again: it is the first to leave.
        test.cache.get(&path("f003")).unwrap();
        let left = resident(&test.cache, ["f001", "f002", "f003"]);
        assert_eq!(left, ["f001", "f002", "f003"], "{strategy}");
    }
}

#[test]
fn what_cannot_be_a_record_is_refused_and_nothing_changes() {
    let options = empty_memory().max_record_bytes(10_000).unwrap();
    let test = TestCache::with(options, files(1));
    for bad in ["", "/etc/passwd", "../outside", "a/../../b", "nul\0"] {
        let error = FileMetadata::builder(bad).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPath);
    }
    let before = test.store.head().unwrap();
    let large =
        FileMetadata::builder("f000").function(Function::named("f").intent("x".repeat(10_000)));
    let error = test.cache.update(&large.build().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRecord);
    assert!(error.to_string().contains("f000"), "{error}");
    assert!(
        error
            .help()
            .unwrap()
            .contains("memory_cache.max_record_bytes")
    );
    assert_eq!(test.store.head().unwrap(), before);
    assert_eq!(test.paths(&language("rust")), ["f000"]);
    // One that somebody else wrote is refused when it is read.
    test.store
        .put(
            &FileMetadata::builder("f000")
                .function(Function::named("f").intent("x".repeat(10_000)))
                .build()
                .unwrap(),
        )
        .unwrap();
    test.cache.sync(SyncMode::Incremental).unwrap();
    assert_eq!(
        test.cache.get(&path("f000")).unwrap_err().kind(),
        ErrorKind::InvalidRecord
    );
}

#[test]
fn a_failure_before_the_commit_changes_nothing() {
    let test = TestCache::with(empty_memory(), files(1));
    test.store.set_down(true);
    let error = test.cache.update(&record("f000", "go")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database);
    assert_eq!(
        test.cache.remove(&path("f000")).unwrap_err().kind(),
        ErrorKind::Database
    );
    test.store.set_down(false);
    assert_eq!(test.paths(&language("rust")), ["f000"]);
    assert_eq!(
        test.cache
            .get(&path("f000"))
            .unwrap()
            .unwrap()
            .language
            .as_deref(),
        Some("rust")
    );
    let stats = test.cache.stats().unwrap();
    assert_eq!((stats.updates, stats.removals), (0, 0));
}

#[test]
fn a_failure_after_the_commit_names_the_position_and_the_next_sync_mends_it() {
    let test = TestCache::with(empty_memory(), files(1));
    let before = test.cache.get(&path("f000")).unwrap().unwrap();
    test.store.set_deaf(true);
    let error = test.cache.update(&record("f000", "go")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommittedNotApplied);
    let head = test.store.head().unwrap();
    assert!(error.to_string().contains(&head.to_string()), "{error}");
    // Until then answers are of the position before, all of them.
    assert_eq!(test.paths(&language("rust")), ["f000"]);
    assert!(
        test.cache
            .get(&path("f000"))
            .unwrap()
            .unwrap()
            .is_same(&before)
    );
    assert!(test.cache.stats().unwrap().is_degraded());
    test.store.set_deaf(false);
    test.cache.sync(SyncMode::Incremental).unwrap();
    assert_eq!(test.paths(&language("go")), ["f000"]);
    assert_eq!(
        test.cache
            .get(&path("f000"))
            .unwrap()
            .unwrap()
            .language
            .as_deref(),
        Some("go")
    );
    assert!(!test.cache.stats().unwrap().is_degraded());
}

#[test]
fn a_removal_takes_row_record_and_terms() {
    let test = TestCache::with(empty_memory(), files(2));
    test.cache.get(&path("f000")).unwrap();
    assert!(test.cache.remove(&path("f000")).unwrap().existed);
    assert!(test.store.sqlite().get(&path("f000")).unwrap().is_none());
    assert!(test.cache.get(&path("f000")).unwrap().is_none());
    assert_eq!(test.paths(&language("rust")), ["f001"]);
    let stats = test.cache.stats().unwrap();
    assert_eq!((stats.items, stats.bytes, stats.removals), (0, 0, 1));
    assert_eq!(stats.evictions(RemovalCause::Explicit), 1);
}

#[test]
fn removing_an_unknown_path_is_false_and_moves_no_counter() {
    let test = TestCache::with(empty_memory(), files(1));
    let before = test.cache.stats().unwrap();
    assert!(!test.cache.remove(&path("nothing")).unwrap().existed);
    let after = test.cache.stats().unwrap();
    assert_eq!(after.removals, 0);
    assert_eq!(
        (before.items, before.watermark),
        (after.items, after.watermark)
    );
}

#[test]
fn a_removed_record_is_never_evicted_later() {
    let test = TestCache::with(empty_memory(), files(4));
    test.cache.set_limits(capacity(2)).unwrap();
    test.cache.get(&path("f000")).unwrap();
    test.cache.get(&path("f001")).unwrap();
    test.cache.remove(&path("f000")).unwrap();
    test.cache.get(&path("f002")).unwrap();
    assert_eq!(
        test.cache
            .stats()
            .unwrap()
            .evictions(RemovalCause::Capacity),
        0
    );
    test.cache.get(&path("f003")).unwrap();
    let stats = test.cache.stats().unwrap();
    assert_eq!(
        (stats.items, stats.evictions(RemovalCause::Capacity)),
        (2, 1)
    );
}

// ---- clear

#[test]
fn clear_drops_every_record_and_changes_no_answer_and_no_count() {
    let test = TestCache::with(CacheOptions::default(), files(5));
    test.cache.get(&path("f000")).unwrap();
    let before = test.cache.stats().unwrap();
    assert_eq!(before.items, 5);
    for _ in 0..2 {
        test.cache.clear().unwrap();
        let stats = test.cache.stats().unwrap();
        assert_eq!((stats.items, stats.bytes), (0, 0));
        assert_eq!((stats.hits, stats.loads), (before.hits, before.loads));
    }
    assert_eq!(test.paths(&language("rust")).len(), 5);
    assert!(test.cache.get(&path("f004")).unwrap().is_some());
    test.cache.reset_stats().unwrap();
    let stats = test.cache.stats().unwrap();
    assert_eq!((stats.hits, stats.misses, stats.loads), (0, 0, 0));
    assert_eq!(stats.evictions(RemovalCause::Explicit), 0);
}

#[test]
fn a_load_in_flight_does_not_put_back_what_was_cleared() {
    let test = TestCache::with(empty_memory(), files(1));
    let gate = test.store.hold_fetch(&path("f000"), When::After);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| test.cache.get(&path("f000")).unwrap());
        gate.wait();
        test.cache.clear().unwrap();
        gate.release();
        assert!(load.join().unwrap().is_some(), "who waited is served");
    });
    assert_eq!(test.cache.stats().unwrap().items, 0);
}

#[test]
fn an_invalidation_beats_a_load_that_began_before_it() {
    let test = TestCache::with(empty_memory(), files(1));
    let gate = test.store.hold_fetch(&path("f000"), When::After);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| test.cache.get(&path("f000")).unwrap().unwrap());
        gate.wait();
        // Written and brought in while the old record is on its way.
        test.store.put(&record("f000", "go")).unwrap();
        test.cache.sync(SyncMode::Incremental).unwrap();
        gate.release();
        let old = load.join().unwrap();
        assert_eq!(
            old.language.as_deref(),
            Some("rust"),
            "true when it was asked"
        );
        assert!(old.as_of() < test.store.head().unwrap());
    });
    assert_eq!(test.cache.stats().unwrap().items, 0, "never stored");
    let now = test.cache.get(&path("f000")).unwrap().unwrap();
    assert_eq!(now.language.as_deref(), Some("go"));
}

// ---- the records

#[test]
fn a_caller_cannot_change_what_is_cached() {
    let test = TestCache::with(empty_memory(), files(1));
    let mut mine = (*test.cache.get(&path("f000")).unwrap().unwrap()).clone();
    mine.language = Some("go".into());
    let theirs = test.cache.get(&path("f000")).unwrap().unwrap();
    assert_eq!(theirs.language.as_deref(), Some("rust"));
}

#[test]
fn languages_are_compared_without_case_and_files_without_one_are_found_by_the_rest() {
    let test = TestCache::new();
    test.cache.update(&record("a", "Python")).unwrap();
    let bare = FileMetadata::builder("b").function(Function::named("f"));
    test.cache.update(&bare.build().unwrap()).unwrap();
    for name in ["python", "PYTHON", "Python"] {
        assert_eq!(test.paths(&language(name)), ["a"]);
    }
    let function = Query::builder().function("f").build().unwrap();
    assert_eq!(test.paths(&function), ["b"]);
}

#[test]
fn methods_are_functions_and_unnamed_items_are_kept_but_not_indexed() {
    let test = TestCache::new();
    let file = FileMetadata::builder("a")
        .class(
            Class::named("Lexer")
                .method(Function::named("next"))
                .method(Function::named("next")),
        )
        .function(Function::default())
        .function(Function::named("next"))
        .build()
        .unwrap();
    test.cache.update(&file).unwrap();
    let function = |name| Query::builder().function(name).build().unwrap();
    assert_eq!(test.paths(&function("next")), ["a"], "duplicates collapse");
    assert_eq!(test.paths(&function("Lexer.next")), ["a"]);
    assert!(test.paths(&function("Parser.next")).is_empty());
    assert_eq!(*test.cache.get(&file.path).unwrap().unwrap(), file);
    let terms = test.cache.stats().unwrap().terms;
    assert_eq!((terms.functions, terms.classes), (1, 1));
    // A list that becomes empty is dropped.
    test.cache.remove(&file.path).unwrap();
    test.cache.rebuild().unwrap();
    let terms = test.cache.stats().unwrap().terms;
    assert_eq!((terms.functions, terms.classes), (0, 0));
}

// ---- query, completeness, accesses

#[test]
fn no_answer_depends_on_what_is_in_memory() {
    let test = TestCache::with(empty_memory(), files(200));
    for items in [0, 1, 2, 100] {
        test.cache.set_limits(capacity(items)).unwrap();
        let (answer, page) = test
            .cache
            .query_records(&language("rust"), &Fetch::all())
            .unwrap();
        assert_eq!((answer.len(), page.records.len()), (200, 200));
        assert!(page.is_complete());
        assert!(
            page.records
                .iter()
                .map(|r| r.path.as_str())
                .eq(answer.paths())
        );
        assert!(test.cache.stats().unwrap().items <= items);
    }
}

#[test]
fn records_that_cannot_be_had_are_an_error_or_named_where_that_is_allowed() {
    let test = TestCache::with(empty_memory(), files(3));
    test.cache.get(&path("f001")).unwrap();
    let answer = test.cache.query(&language("rust")).unwrap();
    test.store.set_down(true);
    let error = test.cache.records(&answer, &Fetch::all()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database);
    let page = test
        .cache
        .records(&answer, &Fetch::all().allow_partial())
        .unwrap();
    assert!(!page.is_complete());
    assert_eq!(page.records[0].path.as_str(), "f001");
    let missing: Vec<&str> = page.missing.iter().map(|m| m.path.as_str()).collect();
    assert_eq!(missing, ["f000", "f002"]);
    assert_eq!(page.missing[0].error.kind(), ErrorKind::Database);
}

#[test]
fn a_record_that_has_changed_since_the_answer_is_superseded() {
    let test = TestCache::with(empty_memory(), files(2));
    let answer = test.cache.query(&language("rust")).unwrap();
    test.cache.update(&record("f000", "rust")).unwrap();
    let error = test.cache.records(&answer, &Fetch::all()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Superseded);
    assert!(error.to_string().contains("f000"), "{error}");
    assert_eq!(
        test.cache
            .records(&answer, &Fetch::page(1..2))
            .unwrap()
            .records
            .len(),
        1
    );
    test.cache.remove(&path("f001")).unwrap();
    let page = test
        .cache
        .records(&answer, &Fetch::all().allow_partial())
        .unwrap();
    assert_eq!((page.records.len(), page.missing.len()), (0, 2));
    let (_, page) = test
        .cache
        .query_records(&language("rust"), &Fetch::all())
        .unwrap();
    assert_eq!(page.records.len(), 1);
}

#[test]
fn records_that_are_returned_are_accesses_and_those_cut_or_scanned_are_not() {
    let names = ["f000", "f001", "f002"];
    let test = TestCache::with(empty_memory(), files(4));
    test.cache.set_limits(capacity(3)).unwrap();
    let fill = || {
        test.cache.clear().unwrap();
        for name in names {
            test.cache.get(&path(name)).unwrap();
        }
    };
    let first = Query::builder().language("rust").limit(1).build().unwrap();
    // f000 was used last: f001 leaves for f003.
    fill();
    test.cache.query_records(&first, &Fetch::all()).unwrap();
    test.cache.get(&path("f003")).unwrap();
    assert_eq!(
        resident(&test.cache, ["f000", "f002", "f003"]),
        ["f000", "f002", "f003"]
    );
    // A scan says nothing: f000 leaves.
    fill();
    test.cache
        .query_records(&first, &Fetch::all().as_scan())
        .unwrap();
    test.cache.get(&path("f003")).unwrap();
    assert_eq!(
        resident(&test.cache, ["f001", "f002", "f003"]),
        ["f001", "f002", "f003"]
    );
    // And queries are neither hits nor misses.
    test.cache.reset_stats().unwrap();
    test.cache.query_records(&first, &Fetch::all()).unwrap();
    let stats = test.cache.stats().unwrap();
    assert_eq!((stats.hits, stats.misses), (0, 0));
}

#[test]
fn a_scan_keeps_what_it_reads_only_where_there_is_room() {
    let test = TestCache::with(empty_memory(), files(10));
    test.cache.set_limits(capacity(3)).unwrap();
    test.cache.get(&path("f009")).unwrap();
    test.cache
        .query_records(&language("rust"), &Fetch::all().as_scan())
        .unwrap();
    let stats = test.cache.stats().unwrap();
    assert_eq!(
        (stats.items, stats.evictions(RemovalCause::Capacity)),
        (3, 0)
    );
    assert_eq!(resident(&test.cache, ["f009"]), ["f009"]);
}

// ---- capacity

#[test]
fn an_overflow_evicts_a_batch_and_bytes_take_as_many_more_as_they_need() {
    let test = TestCache::with(empty_memory(), files(150));
    let batch = Limits {
        eviction_batch: 100,
        ..capacity(100)
    };
    test.cache.set_limits(batch).unwrap();
    for at in 0..101 {
        test.cache.get(&path(&format!("f{at:03}"))).unwrap();
    }
    // min(100, 10 % of 100) at once.
    assert_eq!(test.cache.stats().unwrap().items, 91);
    let bytes = test.cache.stats().unwrap().bytes;
    let half = Limits {
        max_bytes: bytes / 2,
        ..batch
    };
    test.cache.set_limits(half).unwrap();
    let stats = test.cache.stats().unwrap();
    assert!(stats.bytes <= bytes / 2 && stats.items >= 40, "{stats:?}");
    // One large record takes the room of many small ones.
    let large = FileMetadata::builder("large")
        .function(Function::named("f").intent("x".repeat(bytes as usize / 4)));
    test.cache.update(&large.build().unwrap()).unwrap();
    let stats = test.cache.stats().unwrap();
    assert!(stats.bytes <= stats.max_bytes);
    assert_eq!(resident(&test.cache, ["large"]), ["large"]);
}

#[test]
fn a_record_larger_than_the_budget_is_served_and_not_kept() {
    let test = TestCache::with(empty_memory(), files(2));
    test.cache.get(&path("f000")).unwrap();
    let budget = Limits {
        max_bytes: 5_000,
        ..capacity(100)
    };
    test.cache.set_limits(budget).unwrap();
    let large =
        FileMetadata::builder("large").function(Function::named("f").intent("x".repeat(9_000)));
    let large = large.build().unwrap();
    test.cache.update(&large).unwrap();
    for _ in 0..2 {
        assert_eq!(*test.cache.get(&large.path).unwrap().unwrap(), large);
    }
    let stats = test.cache.stats().unwrap();
    assert_eq!((stats.items, stats.misses), (1, 3), "only the small one");
}

// ---- start, syncs

#[test]
fn the_newest_records_are_loaded_at_start_up_to_the_capacity() {
    let options = CacheOptions::default().max_items(100).unwrap();
    let test = TestCache::with(options, files(150));
    let stats = test.cache.stats().unwrap();
    assert_eq!((stats.items, stats.files), (100, 150));
    assert_eq!(
        (
            stats.hits,
            stats.misses,
            stats.evictions(RemovalCause::Capacity)
        ),
        (0, 0, 0)
    );
    assert_eq!(resident(&test.cache, ["f050", "f149"]), ["f050", "f149"]);
    assert!(resident(&test.cache, ["f049"]).is_empty());
    // The newest leave last: f049 made room among the oldest.
    assert!(resident(&test.cache, ["f051"]).is_empty());
    assert_eq!(resident(&test.cache, ["f148"]), ["f148"]);
}

#[test]
fn a_start_without_the_database_is_degraded_and_the_first_good_sync_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("not/yet/there.db");
    std::fs::write(directory.path().join("not"), "in the way").unwrap();
    let builder = || Cardex::builder().database(&file).follow(false);
    assert!(builder().open().is_err(), "unless it is allowed");
    let cache = builder().start_degraded(true).open().unwrap();
    let error = cache.query(&language("rust")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotLoaded);
    assert!(
        format!("{error:#}").contains("not"),
        "with its cause: {error:#}"
    );
    assert!(cache.snapshot().is_err() && cache.get(&path("a")).is_err());
    let stats = cache.stats().unwrap();
    assert!(stats.is_degraded() && stats.last_sync.is_none() && stats.age.is_none());
    assert!(stats.last_failure.is_some());
    std::fs::remove_file(directory.path().join("not")).unwrap();
    assert_eq!(
        cache.sync(SyncMode::Incremental).unwrap().mode,
        SyncMode::Full
    );
    assert!(cache.query(&language("rust")).unwrap().is_empty());
    let stats = cache.stats().unwrap();
    assert!(!stats.is_degraded() && stats.last_failure.is_none() && stats.age.is_some());
}

#[test]
fn a_full_sync_that_fails_leaves_everything_as_it_was() {
    let test = TestCache::with(CacheOptions::default(), files(3));
    let before = test.cache.stats().unwrap();
    test.store.set_deaf(true);
    assert_eq!(
        test.cache.rebuild().unwrap_err().kind(),
        ErrorKind::Database
    );
    let after = test.cache.stats().unwrap();
    assert_eq!((after.items, after.files), (3, 3));
    assert_eq!(after.watermark, before.watermark);
    assert_eq!(after.last_sync, before.last_sync);
    assert_eq!(
        after.last_failure.unwrap().error.kind(),
        ErrorKind::Database
    );
    assert_eq!(test.paths(&language("rust")).len(), 3);
}

#[test]
fn a_full_sync_keeps_the_records_that_are_still_true() {
    let test = TestCache::with(CacheOptions::default(), files(3));
    let kept = test.cache.get(&path("f000")).unwrap().unwrap();
    test.store.put(&record("f001", "go")).unwrap();
    test.store.remove(&path("f002")).unwrap();
    test.cache.rebuild().unwrap();
    assert!(
        test.cache
            .get(&path("f000"))
            .unwrap()
            .unwrap()
            .is_same(&kept)
    );
    assert_eq!(
        test.cache
            .get(&path("f001"))
            .unwrap()
            .unwrap()
            .language
            .as_deref(),
        Some("go")
    );
    assert!(test.cache.get(&path("f002")).unwrap().is_none());
}

#[test]
fn a_database_put_in_the_place_of_another_leaves_no_record_of_the_old_one() {
    let test = TestCache::with(CacheOptions::default(), files(2));
    let epoch = test.cache.stats().unwrap().watermark.epoch;
    let other = TestCache::with(empty_memory(), |store| {
        store
            .write(&["f000", "f001"].map(|name| Write::Put(record(name, "go"))))
            .unwrap();
    });
    let from = other.directory.path().join("test.db");
    other.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    std::fs::copy(&from, test.directory.path().join("new.db")).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(test.directory.path().join(format!("test.db{suffix}")));
    }
    std::fs::rename(
        test.directory.path().join("new.db"),
        test.directory.path().join("test.db"),
    )
    .unwrap();
    assert_eq!(
        test.cache.sync(SyncMode::Incremental).unwrap().mode,
        SyncMode::Full
    );
    assert_ne!(test.cache.stats().unwrap().watermark.epoch, epoch);
    for name in ["f000", "f001"] {
        let found = test.cache.get(&path(name)).unwrap().unwrap();
        assert_eq!(found.language.as_deref(), Some("go"));
    }
}

#[test]
fn a_sync_brings_in_what_others_wrote_once_and_is_no_access() {
    let test = TestCache::with(CacheOptions::default(), files(3));
    test.sql("UPDATE documents SET language = 'go' WHERE path = 'f000'; DELETE FROM documents WHERE path = 'f001'");
    let report = test.cache.sync(SyncMode::Incremental).unwrap();
    assert_eq!(
        (report.files, report.deleted, report.mode),
        (1, 1, SyncMode::Incremental)
    );
    let again = test.cache.sync(SyncMode::Incremental).unwrap();
    assert_eq!((again.files, again.deleted, again.from), (0, 0, report.to));
    let stats = test.cache.stats().unwrap();
    assert_eq!((stats.hits, stats.misses, stats.items), (0, 0, 1));
    assert_eq!(stats.evictions(RemovalCause::Invalidated), 2);
    assert_eq!(test.paths(&language("go")), ["f000"]);
    assert_eq!(
        test.cache
            .get(&path("f000"))
            .unwrap()
            .unwrap()
            .language
            .as_deref(),
        Some("go")
    );
}

#[test]
fn a_sync_that_fails_does_not_advance_and_the_next_brings_everything() {
    let test = TestCache::with(empty_memory(), files(1));
    let before = test.cache.stats().unwrap().watermark;
    test.store.put(&record("a", "go")).unwrap();
    test.store.set_deaf(true);
    assert!(test.cache.sync(SyncMode::Incremental).is_err());
    assert_eq!(test.cache.stats().unwrap().watermark, before);
    test.store.set_deaf(false);
    test.store.put(&record("b", "go")).unwrap();
    let report = test.cache.sync(SyncMode::Incremental).unwrap();
    assert_eq!((report.from, report.files), (before, 2));
    assert_eq!(test.paths(&language("go")), ["a", "b"]);
}

// ---- time

#[test]
fn answers_tell_how_old_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new());
    clock.advance(Duration::from_secs(100));
    let cache = Cardex::builder()
        .database(directory.path().join("a.db"))
        .clock(clock.clone())
        .follow(false)
        .open()
        .unwrap();
    clock.advance(Duration::from_secs(7));
    let answer = cache.query(&language("rust")).unwrap();
    assert_eq!(answer.age(), Duration::from_secs(7));
    assert_eq!(cache.stats().unwrap().age, Some(Duration::from_secs(7)));
    // A look that finds nothing new makes later answers younger; what was given out grows older.
    cache.sync(SyncMode::Incremental).unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(
        cache.query(&language("rust")).unwrap().age(),
        Duration::from_secs(1)
    );
    assert_eq!(answer.age(), Duration::from_secs(8));
    assert!(answer.is_complete());
}

#[test]
fn after_the_shutdown_every_verb_is_an_error_that_names_the_component() {
    let test = TestCache::with(CacheOptions::default(), files(1));
    let answer = test.cache.query(&language("rust")).unwrap();
    let clone = test.cache.clone();
    test.cache.shutdown();
    test.cache.shutdown();
    assert!(!clone.is_running());
    let file = path("f000");
    let errors = [
        clone.get(&file).unwrap_err(),
        clone.get_many(std::slice::from_ref(&file)).unwrap_err(),
        clone.query(&language("rust")).unwrap_err(),
        clone.records(&answer, &Fetch::all()).unwrap_err(),
        clone
            .query_records(&language("rust"), &Fetch::all())
            .unwrap_err(),
        clone.update(&record("a", "go")).unwrap_err(),
        clone.remove(&file).unwrap_err(),
        clone.clear().unwrap_err(),
        clone.evict(1).unwrap_err(),
        clone.set_limits(capacity(1)).unwrap_err(),
        clone.sync(SyncMode::Incremental).unwrap_err(),
        clone.rebuild().unwrap_err(),
        clone.load().unwrap_err(),
        clone.snapshot().unwrap_err(),
        clone.stats().unwrap_err(),
        clone.reset_stats().unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NotInitialized);
        assert!(error.to_string().contains("memory_cache"), "{error}");
    }
    assert_eq!(answer.len(), 1, "what was given out stays");
}

#[test]
fn an_answer_is_as_fresh_as_demanded_or_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    let inner = SqliteStore::open(&file, "default", SqliteOptions::default()).unwrap();
    let store = Arc::new(GatedStore::new(inner));
    let clock = Arc::new(ManualClock::new());
    let cache = Cardex::over(store.clone(), clock.clone(), empty_memory()).unwrap();
    cache.load().unwrap();
    let found = |freshness| {
        cache
            .query_with(&language("go"), freshness)
            .map(|a| a.len())
    };
    let before = store.looks();
    let looks = || store.looks() - before;

    store.put(&record("a", "go")).unwrap();
    assert_eq!(found(Freshness::Cached).unwrap(), 0);
    clock.advance(Duration::from_secs(5));
    assert_eq!(found(Freshness::MaxAge(Duration::from_secs(5))).unwrap(), 0);
    assert_eq!(looks(), 0, "young enough");
    assert_eq!(
        found(Freshness::MaxAge(Duration::from_millis(4999))).unwrap(),
        1
    );
    let head = store.put(&record("b", "go")).unwrap().position;
    assert_eq!(found(Freshness::Latest).unwrap(), 2);
    assert_eq!(
        (looks(), found(Freshness::AtLeast(head)).unwrap(), looks()),
        (2, 2, 2)
    );
    let head = store.put(&record("c", "go")).unwrap().position;
    assert_eq!(found(Freshness::AtLeast(head)).unwrap(), 3);
    let file = path("c");
    assert!(cache.get_with(&file, Freshness::Latest).unwrap().is_some());

    // What cannot be met names the demand and the cause.
    let later = Position {
        sequence: head.sequence + 1,
        ..head
    };
    let elsewhere = Position {
        epoch: head.epoch ^ 1,
        ..head
    };
    for demand in [later, elsewhere] {
        let error = found(Freshness::AtLeast(demand)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFresh);
        assert!(error.to_string().contains(&demand.to_string()), "{error}");
    }
    store.set_down(true);
    clock.advance(Duration::from_secs(1));
    for demand in [Freshness::Latest, Freshness::MaxAge(Duration::ZERO)] {
        let error = found(demand).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFresh);
        assert!(
            format!("{error:#}").contains("the database is down"),
            "{error:#}"
        );
        assert_eq!(
            cache.get_with(&file, demand).unwrap_err().kind(),
            ErrorKind::NotFresh
        );
    }
    assert_eq!(
        found(Freshness::Cached).unwrap(),
        3,
        "what is known is still served"
    );
    assert_eq!(found(Freshness::AtLeast(head)).unwrap(), 3);
}

#[test]
fn a_log_that_went_back_is_another_log_and_leaves_no_record_behind() {
    let test = TestCache::with(CacheOptions::default(), files(3));
    let before = test.cache.stats().unwrap().watermark;
    // f000 is now of the version that its old record has.
    test.sql("DELETE FROM changes; UPDATE documents SET language = 'go' WHERE path = 'f000'");
    let report = test.cache.sync(SyncMode::Incremental).unwrap();
    assert_eq!(report.mode, SyncMode::Full);
    assert_eq!(report.to.sequence, 1);
    assert_ne!(report.to.epoch, before.epoch, "positions do not go back");
    let (answer, page) = test
        .cache
        .query_records(&language("go"), &Fetch::all())
        .unwrap();
    assert_eq!(answer.paths().collect::<Vec<_>>(), ["f000"]);
    assert_eq!(page.records[0].language.as_deref(), Some("go"));
    let found = test.cache.get(&path("f000")).unwrap().unwrap();
    assert_eq!(found.language.as_deref(), Some("go"));
    // The same sequence again is told by its nonce, also by a get.
    test.sql("DELETE FROM changes; UPDATE documents SET language = 'c' WHERE path = 'f001'");
    test.cache.get(&path("f002")).unwrap().unwrap();
    test.cache.clear().unwrap();
    let found = test.cache.get(&path("f001")).unwrap().unwrap();
    assert_eq!(found.language.as_deref(), Some("c"));
    assert_eq!(test.paths(&language("c")), ["f001"]);
    // And a log that has passed the position since, by the entries that were its last ones.
    let epoch = test.cache.stats().unwrap().watermark.epoch;
    test.sql("DELETE FROM changes");
    for at in 0..20 {
        test.sql(&format!(
            "UPDATE documents SET language = 'l{at}' WHERE path = 'f000'"
        ));
    }
    assert_eq!(
        test.cache.sync(SyncMode::Incremental).unwrap().mode,
        SyncMode::Full
    );
    assert_ne!(test.cache.stats().unwrap().watermark.epoch, epoch);
    assert_eq!(test.paths(&language("l19")), ["f000"]);
    let report = test.cache.sync(SyncMode::Incremental).unwrap();
    assert_eq!((report.mode, report.files), (SyncMode::Incremental, 0));
}

#[test]
fn removing_what_is_not_there_never_says_that_something_was_written() {
    let test = TestCache::with(empty_memory(), files(1));
    test.store.put(&record("a", "go")).unwrap();
    test.store.set_deaf(true);
    let error = test.cache.remove(&path("nothing")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database);
}

#[test]
fn a_degraded_start_is_for_what_may_pass_and_not_for_a_wrong_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    std::fs::write(&file, "this is a letter and no database").unwrap();
    let error = Cardex::builder()
        .database(&file)
        .start_degraded(true)
        .open()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatabaseCorrupt);
}

#[test]
fn one_record_that_cannot_be_kept_does_not_end_the_load_at_the_start() {
    let options = CacheOptions::default().max_record_bytes(20_000).unwrap();
    let test = TestCache::with(options, |store| {
        files(600)(store);
        let large =
            FileMetadata::builder("f590").function(Function::named("f").intent("x".repeat(30_000)));
        let mut large = large.build().unwrap();
        large.last_modified = Some(chrono::DateTime::from_timestamp(590, 0).unwrap());
        store.put(&large).unwrap();
    });
    let stats = test.cache.stats().unwrap();
    assert_eq!((stats.items, stats.load_errors), (599, 1));
}

#[test]
fn a_record_read_ahead_of_the_index_is_kept() {
    let test = TestCache::with(empty_memory(), files(1));
    test.store.put(&record("f000", "go")).unwrap();
    let first = test.cache.get(&path("f000")).unwrap().unwrap();
    assert_eq!(first.language.as_deref(), Some("go"));
    assert_eq!(
        test.paths(&language("go")),
        ["f000"],
        "and the index has caught up"
    );
    let second = test.cache.get(&path("f000")).unwrap().unwrap();
    assert!(first.is_same(&second));
    let stats = test.cache.stats().unwrap();
    assert_eq!((stats.hits, stats.misses, stats.loads), (1, 1, 1));
}

#[test]
fn what_is_printed_for_a_log_holds_no_names_of_the_project() {
    let test = TestCache::with(CacheOptions::default(), files(300));
    let answer = test.cache.query(&language("rust")).unwrap();
    for printed in [format!("{:?}", test.cache), format!("{answer:?}")] {
        assert!(
            printed.len() < 10_000 && !printed.contains("f000"),
            "{printed}"
        );
    }
}

#[test]
fn a_file_with_a_path_that_nobody_can_read_is_told_of_until_it_is_gone() {
    let test = TestCache::with(empty_memory(), files(2));
    test.sql("UPDATE documents SET path = CAST(x'ff' AS TEXT) WHERE path = 'f000'");
    test.cache.sync(SyncMode::Incremental).unwrap();
    let answer = test.cache.query(&language("rust")).unwrap();
    assert_eq!((answer.len(), answer.is_complete()), (1, false));
    test.sql("DELETE FROM documents WHERE path <> 'f001'");
    test.cache.sync(SyncMode::Incremental).unwrap();
    let answer = test.cache.query(&language("rust")).unwrap();
    assert_eq!((answer.len(), answer.is_complete()), (1, true));
}

// ---- following

#[test]
fn the_database_is_followed_by_itself_whoever_writes_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    let cache = Cardex::builder().database(&file).open().unwrap();
    let other = SqliteStore::open(&file, "default", SqliteOptions::default()).unwrap();
    let knows = |name: &'static str| {
        let cache = cache.clone();
        move || cache.query(&language(name)).unwrap().len() == 1
    };
    other.put(&record("a", "go")).unwrap();
    wait_until("a commit of another connection is seen", knows("go"));
    cache.get(&path("a")).unwrap().unwrap();
    other.put(&record("a", "rust")).unwrap();
    wait_until("and the next one", knows("rust"));
    let found = cache.get(&path("a")).unwrap().unwrap();
    assert_eq!(found.language.as_deref(), Some("rust"));
    // The age of answers stays small while nothing happens.
    wait_until("the age stays small", || {
        cache.query(&language("rust")).unwrap().age() < Duration::from_millis(200)
    });
    cache.shutdown();
    assert!(cache.query(&language("go")).is_err());
}

#[test]
fn a_start_without_the_database_ends_by_itself_when_that_comes() {
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("not");
    std::fs::write(&blocked, "in the way").unwrap();
    let builder = Cardex::builder().database(blocked.join("yet/there.db"));
    let cache = builder.start_degraded(true).open().unwrap();
    assert_eq!(
        cache.query(&language("go")).unwrap_err().kind(),
        ErrorKind::NotLoaded
    );
    std::fs::remove_file(&blocked).unwrap();
    wait_until("the first synchronisation succeeds", || {
        cache.query(&language("go")).is_ok()
    });
    // A pass is published first, and noted next.
    wait_until("it is no longer degraded", || {
        !cache.stats().unwrap().is_degraded()
    });
}

#[test]
fn a_shutdown_does_not_wait_for_a_database_that_holds_a_look_up() {
    let test = TestCache::with(CacheOptions::default(), files(1));
    let options = empty_memory().follow(true);
    let cache = Cardex::over(test.store.clone(), Arc::new(SystemClock), options).unwrap();
    cache.load().unwrap();
    let gate = test.store.hold_look();
    gate.wait();
    let begin = std::time::Instant::now();
    cache.shutdown();
    assert!(begin.elapsed() < Duration::from_secs(2));
    gate.release();
}

#[test]
fn incremental_passes_go_on_while_everything_is_read_anew() {
    let test = TestCache::with(CacheOptions::default(), files(3));
    let gate = test.store.hold_scan();
    std::thread::scope(|scope| {
        let rebuild = scope.spawn(|| test.cache.rebuild().unwrap());
        gate.wait();
        // Everything is read, and nothing of it published; our own writes do not wait.
        test.cache.update(&record("new", "go")).unwrap();
        test.store.put(&record("f000", "go")).unwrap();
        test.cache.remove(&path("f001")).unwrap();
        assert_eq!(test.paths(&language("go")), ["f000", "new"]);
        let before = test.cache.stats().unwrap().watermark;
        gate.release();
        let report = rebuild.join().unwrap();
        assert_eq!(
            (report.mode, report.to),
            (SyncMode::Full, before),
            "and does not go back"
        );
    });
    assert_eq!(test.paths(&language("go")), ["f000", "new"]);
    assert_eq!(test.paths(&language("rust")), ["f002"]);
}

/// Another database lies there, and is read; the first one comes back meanwhile.
#[test]
fn an_update_goes_through_while_everything_is_read_because_the_log_could_not_be_followed() {
    let test = TestCache::with(CacheOptions::default(), files(3));
    // The whole directory: a database never comes alone to the files beside another one.
    let aside = tempfile::tempdir().unwrap();
    let [kept, other] = ["kept", "other"].map(|name| aside.path().join(name));
    std::fs::create_dir(&other).unwrap();
    let copy = other.join("test.db");
    test.sql(&format!("VACUUM INTO '{}'", copy.display()));
    let place = test.directory.path();
    let before = test.cache.stats().unwrap().watermark;
    std::fs::rename(place, &kept).unwrap();
    std::fs::rename(&other, place).unwrap();
    let gate = test.store.hold_scan();
    std::thread::scope(|scope| {
        let look = scope.spawn(|| test.cache.sync(SyncMode::Incremental));
        gate.wait();
        std::fs::rename(place, &other).unwrap();
        std::fs::rename(&kept, place).unwrap();
        let position = test.cache.update(&record("new", "go")).unwrap();
        assert_eq!(position.epoch, before.epoch);
        assert_eq!(test.paths(&language("go")), ["new"]);
        assert!(gate.is_waiting(), "what was read is not handed over yet");
        gate.release();
        // What was read is of another database: it is read again.
        assert_eq!(look.join().unwrap().unwrap().to, position);
    });
    assert_eq!(test.store.scans(), 1 + 2, "the first load, and both");
    assert_eq!(test.paths(&language("go")), ["new"]);
    assert_eq!(test.paths(&language("rust")).len(), 3);
}

#[test]
fn those_who_find_the_log_pruned_have_everything_read_once_and_lose_no_write() {
    let test = TestCache::with(CacheOptions::default(), files(3));
    test.sql("DELETE FROM documents WHERE path = 'f001'");
    test.store.sqlite().prune_log(0).unwrap();
    let gate = test.store.hold_scan();
    std::thread::scope(|scope| {
        let looks: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| test.cache.sync(SyncMode::Incremental)))
            .collect();
        gate.wait();
        // It is committed at once, and comes in with the rest.
        let update = scope.spawn(|| test.cache.update(&record("new", "go")));
        wait_until("the write is committed", || {
            test.store.sqlite().get(&path("new")).unwrap().is_some()
        });
        assert!(!test.cache.stats().unwrap().is_degraded());
        assert_eq!(test.paths(&language("rust")).len(), 3, "as it was");
        gate.release();
        update.join().unwrap().unwrap();
        assert_eq!(test.paths(&language("go")), ["new"]);
        for look in looks {
            look.join().unwrap().unwrap();
        }
    });
    // And once more for whoever looked before the switch and was late to ask for it.
    let scans = test.store.scans() - 1;
    assert!((1..=2).contains(&scans), "{scans}");
    assert_eq!(test.paths(&language("rust")), ["f000", "f002"]);
}

// ---- changes

#[test]
fn what_changed_since_a_position_is_told_deletions_included() {
    let test = TestCache::with(CacheOptions::default(), files(2));
    let start = test.cache.stats().unwrap().watermark;
    assert!(test.cache.changes(start, 10).unwrap().changes.is_empty());
    test.cache.update(&record("new", "go")).unwrap();
    test.sql("DELETE FROM documents WHERE path = 'f000'");
    test.cache.update(&record("new", "c")).unwrap();
    let told = |since, limit| {
        let set = test.cache.changes(since, limit).unwrap();
        let changes = set.changes.iter();
        let changes: Vec<_> = changes.map(|c| (c.path.clone(), c.is_deleted)).collect();
        (changes, set)
    };
    let (changes, set) = told(start, 10);
    assert_eq!(
        changes,
        [("f000".to_owned(), true), ("new".to_owned(), false)]
    );
    assert!(!set.is_fresh_instance && !set.is_truncated);
    assert_eq!(set.position, test.store.head().unwrap());
    // Page by page.
    let (changes, set) = told(start, 1);
    assert_eq!(changes, [("f000".to_owned(), true)]);
    assert!(set.is_truncated);
    let (changes, set) = told(set.position, 1);
    assert_eq!(changes, [("new".to_owned(), false)]);
    assert!(!set.is_truncated);
    // A position that the log does not know: every file that there is.
    for unknown in [
        Position::default(),
        Position {
            epoch: start.epoch ^ 1,
            ..start
        },
    ] {
        let (changes, set) = told(unknown, 10);
        assert!(set.is_fresh_instance);
        assert_eq!(
            changes,
            [("f001".to_owned(), false), ("new".to_owned(), false)]
        );
    }
}

#[test]
fn a_subscriber_is_told_of_each_change_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    let cache = Cardex::builder().database(&file).open().unwrap();
    let other = SqliteStore::open(&file, "default", SqliteOptions::default()).unwrap();
    let mut feed = cache.subscribe(cache.stats().unwrap().watermark).unwrap();
    assert!(feed.next(Duration::ZERO).unwrap().is_none());
    for at in 0..20 {
        other.put(&record(&format!("f{at}"), "go")).unwrap();
    }
    let mut told = Vec::new();
    while told.len() < 20 {
        let set = feed
            .next(Duration::from_secs(30))
            .unwrap()
            .expect("there are changes");
        // What is told is known to queries too.
        let known = cache.query(&language("go")).unwrap();
        assert!(known.as_of().covers(set.position));
        told.extend(set.changes.into_iter().map(|change| change.path));
    }
    let expected: Vec<String> = (0..20).map(|at| format!("f{at}")).collect();
    assert_eq!(told, expected);
    assert!(feed.next(Duration::ZERO).unwrap().is_none());
}

/// Another history in the place of ours, as when an older copy is put back and written to: these
/// languages, and this log.
fn put_in_place(test: &TestCache, files: &[(&str, &str, u64)]) {
    let mut sql = "BEGIN; UPDATE log_state SET quiet = 1; DELETE FROM changes;".to_owned();
    for (path, language, seq) in files {
        sql += &format!(
            "UPDATE documents SET language = '{language}' WHERE path = '{path}';
             INSERT INTO changes VALUES (1, '{path}', {seq}, random());"
        );
    }
    test.sql(&(sql + "UPDATE log_state SET quiet = 0; COMMIT;"));
}

#[test]
fn another_history_in_the_place_of_ours_is_noticed_whatever_reads_it_first() {
    let rebuild = |test: &TestCache| drop(test.cache.rebuild().unwrap());
    let look = |test: &TestCache| drop(test.cache.sync(SyncMode::Incremental).unwrap());
    let load = |test: &TestCache| {
        test.cache.clear().unwrap();
        test.cache.get(&path("f002")).unwrap().unwrap();
    };
    let read_first: [&dyn Fn(&TestCache); 3] = [&rebuild, &look, &load];
    // The versions recur, and the log is past where ours stood. Then: every file that was among the
    // last ones of ours has been written to again, and another one stands in between.
    let histories: [&[(&str, &str, u64)]; 2] = [
        &[("f000", "c", 3), ("f001", "go", 2), ("f002", "go", 5)],
        &[("f000", "c", 7), ("f001", "go", 3), ("f002", "go", 8)],
    ];
    for read in read_first {
        for history in histories {
            let test = TestCache::with(CacheOptions::default(), files(3));
            // f001 is at 2, f002 at 3 and f000 at 4 then.
            test.cache.update(&record("f000", "rust")).unwrap();
            let before = test.cache.stats().unwrap().watermark;
            put_in_place(&test, history);
            read(&test);
            look(&test);
            assert_ne!(test.cache.stats().unwrap().watermark.epoch, before.epoch);
            for (name, language, _) in history {
                let found = test.cache.get(&path(name)).unwrap().unwrap();
                assert_eq!(found.language.as_deref(), Some(*language), "{name}");
            }
            let (_, page) = test
                .cache
                .query_records(&language("go"), &Fetch::all())
                .unwrap();
            assert_eq!(page.records.len(), 2);
        }
    }
}

#[test]
fn commits_of_others_and_pruning_are_no_other_history() {
    let test = TestCache::with(CacheOptions::default(), files(40));
    let epoch = test.cache.stats().unwrap().watermark.epoch;
    for round in 0..30 {
        let name = format!("f{:03}", round * 7 % 40);
        test.sql(&format!(
            "UPDATE documents SET language = 'go' WHERE path = '{name}'"
        ));
        test.cache.remove(&path(&format!("f{:03}", round))).unwrap();
        if round % 5 == 0 {
            test.store.sqlite().prune_log(round).unwrap();
        }
        if round % 3 == 0 {
            test.cache.rebuild().unwrap();
        }
        test.cache.get(&path("f039")).unwrap().unwrap();
        let stats = test.cache.stats().unwrap();
        assert_eq!(stats.watermark.epoch, epoch, "round {round}");
    }
}
