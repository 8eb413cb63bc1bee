//! Moves rows from a store to an index: everything at once, or what the change log names since the
//! position of the current snapshot. The position moves last: a pass that fails changes nothing.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::error::{ErrorKind, Result};
use crate::index::{Changes, Index, SegmentBuilder};
use crate::position::Position;
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

/// Keeps an index equal to a store. It is the only writer of that index.
#[derive(Debug)]
pub struct Synchronizer {
    store: Arc<dyn MetadataStore>,
    index: Arc<Index>,
    clock: Arc<dyn Clock>,
    /// One pass at a time; held while the database is read, and by nobody who reads the index.
    pass: Mutex<()>,
}

impl Synchronizer {
    /// A synchronizer; the index stays as it is until the first pass.
    pub fn new(store: Arc<dyn MetadataStore>, index: Arc<Index>, clock: Arc<dyn Clock>) -> Self {
        Synchronizer {
            store,
            index,
            clock,
            pass: Mutex::new(()),
        }
    }

    /// Reads every row aside and switches at once: readers never see an emptied or half index.
    ///
    /// # Errors
    /// Those of the store. The index stays as it was.
    pub fn full(&self) -> Result<SyncReport> {
        let _pass = self.pass.lock();
        self.full_pass()
    }

    /// Reads what changed since the index's position; everything, if the log cannot tell.
    ///
    /// # Errors
    /// Those of the store. The index and its position stay as they were.
    pub fn incremental(&self) -> Result<SyncReport> {
        let _pass = self.pass.lock();
        let start = self.clock.elapsed();
        let from = self.index.snapshot().position();
        let mut sink = Sink {
            files: self.index.builder(),
            deleted: Vec::new(),
        };
        let scan = match self.store.scan_changes(from, &mut sink) {
            Err(error) if error.kind() == ErrorKind::LogPruned => return self.full_pass(),
            scan => scan?,
        };
        if scan.position != from {
            let changes = Changes {
                files: sink.files,
                deleted: sink.deleted,
            };
            self.index.apply(changes, scan.position)?;
        }
        Ok(self.report(SyncMode::Incremental, from, scan, start))
    }

    fn full_pass(&self) -> Result<SyncReport> {
        let start = self.clock.elapsed();
        let from = self.index.snapshot().position();
        let mut sink = Sink {
            files: self.index.builder(),
            deleted: Vec::new(),
        };
        let scan = self.store.scan(&mut sink)?;
        self.index.replace(sink.files, scan.position)?;
        Ok(self.report(SyncMode::Full, from, scan, start))
    }

    fn report(
        &self,
        mode: SyncMode,
        from: Position,
        scan: ScanReport,
        start: Duration,
    ) -> SyncReport {
        let duration = self.clock.elapsed().saturating_sub(start);
        SyncReport {
            mode,
            from,
            to: scan.position,
            files: scan.files,
            deleted: scan.deleted,
            skipped: scan.skipped,
            skipped_total: scan.skipped_total,
            duration,
        }
    }
}

/// Takes rows into a segment to be.
struct Sink {
    files: SegmentBuilder,
    deleted: Vec<String>,
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
