//! Write-behind: a write is acknowledged when it is in a durable journal, and is delivered to its source
//! later. What was acknowledged is delivered, whatever happens to the process or to the machine, or is a
//! dead letter that somebody is told of; nothing is ever dropped in silence.
//!
//! Operations of one key are delivered in the order in which they were accepted. The last one wins: one
//! that has not been handed to the sink when the next of its key is accepted never is. Each is delivered
//! at least once, under a name that stays the same; see [`Sink`] for effects exactly once.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use cardex::SystemClock;
//! use cardex::kv::write_behind::{Operation, Outcome, Sink, WriteBehind, WriteBehindOptions};
//! use cardex::tier::Key;
//!
//! struct Printer;
//! impl Sink for Printer {
//!     fn apply(&self, operations: &[Operation]) -> Vec<Outcome> {
//!         operations.iter().map(|operation| {
//!             println!("{} {:?}", operation.key, operation.value);
//!             Outcome::Applied
//!         }).collect()
//!     }
//! }
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let file = folder.path().join("answers.journal");
//! let options = WriteBehindOptions::default();
//! let journal = WriteBehind::open(&file, options, Arc::new(Printer), Arc::new(SystemClock))?;
//! let key = Key::new("a")?;
//! journal.write(&key, Some(b"1"[..].into()), 1)?;
//! assert_eq!(journal.flush(Duration::from_secs(60)), 0);
//! assert_eq!(journal.pending(&key), None);
//! # Ok::<(), cardex::Error>(())
//! ```

mod backoff;
mod deliver;
mod journal;
mod operation;
mod options;
mod queue;
mod report;
#[cfg(test)]
mod tests;

use crate::primitives::atomic::{AtomicBool, Ordering};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::backoff::Backoff;
use self::journal::Journal;
pub use self::operation::{Operation, OperationId, Outcome, Sink};
pub use self::options::WriteBehindOptions;
use self::queue::{Asked, Held, Queue};
pub use self::queue::{DeadLetter, Pending};
use self::report::Counters;
pub use self::report::WriteBehindStats;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::passes::Passes;
use crate::primitives::{Condvar, Mutex};
use crate::store;
use crate::tier::{Key, KeyPattern};
use crate::worker::Worker;

/// What the journal's file is to people.
const FILE: &str = "journal";

/// Writes on their way to a source. One of them owns a journal; to drop it is to shut it down.
pub struct WriteBehind {
    shared: Arc<Shared>,
    /// None after the end.
    worker: Mutex<Option<Worker>>,
}

/// What the writers and the thread that delivers share.
///
/// The journal and the queue change in *turns*, one at a time: whoever makes a turn writes to the journal
/// what it decided, without a lock, and then does the same to the queue, under its lock.
struct Shared {
    file: PathBuf,
    options: WriteBehindOptions,
    clock: Arc<dyn Clock>,
    sink: Arc<dyn Sink>,
    queue: Mutex<Queue>,
    /// Told of each change of the queue that makes room or delivers.
    changed: Condvar,
    /// The writes that the next turn decides, as many as threads that wait for it.
    asking: Mutex<Vec<Arc<Asking>>>,
    turns: Passes<()>,
    /// Taken out by whoever makes a turn; none at the end.
    writer: Mutex<Option<Writer>>,
    troubles: Mutex<Troubles>,
    counters: Counters,
    stopped: AtomicBool,
}

/// What only a turn uses.
#[derive(Debug)]
struct Writer {
    journal: Journal,
    last_number: u64,
    backoff: Backoff,
}

/// A write that waits for its answer: its id, or none for want of room.
struct Asking {
    asked: Asked,
    answer: Mutex<Option<Result<Option<OperationId>>>>,
}

/// What is wrong at the moment.
#[derive(Debug, Default)]
struct Troubles {
    /// Of the last write.
    journal: Option<Error>,
    /// Of the last note about what was written before.
    notes: Option<Error>,
    sink: Option<Error>,
    /// Writes that wait for room, or were refused since there was some.
    is_full: bool,
}

impl WriteBehind {
    /// Opens the journal, made (mode 0600) if there never was one here, and begins to deliver what is
    /// in it.
    ///
    /// A journal that is damaged, emptied, without its log, or gone is refused, and left as it is, because acknowledged writes
    /// may be in it: put it back, or see [`WriteBehind::set_aside`]. `NAME.lock` beside it tells that
    /// there was one, and what was acknowledged last.
    ///
    /// # Errors
    /// `DatabaseBusy` if another process, or another write-behind, has the journal; `DatabaseCorrupt` for
    /// one that cannot be trusted; `SchemaTooNew`; `Io`, `Database`.
    pub fn open(
        path: impl AsRef<Path>,
        options: WriteBehindOptions,
        sink: Arc<dyn Sink>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let file = store::absolute(path.as_ref())?;
        let lock = store::own(&file, FILE)?;
        let (mut journal, contents) = Journal::open(&file, lock)?;
        let mut queue = Queue::default();
        let replayed = contents.operations.len();
        contents
            .dead_letters
            .into_iter()
            .for_each(|letter| queue.restore_dead(letter));
        let overtaken: Vec<u64> = contents
            .operations
            .into_iter()
            .filter_map(|held| queue.restore(held))
            .collect();
        if !overtaken.is_empty() {
            journal.forget(&overtaken)?;
        }
        let counters = Counters::default();
        counters.replayed.add((replayed - overtaken.len()) as u64);
        let shared = Arc::new(Shared {
            file,
            clock,
            sink,
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            asking: Mutex::default(),
            turns: Passes::default(),
            writer: Mutex::new(Some(Writer {
                journal,
                last_number: contents.last_number,
                backoff: options.backoff(),
            })),
            options,
            troubles: Mutex::default(),
            counters,
            stopped: AtomicBool::new(false),
        });
        let worker = Worker::spawn("cardex-write-behind", {
            let shared = Arc::clone(&shared);
            move |stop| shared.deliver_all(stop)
        })?;
        worker.ring();
        Ok(WriteBehind {
            shared,
            worker: Mutex::new(Some(worker)),
        })
    }

    /// Gives a journal that cannot be opened another name, `NAME.aside-1` and so on, so that an empty one
    /// can be made in its place, and returns that name. What was acknowledged and is in it is not
    /// delivered then: read it with SQLite's own tools (`sqlite3 NAME .recover`), where tables
    /// `operations` and `dead_letters` have a row each.
    ///
    /// # Errors
    /// `DatabaseBusy` if somebody has it open; `NotFound` if there is none; `Io`.
    pub fn set_aside(path: impl AsRef<Path>) -> Result<PathBuf> {
        let file = store::absolute(path.as_ref())?;
        let lock = store::own(&file, FILE)?;
        journal::set_aside(&file, lock)
    }

    /// Accepts a write, or with `None` a deletion, and returns when it is on the disk. The version comes
    /// back with it, and is not compared.
    ///
    /// If there is no room it waits for some, for [`WriteBehindOptions::full_wait`]. Those who wait have
    /// no order among them. Overwriting what waits takes no room but for the longer value.
    ///
    /// # Errors
    /// `Full` if there was no room, and nothing changed; `InvalidInput` for a write that is larger than
    /// all the room there is; `NotInitialized` after the end. `DatabaseCorrupt`, `Database`, `Io` if the
    /// journal could not be written: the write was not acknowledged, and may have its effect all the same.
    pub fn write(&self, key: &Key, value: Option<Arc<[u8]>>, version: u64) -> Result<OperationId> {
        let asked = Asked {
            key: key.clone(),
            value,
            version,
        };
        let id = self.shared.write(asked)?;
        self.ring();
        Ok(id)
    }

    /// The newest value of the key that was acknowledged, and that the source may not have yet; dead
    /// letters too, until they are dropped. Without I/O.
    ///
    /// Whoever reads from the source asks this first: what is not pending any more is there.
    pub fn pending(&self, key: &Key) -> Option<Pending> {
        self.shared.queue.lock().newest(key)
    }

    /// Waits until everything that was accepted before the call is delivered or dead, for so long at most,
    /// and returns how much is not. Operations that rest after a failure are waited for, and not hurried.
    pub fn flush(&self, patience: Duration) -> usize {
        self.ring();
        self.shared.wait_for_delivery(patience, |_| true)
    }

    /// The dead letters whose keys match, by key.
    pub fn dead_letters(&self, pattern: &KeyPattern) -> Vec<DeadLetter> {
        self.shared.queue.lock().dead_letters(pattern)
    }

    /// Tries the dead letters again whose keys match, under their names, as often as new ones; returns
    /// how many there are. A dead letter is always the last word on its key: a later operation takes its
    /// place.
    ///
    /// # Errors
    /// Those of the journal, as for [`WriteBehind::write`], and nothing is tried.
    pub fn retry_dead_letters(&self, pattern: &KeyPattern) -> Result<usize> {
        let letters = self.shared.turn(|shared, writer| {
            let letters = shared.queue.lock().dead_letters(pattern);
            writer.journal.revive(&letters)?;
            shared.queue.lock().revive(&letters);
            shared.troubles.lock().notes = None;
            Ok(letters.len())
        })?;
        self.ring();
        Ok(letters)
    }

    /// Drops the dead letters whose keys match, and returns them: their values are nowhere else. What is
    /// cached under their keys is not what the source has.
    ///
    /// # Errors
    /// Those of the journal, as for [`WriteBehind::write`], and nothing is dropped.
    pub fn drop_dead_letters(&self, pattern: &KeyPattern) -> Result<Vec<DeadLetter>> {
        let dropped = self.shared.turn(|shared, writer| {
            let letters = shared.queue.lock().dead_letters(pattern);
            writer.journal.bury(&letters)?;
            shared.queue.lock().bury(&letters);
            shared.troubles.lock().notes = None;
            Ok(letters)
        })?;
        self.shared.tell_of_room();
        Ok(dropped)
    }

    /// Accepts no more, delivers what does not rest after a failure, for
    /// [`WriteBehindOptions::shutdown_wait`] and at most a second more, closes the journal, and returns how
    /// many operations are left in it: they are delivered after the next start. Again: 0.
    pub fn shutdown(&self) -> usize {
        let Some(worker) = self.worker.lock().take() else {
            return 0;
        };
        self.shared.stopped.store(true, Ordering::SeqCst);
        worker.ring();
        let patience = self.shared.options.shutdown_wait;
        let now = || self.shared.clock.elapsed();
        let is_due = |queue: &Queue| queue.next_due(now()).is_some_and(|due| due.is_zero());
        self.shared.wait_for_delivery(patience, is_due);
        drop(worker);
        // Out of its place in a turn of its own, so that nobody else is within one.
        let mut closed = None;
        self.shared
            .turns
            .own(|| {
                closed = self.shared.writer.lock().take();
                self.shared.refuse_all();
                Ok(())
            })
            .ok();
        drop(closed);
        let left = self.shared.queue.lock().undelivered_up_to(u64::MAX);
        if left > 0 {
            let file = self.shared.file.display();
            tracing::info!(%file, left, "acknowledged writes wait in the journal for the next start");
        }
        left
    }

    /// The journal.
    pub fn path(&self) -> &Path {
        &self.shared.file
    }

    fn ring(&self) {
        if let Some(worker) = &*self.worker.lock() {
            worker.ring();
        }
    }
}

impl Drop for WriteBehind {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl fmt::Debug for WriteBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBehind")
            .field("file", &self.shared.file)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Has the write accepted, in a turn that others may share; waits for room once.
    fn write(&self, asked: Asked) -> Result<OperationId> {
        if self.stopped.load(Ordering::SeqCst) {
            return Err(Error::not_initialized("write_behind"));
        }
        let limits = self.options.limits();
        if asked.bytes() > limits.bytes {
            let message = format!(
                "the value of `{}` is larger than the journal may hold ({} bytes of {})",
                asked.key,
                asked.bytes(),
                limits.bytes
            );
            return Err(Error::new(ErrorKind::InvalidInput, message)
                .with_help("give `write_behind.max_bytes` more, or write to the source itself"));
        }
        let end = Instant::now() + self.options.full_wait;
        loop {
            let asking = Arc::new(Asking {
                asked: asked.clone(),
                answer: Mutex::new(None),
            });
            if let Some(id) = self.ask(&asking)? {
                return Ok(id);
            }
            let patience = end.saturating_duration_since(Instant::now());
            let mut queue = self.queue.lock();
            let is_full = |queue: &mut Queue| !queue.has_room(&asked, limits);
            let waited = self.changed.wait_while_for(&mut queue, is_full, patience);
            if waited.timed_out() || patience.is_zero() {
                self.counters.refused.bump();
                return Err(self.full(&asked.key, &queue));
            }
        }
    }

    fn full(&self, key: &Key, queue: &Queue) -> Error {
        let message = format!(
            "the journal has no room for a write of `{key}`: {} operations and {} bytes wait in it, \
             {} of them dead letters",
            queue.len(),
            queue.bytes(),
            queue.dead()
        );
        Error::new(ErrorKind::Full, message).with_help(
            "see why the sink is slow or refuses, retry or drop the dead letters, or give \
             `write_behind.max_operations` and `max_bytes` more",
        )
    }

    /// The answer to a write: its id, or none for want of room.
    fn ask(&self, asking: &Arc<Asking>) -> Result<Option<OperationId>> {
        self.asking.lock().push(Arc::clone(asking));
        // Whoever makes a turn, of whatever kind, answers all who asked before it.
        self.turns.share(|| {
            self.answer_all();
            Ok(())
        })?;
        let lost = || Err(Error::new(ErrorKind::Internal, "a write was not decided"));
        asking.answer.lock().take().unwrap_or_else(lost)
    }

    /// Decides all who ask, and writes down what is accepted, in one transaction.
    fn answer_all(&self) {
        let Ok(mut writer) = self.take_writer() else {
            return self.refuse_all();
        };
        let asking = std::mem::take(&mut *self.asking.lock());
        if asking.is_empty() {
            return;
        }
        let asked: Vec<&Asked> = asking.iter().map(|asking| &asking.asked).collect();
        let Writer {
            journal,
            last_number,
            ..
        } = writer.get();
        let journal_id = journal.id();
        let next_id = || {
            *last_number += 1;
            OperationId {
                journal: journal_id,
                number: *last_number,
            }
        };
        let (planned, ids) = self
            .queue
            .lock()
            .plan(&asked, self.options.limits(), next_id);
        let written = match planned.is_empty() {
            true => Ok(()),
            false => journal.append(&planned),
        };
        let is_full = ids.contains(&None);
        let mut troubles = self.troubles.lock();
        troubles.is_full = is_full;
        troubles.journal = written.as_ref().err().cloned();
        drop(troubles);
        if written.is_ok() {
            let accepted = ids.iter().flatten().count();
            let replaced = planned.iter().filter(|one| one.replaces.is_some()).count();
            let overtaken = replaced + accepted - planned.len();
            self.counters.accepted.add(accepted as u64);
            self.counters.overtaken.add(overtaken as u64);
            self.counters.commits.add(u64::from(!planned.is_empty()));
            let mut queue = self.queue.lock();
            for planned in planned {
                queue.accept(Held {
                    operation: planned.operation,
                    tries: 0,
                });
            }
        }
        drop(writer);
        for (asking, id) in asking.iter().zip(ids) {
            let answer = match &written {
                Ok(()) => Ok(id),
                Err(error) => Err(error.clone()),
            };
            *asking.answer.lock() = Some(answer);
        }
    }

    /// Answers all who ask that this is the end.
    fn refuse_all(&self) {
        for asking in std::mem::take(&mut *self.asking.lock()) {
            *asking.answer.lock() = Some(Err(Error::not_initialized("write_behind")));
        }
    }

    /// Something that changes the journal and the queue, when it is its turn.
    fn turn<R>(&self, work: impl FnOnce(&Self, &mut Writer) -> Result<R>) -> Result<R> {
        let mut done = None;
        self.turns.own(|| {
            let result = self
                .take_writer()
                .and_then(|mut writer| work(self, writer.get()));
            if let Err(error) = &result
                && error.kind() != ErrorKind::NotInitialized
            {
                self.troubles.lock().notes = Some(error.clone());
            }
            done = Some(result);
            self.answer_all();
            Ok(())
        })?;
        let lost = || Err(Error::new(ErrorKind::Internal, "a turn was not made"));
        done.unwrap_or_else(lost)
    }

    fn take_writer(&self) -> Result<Taken<'_>> {
        let writer = self.writer.lock().take();
        let writer = writer.ok_or_else(|| Error::not_initialized("write_behind"))?;
        Ok(Taken {
            shared: self,
            writer: Some(writer),
        })
    }

    /// Waits until what was accepted so far is delivered, or `goes_on` says that nobody works at it, and
    /// returns how much is left.
    fn wait_for_delivery(&self, patience: Duration, goes_on: impl Fn(&Queue) -> bool) -> usize {
        let mut queue = self.queue.lock();
        let last = queue.last_number();
        let is_under_way = |queue: &mut Queue| queue.undelivered_up_to(last) > 0 && goes_on(queue);
        self.changed
            .wait_while_for(&mut queue, is_under_way, patience);
        queue.undelivered_up_to(last)
    }

    fn tell_of_room(&self) {
        let limits = self.options.limits();
        let queue = self.queue.lock();
        let has_room = queue.len() < limits.operations && queue.bytes() < limits.bytes;
        drop(queue);
        if has_room {
            self.troubles.lock().is_full = false;
        }
        self.changed.notify_all();
    }
}

/// The writer, in the hands of whoever makes a turn; back in its place when this is dropped.
struct Taken<'s> {
    shared: &'s Shared,
    writer: Option<Writer>,
}

impl Taken<'_> {
    fn get(&mut self) -> &mut Writer {
        self.writer.as_mut().expect("held until it is dropped")
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.shared.writer.lock() = self.writer.take();
    }
}
