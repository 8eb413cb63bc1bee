//! What a metadata cache tells of itself: counts, limits and state, of one instant.

use std::time::Duration;

use crate::bounded::{BoundedStats, RemovalCause};
use crate::index::TermCounts;
use crate::position::Position;
use crate::sync::{LastSync, SyncFailure};

/// Counts of everything but hits. Guarded by one mutex, which only misses, writes and the reader of
/// the counts take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) misses: u64,
    pub(super) insertions: u64,
    pub(super) updates: u64,
    pub(super) removals: u64,
    pub(super) loads: u64,
    pub(super) load_errors: u64,
    pub(super) db_lookups: u64,
    pub(super) db_lookup_hits: u64,
    /// What was counted elsewhere when the counts were last reset.
    pub(super) base: Base,
}

/// Counts at the last reset.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Base {
    pub(super) hits: u64,
    pub(super) removed: [u64; RemovalCause::ALL.len()],
}

impl Base {
    pub(super) fn new(hits: u64, bodies: &BoundedStats) -> Self {
        Base {
            hits,
            removed: RemovalCause::ALL.map(|cause| bodies.removed(cause)),
        }
    }
}

/// Counts since the start or the last reset, limits and state, all of one instant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CacheStats {
    /// Records in memory.
    pub items: usize,
    /// The most that are kept.
    pub max_items: usize,
    /// What they weigh, in bytes.
    pub bytes: u64,
    /// The most that they may weigh, in bytes.
    pub max_bytes: u64,
    /// Gets that found their record in memory.
    pub hits: u64,
    /// Gets that did not. Queries count in neither.
    pub misses: u64,
    /// Records added by `update`.
    pub insertions: u64,
    /// Records replaced by `update`.
    pub updates: u64,
    /// Records removed by `remove`.
    pub removals: u64,
    /// Records read from the database and kept.
    pub loads: u64,
    /// Records that could not be read.
    pub load_errors: u64,
    /// Looks at the log that gets made because the index did not know their paths. Gets that shared one
    /// count it once.
    pub db_lookups: u64,
    /// Those of them after which the index knew a path that was asked for.
    pub db_lookup_hits: u64,
    /// Files in the index.
    pub files: usize,
    /// Files that are not in the index because their rows cannot be read.
    pub unreadable: u64,
    /// Distinct names in the index: at most so many; exactly, once recent changes are folded in.
    pub terms: TermCounts,
    /// The position that the index reflects: every commit at or below it.
    pub watermark: Position,
    /// How long ago the last look at the log began that succeeded; `None` before the first.
    pub age: Option<Duration>,
    /// The last pass that succeeded.
    pub last_sync: Option<LastSync>,
    /// The last pass, if it failed.
    pub last_failure: Option<SyncFailure>,
    pub(super) removed: [u64; RemovalCause::ALL.len()],
}

impl CacheStats {
    /// The share of gets that were hits, 0.0 to 1.0; 0.0 before the first get.
    pub fn hit_rate(&self) -> f64 {
        match self.hits + self.misses {
            0 => 0.0,
            gets => self.hits as f64 / gets as f64,
        }
    }

    /// How many bodies left memory for this cause.
    pub fn evictions(&self, cause: RemovalCause) -> u64 {
        self.removed[cause as usize]
    }

    /// Whether the last synchronisation failed, or none has succeeded yet: answers are exact for
    /// their position, and nobody knows what has happened since.
    pub fn is_degraded(&self) -> bool {
        self.last_failure.is_some() || self.last_sync.is_none()
    }
}
