//! What does it cost to hold records, and does a cache leave anything behind? Bytes that a resident
//! record takes, as the kernel counts them, against the bytes that it is charged with; bytes of index
//! a file; a whole process with the default number of records; and a thousand caches, one after the
//! other. Each in a child process, so that nothing else is counted.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use cardex::{Cardex, MetadataCache};

use crate::common::database::{Database, PROJECT};
use crate::common::process::{child, descriptors, status, threads};
use crate::common::small;

/// Tells the child what to do: a verb, a colon, a database.
const CHILD: &str = "CARDEX_BENCH_CACHE";
/// The default number of records in memory …
const RECORDS: usize = 10_000;
/// … in a process of at most so many bytes.
const PROCESS: f64 = 100e6;
/// More than any of these databases holds.
const MOST: usize = 1_000_000;
const MOST_BYTES: u64 = 1 << 30;
/// A record takes at most so many times the bytes that it is charged with: or a budget means little.
const CHARGE: f64 = 1.1;
/// At most this many bytes of index a file, without n-grams. On a large tree: a small one spreads
/// what is there once over few files.
const INDEX: f64 = 400.0;
/// Caches are opened and shut down this often before anything is counted, then this often.
const WARM_UP: usize = 100;
/// What the allocator may have kept in the end.
const GROWTH: f64 = 1e6;

pub(crate) fn run() {
    let default = Database::of_two_repositories(RECORDS);
    process(&default);
    if small() {
        record(&default, "10k");
    } else {
        record(&Database::of_size(100_000, "100k"), "100k");
        index(&Database::of_size(1_000_000, "1m"));
    }
    lives();
}

/// Whether this process is the child; then it has done its work.
pub(crate) fn is_child() -> bool {
    let Ok(task) = std::env::var(CHILD) else {
        return false;
    };
    let (verb, path) = task.split_once(':').expect("the parent says what to do");
    match verb {
        "empty" => hold(path, false),
        "full" => hold(path, true),
        "lives" => live(path.as_ref()),
        _ => panic!("nobody asks to {verb}"),
    }
    true
}

fn ask<const N: usize>(verb: &str, path: &Path) -> [f64; N] {
    let mut task = OsString::from(format!("{verb}:"));
    task.push(path);
    let numbers = child(CHILD, &task);
    numbers.try_into().expect("the child tells so many numbers")
}

fn hold(path: &str, bodies: bool) {
    let builder = Cardex::builder().database(path).project(PROJECT);
    let builder = builder.max_items(MOST).max_bytes(MOST_BYTES);
    let cardex = builder.load_bodies(bodies).open();
    let cardex = cardex.expect("the database is good");
    let stats = cardex.stats().expect("it runs");
    assert_eq!(stats.items, if bodies { stats.files } else { 0 });
    let snapshot = cardex.snapshot().expect("it is loaded");
    let index = snapshot.memory().total() / stats.files;
    let (now, peak) = (status("VmRSS"), status("VmHWM"));
    println!("{} {index} {now} {peak}", stats.bytes);
}

fn process(database: &Database) {
    let [_, _, now, peak] = ask("full", &database.path);
    let limit = PROCESS / 1e6;
    line(
        "memory,process,10k-default",
        "limit",
        now / 1e6,
        limit,
        "MB",
    );
    line(
        "memory,process-peak,10k-default",
        "limit",
        peak / 1e6,
        limit,
        "MB",
    );
}

/// What it takes to hold the records above what it takes not to.
fn record(database: &Database, label: &str) {
    let [_, _, empty, _] = ask("empty", &database.path);
    let [charged, _, full, _] = ask("full", &database.path);
    let each = |bytes: f64| bytes / database.files as f64;
    let (taken, charged) = (each(full - empty), each(charged));
    let case = format!("memory,record,{label}");
    line(&case, "charge*1.1", taken, charged * CHARGE, "B");
}

fn index(database: &Database) {
    let [_, each, _, _] = ask("empty", &database.path);
    line("memory,index-per-file,1m", "limit", each, INDEX, "B");
}

/// Opens a cache, uses it and shuts it down, again and again.
fn live(directory: &Path) {
    let file = directory.join("lives.db");
    let lives = if small() { 100 } else { 1000 };
    let live = || {
        let cardex: Cardex = Cardex::builder().database(&file).open().expect("it opens");
        assert_eq!(cardex.stats().expect("it runs").items, 0);
        cardex.shutdown();
        assert!(!MetadataCache::is_running(&cardex));
    };
    let count = || {
        settle();
        [
            threads() as f64,
            descriptors() as f64,
            status("VmRSS") as f64,
        ]
    };
    (0..WARM_UP).for_each(|_| live());
    let before = count();
    (0..lives).for_each(|_| live());
    let grown = count()
        .into_iter()
        .zip(before)
        .map(|(now, then)| now - then);
    grown.for_each(|grown| println!("{grown}"));
}

/// Waits until the threads of the last cache have ended, but not for ever.
fn settle() {
    let begin = Instant::now();
    while threads() > 1 && begin.elapsed() < Duration::from_secs(2) {
        std::thread::yield_now();
    }
}

fn lives() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let [threads, files, bytes] = ask("lives", directory.path());
    let times = if small() { 100 } else { 1000 };
    let case = |what: &str| format!("open+shutdown,x{times},{what}");
    line(&case("threads"), "none", threads, 0.0, "");
    line(&case("descriptors"), "none", files, 0.0, "");
    line(&case("growth"), "limit", bytes / 1e6, GROWTH / 1e6, "MB");
}

fn line(case: &str, peer: &str, ours: f64, limit: f64, unit: &str) {
    let digits = usize::from(ours.fract() != 0.0 && ours < 10.0);
    let verdict = if ours <= limit { "ok" } else { "short" };
    let ratio = if ours > 0.0 { limit / ours } else { 1.0 };
    println!(
        "bench=cache case={case} peer={peer} ours={ours:.digits$}{unit} theirs={limit:.0}{unit} \
         ratio={ratio:.2} target=1 {verdict}"
    );
}
