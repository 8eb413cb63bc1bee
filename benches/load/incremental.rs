//! Following changes: a hundred files are written again, and a pass brings the index up to date.

use std::time::{Duration, Instant};

use cardex::store::{MetadataStore, SqliteStore, Write};
use cardex::{FilePath, Synchronizer};

use crate::common::race::{median, report};
use crate::common::{Random, small};
use crate::database::Database;

/// Files that change between two passes.
const CHANGED: usize = 100;
/// Passes: fewer changes in all than bring the tiers into the base.
const PASSES: usize = 31;
/// What a pass may take.
const LIMIT: Duration = Duration::from_millis(1);
/// A pass over the smallest tree takes at least this share of one over the largest: they are the
/// same within 1.3.
const FLAT: f64 = 0.77;

/// Measures every tree, from small to large.
pub(crate) fn run(databases: &[Database]) {
    let times: Vec<f64> = databases.iter().map(pass).collect();
    let (smallest, largest) = (&databases[0], &databases[databases.len() - 1]);
    let last = times[times.len() - 1];
    let case = format!("incremental,{CHANGED}-changed,{}", largest.label);
    report(
        "load",
        &case,
        "limit",
        last,
        LIMIT.as_nanos() as f64,
        Some(1.0),
    );
    let case = format!("incremental,per-row,{}", largest.label);
    let rows = CHANGED as f64;
    report(
        "load",
        &case,
        smallest.label,
        last / rows,
        times[0] / rows,
        Some(FLAT),
    );
}

/// The median time of a pass, in nanoseconds.
fn pass(database: &Database) -> f64 {
    let store = database.store().expect("the database is good");
    let (index, sync) = Database::index(&store).expect("a thread can be started");
    sync.full().expect("the database can be read");
    let paths: Vec<FilePath> = store
        .file_states()
        .expect("the database can be read")
        .into_iter()
        .map(|state| state.path)
        .collect();
    let mut random = Random(3);
    let passes = if small() { 3 } else { PASSES };
    let times = (0..passes).map(|_| {
        let changed = (0..CHANGED).map(|_| paths[random.below(paths.len())].clone());
        write_again(&store, &changed.collect::<Vec<_>>());
        one_pass(&sync)
    });
    let times = times.collect();
    assert_eq!(index.snapshot().len(), database.files);
    median(times)
}

/// Writes files again as they are: the database stays what it was, but for its log.
fn write_again(store: &SqliteStore, paths: &[FilePath]) {
    let found = store.get_many(paths).expect("the database can be read");
    let records = found.into_iter().flatten().map(|found| found.record);
    let batch: Vec<Write> = records.map(Write::Put).collect();
    assert_eq!(batch.len(), paths.len());
    store.write(&batch).expect("the database can be written");
}

fn one_pass(sync: &Synchronizer) -> f64 {
    let start = Instant::now();
    let report = sync.incremental().expect("the database can be read");
    let time = start.elapsed().as_nanos() as f64;
    assert!(report.files > 0 && report.files <= CHANGED as u64);
    time
}
