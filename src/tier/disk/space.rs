//! A space of a file: the rows of one tier, which no other tier sees; and what is known of them without
//! I/O.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::tally::Moves;
use crate::stats::Counter;
use crate::tier::DepartureListener;

/// The counters of a tier.
pub(super) struct Space {
    pub(super) name: Arc<str>,
    /// Rows, as the last transaction left them.
    entries: AtomicU64,
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) expirations: Counter,
    pub(super) evictions: Counter,
    pub(super) damaged: Counter,
    /// Who is told of those that expired or were evicted.
    pub(super) departures: OnceLock<DepartureListener>,
}

impl Space {
    pub(super) fn new(name: &str) -> Self {
        Space {
            name: name.into(),
            entries: AtomicU64::new(0),
            hits: Counter::default(),
            misses: Counter::default(),
            expirations: Counter::default(),
            evictions: Counter::default(),
            damaged: Counter::default(),
            departures: OnceLock::new(),
        }
    }

    /// How many rows it has.
    pub(super) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Takes note of how many rows it has.
    pub(super) fn set_entries(&self, entries: u64) {
        self.entries.store(entries, Ordering::Relaxed);
    }

    /// Counts what a transaction did, and tells who left. Whoever calls this has the file's turn.
    pub(super) fn count(&self, moves: &Moves) {
        let entries = self.entries().saturating_add_signed(moves.grown());
        self.set_entries(entries);
        self.expirations.add(moves.expired as u64);
        self.evictions.add(moves.evicted as u64);
        self.damaged.add(moves.damaged as u64);
        if let Some(listener) = self.departures.get() {
            moves.departed.iter().for_each(|key| listener(key));
        }
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space")
            .field("name", &self.name)
            .field("entries", &self.entries())
            .finish_non_exhaustive()
    }
}
