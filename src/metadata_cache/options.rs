//! What a metadata cache may hold, and who leaves when it is full. Options can only be valid: what
//! is out of range is refused when it is set.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::bounded::Limits;
use crate::error::{Error, Result};
use crate::eviction::Strategy;
use crate::machine;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The limits of a cache of records, and how it keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    max_items: usize,
    max_bytes: u64,
    max_record_bytes: u64,
    eviction_strategy: Strategy,
    eviction_batch_size: usize,
    load_bodies: bool,
    follow: bool,
    change_poll: Duration,
    sync_interval: Duration,
}

impl Default for CacheOptions {
    /// 10,000 records, 64 MiB, records of at most 16 MiB; LRU in batches of 100; records are loaded
    /// at start; the database is followed by a look every 10 ms, and a thorough one every 300 s.
    fn default() -> Self {
        CacheOptions {
            max_items: 10_000,
            max_bytes: 64 * MIB,
            max_record_bytes: 16 * MIB,
            eviction_strategy: Strategy::Lru,
            eviction_batch_size: 100,
            load_bodies: true,
            follow: true,
            change_poll: Duration::from_millis(10),
            sync_interval: Duration::from_secs(300),
        }
    }
}

impl CacheOptions {
    /// At most this many records are held, 100 to 1,000,000. It limits no answer: only how many
    /// records are in memory.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_items(mut self, items: usize) -> Result<Self> {
        let range = "100 to 1000000";
        within(100..=1_000_000, items, "memory_cache.max_items", "", range)?;
        self.max_items = items;
        Ok(self)
    }

    /// The records held weigh at most this many bytes, 1 MiB to what the machine has. A record that
    /// alone weighs more is served and not kept.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_bytes(mut self, bytes: u64) -> Result<Self> {
        let most = machine::total_memory_bytes();
        let range = format!("1MiB to {most}B, the memory of this machine");
        within(MIB..=most, bytes, "memory_cache.max_bytes", "B", &range)?;
        self.max_bytes = bytes;
        Ok(self)
    }

    /// A record that weighs more than this many bytes is refused, 1 KiB to 1 GiB.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_record_bytes(mut self, bytes: u64) -> Result<Self> {
        let key = "memory_cache.max_record_bytes";
        within(KIB..=GIB, bytes, key, "B", "1KiB to 1GiB")?;
        self.max_record_bytes = bytes;
        Ok(self)
    }

    /// How many records an overflow by count evicts at once, 1 to 1000, so that the next ones find
    /// room. It never evicts more than a tenth of `max_items` so.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn eviction_batch_size(mut self, records: usize) -> Result<Self> {
        let key = "memory_cache.eviction_batch_size";
        within(1..=1000, records, key, "", "1 to 1000")?;
        self.eviction_batch_size = records;
        Ok(self)
    }

    /// Who leaves first when the cache is full.
    #[must_use]
    pub fn eviction_strategy(mut self, strategy: Strategy) -> Self {
        self.eviction_strategy = strategy;
        self
    }

    /// Whether records are loaded at start, most recently modified first, until the cache is full;
    /// otherwise each is read when it is first wanted.
    #[must_use]
    pub fn load_bodies(mut self, load: bool) -> Self {
        self.load_bodies = load;
        self
    }

    /// Whether a thread follows the database, whoever writes to it; otherwise what others wrote comes
    /// in when somebody looks.
    #[must_use]
    pub fn follow(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }

    /// How long the thread rests between two looks at the log, 1 ms to 10 s. A look at an unchanged
    /// log takes microseconds.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn change_poll(mut self, rest: Duration) -> Result<Self> {
        let allowed = Duration::from_millis(1)..=Duration::from_secs(10);
        if !allowed.contains(&rest) {
            let (key, value) = ("memory_cache.change_poll", format!("{rest:?}"));
            return Err(Error::out_of_range(key, value, "1ms to 10s"));
        }
        self.change_poll = rest;
        Ok(self)
    }

    /// How long until the thread looks so that nothing is taken for granted, 10 s to an hour: at the
    /// log and the schema, with a connection of its own.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn sync_interval(mut self, interval: Duration) -> Result<Self> {
        let allowed = Duration::from_secs(10)..=Duration::from_secs(3600);
        if !allowed.contains(&interval) {
            let (key, value) = ("memory_cache.sync_interval", format!("{interval:?}"));
            return Err(Error::out_of_range(key, value, "10s to 3600s"));
        }
        self.sync_interval = interval;
        Ok(self)
    }

    pub(crate) fn follows(&self) -> bool {
        self.follow
    }

    /// How often the database is looked at: the rest between two looks, and the time between two
    /// thorough ones.
    pub(crate) fn intervals(&self) -> (Duration, Duration) {
        (self.change_poll, self.sync_interval)
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_items: self.max_items,
            max_bytes: self.max_bytes,
            eviction_batch: self.eviction_batch_size,
        }
    }

    pub(crate) fn record_limit_bytes(&self) -> u64 {
        self.max_record_bytes
    }

    pub(crate) fn strategy(&self) -> Strategy {
        self.eviction_strategy
    }

    pub(crate) fn loads_bodies(&self) -> bool {
        self.load_bodies
    }
}

fn within<T: PartialOrd + Display>(
    allowed: RangeInclusive<T>,
    value: T,
    key: &str,
    unit: &str,
    range: &str,
) -> Result<()> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(Error::out_of_range(key, format!("{value}{unit}"), range))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn refused(result: Result<CacheOptions>, message: &str, range: &str) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(error.to_string(), message);
        assert!(error.help().unwrap().contains(range), "{error:?}");
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_key_value_and_range() {
        let options = CacheOptions::default;
        for items in [0, 99, 1_000_001] {
            let message = format!("`memory_cache.max_items` = {items} is out of range");
            refused(options().max_items(items), &message, "100 to 1000000");
        }
        for bytes in [0, MIB - 1] {
            let message = format!("`memory_cache.max_bytes` = {bytes}B is out of range");
            refused(options().max_bytes(bytes), &message, "1MiB to ");
        }
        if let Some(more) = machine::total_memory_bytes().checked_add(1) {
            assert!(options().max_bytes(more).is_err());
        }
        for bytes in [KIB - 1, GIB + 1] {
            let message = format!("`memory_cache.max_record_bytes` = {bytes}B is out of range");
            refused(options().max_record_bytes(bytes), &message, "1KiB to 1GiB");
        }
        for records in [0, 1001] {
            let message = format!("`memory_cache.eviction_batch_size` = {records} is out of range");
            refused(
                options().eviction_batch_size(records),
                &message,
                "1 to 1000",
            );
        }
    }

    #[test]
    fn both_ends_of_every_range_are_allowed() {
        let least = CacheOptions::default()
            .max_items(100)
            .and_then(|options| options.max_bytes(MIB))
            .and_then(|options| options.max_record_bytes(KIB))
            .and_then(|options| options.eviction_batch_size(1))
            .unwrap();
        assert_eq!(least.limits().max_items, 100);
        assert_eq!(least.limits().max_bytes, MIB);
        assert_eq!(least.record_limit_bytes(), KIB);
        let most = least
            .max_items(1_000_000)
            .and_then(|options| options.max_bytes(machine::total_memory_bytes()))
            .and_then(|options| options.max_record_bytes(GIB))
            .and_then(|options| options.eviction_batch_size(1000))
            .unwrap();
        assert_eq!(most.limits().eviction_batch, 1000);
        assert_eq!(most.record_limit_bytes(), GIB);
    }

    #[test]
    fn the_defaults_are_what_is_documented() {
        let options = CacheOptions::default();
        let limits = Limits {
            max_items: 10_000,
            max_bytes: 67_108_864,
            eviction_batch: 100,
        };
        assert_eq!(options.limits(), limits);
        assert_eq!(options.record_limit_bytes(), 16_777_216);
        assert_eq!(options.strategy(), Strategy::Lru);
        assert!(options.loads_bodies());
        assert!(!options.load_bodies(false).loads_bodies());
    }
}
