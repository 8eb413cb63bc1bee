//! The files beside an open database, `-wal` and `-shm`: deleted, or moved away. Whoever has them open
//! goes on with a log that nobody else can see any more, so nothing is read from it or written to it,
//! and the database is opened anew.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use cardex::{ErrorKind, Freshness, Query};

use crate::foreign::Foreign;
use crate::victim::*;

/// Deletes those of the files beside the database.
fn delete(victim: &Victim, suffixes: &[&str]) {
    for suffix in suffixes {
        std::fs::remove_file(with_suffix(&victim.file, suffix)).unwrap();
    }
}

/// A cache with a file that is in the write-ahead log only.
fn with_logged_file() -> Victim {
    let mut victim = Victim::new();
    victim.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    victim
        .cache
        .update(&record("f000", "ada", "logged"))
        .unwrap();
    victim.note();
    victim
}

/// Returns when the database was opened anew.
#[track_caller]
fn is_reopened(victim: &Victim) {
    let epoch = victim.position.epoch;
    within(LATER, "the database is opened anew", || {
        let stats = victim.stats();
        stats.watermark.epoch != epoch && !stats.is_degraded()
    });
}

#[test]
fn once_its_log_is_deleted_a_database_is_opened_anew_and_everything_is_read() {
    for suffixes in [&["-wal", "-shm"][..], &["-wal"], &["-shm"]] {
        let mut victim = with_logged_file();
        delete(&victim, suffixes);
        is_reopened(&victim);
        victim.after(LATER);
        // What was in the deleted log only is gone with it; it is not in the cache either.
        let is_kept = suffixes == ["-shm"];
        let language = victim.records["f000"].language.as_deref();
        assert_eq!(language, Some(if is_kept { "ada" } else { "rust" }));
    }
}

#[test]
fn a_log_that_is_moved_away_is_missed_like_a_deleted_one() {
    let mut victim = with_logged_file();
    for suffix in ["-wal", "-shm"] {
        let moved = with_suffix(&victim.beside("moved"), suffix);
        std::fs::rename(with_suffix(&victim.file, suffix), moved).unwrap();
    }
    is_reopened(&victim);
    victim.after(LATER);
    assert_eq!(victim.records["f000"].language.as_deref(), Some("rust"));
}

/// What comes after the deletion has a log of its own, that we do not see at first.
#[test]
fn what_others_write_once_the_log_is_deleted_is_seen_and_nothing_of_it_is_lost() {
    let mut victim = with_logged_file();
    delete(&victim, &["-wal", "-shm"]);
    sqlite3(
        &victim.file,
        "UPDATE documents SET language = 'perl' WHERE path = 'f002'",
    );
    is_reopened(&victim);
    victim.after(LATER);
    assert_eq!(victim.records["f000"].language.as_deref(), Some("rust"));
    assert_eq!(victim.records["f002"].language.as_deref(), Some("perl"));
    let found = sqlite3(&victim.file, "PRAGMA integrity_check");
    assert_eq!(found.trim(), "ok");
}

/// What `rm` and `cp` do when somebody restores a copy under a running program.
#[test]
fn a_copy_written_into_a_database_whose_log_was_deleted_is_read_anew() {
    let mut victim = with_logged_file();
    let older = victim.beside("older");
    copy(&victim.file, &older);
    victim.cache.update(&record("f002", "ada", "new")).unwrap();
    victim.note();
    delete(&victim, &["-wal", "-shm"]);
    std::fs::copy(&older, &victim.file).unwrap();
    is_reopened(&victim);
    victim.after(LATER);
    assert_eq!(victim.records["f000"].language.as_deref(), Some("ada"));
    assert_eq!(victim.records["f002"].language.as_deref(), Some("c"));
}

/// As long as another program goes on with the deleted log, it may write it into the database at any
/// time: nobody can tell what that holds.
#[test]
fn while_another_program_goes_on_with_a_deleted_log_the_database_is_not_used() {
    for suffixes in [&["-wal", "-shm"][..], &["-wal"], &["-shm"]] {
        let mut victim = with_logged_file();
        let mut other = Foreign::open(&victim.file);
        delete(&victim, suffixes);
        victim.during(&[ErrorKind::DatabaseCorrupt]);
        let holder = format!("process {}", other.id());
        within(LATER, "the other program is named", || {
            let failure = victim.stats().last_failure.unwrap();
            format!("{:#}", failure.error).contains(&holder)
        });
        let told = victim.stats().last_failure.unwrap().error.to_string();
        assert!(
            told.contains(&format!("project.db{}", suffixes[0])),
            "{told}"
        );
        victim.during(&[ErrorKind::DatabaseCorrupt]);
        other.run("UPDATE documents SET language = 'perl' WHERE path = 'f001';");
        victim.during(&[ErrorKind::DatabaseCorrupt]);
        // It ends as the last one that has the log, and writes it into the database.
        other.end();
        is_reopened(&victim);
        victim.after(LATER);
        assert_eq!(victim.records["f000"].language.as_deref(), Some("ada"));
        assert_eq!(victim.records["f001"].language.as_deref(), Some("perl"));
    }
}

#[test]
fn a_program_killed_with_a_deleted_log_takes_its_writes_with_it() {
    let mut victim = with_logged_file();
    let mut other = Foreign::open(&victim.file);
    delete(&victim, &["-wal", "-shm"]);
    other.run("UPDATE documents SET language = 'perl' WHERE path = 'f001';");
    victim.during(&[ErrorKind::DatabaseCorrupt]);
    other.kill();
    is_reopened(&victim);
    victim.after(LATER);
    assert_eq!(victim.records["f000"].language.as_deref(), Some("rust"));
    assert_eq!(victim.records["f001"].language.as_deref(), Some("go"));
}

/// Both have the deleted log; neither keeps the other from letting go of it.
#[test]
fn two_caches_of_one_database_both_open_it_anew_after_its_log_was_deleted() {
    for suffixes in [&["-wal", "-shm"][..], &["-wal"], &["-shm"]] {
        let mut victim = with_logged_file();
        let second = victim.second();
        delete(&victim, suffixes);
        is_reopened(&victim);
        victim.after(LATER);
        within(LATER, "the other one is exact, too", || {
            let all = Query::builder().path_glob("**").build().unwrap();
            let seen = second.query_with(&all, Freshness::Latest);
            seen.is_ok_and(|answer| answer.len() == victim.records.len())
        });
        second.update(&record("second", "ada", "second")).unwrap();
        victim.after(SOON);
        assert!(victim.records.contains_key("second"));
    }
}

const DATABASE: &str = "CARDEX_TEST_FAULTS_DATABASE";

/// Another process with a cache of the database, which tells when it is open, and what it sees once it
/// sees the file `stop`.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn spawn(file: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["log_files::child", "--exact", "--ignored", "--nocapture"])
            .env(DATABASE, file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut process = Process { child, lines };
        process.tells("open");
        process
    }

    #[track_caller]
    fn tells(&mut self, wanted: &str) {
        let told = self.lines.by_ref().map(Result::unwrap);
        let told = told.filter_map(|line| line.strip_prefix("child: ").map(str::to_owned));
        assert_eq!({ told }.next().as_deref(), Some(wanted));
    }

    #[track_caller]
    fn ends(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
#[ignore = "it is run by another test, in a process of its own"]
fn child() {
    let cache = cache_of(Path::new(&std::env::var_os(DATABASE).unwrap()), true);
    println!("\nchild: open");
    let seen = || {
        let all = Query::builder().path_glob("**").build().unwrap();
        let answer = cache.query(&all).unwrap();
        let sees_stop = answer.paths().any(|path| path == "stop");
        sees_stop.then(|| answer.len())
    };
    within(LATER * 6, "somebody writes `stop`", || seen().is_some());
    println!("\nchild: {}", seen().unwrap());
}

#[test]
fn several_processes_open_a_database_anew_after_its_log_was_deleted() {
    for suffixes in [&["-wal", "-shm"][..], &["-wal"], &["-shm"]] {
        let mut victim = with_logged_file();
        let mut others = [(); 2].map(|()| Process::spawn(&victim.file));
        delete(&victim, suffixes);
        is_reopened(&victim);
        victim.after(LATER);
        victim.cache.update(&record("stop", "x", "x")).unwrap();
        let begin = Instant::now();
        for other in &mut others {
            other.tells(&(victim.records.len() + 1).to_string());
        }
        assert!(begin.elapsed() < LATER, "{:?}", begin.elapsed());
        others.into_iter().for_each(Process::ends);
        victim.after(SOON);
        let found = sqlite3(&victim.file, "PRAGMA integrity_check");
        assert_eq!(found.trim(), "ok");
    }
}

/// Also where nobody looks by himself.
#[test]
fn a_look_at_a_database_whose_log_is_deleted_is_never_a_fresh_one() {
    let mut victim = Victim::unfollowed();
    victim
        .cache
        .update(&record("f000", "ada", "logged"))
        .unwrap();
    victim.note();
    let other = Foreign::open(&victim.file);
    delete(&victim, &["-wal", "-shm"]);
    let all = Query::builder().path_glob("**").build().unwrap();
    let error = victim
        .cache
        .query_with(&all, Freshness::Latest)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFresh, "{error:#}");
    assert!(format!("{error:#}").contains("project.db-wal"), "{error:#}");
    assert!(victim.stats().is_degraded());
    let error = victim
        .cache
        .update(&record("refused", "x", "x"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatabaseCorrupt, "{error:#}");
    assert_eq!(victim.answers(&victim.held), victim.held);
    other.kill();
    within(LATER, "the next looks open it anew", || {
        victim.cache.query_with(&all, Freshness::Latest).is_ok()
    });
    victim.after(SOON);
}
