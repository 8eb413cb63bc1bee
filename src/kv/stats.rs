//! What a cache holds and what it has done, counted once a request.

use crate::cache::CacheReport;
use crate::primitives::atomic::{AtomicU64, Ordering};
use crate::stats::Counter;

/// What a cache holds, and what it has done since the start. The entries in their grace are among the
/// entries: they take room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct KvStats {
    /// Whether it is switched on.
    pub is_enabled: bool,
    /// Entries held.
    pub total_entries: usize,
    /// Requests of values that were answered with one that was there, one a key.
    pub hits: u64,
    /// Requests of values that were not.
    pub misses: u64,
    /// What the entries take in memory, in bytes; `None` if that is not known.
    pub memory_usage: Option<u64>,
    /// Entries that left for want of room.
    pub evictions: u64,
    /// Entries that left because their time was over.
    pub expirations: u64,
    /// Whatever went wrong: keys that are none, tiers that failed, values that could not be read.
    pub errors: u64,
    /// Keys that are none: among the errors.
    pub invalid_keys: u64,
    /// Values that were damaged, of another version, or of another type than they were asked for: among
    /// the errors.
    pub unreadable: u64,
    /// Values that were loaded, or tried to, one a key.
    pub loads: u64,
    /// Those that failed: among the errors.
    pub load_errors: u64,
    /// Loads of values that were there, before their end or in their grace: among the loads.
    pub refreshes: u64,
    /// Loads whose value was not kept because its key changed meanwhile.
    pub voided: u64,
    /// Stale values that were answered, in their grace.
    pub stale_answers: u64,
    /// The most callers that ever waited for one load.
    pub most_waiters: u64,
}

impl KvStats {
    /// The share of requests that were answered, 0.0 to 1.0; 0.0 before the first.
    pub fn hit_rate(&self) -> f64 {
        let report = CacheReport::default();
        report.requests(self.hits, self.misses).hit_rate()
    }
}

/// What a cache counts itself.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) errors: Counter,
    pub(super) invalid_keys: Counter,
    pub(super) unreadable: Counter,
    pub(super) loads: Counter,
    pub(super) load_errors: Counter,
    pub(super) refreshes: Counter,
    pub(super) voided: Counter,
    pub(super) stale_answers: Counter,
    most_waiters: AtomicU64,
    /// The same since it was asked for last.
    crowd: AtomicU64,
}

impl Counters {
    /// One request, for one value.
    pub(super) fn asked(&self, found: bool) {
        match found {
            true => self.hits.bump(),
            false => self.misses.bump(),
        }
    }

    /// So many wait for one load.
    pub(super) fn crowd(&self, waiters: usize) {
        for most in [&self.most_waiters, &self.crowd] {
            most.fetch_max(waiters as u64, Ordering::Relaxed);
        }
    }

    /// The most that waited for one load since this was asked last.
    pub(super) fn take_crowd(&self) -> usize {
        let most = self.crowd.swap(0, Ordering::Relaxed);
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    pub(super) fn most_waiters(&self) -> u64 {
        self.most_waiters.load(Ordering::Relaxed)
    }
}
