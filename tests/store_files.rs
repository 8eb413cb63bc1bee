//! The database as a file: made for its owner only, refused untouched when it is not ours or newer
//! than we are, and never trusted when its changes may have gone unlogged.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod store_support;

use std::path::Path;
use std::time::{Duration, Instant};

use cardex::store::{MetadataStore, SqliteOptions, SqliteStore};
use cardex::{Error, ErrorKind, FileMetadata};
use rusqlite::Connection;
use store_support::{TestDb, collect, collect_changes, path};

fn refused(file: &Path) -> Error {
    let before = std::fs::read(file).unwrap();
    let error = SqliteStore::open(file, "p", SqliteOptions::default()).unwrap_err();
    assert_eq!(
        std::fs::read(file).unwrap(),
        before,
        "a refused file is left as it was"
    );
    assert!(
        error.to_string().contains(&file.display().to_string()),
        "{error}"
    );
    error
}

#[cfg(unix)]
#[test]
fn file_0600_in_directories_0700_and_what_exists_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let db = TestDb::new();
    std::fs::set_permissions(db.directory(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let file = db.directory().join("new/deeper/x.db");
    let store = SqliteStore::open(&file, "p", SqliteOptions::default()).unwrap();
    store.put(&FileMetadata::new(path("a"))).unwrap();
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&file.with_extension("db-wal")), 0o600);
    assert_eq!(mode(&db.directory().join("new/deeper")), 0o700);
    assert_eq!(mode(&db.directory().join("new")), 0o700);
    assert_eq!(mode(db.directory()), 0o755);
}

#[test]
fn a_newer_schema_is_refused_naming_both_versions() {
    let db = TestDb::new();
    drop(db.open("p"));
    db.sql("PRAGMA user_version = 4711");
    let error = refused(&db.file());
    assert_eq!(error.kind(), ErrorKind::SchemaTooNew);
    assert!(
        error.to_string().contains("4711") && error.to_string().contains("up to 2"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_not_ours_is_refused() {
    let db = TestDb::new();
    std::fs::write(
        db.file(),
        "Dear diary, this is long enough to have a header. ".repeat(40),
    )
    .unwrap();
    assert_eq!(refused(&db.file()).kind(), ErrorKind::DatabaseCorrupt);
    for foreign in [
        "CREATE TABLE t (x)",
        "PRAGMA user_version = 2",
        "PRAGMA application_id = 7",
    ] {
        let db = TestDb::new();
        db.sql(foreign);
        let error = refused(&db.file());
        assert_eq!(error.kind(), ErrorKind::DatabaseCorrupt, "{foreign}");
        assert!(SqliteStore::check_file(db.file()).is_err());
        assert!(SqliteStore::repair_file(db.file()).is_err());
    }
    let missing = SqliteStore::check_file(db.directory().join("none.db")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Io);
    assert!(!db.directory().join("none.db").exists());
}

#[test]
fn an_empty_file_becomes_a_database_and_names_with_a_meaning_are_files() {
    let db = TestDb::new();
    std::fs::write(db.file(), "").unwrap();
    assert_eq!(db.open("p").head().unwrap().sequence, 0);
    let odd = db.directory().join(":memory:");
    let store = SqliteStore::open(&odd, "p", SqliteOptions::default()).unwrap();
    store.put(&FileMetadata::new(path("a"))).unwrap();
    assert!(odd.exists());
    let error = SqliteStore::open(db.file(), "", SqliteOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn many_may_open_a_new_file_at_once() {
    let db = TestDb::new();
    std::thread::scope(|scope| {
        for i in 0..6 {
            let db = &db;
            scope.spawn(move || {
                let store = db.open("p");
                for j in 0..10 {
                    store
                        .put(&FileMetadata::new(path(&format!("{i}/{j}"))))
                        .unwrap();
                }
            });
        }
    });
    let store = db.open("p");
    assert_eq!(store.file_states().unwrap().len(), 60);
    assert_eq!(store.head().unwrap().sequence, 60);
    assert!(store.check().unwrap().is_empty());
}

#[test]
fn a_log_that_may_have_missed_changes_is_refused_until_repaired() {
    let damages = [
        ("UPDATE log_state SET quiet = 1", "quiet"),
        ("DELETE FROM log_state", "quiet"),
        ("DROP TRIGGER functions_after_update", "triggers"),
        ("DROP VIEW touched", "triggers"),
        (
            "DROP TRIGGER classes_after_delete;
             CREATE TRIGGER classes_after_delete AFTER DELETE ON classes BEGIN SELECT 1; END",
            "triggers",
        ),
    ];
    for (damage, check) in damages {
        let db = TestDb::new();
        let store = db.open("p");
        store.put(&FileMetadata::new(path("a"))).unwrap();
        store.put(&FileMetadata::new(path("b"))).unwrap();
        store.remove(&path("b")).unwrap();
        let before = store.head().unwrap();
        db.sql(damage);

        // A store that was open all along does not go on trusting it either.
        for error in [
            store.head().unwrap_err(),
            store.put(&FileMetadata::new(path("c"))).unwrap_err(),
            SqliteStore::open(db.file(), "p", SqliteOptions::default()).unwrap_err(),
        ] {
            assert_eq!(
                error.kind(),
                ErrorKind::DatabaseCorrupt,
                "{damage}: {error:?}"
            );
            assert!(
                error.help().unwrap().contains("repair"),
                "{damage}: {error:?}"
            );
        }
        let findings = SqliteStore::check_file(db.file()).unwrap();
        assert!(
            findings.iter().any(|finding| finding.check == check),
            "{damage}: {findings:?}"
        );

        SqliteStore::repair_file(db.file()).unwrap();
        assert!(
            SqliteStore::check_file(db.file()).unwrap().is_empty(),
            "{damage}"
        );
        let store = db.open("p");
        let after = store.head().unwrap();
        assert_ne!(
            after.epoch, before.epoch,
            "{damage}: every index must be built anew"
        );
        let (scanned, _) = collect(&store);
        assert!(
            scanned
                .versions
                .iter()
                .all(|(_, version)| *version > before.sequence)
        );
        let error = collect_changes(&store, before).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LogPruned);
    }
}

#[test]
fn check_names_what_is_wrong_and_nothing_else() {
    let db = TestDb::new();
    let store = db.open("p");
    store.put(&FileMetadata::new(path("a"))).unwrap();
    assert_eq!(store.check().unwrap(), []);
    db.sql(
        "PRAGMA foreign_keys = OFF;
         INSERT INTO functions (document_id, ordinal) VALUES (99, 0);
         DELETE FROM changes WHERE path = 'a'",
    );
    let checks: Vec<_> = store
        .check()
        .unwrap()
        .into_iter()
        .map(|finding| finding.check)
        .collect();
    assert_eq!(checks, ["foreign-keys", "log"]);
}

#[test]
fn a_database_put_in_the_place_of_another_is_noticed() {
    let db = TestDb::new();
    let store = db.open("p");
    store
        .put(&FileMetadata::builder("a").language("old").build().unwrap())
        .unwrap();
    let before = store.head().unwrap();
    let other = TestDb::new();
    let copy = db.directory().join("copy.db");
    {
        let store = other.open("p");
        store
            .put(&FileMetadata::builder("a").language("new").build().unwrap())
            .unwrap();
        other
            .connect()
            .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
            .unwrap();
    }
    for leftover in ["db-wal", "db-shm"] {
        std::fs::remove_file(db.file().with_extension(leftover)).unwrap();
    }
    std::fs::rename(copy, db.file()).unwrap();
    let found = store.get(&path("a")).unwrap().unwrap();
    assert_eq!(found.record.language.as_deref(), Some("new"));
    assert_ne!(store.head().unwrap().epoch, before.epoch);
    std::fs::remove_file(db.file()).unwrap();
    assert_eq!(store.get(&path("a")).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn a_lock_held_by_another_program_is_waited_for_and_then_reported() {
    let db = TestDb::new();
    let options = SqliteOptions::default()
        .connection_timeout(Duration::from_secs(1))
        .unwrap();
    let store = SqliteStore::open(db.file(), "p", options).unwrap();
    store.put(&FileMetadata::new(path("a"))).unwrap();
    let other: Connection = db.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    let error = store.put(&FileMetadata::new(path("b"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatabaseBusy);
    assert!(
        start.elapsed() >= Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    assert!(
        store.get(&path("a")).unwrap().is_some(),
        "readers do not wait for writers"
    );
    other.execute_batch("COMMIT").unwrap();
    store.put(&FileMetadata::new(path("b"))).unwrap();
}
