//! The file: moved, deleted, replaced, restored.

use std::path::Path;

use cardex::ErrorKind;

use crate::victim::*;

#[test]
fn a_database_that_is_moved_away_is_missed_until_it_is_moved_back() {
    let mut victim = Victim::new();
    let away = |from: &Path, to: &Path| {
        for suffix in ["", "-wal", "-shm"] {
            drop(std::fs::rename(
                with_suffix(from, suffix),
                with_suffix(to, suffix),
            ));
        }
    };
    away(&victim.file, &victim.beside("away"));
    victim.during(&[ErrorKind::Io]);
    away(&victim.beside("away"), &victim.file);
    victim.after(SOON);
}

#[test]
fn a_deleted_database_is_missed_until_a_copy_of_it_is_put_there() {
    let mut victim = Victim::new();
    copy(&victim.file, &victim.beside("copy"));
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(with_suffix(&victim.file, suffix)).unwrap();
    }
    victim.during(&[ErrorKind::Io]);
    assert!(!victim.file.exists(), "a lost database is not made anew");
    std::fs::rename(victim.beside("copy"), &victim.file).unwrap();
    victim.after(LATER);
}

#[test]
fn a_database_renamed_over_ours_takes_its_place() {
    let mut victim = Victim::new();
    let other = victim.beside("other");
    let files = ["f000", "f001", "new"].map(|path| record(path, "perl", "other"));
    write_all(&other, files.into_iter());
    copy(&other, &victim.beside("copy"));
    let before = victim.position;
    put_in_place(&victim.beside("copy"), &victim.file);
    victim.after(LATER);
    assert_ne!(victim.position.epoch, before.epoch);
    assert_eq!(victim.records.len(), 3);
}

#[test]
fn an_older_copy_renamed_over_the_database_takes_its_place() {
    let mut victim = Victim::new();
    copy(&victim.file, &victim.beside("copy"));
    victim.cache.update(&record("f000", "perl", "new")).unwrap();
    victim.cache.remove(&path("f001")).unwrap();
    let before = victim.stats().watermark;
    put_in_place(&victim.beside("copy"), &victim.file);
    victim.after(LATER);
    assert_ne!(victim.position.epoch, before.epoch);
    assert_eq!(victim.records["f000"].language.as_deref(), Some("rust"));
}

#[test]
fn an_older_copy_restored_in_place_is_another_history() {
    let mut victim = Victim::new();
    let older = victim.beside("older");
    copy(&victim.file, &older);
    victim.cache.update(&record("f000", "perl", "new")).unwrap();
    victim.cache.remove(&path("f001")).unwrap();
    let before = victim.stats().watermark;
    sqlite3(&victim.file, &format!(".restore {}", older.display()));
    victim.after(LATER);
    assert_ne!(victim.position.epoch, before.epoch);
    assert_eq!(victim.records["f000"].language.as_deref(), Some("rust"));
}

/// The copy's log is past ours when it is first seen, with other files at our sequences.
#[test]
fn an_older_copy_that_has_overtaken_ours_is_another_history() {
    for in_place in [true, false] {
        let mut victim = Victim::new();
        let older = victim.beside("older");
        copy(&victim.file, &older);
        for language in ["perl", "ada", "lisp"] {
            let newer = record("f000", language, "new");
            victim.cache.update(&newer).unwrap();
        }
        let before = victim.stats().watermark;
        let files = (0..30).map(|at| record(&format!("f{:03}", at + 1), "ada", "overtaken"));
        write_all(&older, files);
        let head = sqlite3(&older, "SELECT max(seq) FROM changes");
        assert!(head.trim().parse::<u64>().unwrap() > before.sequence);
        match in_place {
            true => drop(sqlite3(
                &victim.file,
                &format!(".restore {}", older.display()),
            )),
            false => put_in_place(&older, &victim.file),
        }
        victim.after(LATER);
        assert_ne!(victim.position.epoch, before.epoch);
        assert_eq!(victim.records["f000"].language.as_deref(), Some("rust"));
        assert_eq!(victim.records["f030"].language.as_deref(), Some("ada"));
    }
}

/// SQLite would take the one for the latest pages of the other.
#[test]
fn a_database_beside_the_log_of_another_one_is_not_read_until_that_is_gone() {
    let mut victim = Victim::new();
    victim
        .cache
        .update(&record("f002", "ada", "logged"))
        .unwrap();
    victim.note();
    is_not_read_beside_what_is_left(victim);
}

/// The index of the log is shared memory: whoever shares it takes away the locks of the others when he
/// ends, whichever database they are of.
#[test]
fn a_database_beside_the_shared_memory_of_another_one_is_not_read_until_that_is_gone() {
    let victim = Victim::new();
    victim.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    let log = std::fs::metadata(with_suffix(&victim.file, "-wal")).unwrap();
    assert_eq!(log.len(), 0, "nothing of the log is left");
    is_not_read_beside_what_is_left(victim);
}

/// Puts another database in the place of the victim's, and what lies beside that away only later.
fn is_not_read_beside_what_is_left(mut victim: Victim) {
    let other = victim.beside("other");
    let files = ["f000", "f001", "new"].map(|path| record(path, "perl", "other"));
    write_all(&other, files.into_iter());
    copy(&other, &victim.beside("copy"));
    std::fs::rename(victim.beside("copy"), &victim.file).unwrap();
    victim.during(&[ErrorKind::DatabaseCorrupt]);
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(with_suffix(&victim.file, suffix)).unwrap();
    }
    victim.after(LATER);
    assert_eq!(victim.records.len(), 3);
}
