//! What the two threads of a watcher share: the paths that wait, the scanner of the tree, and what is
//! told of both. Each lock is held for a paragraph.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::coalesce::{Coalescer, Event};
use super::options::WatchOptions;
use super::stats::WatchStats;
use crate::clock::Clock;
use crate::error::Error;
use crate::extract::Scanner;
use crate::health::{Health, HealthState, Reason};
use crate::primitives::Mutex;

/// How changes come in.
#[derive(Clone, Debug)]
pub(super) enum Mode {
    /// The tree is not watched yet.
    Starting,
    /// The operating system tells of them.
    Events,
    /// It does not, for this reason; the tree is looked at again and again.
    Polling(Reason),
}

/// What is wrong, as far as anything is.
#[derive(Debug)]
pub(super) struct State {
    pub(super) mode: Mode,
    /// Why the tree is not there.
    pub(super) lost: Option<Error>,
    /// What the last write failed with; none after one that succeeded.
    pub(super) failed: Option<Error>,
    /// A file whose record was refused, and why; none after a look at the whole tree that went well.
    pub(super) refused: Option<Error>,
    /// When the whole tree was last looked at to the end.
    pub(super) last_reconcile: Option<DateTime<Utc>>,
}

/// What is counted, since the watcher was made.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) events: AtomicU64,
    pub(super) overflows: AtomicU64,
    pub(super) reconciles: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) removed: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) directories: AtomicUsize,
}

/// What the threads of a watcher share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) root: PathBuf,
    pub(super) options: WatchOptions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) scanner: Mutex<Arc<Scanner>>,
    pub(super) coalescer: Mutex<Coalescer>,
    pub(super) state: Mutex<State>,
    pub(super) counts: Counts,
    /// Nothing is watched: the root is another directory than before, or the queue of events broke.
    pub(super) is_blind: AtomicBool,
}

impl Shared {
    pub(super) fn new(scanner: Scanner, options: WatchOptions, clock: Arc<dyn Clock>) -> Self {
        let coalescer = Coalescer::new(options.quiet(), options.longest(), options.capacity());
        Shared {
            root: scanner.root().to_path_buf(),
            scanner: Mutex::new(Arc::new(scanner)),
            coalescer: Mutex::new(coalescer),
            state: Mutex::new(State {
                mode: Mode::Starting,
                lost: None,
                failed: None,
                refused: None,
                last_reconcile: None,
            }),
            counts: Counts::default(),
            is_blind: AtomicBool::new(false),
            options,
            clock,
        }
    }

    pub(super) fn scanner(&self) -> Arc<Scanner> {
        Arc::clone(&self.scanner.lock())
    }

    /// Paths wait, from a time on that may be past; true if none did before, and whoever waits for the next
    /// one is to be rung. Nobody takes some of them and not the others that are due.
    pub(super) fn events(
        &self,
        now: Duration,
        events: impl IntoIterator<Item = (String, Event)>,
    ) -> bool {
        let mut coalescer = self.coalescer.lock();
        let was_idle = coalescer.len() == 0;
        for (path, event) in events {
            coalescer.event(now, &path, event);
        }
        was_idle && coalescer.len() > 0
    }

    /// The whole tree is to be looked at without delay.
    pub(super) fn reconcile_at_once(&self) {
        let now = self.clock.elapsed();
        self.coalescer.lock().at_once(now, "");
    }

    /// Changes come in by another way; a new reason for that is logged.
    pub(super) fn set_mode(&self, mode: Mode) {
        let is_news = {
            let mut state = self.state.lock();
            let old = std::mem::replace(&mut state.mode, mode.clone());
            !matches!((old, &mode), (Mode::Polling(old), Mode::Polling(new)) if old == *new)
        };
        if let Mode::Polling(reason) = mode
            && is_news
        {
            let help = reason.help.unwrap_or_default();
            tracing::warn!(
                "the tree is polled, not watched: {}; {help}",
                reason.message
            );
        }
    }

    /// Whether nothing is missed from here on.
    pub(super) fn has_started(&self) -> bool {
        !matches!(self.state.lock().mode, Mode::Starting)
    }

    pub(super) fn is_polling(&self) -> bool {
        matches!(self.state.lock().mode, Mode::Polling(_))
    }

    pub(super) fn health(&self, is_running: bool) -> Health {
        let health = Health::healthy("watch");
        if !is_running {
            let reason = Reason::new("stopped", "the tree is not watched");
            return Health::disabled("watch", reason);
        }
        let state = self.state.lock();
        let health = match &state.mode {
            Mode::Polling(reason) => health.but(HealthState::Degraded, reason.clone()),
            Mode::Starting | Mode::Events => health,
        };
        let health = [&state.failed, &state.refused]
            .into_iter()
            .flatten()
            .fold(health, |health, error| {
                health.but(HealthState::Degraded, Reason::from(error))
            });
        let health = match &state.lost {
            Some(error) => health.but(HealthState::Unhealthy, Reason::from(error)),
            None => health,
        };
        if state.last_reconcile.is_some() && !matches!(state.mode, Mode::Starting) {
            return health;
        }
        let reason = Reason::new("starting", "the whole tree has not been looked at yet");
        health.but(HealthState::Unknown, reason)
    }

    pub(super) fn stats(&self, is_running: bool) -> WatchStats {
        let counts = &self.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (coalesced, crowded, pending) = {
            let coalescer = self.coalescer.lock();
            (coalescer.coalesced, coalescer.crowded, coalescer.len())
        };
        let last_reconcile = self.state.lock().last_reconcile;
        WatchStats {
            is_running,
            events: read(&counts.events),
            coalesced,
            overflows: read(&counts.overflows) + crowded,
            reconciles: read(&counts.reconciles),
            batches: read(&counts.batches),
            files_written: read(&counts.written),
            files_removed: read(&counts.removed),
            failures: read(&counts.failures),
            directories: counts.directories.load(Ordering::Relaxed),
            pending,
            last_reconcile,
        }
    }
}
