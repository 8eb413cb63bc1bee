//! Moves rows from a store to an index: everything at once, or what the change log names since the
//! position of the current snapshot. The position moves last: a pass that fails changes nothing.

mod passes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use self::passes::Passes;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Changes, Index, Segment, SegmentBuilder, Stamp};
use crate::position::Position;
use crate::primitives::Mutex;
use crate::primitives::atomic::{AtomicU64, Ordering};
use crate::store::{MetadataStore, RowSink, ScanReport, SkippedRow};

/// How a pass brought the index up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Every row was read and the index replaced.
    Full,
    /// Only the files that the log named were read.
    Incremental,
}

/// What a pass did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncReport {
    /// How it went about it.
    pub mode: SyncMode,
    /// The position before.
    pub from: Position,
    /// The position after: the index reflects exactly this.
    pub to: Position,
    /// Files that were read into the index.
    pub files: u64,
    /// Deleted files that were taken out of it.
    pub deleted: u64,
    /// Files that could not be read and are not in the index; at most the first hundred.
    pub skipped: Vec<SkippedRow>,
    /// How many could not be read in all.
    pub skipped_total: u64,
    /// How long it took.
    pub duration: Duration,
}

/// What is told of what a pass is about to publish, before anybody can see it: whoever holds copies
/// of records drops those that are not true any more. Neither verb may fail or wait.
pub(crate) trait Follower: Send + Sync + std::fmt::Debug {
    /// These files are new or different at this position, those paths are gone.
    fn changes(&self, files: &Segment, deleted: &[String], position: Position);

    /// These files are all that there is at this position.
    fn replaces(&self, files: &Segment, position: Position);
}

/// Follows nothing.
#[derive(Debug)]
struct Nobody;

impl Follower for Nobody {
    fn changes(&self, _: &Segment, _: &[String], _: Position) {}
    fn replaces(&self, _: &Segment, _: Position) {}
}

/// Keeps an index equal to a store. It is the only writer of that index.
#[derive(Debug)]
pub struct Synchronizer {
    store: Arc<dyn MetadataStore>,
    index: Arc<Index>,
    clock: Arc<dyn Clock>,
    follower: Arc<dyn Follower>,
    passes: Passes,
    /// When the last look at the log began that succeeded, in nanoseconds of the clock's elapsed
    /// time. Set after what it found was published.
    looked_at: AtomicU64,
    seen: Mutex<Seen>,
}

/// What the passes so far have seen.
#[derive(Debug, Default)]
struct Seen {
    unreadable: Unreadable,
    last: Option<LastSync>,
    failure: Option<SyncFailure>,
}

/// The last pass that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastSync {
    /// When it ended, by the wall clock.
    pub at: DateTime<Utc>,
    /// How it went about it.
    pub mode: SyncMode,
    /// How long it took.
    pub duration: Duration,
}

/// A pass that failed after the last one that succeeded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SyncFailure {
    /// When it failed, by the wall clock.
    pub at: DateTime<Utc>,
    /// Why.
    pub error: Error,
}

impl Synchronizer {
    /// A synchronizer; the index stays as it is until the first pass.
    pub fn new(store: Arc<dyn MetadataStore>, index: Arc<Index>, clock: Arc<dyn Clock>) -> Self {
        Self::followed_by(store, index, clock, Arc::new(Nobody))
    }

    /// As [`Synchronizer::new`]; `follower` is told of each pass.
    pub(crate) fn followed_by(
        store: Arc<dyn MetadataStore>,
        index: Arc<Index>,
        clock: Arc<dyn Clock>,
        follower: Arc<dyn Follower>,
    ) -> Self {
        Synchronizer {
            store,
            index,
            clock,
            follower,
            passes: Passes::default(),
            looked_at: AtomicU64::new(0),
            seen: Mutex::default(),
        }
    }

    /// Reads every row aside and switches at once: readers never see an emptied or half index.
    /// Those who ask while a pass is running share the next one, here and below.
    ///
    /// # Errors
    /// Those of the store. The index stays as it was.
    pub fn full(&self) -> Result<SyncReport> {
        self.request(SyncMode::Full)
    }

    /// Reads what changed since the index's position; everything, if the log cannot tell.
    ///
    /// # Errors
    /// Those of the store. The index and its position stay as they were.
    pub fn incremental(&self) -> Result<SyncReport> {
        self.request(SyncMode::Incremental)
    }

    /// Returns when the index is at this position of a commit, or after it.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn reach(&self, position: Position) -> Result<()> {
        if self.index.position().covers(position) {
            return Ok(());
        }
        // A pass that starts after a commit includes it, whatever became of the epoch meanwhile.
        self.incremental().map(drop)
    }

    /// When the last look at the log began that succeeded, by the clock's elapsed time.
    pub(crate) fn looked_at(&self) -> Duration {
        Duration::from_nanos(self.looked_at.load(Ordering::Acquire))
    }

    /// The last pass that succeeded, and the last one if it failed.
    pub(crate) fn last(&self) -> (Option<LastSync>, Option<SyncFailure>) {
        let seen = self.seen.lock();
        (seen.last.clone(), seen.failure.clone())
    }

    fn request(&self, mode: SyncMode) -> Result<SyncReport> {
        self.passes.request(mode, |mode| {
            let start = self.clock.elapsed();
            let from = self.index.position();
            let done = match mode {
                SyncMode::Full => self.full_pass(start),
                SyncMode::Incremental => self.incremental_pass(from, start),
            };
            self.note(from, start, done)
        })
    }

    fn incremental_pass(&self, from: Position, start: Duration) -> Result<(SyncMode, ScanReport)> {
        let mut sink = Sink::new(&self.index);
        let scan = match self.store.scan_changes(from, &mut sink) {
            Err(error) if error.kind() == ErrorKind::LogPruned => return self.full_pass(start),
            scan => scan?,
        };
        if scan.position != from {
            let mut unreadable = self.seen.lock().unreadable.clone();
            unreadable.revise(&sink, &scan);
            let stamp = stamp(&scan, start, &unreadable);
            let changes = Changes {
                files: sink.files,
                deleted: sink.deleted,
            };
            self.index.apply(changes, stamp, |files, deleted| {
                self.follower.changes(files, deleted, scan.position);
            })?;
            self.seen.lock().unreadable = unreadable;
        }
        Ok((SyncMode::Incremental, scan))
    }

    fn full_pass(&self, start: Duration) -> Result<(SyncMode, ScanReport)> {
        let mut sink = Sink::new(&self.index);
        let scan = self.store.scan(&mut sink)?;
        let unreadable = Unreadable::of(&scan);
        let stamp = stamp(&scan, start, &unreadable);
        self.index.replace(sink.files, stamp, |files| {
            self.follower.replaces(files, scan.position);
        })?;
        self.seen.lock().unreadable = unreadable;
        Ok((SyncMode::Full, scan))
    }

    /// Keeps what is known of a pass, and tells it.
    fn note(
        &self,
        from: Position,
        start: Duration,
        done: Result<(SyncMode, ScanReport)>,
    ) -> Result<SyncReport> {
        let at = self.clock.now();
        let duration = self.clock.elapsed().saturating_sub(start);
        let mut seen = self.seen.lock();
        let (mode, scan) = match done {
            Ok(done) => done,
            Err(error) => {
                seen.failure = Some(SyncFailure {
                    at,
                    error: error.clone(),
                });
                return Err(error);
            }
        };
        let nanos = u64::try_from(start.as_nanos()).unwrap_or(u64::MAX);
        self.looked_at.store(nanos, Ordering::Release);
        seen.failure = None;
        seen.last = Some(LastSync { at, mode, duration });
        Ok(SyncReport {
            mode,
            from,
            to: scan.position,
            files: scan.files,
            deleted: scan.deleted,
            skipped: scan.skipped,
            skipped_total: scan.skipped_total,
            duration,
        })
    }
}

fn stamp(scan: &ScanReport, looked_at: Duration, unreadable: &Unreadable) -> Stamp {
    Stamp {
        position: scan.position,
        looked_at,
        unreadable: unreadable.count(),
    }
}

/// The files of the project that could not be read. Those that a report names are followed one by
/// one; of a number beyond that it is only known that there are some, until the next full pass.
#[derive(Clone, Debug, Default)]
struct Unreadable {
    named: BTreeSet<String>,
    more: u64,
}

impl Unreadable {
    fn of(scan: &ScanReport) -> Self {
        let mut unreadable = Unreadable::default();
        unreadable.add(scan);
        unreadable
    }

    fn add(&mut self, scan: &ScanReport) {
        let named = scan.skipped.iter().map(|row| row.path.clone());
        self.named.extend(named);
        self.more += scan.skipped_total - scan.skipped.len() as u64;
    }

    /// Takes in what a pass over the changes found.
    fn revise(&mut self, sink: &Sink, scan: &ScanReport) {
        if !self.named.is_empty() {
            let deleted = sink.deleted.iter().map(String::as_str);
            for path in sink.files.paths().chain(deleted) {
                self.named.remove(path);
            }
        }
        self.add(scan);
    }

    fn count(&self) -> u64 {
        self.named.len() as u64 + self.more
    }
}

/// Takes rows into a segment to be.
struct Sink {
    files: SegmentBuilder,
    deleted: Vec<String>,
}

impl Sink {
    fn new(index: &Index) -> Self {
        Sink {
            files: index.builder(),
            deleted: Vec::new(),
        }
    }
}

impl RowSink for Sink {
    fn file(&mut self, path: &str, language: Option<&str>, version: u64) {
        self.files.file(path, language, version);
    }

    fn function(&mut self, name: &str) {
        self.files.function(name);
    }

    fn class(&mut self, ordinal: i64, name: &str) {
        self.files.class(ordinal, name);
    }

    fn method(&mut self, class_ordinal: i64, name: &str) {
        self.files.method(class_ordinal, name);
    }

    fn reference(&mut self, document: &str) {
        self.files.reference(document);
    }

    fn deleted(&mut self, path: &str) {
        self.deleted.push(path.to_owned());
    }
}
