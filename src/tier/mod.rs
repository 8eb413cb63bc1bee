//! Tiers of a cache of derived results: bytes under keys, each with a version and an end. A tier never
//! returns what has expired, what was removed, or what it cannot vouch for; what it does not have is
//! `None`, and what it could not find out is an error.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use cardex::SystemClock;
//! use cardex::tier::{Key, Lifetime, MemoryTier, MemoryTierOptions, Tier};
//!
//! let tier = MemoryTier::new("answers", MemoryTierOptions::default(), Arc::new(SystemClock));
//! let key = Key::from_parts(["summary", "src/a b.rs"])?;
//! tier.put(&key, b"{}"[..].into(), 1, Lifetime::For(Duration::from_secs(60)))?;
//! let entry = tier.get(&key)?.expect("it was just put");
//! assert_eq!((&*entry.value, entry.version), (&b"{}"[..], 1));
//! # Ok::<(), cardex::Error>(())
//! ```

#[cfg(feature = "sqlite")]
mod disk;
mod key;
mod memory;

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "sqlite")]
pub use self::disk::{DiskTier, DiskTierOptions};
pub use self::key::{Key, MAX_KEY_CHARS};
pub use self::memory::{MemoryTier, MemoryTierOptions};
use crate::cache::{Cache, CacheReport};
use crate::error::{Error, ErrorKind, Result};

/// A place that keeps values for a while.
///
/// As a [`Cache`], a tier does not know from which files its values were made: an invalidation of any
/// of them drops everything. It makes no values either: whoever made one before an invalidation must
/// not put it afterwards.
///
/// What has expired is absent for every verb here. It counts among what is held (`usage`) until it
/// leaves, which is when its room is needed, when it is asked for where that costs no I/O, or by
/// `sweep`.
pub trait Tier: Cache {
    /// The value of the key; `None` if there is none. An empty value is a value.
    ///
    /// # Errors
    /// Whatever keeps the tier from knowing. Values in memory are always known.
    fn get(&self, key: &Key) -> Result<Option<Entry>>;

    /// Keeps the value under the key, in place of the one that it had. The version is the caller's: it
    /// comes back with the value, and is not compared.
    ///
    /// Returns whether the value is kept: one that alone exceeds the limits is not, and what its key
    /// had before is gone all the same.
    ///
    /// # Errors
    /// `InvalidInput` for a lifetime of 0, and nothing changes; whatever keeps the tier from keeping.
    fn put(&self, key: &Key, value: Arc<[u8]>, version: u64, lifetime: Lifetime) -> Result<bool>;

    /// Takes the key's value out; whether there was one.
    ///
    /// # Errors
    /// Whatever keeps the tier from forgetting.
    fn remove(&self, key: &Key) -> Result<bool>;

    /// Takes out at most this many entries that have expired, the longest ago first, and returns how
    /// many left.
    ///
    /// # Errors
    /// Whatever keeps the tier from forgetting.
    fn sweep(&self, most: usize) -> Result<usize>;

    /// What it has done since the start, in more detail than [`Cache::stats`].
    ///
    /// # Errors
    /// Whatever keeps the tier from knowing.
    fn tier_stats(&self) -> Result<TierStats>;
}

/// A value as a tier hands it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The bytes.
    pub value: Arc<[u8]>,
    /// The version that was put with them.
    pub version: u64,
    /// How much longer it lives, more than 0; `None` if it does not expire. Who copies the value
    /// elsewhere gives it no more than that.
    pub remaining: Option<Duration>,
}

/// How long a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the tier's own `ttl` says.
    Default,
    /// Until it is removed, or its room is needed.
    Never,
    /// That long; it is gone at the end of it. 0 is refused. More than 584 years are forever.
    For(Duration),
}

impl Lifetime {
    /// How long, in a tier with this `ttl`; `None` is forever.
    fn resolve(self, ttl: Duration) -> Result<Option<Duration>> {
        match self {
            Lifetime::Default => Ok(Some(ttl)),
            Lifetime::Never => Ok(None),
            Lifetime::For(Duration::ZERO) => Err(Error::new(
                ErrorKind::InvalidInput,
                "a lifetime of 0 keeps nothing",
            )
            .with_help("give a positive duration, the tier's default, or never")),
            Lifetime::For(time) => Ok(Some(time)),
        }
    }
}

/// What a tier holds, and what it has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierStats {
    /// Usage, hits, misses, and evictions for want of room.
    pub report: CacheReport,
    /// What the entries take where they lie, in bytes: in memory, or of the file.
    pub bytes: u64,
    /// The most that they may take, in bytes.
    pub max_bytes: u64,
    /// Entries that left because their time was over.
    pub expirations: u64,
    /// Entries, or all that a file held, that were found damaged: they count as misses, and are gone.
    pub damaged: u64,
}
