//! `Task`: what the process that proves tells one that it starts: who it is, where, and until when.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cardex::store::SqliteOptions;
use cardex::{Cardex, Clock as _, Error, ErrorKind, Result, SystemClock};
use serde::{Deserialize, Serialize};

use super::lines::Lines;
use super::world::PROJECT;
use super::{foreign, reader, writer};
use crate::cli::output::say;

/// What a process of a history does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Role {
    /// A cache whose threads ask.
    Reader,
    /// A program that knows nothing of cardex.
    Foreign,
    /// A cache that writes.
    Writer,
    /// A cache that writes until it is killed.
    Victim,
}

/// Who a process is, where, and until when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) role: Role,
    pub(super) folder: PathBuf,
    /// The name of its records, no other process's.
    pub(super) name: String,
    /// A time of [`now`].
    pub(super) until: u64,
    pub(super) seed: u64,
    pub(super) threads: usize,
    /// How many processes tell others of their commits, as `writer-0` and so on.
    pub(super) writers: usize,
}

/// How long a process may take to end after its time: more than any time-out of the database.
pub(super) const GRACE: Duration = Duration::from_secs(30);
/// The exit code of a process that was still there after that.
pub(super) const HANGS: i32 = 3;

/// The time that all processes share, in nanoseconds.
pub(super) fn now() -> u64 {
    u64::try_from(SystemClock.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn database(folder: &Path) -> PathBuf {
    folder.join("history.db")
}

impl Task {
    /// In the process itself: does what it was told. An error that it met is recorded, for it is
    /// evidence against the cache; the error is returned as well.
    ///
    /// # Errors
    /// What the cache or the database refused, and what could not be recorded.
    pub(super) fn run(text: &str) -> Result<()> {
        let task: Task = serde_json::from_str(text).map_err(|cause| {
            Error::new(ErrorKind::InvalidInput, format!("`{text}` is no task")).because(cause)
        })?;
        task.watch();
        let done = match task.role {
            Role::Reader => reader::run(&task),
            Role::Foreign => foreign::run(&task),
            Role::Writer => writer::run(&task),
            Role::Victim => writer::victim(&task),
        };
        if let Err(error) = &done {
            Lines::new(&task, "error")?.refused(&format!("{error:#}"))?;
        }
        done
    }

    /// How the process is told.
    pub(super) fn text(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|cause| Error::new(ErrorKind::Internal, "a task is text").because(cause))
    }

    pub(super) fn database(&self) -> PathBuf {
        database(&self.folder)
    }

    /// With the following thread, as by default. Some load the bodies at once, some when wanted.
    pub(super) fn open(&self) -> Result<Cardex> {
        Cardex::builder()
            .database(self.database())
            .project(PROJECT)
            .sqlite(SqliteOptions::default())
            .load_bodies(self.seed.is_multiple_of(2))
            .open()
    }

    /// Ends this process if it is still there long after the time: it hangs.
    fn watch(&self) {
        let left = Duration::from_nanos(self.until.saturating_sub(now())) + GRACE;
        let name = self.name.clone();
        std::thread::spawn(move || {
            std::thread::sleep(left);
            say(&format!("{name} hangs"));
            std::process::exit(HANGS);
        });
    }

    pub(super) fn is_over(&self) -> bool {
        now() >= self.until
    }
}
