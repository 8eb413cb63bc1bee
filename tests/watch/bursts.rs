//! Many files at once.

use std::fs;
use std::path::Path;
use std::process::Command;

use cardex::watch::WatchOptions;

use crate::support::{Watched, burst, write};

#[test]
fn a_burst_of_files_is_brought_in_and_goes_again() {
    let watched = Watched::new();
    for file in 0..burst() {
        watched.write(
            &format!("d{}/f{file}.py", file % 50),
            &format!("def f{file}(): pass\n"),
        );
    }
    watched.agrees();
    assert_eq!(watched.paths().len(), burst());
    fs::remove_dir_all(watched.at("d7")).unwrap();
    for file in 0..burst() / 10 {
        watched.write(&format!("d0/f{}.py", file * 50), "def other(): pass\n");
    }
    watched.agrees();
}

#[test]
fn more_paths_than_may_wait_become_directories_and_are_brought_in_all_the_same() {
    let options = WatchOptions::default().max_pending(8);
    let watched = Watched::with(options, |_| {});
    for file in 0..500 {
        watched.write(&format!("d{}/e/f{file}.py", file % 20), "def f(): pass\n");
    }
    watched.agrees();
    assert!(watched.watcher.stats().overflows > 0);
}

fn git(root: &Path, args: &[&str]) {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "-c",
            "gc.auto=0",
        ])
        .args(args)
        .current_dir(root)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
}

#[test]
fn a_checkout_of_thousands_of_files_there_and_back() {
    let files = burst() / 5;
    let watched = Watched::with(WatchOptions::default(), |root| {
        git(root, &["init", "-q", "-b", "one"]);
        for file in 0..files {
            let path = format!("src/m{}/f{file}.py", file % 40);
            write(root, &path, &format!("def f{file}(): pass\n"));
        }
        git(root, &["add", "-A"]);
        git(root, &["commit", "-qm", "one"]);
        git(root, &["checkout", "-qb", "two"]);
        for file in 0..files {
            let path = format!("src/m{}/f{file}.py", file % 40);
            match file % 4 {
                0 => fs::remove_file(root.join(path)).unwrap(),
                1 => write(root, &path, &format!("def g{file}(): pass\n")),
                2 => write(
                    root,
                    &format!("lib/n{}/f{file}.py", file % 30),
                    "class C: pass\n",
                ),
                _ => {}
            }
        }
        write(root, ".gitignore", "m3/\n");
        git(root, &["add", "-A"]);
        git(root, &["commit", "-qm", "two"]);
        git(root, &["checkout", "-q", "one"]);
    });
    watched.agrees();
    for branch in ["two", "one", "two"] {
        git(&watched.root(), &["checkout", "-q", branch]);
        watched.agrees();
    }
}
