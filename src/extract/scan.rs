//! `Scanner`: walks a tree, compares it with what is known, and extracts what changed, on several
//! threads. The caller's sink gets one outcome a file, in path order, on the caller's thread.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use ignore::overrides::Override;
use parking_lot::{Condvar, Mutex};
use smol_str::SmolStr;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::{FileMetadata, FilePath, FileState};

use super::language::{Language, document_type};
use super::parser::TreeSitterExtractor;
use super::read::{NotRead, Root, SNIFF_BYTES};
use super::skip::{SkipReason, Skipped};
use super::source::{Budget, Extractor, Source};
use super::state::digest;
use super::walk::{self, Candidate, Filter, Only, Walked};

/// Records that wait for an earlier file, at most: a slow file delays the ones after it, and this
/// bounds the memory that they take meanwhile.
const WINDOW: usize = 256;

/// How often a waiting thread looks at the stop flag.
const STOP_POLL: Duration = Duration::from_millis(20);

/// The stack of a thread that extracts: an extractor of the host's may want more than the usual.
const STACK_BYTES: usize = 8 << 20;

/// What a scan reads and what it leaves out.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// Globs in the syntax of `.gitignore`, relative to the root.
    pub exclude: Vec<String>,
    /// Only files of these languages; empty means all, also files of no known language.
    pub languages: Vec<Language>,
    /// Files and directories that are no part of the tree though they lie in it, as absolute paths:
    /// the database that the records go to. They count as absent, without a word.
    pub leave_out: Vec<PathBuf>,
    /// Larger files are skipped. 16 MiB by default.
    pub max_file_bytes: u64,
    /// Processor time that one file may take. 2 s by default.
    pub time_per_file: Duration,
    /// Threads that read and extract; as many as there are processors by default.
    pub threads: Option<NonZeroUsize>,
    /// Extracts every file, changed or not: for when the extractor got better.
    pub force: bool,
}

impl Default for ScanOptions {
    fn default() -> Self {
        ScanOptions {
            exclude: Vec::new(),
            languages: Vec::new(),
            leave_out: Vec::new(),
            max_file_bytes: 16 << 20,
            time_per_file: Duration::from_secs(2),
            threads: None,
            force: false,
        }
    }
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is new or changed; here is its record.
    Extracted(Box<FileMetadata>),
    /// It is new or changed, and its contents could not be understood: here is its record without
    /// functions, classes and header, and why. It is found by path and language all the same.
    Bare {
        /// The record.
        record: Box<FileMetadata>,
        /// What stood in the way.
        reason: SkipReason,
    },
    /// Its size or time moved, its bytes did not: refresh those of the record, and the time of
    /// its reading.
    Touched(FileState),
    /// It is as it was; it was not read.
    Unchanged(FilePath),
    /// It was known, and no longer exists or is now ignored: its record must go.
    Gone(FilePath),
    /// It has no record, and why. A record that is known for it must go if the reason
    /// [excludes](SkipReason::excludes) it.
    Skipped(Skipped),
}

/// How far a scan is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Outcomes there will be, known when the walk is over.
    pub files: u64,
    /// Outcomes so far.
    pub done: u64,
    /// Bytes of the files that were read.
    pub bytes: u64,
    /// Files extracted, also those [without contents](Outcome::Bare).
    pub extracted: u64,
    /// Files whose bytes had not changed.
    pub touched: u64,
    /// Files not read.
    pub unchanged: u64,
    /// Files gone.
    pub gone: u64,
    /// Files skipped.
    pub skipped: u64,
}

impl Progress {
    fn count(&mut self, outcome: &Outcome) {
        self.done += 1;
        let (kind, bytes) = match outcome {
            Outcome::Extracted(record) | Outcome::Bare { record, .. } => {
                (&mut self.extracted, record.size_bytes)
            }
            Outcome::Touched(state) => (&mut self.touched, state.size_bytes),
            Outcome::Unchanged(_) => (&mut self.unchanged, None),
            Outcome::Gone(_) => (&mut self.gone, None),
            Outcome::Skipped(_) => (&mut self.skipped, None),
        };
        *kind += 1;
        self.bytes += bytes.unwrap_or(0);
    }
}

/// Reads a source tree into records.
///
/// Every text file that git would see becomes one: of a parsed language with its functions and
/// classes, of another known language with its header, of an unknown one with path, size and
/// digest alone.
///
/// ```no_run
/// use std::sync::atomic::AtomicBool;
/// use cardex::extract::{Outcome, ScanOptions, Scanner};
///
/// let scanner = Scanner::open("path/to/tree".as_ref(), ScanOptions::default())?;
/// scanner.scan([], &AtomicBool::new(false), |outcome, progress| {
///     if let Outcome::Extracted(record) = outcome {
///         println!("{}/{} {}", progress.done, progress.files, record.path);
///     }
///     Ok(())
/// })?;
/// # Ok::<(), cardex::Error>(())
/// ```
pub struct Scanner {
    root: PathBuf,
    directory: Root,
    options: ScanOptions,
    excludes: Override,
    /// With every link in the path of their directory resolved.
    leave_out: HashSet<PathBuf>,
    extractor: Arc<dyn Extractor>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner")
            .field("root", &self.root)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Scanner {
    /// A scanner of the tree below `root`, with the built-in extractor.
    ///
    /// # Errors
    /// `Io` if the root is no directory that can be read, `InvalidPattern` for a bad glob.
    pub fn open(root: &Path, options: ScanOptions) -> Result<Self> {
        let root = root.canonicalize().map_err(|cause| {
            Error::new(ErrorKind::Io, format!("cannot reach {}", root.display())).because(cause)
        })?;
        Ok(Scanner {
            directory: Root::open(&root)?,
            excludes: walk::excludes(&root, &options.exclude)?,
            leave_out: options.leave_out.iter().map(|path| real(path)).collect(),
            root,
            options,
            extractor: Arc::new(TreeSitterExtractor::new()),
            clock: Arc::new(SystemClock),
        })
    }

    /// The same with the host's own extractor.
    #[must_use]
    pub fn with_extractor(mut self, extractor: Arc<dyn Extractor>) -> Self {
        self.extractor = extractor;
        self
    }

    /// The same with another clock for the times of extraction.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The root, with every symbolic link in its own path resolved.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The same scanner of what stands at the root now: a root that was removed and made anew is
    /// another directory, and this one goes on with the old one.
    ///
    /// # Errors
    /// `Io` if the root is no directory that can be read.
    pub fn reopened(&self) -> Result<Self> {
        Ok(Scanner {
            root: self.root.clone(),
            directory: Root::open(&self.root)?,
            options: self.options.clone(),
            excludes: self.excludes.clone(),
            leave_out: self.leave_out.clone(),
            extractor: Arc::clone(&self.extractor),
            clock: Arc::clone(&self.clock),
        })
    }

    /// That the directory which is read still stands at the root. Where it does not, nobody knows what
    /// is gone.
    ///
    /// # Errors
    /// `NotFound` if nothing stands there, or another directory.
    pub fn assert_in_place(&self) -> Result<()> {
        if self.directory.stands_at(&self.root) {
            return Ok(());
        }
        let message = format!("the tree {} is not there any more", self.root.display());
        let help = "what is known of its files stays as it is: put it back, or mount it again";
        Err(Error::new(ErrorKind::NotFound, message).with_help(help))
    }

    /// What is left out, by the ignore rules of now.
    pub(crate) fn filter(&self) -> Filter {
        Filter::new(&self.root, self.excludes.clone(), self.leave_out.clone())
    }

    /// The version of the extractor: where it differs from the one that made the known records,
    /// scan with [`ScanOptions::force`].
    pub fn extractor_version(&self) -> u32 {
        self.extractor.version()
    }

    /// Scans the whole tree. `known` is what the stored records say of their files; `sink` gets
    /// one outcome for each file found or known, in path order.
    ///
    /// # Errors
    /// `Io` if the root cannot be read; `Cancelled` soon after `stop` is set: outcomes given by then
    /// are true, and the rest is not known; any error of the sink, which ends the scan.
    pub fn scan(
        &self,
        known: impl IntoIterator<Item = FileState>,
        stop: &AtomicBool,
        sink: impl FnMut(Outcome, &Progress) -> Result<()>,
    ) -> Result<Progress> {
        self.run(None, known.into_iter().collect(), stop, sink)
    }

    /// Scans only these files, and all that is below those of them that are directories. Ignore
    /// rules hold as in a full scan. Of `known`, what lies elsewhere is left alone.
    ///
    /// # Errors
    /// As for [`Scanner::scan`].
    pub fn scan_paths(
        &self,
        paths: &[FilePath],
        known: impl IntoIterator<Item = FileState>,
        stop: &AtomicBool,
        sink: impl FnMut(Outcome, &Progress) -> Result<()>,
    ) -> Result<Progress> {
        let only = Only::new(paths);
        let known = known
            .into_iter()
            .filter(|state| only.has(Path::new(state.path.as_str())))
            .collect();
        self.run(Some(paths), known, stop, sink)
    }

    fn threads(&self) -> usize {
        let available = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.options
            .threads
            .map_or_else(available, NonZeroUsize::get)
    }

    fn run(
        &self,
        only: Option<&[FilePath]>,
        known: Vec<FileState>,
        stop: &AtomicBool,
        mut sink: impl FnMut(Outcome, &Progress) -> Result<()>,
    ) -> Result<Progress> {
        let walked = walk::walk(&self.root, self.filter(), only, self.threads(), stop)?;
        let (steps, work) = plan(walked, known, &self.options);
        let mut progress = Progress {
            files: steps.len() as u64,
            ..Progress::default()
        };
        let mut emit = |outcome: Option<Outcome>| match outcome {
            Some(outcome) => {
                progress.count(&outcome);
                sink(outcome, &progress)
            }
            None => {
                progress.files -= 1;
                Ok(())
            }
        };
        let halt = AtomicBool::new(false);
        let crew = Crew {
            scanner: self,
            work: &work,
            next: AtomicUsize::new(0),
            window: Window {
                free: Mutex::new(WINDOW),
                freed: Condvar::new(),
            },
            halt: &halt,
            documents: Mutex::default(),
        };
        let result = std::thread::scope(|scope| {
            let _halt = HaltOnDrop(&halt);
            let (results, inbox) = mpsc::channel();
            for _ in 0..self.threads().min(work.len()) {
                let (crew, results) = (&crew, results.clone());
                std::thread::Builder::new()
                    .name("cardex-extract".into())
                    .stack_size(STACK_BYTES)
                    .spawn_scoped(scope, move || crew.work(&results))
                    .map_err(|cause| {
                        Error::new(ErrorKind::Io, "cannot start a thread to extract on")
                            .because(cause)
                    })?;
            }
            drop(results);
            deliver(steps, &inbox, &crew.window, stop, &mut emit)
        });
        result.map(|()| progress)
    }

    /// Reads one file and decides. None if there is nothing to say of it: it is gone and was not
    /// known, or it is not of the languages asked for.
    fn examine(
        &self,
        task: &Task,
        buffer: &mut Vec<u8>,
        exists: &dyn Fn(&FilePath) -> bool,
        halt: &AtomicBool,
    ) -> Option<Outcome> {
        let path = &task.path;
        let gone = || task.known.is_some().then(|| Outcome::Gone(path.clone()));
        let skip = |reason| {
            Some(Outcome::Skipped(Skipped {
                path: PathBuf::from(path.as_str()),
                reason,
            }))
        };
        let facts = match self
            .directory
            .read(path, self.options.max_file_bytes, buffer)
        {
            Ok(facts) => facts,
            Err(NotRead::Gone) => return gone(),
            Err(NotRead::Skip(reason)) => return skip(reason),
        };
        let read_at = self.clock.now();
        if buffer[..buffer.len().min(SNIFF_BYTES)].contains(&0) {
            return skip(SkipReason::Binary);
        }
        let language = Language::of(path, buffer);
        if !wanted(&self.options.languages, language) {
            return gone();
        }
        let digest = digest(buffer);
        let read = FileState {
            path: path.clone(),
            size_bytes: Some(facts.size_bytes),
            last_modified: facts.last_modified,
            digest: Some(digest),
            read_at: Some(read_at),
        };
        let known = task.known.as_ref();
        let known = known.filter(|known| known.digest == read.digest);
        if let Some(known) = known.filter(|_| !self.options.force) {
            // Read too soon after its last change, and now again: nothing is better known.
            return Some(match read.is_as_unsettled_as(known) {
                true => Outcome::Unchanged(read.path),
                false => Outcome::Touched(read),
            });
        }
        let Ok(text) = std::str::from_utf8(buffer) else {
            return match is_text(buffer) {
                true => Some(bare(language, read, SkipReason::NotUtf8)),
                false => skip(SkipReason::Binary),
            };
        };
        let source = Source {
            path,
            text,
            language,
            last_modified: facts.last_modified,
            exists,
        };
        let budget = Budget::new(self.options.time_per_file, halt);
        // A parser is foreign code on hostile input: what breaks in it costs this file only.
        let extracted = catch_unwind(AssertUnwindSafe(|| {
            self.extractor.extract(&source, &budget)
        }));
        let reason = match extracted {
            Ok(Ok(mut record)) => {
                complete(&mut record, read);
                return Some(Outcome::Extracted(Box::new(record)));
            }
            Ok(Err(reason)) => reason,
            Err(panic) => SkipReason::Panicked(panic_message(&*panic)),
        };
        match reason {
            // The same bytes were understood before, given more time.
            SkipReason::TimedOut { .. } if known.is_some() => Some(Outcome::Touched(read)),
            reason if reason.leaves_a_record() => Some(bare(language, read, reason)),
            reason => skip(reason),
        }
    }

    /// Whether a path names a file of the tree. Links count only where they stay inside.
    fn is_file(&self, path: &FilePath) -> bool {
        path.resolve_in(&self.root).is_ok_and(|real| real.is_file())
    }
}

/// A path whose directory is the real one; the file itself need not exist.
fn real(path: &Path) -> PathBuf {
    let whole = (path.parent(), path.file_name());
    match whole {
        (Some(directory), Some(name)) => directory
            .canonicalize()
            .map_or_else(|_| path.to_path_buf(), |directory| directory.join(name)),
        _ => path.to_path_buf(),
    }
}

/// What change detection rests on is not left to an extractor.
fn complete(record: &mut FileMetadata, read: FileState) {
    record.path = read.path;
    record.size_bytes = read.size_bytes;
    record.last_modified = read.last_modified;
    record.digest = read.digest;
    record.extraction_timestamp = read.read_at;
}

/// The record of a file whose contents are not understood.
fn bare(language: Option<Language>, read: FileState, reason: SkipReason) -> Outcome {
    let mut record = FileMetadata::new(read.path.clone());
    record.language = language.map(|language| SmolStr::new_static(language.name()));
    record.document_type = document_type(&read.path, language);
    complete(&mut record, read);
    let record = Box::new(record);
    Outcome::Bare { record, reason }
}

/// Whether bytes that are no UTF-8 are text of another encoding: nobody writes control characters
/// other than these.
fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(SNIFF_BYTES)];
    let odd = |byte: &u8| matches!(byte, 0..=6 | 14..=26 | 28..=31 | 127);
    !head.iter().any(odd)
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}

fn wanted(languages: &[Language], language: Option<Language>) -> bool {
    languages.is_empty() || language.is_some_and(|language| languages.contains(&language))
}

/// A file to be read.
#[derive(Debug)]
struct Task {
    path: FilePath,
    known: Option<FileState>,
}

/// What will be told, in path order.
#[derive(Debug)]
enum Step {
    /// Already decided.
    Known(Outcome),
    /// To be decided by the next task.
    Task,
}

/// Compares what the walk found with what is known. The tasks stand in the order of their steps.
fn plan(walked: Walked, known: Vec<FileState>, options: &ScanOptions) -> (Vec<Step>, Vec<Task>) {
    let mut known: HashMap<FilePath, FileState> = known
        .into_iter()
        .map(|state| (state.path.clone(), state))
        .collect();
    let mut steps: Vec<(PathBuf, Option<Outcome>, Option<Task>)> = Vec::new();
    for Candidate {
        path,
        size_bytes,
        last_modified,
    } in walked.candidates
    {
        let by_name = Language::of(&path, b"");
        // A `.h` file's language is in its text, so is that of a file without an extension.
        let undecided = by_name.is_none_or(|language| language.name() == "c");
        if !undecided && !wanted(&options.languages, by_name) {
            continue;
        }
        let key = PathBuf::from(path.as_str());
        let state = known.remove(&path);
        let limit = options.max_file_bytes;
        if size_bytes > limit {
            let reason = SkipReason::TooLarge {
                bytes: size_bytes,
                limit,
            };
            let skipped = Skipped {
                path: key.clone(),
                reason,
            };
            steps.push((key, Some(Outcome::Skipped(skipped)), None));
        } else if !options.force
            && state
                .as_ref()
                .is_some_and(|state| state.is_current(size_bytes, last_modified))
        {
            steps.push((key, Some(Outcome::Unchanged(path)), None));
        } else {
            steps.push((key, None, Some(Task { path, known: state })));
        }
    }
    let mut unreadable: Vec<(PathBuf, SkipReason)> = Vec::new();
    for skipped in walked.skipped {
        if let Some(file) = skipped.file() {
            known.remove(&file);
        }
        if matches!(skipped.reason, SkipReason::Unreadable(_)) {
            unreadable.push((skipped.path.clone(), skipped.reason.clone()));
        }
        steps.push((skipped.path.clone(), Some(Outcome::Skipped(skipped)), None));
    }
    for path in known.into_keys() {
        let key = PathBuf::from(path.as_str());
        // Below a directory that cannot be read nobody knows what is gone.
        let above = unreadable
            .iter()
            .find(|(directory, _)| key.starts_with(directory));
        let outcome = match above {
            Some((_, reason)) => Outcome::Skipped(Skipped {
                path: key.clone(),
                reason: reason.clone(),
            }),
            None => Outcome::Gone(path),
        };
        steps.push((key, Some(outcome), None));
    }
    // The order of records: bytes of the whole path, not one directory after the other.
    steps.sort_by(|a, b| {
        a.0.as_os_str()
            .as_encoded_bytes()
            .cmp(b.0.as_os_str().as_encoded_bytes())
    });
    let mut tasks = Vec::new();
    let steps = steps
        .into_iter()
        .map(|(_, outcome, task)| {
            tasks.extend(task);
            outcome.map_or(Step::Task, Step::Known)
        })
        .collect();
    (steps, tasks)
}

/// Gives each step's outcome to `emit` in order. Results that come early wait; there are at most as
/// many as the window is wide.
fn deliver(
    steps: Vec<Step>,
    inbox: &mpsc::Receiver<(usize, Option<Outcome>)>,
    window: &Window,
    stop: &AtomicBool,
    emit: &mut impl FnMut(Option<Outcome>) -> Result<()>,
) -> Result<()> {
    let stopped = || Error::new(ErrorKind::Cancelled, "the scan was told to stop");
    let mut early: HashMap<usize, Option<Outcome>> = HashMap::new();
    let mut next_task = 0;
    for step in steps {
        if stop.load(Ordering::Relaxed) {
            return Err(stopped());
        }
        let outcome = match step {
            Step::Known(outcome) => Some(outcome),
            Step::Task => {
                let outcome = loop {
                    if let Some(outcome) = early.remove(&next_task) {
                        break outcome;
                    }
                    match inbox.recv_timeout(STOP_POLL) {
                        Ok((index, outcome)) => {
                            early.insert(index, outcome);
                        }
                        Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => {
                            return Err(stopped());
                        }
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => {
                            return Err(Error::new(
                                ErrorKind::Internal,
                                "the extraction threads ended before their work",
                            ));
                        }
                    }
                };
                next_task += 1;
                window.free();
                outcome
            }
        };
        emit(outcome)?;
    }
    Ok(())
}

/// How many tasks may be taken before the oldest of them is delivered.
struct Window {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Window {
    /// Waits for room; false when told to halt.
    fn take(&self, halt: &AtomicBool) -> bool {
        let mut free = self.free.lock();
        while *free == 0 {
            if halt.load(Ordering::Relaxed) {
                return false;
            }
            self.freed.wait_for(&mut free, STOP_POLL);
        }
        *free -= 1;
        true
    }

    fn free(&self) {
        *self.free.lock() += 1;
        self.freed.notify_one();
    }
}

/// Sends the threads home however the caller's part ends: also by a panic of its sink.
struct HaltOnDrop<'a>(&'a AtomicBool);

impl Drop for HaltOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the threads of one scan share.
struct Crew<'a> {
    scanner: &'a Scanner,
    work: &'a [Task],
    next: AtomicUsize,
    window: Window,
    halt: &'a AtomicBool,
    /// Documents that were asked for, and whether they exist: many files mention the same few.
    documents: Mutex<(HashSet<FilePath>, HashSet<FilePath>)>,
}

impl Crew<'_> {
    /// Takes tasks in order until none is left. Room is taken first: so the oldest task not yet
    /// delivered always has its own, and the threads cannot wait for each other.
    fn work(&self, results: &mpsc::Sender<(usize, Option<Outcome>)>) {
        let mut buffer = Vec::new();
        let exists = |path: &FilePath| self.exists(path);
        while !self.halt.load(Ordering::Relaxed) && self.window.take(self.halt) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = self.work.get(index) else {
                break;
            };
            let outcome = self.scanner.examine(task, &mut buffer, &exists, self.halt);
            if results.send((index, outcome)).is_err() {
                break;
            }
        }
    }

    fn exists(&self, path: &FilePath) -> bool {
        {
            let (present, absent) = &*self.documents.lock();
            if present.contains(path) || absent.contains(path) {
                return present.contains(path);
            }
        }
        let exists = self.scanner.is_file(path);
        let (present, absent) = &mut *self.documents.lock();
        if exists { present } else { absent }.insert(path.clone());
        exists
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_an_unreadable_directory_nothing_is_gone() {
        let known = ["a/b.py", "a/c/d.py", "e.py"].map(|path| FileState {
            path: FilePath::new(path).unwrap(),
            size_bytes: None,
            last_modified: None,
            digest: None,
            read_at: None,
        });
        let unreadable = |path: &str| Skipped {
            path: PathBuf::from(path),
            reason: SkipReason::Unreadable("permission denied".into()),
        };
        let told = |path: &str| {
            let walked = Walked {
                candidates: Vec::new(),
                skipped: vec![unreadable(path)],
            };
            let (steps, tasks) = plan(walked, known.to_vec(), &ScanOptions::default());
            assert!(tasks.is_empty());
            let lines = steps.iter().map(|step| match step {
                Step::Known(Outcome::Gone(path)) => format!("{path} gone"),
                Step::Known(Outcome::Skipped(skipped)) => {
                    assert!(!skipped.reason.excludes());
                    skipped.path.display().to_string()
                }
                other => panic!("{other:?}"),
            });
            lines.collect::<Vec<_>>()
        };
        assert_eq!(told("a"), ["a", "a/b.py", "a/c/d.py", "e.py gone"]);
        assert_eq!(told(""), ["", "a/b.py", "a/c/d.py", "e.py"]);
        assert_eq!(told("e.py"), ["a/b.py gone", "a/c/d.py gone", "e.py"]);
    }
}
