//! The limits of a file, and those of a tier in it. Options can only be valid: what is out of range is
//! refused when it is set.

use std::time::Duration;

use crate::error::{Error, Result};

const MIB: u64 = 1 << 20;

/// The limits of a file that tiers share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskFileOptions {
    pub(super) max_bytes: u64,
    pub(super) timeout: Duration,
    pub(super) sweep_interval: Duration,
}

impl Default for DiskFileOptions {
    /// 500 MB; the file is waited for for 5 seconds, and swept every 300 seconds.
    fn default() -> Self {
        DiskFileOptions {
            max_bytes: 500_000_000,
            timeout: Duration::from_secs(5),
            sweep_interval: Duration::from_secs(300),
        }
    }
}

impl DiskFileOptions {
    /// The file never takes more than this many bytes, 1 MiB to 1 TiB. Its log beside it takes a few
    /// MiB more, or as much as the largest value.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_bytes(mut self, bytes: u64) -> Result<Self> {
        if !(MIB..=MIB * MIB).contains(&bytes) {
            let (value, range) = (format!("{bytes}B"), "1MiB to 1TiB");
            return Err(Error::out_of_range("tiers.disk.max_bytes", value, range));
        }
        self.max_bytes = bytes;
        Ok(self)
    }

    /// How long a verb waits for other threads to be done with the file.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often what has expired is taken out in the background, 1 ms or longer.
    ///
    /// # Errors
    /// `InvalidConfig` if it is shorter.
    pub fn sweep_interval(mut self, interval: Duration) -> Result<Self> {
        if interval < Duration::from_millis(1) {
            let (value, range) = (format!("{interval:?}"), "1ms or longer");
            let key = "tiers.disk.sweep_interval";
            return Err(Error::out_of_range(key, value, range));
        }
        self.sweep_interval = interval;
        Ok(self)
    }
}

/// The limits of a tier on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskTierOptions {
    pub(super) max_items: usize,
    pub(super) ttl: Duration,
    pub(super) file: DiskFileOptions,
}

impl Default for DiskTierOptions {
    /// 1,000,000 entries, 3600 seconds; of a file of its own, what [`DiskFileOptions`] says.
    fn default() -> Self {
        DiskTierOptions {
            max_items: 1_000_000,
            ttl: Duration::from_secs(3600),
            file: DiskFileOptions::default(),
        }
    }
}

impl DiskTierOptions {
    /// At most this many entries, 1 to 1,000,000.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_items(mut self, items: usize) -> Result<Self> {
        if !(1..=1_000_000).contains(&items) {
            let range = "1 to 1000000";
            return Err(Error::out_of_range("tiers.disk.max_items", items, range));
        }
        self.max_items = items;
        Ok(self)
    }

    /// How long a value lives that is put with the default lifetime.
    ///
    /// # Errors
    /// `InvalidConfig` if it is 0.
    pub fn ttl(mut self, ttl: Duration) -> Result<Self> {
        if ttl.is_zero() {
            let range = "a positive duration";
            return Err(Error::out_of_range("tiers.disk.ttl", "0s", range));
        }
        self.ttl = ttl;
        Ok(self)
    }

    /// [`DiskFileOptions::max_bytes`] of a file that this tier alone opens.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_bytes(mut self, bytes: u64) -> Result<Self> {
        self.file = self.file.max_bytes(bytes)?;
        Ok(self)
    }

    /// [`DiskFileOptions::timeout`] of a file that this tier alone opens.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.file = self.file.timeout(timeout);
        self
    }
}
