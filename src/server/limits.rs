//! How many may be served at once: one permit for each request that is worked on, one for each client
//! that waits for changes, and one for each byte of an answer that is not written yet. Whoever finds none
//! is told so at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use crate::units;

/// Held as long as the work goes on, also where nobody waits for its outcome any more.
pub(super) type Permit = OwnedSemaphorePermit;

/// The permits of a server.
#[derive(Debug)]
pub(super) struct Limits {
    requests: Arc<Semaphore>,
    waiters: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
    /// The bytes of answers that there is still room for.
    bytes: Arc<Semaphore>,
    most: usize,
}

/// How many of those who watch the server are answered at once, whatever else goes on.
pub(super) const MAX_WATCHERS: usize = 4;

impl Limits {
    /// The answers that wait to be written hold at most so many bytes together.
    pub(super) const MAX_BODY_BYTES: u64 = 256 << 20;
    /// An answer of so few bytes needs no room: problems, and whether the server lives, are always told.
    /// There are no more of these than connections.
    pub(super) const FREE_BODY_BYTES: u64 = 64 << 10;

    /// At most so many requests at once, and as many who wait.
    pub(super) fn new(most: usize) -> Self {
        Limits {
            requests: Arc::new(Semaphore::new(most)),
            waiters: Arc::new(Semaphore::new(most)),
            watchers: Arc::new(Semaphore::new(MAX_WATCHERS)),
            bytes: Arc::new(Semaphore::new(Self::MAX_BODY_BYTES as usize)),
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

    /// Room for an answer of so many bytes, if it needs any. One that is larger than all the room there
    /// is gets all of it.
    pub(super) fn room(&self, bytes: u64) -> Result<Option<Permit>, Problem> {
        if bytes <= Self::FREE_BODY_BYTES {
            return Ok(None);
        }
        let bytes = bytes.min(Self::MAX_BODY_BYTES) as u32;
        let permit = Arc::clone(&self.bytes).try_acquire_many_owned(bytes);
        permit.map(Some).map_err(|_| {
            let most = units::format_size(Self::MAX_BODY_BYTES);
            Problem::busy(format!(
                "the answers that wait to be taken hold {most}, the most there may be"
            ))
        })
    }

    /// How many requests are being worked on, and how many clients wait.
    pub(super) fn in_use(&self) -> (usize, usize) {
        let used = |permits: &Semaphore| self.most.saturating_sub(permits.available_permits());
        (used(&self.requests), used(&self.waiters))
    }
}
