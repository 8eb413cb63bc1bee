//! How editors save.

use std::fs::{self, File};
use std::io::Write;

use crate::support::Watched;

/// Each way of saving: from the file's path, its text to be.
type Save = fn(&Watched, &str, &str);

fn in_place(watched: &Watched, path: &str, text: &str) {
    fs::write(watched.at(path), text).unwrap();
}

/// A new file takes the old one's name.
fn by_rename(watched: &Watched, path: &str, text: &str) {
    let fresh = watched.at(&format!("{path}.tmp~"));
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, watched.at(path)).unwrap();
}

/// As vim does: the old file becomes the backup, a new one is written, the backup goes; and a probe
/// with a number for its name comes and goes before that.
fn by_backup(watched: &Watched, path: &str, text: &str) {
    fs::write(watched.at("4913"), "").unwrap();
    fs::remove_file(watched.at("4913")).unwrap();
    let backup = watched.at(&format!("{path}~"));
    fs::rename(watched.at(path), &backup).unwrap();
    fs::write(watched.at(path), text).unwrap();
    fs::remove_file(backup).unwrap();
}

/// In pieces, each on the disk before the next one.
fn in_pieces(watched: &Watched, path: &str, text: &str) {
    let mut file = File::create(watched.at(path)).unwrap();
    for piece in text.as_bytes().chunks(5) {
        file.write_all(piece).unwrap();
        file.sync_all().unwrap();
    }
}

#[test]
fn a_file_saved_in_any_way_is_brought_in_as_it_is_in_the_end() {
    let ways: [(&str, Save); 4] = [
        ("in place", in_place),
        ("by rename", by_rename),
        ("by backup", by_backup),
        ("in pieces", in_pieces),
    ];
    let watched = Watched::new();
    watched.write("src/a.py", "def first(): pass\n");
    watched.holds(&["src/a.py"]);
    for (way, save) in ways {
        for turn in 0..5 {
            let text = format!("def saved_{turn}_{}(): pass\n", way.replace(' ', "_"));
            save(&watched, "src/a.py", &text);
            watched.agrees();
            assert_eq!(watched.paths(), ["src/a.py"], "{way}");
        }
    }
}

#[test]
fn a_file_that_grows_all_the_time_is_brought_in_before_it_is_done() {
    let watched = Watched::new();
    let mut file = File::create(watched.at("log.md")).unwrap();
    let mut lines = 0;
    watched.until("a first state", || {
        lines += 1;
        writeln!(file, "# Line {lines}").unwrap();
        file.flush().unwrap();
        !watched.paths().is_empty()
    });
    watched.agrees();
}
