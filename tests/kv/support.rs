//! A cache over memory, its clock, and a tier that fails when it is told to.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cardex::kv::{KvCache, KvOptions};
use cardex::tier::{
    Change, Entry, Key, KeyPattern, Lifetime, MemoryTier, MemoryTierOptions, Term, Tier, TierStats,
};
use cardex::{
    Cache, CacheReport, CacheUsage, Error, ErrorKind, Health, HealthState, ManualClock, Reason,
    Result, Scope,
};

pub const NEVER: Lifetime = Lifetime::Never;

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn lasting(n: u64) -> Lifetime {
    Lifetime::For(seconds(n))
}

pub fn pattern(text: &str) -> KeyPattern {
    KeyPattern::new(text).unwrap()
}

/// Waits until it is so, at most for a minute.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + seconds(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// A cache, its tier and its clock.
pub struct Case {
    pub cache: KvCache,
    pub tier: Arc<Moody>,
    pub clock: Arc<ManualClock>,
}

impl std::ops::Deref for Case {
    type Target = KvCache;

    fn deref(&self) -> &KvCache {
        &self.cache
    }
}

pub fn case() -> Case {
    case_with(KvOptions::default())
}

pub fn case_with(options: KvOptions) -> Case {
    case_of(options, MemoryTierOptions::default())
}

pub fn case_of(options: KvOptions, memory: MemoryTierOptions) -> Case {
    let clock = Arc::new(ManualClock::new());
    let tier = Arc::new(Moody {
        inner: MemoryTier::new("tier", memory, clock.clone()),
        is_down: AtomicBool::new(false),
    });
    Case {
        cache: KvCache::new("cache", options, tier.clone(), clock.clone()),
        tier,
        clock,
    }
}

/// A tier in memory that can be down: every verb that may fail fails then, and does nothing.
pub struct Moody {
    inner: MemoryTier,
    is_down: AtomicBool,
}

impl Moody {
    pub fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    fn up(&self) -> Result<&MemoryTier> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Io, "the tier is down"));
        }
        Ok(&self.inner)
    }

    /// What lies there, put by somebody else.
    pub fn plant(&self, key: &str, value: &[u8]) {
        let term = Lifetime::Never.into();
        let key = Key::new(key).unwrap();
        assert!(self.inner.put(&key, value.into(), 1, term).unwrap());
    }
}

impl Tier for Moody {
    fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.up()?.get(key)
    }

    fn peek(&self, key: &Key) -> Result<Option<Entry>> {
        self.up()?.peek(key)
    }

    fn put(&self, key: &Key, value: Arc<[u8]>, version: u64, term: Term) -> Result<bool> {
        self.up()?.put(key, value, version, term)
    }

    fn remove(&self, key: &Key) -> Result<bool> {
        self.up()?.remove(key)
    }

    fn update(&self, key: &Key, change: &mut Change<'_>) -> Result<Option<Entry>> {
        self.up()?.update(key, change)
    }

    fn scan(
        &self,
        pattern: &KeyPattern,
        visit: &mut dyn FnMut(Key) -> ControlFlow<()>,
    ) -> Result<()> {
        self.up()?.scan(pattern, visit)
    }

    fn remove_matching(&self, pattern: &KeyPattern) -> Result<usize> {
        self.up()?.remove_matching(pattern)
    }

    fn sweep(&self, most: usize) -> Result<usize> {
        self.up()?.sweep(most)
    }

    fn tier_stats(&self) -> Result<TierStats> {
        self.inner.tier_stats()
    }

    fn health(&self) -> Health {
        match self.up() {
            Ok(inner) => inner.health(),
            Err(error) => Health::healthy("tier").but(HealthState::Unhealthy, Reason::from(&error)),
        }
    }

    fn ttl(&self) -> Duration {
        self.inner.ttl()
    }
}

impl Cache for Moody {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn usage(&self) -> CacheUsage {
        self.inner.usage()
    }

    fn evict(&self, entries: usize) -> Result<usize> {
        self.up()?.evict(entries)
    }

    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        self.up()?.invalidate(scope)
    }

    fn clear(&self) -> Result<()> {
        self.up()?.clear()
    }

    fn stats(&self) -> Result<CacheReport> {
        self.inner.stats()
    }
}
