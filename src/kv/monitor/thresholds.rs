//! What a cache is held to.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::ratio::Ratio;

/// What a cache is held to. Thresholds can only be valid: what is out of range is refused when it is
/// set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thresholds {
    pub(in crate::kv) hit_rate: Ratio,
    pub(in crate::kv) critical_hit_rate: Ratio,
    pub(in crate::kv) p95: Duration,
    pub(in crate::kv) memory: Ratio,
    pub(in crate::kv) exhausted_memory: Ratio,
    pub(in crate::kv) evictions: Ratio,
    pub(in crate::kv) waiters: usize,
    pub(in crate::kv) window: Duration,
}

impl Default for Thresholds {
    /// A hit rate of at least 80 %, critical below 50 %; a p95 of at most 10 ms; at most 80 % of the
    /// memory, which is exhausted at 99 %; evictions of at most 5 % of the requests; at most 100 who wait for
    /// one load; in the last 60 seconds.
    fn default() -> Self {
        Thresholds {
            hit_rate: Ratio::percent(80),
            critical_hit_rate: Ratio::percent(50),
            p95: Duration::from_millis(10),
            memory: Ratio::percent(80),
            exhausted_memory: Ratio::percent(99),
            evictions: Ratio::percent(5),
            waiters: 100,
            window: Duration::from_secs(60),
        }
    }
}

impl Thresholds {
    /// The least share of requests that are answered from the cache, and below which it is critical;
    /// 0.0 to 1.0.
    ///
    /// # Errors
    /// `InvalidConfig` if one is out of range, or the critical one the greater.
    pub fn hit_rate(mut self, least: f64, critical: f64) -> Result<Self> {
        self.hit_rate = share("monitor.hit_rate", least)?;
        self.critical_hit_rate = share("monitor.critical_hit_rate", critical)?;
        if self.critical_hit_rate > self.hit_rate {
            let key = "monitor.critical_hit_rate";
            return Err(Error::out_of_range(
                key,
                critical,
                &format!("at most {least}"),
            ));
        }
        Ok(self)
    }

    /// What 95 % of the requests take at most.
    ///
    /// # Errors
    /// `InvalidConfig` if it is 0.
    pub fn p95(mut self, most: Duration) -> Result<Self> {
        if most.is_zero() {
            let range = "a positive duration";
            return Err(Error::out_of_range("monitor.p95", "0s", range));
        }
        self.p95 = most;
        Ok(self)
    }

    /// The greatest share of its memory that it uses, and from which on that is exhausted; 0.0 to 1.0.
    ///
    /// # Errors
    /// `InvalidConfig` if one is out of range, or the exhausted one the smaller.
    pub fn memory(mut self, most: f64, exhausted: f64) -> Result<Self> {
        self.memory = share("monitor.memory", most)?;
        self.exhausted_memory = share("monitor.exhausted_memory", exhausted)?;
        if self.exhausted_memory < self.memory {
            let key = "monitor.exhausted_memory";
            return Err(Error::out_of_range(
                key,
                exhausted,
                &format!("at least {most}"),
            ));
        }
        Ok(self)
    }

    /// The most evictions, as a share of the requests; 0.0 to 1.0.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn evictions(mut self, most: f64) -> Result<Self> {
        self.evictions = share("monitor.evictions", most)?;
        Ok(self)
    }

    /// The most that wait for one load: more are a stampede.
    #[must_use]
    pub fn waiters(mut self, most: usize) -> Self {
        self.waiters = most;
        self
    }

    /// Over which time it is judged, a second to a day.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn window(mut self, window: Duration) -> Result<Self> {
        let range = Duration::from_secs(1)..=Duration::from_secs(86_400);
        if !range.contains(&window) {
            let (key, value) = ("monitor.window", format!("{window:?}"));
            return Err(Error::out_of_range(key, value, "1s to 24h"));
        }
        self.window = window;
        Ok(self)
    }
}

fn share(key: &str, share: f64) -> Result<Ratio> {
    Ratio::new(share).ok_or_else(|| Error::out_of_range(key, share, "0.0 to 1.0"))
}
