//! Locks that other programs hold.

use cardex::ErrorKind;
use rusqlite::Connection;

use crate::victim::*;

#[test]
fn a_lock_of_another_program_refuses_writes_and_holds_up_no_reader() {
    let mut victim = Victim::new();
    let other = victim.connect();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = victim.cache.update(&record("refused", "x", "x"));
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatabaseBusy);
    assert!(error.to_string().contains("project.db"), "{error}");
    let error = victim.cache.remove(&path("f000")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatabaseBusy);
    victim.assert_exact(&victim.held);
    assert_eq!(
        *victim.cache.get(&path("f001")).unwrap().unwrap(),
        victim.records["f001"]
    );
    assert!(!victim.stats().is_degraded());
    // What the other program writes is seen when it is committed, and not before.
    other
        .execute_batch("UPDATE documents SET language = 'ada' WHERE path = 'f002'")
        .unwrap();
    victim.assert_exact(&victim.held);
    other.execute_batch("COMMIT").unwrap();
    victim.after(SOON);
    assert_eq!(victim.records["f002"].language.as_deref(), Some("ada"));
}

#[test]
fn a_write_waits_for_a_busy_writer_and_is_not_lost() {
    let mut victim = Victim::new();
    let other = victim.connect();
    other
        .execute_batch("BEGIN IMMEDIATE; DELETE FROM documents WHERE path = 'f003'")
        .unwrap();
    std::thread::scope(|scope| {
        let writes = scope.spawn(|| victim.cache.update(&record("waits", "ada", "waits")));
        within(SOON, "the database is read meanwhile", || {
            victim.cache.get(&path("f004")).unwrap().is_some()
        });
        assert!(!writes.is_finished());
        other.execute_batch("COMMIT").unwrap();
        writes.join().unwrap().unwrap();
    });
    assert!(victim.cache.get(&path("f003")).unwrap().is_none());
    victim.after(SOON);
    assert!(victim.records.contains_key("waits"));
}

/// Without a write-ahead log a writer locks out readers.
#[test]
fn a_database_that_is_locked_when_it_comes_is_waited_for() {
    let mut victim = Victim::new();
    let copied = victim.beside("copy");
    copy(&victim.file, &copied);
    let other = Connection::open(&copied).unwrap();
    other
        .execute_batch(
            "PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE;
             UPDATE documents SET language = 'ada' WHERE path = 'f000'",
        )
        .unwrap();
    put_in_place(&copied, &victim.file);
    victim.during(&[ErrorKind::DatabaseBusy]);
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    victim.after(LATER);
}
