//! Changing a key of a cache. Whoever writes it holds its turn, and voids the load of that key before the
//! turn is given back; a load puts its value in a turn too, unless it was voided. So nothing that was loaded
//! before a write is ever put over it.

use super::envelope::Envelope;
use super::{KvCache, KvChange};
use crate::error::Result;
use crate::tier::{Key, Term};

impl KvCache {
    pub(super) fn put(&self, key: &Key, envelope: &Envelope, term: Term) -> Result<bool> {
        if !self.is_enabled() {
            self.pass_by(key)?;
            return Ok(false);
        }
        self.write(key, || {
            let version = self.0.versions.next(&*self.0.clock);
            self.0.tier.put(key, envelope.sealed(), version, term)
        })
    }

    pub(super) fn remove(&self, key: &Key) -> Result<bool> {
        let removed = self.remove_alone(key);
        self.with_dependants(key, removed)
    }

    /// The same; what depends on the key stays.
    pub(super) fn remove_alone(&self, key: &Key) -> Result<bool> {
        self.write_alone(key, || {
            let tier = &self.0.tier;
            // What is stale is absent, but takes room.
            let is_stale = !self.0.options.grace.is_zero()
                && tier.peek(key)?.is_some_and(|entry| entry.is_stale());
            Ok(tier.remove(key)? && !is_stale)
        })
    }

    /// Makes a write of the key, in its turn; then what is declared to depend on the key leaves.
    pub(super) fn write<R>(&self, key: &Key, write: impl FnOnce() -> Result<R>) -> Result<R> {
        let outcome = self.write_alone(key, write);
        self.with_dependants(key, outcome)
    }

    /// The outcome of a write, after what depends on the key has left: also if the write failed, and may
    /// have changed it all the same.
    fn with_dependants<R>(&self, key: &Key, outcome: Result<R>) -> Result<R> {
        let dropped = self.drop_dependants(key);
        outcome.and_then(|done| dropped.map(|()| done))
    }

    /// Makes a write of the key, in its turn. The load of the key is voided before the turn is given
    /// back, however the write ends: whoever began it may have seen what was there before.
    fn write_alone<R>(&self, key: &Key, write: impl FnOnce() -> Result<R>) -> Result<R> {
        let turn = self.counted(self.0.turns.take(key))?;
        let voids = Voids { cache: self, key };
        let outcome = write();
        drop(voids);
        drop(turn);
        self.tell(KvChange::Key(key));
        self.counted(outcome)
    }
}

/// Voids the load of a key when it is dropped.
struct Voids<'c> {
    cache: &'c KvCache,
    key: &'c Key,
}

impl Drop for Voids<'_> {
    fn drop(&mut self) {
        self.cache.0.flights.void(self.key);
        self.cache.0.watches.note(self.key);
    }
}
