//! Caches of derived results: values of any serialisable type under keys, over one [`Tier`], whatever
//! that is made of. A tier that fails never makes a caller see an error that he did not ask for: what
//! cannot be read is a miss.
//!
//! ```
//! use std::sync::Arc;
//!
//! use cardex::SystemClock;
//! use cardex::kv::{KvCache, KvOptions};
//! use cardex::tier::{Lifetime, MemoryTier, MemoryTierOptions};
//!
//! let clock = Arc::new(SystemClock);
//! let tier = Arc::new(MemoryTier::new("answers", MemoryTierOptions::default(), clock.clone()));
//! let cache = KvCache::new("answers", KvOptions::default(), tier, clock);
//! let key = cache.make_key(&["sum"], &[("of", "2 and 3")])?;
//! assert_eq!(cache.get::<u32>(&key)?, None);
//! cache.set(&key, &5, Lifetime::Default)?;
//! assert_eq!(cache.get::<u32>(&key)?, Some(5));
//! # Ok::<(), cardex::Error>(())
//! ```
//!
//! [`Tier`]: crate::tier::Tier

pub mod advisor;
mod batch;
mod bulk;
mod cache;
mod caches;
mod change;
mod coordinated;
mod dependants;
mod envelope;
mod finite;
mod found;
pub mod histogram;
pub mod invalidation;
mod keep;
mod key;
mod leases;
mod listeners;
mod load;
mod load_many;
mod lock;
pub mod monitor;
mod namespace;
mod number;
mod observed;
mod options;
mod polls;
mod pool;
mod pooled;
mod refresh;
pub mod report;
mod setup;
mod source;
mod sourced;
mod stats;
mod strategy;
mod switch;
mod tier_set;
mod tool_key;
mod tools;
mod types;
mod version;
pub mod warming;
mod watch;
mod weak;
mod wiring;
#[cfg(feature = "sqlite")]
pub mod write_behind;

pub use self::cache::{KvCache, Ttl};
pub use self::caches::{AnyWeakCache, Caches, CachesStats};
pub use self::key::AsKey;
pub use self::listeners::KvChange;
pub use self::lock::{FENCE_CHECK, FENCE_TABLE, SharedLock, SharedLocks};
pub use self::namespace::{Level, Namespace, Reach};
pub use self::options::KvOptions;
pub use self::setup::CachesSetup;
pub use self::source::Source;
#[cfg(feature = "sqlite")]
pub use self::sourced::SourceSink;
pub use self::sourced::SourcedCache;
pub use self::stats::KvStats;
pub use self::strategy::CacheStrategy;
pub use self::tier_set::TierSet;
pub use self::tool_key::tool_key;
pub use self::tools::{Cleared, ToolResults};
pub use self::types::{Backend, CacheType, Consistency};
pub use self::weak::WeakCache;
