//! When the database is looked at by itself: often, at the cost of two small reads, and from time to
//! time so that nothing is taken for granted.

use std::sync::Arc;
use std::time::Duration;

use super::Synchronizer;
use crate::error::Result;
use crate::primitives::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::worker::Worker;

/// The longest rest between two looks while they fail: so soon is the cure of a fault noticed.
const MAX_REST: Duration = Duration::from_millis(250);

/// How often to look. It can be changed while a thread goes by it.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// The rest between two looks, in nanoseconds.
    change_poll: AtomicU64,
    /// The time between two thorough looks, in nanoseconds.
    sync_interval: AtomicU64,
}

impl Schedule {
    pub(crate) fn new(change_poll: Duration, sync_interval: Duration) -> Self {
        Schedule {
            change_poll: AtomicU64::new(nanos(change_poll)),
            sync_interval: AtomicU64::new(nanos(sync_interval)),
        }
    }

    /// Goes by these from the next look on.
    pub(crate) fn set(&self, change_poll: Duration, sync_interval: Duration) {
        self.change_poll
            .store(nanos(change_poll), Ordering::Relaxed);
        self.sync_interval
            .store(nanos(sync_interval), Ordering::Relaxed);
    }

    /// The rest between two looks.
    pub(crate) fn change_poll(&self) -> Duration {
        Duration::from_nanos(self.change_poll.load(Ordering::Relaxed))
    }

    fn sync_interval(&self) -> Duration {
        Duration::from_nanos(self.sync_interval.load(Ordering::Relaxed))
    }

    /// A thread that keeps the index at the head of the log until it is dropped. Looks do not
    /// overlap: one that comes due while another is under way is the next one.
    ///
    /// # Errors
    /// `Io` if the thread cannot be started.
    pub(crate) fn follow(self: Arc<Self>, sync: Arc<Synchronizer>) -> Result<Worker> {
        let mut rest = Duration::ZERO;
        let mut thorough_at = sync.clock.elapsed();
        let mut is_failing = false;
        let worker = Worker::spawn("cardex-follow", move |_: &AtomicBool| {
            let now = sync.clock.elapsed();
            if now.saturating_sub(thorough_at) >= self.sync_interval() {
                sync.store.forget();
                thorough_at = now;
            }
            let outcome = sync.incremental();
            rest = match &outcome {
                Ok(_) => self.change_poll(),
                Err(_) => (rest * 2).min(MAX_REST).max(self.change_poll()),
            };
            // Told once, when it begins and when it ends.
            match outcome {
                Err(error) if !is_failing => {
                    tracing::warn!("the database cannot be followed: {error:#}")
                }
                Ok(_) if is_failing => tracing::info!("the database is followed again"),
                _ => {}
            }
            is_failing = sync.is_failing();
            Some(rest)
        })?;
        worker.ring();
        Ok(worker)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
