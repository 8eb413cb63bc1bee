//! From a source tree into a store: the tree is scanned, and what is new, changed or gone is
//! written in transactions of bounded size. Each of them is whole files, so a run that is stopped
//! leaves a database that is true of the files it reached, and the next run goes on from there.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::extract::{Outcome, Progress, Scanner, SkipReason, Skipped};
use crate::metadata::{Class, DocSections, FileMetadata, FilePath, FileState, Function};
use crate::position::Position;
use crate::store::{MetadataStore, Versioned, Write};
#[cfg(feature = "sqlite")]
use crate::sync::SyncMode;

/// How many files one transaction holds at most.
const BATCH_FILES: usize = 500;
/// How many bytes of records one transaction holds, roughly: it is closed when it reaches this.
const BATCH_BYTES: usize = 4 << 20;

/// How many skipped files a report names; the rest are only counted.
pub const MAX_SKIPPED_KEPT: usize = 10_000;

/// What a run of [`index_tree`] did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct IndexReport {
    /// Files by outcome, and the bytes that were read.
    pub progress: Progress,
    /// Records that were added.
    pub added: u64,
    /// Records that were replaced, as the file's bytes or its extractor changed.
    pub changed: u64,
    /// Records that were removed, as the file is gone, ignored, or can have none any more.
    pub removed: u64,
    /// How many files were skipped for each reason, by the code of the reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// The skipped files in path order, at most [`MAX_SKIPPED_KEPT`] of them.
    pub skipped_files: Vec<Skipped>,
    /// Records of this run that have no functions, classes and header, as the file's contents could
    /// not be understood, by the code of the reason.
    pub bare: BTreeMap<&'static str, u64>,
    /// Those files in path order, at most [`MAX_SKIPPED_KEPT`] of them.
    pub bare_files: Vec<Skipped>,
    /// Files and directories that could not be read this time, counted in every run. Where there was
    /// a record it was kept as it is; where there was none, there is none. Only if this is 0 are the
    /// records those of the tree.
    pub unconfirmed: u64,
    /// A position that includes every change of the run.
    pub position: Position,
    /// How long it took.
    pub duration: Duration,
}

/// Brings `store` up to date with the tree that `scanner` reads: adds, replaces and removes records
/// until they are those of the files there. `progress` is called after each file, on this thread.
///
/// # Errors
/// Those of the scan and of the store; `Cancelled` soon after `stop` is set. What was done by then is
/// in the store, each file whole.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use cardex::extract::{ScanOptions, Scanner};
/// use cardex::store::{SqliteOptions, SqliteStore};
///
/// # let tree = tempfile::tempdir().unwrap();
/// # std::fs::write(tree.path().join("a.py"), "def f(): pass\n").unwrap();
/// # let file = tree.path().join(".cardex/cardex.db");
/// let store = SqliteStore::open(&file, "default", SqliteOptions::default())?;
/// let scanner = Scanner::open(tree.path(), ScanOptions::default())?;
/// let never = AtomicBool::new(false);
/// let report = cardex::index_tree(&store, &scanner, &never, |_| {})?;
/// assert_eq!((report.added, report.removed), (1, 0));
/// # Ok::<(), cardex::Error>(())
/// ```
pub fn index_tree(
    store: &dyn MetadataStore,
    scanner: &Scanner,
    stop: &AtomicBool,
    progress: impl FnMut(&Progress),
) -> Result<IndexReport> {
    bring_up_to_date(store, scanner, None, stop, &mut |_, _| {}, progress)
}

/// The same for these files alone, and for all that is known or found below those of them that are, or
/// were, directories. Whether they exist, and are of the tree, is found out here.
///
/// # Errors
/// As for [`index_tree`].
pub fn index_paths(
    store: &dyn MetadataStore,
    scanner: &Scanner,
    paths: &[FilePath],
    stop: &AtomicBool,
    progress: impl FnMut(&Progress),
) -> Result<IndexReport> {
    bring_up_to_date(store, scanner, Some(paths), stop, &mut |_, _| {}, progress)
}

/// What became of a file's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileChange {
    /// There was none before.
    Added,
    /// It was replaced.
    Changed,
    /// It was removed.
    Removed,
}

/// [`index_tree`], or [`index_paths`]; `written` is told what became of each file once that is in the
/// database, also where the run fails later.
pub(crate) fn bring_up_to_date(
    store: &dyn MetadataStore,
    scanner: &Scanner,
    only: Option<&[FilePath]>,
    stop: &AtomicBool,
    written: &mut dyn FnMut(FilePath, FileChange),
    mut progress: impl FnMut(&Progress),
) -> Result<IndexReport> {
    let start = Instant::now();
    let known = match only {
        Some(paths) => store.file_states_at(paths)?,
        None => store.file_states()?,
    };
    let mut run = Run {
        store,
        scanner,
        known: known.iter().map(|state| state.path.clone()).collect(),
        batch: Batch::default(),
        damaged: Vec::new(),
        written,
        report: IndexReport::default(),
    };
    let sink = |outcome, so_far: &Progress| {
        run.take(outcome)?;
        progress(so_far);
        Ok(())
    };
    let scanned = match only {
        Some(paths) => scanner.scan_paths(paths, known, stop, sink),
        None => scanner.scan(known, stop, sink),
    };
    // A scan that was told to stop has told the truth until then.
    match &scanned {
        Err(error) if error.kind() != ErrorKind::Cancelled => {}
        _ => run.flush()?,
    }
    if scanned.is_ok() {
        run.repair(stop)?;
    }
    let mut report = run.report;
    report.progress = scanned?;
    if report.position == Position::default() {
        report.position = store.head()?;
    }
    report.duration = start.elapsed();
    Ok(report)
}

#[cfg(feature = "sqlite")]
impl crate::Cardex {
    /// Brings the database up to date with the tree that `scanner` reads, and the index with the
    /// database: what [`index_tree`] does, and a [sync](crate::MetadataCache::sync).
    ///
    /// # Errors
    /// Those of [`index_tree`]. The index is brought up to date with what was done all the same.
    pub fn index_tree(
        &self,
        scanner: &Scanner,
        stop: &AtomicBool,
        progress: impl FnMut(&Progress),
    ) -> Result<IndexReport> {
        let report = index_tree(&**self.store(), scanner, stop, progress);
        self.sync(SyncMode::Incremental)?;
        report
    }
}

/// A run in progress.
struct Run<'a> {
    store: &'a dyn MetadataStore,
    scanner: &'a Scanner,
    /// The paths that had a record when the run began.
    known: HashSet<FilePath>,
    batch: Batch,
    /// Files whose records turned out to be unreadable.
    damaged: Vec<FilePath>,
    /// Told of each file whose change is in the database.
    written: &'a mut dyn FnMut(FilePath, FileChange),
    report: IndexReport,
}

/// The next transaction.
#[derive(Default)]
struct Batch {
    writes: Vec<Write>,
    /// Files whose records are read, refreshed and written back.
    touched: Vec<FileState>,
    bytes: usize,
    removals: bool,
    changes: Vec<(FilePath, FileChange)>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.writes.len() + self.touched.len() >= BATCH_FILES || self.bytes >= BATCH_BYTES
    }
}

impl Run<'_> {
    fn take(&mut self, outcome: Outcome) -> Result<()> {
        match outcome {
            Outcome::Extracted(record) => self.put(*record),
            Outcome::Bare { record, reason } => {
                *self.report.bare.entry(reason.code()).or_default() += 1;
                if self.report.bare_files.len() < MAX_SKIPPED_KEPT {
                    let path = record.path.as_str().into();
                    self.report.bare_files.push(Skipped { path, reason });
                }
                self.put(*record);
            }
            Outcome::Touched(state) => self.batch.touched.push(state),
            Outcome::Gone(path) => self.remove(path),
            Outcome::Unchanged(_) => {}
            Outcome::Skipped(skipped) => self.skip(skipped),
        }
        if self.batch.is_full() {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn put(&mut self, record: FileMetadata) {
        let (change, count) = match self.known.contains(&record.path) {
            true => (FileChange::Changed, &mut self.report.changed),
            false => (FileChange::Added, &mut self.report.added),
        };
        *count += 1;
        self.batch.changes.push((record.path.clone(), change));
        self.batch.bytes += heap_bytes(&record);
        self.batch.writes.push(Write::Put(record));
    }

    fn skip(&mut self, skipped: Skipped) {
        if !skipped.reason.excludes() {
            self.report.unconfirmed += 1;
        } else if let Some(path) = skipped.file()
            && self.known.contains(&path)
        {
            self.remove(path);
        }
        *self
            .report
            .skipped
            .entry(skipped.reason.code())
            .or_default() += 1;
        if self.report.skipped_files.len() < MAX_SKIPPED_KEPT {
            self.report.skipped_files.push(skipped);
        }
    }

    fn remove(&mut self, path: FilePath) {
        self.report.removed += 1;
        self.batch.removals = true;
        self.batch.changes.push((path.clone(), FileChange::Removed));
        self.batch.writes.push(Write::Remove(path));
    }

    /// Writes the batch as one transaction.
    fn flush(&mut self) -> Result<()> {
        let Batch {
            mut writes,
            touched,
            removals,
            mut changes,
            ..
        } = std::mem::take(&mut self.batch);
        if removals {
            // A tree that went away as a whole took no file with it, as far as anybody knows.
            self.scanner.assert_in_place()?;
        }
        let paths: Vec<FilePath> = touched.iter().map(|state| state.path.clone()).collect();
        if !paths.is_empty() {
            let records = self.records(&paths)?;
            let refreshed = records.into_iter().zip(touched);
            writes.extend(refreshed.filter_map(|(found, state)| {
                let record = refresh(found?.record, &state)?;
                Some(Write::Put(record))
            }));
        }
        if !writes.is_empty() {
            match self.store.write(&writes) {
                Err(error) if error.kind() == ErrorKind::InvalidRecord => {
                    self.write_each(&writes, &mut changes)?;
                }
                written => self.report.position = written?,
            }
        }
        for (path, change) in changes {
            (self.written)(path, change);
        }
        // The older record of a file whose new one was refused goes, too.
        match self.batch.writes.is_empty() {
            true => Ok(()),
            false => self.flush(),
        }
    }

    /// Writes each by itself, so that a record that is refused stops no other one: its file is skipped,
    /// and is no change.
    fn write_each(
        &mut self,
        writes: &[Write],
        changes: &mut Vec<(FilePath, FileChange)>,
    ) -> Result<()> {
        for write in writes {
            match (self.store.write(std::slice::from_ref(write)), write) {
                (Err(error), Write::Put(record)) if error.kind() == ErrorKind::InvalidRecord => {
                    self.refused(&record.path, &error, changes);
                }
                (written, _) => self.report.position = written?,
            }
        }
        Ok(())
    }

    fn refused(
        &mut self,
        path: &FilePath,
        error: &Error,
        changes: &mut Vec<(FilePath, FileChange)>,
    ) {
        tracing::warn!(%path, "a file is left out: {error:#}");
        let at = changes.iter().position(|(changed, _)| changed == path);
        match at.map(|at| changes.remove(at).1) {
            Some(FileChange::Added) => self.report.added -= 1,
            Some(FileChange::Changed) => self.report.changed -= 1,
            Some(FileChange::Removed) | None => {}
        }
        self.skip(Skipped {
            path: path.as_str().into(),
            reason: SkipReason::Refused(format!("{error:#}")),
        });
    }
}

impl Run<'_> {
    /// Records of files that were touched. One that cannot be read is noted, to be made anew.
    fn records(&mut self, paths: &[FilePath]) -> Result<Vec<Option<Versioned>>> {
        let fetched = self.store.fetch(paths)?;
        let each = paths.iter().zip(fetched.records);
        each.map(|(path, record)| match record {
            Err(error) if error.kind() == ErrorKind::DatabaseCorrupt => {
                tracing::warn!(%path, "an unreadable record is made anew: {error:#}");
                self.damaged.push(path.clone());
                Ok(None)
            }
            read => read,
        })
        .collect()
    }

    /// Extracts the files of unreadable records, as if nothing were known of them but that they
    /// have one.
    fn repair(&mut self, stop: &AtomicBool) -> Result<()> {
        let damaged = std::mem::take(&mut self.damaged);
        if damaged.is_empty() {
            return Ok(());
        }
        let unknown = damaged.iter().map(|path| FileState {
            path: path.clone(),
            size_bytes: None,
            last_modified: None,
            digest: None,
            read_at: None,
        });
        let scanner = self.scanner;
        scanner.scan_paths(&damaged, unknown, stop, |outcome, _| self.take(outcome))?;
        self.flush()
    }
}

/// The record with the file's new size and times; none if it is the record of other bytes by now.
fn refresh(mut record: FileMetadata, state: &FileState) -> Option<FileMetadata> {
    if record.digest != state.digest {
        return None;
    }
    record.size_bytes = state.size_bytes;
    record.last_modified = state.last_modified;
    record.extraction_timestamp = state.read_at;
    Some(record)
}

/// Roughly what a record takes in memory.
fn heap_bytes(record: &FileMetadata) -> usize {
    let docs = |docs: &DocSections| docs.intent.as_ref().map_or(0, String::len);
    let function = |function: &Function| {
        size_of::<Function>() + docs(&function.doc_sections) + function.parameters.len() * 32
    };
    let class = |class: &Class| {
        size_of::<Class>()
            + docs(&class.doc_sections)
            + class.methods.iter().map(function).sum::<usize>()
    };
    size_of::<FileMetadata>()
        + record.path.as_str().len()
        + record
            .header_sections
            .intent
            .as_ref()
            .map_or(0, String::len)
        + record.functions.iter().map(function).sum::<usize>()
        + record.classes.iter().map(class).sum::<usize>()
}
