//! Counters: one relaxed atomic word each, read together into a snapshot by whoever reports them.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count of events since the start; wraps after 2^64.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one event.
    pub fn bump(&self) {
        self.add(1);
    }

    /// Counts `n` events.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let counter = Counter::default();
        counter.bump();
        counter.add(2);
        assert_eq!(counter.get(), 3);
    }
}
