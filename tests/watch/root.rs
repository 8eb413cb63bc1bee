//! A root that goes and comes back.

use std::fs;

use cardex::HealthState;

use crate::support::{Watched, write};

fn is_lost(watched: &Watched) -> bool {
    let health = watched.watcher.health();
    health.state == HealthState::Unhealthy && health.reasons[0].code == "not-found"
}

fn full() -> Watched {
    let watched = Watched::new();
    watched.write("a.py", "def a(): pass\n");
    watched.write("d/b.py", "def b(): pass\n");
    watched.holds(&["a.py", "d/b.py"]);
    assert_eq!(watched.watcher.health().state, HealthState::Healthy);
    watched
}

#[test]
fn a_root_that_is_moved_away_takes_no_record_and_is_watched_again_when_it_is_back() {
    let watched = full();
    let away = watched.place.path().join("away");
    fs::rename(watched.root(), &away).unwrap();
    watched.until("that it is gone", || is_lost(&watched));
    assert_eq!(watched.paths(), ["a.py", "d/b.py"]);
    fs::remove_file(away.join("a.py")).unwrap();
    write(&away, "d/c.py", "def c(): pass\n");
    fs::rename(&away, watched.root()).unwrap();
    watched.holds(&["d/b.py", "d/c.py"]);
    watched.until("health", || {
        watched.watcher.health().state == HealthState::Healthy
    });
    watched.write("d/e.py", "def e(): pass\n");
    watched.holds(&["d/b.py", "d/c.py", "d/e.py"]);
    watched.agrees();
}

#[test]
fn a_directory_above_the_root_that_is_moved_away_is_noticed_without_an_event() {
    let watched = full();
    let (inner, outer) = (
        watched.place.path().join("tree"),
        watched.place.path().join("gone"),
    );
    // The same for who watches the tree: its name leads nowhere.
    fs::rename(&inner, &outer).unwrap();
    watched.until("that it is gone", || is_lost(&watched));
    fs::create_dir(&inner).unwrap();
    // Another directory, and an empty one: perhaps what was mounted there is missing.
    watched.until("that it is empty", || {
        let health = watched.watcher.health();
        health
            .reasons
            .iter()
            .any(|reason| reason.message.contains("is empty"))
            || is_lost(&watched)
    });
    assert_eq!(watched.paths(), ["a.py", "d/b.py"]);
    write(&inner, "new.py", "def n(): pass\n");
    watched.holds(&["new.py"]);
    watched.agrees();
}

#[test]
fn a_root_that_is_removed_and_made_anew_is_watched_as_it_is_then() {
    let watched = full();
    // What is deleted file by file may be seen to go; what is left when the root goes is not.
    fs::remove_dir_all(watched.root()).unwrap();
    watched.until("that it is gone", || is_lost(&watched));
    let fresh = watched.place.path().join("fresh");
    write(&fresh, "x.py", "def x(): pass\n");
    fs::rename(&fresh, watched.root()).unwrap();
    watched.holds(&["x.py"]);
    watched.write("y.py", "def y(): pass\n");
    watched.holds(&["x.py", "y.py"]);
    watched.agrees();
}

#[test]
fn an_index_run_whose_tree_vanishes_removes_nothing() {
    use cardex::extract::{ScanOptions, Scanner};
    use std::sync::atomic::AtomicBool;

    let watched = full();
    watched.watcher.stop();
    let scanner = Scanner::open(&watched.root(), ScanOptions::default()).unwrap();
    fs::rename(watched.root(), watched.place.path().join("away")).unwrap();
    fs::create_dir(watched.root()).unwrap();
    let never = AtomicBool::new(false);
    let error = cardex::index_tree(&*watched.store, &scanner, &never, |_| {}).unwrap_err();
    assert_eq!(error.code(), "not-found", "{error}");
    assert_eq!(watched.paths(), ["a.py", "d/b.py"]);
}
