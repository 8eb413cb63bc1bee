//! How a value that another process makes, or a lock that it has, is waited for.

use std::time::{Duration, Instant};

use crate::primitives::{Condvar, Mutex};

/// The first and the longest wait.
const POLLS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

/// Waits between looks at what another process makes: ever longer, never all the same, and not for ever.
pub(super) struct Polls {
    next: Duration,
    left: Duration,
}

impl Polls {
    pub(super) fn within(time: Duration) -> Self {
        Polls {
            next: POLLS.0,
            left: time,
        }
    }

    /// Begins again with a short wait, of the time that is left: it is about something else now.
    pub(super) fn anew(&mut self) {
        self.next = POLLS.0;
    }

    /// Waits otherwise, for at most what is left, and takes off what that took.
    pub(super) fn spend<R>(&mut self, wait: impl FnOnce(Duration) -> R) -> R {
        let began = Instant::now();
        let outcome = wait(self.left);
        self.left = self.left.saturating_sub(began.elapsed());
        outcome
    }

    /// Waits; false if it has waited for long enough.
    pub(super) fn wait(&mut self) -> bool {
        if self.left.is_zero() {
            return false;
        }
        let time = self
            .next
            .mul_f64(0.5 + fastrand::f64() / 2.0)
            .min(self.left);
        let nobody = Mutex::new(());
        Condvar::new().wait_for(&mut nobody.lock(), time);
        self.left -= time;
        self.next = (self.next * 2).min(POLLS.1);
        true
    }
}
