//! Tiers above each other whose parts a test can break.

use std::sync::Arc;

use cardex::ManualClock;
use cardex::tier::{
    Entry, Key, Lifetime, MemoryTier, MemoryTierOptions, Term, Tier, Tiered, TieredOptions,
};

use crate::every::{key, seconds};
use crate::flaky::{Fault, FlakyTier};

pub struct Stack {
    pub clock: Arc<ManualClock>,
    /// The fastest first.
    pub parts: Vec<Arc<FlakyTier>>,
    pub tiered: Arc<Tiered>,
}

/// What a test changes of the default: nothing is put right but when it says so, and a tier is asked
/// however often it failed.
pub fn options() -> TieredOptions {
    let options = TieredOptions::default().repair_interval(None);
    options.bypass_after(u32::MAX).unwrap()
}

impl Stack {
    /// Tiers in memory, named by their places, whose values live for so many seconds by default.
    pub fn of(ttls: &[u64], options: TieredOptions) -> Self {
        Self::with(ttls, options, ttls.len())
    }

    /// The same, of which the last is shared.
    pub fn shared(ttls: &[u64], options: TieredOptions) -> Self {
        Self::with(ttls, options, ttls.len() - 1)
    }

    /// The same, of which the first is shared.
    pub fn shared_above(ttls: &[u64], options: TieredOptions) -> Self {
        Self::with(ttls, options, 0)
    }

    fn with(ttls: &[u64], options: TieredOptions, shared: usize) -> Self {
        let clock = Arc::new(ManualClock::new());
        let part = |(at, ttl): (usize, &u64)| {
            let options = MemoryTierOptions::default().ttl(seconds(*ttl)).unwrap();
            let tier = MemoryTier::new(format!("L{}", at + 1), options, clock.clone());
            match at == shared {
                true => FlakyTier::shared(Arc::new(tier)),
                false => FlakyTier::new(Arc::new(tier)),
            }
        };
        let parts: Vec<_> = ttls.iter().enumerate().map(part).collect();
        Self::over(clock, parts, options)
    }

    pub fn over(
        clock: Arc<ManualClock>,
        parts: Vec<Arc<FlakyTier>>,
        options: TieredOptions,
    ) -> Self {
        let tiers = parts.iter().map(|part| part.clone() as Arc<dyn Tier>);
        let tiered = Tiered::new("whole", tiers.collect(), options, clock.clone()).unwrap();
        Stack {
            clock,
            parts,
            tiered,
        }
    }

    pub fn put(&self, name: &str, value: &str) -> cardex::Result<bool> {
        self.put_for(name, value, Lifetime::Never)
    }

    pub fn put_for(&self, name: &str, value: &str, lifetime: Lifetime) -> cardex::Result<bool> {
        let value = value.as_bytes().into();
        self.tiered.put(&key(name), value, 1, lifetime.into())
    }

    pub fn get(&self, name: &str) -> Option<String> {
        text(self.tiered.get(&key(name)).unwrap())
    }

    /// What a part has by itself.
    pub fn held(&self, at: usize, name: &str) -> Option<String> {
        text(self.peek(at, name))
    }

    pub fn peek(&self, at: usize, name: &str) -> Option<Entry> {
        self.parts[at].peek(&key(name)).unwrap()
    }

    /// What every part has by itself.
    pub fn all_hold(&self, name: &str) -> Vec<Option<String>> {
        (0..self.parts.len())
            .map(|at| self.held(at, name))
            .collect()
    }

    /// Puts in one part alone, as if it had been there before.
    pub fn plant(&self, at: usize, name: &str, value: &str, term: impl Into<Term>) {
        let kept = self.parts[at].put(&key(name), value.as_bytes().into(), 7, term.into());
        assert!(kept.unwrap());
    }

    /// Breaks all parts at these places.
    pub fn fault(&self, places: &[usize], fault: Option<Fault>) {
        places.iter().for_each(|at| self.parts[*at].fault(fault));
    }

    pub fn mend_all(&self) {
        self.parts.iter().for_each(|part| part.fault(None));
    }
}

pub fn text(entry: Option<Entry>) -> Option<String> {
    entry.map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}

/// A term of so many seconds, and so many of grace.
pub fn term(fresh: u64, grace: u64) -> Term {
    Term {
        grace: seconds(grace),
        ..Term::from(Lifetime::For(seconds(fresh)))
    }
}

pub fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(key).collect()
}
