//! Records that change, with nobody telling of it.

use std::sync::Arc;
use std::time::Duration;

use cardex::bus::{FileChanges, InvalidationBus};
use cardex::store::{MetadataStore, SqliteOptions, SqliteStore, Write};
use cardex::tier::{Key, Lifetime};
use cardex::{Cache, FilePath, Freshness, Scope, SystemClock};

use crate::gated_store::wait_until;
use crate::project::{Project, database, record, source};

fn answered(text: &str, made: usize) -> (String, usize) {
    (text.to_owned(), made)
}

#[test]
fn a_result_is_made_anew_when_the_record_of_its_file_changed_went_or_came() {
    let home = tempfile::tempdir().unwrap();
    let project = Project::new(home.path());
    assert_eq!(project.language("a"), answered("none", 1));
    assert_eq!(project.language("a"), answered("none", 1), "also a result");
    project.put("a", "rust");
    assert_eq!(project.language("a"), answered("rust", 2));
    assert_eq!(project.language("a"), answered("rust", 2));
    project.put("a", "go");
    assert_eq!(project.language("a"), answered("go", 3));
    project.remove("a");
    assert_eq!(project.language("a"), answered("none", 4));
    project.put("a", "go");
    assert_eq!(project.language("a"), answered("go", 5));
    assert_eq!(project.results.derived_stats().outdated, 4);
}

#[test]
fn whoever_changes_the_record_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let project = Project::new(home.path());
    project.put("src/a", "rust");
    assert_eq!(project.list("src").1, 1);
    project.sql("UPDATE documents SET language = 'go'");
    assert_eq!(project.list("src"), answered("src/a go", 2));
    project
        .sql("INSERT INTO functions (document_id, ordinal, name) SELECT id, 0, 'f' FROM documents");
    assert_eq!(project.list("src").1, 3, "a row of it counts as well");
    project.sql("UPDATE documents SET path = 'lib/a'");
    assert_eq!(project.list("src"), answered("", 4));
    assert_eq!(project.language("lib/a"), answered("go", 5));
}

#[test]
fn a_directory_is_about_what_is_below_it_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let project = Project::new(home.path());
    for path in ["src/a", "src/deep/b", "srcs/c", "docs/d"] {
        project.put(path, "rust");
    }
    let (_, made) = project.list("src");
    for unrelated in ["srcs/c", "docs/d", "src.rs", "src-old/a", "a/src/b", "sr"] {
        project.put(unrelated, "go");
        assert_eq!(project.list("src").1, made, "{unrelated}");
    }
    project.put("src/new", "go");
    assert!(project.list("src").0.contains("src/new go"));
    project.put("src/deep/er/f", "go");
    assert!(project.list("src").0.contains("src/deep/er/f go"));
    project.remove("src/deep/b");
    assert!(!project.list("src").0.contains("src/deep/b"));
    // Renamed, as one commit.
    let store = project.cardex.store();
    let renamed = [
        Write::Remove(FilePath::new("src/a").unwrap()),
        Write::Put(record("src/z", "rust")),
    ];
    store.write(&renamed).unwrap();
    let (list, made_at_last) = project.list("src");
    assert!(
        !list.contains("src/a ") && list.contains("src/z rust"),
        "{list}"
    );
    assert_eq!(made_at_last, made + 4);
    assert_eq!(project.list("src").1, made_at_last);
}

#[test]
fn the_root_is_everything_of_the_project_and_nothing_of_another_one() {
    let home = tempfile::tempdir().unwrap();
    let project = Project::new(home.path());
    let other = SqliteStore::open(database(home.path()), "other", SqliteOptions::default());
    let other = other.unwrap();
    project.put("a", "rust");
    assert_eq!(project.list("."), answered("a rust", 1));
    assert_eq!(project.language("a"), answered("rust", 2));
    for n in 0..3 {
        other.put(&record("a", &format!("l{n}"))).unwrap();
        other.put(&record("src/b", "go")).unwrap();
        assert_eq!(project.list("."), answered("a rust", 2));
        assert_eq!(project.language("a"), answered("rust", 2));
    }
    project.put("b", "go");
    assert_eq!(project.list("."), answered("a rust, b go", 3));
}

#[test]
fn what_is_made_while_its_file_changes_is_not_kept() {
    let home = tempfile::tempdir().unwrap();
    let project = Project::new(home.path());
    project.put("a", "rust");
    let made = project.run("a", &["a"], |_| {
        let was = project.now("a");
        project.put("a", "go");
        was
    });
    assert_eq!(made.unwrap(), "rust", "to who made it");
    assert_eq!(project.language("a"), answered("go", 2));
    // It comes and goes, and the log forgets that.
    let made = project.run("b", &["b"], |_| {
        project.put("b", "go");
        project.sync();
        let was = project.now("b");
        project.remove("b");
        let store = SqliteStore::open(database(&project.home), "default", SqliteOptions::default());
        assert_eq!(store.unwrap().prune_log(0).unwrap(), 1);
        was
    });
    assert_eq!(made.unwrap(), "go");
    assert_eq!(project.language("b").0, "none");
}

#[test]
fn a_file_that_was_deleted_and_forgotten_by_the_log_is_missed() {
    let home = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(database(home.path()), "default", SqliteOptions::default());
    let store = store.unwrap();
    let project = Project::durable(home.path());
    // The directory's last change is not the one that goes.
    for path in ["src/a", "src/b", "lib/c"] {
        project.put(path, "rust");
    }
    assert_eq!(project.list("src"), answered("src/a rust, src/b rust", 1));
    assert_eq!(project.language("lib/c").1, 2);
    drop(project);
    let project = Project::durable(home.path());
    project.remove("src/a");
    store.prune_log(0).unwrap();
    assert_eq!(project.list("src"), answered("src/b rust", 1));
    assert_eq!(project.list("src"), answered("src/b rust", 1));
    assert_eq!(project.language("lib/c").1, 2, "which is older than that");
    assert_eq!(project.language("lib/c").1, 2);
    // What changed after what is forgotten is known to be what it was.
    project.put("old", "go");
    project.remove("old");
    project.put("new", "go");
    assert_eq!(project.language("new").1, 3);
    drop(project);
    store.prune_log(0).unwrap();
    let project = Project::durable(home.path());
    assert_eq!(project.language("new"), answered("go", 0));
    assert_eq!(project.list("src").1, 1, "this is older");
}

#[test]
fn results_of_results_leave_with_the_record_that_they_came_from() {
    let home = tempfile::tempdir().unwrap();
    let project = Project::new(home.path());
    let twice = |path: &str| {
        let text = project.run(&format!("twice:{path}"), &[], |making| {
            let (key, from) = (Key::new(path)?, [source(path)]);
            let once = making.run(&key, Lifetime::Default, &from, |_| project.now(path))?;
            Ok(format!("{once} {once}"))
        });
        (text.unwrap(), project.made())
    };
    project.put("a", "rust");
    project.put("b", "rust");
    assert_eq!(twice("a"), answered("rust rust", 1));
    assert_eq!(twice("b"), answered("rust rust", 2));
    assert_eq!(twice("a").1, 2);
    project.put("a", "go");
    assert_eq!(twice("a"), answered("go go", 3));
    assert_eq!(twice("b").1, 3);
    // Told of a change, they leave before anybody asks.
    let bus = InvalidationBus::new(Arc::new(SystemClock)).unwrap();
    bus.subscribe(Arc::new(project.results.clone())).unwrap();
    let now = project.cardex.snapshot().unwrap().position();
    let _follows = FileChanges::follow(&project.cardex, now, Arc::clone(&bus)).unwrap();
    project.put("a", "c");
    wait_until("both results of a have left", || {
        project.results.usage().entries == 2
    });
    assert_eq!(twice("b").1, 3);
    let path = FilePath::new("b").unwrap();
    assert_eq!(project.results.invalidate(&Scope::Path(path)).unwrap(), 2);
}

#[test]
fn as_long_as_the_log_stands_still_nothing_is_read_and_then_once_for_all() {
    let home = tempfile::tempdir().unwrap();
    let (project, store) = Project::gated(home.path(), Freshness::Latest);
    for n in 0..50 {
        project.put(&format!("d{}/f{n}", n % 5), "rust");
    }
    let ask = || {
        for n in 0..50 {
            project.language(&format!("d{}/f{n}", n % 5));
        }
        for directory in ["d0", "d1", "d2", "d3", "d4"] {
            project.list(directory);
        }
        project.made()
    };
    let made = ask();
    assert_eq!(made, 55);
    let read = store.traced();
    assert!(read <= 2 * made, "{read} reads for {made} sources");
    assert_eq!((ask(), store.traced()), (made, read));
    project.put("elsewhere", "rust");
    assert_eq!((ask(), store.traced()), (made, read + 1));
    project.put("d0/f0", "go");
    assert_eq!((ask(), store.traced()), (made + 2, read + 2));
}

#[test]
fn a_result_of_many_sources_takes_as_many_looks_at_the_log_as_one_of_one() {
    let home = tempfile::tempdir().unwrap();
    let (project, store) = Project::gated(home.path(), Freshness::Latest);
    let names: Vec<String> = (0..50).map(|n| format!("d{}/f{n}", n % 5)).collect();
    names.iter().for_each(|name| project.put(name, "rust"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let looks = |key: &str, sources: &[&str]| {
        let (before, made) = (store.looks(), project.made());
        let kept = project.run(key, sources, |_| project.now("d0/f0")).unwrap();
        assert_eq!(kept, project.now("d0/f0").unwrap());
        (store.looks() - before, project.made() - made)
    };
    assert_eq!(
        (looks("one", &names[..1]).1, looks("all", &names).1),
        (1, 1)
    );
    let (one, all) = (looks("one", &names[..1]), looks("all", &names));
    assert!(one.0 > 0, "the log is looked at");
    assert_eq!((one.1, all), (0, one));
    // The last of them is still asked for.
    project.put(names[49], "go");
    assert_eq!(
        (looks("one", &names[..1]).1, looks("all", &names).1),
        (0, 1)
    );
}

#[test]
fn an_answer_is_as_fresh_as_was_demanded() {
    let home = tempfile::tempdir().unwrap();
    for freshness in [
        Freshness::Cached,
        Freshness::MaxAge(Duration::from_secs(3600)),
    ] {
        let (project, store) = Project::gated(home.path(), freshness);
        project.put("a", "rust");
        project.sync();
        assert_eq!(project.language("a"), answered("rust", 1));
        project.put("a", "go");
        assert_eq!(project.language("a"), answered("rust", 1), "{freshness}");
        store.set_deaf(true);
        assert_eq!(project.language("a"), answered("rust", 1), "{freshness}");
        store.set_deaf(false);
        project.sync();
        assert_eq!(project.language("a"), answered("go", 2), "{freshness}");
    }
    let (project, store) = Project::gated(home.path(), Freshness::Latest);
    project.put("a", "rust");
    project.sync();
    assert_eq!(project.language("a"), answered("rust", 1));
    store.set_deaf(true);
    assert_eq!(project.language("a").1, 2, "nobody knows whether it is so");
    assert_eq!(project.language("a").1, 3);
    store.set_deaf(false);
    project.language("a");
    let made = project.made();
    assert_eq!(project.language("a").1, made);
}

#[test]
fn no_result_is_made_from_an_index_that_is_behind_what_is_known_of_its_file() {
    let home = tempfile::tempdir().unwrap();
    let (project, _) = Project::gated(home.path(), Freshness::Cached);
    project.put("a", "rust");
    project.sync();
    project.put("a", "go");
    // The log, which is read for the first time, has it; the index has not.
    assert_eq!(project.below(".").unwrap(), "a rust");
    assert_eq!(project.list("."), answered("a go", 1));
    project.sync();
    assert_eq!(project.list("."), answered("a go", 1));
}
