//! When the next round of pressure may be made: not before a round has had an interval to tell, and
//! ever later while rounds do not help.

use std::time::Duration;

/// Rounds that do not help come at most this many intervals apart.
const MAX_INTERVALS: u32 = 32;

/// The pace of a coordinator. Times are those of its clock. Waits are kept in intervals, so that
/// another interval counts at once.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the last round ended.
    made_at: Option<Duration>,
    /// The wait after it, in intervals, unless the caches' own limit is exceeded and was not in the
    /// rounds that did not help; 1 once a round has helped.
    intervals: u32,
    was_own: bool,
}

impl Pace {
    /// Whether a round may be made now; `own` tells whether the caches' own limit is exceeded.
    pub(super) fn allows(&self, now: Duration, interval: Duration, own: bool) -> bool {
        let Some(made_at) = self.made_at else {
            return true;
        };
        let is_other = own && !self.was_own;
        let intervals = if is_other { 1 } else { self.intervals };
        now >= made_at.saturating_add(interval.saturating_mul(intervals))
    }

    /// A round has ended.
    pub(super) fn made(&mut self, now: Duration, helped: bool, own: bool) {
        self.made_at = Some(now);
        self.was_own = own;
        self.intervals = match helped {
            true => 1,
            false => (self.intervals.max(1) * 2).min(MAX_INTERVALS),
        };
    }

    /// There is no pressure: the next one is a new one.
    pub(super) fn relieved(&mut self) {
        self.intervals = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    /// How many intervals after a round the next one may be made.
    fn wait(pace: &Pace, now: Duration, own: bool) -> u32 {
        let allows = |n: &u32| pace.allows(now + INTERVAL * *n, INTERVAL, own);
        (0..100).find(allows).unwrap()
    }

    #[test]
    fn rounds_that_do_not_help_come_ever_later_up_to_a_bound() {
        let mut pace = Pace::default();
        assert!(
            pace.allows(Duration::ZERO, INTERVAL, false),
            "the first at once"
        );
        for expected in [2, 4, 8, 16, 32, 32, 32] {
            pace.made(INTERVAL, false, false);
            assert_eq!(wait(&pace, INTERVAL, false), expected);
        }
        pace.made(INTERVAL, true, false);
        assert_eq!(wait(&pace, INTERVAL, false), 1);
    }

    #[test]
    fn relief_ends_the_wait_and_not_the_cooling() {
        let mut pace = Pace::default();
        pace.made(INTERVAL, false, false);
        pace.relieved();
        assert_eq!(wait(&pace, INTERVAL, false), 1);
    }

    #[test]
    fn pressure_of_another_kind_need_not_wait_for_what_did_not_help() {
        let mut pace = Pace::default();
        for _ in 0..3 {
            pace.made(INTERVAL, false, false);
        }
        assert_eq!(wait(&pace, INTERVAL, false), 8);
        assert_eq!(wait(&pace, INTERVAL, true), 1);
        pace.made(INTERVAL, false, true);
        assert_eq!(wait(&pace, INTERVAL, true), 16);
    }

    #[test]
    fn another_interval_counts_for_the_wait_that_runs() {
        let mut pace = Pace::default();
        pace.made(INTERVAL, false, false);
        let second = Duration::from_secs(1);
        assert!(!pace.allows(INTERVAL + second, second, false));
        assert!(pace.allows(INTERVAL + second * 2, second, false));
        assert!(!pace.allows(INTERVAL * 3, INTERVAL * 2, false));
    }
}
