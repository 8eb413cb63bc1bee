//! How many may be served at once: one permit for each request that is worked on, and one for each
//! client that waits for changes. Whoever finds none is told so at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;

/// Held as long as the work goes on, also where nobody waits for its outcome any more.
pub(super) type Permit = OwnedSemaphorePermit;

/// The permits of a server.
#[derive(Debug)]
pub(super) struct Limits {
    requests: Arc<Semaphore>,
    waiters: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
    most: usize,
}

/// How many of those who watch the server are answered at once, whatever else goes on.
pub(super) const MAX_WATCHERS: usize = 4;

impl Limits {
    /// At most so many requests at once, and as many who wait.
    pub(super) fn new(most: usize) -> Self {
        Limits {
            requests: Arc::new(Semaphore::new(most)),
            waiters: Arc::new(Semaphore::new(most)),
            watchers: Arc::new(Semaphore::new(MAX_WATCHERS)),
            most,
        }
    }

    /// Lets a request be worked on.
    pub(super) fn request(&self) -> Result<Permit, Problem> {
        let permit = Arc::clone(&self.requests).try_acquire_owned();
        permit.map_err(|_| {
            let most = self.most;
            Problem::busy(format!(
                "{most} requests are being worked on, the most there may be"
            ))
        })
    }

    /// Lets a client wait for changes.
    pub(super) fn waiter(&self) -> Result<Permit, Problem> {
        let permit = Arc::clone(&self.waiters).try_acquire_owned();
        permit.map_err(|_| {
            let most = self.most;
            Problem::busy(format!(
                "{most} clients wait for changes, the most there may be"
            ))
        })
    }

    /// Lets somebody look at the server's counts, while its requests are as many as there may be, too.
    pub(super) fn watcher(&self) -> Result<Permit, Problem> {
        let permit = Arc::clone(&self.watchers).try_acquire_owned();
        permit.map_err(|_| Problem::busy("too many watch this server at once"))
    }

    /// How many requests are being worked on, and how many clients wait.
    pub(super) fn in_use(&self) -> (usize, usize) {
        let used = |permits: &Semaphore| self.most.saturating_sub(permits.available_permits());
        (used(&self.requests), used(&self.waiters))
    }
}
