//! Versions of what a cache writes: each is greater than every one before it in this process, and as
//! good as never equal to one of another process.

use std::hash::{BuildHasher, Hasher};

use crate::clock::Clock;
use crate::primitives::atomic::{AtomicU64, Ordering};

/// Bits below the time in microseconds. There, each process begins somewhere else.
const BELOW: u32 = 12;

/// Gives out versions.
#[derive(Debug)]
pub(super) struct Versions {
    last: AtomicU64,
    /// What stands below the time.
    own: u64,
}

impl Default for Versions {
    fn default() -> Self {
        let random = foldhash::fast::RandomState::default()
            .build_hasher()
            .finish();
        Versions {
            last: AtomicU64::new(0),
            own: random & ((1 << BELOW) - 1),
        }
    }
}

impl Versions {
    /// The next one: the time, or one more than the last if that is later.
    pub(super) fn next(&self, clock: &dyn Clock) -> u64 {
        let us = u64::try_from(clock.now().timestamp_micros()).unwrap_or(0);
        let now = (us << BELOW) | self.own;
        let after = |last: u64| now.max(last + 1);
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(after(last))
            });
        // It never refuses.
        after(last.unwrap_or_else(|last| last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn versions_grow_while_the_clock_stands_still() {
        let (clock, versions) = (ManualClock::new(), Versions::default());
        let first = versions.next(&clock);
        assert!(versions.next(&clock) > first);
        clock.advance(std::time::Duration::from_millis(1));
        assert!(versions.next(&clock) > first + (1 << BELOW));
    }
}
