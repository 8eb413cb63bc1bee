//! What is found in the tier of a cache: an entry with its envelope. What cannot be read leaves.

use super::KvCache;
use super::envelope::Envelope;
use crate::tier::{Entry, Key, Update};

/// A value that was found, and how it lies there.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) envelope: Envelope,
}

impl KvCache {
    /// What the tier has under the key, fresh or stale.
    pub(super) fn look(&self, key: &Key) -> Option<Found> {
        let entry = self.counted(self.0.tier.get(key)).unwrap_or(None)?;
        self.found(key, entry)
    }

    /// The entry with its envelope; what does not open leaves.
    pub(super) fn found(&self, key: &Key, entry: Entry) -> Option<Found> {
        match Envelope::open(&entry.value, self.0.options.schema) {
            Some(envelope) => Some(Found { entry, envelope }),
            None => {
                self.drop_unreadable(key, &entry);
                None
            }
        }
    }

    /// What `read` makes of the value; if nothing, it leaves.
    pub(super) fn read<R>(
        &self,
        key: &Key,
        found: &Found,
        read: impl FnOnce(&Envelope) -> Option<R>,
    ) -> Option<R> {
        let value = read(&found.envelope);
        if value.is_none() {
            self.drop_unreadable(key, &found.entry);
        }
        value
    }

    /// Takes out what cannot be read, unless another value has its place by now.
    fn drop_unreadable(&self, key: &Key, unreadable: &Entry) {
        self.0.counters.unreadable.bump();
        self.0.counters.errors.bump();
        let dropped = self.0.tier.update(key, &mut |entry| {
            let is_still = entry.is_some_and(|entry| entry.value == unreadable.value);
            Ok(match is_still {
                true => Update::Remove,
                false => Update::Leave,
            })
        });
        // It stays unreadable, and will be found so again.
        let _ = self.counted(dropped);
    }

    /// Whether it is fresh, and an envelope of this schema version.
    pub(super) fn opens(&self, entry: &Entry) -> bool {
        !entry.is_stale() && Envelope::open(&entry.value, self.0.options.schema).is_some()
    }
}
