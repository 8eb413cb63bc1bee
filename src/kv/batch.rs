//! Verbs for many keys: each key with an outcome of its own, and written in one step of its own.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::KvCache;
use super::envelope::Envelope;
use super::found::Found;
use super::key::AsKey;
use crate::error::{Error, Result};
use crate::tier::{Key, Lifetime};

impl KvCache {
    /// The values of the keys, in their order: each as [`KvCache::get`] tells it, asked for together.
    pub fn mget<T: DeserializeOwned>(&self, keys: &[impl AsKey]) -> Vec<Result<Option<T>>> {
        let keys: Vec<Result<Key>> = keys.iter().map(|key| self.key(key)).collect();
        let asked: Vec<&Key> = keys.iter().flatten().collect();
        let began = self.begins();
        let mut found = match self.is_enabled() {
            true => self.look_many(&asked),
            false => Vec::new(),
        }
        .into_iter();
        let values = keys.iter().map(|key| {
            let key = key.as_ref().map_err(Error::clone)?;
            let Some(found) = found.next() else {
                return Ok(None);
            };
            let fresh = found.filter(|found| !found.entry.is_stale());
            let value = fresh.and_then(|found| self.read(key, &found, Envelope::read));
            self.asked(value.is_some(), began);
            Ok(value)
        });
        values.collect()
    }

    /// Keeps many values for one lifetime, in their order: each as [`KvCache::set`] does it.
    pub fn mset<T: Serialize>(
        &self,
        entries: &[(impl AsKey, T)],
        lifetime: Lifetime,
    ) -> Vec<Result<bool>> {
        let set = entries
            .iter()
            .map(|(key, value)| self.set(key, value, lifetime));
        set.collect()
    }

    /// What the tier has under the keys, in their order, fresh or stale.
    pub(super) fn look_many(&self, keys: &[&Key]) -> Vec<Option<Found>> {
        let entries = self.0.tier.get_many(keys).into_iter();
        let found = keys.iter().zip(entries).map(|(key, entry)| {
            let entry = self.counted(entry).unwrap_or(None)?;
            self.found(key, entry)
        });
        found.collect()
    }
}
