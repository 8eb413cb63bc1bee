//! The processes of a history: this program started again and again over one database. They end by
//! themselves when the time is over; whoever met an error, died or hangs is recorded.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cardex::store::{SqliteOptions, SqliteStore};
use cardex::{Error, ErrorKind, Result};
use fastrand::Rng;
use rustix::process::Pid;

use super::deaths::Deaths;
use super::faults;
use super::lines::Lines;
use super::task::{GRACE, HANGS, Role, Task, now};
use super::world::{OTHER, PROJECT};
use crate::cli::failure::Failure;
use crate::cli::interrupt;

/// How many processes of each kind there are, for how long, and what is done to them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) readers: usize,
    /// Threads of each reader.
    pub(super) threads: usize,
    /// The first is a foreign program, the second a cache, and so on in turns.
    pub(super) writers: usize,
    pub(super) time: Duration,
    pub(super) kills: bool,
    pub(super) faults: bool,
    pub(super) seed: u64,
}

/// The rest between two looks at who has ended.
const REST: Duration = Duration::from_millis(20);

/// Runs the plan in a folder; `tick` is called now and then with the time that is left.
///
/// # Errors
/// What keeps the processes from running or from being watched, and a signal to stop. What goes
/// wrong in them is recorded instead.
pub(super) fn record(
    plan: &Plan,
    folder: &Path,
    tick: &mut dyn FnMut(Duration),
) -> Result<(), Failure> {
    let mut fleet = Fleet::new(plan, folder);
    for project in [PROJECT, OTHER] {
        SqliteStore::open(fleet.task.database(), project, SqliteOptions::default())?;
    }
    let mut lines = Lines::new(&fleet.task, 0)?;
    fleet.start(plan)?;
    let disturber = Task {
        name: "faults".to_owned(),
        ..fleet.task.clone()
    };
    let (pids, over) = (fleet.pids(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let faults = plan
            .faults
            .then(|| scope.spawn(|| faults::disturb(&disturber, &pids, &over)));
        let watched = pass_time(plan, &mut fleet, &mut lines, tick);
        over.store(true, Ordering::Relaxed);
        let disturbed = faults.map_or(Ok(Ok(())), |thread| thread.join());
        watched?;
        disturbed.unwrap_or_else(|_| {
            let message = "the thread that disturbs the others panicked";
            Err(Error::new(ErrorKind::Internal, message))
        })?;
        Ok::<_, Failure>(())
    })?;
    fleet.wait(&mut lines)
}

/// Until the time is over: kills, if that is planned.
fn pass_time(
    plan: &Plan,
    fleet: &mut Fleet,
    lines: &mut Lines,
    tick: &mut dyn FnMut(Duration),
) -> Result<(), Failure> {
    let mut random = Rng::with_seed(plan.seed);
    let mut deaths = match plan.kills {
        true => Some(Deaths::new(&fleet.task)?),
        false => None,
    };
    while !fleet.task.is_over() {
        interrupt::check()?;
        tick(fleet.left());
        let Some(some) = &mut deaths else {
            std::thread::sleep(REST);
            continue;
        };
        if !some.one(fleet, lines, &mut random)? {
            deaths = None;
        }
    }
    Ok(())
}

/// The children that live; they die with it.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) task: Task,
    children: Vec<(String, Child)>,
    /// How many were ever started.
    started: u64,
}

impl Fleet {
    fn new(plan: &Plan, folder: &Path) -> Self {
        let time = u64::try_from(plan.time.as_nanos()).unwrap_or(u64::MAX);
        Fleet {
            task: Task {
                role: Role::Victim,
                folder: folder.to_owned(),
                name: "parent".to_owned(),
                until: now().saturating_add(time),
                seed: plan.seed,
                threads: plan.threads,
                writers: plan.writers,
            },
            children: Vec::new(),
            started: 0,
        }
    }

    fn start(&mut self, plan: &Plan) -> Result<()> {
        for n in 0..plan.writers {
            let role = match n.is_multiple_of(2) {
                true => Role::Foreign,
                false => Role::Writer,
            };
            self.keep(role, format!("writer-{n}"))?;
        }
        (0..plan.readers).try_for_each(|n| self.keep(Role::Reader, format!("reader-{n}")))
    }

    fn keep(&mut self, role: Role, name: String) -> Result<()> {
        let child = self.spawn(role, &name)?;
        self.children.push((name, child));
        Ok(())
    }

    /// A process that is the caller's to end.
    pub(super) fn spawn(&mut self, role: Role, name: &str) -> Result<Child> {
        self.started += 1;
        let task = Task {
            role,
            name: name.to_owned(),
            seed: self.task.seed % (1 << 32) + self.started,
            ..self.task.clone()
        };
        let out = match role {
            Role::Victim => Stdio::piped(),
            _ => Stdio::null(),
        };
        let program = std::env::current_exe().map_err(|cause| unstarted(name, cause))?;
        Command::new(program)
            .args(["--quiet", "verify", "--task", &task.text()?])
            .stdin(Stdio::null())
            .stdout(out)
            .spawn()
            .map_err(|cause| unstarted(name, cause))
    }

    fn pids(&self) -> Vec<(String, Pid)> {
        let pids = self.children.iter();
        pids.map(|(name, child)| (name.clone(), Pid::from_child(child)))
            .collect()
    }

    fn left(&self) -> Duration {
        Duration::from_nanos(self.task.until.saturating_sub(now()))
    }

    /// Waits for all, each at most until it should have ended by itself.
    fn wait(&mut self, lines: &mut Lines) -> Result<(), Failure> {
        let grace = u64::try_from((2 * GRACE).as_nanos()).unwrap_or(u64::MAX);
        let deadline = self.task.until.saturating_add(grace);
        while let Some((name, child)) = self.children.last_mut() {
            interrupt::check()?;
            if let Some(status) = child.try_wait().map_err(|cause| unwatched(name, cause))? {
                ended(lines, name, status)?;
            } else if now() > deadline {
                lines.refused(&format!("{name} hangs"))?;
                end(child);
            } else {
                std::thread::sleep(REST);
                continue;
            }
            self.children.pop();
        }
        Ok(())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.children.iter_mut().for_each(|(_, child)| end(child));
    }
}

/// Kills a process and waits for its end.
fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Records the end of a process that should have ended well.
pub(super) fn ended(lines: &mut Lines, name: &str, status: ExitStatus) -> Result<()> {
    match status.code() {
        Some(0) => Ok(()),
        Some(HANGS) => lines.refused(&format!("{name} hangs")),
        _ => lines.refused(&format!("{name} ended with {status}")),
    }
}

fn unstarted(name: &str, cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot start the process {name}")).because(cause)
}

pub(super) fn unwatched(name: &str, cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot watch the process {name}")).because(cause)
}
