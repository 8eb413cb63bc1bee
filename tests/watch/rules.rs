//! Ignore rules that change.

use std::fs;

use cardex::watch::WatchOptions;

use crate::support::{Watched, write};

#[test]
fn what_a_rule_excludes_goes_and_what_it_includes_comes() {
    let watched = Watched::new();
    for path in ["gen/a.py", "gen/deep/b.py", "src/c.py", "src/d.log.py"] {
        watched.write(path, "def f(): pass\n");
    }
    watched.agrees();
    watched.write(".gitignore", "gen/\n*.log.py\n");
    watched.holds(&[".gitignore", "src/c.py"]);
    // What is excluded is not watched, and what happens there is nothing.
    watched.write("gen/deep/e.py", "def e(): pass\n");
    watched.write("src/.gitignore", "!d.log.py\n");
    watched.holds(&[".gitignore", "src/.gitignore", "src/c.py", "src/d.log.py"]);
    fs::remove_file(watched.at(".gitignore")).unwrap();
    watched.until("all", || watched.paths().len() == 6);
    watched.agrees();
    watched.write("gen/deep/b.py", "def watched_again(): pass\n");
    watched.agrees();
}

#[test]
fn rules_above_the_root_and_those_of_the_repository_count_when_they_change() {
    let watched = Watched::idle(WatchOptions::default(), |_| {});
    fs::create_dir_all(watched.place.path().join(".git/info")).unwrap();
    watched.write("x.py", "def x(): pass\n");
    watched.write("y.py", "def y(): pass\n");
    watched.start();
    watched.holds(&["x.py", "y.py"]);
    write(watched.place.path(), ".gitignore", "/tree/x.py\n");
    watched.holds(&["y.py"]);
    write(watched.place.path(), ".git/info/exclude", "y.py\n");
    watched.holds(&[]);
    fs::remove_file(watched.place.path().join(".gitignore")).unwrap();
    fs::remove_file(watched.place.path().join(".git/info/exclude")).unwrap();
    watched.holds(&["x.py", "y.py"]);
    watched.agrees();
}

#[test]
fn a_repository_that_begins_in_the_tree_ends_the_rules_above_it() {
    let watched = Watched::new();
    fs::create_dir(watched.at(".git")).unwrap();
    watched.write(".gitignore", "*.md\n");
    watched.write("inner/a.md", "# A\n");
    watched.holds(&[".gitignore"]);
    fs::create_dir(watched.at("inner/.git")).unwrap();
    watched.holds(&[".gitignore", "inner/a.md"]);
    watched.agrees();
}

#[test]
fn excluded_directories_and_those_of_version_control_are_not_watched() {
    let watched = Watched::with(WatchOptions::default(), |root| {
        write(root, ".gitignore", "node_modules/\n");
        for module in 0..50 {
            write(root, &format!("node_modules/m{module}/i.js"), "x\n");
            fs::create_dir_all(root.join(format!(".git/objects/{module:02}"))).unwrap();
        }
        fs::create_dir_all(root.join(".cardex")).unwrap();
        write(root, "src/a.py", "def a(): pass\n");
    });
    assert_eq!(watched.watcher.stats().directories, 2);
    let before = watched.watcher.stats().events;
    watched.write("node_modules/m1/i.js", "y\n");
    watched.write(".git/objects/01/x", "y\n");
    watched.write("src/b.py", "def b(): pass\n");
    watched.holds(&[".gitignore", "src/a.py", "src/b.py"]);
    let heard = watched.watcher.stats().events - before;
    assert!(heard <= 4, "{heard} events of one file");
    watched.agrees();
}

#[test]
fn what_is_not_to_be_followed_waits_for_a_look_at_the_whole_tree() {
    let options = WatchOptions::default().ignore(vec!["busy/".to_owned()]);
    let watched = Watched::with(options, |root| write(root, "busy/a.py", "def a(): pass\n"));
    watched.write("busy/b.py", "def b(): pass\n");
    watched.write("c.py", "def c(): pass\n");
    watched.holds(&["busy/a.py", "c.py"]);
    watched.watcher.reconcile();
    watched.holds(&["busy/a.py", "busy/b.py", "c.py"]);
    watched.agrees();
}
