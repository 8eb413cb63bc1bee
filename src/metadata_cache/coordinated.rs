//! The metadata cache as one among the caches of a process.

use super::{MetadataCache, NAME};
use crate::bounded::RemovalCause;
use crate::cache::{Cache, CacheReport, CacheUsage, Scope};
use crate::error::Result;

/// Its entries are the records in memory: the index is no cache, and nothing takes room from it.
impl Cache for MetadataCache {
    fn name(&self) -> &str {
        NAME
    }

    fn usage(&self) -> CacheUsage {
        let stats = self.bodies.map.stats();
        CacheUsage {
            entries: stats.usage.items,
            capacity: Some(stats.limits.max_items),
            bytes: Some(stats.usage.bytes),
            max_bytes: Some(stats.limits.max_bytes),
        }
    }

    fn evict(&self, entries: usize) -> Result<usize> {
        self.evict(entries)
    }

    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        self.invalidate(scope)
    }

    fn clear(&self) -> Result<()> {
        self.clear()
    }

    fn stats(&self) -> Result<CacheReport> {
        let stats = self.stats()?;
        let usage = CacheUsage {
            entries: stats.items,
            capacity: Some(stats.max_items),
            bytes: Some(stats.bytes),
            max_bytes: Some(stats.max_bytes),
        };
        let causes = [RemovalCause::Capacity, RemovalCause::Pressure];
        let evictions = causes.into_iter().map(|cause| stats.evictions(cause)).sum();
        Ok(CacheReport::new(usage)
            .requests(stats.hits, stats.misses)
            .evictions(evictions))
    }
}
