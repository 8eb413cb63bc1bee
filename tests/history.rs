//! Several processes over one database record what they were told and when, and what they committed;
//! a checker then proves that every answer equals the database at the position that it names, that
//! none is older than the age it states or the freshness it was asked for, and that no process is
//! ever taken back. A foreign client, a cache that prunes the log, and a process that is killed write.
//!
//! `CARDEX_TEST_HISTORY_SECONDS` sets how long each test records (18 and 10), `CARDEX_TEST_SEED`
//! repeats what is asked and written, though not in what order the processes come to it.

#![cfg(all(unix, feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod history_support;
mod oracle_support;

use std::time::Duration;

use history_support::fleet::{Plan, run};
use history_support::{Task, reader, writer};
use oracle_support::{number, seed};

/// One after the other: each needs the machine for itself.
static TURN: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

/// So long, in seconds, that many answers are sure.
const LONG: usize = 18;

fn seconds(default: usize) -> Duration {
    Duration::from_secs(number("CARDEX_TEST_HISTORY_SECONDS", default) as u64)
}

/// A process of a history.
#[test]
#[ignore = "it is run by the other tests"]
fn child() {
    let Some(task) = Task::of_this_process() else {
        return;
    };
    task.watch();
    match task.role.as_str() {
        "foreign" => writer::foreign(&task),
        "writer" => writer::cardex(&task),
        "victim" => writer::victim(&task),
        _ => reader::run(&task),
    }
}

#[test]
fn every_answer_is_of_the_position_and_the_age_that_it_names() {
    let _turn = TURN.lock();
    let plan = Plan {
        readers: 3,
        threads: 4,
        foreign: 1,
        writers: 1,
        time: seconds(LONG),
    };
    let outcome = run(plan, seed());
    println!("{outcome:?}");
    let checked = outcome.checked;
    let is_long = plan.time >= Duration::from_secs(LONG as u64);
    assert!(!is_long || checked.answers >= 100_000, "{checked:?}");
    assert!(outcome.kills > 0, "{outcome:?}");
    let kinds = [
        checked.absent,
        checked.latest,
        checked.at_least,
        checked.max_age,
    ];
    assert!(
        !is_long || kinds.iter().all(|kind| *kind > 1000),
        "{checked:?}"
    );
}

/// Any error of any process, a database that is locked among them, ends that process, and so the test.
#[test]
fn ten_processes_share_a_database_and_none_is_told_that_it_is_busy() {
    let _turn = TURN.lock();
    let plan = Plan {
        readers: 8,
        threads: 1,
        foreign: 0,
        writers: 1,
        time: seconds(10),
    };
    let outcome = run(plan, seed());
    println!("{outcome:?}");
    assert!(outcome.kills > 0, "{outcome:?}");
}
