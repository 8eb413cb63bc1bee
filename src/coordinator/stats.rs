//! What a coordinator tells: every cache's report, their sums, and its own counts.

use super::{Pressure, RoundReport};
use crate::cache::CacheReport;
use crate::error::Result;

/// Every cache and the coordinator itself. Each cache tells of its own instant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CoordinatorStats {
    /// Every registered cache, in the order of registration.
    pub caches: Vec<CacheEntry>,
    /// How many are registered.
    pub registered: usize,
    /// The entries of all caches that tell theirs.
    pub total_items: usize,
    /// The capacities of all caches that tell theirs and have one.
    pub total_capacity: usize,
    /// The names of the caches that have no capacity: nothing of them is in the sum.
    pub unlimited: Vec<String>,
    /// Above this used share of memory a round is made.
    pub pressure_threshold: f64,
    /// The share of its entries that each cache gives up in a round.
    pub eviction_ratio: f64,
    /// The rounds that pressure caused.
    pub triggers: u64,
    /// The evictions that somebody asked for: rounds, and those of one cache.
    pub manual_evictions: u64,
    /// How tight memory is.
    pub pressure: Pressure,
    /// The last round, whoever caused it.
    pub last_round: Option<RoundReport>,
}

/// A registered cache.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CacheEntry {
    /// Its name.
    pub name: String,
    /// What it tells of itself, or why it does not.
    pub report: Result<CacheReport>,
}

impl CoordinatorStats {
    /// The used share of the tightest limit on memory; `None` if none is known.
    pub fn memory_share(&self) -> Option<f64> {
        self.pressure.share()
    }
}

/// The sums over what caches tell.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) items: usize,
    pub(super) capacity: usize,
    pub(super) unlimited: Vec<String>,
}

impl Sums {
    pub(super) fn of(caches: &[CacheEntry]) -> Self {
        let mut sums = Sums::default();
        for entry in caches {
            let Ok(report) = &entry.report else {
                continue;
            };
            sums.items = sums.items.saturating_add(report.usage.entries);
            match report.usage.capacity {
                Some(capacity) => sums.capacity = sums.capacity.saturating_add(capacity),
                None => sums.unlimited.push(entry.name.clone()),
            }
        }
        sums
    }
}
