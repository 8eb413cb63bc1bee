//! When a coordinator acts, and how much it takes. Options can only be valid: what is out of range is
//! refused when it is set.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::ratio::Ratio;

/// A round ends this far under the threshold, so that the next one is not due at once.
const RELIEF: Ratio = Ratio::percent(5);

/// When a coordinator acts, and how much it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorOptions {
    pressure_threshold: Ratio,
    eviction_ratio: Ratio,
    check_interval: Duration,
    max_bytes: Option<u64>,
}

impl Default for CoordinatorOptions {
    /// A check every 30 s; above 80 % of memory, 20 % of the entries; no limit of its own.
    fn default() -> Self {
        CoordinatorOptions {
            pressure_threshold: Ratio::percent(80),
            eviction_ratio: Ratio::percent(20),
            check_interval: Duration::from_secs(30),
            max_bytes: None,
        }
    }
}

impl CoordinatorOptions {
    /// The shortest time between two checks.
    pub(crate) const MIN_INTERVAL: Duration = Duration::from_millis(100);
    /// The longest.
    pub(crate) const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);
    /// The range of the threshold, in hundredths.
    pub(crate) const THRESHOLD_PERCENT: (u32, u32) = (10, 99);
    /// The range of the share to evict, in hundredths.
    pub(crate) const RATIO_PERCENT: (u32, u32) = (1, 100);
    /// The least that caches may be allowed together.
    pub(crate) const MIN_BYTES: u64 = 1 << 20;

    /// Strictly above this used share of memory caches have to give room, 0.10 to 0.99.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn pressure_threshold(mut self, share: f64) -> Result<Self> {
        let key = "coordinator.pressure_threshold";
        self.pressure_threshold = within(Self::THRESHOLD_PERCENT, share, key)?;
        Ok(self)
    }

    /// The share of its entries that each cache gives up in a round, rounded up, 0.01 to 1.00.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn eviction_ratio(mut self, share: f64) -> Result<Self> {
        let key = "coordinator.eviction_ratio";
        self.eviction_ratio = within(Self::RATIO_PERCENT, share, key)?;
        Ok(self)
    }

    /// The time between two checks, 100 ms to 24 h; and how long nothing is evicted after a round.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn check_interval(mut self, interval: Duration) -> Result<Self> {
        if !(Self::MIN_INTERVAL..=Self::MAX_INTERVAL).contains(&interval) {
            let (key, value) = ("coordinator.check_interval", format!("{interval:?}"));
            return Err(Error::out_of_range(key, value, "100ms to 24h"));
        }
        self.check_interval = interval;
        Ok(self)
    }

    /// What all caches together may weigh, in bytes, 1 MiB and more; `None` for no such limit. Those
    /// that do not know what they weigh are not counted.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_bytes(mut self, bytes: Option<u64>) -> Result<Self> {
        if let Some(bytes) = bytes.filter(|bytes| *bytes < Self::MIN_BYTES) {
            let (key, value) = ("coordinator.max_bytes", format!("{bytes}B"));
            return Err(Error::out_of_range(key, value, "1MiB or more"));
        }
        self.max_bytes = bytes;
        Ok(self)
    }

    pub(super) fn threshold(&self) -> Ratio {
        self.pressure_threshold
    }

    /// Not above it, a round ends.
    pub(super) fn relief(&self) -> Ratio {
        self.pressure_threshold.less(RELIEF)
    }

    pub(super) fn ratio(&self) -> Ratio {
        self.eviction_ratio
    }

    pub(super) fn interval(&self) -> Duration {
        self.check_interval
    }

    pub(super) fn allowed_bytes(&self) -> Option<u64> {
        self.max_bytes
    }
}

fn within((min, max): (u32, u32), share: f64, key: &str) -> Result<Ratio> {
    let (min, max) = (Ratio::percent(min), Ratio::percent(max));
    Ratio::new(share)
        .filter(|ratio| (min..=max).contains(ratio))
        .ok_or_else(|| Error::out_of_range(key, share, &format!("{min} to {max}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn refused(result: Result<CoordinatorOptions>, message: &str, range: &str) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(error.to_string(), message);
        assert!(error.help().unwrap().contains(range), "{error:?}");
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_key_value_and_range() {
        let options = CoordinatorOptions::default;
        for share in [0.0, 0.09, 1.0, -1.0, f64::NAN] {
            let message = format!("`coordinator.pressure_threshold` = {share} is out of range");
            refused(
                options().pressure_threshold(share),
                &message,
                "0.10 to 0.99",
            );
        }
        for share in [0.0, 0.001, 1.01] {
            let message = format!("`coordinator.eviction_ratio` = {share} is out of range");
            refused(options().eviction_ratio(share), &message, "0.01 to 1.00");
        }
        let message = "`coordinator.check_interval` = 99ms is out of range";
        let short = Duration::from_millis(99);
        refused(options().check_interval(short), message, "100ms to 24h");
        for bytes in [0, (1 << 20) - 1] {
            let message = format!("`coordinator.max_bytes` = {bytes}B is out of range");
            refused(options().max_bytes(Some(bytes)), &message, "1MiB or more");
        }
    }

    #[test]
    fn both_ends_of_every_range_are_allowed() {
        let least = CoordinatorOptions::default()
            .pressure_threshold(0.1)
            .and_then(|options| options.eviction_ratio(0.01))
            .and_then(|options| options.check_interval(Duration::from_millis(100)))
            .and_then(|options| options.max_bytes(Some(1 << 20)))
            .unwrap();
        assert_eq!(least.relief(), Ratio::percent(5));
        let most = least
            .pressure_threshold(0.99)
            .and_then(|options| options.eviction_ratio(1.0))
            .and_then(|options| options.check_interval(Duration::from_secs(24 * 3600)))
            .and_then(|options| options.max_bytes(None))
            .unwrap();
        assert_eq!(most.allowed_bytes(), None);
    }

    #[test]
    fn the_defaults_are_what_is_documented() {
        let options = CoordinatorOptions::default();
        assert_eq!(options.threshold(), Ratio::percent(80));
        assert_eq!(options.relief(), Ratio::percent(75));
        assert_eq!(options.ratio(), Ratio::percent(20));
        assert_eq!(options.interval(), Duration::from_secs(30));
        assert_eq!(options.allowed_bytes(), None);
    }
}
