//! What happens to a database and to those who have it open, and must change no answer: its log is
//! pruned, its write-ahead log cut off, somebody changes everything and takes it back, and a process
//! is stopped in whatever it does and goes on later. Not a change of the schema, which begins another
//! epoch.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cardex::store::{SqliteOptions, SqliteStore};
use cardex::{Error, ErrorKind, Result};
use fastrand::Rng;
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

use super::foreign::{connect, refused};
use super::lines::Lines;
use super::task::Task;
use super::world::PROJECT;

/// The rest between two, in milliseconds.
const REST: std::ops::Range<u64> = 20..100;
/// How long a process is stopped, or a transaction open, in milliseconds: less than any time-out of the
/// database, for it may hold its lock.
const STOP: std::ops::Range<u64> = 5..150;
/// How many deleted files a pruned log remembers.
const KEEP: u64 = 40;

/// Does one after the other until the task is over, or until it is told to end.
pub(super) fn disturb(task: &Task, processes: &[(String, Pid)], over: &AtomicBool) -> Result<()> {
    let mut lines = Lines::new(task, 0)?;
    let mut random = Rng::with_seed(task.seed);
    let store = SqliteStore::open(task.database(), PROJECT, SqliteOptions::default())?;
    let foreign = connect(&task.database())?;
    let pause = |milliseconds| std::thread::sleep(Duration::from_millis(milliseconds));
    while !task.is_over() && !over.load(Ordering::Relaxed) {
        let what = match random.u32(..10) {
            0..4 => store.prune_log(KEEP).map(|_| "prune"),
            4..7 => {
                let (name, pid) = &processes[random.usize(..processes.len())];
                let stopped = stop(name, *pid, || pause(random.u64(STOP)));
                stopped.map(|()| "stop")
            }
            7 => foreign
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok("checkpoint"))
                .map_err(refused),
            _ => take_back(&foreign, || pause(random.u64(STOP))).map(|()| "rollback"),
        };
        match what {
            Ok(what) => lines.tell(format_args!("f {what}"))?,
            Err(error) => lines.refused(&format!("{error:#}"))?,
        }
        pause(random.u64(REST));
    }
    Ok(())
}

/// Stops a process for as long as something takes. One that has ended takes the signals too, as nobody
/// waits for it before this is over.
fn stop(name: &str, pid: Pid, pause: impl FnOnce()) -> Result<()> {
    let signal = |signal| {
        kill_process(pid, signal).map_err(|cause| {
            let message = format!("cannot stop the process {name}");
            Error::new(ErrorKind::Io, message).because(std::io::Error::from(cause))
        })
    };
    signal(Signal::STOP)?;
    pause();
    signal(Signal::CONT)
}

/// Changes every file, and takes that back after as long as something takes.
fn take_back(foreign: &Connection, pause: impl FnOnce()) -> Result<()> {
    let sql = "BEGIN IMMEDIATE; UPDATE documents SET digest = 'state:0', language = 'rust'";
    foreign.execute_batch(sql).map_err(refused)?;
    pause();
    foreign.execute_batch("ROLLBACK").map_err(refused)
}
