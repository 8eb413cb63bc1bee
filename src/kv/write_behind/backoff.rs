//! How long to wait before another try: twice as long each time up to a limit, and between half of
//! that and all of it, so that many who failed together do not come back together.

use std::time::Duration;

use crate::eviction::Dice;

/// The waits between tries.
#[derive(Debug)]
pub(super) struct Backoff {
    shortest: Duration,
    longest: Duration,
    dice: Dice,
}

impl Backoff {
    pub(super) fn new(shortest: Duration, longest: Duration) -> Self {
        Backoff {
            shortest,
            longest,
            dice: Dice::unforeseeable(),
        }
    }

    /// The wait after so many failures in a row, 1 or more.
    pub(super) fn after(&mut self, failures: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1));
        let wait = self.shortest.saturating_mul(doubled.unwrap_or(u32::MAX));
        let wait = wait.min(self.longest);
        let half = wait / 2;
        let jitter = usize::try_from(half.as_nanos()).unwrap_or(usize::MAX - 1);
        wait - Duration::from_nanos(self.dice.below(jitter + 1) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_never_below_half() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
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
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
        let waits: std::collections::HashSet<_> = (0..100).map(|_| backoff.after(1)).collect();
        assert!(waits.len() > 90, "{}", waits.len());
    }
}
