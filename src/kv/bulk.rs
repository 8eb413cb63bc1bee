//! Verbs for whatever matches, and for everything. While one of them works, no load puts what it would
//! have taken out; afterwards, what was loaded before is voided.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{KvCache, KvChange};
use crate::error::Result;
use crate::primitives::Mutex;
use crate::tier::{Key, KeyPattern};

/// What is being taken out at this moment.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    /// A short list: as long as there are callers of these verbs. `None` is everything.
    running: Mutex<Vec<Arc<Option<KeyPattern>>>>,
}

impl Bulk {
    /// Whether this key is being taken out. Asked in the key's turn.
    pub(super) fn covers(&self, key: &Key) -> bool {
        let running = self.running.lock();
        running.iter().any(|taken| covers(taken, key))
    }
}

fn covers(taken: &Option<KeyPattern>, key: &Key) -> bool {
    taken
        .as_ref()
        .is_none_or(|pattern| pattern.matches(key.as_str()))
}

/// One of them at work, until it is dropped.
pub(super) struct Running<'c> {
    cache: &'c KvCache,
    taken: Arc<Option<KeyPattern>>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Before loads may put again: those that began up to here are void.
        self.void();
        let mut running = self.cache.0.bulk.running.lock();
        running.retain(|taken| !Arc::ptr_eq(taken, &self.taken));
    }
}

impl Running<'_> {
    fn void(&self) {
        self.cache.0.watches.note_all(self.taken.as_ref().as_ref());
        let flights = &self.cache.0.flights;
        match &*self.taken {
            None => flights.void_all(),
            Some(_) => {
                let mut loaded = flights.keys();
                loaded.retain(|key| covers(&self.taken, key));
                loaded.iter().for_each(|key| flights.void(key));
            }
        }
    }
}

impl KvCache {
    /// The keys that match, in the order of their texts.
    ///
    /// # Errors
    /// Whatever keeps the tier from knowing.
    pub fn keys(&self, pattern: &KeyPattern) -> Result<Vec<Key>> {
        let mut keys = Vec::new();
        if !self.is_enabled() {
            return Ok(keys);
        }
        self.counted(self.0.tier.scan(pattern, &mut |key| {
            keys.push(key);
            ControlFlow::Continue(())
        }))?;
        if !self.0.options.grace.is_zero() {
            keys.retain(|key| self.lives(key));
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// Whether the key has a value that is not stale.
    fn lives(&self, key: &Key) -> bool {
        let entry = self.counted(self.0.tier.peek(key));
        entry.is_ok_and(|entry| entry.is_some_and(|entry| !entry.is_stale()))
    }

    /// Forgets everything. Again: nothing happens.
    ///
    /// # Errors
    /// Whatever keeps the tier from forgetting; some may be gone then.
    pub fn clear(&self) -> Result<()> {
        let cleared = self.take_out(None, || self.0.tier.clear());
        self.tell(KvChange::All);
        cleared
    }

    /// Forgets what matches, as [`KvCache::delete_matching`] does, on somebody else's word: nobody is told.
    pub(crate) fn forget(&self, pattern: &KeyPattern) -> Result<usize> {
        self.take_out(Some(pattern.clone()), || {
            self.0.tier.remove_matching(pattern)
        })
    }

    /// Another process has changed what matches in a tier that it shares: the copies of this process
    /// leave. Waits for no verb that is under way: what a load puts at this moment, the tier takes out.
    pub(crate) fn forget_copies(&self, pattern: &KeyPattern) -> Result<usize> {
        let running = self.begin(Some(pattern.clone()));
        let forgotten = self.0.tier.forget_copies(pattern);
        drop(running);
        self.counted(forgotten)
    }

    /// Forgets what matches, piece by piece, and returns how many values left. A key with characters
    /// that mean something else in a pattern is meant by [`KeyPattern::exactly`].
    ///
    /// # Errors
    /// Whatever keeps the tier from forgetting; some may be gone then.
    pub fn delete_matching(&self, pattern: &KeyPattern) -> Result<usize> {
        if let Some(key) = pattern.only() {
            return self.delete(&key).map(usize::from);
        }
        let removed = self.take_out(Some(pattern.clone()), || {
            let removed = match self.0.options.grace.is_zero() {
                true => 0,
                // Those that are stale do not count.
                false => self.remove_fresh(pattern)?,
            };
            let rest = self.0.tier.remove_matching(pattern)?;
            Ok(match self.0.options.grace.is_zero() {
                true => rest,
                false => removed,
            })
        });
        self.tell(KvChange::Matching(pattern));
        let removed = removed?;
        Ok(match self.is_enabled() {
            true => removed,
            false => 0,
        })
    }

    fn remove_fresh(&self, pattern: &KeyPattern) -> Result<usize> {
        let mut keys = Vec::new();
        self.0.tier.scan(pattern, &mut |key| {
            keys.push(key);
            ControlFlow::Continue(())
        })?;
        let mut removed = 0;
        for key in keys {
            removed += usize::from(self.remove_alone(&key)?);
        }
        Ok(removed)
    }

    /// Keeps what matches any of the patterns from being put by loads until all that is returned is
    /// dropped, for a caller who takes out one after the other: what is made of what has not left yet is
    /// not kept.
    pub(super) fn take_out_together(&self, patterns: &[KeyPattern]) -> Vec<Running<'_>> {
        let running = patterns
            .iter()
            .map(|pattern| self.begin(Some(pattern.clone())));
        running.collect()
    }

    fn begin(&self, taken: Option<KeyPattern>) -> Running<'_> {
        let taken = Arc::new(taken);
        self.0.bulk.running.lock().push(Arc::clone(&taken));
        let running = Running { cache: self, taken };
        running.void();
        running
    }

    /// Runs a verb that takes out what the pattern matches, or everything.
    pub(super) fn take_out<R>(
        &self,
        taken: Option<KeyPattern>,
        verb: impl FnOnce() -> Result<R>,
    ) -> Result<R> {
        let running = self.begin(taken);
        // Whoever puts in his turn at this moment, and did not see us, has put when it is ours.
        let outcome = self.0.turns.barrier().and_then(|()| verb());
        drop(running);
        self.counted(outcome)
    }
}
