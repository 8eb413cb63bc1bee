//! `WatchBatch`: what a watcher has brought into the database, all of one look.

use std::time::Duration;

use crate::indexing::FileChange;
use crate::metadata::FilePath;
use crate::position::Position;

/// How many files a batch names; the rest are only counted.
pub const MAX_WATCHED_NAMED: usize = 10_000;

/// Why a look was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum WatchCause {
    /// The watcher has started: from here on nothing is missed.
    Start,
    /// Something happened to these files, or to the directories above them.
    Events,
    /// The whole tree was looked at.
    Reconcile,
}

/// What one look has brought into the database.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchBatch {
    /// Why it was taken.
    pub cause: WatchCause,
    /// The files whose records changed, in path order, at most [`MAX_WATCHED_NAMED`] of them.
    pub files: Vec<(FilePath, FileChange)>,
    /// Records added.
    pub added: u64,
    /// Records replaced.
    pub changed: u64,
    /// Records removed.
    pub removed: u64,
    /// A position of the log that includes all of it.
    pub position: Position,
    /// From the first event to the end of the commit.
    pub duration: Duration,
}

impl WatchBatch {
    pub(super) fn new() -> Self {
        WatchBatch {
            cause: WatchCause::Events,
            files: Vec::new(),
            added: 0,
            changed: 0,
            removed: 0,
            position: Position::default(),
            duration: Duration::ZERO,
        }
    }

    /// Whether no record changed.
    pub fn is_empty(&self) -> bool {
        self.added + self.changed + self.removed == 0
    }

    pub(super) fn add(&mut self, path: FilePath, change: FileChange) {
        *(match change {
            FileChange::Added => &mut self.added,
            FileChange::Changed => &mut self.changed,
            FileChange::Removed => &mut self.removed,
        }) += 1;
        if self.files.len() < MAX_WATCHED_NAMED {
            self.files.push((path, change));
        }
    }
}
