//! Locks that other programs hold.

use std::time::{Duration, Instant};

use cardex::ErrorKind;

use crate::foreign::Foreign;
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

/// How long another process holds its lock: longer than it is waited for, or as
/// `CARDEX_TEST_LOCK_SECONDS` has it.
fn lock_time() -> Duration {
    let seconds = std::env::var("CARDEX_TEST_LOCK_SECONDS");
    let seconds = seconds.map_or(2, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

#[test]
fn a_lock_that_another_process_holds_for_long_refuses_every_write_and_holds_up_no_reader() {
    let mut victim = Victim::new();
    let mut other = Foreign::open(&victim.file);
    other.run("BEGIN EXCLUSIVE; UPDATE documents SET language = 'ada' WHERE path = 'f002';");
    let (begin, mut refused) = (Instant::now(), 0);
    while begin.elapsed() < lock_time() {
        let asked = Instant::now();
        let error = victim.cache.update(&record("refused", "x", "x"));
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DatabaseBusy, "{error:#}");
        assert!(error.to_string().contains("project.db"), "{error}");
        assert!(asked.elapsed() >= LOCK_TIMEOUT, "it was waited for");
        assert!(asked.elapsed() < LATER, "{:?}", asked.elapsed());
        refused += 1;
        victim.assert_exact(&victim.held);
        let found = victim.cache.get(&path("f001")).unwrap().unwrap();
        assert_eq!(*found, victim.records["f001"]);
        assert!(!victim.stats().is_degraded());
    }
    assert!(refused > 0);
    other.run("COMMIT;");
    victim.after(SOON);
    assert_eq!(victim.records["f002"].language.as_deref(), Some("ada"));
}

/// Without a write-ahead log a writer locks out readers.
#[test]
fn a_database_that_another_process_has_locked_when_it_comes_is_waited_for() {
    for is_killed in [false, true] {
        let mut victim = Victim::new();
        let copied = victim.beside("copy");
        copy(&victim.file, &copied);
        let mut other = Foreign::open(&copied);
        other.run(
            "PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE;
             UPDATE documents SET language = 'ada' WHERE path = 'f000';",
        );
        let begin = Instant::now();
        put_in_place(&copied, &victim.file);
        while begin.elapsed() < lock_time() {
            victim.during(&[ErrorKind::DatabaseBusy]);
        }
        let age = victim.stats().age.unwrap();
        assert!(age + LATER > begin.elapsed(), "{age:?}");
        match is_killed {
            true => other.kill(),
            false => {
                other.run("ROLLBACK;");
                other.end();
            }
        }
        victim.after(LATER);
        assert_eq!(victim.records["f000"].language.as_deref(), Some("rust"));
    }
}
