//! When the database is looked at by itself: often, at the cost of two small reads, and from time to
//! time so that nothing is taken for granted.

use std::sync::Arc;
use std::time::Duration;

use super::Synchronizer;
use crate::error::Result;
use crate::primitives::atomic::AtomicBool;
use crate::worker::Worker;

/// The longest rest between two looks while they fail: so soon is the cure of a fault noticed.
const MAX_REST: Duration = Duration::from_millis(250);

/// How often to look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// The rest between two looks.
    pub(crate) change_poll: Duration,
    /// The time between two thorough looks.
    pub(crate) sync_interval: Duration,
}

impl Schedule {
    /// A thread that keeps the index at the head of the log until it is dropped. Looks do not
    /// overlap: one that comes due while another is under way is the next one.
    ///
    /// # Errors
    /// `Io` if the thread cannot be started.
    pub(crate) fn follow(self, sync: Arc<Synchronizer>) -> Result<Worker> {
        let mut rest = self.change_poll;
        let mut thorough_at = sync.clock.elapsed() + self.sync_interval;
        let mut is_failing = false;
        let worker = Worker::spawn("cardex-follow", move |_: &AtomicBool| {
            let now = sync.clock.elapsed();
            if now >= thorough_at {
                sync.store.forget();
                thorough_at = now + self.sync_interval;
            }
            let outcome = sync.incremental();
            rest = match &outcome {
                Ok(_) => self.change_poll,
                Err(_) => (rest * 2).min(MAX_REST).max(self.change_poll),
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
