//! `WatchBatch`: what a watcher has brought into the database, all of one look.

use std::time::Duration;

use crate::bus::{Invalidation, Origin, What, scopes_of};
use crate::cache::Scope;
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

    /// What is no longer true because of it, for a bus; `None` if no record changed. A database's own
    /// changes are told as well, a moment later, as [`Origin::Sync`].
    pub fn invalidation(&self) -> Option<Invalidation> {
        if self.is_empty() {
            return None;
        }
        let paths = self.files.iter().map(|(path, _)| path.as_str());
        let paths: Vec<&str> = paths.collect();
        let scopes = match paths.len() as u64 == self.added + self.changed + self.removed {
            true => scopes_of(&paths),
            // Some are only counted.
            false => vec![Scope::All],
        };
        let what = What::Files(scopes);
        Some(Invalidation {
            position: Some(self.position),
            ..Invalidation::of(what, Origin::Watch, "files were saved")
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(files: usize, name: impl Fn(usize) -> String) -> WatchBatch {
        let mut batch = WatchBatch::new();
        for n in 0..files {
            batch.add(FilePath::new(&name(n)).unwrap(), FileChange::Changed);
        }
        batch
    }

    fn told(batch: &WatchBatch) -> String {
        batch.invalidation().unwrap().what.to_string()
    }

    #[test]
    fn a_batch_is_told_by_its_files_their_directory_or_as_everything() {
        assert_eq!(WatchBatch::new().invalidation(), None);
        let one = batch(1, |_| "src/a.rs".to_owned());
        assert_eq!(told(&one), "src/a.rs");
        assert_eq!(one.invalidation().unwrap().origin, Origin::Watch);
        assert_eq!(told(&batch(64, |n| format!("src/{n}.rs"))), "64 files");
        assert_eq!(told(&batch(65, |n| format!("src/{n}.rs"))), "src/");
        assert_eq!(told(&batch(65, |n| format!("{n}.rs"))), "all files");
        // Those that are not named may lie elsewhere.
        let crowd = batch(MAX_WATCHED_NAMED + 1, |n| format!("src/{n}.rs"));
        assert_eq!(told(&crowd), "all files");
    }
}
