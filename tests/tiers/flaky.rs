//! A tier that does what a test tells it: fails before a verb has its effect, or after it, panics, or
//! waits. It can be shared, with leases that a removal voids.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cardex::tier::{Change, Entry, Key, KeyPattern, Lease, Leased, Term, Tier, TierStats, Update};
use cardex::{
    Cache, CacheReport, CacheUsage, Error, ErrorKind, Health, ManualClock, Reason, Result, Scope,
};

/// How a verb goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is an error, and has no effect.
    Before,
    /// It is an error, and has its effect.
    After,
    /// It panics, and has no effect.
    Panic,
}

impl Fault {
    pub const ALL: [Fault; 3] = [Fault::Before, Fault::After, Fault::Panic];
}

/// Longer than any test waits for another thread.
const DEADLINE: Duration = Duration::from_secs(30);

pub struct FlakyTier {
    inner: Arc<dyn Tier>,
    fault: Mutex<Option<Fault>>,
    calls: Mutex<HashMap<&'static str, usize>>,
    /// What a `get` waits for after it has read: whether one waits, and whether it may go on.
    gate: Mutex<Gate>,
    /// How long a verb takes before it has its effect, on this clock.
    slow: Mutex<Option<(Arc<ManualClock>, Duration)>>,
    moved: Condvar,
    is_shared: bool,
    leases: Mutex<Leases>,
}

#[derive(Default)]
struct Gate {
    is_shut: bool,
    waiting: usize,
}

#[derive(Default)]
struct Leases {
    last: u64,
    held: HashMap<Key, u64>,
}

impl FlakyTier {
    pub fn new(inner: Arc<dyn Tier>) -> Arc<Self> {
        Arc::new(Self::over(inner, false))
    }

    pub fn shared(inner: Arc<dyn Tier>) -> Arc<Self> {
        Arc::new(Self::over(inner, true))
    }

    fn over(inner: Arc<dyn Tier>, is_shared: bool) -> Self {
        FlakyTier {
            inner,
            fault: Mutex::default(),
            calls: Mutex::default(),
            gate: Mutex::default(),
            slow: Mutex::default(),
            moved: Condvar::new(),
            is_shared,
            leases: Mutex::default(),
        }
    }

    /// From now on every verb goes wrong like this, or none does.
    pub fn fault(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap() = fault;
    }

    /// From now on every verb takes so long, on this clock, before it has its effect.
    pub fn slow(&self, clock: &Arc<ManualClock>, time: Duration) {
        *self.slow.lock().unwrap() = Some((Arc::clone(clock), time));
    }

    /// How often a verb was asked for.
    pub fn calls(&self, verb: &str) -> usize {
        self.calls.lock().unwrap().get(verb).copied().unwrap_or(0)
    }

    /// Whoever gets something waits, after he has read it, until the gate is opened.
    pub fn shut(&self) {
        self.gate.lock().unwrap().is_shut = true;
    }

    pub fn open(&self) {
        self.gate.lock().unwrap().is_shut = false;
        self.moved.notify_all();
    }

    /// Returns when so many wait at the gate.
    pub fn await_waiting(&self, many: usize) {
        let gate = self.gate.lock().unwrap();
        let few = |gate: &mut Gate| gate.waiting < many;
        let (_gate, late) = self.moved.wait_timeout_while(gate, DEADLINE, few).unwrap();
        assert!(!late.timed_out(), "nobody came to the gate");
    }

    fn pass(&self) {
        let mut gate = self.gate.lock().unwrap();
        gate.waiting += 1;
        self.moved.notify_all();
        let shut = |gate: &mut Gate| gate.is_shut;
        let (mut gate, late) = self.moved.wait_timeout_while(gate, DEADLINE, shut).unwrap();
        assert!(!late.timed_out(), "nobody opened the gate");
        gate.waiting -= 1;
    }

    fn run<R>(&self, verb: &'static str, run: impl FnOnce(&dyn Tier) -> Result<R>) -> Result<R> {
        *self.calls.lock().unwrap().entry(verb).or_default() += 1;
        let fault = *self.fault.lock().unwrap();
        if let Some((clock, time)) = &*self.slow.lock().unwrap() {
            clock.advance(*time);
        }
        let failure = Error::new(ErrorKind::Io, format!("{verb} goes wrong"));
        match fault {
            None => run(&*self.inner),
            Some(Fault::Before) => Err(failure),
            Some(Fault::After) => run(&*self.inner).and(Err(failure)),
            // Without the hook's word on stderr.
            Some(Fault::Panic) => std::panic::resume_unwind(Box::new("it breaks")),
        }
    }

    fn void(&self, is_voided: impl Fn(&Key) -> bool) {
        let mut leases = self.leases.lock().unwrap();
        leases.held.retain(|key, _| !is_voided(key));
    }
}

impl Tier for FlakyTier {
    fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let found = self.run("get", |tier| tier.get(key));
        self.pass();
        found
    }

    fn get_many(&self, keys: &[&Key]) -> Vec<Result<Option<Entry>>> {
        match self.run("get_many", |tier| Ok(tier.get_many(keys))) {
            Ok(found) => found,
            Err(error) => keys.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn peek(&self, key: &Key) -> Result<Option<Entry>> {
        self.run("peek", |tier| tier.peek(key))
    }

    fn put(&self, key: &Key, value: Arc<[u8]>, version: u64, term: Term) -> Result<bool> {
        self.run("put", |tier| {
            self.void(|other| other == key);
            tier.put(key, value, version, term)
        })
    }

    fn remove(&self, key: &Key) -> Result<bool> {
        self.run("remove", |tier| {
            self.void(|other| other == key);
            tier.remove(key)
        })
    }

    fn update(&self, key: &Key, change: &mut Change<'_>) -> Result<Option<Entry>> {
        self.run("update", |tier| tier.update(key, change))
    }

    fn scan(
        &self,
        pattern: &KeyPattern,
        visit: &mut dyn FnMut(Key) -> ControlFlow<()>,
    ) -> Result<()> {
        self.run("scan", |tier| tier.scan(pattern, visit))
    }

    fn remove_matching(&self, pattern: &KeyPattern) -> Result<usize> {
        self.run("remove_matching", |tier| {
            self.void(|key| pattern.matches(key.as_str()));
            tier.remove_matching(pattern)
        })
    }

    fn sweep(&self, most: usize) -> Result<usize> {
        self.run("sweep", |tier| tier.sweep(most))
    }

    fn tier_stats(&self) -> Result<TierStats> {
        self.inner.tier_stats()
    }

    fn health(&self) -> Health {
        match *self.fault.lock().unwrap() {
            None => self.inner.health(),
            Some(_) => Health::healthy(self.name()).but(
                cardex::HealthState::Unhealthy,
                Reason::new("down", "it is down"),
            ),
        }
    }

    fn ttl(&self) -> Duration {
        self.inner.ttl()
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    fn lease(&self, key: &Key, time: Duration) -> Result<Leased> {
        self.run("lease", |_| {
            let mut leases = self.leases.lock().unwrap();
            if leases.held.contains_key(key) {
                return Ok(Leased::Held(time));
            }
            leases.last += 1;
            let fence = leases.last;
            leases.held.insert(key.clone(), fence);
            let token = fence.into();
            Ok(Leased::Granted(Lease { token, fence }))
        })
    }

    fn renew(&self, key: &Key, lease: &Lease, _: Duration) -> Result<bool> {
        self.run("renew", |_| {
            let leases = self.leases.lock().unwrap();
            Ok(leases.held.get(key) == Some(&lease.fence))
        })
    }

    fn fill(
        &self,
        key: &Key,
        lease: &Lease,
        value: Arc<[u8]>,
        version: u64,
        term: Term,
    ) -> Result<bool> {
        self.run("fill", |tier| {
            let mut leases = self.leases.lock().unwrap();
            if leases.held.get(key) != Some(&lease.fence) {
                return Ok(false);
            }
            leases.held.remove(key);
            tier.put(key, value, version, term)
        })
    }

    fn release(&self, key: &Key, _: &Lease) -> Result<()> {
        self.run("release", |_| {
            self.void(|other| other == key);
            Ok(())
        })
    }
}

impl Cache for FlakyTier {
    fn name(&self) -> &str {
        self.inner.name()
    }

    /// Without bytes if others share it: they are no memory of this process.
    fn usage(&self) -> CacheUsage {
        let usage = self.inner.usage();
        CacheUsage {
            bytes: usage.bytes.filter(|_| !self.is_shared),
            ..usage
        }
    }

    fn evict(&self, entries: usize) -> Result<usize> {
        self.run("evict", |tier| tier.evict(entries))
    }

    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        self.run("invalidate", |tier| {
            self.void(|_| true);
            tier.invalidate(scope)
        })
    }

    fn clear(&self) -> Result<()> {
        self.run("clear", |tier| {
            self.void(|_| true);
            tier.clear()
        })
    }

    fn stats(&self) -> Result<CacheReport> {
        self.inner.stats()
    }
}

/// Adds to a number in text, which a missing entry is 0 of.
pub fn add(tier: &dyn Tier, key: &Key, delta: i64) -> Result<i64> {
    let mut sum = 0;
    tier.update(key, &mut |entry| {
        let old = entry.map_or(Ok(0), |entry| {
            let text = std::str::from_utf8(&entry.value).unwrap_or("");
            text.parse()
                .map_err(|_| Error::new(ErrorKind::InvalidInput, "it is not a number"))
        });
        sum = old? + delta;
        Ok(Update::Put {
            value: sum.to_string().into_bytes().into(),
            version: entry.map_or(1, |entry| entry.version + 1),
            term: None,
        })
    })?;
    Ok(sum)
}
