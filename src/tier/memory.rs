//! The tier in memory: the bounded map, with an end for each entry. It never blocks for I/O, and
//! never fails.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Entry, Key, Lifetime, Tier, TierStats};
use crate::bounded::{BoundedMap, Limits, RemovalCause, Span};
use crate::cache::{Cache, CacheReport, CacheUsage, Scope};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::eviction::{Deadline, FOREVER, Strategy};
use crate::stats::Counter;

const MIB: u64 = 1 << 20;
/// What an entry holds beside its key and its value, about: its places in the map, in the order of
/// eviction and in that of deadlines, and the heads of two allocations.
const ENTRY_BYTES: u64 = 200;

/// The limits of a tier in memory. Options can only be valid: what is out of range is refused when it
/// is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryTierOptions {
    max_items: usize,
    max_bytes: u64,
    ttl: Duration,
    eviction_strategy: Strategy,
}

impl Default for MemoryTierOptions {
    /// 1,000 entries, 64 MiB, 300 seconds, LRU.
    fn default() -> Self {
        MemoryTierOptions {
            max_items: 1000,
            max_bytes: 64 * MIB,
            ttl: Duration::from_secs(300),
            eviction_strategy: Strategy::Lru,
        }
    }
}

impl MemoryTierOptions {
    /// At most this many entries, 1 to 1,000,000.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_items(mut self, items: usize) -> Result<Self> {
        if !(1..=1_000_000).contains(&items) {
            let range = "1 to 1000000";
            return Err(Error::out_of_range("tiers.memory.max_items", items, range));
        }
        self.max_items = items;
        Ok(self)
    }

    /// At most this many bytes, 1 or more: keys, values, and about 200 bytes an entry.
    ///
    /// # Errors
    /// `InvalidConfig` if it is 0.
    pub fn max_bytes(mut self, bytes: u64) -> Result<Self> {
        if bytes == 0 {
            let range = "at least 1 byte";
            return Err(Error::out_of_range("tiers.memory.max_bytes", bytes, range));
        }
        self.max_bytes = bytes;
        Ok(self)
    }

    /// How long a value lives that is put with [`Lifetime::Default`].
    ///
    /// # Errors
    /// `InvalidConfig` if it is 0.
    pub fn ttl(mut self, ttl: Duration) -> Result<Self> {
        if ttl.is_zero() {
            let range = "a positive duration";
            return Err(Error::out_of_range("tiers.memory.ttl", "0s", range));
        }
        self.ttl = ttl;
        Ok(self)
    }

    /// Who leaves first when room is needed and nothing has expired.
    #[must_use]
    pub fn eviction_strategy(mut self, strategy: Strategy) -> Self {
        self.eviction_strategy = strategy;
        self
    }
}

/// A tier in memory. It is above neither limit at any moment.
pub struct MemoryTier {
    name: String,
    ttl: Duration,
    clock: Arc<dyn Clock>,
    map: BoundedMap<Key, Held>,
    hits: Counter,
    misses: Counter,
}

#[derive(Clone)]
struct Held {
    value: Arc<[u8]>,
    version: u64,
    end: Deadline,
}

impl MemoryTier {
    /// An empty tier, that knows its name and the time.
    pub fn new(name: impl Into<String>, options: MemoryTierOptions, clock: Arc<dyn Clock>) -> Self {
        let limits = Limits {
            max_items: options.max_items,
            max_bytes: options.max_bytes,
            eviction_batch: 1,
        };
        MemoryTier {
            name: name.into(),
            ttl: options.ttl,
            clock,
            map: BoundedMap::new(limits, options.eviction_strategy),
            hits: Counter::default(),
            misses: Counter::default(),
        }
    }

    fn now(&self) -> Deadline {
        nanoseconds(self.clock.elapsed())
    }

    /// The value, if it lives. What has expired leaves.
    fn living(&self, key: &Key) -> Option<Entry> {
        let held = self.map.get(key)?;
        let now = self.now();
        if held.end <= now {
            let is_over = |held: &Held| held.end <= now;
            self.map.remove_if(key, RemovalCause::Expired, is_over);
            return None;
        }
        let remaining = (held.end != FOREVER).then(|| Duration::from_nanos(held.end - now));
        Some(Entry {
            value: held.value,
            version: held.version,
            remaining,
        })
    }
}

/// Of a clock that counts from the boot: they last for 584 years.
fn nanoseconds(time: Duration) -> Deadline {
    Deadline::try_from(time.as_nanos()).unwrap_or(FOREVER)
}

impl Tier for MemoryTier {
    fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let entry = self.living(key);
        let counter = if entry.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        counter.bump();
        Ok(entry)
    }

    fn put(&self, key: &Key, value: Arc<[u8]>, version: u64, lifetime: Lifetime) -> Result<bool> {
        let now = self.now();
        let end = match lifetime.resolve(self.ttl)? {
            Some(time) => now.saturating_add(nanoseconds(time)),
            None => FOREVER,
        };
        let weight = ENTRY_BYTES + (key.as_str().len() + value.len()) as u64;
        let held = Held {
            value,
            version,
            end,
        };
        let inserted = self
            .map
            .insert_within(key.clone(), held, weight, Span { now, end });
        Ok(inserted.kept)
    }

    fn remove(&self, key: &Key) -> Result<bool> {
        let now = self.now();
        let is_over = |held: &Held| held.end <= now;
        if self
            .map
            .remove_if(key, RemovalCause::Expired, is_over)
            .is_some()
        {
            return Ok(false);
        }
        Ok(self.map.remove(key, RemovalCause::Explicit).is_some())
    }

    fn sweep(&self, most: usize) -> Result<usize> {
        Ok(self.map.remove_expired(self.now(), most).len())
    }

    fn tier_stats(&self) -> Result<TierStats> {
        let stats = self.map.stats();
        Ok(TierStats {
            report: self.stats()?,
            bytes: stats.usage.bytes,
            max_bytes: stats.limits.max_bytes,
            expirations: stats.removed(RemovalCause::Expired),
            damaged: 0,
        })
    }
}

impl Cache for MemoryTier {
    fn name(&self) -> &str {
        &self.name
    }

    fn usage(&self) -> CacheUsage {
        let stats = self.map.stats();
        CacheUsage {
            entries: stats.usage.items,
            capacity: Some(stats.limits.max_items),
            bytes: Some(stats.usage.bytes),
            max_bytes: Some(stats.limits.max_bytes),
        }
    }

    /// What has expired goes first.
    fn evict(&self, entries: usize) -> Result<usize> {
        let expired = self.sweep(entries)?;
        Ok(expired + self.map.evict(entries - expired).len())
    }

    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        scope.matcher()?;
        Ok(self.map.clear().len())
    }

    fn clear(&self) -> Result<()> {
        self.map.clear();
        Ok(())
    }

    fn stats(&self) -> Result<CacheReport> {
        let stats = self.map.stats();
        let evicted = [RemovalCause::Capacity, RemovalCause::Pressure];
        let evictions = evicted.map(|cause| stats.removed(cause)).iter().sum();
        Ok(CacheReport::new(self.usage())
            .requests(self.hits.get(), self.misses.get())
            .evictions(evictions))
    }
}

impl fmt::Debug for MemoryTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTier")
            .field("name", &self.name)
            .field("map", &self.map)
            .finish_non_exhaustive()
    }
}
