//! A store in memory that forgets nothing: it can tell what any file was at any position, and so
//! whether what somebody saw was ever true, and when. Each verb is one step of its thread.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, ManualClock};
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::{FileMetadata, FilePath, FileState, Function};
use crate::metadata_cache::Record;
use crate::position::Position;
use crate::primitives::Mutex;
use crate::query::Answer;
use crate::store::{
    ChangeSet, Fetched, MetadataStore, Removal, RowSink, ScanReport, Stored, Versioned, Write,
};

pub(super) fn path(text: &str) -> FilePath {
    FilePath::new(text).unwrap()
}

/// A record whose one function tells it from any other of its path.
pub(super) fn record(path: &str, mark: &str) -> FileMetadata {
    let builder = FileMetadata::builder(path).language("rust");
    builder.function(Function::named(mark)).build().unwrap()
}

/// Every commit so far: the file that it changed, and what became of it. Commit `n` of a database is
/// at position `n`, counted from 1. The clock moves with each.
#[derive(Debug, Default)]
pub(super) struct History {
    log: Mutex<Log>,
    pub(super) clock: Arc<ManualClock>,
}

#[derive(Debug, Default)]
struct Log {
    /// The commits of each database that stood here, in the order of their epochs.
    databases: Vec<Vec<(FilePath, Option<FileMetadata>)>>,
    /// When each position became the head.
    heads: Vec<(Duration, Position)>,
    /// How often the record of a path was read.
    fetches: BTreeMap<FilePath, u64>,
    trouble: Option<Trouble>,
}

/// What becomes of the next verb that it is about, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Reading records fails.
    Fetch,
    /// Reading records panics.
    FetchPanics,
    /// Reading what changed fails.
    Scan,
}

/// Whether one position came to be after another one, or is the same: epochs only go up here.
pub(super) fn includes(one: Position, other: Position) -> bool {
    (one.epoch, one.sequence) >= (other.epoch, other.sequence)
}

impl Log {
    fn database(&self, epoch: u64) -> &[(FilePath, Option<FileMetadata>)] {
        &self.databases[epoch as usize - 1]
    }

    fn head(&self) -> Position {
        let epoch = self.databases.len() as u64;
        let sequence = self.database(epoch).len() as u64;
        Position { epoch, sequence }
    }

    /// The head is another one from now on.
    fn moved(&mut self, clock: &ManualClock) -> Position {
        clock.advance(Duration::from_millis(1));
        self.heads.push((clock.elapsed(), self.head()));
        self.head()
    }

    fn commit(
        &mut self,
        clock: &ManualClock,
        path: FilePath,
        record: Option<FileMetadata>,
    ) -> Position {
        let database = self
            .databases
            .last_mut()
            .expect("there is one at the start");
        database.push((path, record));
        self.moved(clock)
    }

    /// Whether this trouble is due.
    fn meets(&mut self, trouble: Trouble) -> bool {
        self.trouble.take_if(|due| *due == trouble).is_some()
    }

    /// The last change of a file at or before a position: its version, and the record if it is
    /// there.
    fn state(&self, path: &FilePath, at: Position) -> (u64, Option<&FileMetadata>) {
        let commits = (1..=at.sequence).zip(self.database(at.epoch));
        let changes = commits.filter(|(_, (changed, _))| changed == path);
        match changes.last() {
            Some((version, (_, record))) => (version, record.as_ref()),
            None => (0, None),
        }
    }

    fn paths(&self) -> Vec<FilePath> {
        let commits = self.database(self.head().epoch).iter();
        let mut paths: Vec<_> = commits.map(|(path, _)| path.clone()).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    fn files(&self) -> Vec<Versioned> {
        let paths = self.paths();
        let files = paths.iter().filter_map(|path| {
            let (version, record) = self.state(path, self.head());
            let record = record?.clone();
            Some(Versioned { record, version })
        });
        files.collect()
    }

    /// The first position at or after `from` at which the file was gone.
    fn gone_since(&self, path: &FilePath, from: Position) -> Option<Position> {
        let mut heads = self.heads.iter().map(|(_, head)| *head);
        heads.find(|head| includes(*head, from) && self.state(path, *head).1.is_none())
    }
}

impl History {
    /// With these files at the start, in this order.
    pub(super) fn of(paths: &[&str]) -> Arc<Self> {
        let history = History::default();
        history.log.lock().databases.push(Vec::new());
        for name in paths {
            history.foreign(&record(name, "first"));
        }
        Arc::new(history)
    }

    /// A commit of somebody else.
    pub(super) fn foreign(&self, record: &FileMetadata) -> Position {
        let path = record.path.clone();
        self.log
            .lock()
            .commit(&self.clock, path, Some(record.clone()))
    }

    /// A removal by somebody else.
    pub(super) fn foreign_removal(&self, path: &FilePath) -> Position {
        self.log.lock().commit(&self.clock, path.clone(), None)
    }

    /// Another database stands here from now on: a copy that was made after so many commits.
    pub(super) fn restore(&self, commits: usize) {
        let mut log = self.log.lock();
        let copy = log.database(log.head().epoch)[..commits].to_vec();
        log.databases.push(copy);
        log.moved(&self.clock);
    }

    pub(super) fn trouble(&self, trouble: Trouble) {
        self.log.lock().trouble = Some(trouble);
    }

    /// A look that began at this time has seen every commit until then: `position` includes them.
    pub(super) fn assert_seen(&self, position: Position, looked_at: Duration) {
        let log = self.log.lock();
        let mut known = log.heads.iter().filter(|(time, _)| *time <= looked_at);
        if let Some((_, known)) = known.next_back() {
            let seen = includes(position, *known);
            assert!(
                seen,
                "{position}, and not {known}, after a look at {looked_at:?}"
            );
        }
    }

    /// How often the record of a path was read.
    pub(super) fn fetches(&self, path: &FilePath) -> u64 {
        self.log.lock().fetches.get(path).copied().unwrap_or(0)
    }

    /// The versions of all files at a position.
    fn versions(&self, at: Position) -> BTreeMap<FilePath, u64> {
        let log = self.log.lock();
        let paths = log.database(at.epoch).iter().map(|(path, _)| path);
        let states = paths.filter_map(|path| {
            let (version, record) = log.state(path, at);
            record.map(|_| (path.clone(), version))
        });
        states.collect()
    }
}

/// What one thread has seen, and so what it may see from now on: nothing that was over by then.
#[derive(Clone, Debug)]
pub(super) struct Eyes {
    history: Arc<History>,
    /// The project was seen as of this position, or a later one.
    floor: Position,
}

impl Eyes {
    pub(super) fn new(history: &Arc<History>) -> Self {
        Eyes {
            history: Arc::clone(history),
            floor: Position::default(),
        }
    }

    /// The thread knows of this commit.
    pub(super) fn knows(&mut self, position: Position) {
        if includes(position, self.floor) {
            self.floor = position;
        }
    }

    /// What a get brought: the file as of the position that the record names, and not older than
    /// anything seen before.
    pub(super) fn saw(&mut self, path: &FilePath, seen: Option<&Record>) {
        let history = Arc::clone(&self.history);
        let log = history.log.lock();
        let Some(seen) = seen else {
            let Some(gone) = log.gone_since(path, self.floor) else {
                panic!(
                    "{path} is missing, and was there at {} and since",
                    self.floor
                );
            };
            self.floor = gone;
            return;
        };
        let as_of = seen.as_of();
        assert!(includes(log.head(), as_of), "{as_of} is not yet");
        let truth = log.state(path, as_of);
        assert_eq!(
            (seen.version(), Some(&**seen)),
            truth,
            "{path} as of {as_of}"
        );
        let floor = self.floor;
        assert!(
            includes(as_of, floor),
            "{path} as of {as_of}, after {floor}"
        );
        self.knows(as_of);
    }

    /// What a query for all files brought: history at its position, at or after what was seen.
    pub(super) fn saw_all(&mut self, answer: &Answer) {
        let as_of = answer.as_of();
        let looked_at = self.history.clock.elapsed() - answer.age();
        self.history.assert_seen(as_of, looked_at);
        let hits = answer.hits().map(|hit| (path(hit.path), hit.version));
        let found = hits.collect::<BTreeMap<_, _>>();
        assert_eq!(found, self.history.versions(as_of), "as of {as_of}");
        let floor = self.floor;
        assert!(includes(as_of, floor), "a query at {as_of} after {floor}");
        self.knows(as_of);
    }
}

impl MetadataStore for History {
    fn head(&self) -> Result<Position> {
        Ok(self.log.lock().head())
    }

    fn fetch(&self, paths: &[FilePath]) -> Result<Fetched> {
        let mut log = self.log.lock();
        if log.meets(Trouble::Fetch) {
            return Err(busy());
        }
        if log.meets(Trouble::FetchPanics) {
            drop(log);
            resume_unwind(Box::new("the store breaks"));
        }
        let mut records = Vec::new();
        for path in paths {
            *log.fetches.entry(path.clone()).or_default() += 1;
            let (version, record) = log.state(path, log.head());
            let record = record.cloned();
            records.push(Ok(record.map(|record| Versioned { record, version })));
        }
        let position = log.head();
        Ok(Fetched { position, records })
    }

    fn changes(&self, _: Position, _: usize) -> Result<ChangeSet> {
        unimplemented!("nobody asks for it here")
    }

    fn newest(&self, limit: usize) -> Result<Vec<FilePath>> {
        let files = self.log.lock().files();
        let paths = files.into_iter().map(|file| file.record.path);
        Ok(paths.take(limit).collect())
    }

    fn put(&self, record: &FileMetadata) -> Result<Stored> {
        let existed = {
            let log = self.log.lock();
            log.state(&record.path, log.head()).1.is_some()
        };
        Ok(Stored {
            position: self.foreign(record),
            existed,
            verbatim: true,
        })
    }

    fn remove(&self, path: &FilePath) -> Result<Removal> {
        let mut log = self.log.lock();
        let existed = log.state(path, log.head()).1.is_some();
        let position = match existed {
            true => log.commit(&self.clock, path.clone(), None),
            false => log.head(),
        };
        Ok(Removal { existed, position })
    }

    fn write(&self, _: &[Write]) -> Result<Position> {
        unreachable!("the cache writes one file at a time")
    }

    fn for_each(&self, _: &mut dyn FnMut(Versioned) -> Result<()>) -> Result<ScanReport> {
        unreachable!("the cache reads no whole project of records")
    }

    fn file_states(&self) -> Result<Vec<FileState>> {
        unreachable!("the cache compares no contents")
    }

    fn scan(&self, sink: &mut dyn RowSink) -> Result<ScanReport> {
        let (head, files) = {
            let log = self.log.lock();
            (log.head(), log.files())
        };
        for file in &files {
            hand_over(sink, file);
        }
        Ok(ScanReport {
            position: head,
            files: files.len() as u64,
            ..ScanReport::default()
        })
    }

    fn scan_changes(&self, since: Position, sink: &mut dyn RowSink) -> Result<ScanReport> {
        let mut log = self.log.lock();
        if log.meets(Trouble::Scan) {
            return Err(busy());
        }
        let (head, mut paths) = (log.head(), log.paths());
        if since.epoch != head.epoch {
            return Err(Error::new(ErrorKind::LogPruned, "another database"));
        }
        paths.retain(|path| log.state(path, head).0 > since.sequence);
        let states = paths.into_iter().map(|path| {
            let (version, record) = log.state(&path, head);
            let record = record.cloned();
            (path, record.map(|record| Versioned { record, version }))
        });
        let states: Vec<_> = states.collect();
        drop(log);
        let mut report = ScanReport {
            position: head,
            ..ScanReport::default()
        };
        for (path, file) in &states {
            match file {
                Some(file) => {
                    hand_over(sink, file);
                    report.files += 1;
                }
                None => {
                    sink.deleted(path.as_str());
                    report.deleted += 1;
                }
            }
        }
        Ok(report)
    }
}

fn busy() -> Error {
    Error::new(ErrorKind::DatabaseBusy, "somebody writes")
}

fn hand_over(sink: &mut dyn RowSink, file: &Versioned) {
    let record = &file.record;
    sink.file(
        record.path.as_str(),
        record.language.as_deref(),
        file.version,
    );
    for function in &record.functions {
        sink.function(function.name.as_deref().unwrap_or_default());
    }
}
