//! Results that outlive the process, and databases that are not the ones that they came from.

use std::fs;
use std::path::Path;

use cardex::store::{SqliteOptions, SqliteStore};

use crate::project::{Project, database};

const FILES: usize = 20;

fn name(n: usize) -> String {
    format!("d{}/f{n}", n % 4)
}

/// A project with files and a result of each of them and of each directory, in a file; it is not open.
fn written(home: &Path) {
    let project = Project::durable(home);
    for n in 0..FILES {
        project.put(&name(n), "first");
    }
    let _ = ask(&project);
    assert_eq!(project.made(), FILES + 4);
}

/// Asks for everything, and compares each answer with what is so.
fn ask(project: &Project) -> usize {
    project.sync();
    for n in 0..FILES {
        let path = name(n);
        assert_eq!(
            project.language(&path).0,
            project.now(&path).unwrap(),
            "{path}"
        );
    }
    for directory in ["d0", "d1", "d2", "d3"] {
        let now = project.below(directory).unwrap();
        assert_eq!(project.list(directory).0, now, "{directory}");
    }
    project.made()
}

/// Puts the contents of one file into another one, which stays the same file: nobody has it open.
fn overwrite(from: &Path, to: &Path) {
    for suffix in ["-wal", "-shm"] {
        let beside = format!("{}{suffix}", to.display());
        assert!(!Path::new(&beside).exists(), "{beside} is left");
    }
    fs::write(to, fs::read(from).unwrap()).unwrap();
}

#[test]
fn after_a_restart_a_result_is_answered_only_if_its_records_are_as_they_were() {
    let home = tempfile::tempdir().unwrap();
    written(home.path());
    let project = Project::durable(home.path());
    assert_eq!(ask(&project), 0, "all are there");
    for n in (0..FILES).step_by(5) {
        project.put(&name(n), "second");
    }
    drop(project);
    let project = Project::durable(home.path());
    // 0, 5, 10, 15: one in each directory.
    assert_eq!(ask(&project), 4 + 4);
    assert_eq!(ask(&project), 4 + 4);
}

#[test]
fn a_copy_that_was_put_back_has_none_of_the_results_that_came_later() {
    let home = tempfile::tempdir().unwrap();
    written(home.path());
    let older = home.path().join("older.db");
    fs::copy(database(home.path()), &older).unwrap();
    let project = Project::durable(home.path());
    project.put(&name(1), "second");
    project.put(&name(2), "second");
    project.remove(&name(3));
    project.put("d0/new", "second");
    assert_eq!(ask(&project), 3 + 4);
    drop(project);
    // The same file, and the log ends before those results.
    overwrite(&older, &database(home.path()));
    let project = Project::durable(home.path());
    assert!(ask(&project) >= 3 + 4);
}

#[test]
fn a_copy_that_has_overtaken_us_is_told_by_its_nonces() {
    let home = tempfile::tempdir().unwrap();
    written(home.path());
    let older = home.path().join("older.db");
    fs::copy(database(home.path()), &older).unwrap();
    let change = |language: &str, files: &[usize]| {
        let project = Project::durable(home.path());
        for n in files {
            project.put(&name(*n), language);
        }
        project
    };
    let project = change("second", &[1, 2, 3, 5]);
    assert_eq!(ask(&project), 4 + 3);
    drop(project);
    overwrite(&older, &database(home.path()));
    // The same sequences for the same files, and more of them.
    drop(change("third", &[1, 2, 3, 5]));
    drop(change("fourth", &[1, 6]));
    let project = Project::durable(home.path());
    let made = ask(&project);
    assert_eq!(project.language(&name(2)).0, "third");
    // 1, 2, 3, 5 and 6, and the directories that hold them.
    assert_eq!(made, 5 + 3, "what nobody touched in either is still true");
}

/// Two logs that were pruned up to the same sequence may have forgotten different files.
#[test]
fn a_copy_that_was_pruned_as_far_as_ours_has_none_of_the_results_that_came_later() {
    let home = tempfile::tempdir().unwrap();
    let project = Project::durable(home.path());
    for path in ["e/f", "a/d", "a/b/c"] {
        project.put(path, "first");
    }
    drop(project);
    let older = home.path().join("older.db");
    fs::copy(database(home.path()), &older).unwrap();
    let forget = |path: &str| {
        let project = Project::durable(home.path());
        project.remove(path);
        let store = SqliteStore::open(database(home.path()), "default", SqliteOptions::default());
        assert_eq!(store.unwrap().prune_log(0).unwrap(), 1);
        project
    };
    let project = forget("e/f");
    assert_eq!(project.list("a").0, "a/b/c first, a/d first");
    assert_eq!(project.list("b"), (String::new(), 2), "never anything");
    drop(project);
    let project = Project::durable(home.path());
    assert_eq!((project.list("a").1, project.list("b").1), (0, 0), "kept");
    drop(project);
    overwrite(&older, &database(home.path()));
    let project = forget("a/d");
    assert_eq!(project.list("a"), ("a/b/c first".to_owned(), 1));
    assert_eq!(project.list("b"), (String::new(), 2));
    assert_eq!(project.below("e").unwrap(), "e/f first");
}

#[test]
fn another_database_in_the_place_of_ours_has_no_results() {
    let home = tempfile::tempdir().unwrap();
    written(home.path());
    let other = tempfile::tempdir().unwrap();
    written(other.path());
    fs::rename(database(other.path()), database(home.path())).unwrap();
    let project = Project::durable(home.path());
    assert_eq!(ask(&project), FILES + 4, "though all look the same");
    assert_eq!(ask(&project), FILES + 4);
}

#[test]
fn a_log_that_begins_anew_while_it_is_followed_keeps_nothing() {
    let home = tempfile::tempdir().unwrap();
    written(home.path());
    let project = Project::durable(home.path());
    assert_eq!(ask(&project), 0);
    // The same sequences at the same files, and other contents.
    project.sql(
        "BEGIN; UPDATE log_state SET quiet = 1;
         UPDATE documents SET language = 'other';
         CREATE TEMP TABLE log AS SELECT * FROM changes;
         DELETE FROM changes;
         INSERT INTO changes SELECT project_id, path, seq, random() FROM log;
         UPDATE log_state SET quiet = 0; COMMIT;",
    );
    assert_eq!(ask(&project), FILES + 4);
    assert_eq!(project.language(&name(0)).0, "other");
}
