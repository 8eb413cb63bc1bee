//! `Round`: what the thread does that brings the tree in. It takes the paths that are due, reads them and
//! writes what has changed; what fails waits and is tried again. It watches over the root, and has the
//! whole tree looked at now and then.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::backend::Ask;
use super::batch::{WatchBatch, WatchCause};
use super::coalesce::{Due, Event};
use super::shared::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::extract::{Scanner, SkipReason, Skipped};
use crate::indexing::{IndexReport, bring_up_to_date};
use crate::metadata::FilePath;
use crate::panics::caught;
use crate::position::Position;
use crate::store::MetadataStore;

/// How often it is looked whether the root is still there.
const ROOT_CHECK: Duration = Duration::from_secs(1);

/// How often, while it is not.
const LOST_CHECK: Duration = Duration::from_millis(250);

/// The rest after a failure, doubled after each one that follows it.
const FIRST_REST: Duration = Duration::from_millis(50);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// A look at a tree that is polled is followed by a rest of so many times its length.
const REST_PER_LOOK: u32 = 10;

/// Told of each batch.
pub(super) type OnBatch = Arc<dyn Fn(&WatchBatch) + Send + Sync>;

/// What the thread that brings the tree in knows.
pub(super) struct Round {
    shared: Arc<Shared>,
    store: Arc<dyn MetadataStore>,
    on_batch: OnBatch,
    /// Asks whoever listens for events.
    ask: Box<dyn Fn(Ask) + Send>,
    next_reconcile: Duration,
    next_poll: Duration,
    next_root_check: Duration,
    /// Nothing is tried before this time.
    resting_until: Duration,
    rest: Duration,
    /// What is in the database and not told of yet.
    batch: WatchBatch,
    /// Whether the whole tree has not been looked at since it is watched.
    is_starting: bool,
}

impl Round {
    pub(super) fn new(
        shared: &Arc<Shared>,
        store: &Arc<dyn MetadataStore>,
        on_batch: &OnBatch,
        ask: Box<dyn Fn(Ask) + Send>,
    ) -> Self {
        let now = shared.clock.elapsed();
        Round {
            shared: Arc::clone(shared),
            store: Arc::clone(store),
            on_batch: Arc::clone(on_batch),
            ask,
            next_reconcile: now + shared.options.reconcile_every(),
            next_poll: now + shared.options.poll_every(),
            next_root_check: now,
            resting_until: Duration::ZERO,
            rest: FIRST_REST,
            batch: WatchBatch::new(),
            is_starting: true,
        }
    }

    /// Does what is due, and returns how long until something is.
    pub(super) fn run(&mut self, stop: &AtomicBool) -> Option<Duration> {
        let now = self.shared.clock.elapsed();
        let is_blind = self.shared.is_blind.load(Ordering::Acquire);
        if is_blind || now >= self.next_root_check {
            self.next_root_check = now + ROOT_CHECK;
            if let Err(error) = self.look_at_root() {
                self.lose(error);
                return Some(LOST_CHECK);
            }
        }
        if self.shared.is_polling() && now >= self.next_poll {
            self.next_poll = now + self.shared.options.poll_every();
            self.shared.reconcile_at_once();
        }
        if now >= self.next_reconcile {
            self.next_reconcile = now + self.shared.options.reconcile_every();
            (self.ask)(Ask::Reconcile);
        }
        if now >= self.resting_until {
            let due = self.shared.coalescer.lock().take_due(now);
            if !due.is_empty() {
                self.bring_in(due, stop);
            }
        }
        Some(self.wait())
    }

    /// How long until something is due.
    fn wait(&self) -> Duration {
        let now = self.shared.clock.elapsed();
        let deadline = self.shared.coalescer.lock().deadline();
        let work = deadline.map(|deadline| deadline.max(self.resting_until));
        let poll = self.shared.is_polling().then_some(self.next_poll);
        let next = self.next_root_check.min(self.next_reconcile);
        let next = [work, poll].into_iter().flatten().fold(next, Duration::min);
        next.saturating_sub(now)
    }

    /// That the tree is there. One that was made anew, or came back, is watched from the beginning.
    fn look_at_root(&mut self) -> Result<()> {
        let scanner = self.shared.scanner();
        let is_blind = self.shared.is_blind.load(Ordering::Acquire);
        let was_lost = self.shared.state.lock().lost.is_some();
        if scanner.assert_in_place().is_ok() {
            if is_blind || was_lost {
                self.find();
            }
            return Ok(());
        }
        let scanner = match scanner.reopened() {
            Ok(new) => new,
            Err(_) => return scanner.assert_in_place(),
        };
        if is_empty(&scanner) && self.has_records()? {
            let message = format!("the tree {} is empty", self.shared.root.display());
            let help = "it may be a disk that is not mounted: what is known of its files stays until \
                        there is one; `cardex index` makes the database empty as well";
            return Err(Error::new(ErrorKind::NotFound, message).with_help(help));
        }
        *self.shared.scanner.lock() = Arc::new(scanner);
        self.find();
        Ok(())
    }

    fn has_records(&self) -> Result<bool> {
        let some = self.store.changes(Position::default(), 1)?;
        Ok(!some.changes.is_empty())
    }

    fn find(&mut self) {
        if self.shared.state.lock().lost.take().is_some() {
            tracing::warn!("the tree {} is back", self.shared.root.display());
        }
        self.next_root_check = self.shared.clock.elapsed() + LOST_CHECK;
        (self.ask)(Ask::Reset);
    }

    /// The tree is not there: what waits is of no use, and what is known stays as it is.
    fn lose(&mut self, error: Error) {
        self.shared.coalescer.lock().clear();
        let old = self.shared.state.lock().lost.replace(error.clone());
        if old.is_none() {
            tracing::warn!("{error:#}; its records stay as they are");
        }
    }

    /// Brings in the paths that are due; those that cannot be wait again.
    fn bring_in(&mut self, due: Vec<Due>, stop: &AtomicBool) {
        let started = self.shared.clock.elapsed();
        let is_whole = due.iter().any(|due| due.path.is_empty());
        let may_be_first = is_whole && self.shared.has_started();
        let done = match is_whole {
            true => self.index(None, stop),
            false => self.needed(&due).and_then(|paths| match paths.is_empty() {
                true => Ok(()),
                false => self.index_each_or_all(&paths, stop),
            }),
        };
        let took = self.shared.clock.elapsed() - started;
        if self.shared.is_polling() {
            let rest = self.shared.options.poll_every().max(took * REST_PER_LOOK);
            self.next_poll = started + took + rest;
        }
        match done {
            Ok(()) => self.tell(&due, is_whole, may_be_first),
            Err(error) => self.fail(due, &error),
        }
    }

    /// The paths that something is to be done for: a file that came and went is nothing, unless there is
    /// a record of it.
    fn needed(&self, due: &[Due]) -> Result<Vec<FilePath>> {
        let path = |due: &Due| FilePath::new(&due.path).ok();
        let (passing, mut paths): (Vec<&Due>, Vec<&Due>) =
            due.iter().partition(|due| due.fate.is_nothing());
        let names: Vec<FilePath> = passing.iter().filter_map(|due| path(due)).collect();
        if !names.is_empty() {
            let known = self.store.file_states_at(&names)?;
            paths.extend(passing.into_iter().filter(|due| {
                let below = |file: &str| {
                    let rest = file.strip_prefix(due.path.as_str());
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                known.iter().any(|state| below(state.path.as_str()))
            }));
        }
        Ok(paths.into_iter().filter_map(path).collect())
    }

    /// All together; if that is refused for what one of them holds, each alone, so that only that one is
    /// left out.
    fn index_each_or_all(&mut self, paths: &[FilePath], stop: &AtomicBool) -> Result<()> {
        match self.index(Some(paths), stop) {
            Err(error) if is_of_one_file(&error) => {}
            done => return done,
        }
        for path in paths {
            match self.index(Some(std::slice::from_ref(path)), stop) {
                Err(error) if is_of_one_file(&error) => {
                    tracing::warn!(%path, "a file is left out: {error:#}");
                    self.shared.state.lock().refused = Some(error);
                }
                done => done?,
            }
        }
        Ok(())
    }

    fn index(&mut self, only: Option<&[FilePath]>, stop: &AtomicBool) -> Result<()> {
        let scanner = self.shared.scanner();
        let batch = &mut self.batch;
        let mut written = |path, change| batch.add(path, change);
        let report: IndexReport =
            bring_up_to_date(&*self.store, &scanner, only, stop, &mut written, |_| {})?;
        self.batch.position = report.position;
        let mut refusals = report.skipped_files.iter();
        let refusal = refusals.find_map(|file| match &file.reason {
            SkipReason::Refused(why) => Some(Error::new(ErrorKind::InvalidRecord, why.clone())),
            _ => None,
        });
        match refusal {
            Some(error) => self.shared.state.lock().refused = Some(error),
            None if only.is_none() => self.shared.state.lock().refused = None,
            None => {}
        }
        // What changed each time it was read is read again when it has been quiet.
        let restless = report.skipped_files.iter();
        let restless = restless.filter(|file| file.reason == SkipReason::ChangedWhileRead);
        let now = self.shared.clock.elapsed();
        let restless = restless.filter_map(Skipped::file);
        let restless = restless.map(|path| (path.as_str().to_owned(), Event::Modified));
        self.shared.events(now, restless);
        Ok(())
    }

    /// A batch is in the database.
    fn tell(&mut self, due: &[Due], is_whole: bool, may_be_first: bool) {
        let now = self.shared.clock.elapsed();
        let counts = &self.shared.counts;
        {
            let mut state = self.shared.state.lock();
            state.failed = None;
            if is_whole {
                state.last_reconcile = Some(self.shared.clock.now());
            }
        }
        self.rest = FIRST_REST;
        let mut batch = std::mem::replace(&mut self.batch, WatchBatch::new());
        counts
            .reconciles
            .fetch_add(u64::from(is_whole), Ordering::Relaxed);
        batch.cause = match is_whole {
            true if self.is_starting && may_be_first => WatchCause::Start,
            true => WatchCause::Reconcile,
            false => WatchCause::Events,
        };
        self.is_starting &= batch.cause != WatchCause::Start;
        let first = due.iter().map(|due| due.first).min().unwrap_or(now);
        batch.duration = now.saturating_sub(first);
        counts.batches.fetch_add(1, Ordering::Relaxed);
        counts
            .written
            .fetch_add(batch.added + batch.changed, Ordering::Relaxed);
        counts.removed.fetch_add(batch.removed, Ordering::Relaxed);
        if batch.cause != WatchCause::Start && batch.is_empty() {
            return;
        }
        let told = caught(ErrorKind::Internal, || {
            (self.on_batch)(&batch);
            Ok(())
        });
        if let Err(error) = told {
            tracing::error!("whoever is told of what was brought in: {error:#}");
        }
    }

    /// What could not be brought in stays due.
    fn fail(&mut self, due: Vec<Due>, error: &Error) {
        self.shared.coalescer.lock().put_back(due);
        if error.kind() == ErrorKind::Cancelled {
            return;
        }
        self.shared.counts.failures.fetch_add(1, Ordering::Relaxed);
        // If it is the root that is gone, that is seen at once.
        self.next_root_check = Duration::ZERO;
        self.resting_until = self.shared.clock.elapsed() + self.rest;
        self.rest = (self.rest * 2).min(LONGEST_REST);
        if self.shared.scanner().assert_in_place().is_err() {
            return;
        }
        let old = self.shared.state.lock().failed.replace(error.clone());
        if old.is_none_or(|old| old.kind() != error.kind()) {
            tracing::warn!("changes of the tree wait and are tried again: {error:#}");
        }
    }
}

/// Whether an error is of what one file holds, and not of the database or the tree.
fn is_of_one_file(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidRecord | ErrorKind::InvalidPath | ErrorKind::Extraction
    )
}

fn is_empty(scanner: &Scanner) -> bool {
    fs::read_dir(scanner.root()).is_ok_and(|mut entries| entries.next().is_none())
}
