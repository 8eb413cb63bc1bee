//! How a cache keeps its values. Options can only be valid: what is out of range is refused when it is
//! set.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::ratio::Ratio;

/// How a cache keeps its values: for how long, in which version of their type, and what is done before
/// and after their end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvOptions {
    pub(super) is_enabled: bool,
    pub(super) ttl: Duration,
    pub(super) grace: Duration,
    pub(super) schema: u32,
    pub(super) jitter: Ratio,
}

impl Default for KvOptions {
    /// Enabled; 3600 seconds and no grace; schema version 1; no jitter.
    fn default() -> Self {
        KvOptions {
            is_enabled: true,
            ttl: Duration::from_secs(3600),
            grace: Duration::ZERO,
            schema: 1,
            jitter: Ratio::percent(0),
        }
    }
}

impl KvOptions {
    /// Whether the cache begins switched on.
    #[must_use]
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.is_enabled = enabled;
        self
    }

    /// How long a value lives by default, counters too.
    ///
    /// # Errors
    /// `InvalidConfig` if it is 0.
    pub fn ttl(mut self, ttl: Duration) -> Result<Self> {
        if ttl.is_zero() {
            return Err(Error::out_of_range("ttl", "0s", "a positive duration"));
        }
        self.ttl = ttl;
        Ok(self)
    }

    /// How long a value is kept after its end for those who would rather have a stale one than none:
    /// `get_or_load` and its kin. For every other verb it is absent then. It takes room as before.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The version of the type of the values. One of another version is a miss.
    #[must_use]
    pub fn schema(mut self, version: u32) -> Self {
        self.schema = version;
        self
    }

    /// By which share of it the default lifetime is lengthened or shortened, at random, so that what was
    /// put together does not end together: 0.0 to 0.5. What is loaded is jittered whatever its lifetime.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn jitter(mut self, share: f64) -> Result<Self> {
        self.jitter = share_below(Ratio::percent(50), share, "jitter")?;
        Ok(self)
    }
}

fn share_below(most: Ratio, share: f64, key: &str) -> Result<Ratio> {
    Ratio::new(share)
        .filter(|ratio| *ratio <= most)
        .ok_or_else(|| Error::out_of_range(key, share, &format!("0.0 to {most}")))
}
