//! How long to wait before another try: twice as long each time up to a limit, and between half of
//! that and all of it, so that many who failed together do not come back together.

use std::time::Duration;

/// The waits between tries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    shortest: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) fn new(shortest: Duration, longest: Duration) -> Self {
        Backoff { shortest, longest }
    }

    /// The wait after so many failures in a row, 1 or more.
    pub(super) fn after(self, failures: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1));
        let wait = self.shortest.saturating_mul(doubled.unwrap_or(u32::MAX));
        let wait = wait.min(self.longest);
        let half = u64::try_from((wait / 2).as_nanos()).unwrap_or(u64::MAX);
        wait - Duration::from_nanos(fastrand::u64(..=half))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_never_below_half() {
        let backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
        for (failures, most) in [
            (1, 10),
            (2, 20),
            (4, 80),
            (5, 100),
            (40, 100),
            (u32::MAX, 100),
        ] {
            for _ in 0..100 {
                let wait = backoff.after(failures);
                let most = Duration::from_millis(most);
                assert!(wait <= most && wait >= most / 2, "{failures}: {wait:?}");
            }
        }
    }

    #[test]
    fn waits_of_many_are_spread() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
        let waits: std::collections::HashSet<_> = (0..100).map(|_| backoff.after(1)).collect();
        assert!(waits.len() > 90, "{}", waits.len());
    }
}
