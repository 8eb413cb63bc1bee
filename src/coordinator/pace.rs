//! When the next round of pressure may be made: not before a round has had an interval to tell, and
//! ever later while rounds do not help.

use std::time::Duration;

/// Rounds that do not help come at most this many intervals apart.
const MAX_INTERVALS: u32 = 32;

/// The pace of a coordinator. Times are those of its clock.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// No round before this time.
    cooled_at: Duration,
    /// The wait after the last round, in intervals; 1 once a round has helped.
    intervals: u32,
    /// No round before this time, unless the caches' own limit is exceeded and was not in the rounds
    /// that did not help.
    waits_until: Duration,
    was_own: bool,
}

impl Pace {
    /// Whether a round may be made now; `own` tells whether the caches' own limit is exceeded.
    pub(super) fn allows(&self, now: Duration, own: bool) -> bool {
        let is_other = own && !self.was_own;
        now >= self.cooled_at && (now >= self.waits_until || is_other)
    }

    /// A round has ended.
    pub(super) fn made(&mut self, now: Duration, interval: Duration, helped: bool, own: bool) {
        self.cooled_at = now.saturating_add(interval);
        self.was_own = own;
        self.intervals = match helped {
            true => 1,
            false => (self.intervals.max(1) * 2).min(MAX_INTERVALS),
        };
        self.waits_until = now.saturating_add(interval.saturating_mul(self.intervals));
    }

    /// There is no pressure: the next one is a new one.
    pub(super) fn relieved(&mut self) {
        (self.intervals, self.waits_until) = (1, Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    /// How many intervals after a round the next one may be made.
    fn wait(pace: &Pace, now: Duration, own: bool) -> u32 {
        let allows = |n: &u32| pace.allows(now + INTERVAL * *n, own);
        (0..100).find(allows).unwrap()
    }

    #[test]
    fn rounds_that_do_not_help_come_ever_later_up_to_a_bound() {
        let mut pace = Pace::default();
        assert!(pace.allows(Duration::ZERO, false), "the first at once");
        for expected in [2, 4, 8, 16, 32, 32, 32] {
            pace.made(INTERVAL, INTERVAL, false, false);
            assert_eq!(wait(&pace, INTERVAL, false), expected);
        }
        pace.made(INTERVAL, INTERVAL, true, false);
        assert_eq!(wait(&pace, INTERVAL, false), 1);
    }

    #[test]
    fn relief_ends_the_wait_and_not_the_cooling() {
        let mut pace = Pace::default();
        pace.made(INTERVAL, INTERVAL, false, false);
        pace.relieved();
        assert_eq!(wait(&pace, INTERVAL, false), 1);
    }

    #[test]
    fn pressure_of_another_kind_need_not_wait_for_what_did_not_help() {
        let mut pace = Pace::default();
        for _ in 0..3 {
            pace.made(INTERVAL, INTERVAL, false, false);
        }
        assert_eq!(wait(&pace, INTERVAL, false), 8);
        assert_eq!(wait(&pace, INTERVAL, true), 1);
        pace.made(INTERVAL, INTERVAL, false, true);
        assert_eq!(wait(&pace, INTERVAL, true), 16);
    }
}
