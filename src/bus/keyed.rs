//! What the bus asks of a cache of keys and values.

use crate::error::Result;
use crate::kv::KvCache;
use crate::tier::KeyPattern;

/// A cache of values under keys, part of which other processes may share.
pub trait KeyedCache: Send + Sync {
    /// Its name, by which other processes know it, too.
    fn name(&self) -> &str;

    /// Whether it has a tier that other processes share.
    fn is_shared(&self) -> bool;

    /// Forgets what matches in the tiers that this process has alone: the one that is shared has the
    /// change already. Asks no server, and waits for nobody who does. How many values left.
    ///
    /// # Errors
    /// Whatever keeps it from forgetting.
    fn forget_copies(&self, pattern: &KeyPattern) -> Result<usize>;

    /// Forgets all copies of what processes share: any of it may have changed. How many values left.
    ///
    /// # Errors
    /// Whatever keeps it from forgetting.
    fn revalidate(&self) -> Result<usize>;

    /// Forgets what matches, everywhere. How many values left.
    ///
    /// # Errors
    /// Whatever keeps it from forgetting.
    fn forget(&self, pattern: &KeyPattern) -> Result<usize>;
}

impl KeyedCache for KvCache {
    fn name(&self) -> &str {
        KvCache::name(self)
    }

    fn is_shared(&self) -> bool {
        self.tier().is_shared()
    }

    /// Of a cache that nobody shares the values themselves leave.
    fn forget_copies(&self, pattern: &KeyPattern) -> Result<usize> {
        match self.tier().is_shared() {
            true => KvCache::forget_copies(self, pattern),
            false => KvCache::forget(self, pattern),
        }
    }

    /// A cache that nobody shares has no copies.
    fn revalidate(&self) -> Result<usize> {
        KvCache::forget_copies(self, &KeyPattern::all())
    }

    fn forget(&self, pattern: &KeyPattern) -> Result<usize> {
        KvCache::forget(self, pattern)
    }
}
