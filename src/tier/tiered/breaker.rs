//! When a tier that keeps failing is let alone: after some failures without a success between them it
//! is not asked any more, but for one verb now and then that finds out whether it is back.

use std::time::Duration;

use crate::primitives::Mutex;
use crate::primitives::atomic::{AtomicBool, Ordering};

/// What stands between a tier and those who use it.
#[derive(Debug)]
pub(super) struct Breaker {
    /// So many failures in a row open it.
    limit: u32,
    /// Between one probe and the next.
    rest: Duration,
    is_open: AtomicBool,
    /// Whether it failed the last time.
    is_failing: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// When the next probe may be, on the clock that never steps.
    probe_at: Duration,
}

impl Breaker {
    pub(super) fn new(limit: u32, rest: Duration) -> Self {
        Breaker {
            limit,
            rest,
            is_open: AtomicBool::new(false),
            is_failing: AtomicBool::new(false),
            state: Mutex::new(State::default()),
        }
    }

    /// Whether the tier is let alone.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Whether the tier may be asked now. Who is told yes asks: it may be the one probe.
    pub(super) fn admits(&self, now: impl FnOnce() -> Duration) -> bool {
        if !self.is_open() {
            return true;
        }
        let now = now();
        let mut state = self.state.lock();
        let is_due = state.probe_at <= now;
        if is_due {
            state.probe_at = now.saturating_add(self.rest);
        }
        is_due
    }

    /// The tier did what it was asked for.
    pub(super) fn succeeded(&self) {
        if !self.is_failing.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state.lock();
        state.failures = 0;
        self.is_failing.store(false, Ordering::Release);
        self.is_open.store(false, Ordering::Release);
    }

    /// It did not. Returns whether it is let alone from now on.
    pub(super) fn failed(&self, now: Duration) -> bool {
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        self.is_failing.store(true, Ordering::Release);
        state.probe_at = now.saturating_add(self.rest);
        let opens = state.failures >= self.limit && !self.is_open();
        if opens {
            self.is_open.store(true, Ordering::Release);
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn failures_in_a_row_open_it_and_a_probe_that_succeeds_closes_it() {
        let breaker = Breaker::new(2, SECOND);
        let now = SECOND;
        assert!(!breaker.failed(now));
        breaker.succeeded();
        assert!(!breaker.failed(now), "not in a row");
        assert!(breaker.admits(|| now));
        assert!(breaker.failed(now));
        assert!(!breaker.admits(|| now), "let alone");
        assert!(breaker.admits(|| 2 * SECOND), "the probe");
        assert!(!breaker.admits(|| 2 * SECOND), "one probe");
        assert!(!breaker.failed(2 * SECOND), "it was open before");
        assert!(!breaker.admits(|| 2 * SECOND));
        assert!(breaker.admits(|| 3 * SECOND));
        breaker.succeeded();
        assert!(breaker.admits(|| 3 * SECOND) && breaker.admits(|| 3 * SECOND));
    }
}
