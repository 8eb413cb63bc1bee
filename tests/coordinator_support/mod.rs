//! What the tests of the coordinator share: caches and a gauge that do as they are told.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test program uses a part of it"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cardex::{
    Cache, CacheCoordinator, CacheReport, CacheUsage, CoordinatorOptions, Error, ErrorKind,
    ManualClock, MemoryLimit, PressureGauge, Result, Scope,
};

pub const INTERVAL: Duration = Duration::from_secs(30);
pub const DEADLINE: Duration = Duration::from_secs(10);

/// What a fake cache does when it is asked for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Gives,
    Fails,
    Panics,
}

type Hook = Box<dyn Fn() + Send + Sync>;

/// A cache of entries of one size that counts how it is asked.
pub struct FakeCache {
    pub name: String,
    pub usage: Mutex<CacheUsage>,
    pub manner: Mutex<Manner>,
    /// What it was asked to evict, call by call.
    pub asked: Mutex<Vec<usize>>,
    pub invalidated: Mutex<Vec<Scope>>,
    /// Called in the middle of `evict`.
    pub hook: Mutex<Option<Arc<Hook>>>,
    pub inside: AtomicUsize,
    pub most_inside: AtomicUsize,
}

impl FakeCache {
    /// So many entries of so many; each weighs ten bytes.
    pub fn new(name: &str, entries: usize, capacity: usize) -> Arc<Self> {
        Self::with(
            name,
            CacheUsage {
                entries,
                capacity: Some(capacity),
                bytes: Some(10 * entries as u64),
                max_bytes: None,
            },
        )
    }

    pub fn with(name: &str, usage: CacheUsage) -> Arc<Self> {
        Arc::new(FakeCache {
            name: name.to_owned(),
            usage: Mutex::new(usage),
            manner: Mutex::new(Manner::Gives),
            asked: Mutex::default(),
            invalidated: Mutex::default(),
            hook: Mutex::default(),
            inside: AtomicUsize::new(0),
            most_inside: AtomicUsize::new(0),
        })
    }

    pub fn behaves(self: Arc<Self>, manner: Manner) -> Arc<Self> {
        *self.manner.lock().unwrap() = manner;
        self
    }

    /// Calls this in the middle of every `evict`.
    pub fn when_asked(&self, hook: impl Fn() + Send + Sync + 'static) {
        *self.hook.lock().unwrap() = Some(Arc::new(Box::new(hook)));
    }

    pub fn entries(&self) -> usize {
        self.usage.lock().unwrap().entries
    }

    pub fn fill(&self, entries: usize) {
        let mut usage = self.usage.lock().unwrap();
        usage.entries = entries;
        usage.bytes = usage.bytes.map(|_| 10 * entries as u64);
    }

    pub fn asked(&self) -> Vec<usize> {
        self.asked.lock().unwrap().clone()
    }

    fn misbehave(&self) -> Result<()> {
        match *self.manner.lock().unwrap() {
            Manner::Gives => Ok(()),
            Manner::Fails => Err(Error::new(ErrorKind::Io, "its disk is gone")),
            Manner::Panics => panic!("its invariant is gone"),
        }
    }
}

impl Cache for FakeCache {
    fn name(&self) -> &str {
        &self.name
    }

    fn usage(&self) -> CacheUsage {
        *self.usage.lock().unwrap()
    }

    fn evict(&self, entries: usize) -> Result<usize> {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_inside.fetch_max(inside, Ordering::SeqCst);
        self.asked.lock().unwrap().push(entries);
        let hook = self.hook.lock().unwrap().clone();
        if let Some(hook) = hook {
            hook();
        }
        let manner = *self.manner.lock().unwrap();
        self.inside.fetch_sub(1, Ordering::SeqCst);
        match manner {
            Manner::Gives => {}
            _ => self.misbehave()?,
        }
        let held = self.entries();
        let given = entries.min(held);
        self.fill(held - given);
        Ok(given)
    }

    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        self.misbehave()?;
        self.invalidated.lock().unwrap().push(scope.clone());
        Ok(1)
    }

    fn clear(&self) -> Result<()> {
        self.misbehave()?;
        self.fill(0);
        Ok(())
    }

    fn stats(&self) -> Result<CacheReport> {
        self.misbehave()?;
        Ok(CacheReport::new(self.usage()).requests(3, 1).evictions(2))
    }
}

/// Memory as the test says: what is used of 1000 bytes outside, and what the caches that it knows
/// hold on top of that.
#[derive(Default)]
pub struct FakeGauge {
    pub outside: Mutex<Option<u64>>,
    pub caches: Mutex<Vec<Arc<FakeCache>>>,
    /// How often it was read.
    pub reads: AtomicUsize,
}

impl FakeGauge {
    /// So much of 1000 is used, whatever the caches do.
    pub fn stuck_at(used: u64) -> Arc<Self> {
        let gauge = FakeGauge::default();
        gauge.set(used);
        Arc::new(gauge)
    }

    /// Of a gauge that cannot be read.
    pub fn unknown() -> Arc<Self> {
        Arc::new(FakeGauge::default())
    }

    pub fn set(&self, used: u64) {
        *self.outside.lock().unwrap() = Some(used);
    }

    pub fn lose(&self) {
        *self.outside.lock().unwrap() = None;
    }

    /// Counts the entries of this cache too, each as one byte.
    pub fn counts(&self, cache: &Arc<FakeCache>) {
        self.caches.lock().unwrap().push(Arc::clone(cache));
    }
}

impl PressureGauge for FakeGauge {
    fn limits(&self) -> Vec<MemoryLimit> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let Some(outside) = *self.outside.lock().unwrap() else {
            return vec![MemoryLimit::unknown("machine")];
        };
        let caches = self.caches.lock().unwrap();
        let held: usize = caches.iter().map(|cache| cache.entries()).sum();
        vec![MemoryLimit::new("machine", outside + held as u64, 1000)]
    }
}

/// A coordinator over a gauge and a clock that the test holds.
pub struct Bench {
    pub coordinator: Arc<CacheCoordinator>,
    pub gauge: Arc<FakeGauge>,
    pub clock: Arc<ManualClock>,
}

impl Bench {
    pub fn new(gauge: Arc<FakeGauge>) -> Self {
        Self::with(gauge, CoordinatorOptions::default())
    }

    pub fn with(gauge: Arc<FakeGauge>, options: CoordinatorOptions) -> Self {
        let clock = Arc::new(ManualClock::new());
        let coordinator = CacheCoordinator::with_gauge(options, gauge.clone(), clock.clone());
        Bench {
            coordinator: Arc::new(coordinator),
            gauge,
            clock,
        }
    }

    /// A cache that is registered.
    pub fn cache(&self, name: &str, entries: usize, capacity: usize) -> Arc<FakeCache> {
        let cache = FakeCache::new(name, entries, capacity);
        self.coordinator.register(cache.clone()).unwrap();
        cache
    }

    /// A check after the coordinator has cooled down.
    pub fn check(&self) -> bool {
        let evicted = self.coordinator.check_pressure();
        self.clock.advance(INTERVAL);
        evicted
    }
}

/// Waits until it holds; fails at the deadline.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "never: {what}");
        std::thread::yield_now();
    }
}
