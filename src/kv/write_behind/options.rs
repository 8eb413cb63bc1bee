//! How much may be acknowledged and not yet done, how long is waited, and how often is tried.

use std::time::Duration;

use super::backoff::Backoff;
use super::queue::Limits;
use crate::error::{Error, Result};

const MIB: u64 = 1 << 20;

/// The limits of a write-behind. Options can only be valid: what is out of range is refused when it is
/// set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteBehindOptions {
    max_operations: usize,
    max_bytes: u64,
    pub(super) full_wait: Duration,
    pub(super) max_tries: u32,
    shortest_rest: Duration,
    longest_rest: Duration,
    pub(super) batch: usize,
    pub(super) shutdown_wait: Duration,
}

impl Default for WriteBehindOptions {
    /// 10,000 operations, 64 MiB, a second of waiting for room, 5 tries with rests from 100 ms to 30 s
    /// between them, 100 operations a delivery, 5 seconds for the end.
    fn default() -> Self {
        WriteBehindOptions {
            max_operations: 10_000,
            max_bytes: 64 * MIB,
            full_wait: Duration::from_secs(1),
            max_tries: 5,
            shortest_rest: Duration::from_millis(100),
            longest_rest: Duration::from_secs(30),
            batch: 100,
            shutdown_wait: Duration::from_secs(5),
        }
    }
}

impl WriteBehindOptions {
    /// At most this many operations that are not done, dead letters included, 1 to 1,000,000.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_operations(mut self, operations: usize) -> Result<Self> {
        if !(1..=1_000_000).contains(&operations) {
            let key = "write_behind.max_operations";
            return Err(Error::out_of_range(key, operations, "1 to 1000000"));
        }
        self.max_operations = operations;
        Ok(self)
    }

    /// Their keys and values, and about 200 bytes for each, take at most this many bytes, in memory and
    /// again in the journal: 4 KiB to 1 GiB.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_bytes(mut self, bytes: u64) -> Result<Self> {
        if !(4096..=1024 * MIB).contains(&bytes) {
            let (key, value) = ("write_behind.max_bytes", format!("{bytes}B"));
            return Err(Error::out_of_range(key, value, "4KiB to 1GiB"));
        }
        self.max_bytes = bytes;
        Ok(self)
    }

    /// How long a write waits for room before it is refused; 0 does not wait.
    #[must_use]
    pub fn full_wait(mut self, time: Duration) -> Self {
        self.full_wait = time;
        self
    }

    /// After how many refusals an operation is a dead letter, 1 to 1000.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_tries(mut self, tries: u32) -> Result<Self> {
        if !(1..=1000).contains(&tries) {
            let key = "write_behind.max_tries";
            return Err(Error::out_of_range(key, tries, "1 to 1000"));
        }
        self.max_tries = tries;
        Ok(self)
    }

    /// The rest after a first failure, and the longest one after many, 1 ms to an hour. Up to half of a
    /// rest is left away by chance.
    ///
    /// # Errors
    /// `InvalidConfig` if one is out of range, or the first longer than the last.
    pub fn rests(mut self, shortest: Duration, longest: Duration) -> Result<Self> {
        let range = Duration::from_millis(1)..=Duration::from_secs(3600);
        if shortest > longest || !range.contains(&shortest) || !range.contains(&longest) {
            let (key, value) = ("write_behind.rests", format!("{shortest:?} to {longest:?}"));
            return Err(Error::out_of_range(
                key,
                value,
                "1ms to 1h, the shortest first",
            ));
        }
        (self.shortest_rest, self.longest_rest) = (shortest, longest);
        Ok(self)
    }

    /// At most this many operations are given to the sink at once, 1 to 10,000.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn batch(mut self, operations: usize) -> Result<Self> {
        if !(1..=10_000).contains(&operations) {
            let key = "write_behind.batch";
            return Err(Error::out_of_range(key, operations, "1 to 10000"));
        }
        self.batch = operations;
        Ok(self)
    }

    /// How long the end waits for what can still be delivered. What cannot is delivered after the next
    /// start.
    #[must_use]
    pub fn shutdown_wait(mut self, time: Duration) -> Self {
        self.shutdown_wait = time;
        self
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            operations: self.max_operations,
            bytes: self.max_bytes,
        }
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.shortest_rest, self.longest_rest)
    }
}
