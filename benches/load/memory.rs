//! Memory: what the index says that it holds, and what a process that does nothing else takes. The process is
//! a child of the bench, so that nothing but the load is counted.

use std::path::Path;

use crate::common::database::Database;
use crate::common::process::{self, status};

/// Names the database that a child process loads.
const CHILD: &str = "CARDEX_BENCH_LOAD";
/// A process that has loaded this many files of real repositories …
const FILES: usize = 10_000;
/// … takes at most this much memory.
const LIMIT: f64 = 100e6;
/// At most this many bytes of index a file, without n-grams.
const BYTES_A_FILE: f64 = 400.0;

pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Loads the database, and tells the parent what that took.
pub(crate) fn child() {
    let path = std::env::var(CHILD).expect("the parent names a database");
    let database = Database {
        path: path.into(),
        files: 0,
        label: "child",
    };
    let before = status("VmRSS");
    let store = database.store().expect("the database is good");
    let (index, sync) = Database::index(&store).expect("a thread can be started");
    sync.full().expect("the database can be read");
    let snapshot = index.snapshot();
    let memory = snapshot.memory();
    eprintln!(
        "{} files: {memory:?} {:?}",
        snapshot.len(),
        snapshot.term_counts()
    );
    println!(
        "{} {before} {} {}",
        memory.total(),
        status("VmRSS"),
        status("VmHWM")
    );
}

struct Taken {
    index: f64,
    /// What loading added to the process.
    added: f64,
    resident: f64,
    peak: f64,
}

fn load(database: &Path) -> Taken {
    let numbers = process::child(CHILD, database.as_os_str());
    let [index, before, resident, peak] = numbers[..] else {
        panic!("the child tells other numbers: {numbers:?}");
    };
    Taken {
        index,
        added: resident - before,
        resident,
        peak,
    }
}

fn line(case: &str, peer: &str, ours: f64, limit: Option<f64>, unit: &str) {
    let verdict = match limit {
        Some(limit) if ours <= limit => format!(" target={limit:.0}{unit} ok"),
        Some(limit) => format!(" target={limit:.0}{unit} short"),
        None => String::new(),
    };
    println!("bench=load case={case} peer={peer} ours={ours:.0}{unit}{verdict}");
}

/// Files of kafka and spring-boot, indexed from a database.
pub(crate) fn two_repositories() {
    let database = Database::of_two_repositories(FILES);
    let taken = load(&database.path);
    line(
        "memory,process,10k-default",
        "limit",
        taken.resident / 1e6,
        Some(LIMIT / 1e6),
        "MB",
    );
    line(
        "memory,process-peak,10k-default",
        "limit",
        taken.peak / 1e6,
        Some(LIMIT / 1e6),
        "MB",
    );
}

pub(crate) fn large(database: &Database, label: &str) {
    let taken = load(&database.path);
    let each = |bytes: f64| bytes / database.files as f64;
    line(
        &format!("memory,index-per-record,{label}"),
        "limit",
        each(taken.index),
        Some(BYTES_A_FILE),
        "B",
    );
    line(
        &format!("memory,resident-per-record,{label}"),
        "kernel",
        each(taken.added),
        None,
        "B",
    );
    line(
        &format!("memory,peak-per-record,{label}"),
        "kernel",
        each(taken.peak),
        None,
        "B",
    );
}
