//! Every implementation, made small or large, and short verbs for tests.

use std::sync::Arc;
use std::time::Duration;

use cardex::tier::{Key, Lifetime, MemoryTier, MemoryTierOptions, Tier};
use cardex::{ManualClock, Strategy};

pub const MIB: u64 = 1 << 20;

/// A tier, its clock, and what must outlive it.
pub struct Case {
    pub what: String,
    pub tier: Arc<dyn Tier>,
    pub clock: Arc<ManualClock>,
    _home: Option<tempfile::TempDir>,
}

/// Every tier, each for so many entries and bytes; values live for 300 s by default.
pub fn every(max_items: usize, max_bytes: u64) -> Vec<Case> {
    let memory = Strategy::ALL.map(|strategy| memory(strategy, max_items, max_bytes));
    let cases = memory.into_iter();
    #[cfg(feature = "sqlite")]
    let cases = cases.chain([disk(max_items, max_bytes)]);
    cases.collect()
}

#[cfg(feature = "sqlite")]
fn disk(max_items: usize, max_bytes: u64) -> Case {
    use cardex::tier::{DiskTier, DiskTierOptions};

    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new());
    let options = DiskTierOptions::default().ttl(seconds(300)).unwrap();
    let options = options.max_items(max_items).unwrap();
    let options = options.max_bytes(max_bytes).unwrap();
    let file = home.path().join("tier.db");
    Case {
        what: "disk".to_owned(),
        tier: Arc::new(DiskTier::open("tier", file, options, clock.clone()).unwrap()),
        clock,
        _home: Some(home),
    }
}

pub fn memory(strategy: Strategy, max_items: usize, max_bytes: u64) -> Case {
    let clock = Arc::new(ManualClock::new());
    let options = MemoryTierOptions::default().eviction_strategy(strategy);
    let options = options.max_items(max_items).unwrap();
    let options = options.max_bytes(max_bytes).unwrap();
    Case {
        what: format!("memory, {strategy}"),
        tier: Arc::new(MemoryTier::new("tier", options, clock.clone())),
        clock,
        _home: None,
    }
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

    pub fn entries(&self) -> usize {
        self.tier.usage().entries
    }

    pub fn evictions(&self) -> u64 {
        self.tier.stats().unwrap().evictions
    }

    pub fn expirations(&self) -> u64 {
        self.tier.tier_stats().unwrap().expirations
    }
}
