//! Following a source tree as it changes: what is saved is in the database a moment later.
//!
//! A [`Watcher`] listens to what the operating system tells of the tree, waits until a path is quiet,
//! and then brings that path into the database as [`index_paths`](crate::index_paths) does. Events are
//! doorbells: each one only says where to look, and what is there decides. Where events were lost, or a
//! directory cannot be watched, the whole tree is looked at, so that in the end the records are those of
//! the tree, whatever was missed on the way.
//!
//! - Directories that ignore rules leave out are not watched, and a change of the rules is followed.
//! - A root that vanishes takes no record with it: health says so, and it is watched again when it is
//!   back.
//! - Where there are more directories than may be watched, the tree is polled, and health says so.
//! - A file that is written through shared memory alone is seen when it is closed, or when the whole
//!   tree is looked at.

#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "inotify.rs")]
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    path = "portable.rs"
)]
mod backend;
mod batch;
mod coalesce;
mod options;
mod round;
mod shared;
mod stats;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod watches;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

pub use self::backend::watch_limit;
use self::backend::{Ask, Backend};
pub use self::batch::{MAX_WATCHED_NAMED, WatchBatch, WatchCause};
pub use self::options::WatchOptions;
use self::round::{Listener, Round};
use self::shared::{Mode, Shared};
pub use self::stats::WatchStats;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::extract::Scanner;
use crate::health::Health;
use crate::primitives::Mutex;
use crate::store::MetadataStore;
use crate::worker::Worker;

/// How many directories of a tree would be watched.
///
/// # Errors
/// `Cancelled` if `stop` was set.
pub fn directories(scanner: &Scanner, stop: &AtomicBool) -> Result<u64> {
    let filter = scanner.filter();
    let (mut open, mut count) = (vec![scanner.root().to_path_buf()], 0);
    while let Some(directory) = open.pop() {
        if stop.load(Ordering::Relaxed) {
            let message = "counting directories was told to stop";
            return Err(Error::new(ErrorKind::Cancelled, message));
        }
        count += 1;
        let entries = std::fs::read_dir(&directory).into_iter().flatten();
        let below = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let path = entry.path();
            let is_directory = entry.file_type().ok()?.is_dir();
            (is_directory && !filter.leaves_out(&path, true)).then_some(path)
        });
        open.extend(below);
    }
    Ok(count)
}

/// Keeps a database up to date with a tree, from [`Watcher::start`] to [`Watcher::stop`] or to its end.
///
/// ```
/// use std::sync::{Arc, mpsc};
/// use cardex::extract::{ScanOptions, Scanner};
/// use cardex::store::{MetadataStore, SqliteOptions, SqliteStore};
/// use cardex::watch::{WatchOptions, Watcher};
///
/// # let tree = tempfile::tempdir().unwrap();
/// # let place = tempfile::tempdir().unwrap();
/// # let file = place.path().join("cardex.db");
/// let store = Arc::new(SqliteStore::open(&file, "default", SqliteOptions::default())?);
/// let scanner = Scanner::open(tree.path(), ScanOptions::default())?;
/// let (told, hears) = mpsc::channel();
/// let watcher = Watcher::new(scanner, store, WatchOptions::default())?
///     .on_batch(move |batch| drop(told.send(batch.added)));
/// watcher.start()?;
/// assert_eq!(hears.recv().unwrap(), 0); // the tree is empty, and watched from here on
/// std::fs::write(tree.path().join("a.py"), "def f(): pass\n").unwrap();
/// assert_eq!(hears.recv().unwrap(), 1);
/// # Ok::<(), cardex::Error>(())
/// ```
pub struct Watcher {
    shared: Arc<Shared>,
    store: Arc<dyn MetadataStore>,
    listener: Listener,
    running: Mutex<Option<Running>>,
}

/// The threads, in the order in which they end.
#[derive(Debug)]
struct Running {
    events: Arc<OnceLock<Backend>>,
    _rounds: Worker,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher")
            .field("root", &self.shared.root)
            .field("options", &self.shared.options)
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

impl Watcher {
    /// A watcher of the tree that `scanner` reads, for `store`. It does nothing until it is started.
    ///
    /// # Errors
    /// `InvalidConfig` if the options do not go together.
    pub fn new(
        scanner: Scanner,
        store: Arc<dyn MetadataStore>,
        options: WatchOptions,
    ) -> Result<Self> {
        options.assert_consistent()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Ok(Watcher {
            shared: Arc::new(Shared::new(scanner, options, clock)),
            store,
            listener: Arc::new(|_| {}),
            running: Mutex::new(None),
        })
    }

    /// The same, telling of each batch that changed a record, and of the first look at the whole tree in
    /// any case. It is called on the watcher's own thread, which waits for it.
    #[must_use]
    pub fn on_batch(mut self, listener: impl Fn(&WatchBatch) + Send + Sync + 'static) -> Self {
        self.listener = Arc::new(listener);
        self
    }

    /// Watches the tree, and looks at the whole of it once, in the background. Where it runs already,
    /// nothing happens.
    ///
    /// # Errors
    /// `Io` if there is no thread or descriptor to be had, `InvalidPattern` for a pattern to ignore.
    pub fn start(&self) -> Result<()> {
        let mut running = self.running.lock();
        if running.is_some() {
            return Ok(());
        }
        self.shared.state.lock().mode = Mode::Starting;
        // Each of the two threads calls the other.
        let events: Arc<OnceLock<Backend>> = Arc::default();
        let asked = Arc::downgrade(&events);
        let ask = move |ask| {
            if let Some(backend) = asked.upgrade().as_ref().and_then(|events| events.get()) {
                backend.ask(ask);
            }
        };
        let mut round = Round::new(&self.shared, &self.store, &self.listener, Box::new(ask));
        let rounds = Worker::spawn("cardex-watch", move |stop| round.run(stop))?;
        let backend = Backend::start(&self.shared, rounds.ringer())?;
        // It was empty.
        let _ = events.set(backend);
        rounds.ring();
        *running = Some(Running {
            events,
            _rounds: rounds,
        });
        Ok(())
    }

    /// Stops within a second; what waits is looked at when it is started again. Where it does not run,
    /// nothing happens. What a database holds up for longer ends by itself afterwards.
    pub fn stop(&self) {
        let running = self.running.lock().take();
        drop(running);
    }

    /// Has the whole tree looked at soon, as if events had been lost. Does not wait for it; where it does
    /// not run, nothing happens.
    pub fn reconcile(&self) {
        let events = self
            .running
            .lock()
            .as_ref()
            .map(|running| Arc::clone(&running.events));
        if let Some(backend) = events.as_ref().and_then(|events| events.get()) {
            backend.ask(Ask::Reconcile);
        }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.running.lock().is_some()
    }

    /// How it does: unknown until the whole tree was looked at once, degraded where the tree is polled or
    /// the database cannot be written to, unhealthy while the tree is not there.
    pub fn health(&self) -> Health {
        self.shared.health(self.is_running())
    }

    /// What it has done, and how much is to be done.
    pub fn stats(&self) -> WatchStats {
        self.shared.stats(self.is_running())
    }
}
