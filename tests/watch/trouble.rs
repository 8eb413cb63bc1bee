//! A database that cannot be written to, files that cannot be read, and an end at any time.

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use cardex::HealthState;
use cardex::watch::{WatchCause, WatchOptions};

use crate::stalls::Stalls;
use crate::support::Watched;

#[test]
fn a_busy_database_is_tried_again_until_it_is_free_and_nothing_is_lost() {
    let watched = Watched::new();
    watched.write("a.py", "def a(): pass\n");
    watched.holds(&["a.py"]);
    let other = rusqlite::Connection::open(watched.place.path().join("watched.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    watched.write("b.py", "def b(): pass\n");
    fs::remove_file(watched.at("a.py")).unwrap();
    watched.until("a failure", || watched.watcher.stats().failures > 0);
    let health = watched.watcher.health();
    assert_eq!(
        (health.state, health.reasons[0].code),
        (HealthState::Degraded, "database-busy")
    );
    watched.write("c.py", "def c(): pass\n");
    other.execute_batch("ROLLBACK").unwrap();
    watched.holds(&["b.py", "c.py"]);
    watched.until("health", || {
        watched.watcher.health().state == HealthState::Healthy
    });
    watched.agrees();
}

#[test]
fn a_file_that_cannot_be_taken_stops_no_other() {
    let watched = Watched::new();
    let socket = UnixListener::bind(watched.at("socket")).unwrap();
    watched.write("binary.py", "a\0b");
    fs::write(watched.at("latin.py"), b"# caf\xe9\n").unwrap();
    watched.write("key.pem", "-----BEGIN PRIVATE KEY-----\n");
    fs::write(
        watched.root().join(std::ffi::OsString::from("n\u{e9}.py")),
        "def n(): pass\n",
    )
    .unwrap();
    watched.write("good.py", "def good(): pass\n");
    watched.holds(&["good.py", "latin.py", "n\u{e9}.py"]);
    watched.agrees();
    drop(socket);
}

#[test]
fn starting_and_stopping_twice_is_as_once_and_an_end_takes_less_than_a_second() {
    let watched = Watched::idle(WatchOptions::default(), |_| {});
    watched.watcher.stop();
    assert_eq!(watched.watcher.health().state, HealthState::Disabled);
    for turn in 0..3 {
        watched.start();
        watched.watcher.start().unwrap();
        watched.write(&format!("f{turn}.py"), "def f(): pass\n");
        watched.until("the file", || watched.paths().len() == 2 * turn + 1);
        for file in 0..200 {
            watched.write(&format!("busy{turn}/b{file}.py"), "def b(): pass\n");
        }
        let (stalls, start) = (Stalls::watch(), Instant::now());
        watched.watcher.stop();
        watched.watcher.stop();
        let took = stalls.since(start);
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert!(!watched.watcher.is_running());
        fs::remove_dir_all(watched.at(&format!("busy{turn}"))).unwrap();
        // What happens while nobody looks is found at the start.
        watched.write(&format!("g{turn}.py"), "def g(): pass\n");
        watched.start();
        watched.until("rest", || watched.paths().len() == 2 * turn + 2);
        watched.watcher.stop();
    }
    watched.start();
    watched.agrees();
}

#[test]
fn batches_tell_what_became_of_each_file() {
    // Nothing keeps this program for so long from going on with what it has begun.
    let debounce = Duration::from_secs(1);
    let options = WatchOptions::default().debounce(debounce).unwrap();
    let watched = Watched::with(options.max_delay(debounce * 10).unwrap(), |_| {});
    watched.write("a.py", "def a(): pass\n");
    watched.holds(&["a.py"]);
    fs::rename(watched.at("a.py"), watched.at("b.py")).unwrap();
    watched.holds(&["b.py"]);
    watched.write("b.py", "def b(): pass\n");
    watched.agrees();
    watched.until("three batches", || watched.batches().len() >= 4);
    let told: Vec<String> = watched
        .batches()
        .iter()
        .map(|batch| {
            let files: Vec<String> = batch
                .files
                .iter()
                .map(|(path, change)| format!("{path} {change:?}"))
                .collect();
            format!("{:?}: {}", batch.cause, files.join(", "))
        })
        .collect();
    assert_eq!(
        told,
        [
            "Start: ",
            "Events: a.py Added",
            "Events: a.py Removed, b.py Added",
            "Events: b.py Changed",
        ]
    );
    let last = watched.batches().pop().unwrap();
    assert_eq!(last.cause, WatchCause::Events);
    assert_eq!(last.position, watched.store_head());
    assert!(last.duration >= debounce, "{:?}", last.duration);
}
