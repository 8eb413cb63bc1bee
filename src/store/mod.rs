//! Where metadata lives for good: the trait that a database implements, and what it hands out.
//!
//! A store keeps whole records, one file a transaction, and a change log that names every file
//! whose rows changed, whoever changed them. The log is the only authority on what is new: an index
//! is brought up to date by reading it from a position on.

#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt::Debug;

#[cfg(feature = "sqlite")]
pub(crate) use self::sqlite::{FileIdentity, absolute, beside, create_private, open_sqlite, own};
#[cfg(feature = "sqlite")]
pub use self::sqlite::{Finding, SqliteOptions, SqliteStore};
use crate::error::Result;
use crate::metadata::{FileMetadata, FilePath, FileState};
use crate::position::Position;

/// A record as the database holds it, with the log sequence of its last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The record.
    pub record: FileMetadata,
    /// The sequence of the file's last change; 0 if the log does not know the file.
    pub version: u64,
}

/// The records of many paths, all of one instant.
#[derive(Debug)]
pub struct Fetched {
    /// The instant.
    pub position: Position,
    /// In the order of the paths. A record that cannot be read is an error that names it; `None`
    /// if there is none.
    pub records: Vec<Result<Option<Versioned>>>,
}

/// What putting a record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The position of the commit: its sequence is the record's new version, if it is verbatim.
    pub position: Position,
    /// Whether there was a record of that path before.
    pub existed: bool,
    /// Whether the record is stored exactly as given, under that version. Not known to be when
    /// triggers of somebody else may have changed it on its way.
    pub verbatim: bool,
}

/// A file that changed, or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its path, as far as it can be shown.
    pub path: String,
    /// The sequence of its last change.
    pub version: u64,
    /// Whether it does not exist any more.
    pub is_deleted: bool,
}

/// What changed since a position, each file once, in the order of their last changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChangeSet {
    /// The position up to which this is everything: where to go on from.
    pub position: Position,
    /// The files.
    pub changes: Vec<Change>,
    /// The log could not tell what changed since the position that was asked for (it is of another
    /// database, or too old): these are the project's files, and others may have gone.
    pub is_fresh_instance: bool,
    /// The limit cut some off; the next call finds them.
    pub is_truncated: bool,
}

/// One change of a log: no other change, of this log or of another one, has the same mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangeMark {
    /// Its sequence.
    pub version: u64,
    /// A random number that was drawn for it: a copy of the database that is put back and written to uses
    /// the same sequences for other changes.
    pub nonce: i64,
}

/// What a log has forgotten. Two logs that say the same forgot the same, and nothing since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pruned {
    /// The highest sequence that a deleted file had which the log has forgotten; 0 if it forgot none.
    pub to: u64,
    /// A random number that was drawn when it last forgot any: a copy of the database that is put back and
    /// pruned up to the same sequence may have forgotten another file.
    pub nonce: i64,
}

/// What the log says of one file or directory, and what it named since a position: all of one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traces {
    /// The instant.
    pub position: Position,
    /// What the log has forgotten of deleted files.
    pub pruned: Pruned,
    /// Every file that changed since the position that was asked for, its path as far as it can be shown,
    /// and its last change. `None` if the log does not reach back to there, or if there are too many.
    pub changes: Option<Vec<(String, ChangeMark)>>,
    /// The last change of what was asked for, and of all below it, deletions included. `None` if the log
    /// knows of none, or if nothing was asked for.
    pub last: Option<ChangeMark>,
}

/// One write of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "most writes are puts: a box would only cost"
)]
pub enum Write {
    /// Adds the record, or replaces the whole record of its path.
    Put(FileMetadata),
    /// Removes the record of this path, if there is one.
    Remove(FilePath),
}

/// What a removal did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Whether there was a record to remove.
    pub existed: bool,
    /// A position that includes the removal.
    pub position: Position,
}

/// A row that could not be read as what it should be. The others were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedRow {
    /// The file that the row belongs to, as far as it can be shown.
    pub path: String,
    /// What is wrong with it: table, column and reason.
    pub reason: String,
}

/// Receives what the index needs of each file, file by file. The calls about one file come between
/// its `file` and the next one; every string is borrowed for the call only.
pub trait RowSink {
    /// A file begins. `language` is as stored.
    fn file(&mut self, path: &str, language: Option<&str>, version: u64);
    /// A free function of the file. An empty name counts as none, here and below.
    fn function(&mut self, name: &str);
    /// A class of the file: every class comes before every method. `ordinal` is the class's number
    /// in the file; the numbers ascend.
    fn class(&mut self, ordinal: i64, name: &str);
    /// A method of the class of that ordinal, whether or not such a class was named.
    fn method(&mut self, class_ordinal: i64, name: &str);
    /// A document that the file cites.
    fn reference(&mut self, document: &str);
    /// The file does not exist any more. Only when reading changes.
    fn deleted(&mut self, path: &str);
}

/// What a pass over the rows read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanReport {
    /// The position that the rows reflect, exactly.
    pub position: Position,
    /// How many files were handed over.
    pub files: u64,
    /// How many deleted files were named.
    pub deleted: u64,
    /// Rows that could not be read; at most [`MAX_SKIPPED_SHOWN`] are named.
    pub skipped: Vec<SkippedRow>,
    /// How many rows could not be read in all.
    pub skipped_total: u64,
}

impl ScanReport {
    /// The report of this pass and of one over what changed since, as one.
    pub(crate) fn followed_by(mut self, since: ScanReport) -> ScanReport {
        self.position = since.position;
        self.files += since.files;
        self.deleted += since.deleted;
        self.skipped_total += since.skipped_total;
        self.skipped.extend(since.skipped);
        self.skipped.truncate(MAX_SKIPPED_SHOWN);
        self
    }
}

/// How many unreadable rows a report names; the rest are only counted.
pub const MAX_SKIPPED_SHOWN: usize = 100;

/// Whether a file is this path, or below it.
fn is_at(file: &FilePath, path: &FilePath) -> bool {
    let below = file.as_str().strip_prefix(path.as_str());
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A database of file metadata, seen as one project of it. Positions it tells of never go back within
/// an epoch: a log that does is another one.
/// Every verb may do I/O and wait, at most
/// for the store's time-outs. A failure is an error, never an empty answer.
pub trait MetadataStore: Send + Sync + Debug {
    /// The position of the last committed change.
    fn head(&self) -> Result<Position>;

    /// The records of many paths, in one batch. Never of an older state than what this store has
    /// already told of.
    fn fetch(&self, paths: &[FilePath]) -> Result<Fetched>;

    /// The record of a path; `None` if there is none.
    fn get(&self, path: &FilePath) -> Result<Option<Versioned>> {
        let mut fetched = self.fetch(std::slice::from_ref(path))?;
        fetched.records.pop().unwrap_or(Ok(None))
    }

    /// The paths of the files that were modified last, the latest first, at most `limit` of them;
    /// those whose time is not known come last. Paths that cannot be read are left out.
    fn newest(&self, limit: usize) -> Result<Vec<FilePath>>;

    /// Adds or replaces a record in one transaction. On success the change is durable.
    fn put(&self, record: &FileMetadata) -> Result<Stored>;

    /// Removes a record in one transaction.
    fn remove(&self, path: &FilePath) -> Result<Removal>;

    /// Applies the writes, in their order, as one transaction: all or none.
    fn write(&self, batch: &[Write]) -> Result<Position>;

    /// Every record in path order, a page at a time and all of one instant. `visit` runs while a
    /// read transaction is open; its error ends the pass and is returned.
    fn for_each(&self, visit: &mut dyn FnMut(Versioned) -> Result<()>) -> Result<ScanReport>;

    /// What is known of every file's content, in path order.
    fn file_states(&self) -> Result<Vec<FileState>>;

    /// The same of these files alone, and of every file below those of them that are directories.
    fn file_states_at(&self, paths: &[FilePath]) -> Result<Vec<FileState>> {
        let mut states = self.file_states()?;
        states.retain(|state| paths.iter().any(|path| is_at(&state.path, path)));
        Ok(states)
    }

    /// What changed since a position, at most `limit` files of it. From [`Position::default`] on, it is
    /// a fresh instance.
    fn changes(&self, since: Position, limit: usize) -> Result<ChangeSet>;

    /// What changed since a position, at most `limit` files of it, and the last change of a file or
    /// directory with all below it: `of` is its path from the root, which itself is the empty one. `None`
    /// if this store cannot tell one change from another of the same sequence.
    fn traces(&self, since: Position, limit: usize, of: Option<&str>) -> Result<Option<Traces>> {
        let _ = (since, limit, of);
        Ok(None)
    }

    /// Has the next look at the log take nothing for granted that was found by an earlier one.
    fn forget(&self) {}

    /// Hands the index's part of every file to `sink`, all of one instant.
    fn scan(&self, sink: &mut dyn RowSink) -> Result<ScanReport>;

    /// Hands the index's part of every file that changed after `since` to `sink`, deleted ones
    /// included, all of one instant.
    ///
    /// # Errors
    /// `LogPruned` if the log does not reach back to `since`, or is of another epoch: only
    /// [`MetadataStore::scan`] can answer then.
    fn scan_changes(&self, since: Position, sink: &mut dyn RowSink) -> Result<ScanReport>;
}
