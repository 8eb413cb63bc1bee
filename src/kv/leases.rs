//! The leases that this process has on values that it is making: one thread renews them all.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::Result;
use crate::primitives::Mutex;
use crate::tier::{Key, Lease, Leased, Term, Tier};
use crate::worker::Worker;

/// A lease is renewed this many times in its life.
const RENEWALS: u32 = 3;

/// Takes leases, and keeps them for as long as their owners work.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    /// Started with the first lease.
    worker: Mutex<Option<Worker>>,
}

struct Shared {
    tier: Arc<dyn Tier>,
    clock: Arc<dyn Clock>,
    time: Duration,
    /// As many as there are loads in this process.
    held: Mutex<Vec<Arc<Held>>>,
}

struct Held {
    key: Key,
    lease: Lease,
    renewed: Mutex<Duration>,
}

/// A lease that is kept. Dropped, it is given back.
pub(super) struct Kept<'k> {
    keeper: &'k Keeper,
    held: Arc<Held>,
    since: Duration,
    is_over: bool,
}

/// What came of asking.
pub(super) enum Asked<'k> {
    Granted(Kept<'k>),
    Held,
}

impl Keeper {
    pub(super) fn new(tier: Arc<dyn Tier>, clock: Arc<dyn Clock>, time: Duration) -> Self {
        let shared = Shared {
            tier,
            clock,
            time,
            held: Mutex::default(),
        };
        Keeper {
            shared: Arc::new(shared),
            worker: Mutex::default(),
        }
    }

    /// Asks for the right to make the value of the key alone.
    ///
    /// # Errors
    /// Those of [`Tier::lease`].
    pub(super) fn ask(&self, key: &Key) -> Result<Asked<'_>> {
        let shared = &self.shared;
        let Leased::Granted(lease) = shared.tier.lease(key, shared.time)? else {
            return Ok(Asked::Held);
        };
        let since = shared.clock.elapsed();
        let held = Arc::new(Held {
            key: key.clone(),
            lease,
            renewed: Mutex::new(since),
        });
        let is_first = {
            let mut all = shared.held.lock();
            all.push(Arc::clone(&held));
            all.len() == 1
        };
        if is_first {
            self.watch();
        }
        Ok(Asked::Granted(Kept {
            keeper: self,
            held,
            since,
            is_over: false,
        }))
    }

    /// Lets the thread look after the leases. Without a thread they end by themselves.
    fn watch(&self) {
        let mut worker = self.worker.lock();
        if worker.is_none() {
            let shared = Arc::clone(&self.shared);
            match Worker::spawn("cardex-leases", move |_| shared.renew()) {
                Ok(spawned) => *worker = Some(spawned),
                Err(error) => tracing::warn!("{error:#}"),
            }
        }
        if let Some(worker) = &*worker {
            worker.ring();
        }
    }
}

impl Shared {
    /// Renews those that are due; when to look again, if any are left.
    fn renew(&self) -> Option<Duration> {
        let every = self.time / RENEWALS;
        let all = self.held.lock().clone();
        for held in all {
            let now = self.clock.elapsed();
            if now.saturating_sub(*held.renewed.lock()) < every / 2 {
                continue;
            }
            match self.tier.renew(&held.key, &held.lease, self.time) {
                Ok(true) => *held.renewed.lock() = now,
                // What is made under it will not be kept.
                Ok(false) => self.forget(&held),
                Err(error) => tracing::debug!("the lease of {}: {error:#}", held.key),
            }
        }
        (!self.held.lock().is_empty()).then_some(every)
    }

    fn forget(&self, held: &Arc<Held>) {
        self.held.lock().retain(|one| !Arc::ptr_eq(one, held));
    }
}

impl Kept<'_> {
    /// Greater than that of every lease of the key before.
    pub(super) fn fence(&self) -> u64 {
        self.held.lease.fence
    }

    /// When it was granted, on the clock that never steps.
    pub(super) fn since(&self) -> Duration {
        self.since
    }

    /// Whether it was not found to be lost so far: nobody is asked.
    pub(super) fn is_believed(&self) -> bool {
        let held = self.keeper.shared.held.lock();
        held.iter().any(|one| Arc::ptr_eq(one, &self.held))
    }

    /// Asks for the whole time again; whether it was still held.
    ///
    /// # Errors
    /// Those of [`Tier::renew`].
    pub(super) fn renew(&self) -> Result<bool> {
        let shared = &self.keeper.shared;
        let Held { key, lease, .. } = &*self.held;
        shared.tier.renew(key, lease, shared.time)
    }

    /// Keeps what was made under it; whether the value is kept.
    ///
    /// # Errors
    /// Those of [`Tier::fill`].
    pub(super) fn fill(&mut self, value: Arc<[u8]>, version: u64, term: Term) -> Result<bool> {
        let Held { key, lease, .. } = &*self.held;
        let filled = self
            .keeper
            .shared
            .tier
            .fill(key, lease, value, version, term);
        self.is_over = filled.is_ok();
        filled
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        let shared = &self.keeper.shared;
        shared.forget(&self.held);
        if self.is_over {
            return;
        }
        if let Err(error) = shared.tier.release(&self.held.key, &self.held.lease) {
            tracing::debug!("the lease of {}: {error:#}", self.held.key);
        }
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.shared.held.lock().len();
        f.debug_struct("Keeper")
            .field("held", &held)
            .finish_non_exhaustive()
    }
}
