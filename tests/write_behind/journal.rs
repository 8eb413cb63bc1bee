//! The journal as a file: whose it is, and what happens when it is not what it was.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use cardex::kv::write_behind::{WriteBehind, WriteBehindOptions};
use cardex::{ErrorKind, HealthState, SystemClock};
use rusqlite::Connection;

use crate::sinks::{Act, Scripted};
use crate::*;

fn try_open(file: &Path) -> cardex::Result<WriteBehind> {
    let sink = Scripted::applying();
    WriteBehind::open(file, quick(), sink, Arc::new(SystemClock))
}

/// A journal with so many operations in it.
fn filled(operations: u64) -> Place {
    let place = Place::new();
    let journal = place.open(quick(), Scripted::new(|_| Act::Vanish));
    for n in 0..operations {
        journal
            .write(&key(&format!("k{n}")), Some(vec![b'x'; 300].into()), n)
            .unwrap();
    }
    assert_eq!(journal.shutdown() as u64, operations);
    drop(journal);
    place
}

fn refused(file: &Path) -> ErrorKind {
    let error = try_open(file).map(drop).unwrap_err();
    assert!(error.to_string().contains("writes.journal"), "{error}");
    error.kind()
}

#[test]
fn one_write_behind_owns_a_journal() {
    let place = Place::new();
    let first = place.open(quick(), Scripted::applying());
    assert_eq!(refused(&place.file()), ErrorKind::DatabaseBusy);
    assert_eq!(
        WriteBehind::set_aside(place.file()).unwrap_err().kind(),
        ErrorKind::DatabaseBusy
    );
    drop(first);
    try_open(&place.file()).unwrap();
}

#[cfg(unix)]
#[test]
fn a_journal_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = filled(1);
    let mode = std::fs::metadata(place.file())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_damaged_journal_is_refused_left_as_it_is_and_set_aside_on_demand() {
    for damage in ["truncated", "overwritten", "emptied", "deleted", "text"] {
        let place = filled(200);
        let file = place.file();
        let open = || std::fs::File::options().write(true).open(&file).unwrap();
        let length = open().metadata().unwrap().len();
        match damage {
            "truncated" => open().set_len(length / 2).unwrap(),
            "overwritten" => open().write_all_at(&[0; 8192], length - 16_384).unwrap(),
            "emptied" => open().set_len(0).unwrap(),
            "deleted" => std::fs::remove_file(&file).unwrap(),
            _ => std::fs::write(&file, "no journal at all, and long enough".repeat(99)).unwrap(),
        }
        for _ in 0..2 {
            assert_eq!(refused(&file), ErrorKind::DatabaseCorrupt, "{damage}");
        }
        let error = try_open(&file).map(drop).unwrap_err();
        assert!(
            error.help().unwrap().contains("set_aside"),
            "{damage}: {error}"
        );
        if damage == "deleted" {
            // An empty file took its name: that is no journal either.
            assert_eq!(std::fs::metadata(&file).unwrap().len(), 0);
        }
        let before = std::fs::read(&file).unwrap();
        let aside = WriteBehind::set_aside(&file).unwrap();
        assert_eq!(std::fs::read(aside).unwrap(), before, "{damage}");
        let journal = try_open(&file).unwrap();
        assert_eq!(journal.stats().replayed, 0);
    }
}

#[test]
fn a_journal_that_lost_its_log_is_refused() {
    let (place, copy) = (Place::new(), Place::new());
    let journal = place.open(quick(), Scripted::new(|_| Act::Vanish));
    for n in 0..10 {
        journal
            .write(&key(&format!("k{n}")), bytes("1"), n)
            .unwrap();
    }
    // As after a kill, but for the log.
    for name in ["writes.journal", "writes.journal.lock"] {
        std::fs::copy(place.0.path().join(name), copy.0.path().join(name)).unwrap();
    }
    assert_eq!(refused(&copy.file()), ErrorKind::DatabaseCorrupt);
    for name in [
        "writes.journal",
        "writes.journal-wal",
        "writes.journal.lock",
    ] {
        std::fs::copy(place.0.path().join(name), copy.0.path().join(name)).unwrap();
    }
    assert_eq!(try_open(&copy.file()).unwrap().stats().replayed, 10);
}

#[test]
fn an_operation_that_is_not_what_was_written_is_refused_not_delivered() {
    for sql in [
        "UPDATE operations SET value = x'00' WHERE number = 3",
        "UPDATE operations SET key = 'other' WHERE number = 3",
        "UPDATE operations SET version = version + 1 WHERE number = 3",
        "UPDATE operations SET value = NULL WHERE number = 3",
        "UPDATE operations SET number = 99 WHERE number = 3",
        "UPDATE journal SET id = randomblob(16)",
        "DROP TABLE dead_letters",
    ] {
        let place = filled(5);
        let conn = Connection::open(place.file()).unwrap();
        conn.execute_batch(sql).unwrap();
        drop(conn);
        assert_eq!(refused(&place.file()), ErrorKind::DatabaseCorrupt, "{sql}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_an_error_or_changes_nothing() {
    let place = filled(40);
    let file = place.file();
    let whole = std::fs::read(&file).unwrap();
    let marker = std::fs::read(place.0.path().join("writes.journal.lock")).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut refused = 0;
    for _ in 0..300 {
        let copy = Place::new();
        let mut bytes = whole.clone();
        let at = random.usize(..bytes.len());
        bytes[at] ^= 1 << random.u32(..8);
        std::fs::write(copy.file(), &bytes).unwrap();
        std::fs::write(copy.0.path().join("writes.journal.lock"), &marker).unwrap();
        let sink = Scripted::applying();
        let opened = WriteBehind::open(copy.file(), quick(), sink.clone(), Arc::new(SystemClock));
        match opened {
            Err(error) => {
                assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::DatabaseCorrupt | ErrorKind::SchemaTooNew | ErrorKind::Database
                    ),
                    "{error:?}"
                );
                refused += 1;
            }
            Ok(journal) => {
                assert_eq!(journal.flush(LONG), 0);
                let applied = sink.applied.lock().unwrap();
                assert_eq!(applied.len(), 40, "byte {at}");
                for (n, operation) in applied.iter().enumerate() {
                    assert_eq!(operation.key, key(&format!("k{n}")), "byte {at}");
                    assert_eq!(
                        operation.value.as_deref(),
                        Some(&[b'x'; 300][..]),
                        "byte {at}"
                    );
                }
            }
        }
    }
    println!("{refused} of 300 refused");
    assert!(refused > 30);
}

#[test]
fn another_database_and_a_newer_journal_are_refused() {
    let place = Place::new();
    let conn = Connection::open(place.file()).unwrap();
    conn.execute_batch("CREATE TABLE mine (x)").unwrap();
    drop(conn);
    assert_eq!(refused(&place.file()), ErrorKind::DatabaseCorrupt);
    let place = filled(1);
    let conn = Connection::open(place.file()).unwrap();
    conn.execute_batch("PRAGMA user_version = 2").unwrap();
    drop(conn);
    assert_eq!(refused(&place.file()), ErrorKind::SchemaTooNew);
}

#[test]
fn a_journal_that_is_replaced_while_it_is_open_accepts_nothing_more() {
    let (place, sink) = (Place::new(), Scripted::applying());
    let journal = place.open(quick(), sink);
    journal.write(&key("a"), bytes("1"), 1).unwrap();
    assert_eq!(journal.flush(LONG), 0);
    std::fs::remove_file(place.file()).unwrap();
    let error = journal.write(&key("a"), bytes("2"), 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatabaseCorrupt);
    assert_eq!(journal.health().state, HealthState::Unhealthy);
    assert_eq!(journal.pending(&key("a")), None);
}

#[test]
fn numbers_are_never_given_twice() {
    let place = Place::new();
    let mut last = 0;
    for n in 0..5 {
        let journal = place.open(WriteBehindOptions::default(), Scripted::applying());
        for _ in 0..3 {
            let id = journal.write(&key("a"), None, n).unwrap();
            assert!(id.number > last, "{id} after {last}");
            last = id.number;
        }
        assert_eq!(journal.shutdown(), 0);
    }
}

/// Mounts a small file system for as long as it lives; `None` where this user may not.
struct Small(std::path::PathBuf);

impl Small {
    fn at(place: &Path) -> Option<Self> {
        let mut mount = std::process::Command::new("mount");
        let mount = mount
            .args(["-t", "tmpfs", "-o", "size=1m", "small"])
            .arg(place);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        is_mounted.then(|| Small(place.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let mut umount = std::process::Command::new("umount");
        drop(umount.arg("-l").arg(&self.0).output());
    }
}

#[test]
fn a_full_disk_acknowledges_nothing_and_loses_nothing() {
    let place = Place::new();
    let Some(_mount) = Small::at(place.0.path()) else {
        let told = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!(
                "NOT TESTED: this user may not mount a file system; run the tests as root\n"
            ),
        );
        return told.unwrap();
    };
    let journal = place.open(quick(), Scripted::new(|_| Act::Vanish));
    let ballast = place.0.path().join("ballast");
    let mut taken = Vec::new();
    for n in 0..10 {
        taken.push(journal.write(&key(&format!("k{n}")), Some(vec![b'x'; 300].into()), n));
    }
    let filled = std::fs::write(&ballast, vec![0; 1 << 20]);
    assert!(filled.is_err(), "the disk is full");
    let mut refused = 0;
    for n in 10..60 {
        let written = journal.write(&key(&format!("k{n}")), Some(vec![b'x'; 5000].into()), n);
        if let Err(error) = &written {
            assert_eq!(error.kind(), ErrorKind::Database, "{error:#}");
            assert_eq!(journal.pending(&key(&format!("k{n}"))), None);
            assert_eq!(journal.health().state, HealthState::Unhealthy);
            refused += 1;
        }
        taken.push(written);
    }
    assert!(refused > 0);
    std::fs::remove_file(ballast).unwrap();
    let last = journal.write(&key("last"), bytes("1"), 60);
    let accepted: Vec<_> = taken.into_iter().chain([last]).flatten().collect();
    assert!(accepted.len() >= 11);
    drop(journal);
    let sink = Scripted::applying();
    let journal = place.open(quick(), sink.clone());
    assert_eq!(journal.flush(LONG), 0);
    let seen: Vec<_> = sink.seen.lock().unwrap().iter().map(|one| one.id).collect();
    assert_eq!(seen, accepted);
    drop(journal);
}
