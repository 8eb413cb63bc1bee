//! Moves rows from a store to an index: everything at once, or what the change log names since the
//! position of the current snapshot. The position moves last: a pass that fails changes nothing.

mod schedule;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

pub(crate) use self::schedule::Schedule;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Changes, Index, Segment, SegmentBuilder, Snapshot, Stamp};
use crate::passes::Passes;
use crate::position::Position;
use crate::primitives::atomic::{AtomicU64, Ordering};
use crate::primitives::{Condvar, Mutex};
use crate::store::{MetadataStore, RowSink, ScanReport, SkippedRow};

/// How long a pass that has published is waited for until it is noted.
const NOTED_WAIT: Duration = Duration::from_millis(100);

/// How often everything is read again because the log could not be followed from there.
const MAX_BASES: usize = 3;

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

    /// This is all that there is. It `continues` what was published before if it is of the same log
    /// and not of an earlier position: only then is a version that did not change a record that did
    /// not.
    fn replaces(&self, next: &Snapshot, continues: bool);
}

/// Follows nothing.
#[derive(Debug)]
struct Nobody;

impl Follower for Nobody {
    fn changes(&self, _: &Segment, _: &[String], _: Position) {}
    fn replaces(&self, _: &Snapshot, _: bool) {}
}

/// Keeps an index equal to a store. It is the only writer of that index.
#[derive(Debug)]
pub struct Synchronizer {
    store: Arc<dyn MetadataStore>,
    index: Arc<Index>,
    clock: Arc<dyn Clock>,
    follower: Arc<dyn Follower>,
    /// Who looks at the log and publishes: one at a time.
    looks: Passes<SyncReport>,
    /// Who reads everything: one at a time, while others go on looking at the log.
    fulls: Passes<SyncReport>,
    /// When the last look at the log began that succeeded, in nanoseconds of the clock's elapsed
    /// time. Set after what it found was published.
    looked_at: AtomicU64,
    seen: Mutex<Seen>,
    /// Rung after each pass that succeeded.
    passed: Condvar,
}

/// What the passes so far have seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// When the last look at the log began that succeeded, by the clock's elapsed time.
    pub(crate) looked_at: Option<Duration>,
    /// The last pass that succeeded.
    pub(crate) last: Option<LastSync>,
    /// The last pass, if it failed.
    pub(crate) failure: Option<SyncFailure>,
    unreadable: Unreadable,
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
            looks: Passes::default(),
            fulls: Passes::default(),
            looked_at: AtomicU64::new(0),
            seen: Mutex::default(),
            passed: Condvar::new(),
        }
    }

    /// Reads every row aside, then what has changed since, and switches at once: readers never see an
    /// emptied or half index, and incremental passes go on meanwhile. Those who ask while a pass is
    /// running share the next one, here and below.
    ///
    /// # Errors
    /// Those of the store. The index stays as it was.
    pub fn full(&self) -> Result<SyncReport> {
        self.fulls.share(|| self.full_pass())
    }

    /// Reads what changed since the index's position; everything, as [`Synchronizer::full`] does, if
    /// the log cannot tell.
    ///
    /// # Errors
    /// Those of the store. The index and its position stay as they were.
    pub fn incremental(&self) -> Result<SyncReport> {
        self.look().0
    }

    /// Returns when the index is at this position of a commit, or after it.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn reach(&self, position: Position) -> Result<()> {
        if self.index.position().covers(position) {
            return Ok(());
        }
        self.incremental()?;
        // A pass that starts after a commit includes it, whatever became of the epoch meanwhile.
        let now = self.index.position();
        if now < position {
            let message = format!("the commit at {position} is lost: the log ends at {now}");
            return Err(Error::new(ErrorKind::Database, message)
                .with_help("an older copy of the database was put in its place"));
        }
        Ok(())
    }

    /// When the last look at the log began that succeeded, by the clock's elapsed time.
    pub(crate) fn looked_at(&self) -> Duration {
        Duration::from_nanos(self.looked_at.load(Ordering::Acquire))
    }

    /// A look at the log that begins now or later, and whether it is the caller's own or shared. Where
    /// the log cannot be followed from the index's position, everything is read by one for all, and
    /// whoever did not read it looks again.
    pub(crate) fn look(&self) -> (Result<SyncReport>, bool) {
        let mut is_ours = false;
        let mut tries = 0;
        loop {
            let outcome = self.looks.share(|| {
                is_ours = true;
                let start = self.clock.elapsed();
                self.noted(start, self.incremental_pass(self.index.position(), start))
            });
            if !is_unfollowable(&outcome) {
                return (outcome, is_ours);
            }
            let mut is_made_here = false;
            let outcome = self.fulls.join(|| {
                is_made_here = true;
                self.full_pass()
            });
            tries += 1;
            if is_made_here || tries > MAX_BASES {
                return (outcome, is_ours);
            }
        }
    }

    /// Waits until the index is at another position than this one, and whether it came to that in
    /// time.
    pub(crate) fn wait_past(&self, position: Position, within: Duration) -> bool {
        let is_there = || self.index.snapshot().is_loaded() && self.index.position() != position;
        let mut seen = self.seen.lock();
        let wait = |_: &mut Seen| !is_there();
        self.passed.wait_while_for(&mut seen, wait, within);
        is_there()
    }

    /// Whether the last pass failed.
    fn is_failing(&self) -> bool {
        self.seen.lock().failure.is_some()
    }

    /// The index's snapshot, and what was seen by the passes up to it, of one instant. A pass publishes
    /// first, and is noted next, by a thread that may be held up in between: that is waited for, but not
    /// for long, and then a snapshot is told before its pass is.
    pub(crate) fn seen(&self) -> (Arc<Snapshot>, Seen) {
        let mut snapshot = self.index.snapshot();
        let mut seen = self.seen.lock();
        let is_ahead = |seen: &mut Seen| {
            snapshot = self.index.snapshot();
            snapshot.is_loaded() && Some(snapshot.stamp().looked_at) > seen.looked_at
        };
        self.passed.wait_while_for(&mut seen, is_ahead, NOTED_WAIT);
        let mut seen = seen.clone();
        if snapshot.is_loaded() {
            seen.looked_at = seen.looked_at.max(Some(snapshot.stamp().looked_at));
        }
        (snapshot, seen)
    }

    /// Reads everything while others look at the log, and has the turn to look only to switch.
    fn full_pass(&self) -> Result<SyncReport> {
        let start = self.clock.elapsed();
        let mut tries = 0;
        loop {
            let base = match self.read_base() {
                Ok(base) => base,
                Err(error) => return self.noted(start, Err(error)),
            };
            let outcome = self.looks.own(|| {
                let from = self.index.position();
                self.noted(start, self.switch(base, from))
            });
            // The log was pruned, or is another one, since the base was read.
            match outcome {
                Err(_) if is_unfollowable(&outcome) && tries < MAX_BASES => tries += 1,
                Err(error) if is_unfollowable(&outcome) => return Err(self.failed(error)),
                outcome => return outcome,
            }
        }
    }

    fn incremental_pass(&self, from: Position, start: Duration) -> Result<Done> {
        let mut sink = Sink::new(&self.index);
        let scan = self.store.scan_changes(from, &mut sink)?;
        if scan.position != from {
            let mut unreadable = self.seen.lock().unreadable.clone();
            unreadable.revise(&sink, &scan);
            let stamp = stamp(&scan, start, &unreadable);
            self.index.apply(sink.changes(), stamp, |files, deleted| {
                self.follower.changes(files, deleted, scan.position);
            })?;
            self.seen.lock().unreadable = unreadable;
        }
        let mode = SyncMode::Incremental;
        Ok(Done { mode, from, scan })
    }

    /// Reads every row aside.
    fn read_base(&self) -> Result<Base> {
        let mut sink = Sink::new(&self.index);
        let scan = self.store.scan(&mut sink)?;
        let files = Arc::new(sink.files.finish()?);
        Ok(Base { files, scan })
    }

    /// Brings a base up to date with what has changed since it was read, and publishes it. Its caller
    /// has the turn to look.
    ///
    /// # Errors
    /// `LogPruned` if the log cannot be followed from there any more; those of the store.
    fn switch(&self, base: Base, from: Position) -> Result<Done> {
        let start = self.clock.elapsed();
        let mut sink = Sink::new(&self.index);
        let since = self.store.scan_changes(base.scan.position, &mut sink)?;
        let mut unreadable = Unreadable::of(&base.scan);
        unreadable.revise(&sink, &since);
        let stamp = stamp(&since, start, &unreadable);
        self.index
            .replace(base.files, sink.changes(), stamp, |next| {
                self.follower.replaces(next, since.position.covers(from));
            })?;
        self.seen.lock().unreadable = unreadable;
        let scan = base.scan.followed_by(since);
        let mode = SyncMode::Full;
        Ok(Done { mode, from, scan })
    }

    /// Keeps the failure of a pass.
    fn failed(&self, error: Error) -> Error {
        self.seen.lock().failure = Some(SyncFailure {
            at: self.clock.now(),
            error: error.clone(),
        });
        error
    }

    /// Keeps what is known of a pass, and tells it. That the log cannot be followed is no failure:
    /// everything is read next.
    fn noted(&self, start: Duration, done: Result<Done>) -> Result<SyncReport> {
        let Done { mode, from, scan } = match done {
            Ok(done) => done,
            Err(error) if error.kind() == ErrorKind::LogPruned => return Err(error),
            Err(error) => return Err(self.failed(error)),
        };
        let at = self.clock.now();
        let duration = self.clock.elapsed().saturating_sub(start);
        let mut seen = self.seen.lock();
        let looked_at = self.index.snapshot().stamp().looked_at.max(start);
        let nanos = u64::try_from(looked_at.as_nanos()).unwrap_or(u64::MAX);
        self.looked_at.store(nanos, Ordering::Release);
        seen.looked_at = Some(looked_at);
        seen.failure = None;
        seen.last = Some(LastSync { at, mode, duration });
        self.passed.notify_all();
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

/// Whether a pass found that the log does not tell what changed since its position.
fn is_unfollowable(outcome: &Result<SyncReport>) -> bool {
    matches!(outcome, Err(error) if error.kind() == ErrorKind::LogPruned)
}

/// A pass that has published what it read.
struct Done {
    mode: SyncMode,
    from: Position,
    scan: ScanReport,
}

/// Everything, as it was when it was read.
struct Base {
    files: Arc<Segment>,
    scan: ScanReport,
}

fn stamp(scan: &ScanReport, looked_at: Duration, unreadable: &Unreadable) -> Stamp {
    Stamp {
        is_loaded: true,
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
        self.more += scan.skipped_total.saturating_sub(scan.skipped.len() as u64);
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

    fn changes(self) -> Changes {
        Changes {
            files: self.files,
            deleted: self.deleted,
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
