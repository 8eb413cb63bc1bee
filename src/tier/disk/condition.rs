//! What is known of how a file does, told without I/O.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Error;
use crate::health::{Health, HealthState, Reason};
use crate::primitives::Mutex;

/// How a file does.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// Whether the last verb failed: asked by each one that does not.
    is_failing: AtomicBool,
    reasons: Mutex<Reasons>,
}

#[derive(Debug, Default)]
struct Reasons {
    /// Why the last verb failed.
    failure: Option<Reason>,
    /// Why the last file was given up, since this one was opened first.
    rebuilt: Option<Reason>,
}

impl Condition {
    /// The file can be used.
    pub(super) fn works(&self) {
        if self.is_failing.load(Ordering::Relaxed) {
            self.is_failing.store(false, Ordering::Relaxed);
            self.reasons.lock().failure = None;
        }
    }

    /// It cannot, for this reason.
    pub(super) fn fails(&self, error: &Error) {
        self.reasons.lock().failure = Some(Reason::from(error));
        self.is_failing.store(true, Ordering::Relaxed);
    }

    /// An empty file took its place, for this reason.
    pub(super) fn rebuilt(&self, reason: String) {
        let reason = Reason::new("cache-file-rebuilt", reason)
            .with_help("look after the disk; nothing is lost that cannot be made again");
        self.reasons.lock().rebuilt = Some(reason);
    }

    /// How it does.
    pub(super) fn health(&self, name: &str) -> Health {
        let reasons = self.reasons.lock();
        let reasons = [&reasons.failure, &reasons.rebuilt].map(Clone::clone);
        let healthy = Health::healthy(name);
        reasons.into_iter().flatten().fold(healthy, |health, why| {
            health.but(HealthState::Degraded, why)
        })
    }
}
