//! A cache of derived results as one among the caches of a process.

use super::{KvCache, KvChange};
use crate::cache::{Cache, CacheReport, CacheUsage, Scope};
use crate::error::Result;

/// It does not know of which files its values were made: an invalidation of any drops everything.
impl Cache for KvCache {
    fn name(&self) -> &str {
        self.name()
    }

    fn usage(&self) -> CacheUsage {
        self.0.tier.usage()
    }

    fn evict(&self, entries: usize) -> Result<usize> {
        self.counted(self.0.tier.evict(entries))
    }

    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        scope.matcher()?;
        let left = self.take_out(None, || self.0.tier.invalidate(scope));
        self.tell(KvChange::All);
        left
    }

    fn clear(&self) -> Result<()> {
        self.clear()
    }

    fn stats(&self) -> Result<CacheReport> {
        let report = self.counted(self.0.tier.stats())?;
        let counters = &self.0.counters;
        Ok(report.requests(counters.hits.get(), counters.misses.get()))
    }
}
