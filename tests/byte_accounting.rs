//! What a cache says that its records weigh is what they take: a counting allocator watches while
//! memory is filled and given back. One test in a program of its own, so that nobody else allocates.

#![expect(clippy::unwrap_used, reason = "a test stops at its first surprise")]
#![cfg(feature = "sqlite")]

use std::alloc::System;
use std::sync::Arc;

use cardex::store::{MetadataStore, SqliteOptions, SqliteStore, Write};
use cardex::{
    Cache, CacheOptions, Cardex, ChangeRecord, Class, FileMetadata, FilePath, Function, SystemClock,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const RECORDS: usize = 4000;
/// What an allocator takes beside the bytes that it is asked for, on average: a word before them, and
/// half of the 16 bytes to which it rounds up.
const BESIDE: usize = 16;
const TOLERANCE: f64 = 0.10;

/// Names alone.
fn small(n: usize) -> FileMetadata {
    FileMetadata::builder(&format!("src/small/module_{n:05}.py"))
        .language("python")
        .function(Function::named(format!("f{}", n % 97)))
        .build()
        .unwrap()
}

/// As a file of a usual project: classes with methods, each with a sentence.
fn usual(n: usize) -> FileMetadata {
    let sentence =
        |k: usize| format!("Does the step {k} of work {n}, and tells its caller how that went.");
    let mut builder =
        FileMetadata::builder(&format!("src/usual/package_{}/module_{n:05}.py", n % 50))
            .language("python")
            .reference(format!("docs/design/part_{}.md", n % 30));
    for class in 0..n % 4 {
        let mut class = Class::named(format!("Worker{class}Of{n}"));
        for method in 0..6 {
            class =
                class.method(Function::named(format!("method_{method}")).intent(sentence(method)));
        }
        builder = builder.class(class);
    }
    for function in 0..3 + n % 5 {
        let name = format!("a_rather_long_function_name_{function}");
        builder = builder.function(Function::named(name).intent(sentence(function)));
    }
    builder.build().unwrap()
}

/// Long texts.
fn wordy(n: usize) -> FileMetadata {
    let mut record = usual(n);
    record.header_sections.intent = Some("word ".repeat(200 + n % 300));
    record.header_sections.change_history = (0..5)
        .map(|k| ChangeRecord {
            summary: Some(format!("change {k}: {}", "why ".repeat(20 + k))),
            details: vec!["detail ".repeat(10), "another ".repeat(5)],
            ..ChangeRecord::default()
        })
        .collect();
    record
}

/// Fills a cache with records and empties it: what it says it held, and what that gave back.
fn held(record: fn(usize) -> FileMetadata) -> (u64, usize) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("accounting.db");
    let store = SqliteStore::open(file, "default", SqliteOptions::default()).unwrap();
    let records: Vec<Write> = (0..RECORDS).map(|n| Write::Put(record(n))).collect();
    store.write(&records).unwrap();
    drop(records);
    let options = CacheOptions::default()
        .load_bodies(false)
        .follow(false)
        .max_bytes(512 << 20)
        .unwrap();
    let cache = Cardex::over(Arc::new(store), Arc::new(SystemClock), options).unwrap();
    cache.load().unwrap();
    let paths: Vec<FilePath> = (0..RECORDS).map(|n| record(n).path).collect();
    // Buffers that the first reads make and keep are no records.
    cache.get(&paths[0]).unwrap();
    cache.clear().unwrap();

    for batch in paths.chunks(100) {
        assert!(cache.get_many(batch).unwrap().iter().all(Option::is_some));
    }
    let usage = cache.as_cache().usage();
    assert_eq!(usage.entries, RECORDS);
    let region = Region::new(ALLOCATOR);
    Cache::clear(&*cache).unwrap();
    let freed = region.change();
    assert_eq!(cache.as_cache().usage().bytes, Some(0));
    let bytes = freed.bytes_deallocated - freed.bytes_allocated;
    let allocations = freed.deallocations - freed.allocations;
    (usage.bytes.unwrap(), bytes + BESIDE * allocations)
}

#[test]
fn what_the_records_weigh_is_what_they_take_to_a_tenth() {
    for (kind, record) in [
        ("small", small as fn(usize) -> FileMetadata),
        ("usual", usual),
        ("wordy", wordy),
    ] {
        let (said, took) = held(record);
        let ratio = said as f64 / took as f64;
        eprintln!("{kind}: {said} B said, {took} B taken: {ratio:.3}");
        assert!(
            (ratio - 1.0).abs() <= TOLERANCE,
            "{kind}: {said} B said, {took} B taken"
        );
    }
}
