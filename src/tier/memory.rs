//! The tier in memory: the bounded map, with an end for each entry. It never blocks for I/O, and
//! never fails.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::term::Times;
use super::{
    Change, DepartureListener, Entry, Key, KeyPattern, Lifetime, Term, Tier, TierStats, Update,
};
use crate::bounded::{BoundedMap, Inserted, Limits, RemovalCause, Span};
use crate::cache::{Cache, CacheReport, CacheUsage, Scope};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::eviction::{Deadline, FOREVER, Strategy};
use crate::health::Health;
use crate::stats::Counter;

const MIB: u64 = 1 << 20;
/// What an entry holds beside its key and its value, about: its places in the map, in the order of
/// eviction and in that of deadlines, and the heads of two allocations.
const ENTRY_BYTES: u64 = 200;
/// How often a change is made anew of an entry that others change meanwhile. Each of those times,
/// somebody else's change was made.
const MAX_CHANGES: usize = 1000;

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

    /// How long a value lives that is put with the default lifetime.
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
    departures: OnceLock<DepartureListener>,
}

#[derive(Clone)]
struct Held {
    value: Arc<[u8]>,
    version: u64,
    /// When it leaves this tier: not after its end.
    leaves: Deadline,
    end: Deadline,
    grace: Duration,
}

impl Held {
    /// What it is now, if it has not left.
    fn entry(self, now: Deadline) -> Option<Entry> {
        if self.leaves <= now {
            return None;
        }
        let remaining = (self.end != FOREVER).then(|| Duration::from_nanos(self.end - now));
        Some(Entry {
            value: self.value,
            version: self.version,
            remaining,
            grace: self.grace,
        })
    }
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
            departures: OnceLock::new(),
        }
    }

    fn now(&self) -> Deadline {
        nanoseconds(self.clock.elapsed())
    }

    /// The value, if it lives. What has expired leaves.
    fn living(&self, key: &Key) -> Option<Entry> {
        let held = self.map.get(key)?;
        let now = self.now();
        if held.leaves <= now {
            let is_over = |held: &Held| held.leaves <= now;
            let expired = self.map.remove_if(key, RemovalCause::Expired, is_over);
            if expired.is_some() {
                self.departs(key);
            }
            return None;
        }
        held.entry(now)
    }

    fn departs(&self, key: &Key) {
        if let Some(listener) = self.departures.get() {
            listener(key);
        }
    }

    /// Tells of those that left; how many they are.
    fn depart(&self, left: &[(Key, Held)]) -> usize {
        left.iter().for_each(|(key, _)| self.departs(key));
        left.len()
    }

    /// Tells of those that an insertion under the key left no room for; whether the value is kept.
    fn is_kept(&self, key: &Key, inserted: Inserted<Key, Held>) -> bool {
        self.depart(&inserted.evicted);
        if !inserted.kept {
            self.departs(key);
        }
        inserted.kept
    }

    fn held(value: Arc<[u8]>, version: u64, now: Deadline, times: Times) -> Held {
        let after = |time: Option<Duration>| match time {
            Some(time) => now.saturating_add(nanoseconds(time)),
            None => FOREVER,
        };
        Held {
            value,
            version,
            leaves: after(times.held),
            end: after(times.life),
            grace: times.grace,
        }
    }
}

fn weight(key: &Key, value: &[u8]) -> u64 {
    ENTRY_BYTES + (key.as_str().len() + value.len()) as u64
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

    fn peek(&self, key: &Key) -> Result<Option<Entry>> {
        let now = self.now();
        Ok(self.map.peek(key).and_then(|held| held.entry(now)))
    }

    fn put(&self, key: &Key, value: Arc<[u8]>, version: u64, term: Term) -> Result<bool> {
        let (now, times) = (self.now(), term.resolve(self.ttl)?);
        let (weight, held) = (weight(key, &value), Self::held(value, version, now, times));
        let end = held.leaves;
        let inserted = self
            .map
            .insert_within(key.clone(), held, weight, Span { now, end });
        Ok(self.is_kept(key, inserted))
    }

    fn remove(&self, key: &Key) -> Result<bool> {
        let now = self.now();
        let is_over = |held: &Held| held.leaves <= now;
        if self
            .map
            .remove_if(key, RemovalCause::Expired, is_over)
            .is_some()
        {
            return Ok(false);
        }
        Ok(self.map.remove(key, RemovalCause::Explicit).is_some())
    }

    fn update(&self, key: &Key, change: &mut Change<'_>) -> Result<Option<Entry>> {
        for _ in 0..MAX_CHANGES {
            let (held, seen) = self.map.held(key);
            let now = self.now();
            let old = held.clone().and_then(|held| held.entry(now));
            let (value, version, term) = match change(old.as_ref())? {
                Update::Leave => return Ok(old),
                Update::Remove if old.is_none() => return Ok(None),
                Update::Remove => {
                    let cause = RemovalCause::Explicit;
                    if self.map.remove_still(seen, key, cause) {
                        return Ok(None);
                    }
                    continue;
                }
                Update::Put {
                    value,
                    version,
                    term,
                } => (value, version, term),
            };
            let weight = weight(key, &value);
            let held = match (term, held.filter(|_| old.is_some())) {
                // It keeps its ends.
                (None, Some(held)) => Held {
                    value,
                    version,
                    ..held
                },
                (term, _) => {
                    let times = term.unwrap_or(Lifetime::Default.into()).resolve(self.ttl)?;
                    Self::held(value, version, now, times)
                }
            };
            let end = held.leaves;
            let new = held.clone().entry(now);
            let span = Span { now, end };
            let inserted = self.map.insert_if(seen, key.clone(), held, weight, span);
            if let Some(inserted) = inserted {
                let is_kept = self.is_kept(key, inserted);
                return Ok(new.filter(|_| is_kept));
            }
        }
        let message = format!("the entry {key} was changed by others, each of {MAX_CHANGES} times");
        Err(Error::new(ErrorKind::DatabaseBusy, message).with_help("try again"))
    }

    fn scan(
        &self,
        pattern: &KeyPattern,
        visit: &mut dyn FnMut(Key) -> ControlFlow<()>,
    ) -> Result<()> {
        let keys = self.map.keys().into_iter();
        for key in keys.filter(|key| pattern.matches(key.as_str())) {
            let now = self.now();
            let lives = self.map.peek(&key).is_some_and(|held| held.leaves > now);
            if lives && visit(key).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn remove_matching(&self, pattern: &KeyPattern) -> Result<usize> {
        if let Some(key) = pattern.only() {
            return Ok(usize::from(self.remove(&key)?));
        }
        let keys = self.map.keys().into_iter();
        let mut removed = 0;
        for key in keys.filter(|key| pattern.matches(key.as_str())) {
            removed += usize::from(self.remove(&key)?);
        }
        Ok(removed)
    }

    fn on_departure(&self, listener: DepartureListener) {
        // The first one stays.
        let _ = self.departures.set(listener);
    }

    fn sweep(&self, most: usize) -> Result<usize> {
        Ok(self.depart(&self.map.remove_expired(self.now(), most)))
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

    fn health(&self) -> Health {
        Health::healthy(&*self.name)
    }

    fn ttl(&self) -> Duration {
        self.ttl
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
        Ok(expired + self.depart(&self.map.evict(entries - expired)))
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
