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
//! tier.put(&key, b"{}"[..].into(), 1, Lifetime::For(Duration::from_secs(60)).into())?;
//! let entry = tier.get(&key)?.expect("it was just put");
//! assert_eq!((&*entry.value, entry.version), (&b"{}"[..], 1));
//! # Ok::<(), cardex::Error>(())
//! ```

#[cfg(feature = "sqlite")]
mod disk;
mod key;
mod memory;
mod pattern;
#[cfg(feature = "redis")]
mod redis;
mod term;
mod tiered;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "sqlite")]
pub use self::disk::{DiskFile, DiskFileOptions, DiskTier, DiskTierOptions, Restored};
pub(crate) use self::key::escaped;
pub use self::key::{Key, MAX_KEY_CHARS};
pub use self::memory::{MemoryTier, MemoryTierOptions};
pub use self::pattern::{KeyPattern, MAX_PATTERN_CHARS};
#[cfg(feature = "redis")]
pub(crate) use self::redis::random;
#[cfg(feature = "redis")]
pub use self::redis::{RedisTier, RedisTierOptions};
pub use self::term::{Lifetime, Term};
pub use self::tiered::{Owed, TierState, Tiered, TieredOptions};
use crate::cache::{Cache, CacheReport};
use crate::error::Result;
use crate::health::Health;

/// Who wants to know which entries left: see [`Tier::on_departure`].
pub type DepartureListener = Arc<dyn Fn(&Key) + Send + Sync>;

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
    /// The value of the key; `None` if there is none. An empty value is a value. An entry in its grace
    /// is returned, and says so.
    ///
    /// # Errors
    /// Whatever keeps the tier from knowing. Values in memory are always known.
    fn get(&self, key: &Key) -> Result<Option<Entry>>;

    /// The same for many keys, in their order, each with an outcome of its own.
    fn get_many(&self, keys: &[&Key]) -> Vec<Result<Option<Entry>>> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// As [`Tier::get`], for those who only look: no access, and not counted.
    ///
    /// # Errors
    /// Those of [`Tier::get`].
    fn peek(&self, key: &Key) -> Result<Option<Entry>>;

    /// Keeps the value under the key for the term, in place of the one that it had. The version is the
    /// caller's: it comes back with the value, and is not compared.
    ///
    /// Returns whether the value is kept: one that alone exceeds the limits is not, and what its key
    /// had before is gone all the same.
    ///
    /// # Errors
    /// `InvalidInput` for a lifetime of 0, and nothing changes; whatever keeps the tier from keeping.
    fn put(&self, key: &Key, value: Arc<[u8]>, version: u64, term: Term) -> Result<bool>;

    /// Takes the key's value out; whether there was one.
    ///
    /// # Errors
    /// Whatever keeps the tier from forgetting.
    fn remove(&self, key: &Key) -> Result<bool>;

    /// Changes the entry of the key in one step: nobody else changes it between what `change` is given
    /// and what it makes of that. `change` may be called more than once, the last time for good, and
    /// does not use the tier. Returns the entry as it is afterwards.
    ///
    /// # Errors
    /// That of `change`, and nothing changes; those of [`Tier::put`]; `DatabaseBusy` if others changed
    /// the entry each of many times that it was tried.
    fn update(&self, key: &Key, change: &mut Change<'_>) -> Result<Option<Entry>>;

    /// Gives the entry another term, from now on; whether there is one. Its value and version stay.
    ///
    /// # Errors
    /// Those of [`Tier::put`].
    fn expire(&self, key: &Key, term: Term) -> Result<bool> {
        let mut found = false;
        self.update(key, &mut |entry| {
            found = entry.is_some();
            Ok(match entry {
                Some(entry) => Update::Put {
                    value: Arc::clone(&entry.value),
                    version: entry.version,
                    term: Some(term),
                },
                None => Update::Leave,
            })
        })?;
        Ok(found)
    }

    /// Visits the keys that match, in no order, until the visitor breaks off. A key that is there from
    /// the beginning to the end is visited, in a tier that others share perhaps more than once. The
    /// visitor is called under no lock, and may use the tier.
    ///
    /// # Errors
    /// Whatever keeps the tier from knowing.
    fn scan(
        &self,
        pattern: &KeyPattern,
        visit: &mut dyn FnMut(Key) -> ControlFlow<()>,
    ) -> Result<()>;

    /// Takes out every entry whose key matches, piece by piece, and returns how many left that had not
    /// expired.
    ///
    /// # Errors
    /// Whatever keeps the tier from forgetting; some may have left then.
    fn remove_matching(&self, pattern: &KeyPattern) -> Result<usize>;

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

    /// How it does. Changes neither data nor counters, and does no I/O.
    fn health(&self) -> Health;

    /// Puts right what it has missed, as far as that can be done now; whether nothing is owed any more. Who
    /// misses nothing has nothing to do.
    fn repair(&self) -> bool {
        true
    }

    /// How long it keeps values that are put by default, and, in front of another tier, any value.
    fn ttl(&self) -> Duration;

    /// Whether other processes read and write it too.
    fn is_shared(&self) -> bool {
        false
    }

    /// Takes out what it has as copies of what a tier among its own has that other processes share, of the
    /// keys that match: another process may have changed that. Nothing that was read before is copied
    /// afterwards. Waits for no verb that is under way, and asks no server. How many copies left; a tier
    /// of one kind has none.
    ///
    /// # Errors
    /// Whatever keeps it from forgetting.
    fn forget_copies(&self, pattern: &KeyPattern) -> Result<usize> {
        let _ = pattern;
        Ok(0)
    }

    /// Whether it could not be got to when it was asked last, or is not asked any more because of that;
    /// nobody is asked now. One that answers, and does not do what it is asked for, is not away, and one
    /// whose connections are all in use is not, either. Tiers above each other tell it of the one among
    /// them that other processes share. A tier that no other process has never is.
    fn is_away(&self) -> bool {
        false
    }

    /// Whether it can hold copies of what a tier among its own has that other processes share, in others
    /// of its own: see [`Tier::keep_copy`]. A tier of one kind has none.
    fn has_copies(&self) -> bool {
        false
    }

    /// Keeps a value where [`Tier::forget_copies`] takes it out again, and nowhere else: as a copy of what
    /// the shared tier, which could not be asked, does not have. No change: the shared tier is owed nothing,
    /// and what it has counts when the copy has left. It is held for as long as any copy since it began to
    /// be made, which is so long `ago`.
    ///
    /// `may_keep` is given each fresh entry that is there already, in whichever tier, or `None` if there is
    /// none, and says whether the value is kept in its place; it is asked so late that nothing which voids the value goes unseen, by itself or by
    /// [`Tier::forget_copies`]. It does not use the tier. Whether the value is kept.
    ///
    /// # Errors
    /// Those of [`Tier::put`].
    fn keep_copy(
        &self,
        key: &Key,
        value: Arc<[u8]>,
        version: u64,
        term: Term,
        ago: Duration,
        may_keep: &dyn Fn(Option<&Entry>) -> bool,
    ) -> Result<bool> {
        let _ = (key, value, version, term, ago, may_keep);
        Ok(false)
    }

    /// Has the listener called when a tier that other processes share has got a change that it missed
    /// before: they may have read there what was true until then. If that was so before there was a listener,
    /// it is called at once. Otherwise it is called in the middle of a verb, and does no more than to take
    /// note. The first listener stays. A tier of one kind misses nothing.
    fn on_repair(&self, listener: Arc<dyn Fn() + Send + Sync>) {
        let _ = listener;
    }

    /// Has the listener called with the key of each entry that leaves because room was needed or its end came,
    /// soon after it left. It is called in the middle of a verb, and does no more than to take note. The key may be
    /// back by then. Of tiers above each other the last one tells, and those above may still hold a copy. The
    /// first listener stays. What a server lets go of,
    /// and what a file loses by damage, is not told.
    fn on_departure(&self, listener: DepartureListener) {
        let _ = listener;
    }

    /// Asks for the right to make the value of a key alone among the processes that share the tier, for
    /// so long unless it is given back before. A removal of the key, by anybody, voids the right.
    ///
    /// In a tier that nobody shares, everybody is granted it.
    ///
    /// # Errors
    /// Whatever keeps the tier from knowing.
    fn lease(&self, key: &Key, time: Duration) -> Result<Leased> {
        let _ = (key, time);
        Ok(Leased::Granted(Lease::default()))
    }

    /// Asks for so much more time from now on; whether the lease was still held.
    ///
    /// # Errors
    /// Whatever keeps the tier from knowing.
    fn renew(&self, key: &Key, lease: &Lease, time: Duration) -> Result<bool> {
        let _ = (key, lease, time);
        Ok(true)
    }

    /// Keeps what was made under a lease, and gives the lease back. If it is no longer held, nothing is
    /// kept. Returns whether the value is.
    ///
    /// # Errors
    /// Those of [`Tier::put`].
    fn fill(
        &self,
        key: &Key,
        lease: &Lease,
        value: Arc<[u8]>,
        version: u64,
        term: Term,
    ) -> Result<bool> {
        let _ = lease;
        self.put(key, value, version, term)
    }

    /// Gives a lease back without a value.
    ///
    /// # Errors
    /// Whatever keeps the tier from knowing: then it ends by itself.
    fn release(&self, key: &Key, lease: &Lease) -> Result<()> {
        let _ = (key, lease);
        Ok(())
    }
}

/// What is made of an entry in one step: see [`Tier::update`].
pub type Change<'c> = dyn FnMut(Option<&Entry>) -> Result<Update> + 'c;

/// What becomes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// Nothing.
    Leave,
    /// It leaves.
    Remove,
    /// It has this value.
    Put {
        /// The bytes.
        value: Arc<[u8]>,
        /// Their version.
        version: u64,
        /// The term from now on; `None` for what is left of its own, or the default for a new entry.
        term: Option<Term>,
    },
}

/// What came of asking for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leased {
    /// The asker has it.
    Granted(Lease),
    /// Somebody else has it, at most for so long.
    Held(Duration),
}

/// The right to make a value: see [`Tier::lease`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Known to its owner alone; 0 where nobody else shares the tier.
    pub token: u128,
    /// Greater than that of every lease of the key before; a sink that keeps the greatest that it has
    /// seen refuses a holder who comes too late. 0 where nobody else shares the tier.
    pub fence: u64,
}

/// A value as a tier hands it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The bytes.
    pub value: Arc<[u8]>,
    /// The version that was put with them.
    pub version: u64,
    /// How much longer it lives, its grace included, more than 0; `None` if it does not expire. Who
    /// copies the value elsewhere gives it no more than that.
    pub remaining: Option<Duration>,
    /// How much of that is grace at most: see [`Term::grace`].
    pub grace: Duration,
}

impl Entry {
    /// How much longer it is fresh: 0 in its grace; `None` if it does not expire.
    pub fn fresh(&self) -> Option<Duration> {
        Some(self.remaining?.saturating_sub(self.grace))
    }

    /// Whether it is in its grace.
    pub fn is_stale(&self) -> bool {
        self.fresh() == Some(Duration::ZERO)
    }

    /// The same so much later; `None` if it has ended by then.
    pub(crate) fn later(self, by: Duration) -> Option<Self> {
        let remaining = match self.remaining {
            None => None,
            Some(time) if time <= by => return None,
            Some(time) => Some(time - by),
        };
        Some(Entry { remaining, ..self })
    }

    /// The term for a copy of a fresh entry, which ends with it; `None` of one that is stale.
    pub fn term(&self) -> Option<Term> {
        let lifetime = match self.fresh() {
            None => Lifetime::Never,
            Some(Duration::ZERO) => return None,
            Some(time) => Lifetime::For(time),
        };
        let grace = self.grace;
        Some(Term {
            grace,
            ..Term::from(lifetime)
        })
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
