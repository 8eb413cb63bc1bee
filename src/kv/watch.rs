//! Which keys change while somebody loads values whose keys he does not know beforehand: the twin of a
//! flight for those who fill many keys at once.

use std::sync::Arc;

use hashbrown::HashSet;

use super::KvCache;
use super::envelope::Envelope;
use crate::error::{Error, ErrorKind, Result};
use crate::primitives::Mutex;
use crate::tier::{Key, KeyPattern, Term};

/// So many keys, and patterns, that changed are kept apart; more, and everything counts as changed.
const MOST_KEYS: usize = 10_000;
const MOST_PATTERNS: usize = 100;

/// The watches that are being kept: as many as there are loads of that kind.
#[derive(Debug, Default)]
pub(super) struct Watches {
    kept: Mutex<Vec<Arc<Mutex<Changed>>>>,
}

/// What changed while it was watched.
#[derive(Debug, Default)]
struct Changed {
    keys: HashSet<Key>,
    patterns: Vec<KeyPattern>,
    everything: bool,
}

impl Watches {
    /// A key changed: told in its turn.
    pub(super) fn note(&self, key: &Key) {
        for changed in &*self.kept.lock() {
            let mut changed = changed.lock();
            if changed.keys.len() == MOST_KEYS {
                changed.everything = true;
            } else if !changed.everything {
                changed.keys.insert(key.clone());
            }
        }
    }

    /// What matches is being taken out; everything, without a pattern.
    pub(super) fn note_all(&self, pattern: Option<&KeyPattern>) {
        for changed in &*self.kept.lock() {
            let mut changed = changed.lock();
            match pattern {
                Some(pattern) if changed.patterns.len() < MOST_PATTERNS => {
                    if changed.patterns.last() != Some(pattern) {
                        changed.patterns.push(pattern.clone());
                    }
                }
                _ => changed.everything = true,
            }
        }
    }
}

/// A watch, until it is dropped.
#[derive(Debug)]
pub(super) struct Watch<'c> {
    cache: &'c KvCache,
    changed: Arc<Mutex<Changed>>,
}

impl Watch<'_> {
    /// Whether the key changed since the watch began. Asked in the key's turn.
    fn has_seen(&self, key: &Key) -> bool {
        let changed = self.changed.lock();
        changed.everything
            || changed.keys.contains(key)
            || changed.patterns.iter().any(|one| one.matches(key.as_str()))
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut kept = self.cache.0.watches.kept.lock();
        kept.retain(|changed| !Arc::ptr_eq(changed, &self.changed));
    }
}

impl KvCache {
    /// Begins to watch: before anything is loaded.
    pub(super) fn watch(&self) -> Watch<'_> {
        let changed = Arc::default();
        self.0.watches.kept.lock().push(Arc::clone(&changed));
        Watch {
            cache: self,
            changed,
        }
    }

    /// Keeps what was loaded under a watch, unless its key changed meanwhile; whether it is kept.
    ///
    /// Of a tier that processes share, changes by others are not seen: there, nothing is kept.
    ///
    /// # Errors
    /// `InvalidConfig` if processes share the tier; whatever keeps the tier from keeping.
    pub(super) fn put_watched(
        &self,
        watch: &Watch<'_>,
        key: &Key,
        envelope: &Envelope,
        term: Term,
    ) -> Result<bool> {
        if self.0.tier.is_shared() {
            return self.counted(Err(unseen(&self.0.name)));
        }
        let turn = self.counted(self.0.turns.take(key))?;
        if watch.has_seen(key) || self.0.bulk.covers(key) || !self.is_enabled() {
            return Ok(false);
        }
        let version = self.0.versions.next(&*self.0.clock);
        let kept = self.0.tier.put(key, envelope.sealed(), version, term);
        drop(turn);
        self.counted(kept)
    }
}

fn unseen(name: &str) -> Error {
    let message = format!("other processes change the cache `{name}` unseen while it is warmed");
    Error::new(ErrorKind::InvalidConfig, message)
        .with_help("warm one in memory or on disk, or load its values by `warm` of the cache")
}
