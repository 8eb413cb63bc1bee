//! A tier in memory that processes could share: with leases, as one over a network has them, and a way to
//! it that can be cut. Whose types it is made of the program of tests says, in its module `subject`.

#![allow(dead_code, reason = "each program of tests uses a part of it")]

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::subject::{
    Cache, CacheReport, CacheUsage, Change, Entry, Error, ErrorKind, Health, Key, KeyPattern,
    Lease, Leased, ManualClock, MemoryTier, MemoryTierOptions, Result, Scope, Term, Tier,
    TierStats,
};

/// The tier as one process, or several, get to it.
pub struct SharedTier {
    there: Arc<There>,
    pub locks_are_down: AtomicBool,
    /// Every verb that may fail fails, and does nothing.
    pub is_away: AtomicBool,
    /// Verbs that were asked for.
    pub asked: AtomicU64,
    pub renewals: AtomicU64,
}

/// What lies there.
struct There {
    inner: MemoryTier,
    leases: Mutex<HashMap<Key, u64>>,
    next: AtomicU64,
}

impl SharedTier {
    pub fn new(clock: &Arc<ManualClock>) -> Arc<Self> {
        Self::to(Arc::new(There {
            inner: MemoryTier::new("shared", MemoryTierOptions::default(), clock.clone()),
            leases: Mutex::default(),
            next: AtomicU64::new(1),
        }))
    }

    /// Another way to the same.
    pub fn another(&self) -> Arc<Self> {
        Self::to(Arc::clone(&self.there))
    }

    fn to(there: Arc<There>) -> Arc<Self> {
        Arc::new(SharedTier {
            there,
            locks_are_down: AtomicBool::new(false),
            is_away: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            renewals: AtomicU64::new(0),
        })
    }

    pub fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    /// A lease that its owner does not know he has lost.
    pub fn take_away(&self, key: &str) {
        let key = Key::new(key).unwrap();
        assert!(self.there.leases.lock().unwrap().remove(&key).is_some());
    }

    pub fn leases(&self) -> usize {
        self.there.leases.lock().unwrap().len()
    }

    /// What is there, if it can be got to.
    fn there(&self) -> Result<&There> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.is_away.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::Unavailable, "it is away")),
            false => Ok(&self.there),
        }
    }
}

impl There {
    fn is_owner(&self, key: &Key, lease: &Lease) -> bool {
        self.leases.lock().unwrap().get(key) == Some(&lease.fence)
    }

    fn put(&self, key: &Key, value: Arc<[u8]>, version: u64, term: Term) -> Result<bool> {
        self.leases.lock().unwrap().remove(key);
        self.inner.put(key, value, version, term)
    }
}

impl Tier for SharedTier {
    fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.there()?.inner.get(key)
    }

    fn peek(&self, key: &Key) -> Result<Option<Entry>> {
        self.there()?.inner.peek(key)
    }

    fn put(&self, key: &Key, value: Arc<[u8]>, version: u64, term: Term) -> Result<bool> {
        self.there()?.put(key, value, version, term)
    }

    fn remove(&self, key: &Key) -> Result<bool> {
        let there = self.there()?;
        there.leases.lock().unwrap().remove(key);
        there.inner.remove(key)
    }

    fn update(&self, key: &Key, change: &mut Change<'_>) -> Result<Option<Entry>> {
        self.there()?.inner.update(key, change)
    }

    fn scan(
        &self,
        pattern: &KeyPattern,
        visit: &mut dyn FnMut(Key) -> ControlFlow<()>,
    ) -> Result<()> {
        self.there()?.inner.scan(pattern, visit)
    }

    fn remove_matching(&self, pattern: &KeyPattern) -> Result<usize> {
        let there = self.there()?;
        there.leases.lock().unwrap().clear();
        there.inner.remove_matching(pattern)
    }

    fn sweep(&self, most: usize) -> Result<usize> {
        self.there()?.inner.sweep(most)
    }

    fn tier_stats(&self) -> Result<TierStats> {
        self.there.inner.tier_stats()
    }

    fn health(&self) -> Health {
        self.there.inner.health()
    }

    fn ttl(&self) -> Duration {
        self.there.inner.ttl()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn is_away(&self) -> bool {
        self.is_away.load(Ordering::SeqCst)
    }

    fn lease(&self, key: &Key, time: Duration) -> Result<Leased> {
        if self.locks_are_down.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "no locks today"));
        }
        let there = self.there()?;
        let mut leases = there.leases.lock().unwrap();
        if leases.contains_key(key) {
            return Ok(Leased::Held(time));
        }
        let fence = there.next.fetch_add(1, Ordering::SeqCst);
        leases.insert(key.clone(), fence);
        let token = u128::from(fence);
        Ok(Leased::Granted(Lease { token, fence }))
    }

    fn renew(&self, key: &Key, lease: &Lease, _: Duration) -> Result<bool> {
        self.renewals.fetch_add(1, Ordering::SeqCst);
        Ok(self.there()?.is_owner(key, lease))
    }

    fn fill(
        &self,
        key: &Key,
        lease: &Lease,
        value: Arc<[u8]>,
        version: u64,
        term: Term,
    ) -> Result<bool> {
        let there = self.there()?;
        Ok(there.is_owner(key, lease) && there.put(key, value, version, term)?)
    }

    fn release(&self, key: &Key, lease: &Lease) -> Result<()> {
        let there = self.there()?;
        if there.is_owner(key, lease) {
            there.leases.lock().unwrap().remove(key);
        }
        Ok(())
    }
}

impl Cache for SharedTier {
    fn name(&self) -> &str {
        self.there.inner.name()
    }

    fn usage(&self) -> CacheUsage {
        self.there.inner.usage()
    }

    fn evict(&self, entries: usize) -> Result<usize> {
        self.there()?.inner.evict(entries)
    }

    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        self.there()?.inner.invalidate(scope)
    }

    fn clear(&self) -> Result<()> {
        let there = self.there()?;
        there.leases.lock().unwrap().clear();
        there.inner.clear()
    }

    fn stats(&self) -> Result<CacheReport> {
        self.there.inner.stats()
    }
}
