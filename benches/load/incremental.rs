//! Following changes: a hundred files are written again, and a pass brings the index up to date.

use std::collections::BTreeSet;
use std::time::Duration;

use cardex::FilePath;
use cardex::store::{MetadataStore, SqliteStore, Write};

use crate::common::database::{Database, read_only};
use crate::common::race::{median, processor_time, report};
use crate::common::{Random, small};
use crate::raw;

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
    let passes: Vec<Pass> = databases.iter().map(Pass::measure).collect();
    let (smallest, largest) = (&databases[0], &databases[databases.len() - 1]);
    let (first, last) = (&passes[0], &passes[passes.len() - 1]);
    let case = format!("incremental,{CHANGED}-changed,{}", largest.label);
    report(
        "load",
        &case,
        "limit",
        last.ours,
        LIMIT.as_nanos() as f64,
        Some(1.0),
    );
    report("load", &case, "raw-rows", last.ours, last.raw, None);
    let rows = CHANGED as f64;
    for (database, pass) in databases.iter().zip(&passes).skip(1) {
        let case = format!("incremental,per-row,{}", database.label);
        let (ours, theirs) = (pass.ours / rows, first.ours / rows);
        report("load", &case, smallest.label, ours, theirs, Some(FLAT));
    }
    let case = format!("incremental,per-row,raw,{}", largest.label);
    report(
        "load",
        &case,
        smallest.label,
        last.raw / rows,
        first.raw / rows,
        None,
    );
}

/// Median times of a pass, in nanoseconds of the thread's work.
struct Pass {
    ours: f64,
    /// Of reading the same rows and doing nothing with them.
    raw: f64,
}

impl Pass {
    fn measure(database: &Database) -> Self {
        let store = database.store().expect("the database is good");
        let conn = read_only(&database.path).expect("the database is good");
        let (index, sync) = Database::index(&store).expect("a thread can be started");
        sync.full().expect("the database can be read");
        let states = store.file_states().expect("the database can be read");
        let paths: Vec<FilePath> = states.into_iter().map(|state| state.path).collect();
        let mut random = Random(3);
        let (mut ours, mut raw) = (Vec::new(), Vec::new());
        let mut head = index.snapshot().position().sequence.cast_signed();
        for _ in 0..if small() { 3 } else { PASSES } {
            let changed = (0..CHANGED).map(|_| paths[random.below(paths.len())].clone());
            let changed: BTreeSet<FilePath> = changed.collect();
            write_again(&store, &Vec::from_iter(changed.iter().cloned()));
            let (time, read) = timed(|| sync.incremental().expect("the database can be read"));
            assert_eq!(read.files, changed.len() as u64);
            ours.push(time);
            let (time, read) = timed(|| raw::changes(&conn, head).expect("it can be read"));
            assert_eq!(read.0, changed.len());
            raw.push(time);
            head = read.1;
        }
        assert_eq!(index.snapshot().len(), database.files);
        Pass {
            ours: median(ours),
            raw: median(raw),
        }
    }
}

/// Writes files again as they are: the database stays what it was, but for its log.
fn write_again(store: &SqliteStore, paths: &[FilePath]) {
    let found = store
        .fetch(paths)
        .expect("the database can be read")
        .records;
    let records = found
        .into_iter()
        .filter_map(|found| Some(found.ok()??.record));
    let batch: Vec<Write> = records.map(Write::Put).collect();
    assert_eq!(batch.len(), paths.len());
    store.write(&batch).expect("the database can be written");
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = processor_time();
    let done = work();
    let time = processor_time().saturating_sub(start);
    (time.as_nanos() as f64, done)
}
