//! What a cache of derived results promises, one behaviour a file. Time stands still unless a test moves
//! it.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a program of tests")]

mod away;
mod batches;
mod caches;
mod dependants;
mod failures;
#[cfg(feature = "redis")]
mod herd;
mod keys;
mod load_batches;
mod loads;
mod model;
mod numbers;
mod processes;
#[cfg(feature = "redis")]
mod redis_model;
#[cfg(feature = "redis")]
#[path = "../redis_support/mod.rs"]
mod redis_support;
mod refreshes;
mod shared;
mod sourced;
mod support;
mod switch;
mod times;
mod tools;
mod values;
mod voids;
mod workload;

/// What `shared` is made of.
mod subject {
    pub use cardex::tier::{
        Change, Entry, Key, KeyPattern, Lease, Leased, MemoryTier, MemoryTierOptions, Term, Tier,
        TierStats,
    };
    pub use cardex::{
        Cache, CacheReport, CacheUsage, Error, ErrorKind, Health, ManualClock, Result, Scope,
    };
}
