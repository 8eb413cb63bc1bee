//! Counters: whole numbers that are changed in one step, whoever else changes them.

use std::time::Duration;

use super::KvCache;
use super::envelope::Envelope;
use super::key::AsKey;
use crate::error::{Error, ErrorKind, Result};
use crate::tier::{Entry, Key, Lifetime, Update};

impl KvCache {
    /// Adds to the number under the key and returns the sum. A number that is not there is 0 before,
    /// and lives for the default lifetime; one that is there keeps the rest of its own. Nothing is
    /// counted while the cache is switched off: what is added to a number that is not there.
    ///
    /// # Errors
    /// `InvalidInput` for what is no key, if the value is no whole number from -2^63 to 2^63 - 1, or if
    /// the sum is none, and nothing changes; whatever keeps the tier from it: after a time-out it may
    /// have been added or not.
    pub fn increment(&self, key: impl AsKey, delta: i64) -> Result<i64> {
        let key = self.key(key)?;
        if !self.is_enabled() {
            self.pass_by(&key)?;
            return Ok(delta);
        }
        let term = self.counted(self.term(Lifetime::Default))?;
        let mut sum = delta;
        self.write(&key, || {
            let version = self.0.versions.next(&*self.0.clock);
            self.0.tier.update(&key, &mut |entry| {
                let old = entry.filter(|entry| self.opens(entry));
                let before = old.map(|entry| self.number(&key, entry)).transpose()?;
                let after = before.unwrap_or(0).checked_add(delta);
                sum = after.ok_or_else(|| overflow(&key, before, delta))?;
                let made = Envelope::json(&sum, self.0.options.schema, Duration::ZERO)?;
                Ok(Update::Put {
                    value: made.sealed(),
                    version,
                    term: old.is_none().then_some(term),
                })
            })
        })?;
        Ok(sum)
    }

    fn number(&self, key: &Key, entry: &Entry) -> Result<i64> {
        let envelope = Envelope::open(&entry.value, self.0.options.schema);
        envelope
            .and_then(|envelope| envelope.read())
            .ok_or_else(|| {
                let message = format!("the value of {key} is no whole number of 64 bits");
                Error::new(ErrorKind::InvalidInput, message)
                    .with_help("count under another key, or delete this one first")
            })
    }
}

fn overflow(key: &Key, before: Option<i64>, delta: i64) -> Error {
    let before = before.unwrap_or(0);
    let message = format!("{before} and {delta}, under {key}, are more than 64 bits hold");
    Error::new(ErrorKind::InvalidInput, message)
}
