//! `Deaths`: the process that is killed now and then, and what each life of it left open: whether its
//! last write was committed, it could not tell.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ChildStdout;
use std::time::{Duration, Instant};

use cardex::Result;
use fastrand::Rng;
use rusqlite::Connection;

use super::fleet::{Fleet, ended, unwatched};
use super::foreign::{connect, last_change, refused, stored};
use super::lines::{Lines, change, file};
use super::recording::{Line, Part};
use super::task::{Role, Task, now};
use crate::cli::failure::Failure;
use crate::cli::interrupt;

/// The most commits of one life.
const LIFE: usize = 60;
/// The time of a write, about: it dies at any moment of the next one.
const WRITE: Duration = Duration::from_millis(3);
const SIGKILL: i32 = 9;

#[derive(Debug)]
pub(super) struct Deaths {
    database: Connection,
    /// The last change of each file that only it writes.
    versions: BTreeMap<usize, u64>,
    lives: usize,
}

impl Deaths {
    pub(super) fn new(task: &Task) -> Result<Self> {
        Ok(Deaths {
            database: connect(&task.database())?,
            versions: BTreeMap::new(),
            lives: 0,
        })
    }

    /// A life: from its start until it has done a random number of writes, or the time is over.
    /// Returns whether there should be another: not after one that ended by itself too early.
    pub(super) fn one(
        &mut self,
        fleet: &mut Fleet,
        lines: &mut Lines,
        random: &mut Rng,
    ) -> Result<bool, Failure> {
        let name = format!("victim-{}", self.lives);
        self.lives += 1;
        let mut child = fleet.spawn(Role::Victim, &name)?;
        // Held until it is dead: it would not write into a pipe that nobody reads.
        let mut out = child.stdout.take();
        let written = await_writes(out.as_mut(), random.usize(..LIFE));
        let moment = Instant::now() + WRITE.mul_f64(random.f64());
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        // It may have ended by itself.
        let _ = child.kill();
        let status = child.wait().map_err(|cause| unwatched(&name, cause))?;
        // Whoever stops this process may have stopped that one too.
        interrupt::check()?;
        written.map_err(|cause| unwatched(&name, cause))?;
        drop(out);
        let was_killed = status.signal() == Some(SIGKILL);
        if was_killed {
            lines.tell(format_args!("k {name}"))?;
        } else {
            ended(lines, &name, status)?;
        }
        let recorded = file(&fleet.task.folder, &name, 0);
        if recorded.exists() {
            self.resolve(&Part::read(&recorded)?, lines)?;
        }
        Ok(was_killed)
    }

    /// Finds out whether the last write was committed, and records it if so: nobody else writes that
    /// file.
    fn resolve(&mut self, recorded: &Part, lines: &mut Lines) -> Result<()> {
        let mut pending = None;
        for line in recorded.lines() {
            match line?.1 {
                Line::Commit(commit) => {
                    let numbers = commit.changes.iter().map(|(number, _)| *number);
                    self.versions
                        .extend(numbers.map(|number| (number, commit.sequence)));
                    pending = None;
                }
                Line::Intent(begun, number) => pending = Some((begun, number)),
                Line::NoChange => pending = None,
                _ => {}
            }
        }
        let Some((begun, number)) = pending else {
            return Ok(());
        };
        let tx = self.database.unchecked_transaction().map_err(refused)?;
        let version = last_change(&tx, number)?;
        let state = stored(&tx, number)?;
        drop(tx);
        let Some(sequence) = version.filter(|now| Some(now) != self.versions.get(&number)) else {
            return Ok(());
        };
        self.versions.insert(number, sequence);
        lines.committed(
            [begun, now()],
            [sequence.saturating_sub(1), sequence],
            &change(number, state),
        )
    }
}

/// Waits until a victim has told of so many writes, or has ended.
fn await_writes(out: Option<&mut ChildStdout>, mut left: usize) -> std::io::Result<()> {
    let Some(out) = out else {
        return Ok(());
    };
    let mut byte = [0];
    while left > 0 && out.read(&mut byte)? == 1 {
        left -= usize::from(byte == *b"!");
    }
    Ok(())
}
