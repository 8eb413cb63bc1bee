//! `WatchStats`: what a watcher has done, and how much is to be done.

use chrono::{DateTime, Utc};

/// What a watcher has done since it was made, and how much is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchStats {
    /// Whether it runs.
    pub is_running: bool,
    /// Events of files and directories of the tree; those of what is left out are not counted.
    pub events: u64,
    /// Those that joined a path which waited already.
    pub coalesced: u64,
    /// How often events were lost, or too many paths waited: a directory or the whole tree was looked at
    /// in their place.
    pub overflows: u64,
    /// Looks at the whole tree that went through.
    pub reconciles: u64,
    /// Looks at some paths, or at all, that went through.
    pub batches: u64,
    /// Records added or replaced.
    pub files_written: u64,
    /// Records removed.
    pub files_removed: u64,
    /// Looks that failed, and were or will be made again.
    pub failures: u64,
    /// Directories watched.
    pub directories: usize,
    /// Paths that wait.
    pub pending: usize,
    /// When the whole tree was last looked at to the end.
    pub last_reconcile: Option<DateTime<Utc>>,
}
