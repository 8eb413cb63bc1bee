//! Where a tier keeps its values, and for how long.

use std::time::Duration;

use super::keys;
use crate::error::{Error, Result};

/// Where a tier on a Redis server keeps its values, and for how long. Options can only be valid: what is
/// out of range is refused when it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisTierOptions {
    pub(super) namespace: String,
    pub(super) schema: u32,
    pub(super) ttl: Duration,
}

impl RedisTierOptions {
    /// Values of this namespace live for 7200 seconds. Tiers of one namespace share their values, in one
    /// process or in several.
    ///
    /// # Errors
    /// `InvalidConfig` unless it has 1 to 100 letters, digits, `_`, `-` and `.`.
    pub fn new(namespace: &str) -> Result<Self> {
        keys::check_namespace(namespace)?;
        Ok(RedisTierOptions {
            namespace: namespace.to_owned(),
            schema: 0,
            ttl: Duration::from_secs(7200),
        })
    }

    /// The version of what the values are made of, 0 at first: those of another one are not seen.
    #[must_use]
    pub fn schema(mut self, schema: u32) -> Self {
        self.schema = schema;
        self
    }

    /// How long a value lives that is put with the default lifetime. The server counts milliseconds.
    ///
    /// # Errors
    /// `InvalidConfig` if it is 0.
    pub fn ttl(mut self, ttl: Duration) -> Result<Self> {
        if ttl.is_zero() {
            let range = "a positive duration";
            return Err(Error::out_of_range("tiers.redis.ttl", "0s", range));
        }
        self.ttl = ttl;
        Ok(self)
    }
}
