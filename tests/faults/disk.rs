//! The disk: full, read-only, and with damaged contents.

use std::path::{Path, PathBuf};
use std::process::Command;

use cardex::ErrorKind;
use cardex::store::SqliteStore;

use crate::victim::*;

#[test]
fn a_database_cut_short_is_damaged_until_a_good_one_is_back() {
    let mut victim = Victim::new();
    let (good, cut) = (victim.beside("good"), victim.beside("cut"));
    copy(&victim.file, &good);
    copy(&victim.file, &cut);
    let length = std::fs::metadata(&cut).unwrap().len();
    let file = std::fs::OpenOptions::new().write(true).open(&cut).unwrap();
    file.set_len(length / 2).unwrap();
    put_in_place(&cut, &victim.file);
    victim.during(&[ErrorKind::DatabaseCorrupt]);
    put_in_place(&good, &victim.file);
    victim.after(LATER);
}

#[test]
fn a_database_cut_short_while_it_is_open_is_damaged_until_it_is_whole_again() {
    for length in ["0", "100", "8192"] {
        let mut victim = Victim::new();
        victim.sql("PRAGMA wal_checkpoint(TRUNCATE)");
        let good = victim.beside("good");
        copy(&victim.file, &good);
        run("truncate", &["-s", length, victim.file.to_str().unwrap()]);
        victim.during(&[ErrorKind::DatabaseCorrupt]);
        put_in_place(&good, &victim.file);
        victim.after(LATER);
    }
}

/// Overwrites the first pages of two tables, by another process: closing the file in this one would
/// give up the locks of its connections.
fn damage(file: &Path) {
    let roots = "SELECT rootpage FROM sqlite_schema WHERE name IN ('documents', 'functions')";
    for page in sqlite3(file, roots).lines() {
        let sector = (page.parse::<u64>().unwrap() - 1) * 4096 / 512;
        let (to, seek) = (format!("of={}", file.display()), format!("seek={sector}"));
        let arguments = [
            "if=/dev/zero",
            &to,
            "bs=512",
            &seek,
            "count=1",
            "conv=notrunc",
        ];
        run("dd", &arguments);
    }
}

#[test]
fn a_database_with_damaged_pages_is_an_error_until_a_good_one_is_back() {
    let mut victim = Victim::new();
    let (good, bad) = (victim.beside("good"), victim.beside("bad"));
    copy(&victim.file, &good);
    copy(&victim.file, &bad);
    damage(&bad);
    put_in_place(&bad, &victim.file);
    victim.during(&[ErrorKind::DatabaseCorrupt]);
    put_in_place(&good, &victim.file);
    victim.after(LATER);
}

/// Pages that were read before may still be known; nobody has changed anything since.
#[test]
fn pages_that_are_damaged_under_an_open_database_are_an_error_and_nothing_else() {
    let mut victim = Victim::new();
    victim.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    let good = victim.beside("good");
    copy(&victim.file, &good);
    damage(&victim.file);
    let check = SqliteStore::check_file(&victim.file);
    assert!(check.is_err() || !check.unwrap().is_empty());
    let mut failures = 0;
    for (name, wanted) in &victim.records {
        match victim.cache.get(&path(name)) {
            Ok(found) => assert_eq!(found.as_deref(), Some(wanted), "{name}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::DatabaseCorrupt, "{error:#}");
                assert!(format!("{error:#}").contains("project.db"), "{error:#}");
                failures += 1;
            }
        }
    }
    match victim.cache.rebuild() {
        Ok(report) => assert_eq!((report.files, failures), (FILES as u64, 0)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::DatabaseCorrupt, "{error:#}"),
    }
    assert_eq!(victim.answers(&victim.held), victim.held);
    put_in_place(&good, &victim.file);
    victim.after(LATER);
}

/// Mounts something for as long as it lives; `None` where this user may not.
struct Mount(PathBuf);

impl Mount {
    fn new(arguments: &[&str], at: &Path) -> Option<Self> {
        let mount = Command::new("mount").args(arguments).arg(at).output();
        let is_mounted = mount.is_ok_and(|output| output.status.success());
        is_mounted.then(|| Mount(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).output());
    }
}

#[test]
fn a_full_disk_refuses_writes_and_loses_none() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("small");
    std::fs::create_dir(&place).unwrap();
    let arguments = ["-t", "tmpfs", "-o", "size=1m", "small"];
    let Some(_mount) = Mount::new(&arguments, &place) else {
        left_out("this user may not mount a small file system");
        return;
    };
    let mut victim = Victim::at(directory, &place);
    let ballast = victim.beside("ballast");
    let filled = Command::new("dd")
        .args(["if=/dev/zero", "bs=4096"])
        .arg(format!("of={}", ballast.display()))
        .output()
        .unwrap();
    assert!(!filled.status.success(), "the disk is full");
    // The log that is there already may have room for few more.
    let (mut taken, mut refused) = (Vec::new(), 0);
    for at in 0..40 {
        let name = format!("g{at:03}");
        let mut big = record(&name, "ada", "big");
        big.header_sections.intent = Some("much ".repeat(10_000));
        match victim.cache.update(&big) {
            Ok(_) => taken.push(name),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Database, "{error:#}");
                assert!(format!("{error:#}").contains("project.db"), "{error:#}");
                assert!(victim.cache.get(&path(&name)).unwrap().is_none());
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    // It can be read all the while.
    let wanted = facts_of(&victim.connect());
    victim.assert_exact(&wanted);
    std::fs::remove_file(ballast).unwrap();
    victim.after(SOON);
    for name in taken {
        assert!(victim.records.contains_key(&name), "{name}");
    }
    assert!(!victim.records.contains_key("g039"));
}

/// What was open before can be written to all the same; what comes then cannot. The place is a window
/// on a directory: what is done there while the window is closed is seen only once it is open again.
#[test]
fn a_database_on_a_read_only_file_system_is_an_error_until_it_can_be_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let [real, place] = ["real", "place"].map(|name| directory.path().join(name));
    std::fs::create_dir(&real).unwrap();
    std::fs::create_dir(&place).unwrap();
    let look = |how: &[&str]| {
        let arguments: Vec<&str> = how
            .iter()
            .copied()
            .chain([real.to_str().unwrap()])
            .collect();
        Mount::new(&arguments, &place)
    };
    let Some(window) = look(&["--bind"]) else {
        left_out("this user may not mount a read-only file system");
        return;
    };
    let mut victim = Victim::at(directory, &place);
    copy(&victim.file, &victim.beside("copy"));
    drop(window);
    let file = real.join(victim.file.file_name().unwrap());
    put_in_place(&real.join("copy"), &file);
    let window = look(&["--bind", "-o", "ro"]);
    assert!(window.is_some(), "it could be mounted before");
    victim.during(&[ErrorKind::Database]);
    drop(window);
    let window = look(&["--bind"]);
    assert!(window.is_some(), "it could be mounted before");
    victim.after(LATER);
}

/// Tells of a fault that cannot be made here: past the harness, which keeps to itself what a test that
/// passes prints.
fn left_out(reason: &str) {
    let told = std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!("NOT TESTED: {reason}; run the tests as root\n"),
    );
    told.unwrap();
}
