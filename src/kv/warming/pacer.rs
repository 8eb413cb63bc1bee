//! The rate: so many a second at most, in any second. A slot that nobody took is not made up for, so
//! that no burst follows a pause.

use std::time::Duration;

use crate::clock::Clock;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::primitives::{Condvar, Mutex};

/// The longest that it waits before it looks at the clock, and at the stop flag, again.
const LOOK: Duration = Duration::from_millis(10);

/// Lets so many through a second.
#[derive(Debug)]
pub(super) struct Pacer {
    interval: Duration,
    /// When the next one may pass, by the clock.
    next: Mutex<Duration>,
    passed: Condvar,
}

impl Pacer {
    /// This many a second, 1 or more.
    pub(super) fn new(rate: u32) -> Self {
        Pacer {
            interval: Duration::from_nanos(1_000_000_000_u64.div_ceil(rate.max(1).into())),
            next: Mutex::new(Duration::ZERO),
            passed: Condvar::new(),
        }
    }

    /// Waits until one may pass; false if it was told to stop before.
    pub(super) fn wait(&self, clock: &dyn Clock, stop: &AtomicBool) -> bool {
        let mut next = self.next.lock();
        while !stop.load(Ordering::Relaxed) {
            let now = clock.elapsed();
            if now >= *next {
                *next = now + self.interval;
                return true;
            }
            let wait = (*next - now).min(LOOK);
            self.passed.wait_while_for(&mut next, |_| true, wait);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn in_any_second_no_more_pass_than_the_rate() {
        let (clock, stop) = (ManualClock::new(), AtomicBool::new(false));
        let pacer = Pacer::new(7);
        let mut passed = Vec::new();
        // The clock moves by uneven steps, some of them longer than an interval.
        for step in (0..2000).map(|n| (n * 7919) % 400) {
            clock.advance(Duration::from_millis(step));
            if clock.elapsed() >= *pacer.next.lock() {
                assert!(pacer.wait(&clock, &stop));
                passed.push(clock.elapsed());
            }
        }
        assert!(passed.len() > 1000);
        for (at, first) in passed.iter().enumerate() {
            let within = |time: &&Duration| **time < *first + Duration::from_secs(1);
            assert!(passed[at..].iter().take_while(within).count() <= 7);
        }
    }

    #[test]
    fn whoever_waits_stops_when_told() {
        let (clock, stop) = (ManualClock::new(), AtomicBool::new(false));
        let pacer = Pacer::new(1);
        assert!(pacer.wait(&clock, &stop));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| pacer.wait(&clock, &stop));
            stop.store(true, Ordering::Relaxed);
            assert!(!waits.join().unwrap());
        });
    }
}
