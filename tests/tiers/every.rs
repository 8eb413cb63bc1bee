//! Every implementation, made small or large, and short verbs for tests.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use cardex::tier::{Key, Lifetime, MemoryTier, MemoryTierOptions, Tier, Tiered, TieredOptions};
use cardex::{ManualClock, Strategy};

use crate::flaky::{Fault, FlakyTier};

pub const MIB: u64 = 1 << 20;

/// A tier, its clock, and what must outlive it.
pub struct Case {
    pub what: String,
    pub tier: Arc<dyn Tier>,
    /// The one whose entries, evictions and expirations are those of the whole: the last.
    counted: Arc<dyn Tier>,
    /// Whether a part of it always fails.
    is_degraded: bool,
    /// Whether that is the last one, which alone could say that it has no entry.
    pub is_without_last: bool,
    pub clock: Arc<ManualClock>,
    _home: Option<Box<dyn Any + Send + Sync>>,
}

/// Every tier, and tiers above each other, each for so many entries and bytes; values live for 300 s by
/// default.
pub fn every(max_items: usize, max_bytes: u64) -> Vec<Case> {
    let mut cases = alone(max_items, max_bytes);
    cases.extend(tiered(max_items, max_bytes));
    cases
}

/// Those of which no part fails: all is kept that can be, and all is cleared.
pub fn sound(max_items: usize, max_bytes: u64) -> Vec<Case> {
    let cases = every(max_items, max_bytes).into_iter();
    cases.filter(|case| !case.is_degraded).collect()
}

/// Those whose last part works: an entry that is nowhere can be made by a change.
pub fn changeable(max_items: usize, max_bytes: u64) -> Vec<Case> {
    let cases = every(max_items, max_bytes).into_iter();
    cases.filter(|case| !case.is_without_last).collect()
}

/// Every tier that has none above or below it, whose counts are its own.
pub fn alone(max_items: usize, max_bytes: u64) -> Vec<Case> {
    let memory = Strategy::ALL.map(|strategy| memory(strategy, max_items, max_bytes));
    let cases = memory.into_iter();
    #[cfg(feature = "sqlite")]
    let cases = cases.chain([disk(max_items, max_bytes)]);
    cases.collect()
}

/// Tiers above each other, with one of them that always fails among them. What is counted is what the
/// last one that works holds.
fn tiered(max_items: usize, max_bytes: u64) -> Vec<Case> {
    let above = |what: &str, lower: Case, fails: Option<bool>| {
        let clock = lower.clock;
        let options = memory_options(Strategy::Lru, max_items, max_bytes);
        let first = MemoryTier::new("first", options, clock.clone());
        let mut tiers: Vec<Arc<dyn Tier>> = vec![Arc::new(first), Arc::clone(&lower.tier)];
        if let Some(is_last) = fails {
            let options = memory_options(Strategy::Lru, max_items, max_bytes);
            let broken = MemoryTier::new("broken", options, clock.clone());
            let broken = FlakyTier::new(Arc::new(broken));
            broken.fault(Some(Fault::Before));
            tiers.insert(if is_last { 2 } else { 1 }, broken);
        }
        // Nothing happens but what the test does.
        let options = TieredOptions::default().repair_interval(None);
        let tiered = Tiered::new("tier", tiers, options, clock.clone()).unwrap();
        Case {
            what: format!("{what} above {}", lower.what),
            counted: lower.tier,
            tier: tiered,
            is_degraded: fails.is_some(),
            is_without_last: fails == Some(true),
            clock,
            _home: lower._home,
        }
    };
    let cases = [
        above("memory", memory(Strategy::Lru, max_items, max_bytes), None),
        above(
            "memory, and one that fails, ",
            memory(Strategy::Lru, max_items, max_bytes),
            Some(false),
        ),
    ]
    .into_iter();
    #[cfg(feature = "sqlite")]
    let cases = cases.chain([
        above("memory", disk(max_items, max_bytes), None),
        above(
            "memory, above one that fails,",
            disk(max_items, max_bytes),
            Some(true),
        ),
    ]);
    cases.collect()
}

/// These, and the tier on a real Redis server: for rules that need neither a limit of its own nor a clock
/// that stands still, because limits and clock are the server's there. `tests/redis` holds it to the same
/// rules about time, with short lifetimes and deadlines, and to those about room.
pub fn and_redis(cases: Vec<Case>) -> Vec<Case> {
    let cases = cases.into_iter();
    #[cfg(feature = "redis")]
    let cases = cases.chain([redis()]);
    cases.collect()
}

#[cfg(feature = "redis")]
fn redis() -> Case {
    let server = crate::redis_support::Server::start();
    let tier = Arc::new(server.tier());
    Case {
        what: "redis".to_owned(),
        counted: tier.clone(),
        tier,
        is_degraded: false,
        is_without_last: false,
        clock: Arc::new(ManualClock::new()),
        _home: Some(Box::new(server)),
    }
}

#[cfg(feature = "sqlite")]
pub fn disk(max_items: usize, max_bytes: u64) -> Case {
    use cardex::tier::{DiskTier, DiskTierOptions};

    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new());
    let options = DiskTierOptions::default().ttl(seconds(300)).unwrap();
    let options = options.max_items(max_items).unwrap();
    let options = options.max_bytes(max_bytes).unwrap();
    let file = home.path().join("tier.db");
    let tier = Arc::new(DiskTier::open("tier", file, options, clock.clone()).unwrap());
    Case {
        what: "disk".to_owned(),
        counted: tier.clone(),
        tier,
        is_degraded: false,
        is_without_last: false,
        clock,
        _home: Some(Box::new(home)),
    }
}

pub fn memory(strategy: Strategy, max_items: usize, max_bytes: u64) -> Case {
    let clock = Arc::new(ManualClock::new());
    let options = memory_options(strategy, max_items, max_bytes);
    let tier = Arc::new(MemoryTier::new("tier", options, clock.clone()));
    Case {
        what: format!("memory, {strategy}"),
        counted: tier.clone(),
        tier,
        is_degraded: false,
        is_without_last: false,
        clock,
        _home: None,
    }
}

fn memory_options(strategy: Strategy, max_items: usize, max_bytes: u64) -> MemoryTierOptions {
    let options = MemoryTierOptions::default().eviction_strategy(strategy);
    let options = options.max_items(max_items).unwrap();
    options.max_bytes(max_bytes).unwrap()
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn key(text: impl ToString) -> Key {
    Key::new(&text.to_string()).unwrap()
}

impl Case {
    /// Puts a value of version 1 that lives as long as it may.
    pub fn put(&self, name: impl ToString, value: &[u8]) -> bool {
        let never = Lifetime::Never;
        self.tier
            .put(&key(name), value.into(), 1, never.into())
            .unwrap()
    }

    pub fn put_for(&self, name: impl ToString, value: &[u8], lifetime: Duration) {
        let lifetime = Lifetime::For(lifetime);
        let kept = self.tier.put(&key(name), value.into(), 1, lifetime.into());
        assert!(kept.unwrap(), "{}", self.what);
    }

    pub fn get(&self, name: impl ToString) -> Option<Vec<u8>> {
        let entry = self.tier.get(&key(name)).unwrap();
        entry.map(|entry| entry.value.to_vec())
    }

    /// Whether it is tiers above each other.
    pub fn is_tiered(&self) -> bool {
        !Arc::ptr_eq(&self.tier, &self.counted)
    }

    pub fn entries(&self) -> usize {
        let stats = self.counted.tier_stats().unwrap();
        stats.report.usage.entries
    }

    pub fn evictions(&self) -> u64 {
        self.counted.stats().unwrap().evictions
    }

    pub fn expirations(&self) -> u64 {
        self.counted.tier_stats().unwrap().expirations
    }
}
