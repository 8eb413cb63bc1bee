//! `SharedLocks`: locks among processes, on the leases of a tier that they share. A lock ends by itself
//! when its holder is gone; while he is there, a thread renews it. Since a holder may stand still for
//! longer than that and go on, each has a fence, greater than those of all before: what is written under
//! the lock is checked by whoever keeps it, see [`FENCE_CHECK`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::leases::{Asked, Keeper, Kept};
use super::polls::Polls;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::tier::{Key, Tier};

/// The SQL table of the greatest fence that was seen under each name: beside the tables that are written
/// under the lock, in the same database. SQLite and PostgreSQL read it.
pub const FENCE_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS fences (name TEXT PRIMARY KEY, fence BIGINT NOT NULL)";

/// The first statement of every transaction that writes under a lock: its name and its fence. If it
/// changes no row, a later holder has written already, and the transaction must be rolled back.
pub const FENCE_CHECK: &str = "INSERT INTO fences (name, fence) VALUES ($1, $2) \
     ON CONFLICT (name) DO UPDATE SET fence = excluded.fence WHERE excluded.fence >= fences.fence";

/// How long a lock lasts by default if its holder is gone.
const LEASE: Duration = Duration::from_secs(10);

/// Locks by name, among all processes that share the tier. They are lost when the tier loses what it has: on
/// Redis, when the server is started again, is cleared, or gets its first replica (see
/// [`RedisTier`](crate::tier::RedisTier)). A holder finds out when he renews his lock, and another one may
/// have it by then, with a greater fence.
#[derive(Debug)]
pub struct SharedLocks {
    keeper: Keeper,
}

/// A lock that is held. Dropped, it is given back.
pub struct SharedLock<'l> {
    name: Key,
    kept: Kept<'l>,
}

impl SharedLocks {
    /// Locks in the tier, with leases of 10 seconds. Its namespace is for locks alone: whoever empties it
    /// takes them all away.
    ///
    /// # Errors
    /// `InvalidConfig` if no other process shares the tier.
    pub fn new(tier: Arc<dyn Tier>, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::with_lease(tier, clock, LEASE)
    }

    /// The same, with leases of this time: it is what a holder's end costs those who wait. A holder at
    /// work renews his three times in it.
    ///
    /// # Errors
    /// `InvalidConfig` if no other process shares the tier, or the time is 0.
    pub fn with_lease(tier: Arc<dyn Tier>, clock: Arc<dyn Clock>, lease: Duration) -> Result<Self> {
        if lease.is_zero() {
            return Err(Error::out_of_range("lease", "0s", "a positive duration"));
        }
        if !tier.is_shared() {
            let message = format!("the tier `{}` is no place for locks", tier.name());
            return Err(Error::new(ErrorKind::InvalidConfig, message)
                .with_help("give one that processes share, such as Redis"));
        }
        let keeper = Keeper::new(tier, clock, lease);
        Ok(SharedLocks { keeper })
    }

    /// The lock of this name, as soon as nobody else has it; waits for at most so long.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is no key; `TimedOut` if somebody else has it; `Unavailable` if
    /// the server does not say: then nobody is granted anything.
    pub fn acquire(&self, name: &str, within: Duration) -> Result<SharedLock<'_>> {
        let name = Key::new(name)?;
        let mut polls = Polls::within(within);
        loop {
            match self.keeper.ask(&name)? {
                Asked::Granted(kept) => return Ok(SharedLock { name, kept }),
                Asked::Held if polls.wait() => {}
                Asked::Held => {
                    let message = format!("somebody else has the lock {name}");
                    return Err(Error::new(ErrorKind::TimedOut, message)
                        .with_help("try again, or wait for longer"));
                }
            }
        }
    }
}

impl SharedLock<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Greater than that of every holder before.
    pub fn fence(&self) -> u64 {
        self.kept.fence()
    }

    /// Whether it is held still; if so, for another lease. What is true now need not be so when the next
    /// thing is done: that is what the fence is for.
    ///
    /// # Errors
    /// `Unavailable` if the server does not say.
    pub fn is_held(&self) -> Result<bool> {
        self.kept.renew()
    }
}

impl fmt::Debug for SharedLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLock")
            .field("name", &self.name)
            .field("fence", &self.fence())
            .finish_non_exhaustive()
    }
}
