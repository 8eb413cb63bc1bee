//! The caches that a server shows and empties: those of its process's coordinator.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::coordinator::{CacheCoordinator, CacheEntry, CoordinatorStats};
use crate::error::{Error, Result};

/// The caches of this process.
#[derive(Clone, Debug)]
pub(super) struct Caches(Arc<CacheCoordinator>);

/// What a cache tells of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) name: String,
    pub(super) entries: u64,
    pub(super) capacity: Option<u64>,
    pub(super) bytes: Option<u64>,
    pub(super) max_bytes: Option<u64>,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) evictions: u64,
    pub(super) error: Option<Error>,
}

/// What a round took, by the names of the caches: how many entries left each, or why none did.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) evicted: BTreeMap<String, u64>,
    pub(super) errors: BTreeMap<String, String>,
}

impl Caches {
    pub(super) fn new(coordinator: Arc<CacheCoordinator>) -> Self {
        Caches(coordinator)
    }

    /// Every cache, and how tight memory is. Asks every cache, and the system.
    pub(super) fn stats(&self) -> CoordinatorStats {
        self.0.stats()
    }

    /// Evicts so many entries of a cache; how many really left.
    pub(super) fn evict(&self, name: &str, entries: usize) -> Result<u64> {
        Ok(self.0.evict_from(name, entries)? as u64)
    }

    /// Has every cache give up its share.
    pub(super) fn evict_all(&self) -> Result<Round> {
        let mut round = Round::default();
        for outcome in self.0.evict()?.outcomes {
            match outcome.removed {
                Ok(removed) => drop(round.evicted.insert(outcome.cache, removed as u64)),
                Err(error) => drop(round.errors.insert(outcome.cache, format!("{error:#}"))),
            }
        }
        Ok(round)
    }

    /// Drops every entry of a cache.
    pub(super) fn clear(&self, name: &str) -> Result<()> {
        self.0.clear(name)
    }
}

impl From<&CacheEntry> for Told {
    fn from(entry: &CacheEntry) -> Self {
        let name = entry.name.clone();
        let report = match &entry.report {
            Ok(report) => report,
            Err(error) => {
                let error = Some(error.clone());
                return Told {
                    name,
                    error,
                    ..Told::default()
                };
            }
        };
        Told {
            name,
            entries: report.usage.entries as u64,
            capacity: report.usage.capacity.map(|capacity| capacity as u64),
            bytes: report.usage.bytes,
            max_bytes: report.usage.max_bytes,
            hits: report.hits,
            misses: report.misses,
            evictions: report.evictions,
            error: None,
        }
    }
}
