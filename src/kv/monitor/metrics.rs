//! What is measured of a cache, and how it is told to people: numbers with units.

use std::time::Duration;

use serde::Serialize;

/// What a cache says of itself at one moment, beside the requests that the monitor counts. Counts are
/// those since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Entries that left for want of room.
    pub evictions: u64,
    /// Entries that left because their time was over.
    pub expirations: u64,
    /// What the entries take, in bytes; `None` if that is not known.
    pub memory_bytes: Option<u64>,
    /// The most that they may take, in bytes; `None` without such a limit.
    pub max_memory_bytes: Option<u64>,
    /// The most that waited for one load since the last look.
    pub waiters: usize,
    /// What shows that processes see different data, in a sentence; `None` if nothing does.
    pub split_brain: Option<String>,
}

/// What was measured in a window of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Metrics {
    /// How long it was, in seconds.
    pub window_seconds: f64,
    /// Requests in it.
    pub requests: u64,
    /// Those that were answered from the cache.
    pub hits: u64,
    /// Those that were not.
    pub misses: u64,
    /// `hits` as a share of `requests`, in percent; without requests there is none.
    pub hit_percent: Option<f64>,
    /// What a request took on average, in milliseconds.
    pub average_ms: Option<f64>,
    /// What half of the requests did not exceed, in milliseconds.
    pub p50_ms: Option<f64>,
    /// What 95 % of them did not.
    pub p95_ms: Option<f64>,
    /// What 99 % of them did not.
    pub p99_ms: Option<f64>,
    /// Entries that left for want of room.
    pub evictions: u64,
    /// `evictions` as a share of `requests`, in percent.
    pub eviction_percent: Option<f64>,
    /// Entries that left because their time was over.
    pub expirations: u64,
    /// What the entries take at its end, in bytes.
    pub memory_bytes: Option<u64>,
    /// The most that they may take.
    pub max_memory_bytes: Option<u64>,
    /// The one as a share of the other, in percent.
    pub memory_percent: Option<f64>,
    /// The most that waited for one load.
    pub waiters: usize,
    /// What shows that processes see different data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_brain: Option<String>,
}

pub(super) fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
