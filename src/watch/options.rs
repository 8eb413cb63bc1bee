//! How a tree is watched. Options can only be valid: what is out of range is refused when it is set.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// How a tree is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    debounce: Duration,
    max_delay: Duration,
    ignore: Vec<String>,
    poll_interval: Duration,
    reconcile_interval: Duration,
    max_pending: usize,
    max_directories: usize,
}

impl Default for WatchOptions {
    /// A change is brought in 100 ms after the last of its path, at most 1 s after the first; the whole
    /// tree is looked at every five minutes, or every two seconds where it cannot be watched.
    fn default() -> Self {
        WatchOptions {
            debounce: Duration::from_millis(100),
            max_delay: Duration::from_secs(1),
            ignore: Vec::new(),
            poll_interval: Duration::from_secs(2),
            reconcile_interval: Duration::from_secs(300),
            max_pending: 10_000,
            max_directories: 250_000,
        }
    }
}

impl WatchOptions {
    /// The range of the debounce.
    pub(crate) const DEBOUNCE: (Duration, Duration) =
        (Duration::from_millis(10), Duration::from_secs(10));
    /// The range of the maximal delay.
    pub(crate) const MAX_DELAY: (Duration, Duration) =
        (Duration::from_millis(10), Duration::from_secs(60));
    /// The range of the interval between two looks at a tree that cannot be watched.
    pub(crate) const POLL_INTERVAL: (Duration, Duration) =
        (Duration::from_millis(100), Duration::from_secs(3600));

    /// How long a path must have been quiet, 10 ms to 10 s.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn debounce(mut self, quiet: Duration) -> Result<Self> {
        within(Self::DEBOUNCE, quiet, "watch.debounce", "10ms to 10s")?;
        self.debounce = quiet;
        Ok(self)
    }

    /// How long a path that is never quiet waits, 10 ms to 60 s; not below the debounce, which is checked
    /// when a watcher is made.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_delay(mut self, delay: Duration) -> Result<Self> {
        within(Self::MAX_DELAY, delay, "watch.max_delay", "10ms to 1m")?;
        self.max_delay = delay;
        Ok(self)
    }

    /// Files and directories whose changes are not followed at once, as patterns of a `.gitignore` file.
    /// They are brought in when the whole tree is looked at.
    #[must_use]
    pub fn ignore(mut self, patterns: Vec<String>) -> Self {
        self.ignore = patterns;
        self
    }

    /// How long a tree that cannot be watched is left alone between two looks at it, 100 ms to 1 h; ten
    /// times as long as a look takes, if that is longer.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn poll_interval(mut self, interval: Duration) -> Result<Self> {
        let range = Self::POLL_INTERVAL;
        within(range, interval, "watch.poll_interval", "100ms to 1h")?;
        self.poll_interval = interval;
        Ok(self)
    }

    /// How often the whole tree is looked at although nothing seems to be missing, 1 s to 24 h.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn reconcile_interval(mut self, interval: Duration) -> Result<Self> {
        let range = (Duration::from_secs(1), Duration::from_secs(24 * 3600));
        within(range, interval, "reconcile_interval", "1s to 24h")?;
        self.reconcile_interval = interval;
        Ok(self)
    }

    /// How many paths may wait at once, at least one: where there are more, the directory above is
    /// looked at in their place, and at last the whole tree.
    #[must_use]
    pub fn max_pending(mut self, paths: usize) -> Self {
        self.max_pending = paths.max(1);
        self
    }

    /// How many directories are watched at most, whatever the operating system allows: each takes about a
    /// kilobyte of its memory. A larger tree is polled. 250,000 by default.
    #[must_use]
    pub fn max_directories(mut self, directories: usize) -> Self {
        self.max_directories = directories;
        self
    }

    /// That they go together.
    ///
    /// # Errors
    /// `InvalidConfig` if the maximal delay is below the debounce.
    pub(crate) fn assert_consistent(&self) -> Result<()> {
        if self.max_delay >= self.debounce {
            return Ok(());
        }
        let (delay, debounce) = (self.max_delay, self.debounce);
        let message =
            format!("`watch.max_delay` = {delay:?} is below `watch.debounce` = {debounce:?}");
        Err(Error::new(ErrorKind::InvalidConfig, message)
            .with_help("give a maximal delay that is at least as long"))
    }

    pub(super) fn quiet(&self) -> Duration {
        self.debounce
    }

    pub(super) fn longest(&self) -> Duration {
        self.max_delay
    }

    pub(super) fn ignored(&self) -> &[String] {
        &self.ignore
    }

    pub(super) fn poll_every(&self) -> Duration {
        self.poll_interval
    }

    pub(super) fn reconcile_every(&self) -> Duration {
        self.reconcile_interval
    }

    pub(super) fn capacity(&self) -> usize {
        self.max_pending
    }

    pub(super) fn most_directories(&self) -> usize {
        self.max_directories
    }
}

fn within(
    (least, most): (Duration, Duration),
    value: Duration,
    key: &str,
    range: &str,
) -> Result<()> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(Error::out_of_range(key, format!("{value:?}"), range)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_or_does_not_go_together_is_refused() {
        let options = WatchOptions::default;
        let ms = Duration::from_millis;
        assert!(options().debounce(ms(9)).is_err());
        assert!(options().max_delay(ms(60_001)).is_err());
        assert!(options().poll_interval(ms(99)).is_err());
        assert!(options().reconcile_interval(ms(999)).is_err());
        let options = options().debounce(ms(2000)).unwrap();
        let error = options.assert_consistent().unwrap_err();
        assert!(error.to_string().contains("1s is below"), "{error}");
        assert!(
            options
                .max_delay(ms(2000))
                .unwrap()
                .assert_consistent()
                .is_ok()
        );
    }
}
