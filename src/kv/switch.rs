//! Switching a cache off and on. Switched off, it forgets what it is told to change, so that nothing old is
//! found when it is switched on again; what it could not forget is remembered, and then all of it leaves
//! first.

use super::KvCache;
use crate::error::{Error, ErrorKind, Result};
use crate::primitives::Mutex;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::tier::Key;

/// So often at most it is cleared before it is switched on, while others cannot forget what they change.
const MOST_CLEARED: usize = 8;

/// Whether a cache is switched on.
#[derive(Debug)]
pub(super) struct Switch {
    is_on: AtomicBool,
    /// Switched off together with others.
    is_paused: AtomicBool,
    /// What could not be forgotten while it was switched off: then everything is, before it is
    /// switched on. It is switched under this lock.
    unsure: Mutex<Unsure>,
}

/// How often something could not be forgotten, and of how many of these times everything was since.
#[derive(Debug, Default)]
struct Unsure {
    missed: u64,
    cleared: u64,
}

impl Switch {
    pub(super) fn new(is_on: bool) -> Self {
        Switch {
            is_on: AtomicBool::new(is_on),
            is_paused: AtomicBool::new(false),
            unsure: Mutex::default(),
        }
    }
}

impl KvCache {
    /// Whether it is switched on.
    pub fn is_enabled(&self) -> bool {
        self.0.switch.is_on.load(Ordering::Acquire)
            && !self.0.switch.is_paused.load(Ordering::Acquire)
    }

    /// Switches it on, or off. What was kept before it was switched off is found again, unless it was
    /// to change meanwhile; everything is forgotten if that could not be done one by one.
    ///
    /// # Errors
    /// Those of [`KvCache::clear`], and it stays off.
    pub fn set_enabled(&self, enabled: bool) -> Result<()> {
        self.turn(&self.0.switch.is_on, enabled, enabled)
    }

    /// Switches it off together with others, or on again unless it is switched off itself.
    ///
    /// # Errors
    /// Those of [`KvCache::set_enabled`].
    pub(super) fn set_paused(&self, is_paused: bool) -> Result<()> {
        self.turn(&self.0.switch.is_paused, is_paused, !is_paused)
    }

    fn turn(&self, switch: &AtomicBool, to: bool, may_find: bool) -> Result<()> {
        for _ in 0..MOST_CLEARED {
            let missed = {
                let unsure = self.0.switch.unsure.lock();
                if !may_find || unsure.missed == unsure.cleared {
                    // Who misses something from now on sees what it is switched to.
                    switch.store(to, Ordering::Release);
                    return Ok(());
                }
                unsure.missed
            };
            self.clear()?;
            let mut unsure = self.0.switch.unsure.lock();
            unsure.cleared = unsure.cleared.max(missed);
        }
        let message = format!("the cache `{}` is being changed by others", self.0.name);
        Err(Error::new(ErrorKind::DatabaseBusy, message).with_help("try again"))
    }

    /// What becomes of a key that is to change while the cache is switched off: it is forgotten.
    ///
    /// # Errors
    /// Whatever keeps the tier from it, if the cache has been switched on meanwhile.
    pub(super) fn pass_by(&self, key: &Key) -> Result<()> {
        let Err(error) = self.write(key, || self.0.tier.remove(key)) else {
            return Ok(());
        };
        let mut unsure = self.0.switch.unsure.lock();
        if self.is_enabled() {
            return Err(error);
        }
        unsure.missed += 1;
        Ok(())
    }
}
