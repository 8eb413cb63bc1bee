//! What happens around caches: what a write makes untrue, how caches are warmed, and how well they do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../stalls/mod.rs"]
mod stalls;

mod invalidation;
mod monitor;
mod warming;

use std::sync::Arc;

use cardex::kv::{KvCache, KvOptions};
use cardex::tier::{MemoryTier, MemoryTierOptions};
use cardex::{Clock, ManualClock};

/// A cache in memory, of so many entries, and the clock that it lives by.
fn cache(max_items: usize) -> (KvCache, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let limits = MemoryTierOptions::default().max_items(max_items).unwrap();
    let tier = Arc::new(MemoryTier::new("test", limits, clock.clone()));
    let cache = KvCache::new("test", KvOptions::default(), tier, clock.clone());
    (cache, clock)
}

fn system() -> Arc<dyn Clock> {
    Arc::new(cardex::SystemClock)
}
