//! `Tiered`: nothing comes up that a change has overtaken, whoever reads, changes, clears and repairs
//! beside each other; and in the end all tiers say the same. `KeyTurns`: one writer of a key at a time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};

use crate::cache::{Cache, CacheReport, CacheUsage, Scope};
use crate::clock::ManualClock;
use crate::error::{Error, ErrorKind, Result};
use crate::explore::{claim, join};
use crate::health::Health;
use crate::key_turns::KeyTurns;
use crate::primitives::Mutex;
use crate::shared::SharedTier;
use crate::tier::{
    Change, Entry, Key, KeyPattern, Lifetime, MemoryTier, MemoryTierOptions, Term, Tier, TierStats,
    Tiered, TieredOptions, Update,
};

pub(crate) fn claims() -> Vec<Trial> {
    vec![
        claim("turns: one writer of a key at a time", 2000, one_writer),
        claim("turns: a barrier outlasts who began before", 2000, barrier),
        claim("tiers: promotion against put", 3000, promotion_put),
        claim("tiers: promotion against remove", 3000, promotion_remove),
        claim("tiers: promotion against clear", 2000, promotion_clear),
        claim(
            "tiers: promotion against remove_matching",
            2000,
            promotion_pattern,
        ),
        claim("tiers: two puts end equal in all tiers", 3000, two_puts),
        claim("tiers: update against put", 3000, update_put),
        claim("tiers: update against clear", 2000, update_clear),
        claim("tiers: increments are exact", 3000, increments),
        claim("tiers: a copy against what others say", 3000, copy_void),
        claim("tiers: repair against put and get", 3000, repair_put),
        claim("tiers: repair against clear", 2000, repair_clear),
    ]
}

/// Fails, before its effect or after it, as long as it has failures left.
struct Shaky {
    inner: MemoryTier,
    failures: Mutex<usize>,
}

impl Shaky {
    fn run<R>(&self, verb: impl FnOnce(&MemoryTier) -> Result<R>) -> Result<R> {
        let fails = {
            let mut failures = self.failures.lock();
            let fails = *failures > 0 && thread_rng().gen_bool(0.5);
            *failures -= usize::from(fails);
            fails
        };
        if !fails {
            return verb(&self.inner);
        }
        let failure = Error::new(ErrorKind::Io, "it fails");
        if thread_rng().gen_bool(0.5) {
            verb(&self.inner)?;
        }
        Err(failure)
    }
}

impl Tier for Shaky {
    fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.run(|tier| tier.get(key))
    }

    fn peek(&self, key: &Key) -> Result<Option<Entry>> {
        self.inner.peek(key)
    }

    fn put(&self, key: &Key, value: Arc<[u8]>, version: u64, term: Term) -> Result<bool> {
        self.run(|tier| tier.put(key, value, version, term))
    }

    fn remove(&self, key: &Key) -> Result<bool> {
        self.run(|tier| tier.remove(key))
    }

    fn update(&self, key: &Key, change: &mut Change<'_>) -> Result<Option<Entry>> {
        self.run(|tier| tier.update(key, change))
    }

    fn scan(
        &self,
        pattern: &KeyPattern,
        visit: &mut dyn FnMut(Key) -> ControlFlow<()>,
    ) -> Result<()> {
        self.inner.scan(pattern, visit)
    }

    fn remove_matching(&self, pattern: &KeyPattern) -> Result<usize> {
        self.run(|tier| tier.remove_matching(pattern))
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
}

impl Cache for Shaky {
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
        self.run(|tier| tier.clear())
    }

    fn stats(&self) -> Result<CacheReport> {
        self.inner.stats()
    }
}

/// Two tiers; the numbers that are put count up, and so do removals.
struct Tower {
    parts: [Arc<Shaky>; 2],
    tiered: Arc<Tiered>,
    /// The last change of the key that everybody may count on.
    announced: Mutex<u64>,
}

fn key() -> Key {
    Key::new("k").unwrap()
}

fn number(entry: Option<Entry>) -> Option<u64> {
    entry.map(|entry| entry.version)
}

/// A verb that found the key's turn taken has done nothing, and is tried again.
fn patiently<R>(mut verb: impl FnMut() -> Result<R>) -> Result<R> {
    loop {
        match verb() {
            Err(error) if error.kind() == ErrorKind::DatabaseBusy => thread::yield_now(),
            outcome => return outcome,
        }
    }
}

impl Tower {
    fn new() -> Arc<Self> {
        Self::shaky([0, 0])
    }

    /// The tiers fail at most so often.
    fn shaky(failures: [usize; 2]) -> Arc<Self> {
        let clock = Arc::new(ManualClock::new());
        let mut name = ["L1", "L2"].into_iter();
        let parts = failures.map(|failures| {
            let options = MemoryTierOptions::default();
            let inner = MemoryTier::new(name.next().unwrap(), options, clock.clone());
            Arc::new(Shaky {
                inner,
                failures: Mutex::new(failures),
            })
        });
        let options = TieredOptions::default()
            .repair_interval(None)
            .bypass_after(100)
            .unwrap();
        let tiers: Vec<Arc<dyn Tier>> = vec![parts[0].clone(), parts[1].clone()];
        let tiered = Tiered::new("tower", tiers, options, clock).unwrap();
        Arc::new(Tower {
            parts,
            tiered,
            announced: Mutex::new(0),
        })
    }

    /// The number below alone, as if it had left above for want of room.
    fn plant(&self, version: u64) {
        let never = Lifetime::Never.into();
        let put = self.parts[1]
            .inner
            .put(&key(), Arc::default(), version, never);
        assert!(put.unwrap());
        *self.announced.lock() = version;
    }

    fn put(&self, version: u64) {
        let never = Lifetime::Never.into();
        let put = || self.tiered.put(&key(), Arc::default(), version, never);
        // No tier took it: it is neither found nor announced.
        if patiently(put).is_ok() {
            self.announce(version);
        }
    }

    fn announce(&self, version: u64) {
        let mut announced = self.announced.lock();
        *announced = version.max(*announced);
    }

    /// What is found is not older than what was announced before.
    fn ask(&self) {
        let announced = *self.announced.lock();
        if let Some(found) = number(self.tiered.get(&key()).unwrap()) {
            assert!(found >= announced, "{found} after {announced}");
        }
    }

    /// The first tier loses the key for want of room.
    fn lose(&self) {
        self.parts[0].inner.remove(&key()).unwrap();
    }

    fn add(&self) -> Result<u64> {
        let mut sum = 0;
        let change = &mut |entry: Option<&Entry>| {
            sum = entry.map_or(0, |entry| entry.version) + 1;
            Ok(Update::Put {
                value: Arc::default(),
                version: sum,
                term: None,
            })
        };
        patiently(|| self.tiered.update(&key(), change))?;
        Ok(sum)
    }

    fn held(&self) -> [Option<u64>; 2] {
        let held = |part: &Arc<Shaky>| number(part.inner.peek(&key()).unwrap());
        [held(&self.parts[0]), held(&self.parts[1])]
    }

    /// When all is quiet and put right, tiers that have the key agree, and it is not older than what was
    /// announced.
    fn at_rest(&self) {
        self.parts.iter().for_each(|part| *part.failures.lock() = 0);
        assert!(self.tiered.repair());
        let announced = *self.announced.lock();
        let held = self.held();
        for found in held.into_iter().flatten() {
            assert!(found >= announced, "{held:?} after {announced}");
        }
        if let [Some(first), Some(last)] = held {
            assert_eq!(first, last, "after {announced}");
        }
        self.ask();
    }
}

fn spawn(tower: &Arc<Tower>, body: impl FnOnce(&Tower) + Send + 'static) -> JoinHandle<()> {
    let tower = Arc::clone(tower);
    thread::spawn(move || body(&tower))
}

fn one_writer() {
    let turns = Arc::new(KeyTurns::new(Duration::from_secs(1)));
    let inside = Arc::new(Mutex::new(0));
    let writer = || {
        let (turns, inside) = (Arc::clone(&turns), Arc::clone(&inside));
        thread::spawn(move || {
            let _turn = patiently(|| turns.take("k")).unwrap();
            *inside.lock() += 1;
            thread::yield_now();
            assert_eq!(*inside.lock(), 1);
            *inside.lock() -= 1;
        })
    };
    join([writer(), writer(), writer()]);
    turns.barrier().unwrap();
}

fn barrier() {
    let turns = Arc::new(KeyTurns::new(Duration::from_secs(1)));
    // Whether the key is written, and whether nobody may begin.
    let (written, shut) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(false)));
    let writer = || {
        let (turns, written, shut) = (turns.clone(), written.clone(), shut.clone());
        thread::spawn(move || {
            let _turn = patiently(|| turns.take("k")).unwrap();
            if !*shut.lock() {
                thread::yield_now();
                *written.lock() += 1;
            }
        })
    };
    let threads = [writer(), writer()];
    *shut.lock() = true;
    patiently(|| turns.barrier()).unwrap();
    let before = *written.lock();
    join(threads);
    assert_eq!(
        *written.lock(),
        before,
        "one that began before has not ended"
    );
}

fn promotion_put() {
    let tower = Tower::new();
    tower.plant(1);
    join([
        spawn(&tower, |tower| {
            tower.put(2);
            tower.lose();
            tower.ask();
            tower.put(3);
            tower.ask();
        }),
        spawn(&tower, Tower::ask),
        spawn(&tower, |tower| {
            tower.ask();
            tower.ask();
        }),
    ]);
    assert_eq!(tower.held()[1], Some(3));
    tower.at_rest();
}

fn promotion_remove() {
    let tower = Tower::new();
    tower.plant(1);
    join([
        spawn(&tower, |tower| {
            assert!(patiently(|| tower.tiered.remove(&key())).unwrap());
            tower.announce(2);
            tower.ask();
        }),
        spawn(&tower, Tower::ask),
        spawn(&tower, Tower::ask),
    ]);
    assert_eq!(tower.held(), [None, None]);
    tower.at_rest();
}

fn promotion_clear() {
    let tower = Tower::new();
    tower.plant(1);
    join([
        spawn(&tower, |tower| {
            patiently(|| tower.tiered.clear()).unwrap();
            tower.announce(2);
            tower.ask();
        }),
        spawn(&tower, Tower::ask),
        spawn(&tower, |tower| {
            tower.ask();
            tower.put(3);
            tower.ask();
        }),
    ]);
    tower.at_rest();
}

fn promotion_pattern() {
    let tower = Tower::new();
    tower.plant(1);
    join([
        spawn(&tower, |tower| {
            let pattern = KeyPattern::new("k*").unwrap();
            patiently(|| tower.tiered.remove_matching(&pattern)).unwrap();
            tower.announce(2);
            tower.ask();
        }),
        spawn(&tower, Tower::ask),
        spawn(&tower, Tower::ask),
    ]);
    assert_eq!(tower.held(), [None, None]);
    tower.at_rest();
}

fn two_puts() {
    let tower = Tower::new();
    let puts = |version| {
        move |tower: &Tower| {
            let never = Lifetime::Never.into();
            let put = || tower.tiered.put(&key(), Arc::default(), version, never);
            assert!(patiently(put).unwrap());
        }
    };
    join([
        spawn(&tower, puts(5)),
        spawn(&tower, puts(6)),
        spawn(&tower, |tower| drop(tower.tiered.get(&key()).unwrap())),
    ]);
    let [first, last] = tower.held();
    assert!(first.is_some() && first == last, "{first:?} {last:?}");
}

/// Whoever was second counts on the first.
fn update_put() {
    let tower = Tower::new();
    tower.plant(1);
    let put = spawn(&tower, |tower| {
        let never = Lifetime::Never.into();
        let put = || tower.tiered.put(&key(), Arc::default(), 100, never);
        assert!(patiently(put).unwrap());
    });
    join([
        put,
        spawn(&tower, |tower| {
            let sum = tower.add().unwrap();
            assert!(sum == 2 || sum == 101, "{sum}");
            tower.announce(sum);
            tower.ask();
        }),
        spawn(&tower, Tower::ask),
    ]);
    let [first, last] = tower.held();
    assert!(first.is_some() && first == last, "{first:?} {last:?}");
    assert!(matches!(last, Some(100 | 101)), "{last:?}");
}

/// What was made of an entry that is cleared does not outlive it.
fn update_clear() {
    let tower = Tower::new();
    tower.put(10);
    join([
        spawn(&tower, |tower| {
            patiently(|| tower.tiered.clear()).unwrap();
        }),
        spawn(&tower, |tower| {
            let sum = tower.add().unwrap();
            assert!(sum == 11 || sum == 1, "{sum}");
        }),
        spawn(&tower, |tower| drop(tower.tiered.get(&key()).unwrap())),
    ]);
    let held = tower.held();
    let is_true = |held: &Option<u64>| held.is_none_or(|held| held == 1);
    assert!(held.iter().all(is_true), "{held:?}");
}

fn increments() {
    let tower = Tower::new();
    let adds = |tower: &Tower| {
        for _ in 0..2 {
            let sum = tower.add().unwrap();
            tower.announce(sum);
        }
        tower.ask();
    };
    join([
        spawn(&tower, adds),
        spawn(&tower, adds),
        spawn(&tower, |tower| {
            tower.lose();
            tower.ask();
        }),
    ]);
    assert_eq!(tower.held()[1], Some(4));
    tower.at_rest();
}

/// Whoever says that a copy is void leaves none, whenever it is kept.
fn copy_void() {
    let clock = Arc::new(ManualClock::new());
    let memory = MemoryTier::new("L1", MemoryTierOptions::default(), clock.clone());
    let (memory, shared) = (Arc::new(memory), SharedTier::new(&clock));
    shared.set_away(true);
    let tiers: Vec<Arc<dyn Tier>> = vec![memory.clone(), shared];
    let options = TieredOptions::default().repair_interval(None);
    let tiered = Tiered::new("tower", tiers, options, clock).unwrap();
    let is_void = Arc::new(Mutex::new(false));
    let keeps = {
        let (tiered, is_void) = (Arc::clone(&tiered), Arc::clone(&is_void));
        thread::spawn(move || {
            let (never, now) = (Lifetime::Never.into(), Duration::ZERO);
            let may_keep = |_: Option<&Entry>| !*is_void.lock();
            tiered
                .keep_copy(&key(), Arc::default(), 1, never, now, &may_keep)
                .unwrap();
        })
    };
    let says = thread::spawn(move || {
        *is_void.lock() = true;
        tiered.forget_copies(&KeyPattern::all()).unwrap();
    });
    join([keeps, says]);
    assert_eq!(number(memory.peek(&key()).unwrap()), None);
}

fn repair_put() {
    let tower = Tower::shaky([1, 2]);
    tower.plant(1);
    join([
        spawn(&tower, |tower| {
            tower.put(2);
            tower.ask();
            tower.put(3);
            tower.lose();
            tower.ask();
        }),
        spawn(&tower, |tower| {
            tower.ask();
            tower.tiered.repair();
            tower.ask();
        }),
        spawn(&tower, Tower::ask),
    ]);
    tower.at_rest();
}

fn repair_clear() {
    let tower = Tower::shaky([1, 2]);
    tower.plant(1);
    join([
        spawn(&tower, |tower| {
            tower.put(2);
            // What was not cleared is owed, and not found either.
            let _ = patiently(|| tower.tiered.clear());
            tower.announce(3);
            tower.ask();
        }),
        spawn(&tower, |tower| _ = tower.tiered.repair()),
        spawn(&tower, Tower::ask),
    ]);
    assert!(tower.tiered.get(&key()).unwrap().is_none());
    tower.at_rest();
    assert_eq!(tower.held(), [None, None]);
}
