//! Directories that come, go and change their names.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use cardex::watch::WatchOptions;

use crate::support::{Watched, write};

#[test]
fn deep_directories_made_at_once_with_their_files() {
    let watched = Watched::new();
    for tree in 0..20 {
        let path = (0..30)
            .map(|level| format!("l{level}/"))
            .collect::<String>();
        watched.write(&format!("t{tree}/{path}deep.py"), "def deep(): pass\n");
        watched.write(&format!("t{tree}/l0/l1/half.py"), "def half(): pass\n");
    }
    watched.agrees();
    assert_eq!(watched.paths().len(), 40);
    // They are watched to the end.
    let deepest = (0..30)
        .map(|level| format!("l{level}/"))
        .collect::<String>();
    watched.write(&format!("t19/{deepest}deep.py"), "def deeper(): pass\n");
    watched.write(&format!("t3/{deepest}more.py"), "def more(): pass\n");
    watched.agrees();
    assert_eq!(watched.paths().len(), 41);
}

#[test]
fn a_directory_renamed_within_the_root_is_followed_under_its_new_name() {
    let watched = Watched::new();
    watched.write("a/b/c.py", "def c(): pass\n");
    watched.write("a/d.py", "def d(): pass\n");
    watched.holds(&["a/b/c.py", "a/d.py"]);
    for (from, to) in [("a", "z"), ("z/b", "b"), ("b", "z/b"), ("z", "a")] {
        fs::rename(watched.at(from), watched.at(to)).unwrap();
        watched.write(
            &format!("{to}/new.py"),
            &format!("def from_{}(): pass\n", to.len()),
        );
    }
    watched.agrees();
    watched.write("a/b/c.py", "def changed(): pass\n");
    watched.agrees();
    assert_eq!(
        watched.paths(),
        ["a/b/c.py", "a/b/new.py", "a/d.py", "a/new.py"]
    );
}

/// However long it takes to watch what has the new name: far longer than a path waits.
#[test]
fn a_renamed_directory_goes_and_comes_in_one_batch() {
    const EMPTY: usize = 3_000;
    const FILES: usize = 40;
    let debounce = Duration::from_millis(10);
    let options = WatchOptions::default().debounce(debounce).unwrap();
    let watched = Watched::with(options.max_delay(debounce * 2).unwrap(), |root| {
        for directory in 0..EMPTY {
            fs::create_dir_all(root.join(format!("a/e{directory}"))).unwrap();
        }
        for file in 0..FILES {
            write(root, &format!("a/d{file}/f.py"), "def f(): pass\n");
        }
    });
    for (from, to) in [("a", "b"), ("b", "a"), ("a", "c")] {
        let before = watched.batches().len();
        fs::rename(watched.at(from), watched.at(to)).unwrap();
        watched.until("a batch", || watched.batches().len() > before);
        let batch = &watched.batches()[before];
        assert_eq!((batch.added, batch.removed), (FILES as u64, FILES as u64));
        watched.agrees();
    }
}

#[test]
fn directories_that_swap_their_names_again_and_again() {
    let watched = Watched::new();
    for name in ["a", "b"] {
        for file in 0..20 {
            watched.write(
                &format!("{name}/x/f{file}.py"),
                &format!("def {name}{file}(): pass\n"),
            );
        }
    }
    watched.agrees();
    for turn in 0..50 {
        fs::rename(watched.at("a"), watched.at("c")).unwrap();
        fs::rename(watched.at("b"), watched.at("a")).unwrap();
        fs::rename(watched.at("c"), watched.at("b")).unwrap();
        watched.write("a/x/f0.py", &format!("def turn{turn}(): pass\n"));
    }
    watched.agrees();
    watched.write("b/x/f1.py", "def last(): pass\n");
    watched.write("a/x/f1.py", "def last(): pass\n");
    watched.agrees();
}

#[test]
fn a_directory_moved_out_of_the_root_is_gone_and_one_moved_in_is_there() {
    let watched = Watched::new();
    watched.write("in/x.py", "def x(): pass\n");
    watched.write("stays.py", "def s(): pass\n");
    watched.holds(&["in/x.py", "stays.py"]);
    let outside = watched.place.path().join("outside");
    fs::rename(watched.at("in"), &outside).unwrap();
    watched.holds(&["stays.py"]);
    // Nobody follows it there.
    fs::write(outside.join("y.py"), "def y(): pass\n").unwrap();
    fs::rename(&outside, watched.at("back")).unwrap();
    watched.holds(&["back/x.py", "back/y.py", "stays.py"]);
    watched.write("back/x.py", "def again(): pass\n");
    watched.agrees();
}

#[test]
fn a_file_in_the_place_of_a_directory_and_the_other_way() {
    let watched = Watched::new();
    watched.write("x/inner.py", "def i(): pass\n");
    watched.holds(&["x/inner.py"]);
    fs::remove_dir_all(watched.at("x")).unwrap();
    fs::write(watched.at("x"), "text\n").unwrap();
    watched.holds(&["x"]);
    fs::remove_file(watched.at("x")).unwrap();
    watched.write("x/inner.py", "def j(): pass\n");
    watched.holds(&["x/inner.py"]);
    watched.agrees();
}

#[test]
fn links_are_told_of_and_not_followed() {
    let watched = Watched::new();
    let outside = watched.place.path().join("outside");
    write(&outside, "o.py", "def o(): pass\n");
    symlink(&outside, watched.at("link")).unwrap();
    symlink(outside.join("o.py"), watched.at("o.py")).unwrap();
    watched.write("a.py", "def a(): pass\n");
    watched.holds(&["a.py"]);
    fs::write(outside.join("p.py"), "def p(): pass\n").unwrap();
    fs::remove_file(watched.at("o.py")).unwrap();
    watched.write("o.py", "def real(): pass\n");
    watched.holds(&["a.py", "o.py"]);
    watched.agrees();
}

#[test]
fn what_is_made_and_removed_within_a_moment_is_nothing() {
    let watched = Watched::new();
    let before = watched.store_head();
    for turn in 0..50 {
        watched.write(&format!("t{turn}/x.py"), "def x(): pass\n");
        fs::remove_dir_all(watched.at(&format!("t{turn}"))).unwrap();
    }
    watched.write("last.py", "def l(): pass\n");
    watched.holds(&["last.py"]);
    watched.agrees();
    // Mostly they are gone before anybody looks; in no case is one left.
    assert_ne!(watched.store_head(), before);
}

#[test]
fn modes_that_change_are_followed() {
    if rustix::process::geteuid().is_root() {
        eprintln!("run by root: a mode keeps root from nothing, so only its events are looked at");
    }
    let watched = Watched::new();
    watched.write("d/a.py", "def a(): pass\n");
    watched.holds(&["d/a.py"]);
    let mode =
        |mode| fs::set_permissions(watched.at("d"), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    watched.until("rest", || watched.watcher.stats().pending == 0);
    assert_eq!(
        watched.paths(),
        ["d/a.py"],
        "what cannot be read is not gone"
    );
    mode(0o755);
    watched.write("d/b.py", "def b(): pass\n");
    watched.holds(&["d/a.py", "d/b.py"]);
    watched.agrees();
}
