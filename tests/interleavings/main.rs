//! The crate's own source files, compiled once more over a model checker's locks, atomics and
//! threads, and run under thousands of interleavings. Each trial is named after what it claims; a
//! failing one prints its schedule, and `SCHEDULE=<that> cargo test --test interleavings <name>`
//! runs it again. `SOAK=50` runs fifty times as many schedules.
//!
//! The checker interleaves whole steps and keeps them in one order: a wrong memory ordering of an
//! atomic is not seen here.

#![allow(
    dead_code,
    unused,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    unfulfilled_lint_expectations,
    clippy::unwrap_used,
    clippy::wrong_self_convention,
    reason = "parts of the crate, without their users, their tests and their public face"
)]

#[path = "../../src/bounded/mod.rs"]
mod bounded;
#[path = "../../src/bus/mod.rs"]
mod bus;
#[path = "../../src/cache.rs"]
mod cache;
#[path = "../../src/clock.rs"]
mod clock;
#[path = "../../src/coordinator/mod.rs"]
mod coordinator;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/eviction/mod.rs"]
mod eviction;
#[path = "../../src/freshness.rs"]
mod freshness;
#[path = "../../src/health.rs"]
mod health;
#[path = "../../src/index/mod.rs"]
mod index;
#[path = "../../src/key_turns.rs"]
mod key_turns;
#[path = "../../src/kv/mod.rs"]
mod kv;
#[path = "../../src/machine/mod.rs"]
mod machine;
#[path = "../../src/metadata/mod.rs"]
mod metadata;
#[path = "../../src/metadata_cache/mod.rs"]
mod metadata_cache;
#[path = "../../src/panics.rs"]
mod panics;
#[path = "../../src/passes.rs"]
mod passes;
#[path = "../../src/plain_file.rs"]
mod plain_file;
#[path = "../../src/position.rs"]
mod position;
#[path = "../../src/query/mod.rs"]
mod query;
#[path = "../../src/ratio.rs"]
mod ratio;
#[path = "../../src/redact.rs"]
mod redact;
#[cfg(feature = "redis")]
#[path = "../../src/redis/mod.rs"]
mod redis;
#[path = "../../src/single_flight.rs"]
mod single_flight;
#[path = "../../src/stats.rs"]
mod stats;
#[path = "../../src/store/mod.rs"]
mod store;
#[path = "../../src/suggest.rs"]
mod suggest;
#[path = "../../src/sync/mod.rs"]
mod sync;
#[path = "../../src/tier/mod.rs"]
mod tier;
#[path = "../../src/worker.rs"]
mod worker;

mod primitives;

#[path = "../kv/shared.rs"]
mod shared;

/// What `shared` is made of.
mod subject {
    pub(crate) use crate::cache::{Cache, CacheReport, CacheUsage, Scope};
    pub(crate) use crate::clock::ManualClock;
    pub(crate) use crate::error::{Error, ErrorKind, Result};
    pub(crate) use crate::health::Health;
    pub(crate) use crate::tier::{
        Change, Entry, Key, KeyPattern, Lease, Leased, MemoryTier, MemoryTierOptions, Term, Tier,
        TierStats,
    };
}

mod claims;
mod explore;
mod fast;

// The random seeds of the hash tables come from the checker: a schedule, run again, does the same.
extern crate foldhash as real_foldhash;
extern crate self as foldhash;

/// No harness: the unit tests inside those files are for real threads.
fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    libtest_mimic::run(&arguments, claims::all()).exit();
}
