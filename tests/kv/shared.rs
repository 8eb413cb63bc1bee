//! A tier in memory that processes could share: with leases, as one over a network has them.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cardex::tier::{
    Change, Entry, Key, KeyPattern, Lease, Leased, MemoryTier, MemoryTierOptions, Term, Tier,
    TierStats,
};
use cardex::{
    Cache, CacheReport, CacheUsage, Error, ErrorKind, Health, ManualClock, Result, Scope,
};

pub struct SharedTier {
    inner: MemoryTier,
    leases: Mutex<HashMap<Key, u64>>,
    next: AtomicU64,
    pub locks_are_down: AtomicBool,
    pub renewals: AtomicU64,
}

impl SharedTier {
    pub fn new(clock: &Arc<ManualClock>) -> Arc<Self> {
        Arc::new(SharedTier {
            inner: MemoryTier::new("shared", MemoryTierOptions::default(), clock.clone()),
            leases: Mutex::default(),
            next: AtomicU64::new(1),
            locks_are_down: AtomicBool::new(false),
            renewals: AtomicU64::new(0),
        })
    }

    /// A lease that its owner does not know he has lost.
    pub fn take_away(&self, key: &str) {
        let key = Key::new(key).unwrap();
        assert!(self.leases.lock().unwrap().remove(&key).is_some());
    }

    pub fn leases(&self) -> usize {
        self.leases.lock().unwrap().len()
    }

    fn is_owner(&self, key: &Key, lease: &Lease) -> bool {
        self.leases.lock().unwrap().get(key) == Some(&lease.fence)
    }
}

impl Tier for SharedTier {
    fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.inner.get(key)
    }

    fn peek(&self, key: &Key) -> Result<Option<Entry>> {
        self.inner.peek(key)
    }

    fn put(&self, key: &Key, value: Arc<[u8]>, version: u64, term: Term) -> Result<bool> {
        self.leases.lock().unwrap().remove(key);
        self.inner.put(key, value, version, term)
    }

    fn remove(&self, key: &Key) -> Result<bool> {
        self.leases.lock().unwrap().remove(key);
        self.inner.remove(key)
    }

    fn update(&self, key: &Key, change: &mut Change<'_>) -> Result<Option<Entry>> {
        self.inner.update(key, change)
    }

    fn scan(
        &self,
        pattern: &KeyPattern,
        visit: &mut dyn FnMut(Key) -> ControlFlow<()>,
    ) -> Result<()> {
        self.inner.scan(pattern, visit)
    }

    fn remove_matching(&self, pattern: &KeyPattern) -> Result<usize> {
        self.leases.lock().unwrap().clear();
        self.inner.remove_matching(pattern)
    }

    fn sweep(&self, most: usize) -> Result<usize> {
        self.inner.sweep(most)
    }

    fn tier_stats(&self) -> Result<TierStats> {
        self.inner.tier_stats()
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    fn ttl(&self) -> Duration {
        self.inner.ttl()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn lease(&self, key: &Key, time: Duration) -> Result<Leased> {
        if self.locks_are_down.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Io, "no locks today"));
        }
        let mut leases = self.leases.lock().unwrap();
        if leases.contains_key(key) {
            return Ok(Leased::Held(time));
        }
        let fence = self.next.fetch_add(1, Ordering::SeqCst);
        leases.insert(key.clone(), fence);
        let token = u128::from(fence);
        Ok(Leased::Granted(Lease { token, fence }))
    }

    fn renew(&self, key: &Key, lease: &Lease, _: Duration) -> Result<bool> {
        self.renewals.fetch_add(1, Ordering::SeqCst);
        Ok(self.is_owner(key, lease))
    }

    fn fill(
        &self,
        key: &Key,
        lease: &Lease,
        value: Arc<[u8]>,
        version: u64,
        term: Term,
    ) -> Result<bool> {
        Ok(self.is_owner(key, lease) && self.put(key, value, version, term)?)
    }

    fn release(&self, key: &Key, lease: &Lease) -> Result<()> {
        if self.is_owner(key, lease) {
            self.leases.lock().unwrap().remove(key);
        }
        Ok(())
    }
}

impl Cache for SharedTier {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn usage(&self) -> CacheUsage {
        self.inner.usage()
    }

    fn evict(&self, entries: usize) -> Result<usize> {
        self.inner.evict(entries)
    }

    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        self.inner.invalidate(scope)
    }

    fn clear(&self) -> Result<()> {
        self.leases.lock().unwrap().clear();
        self.inner.clear()
    }

    fn stats(&self) -> Result<CacheReport> {
        self.inner.stats()
    }
}
