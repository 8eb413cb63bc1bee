//! Rounds come one at a time: whoever makes one holds its turn, and no lock.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::primitives::thread::{self, ThreadId};
use crate::primitives::{Condvar, Mutex};

/// How long a round in progress is waited for: a cache that holds it up for longer holds up nobody
/// else.
const PATIENCE: Duration = Duration::from_secs(10);

/// The turns of a coordinator.
#[derive(Debug, Default)]
pub(super) struct Turns {
    holder: Mutex<Option<ThreadId>>,
    over: Condvar,
}

/// The right to make a round, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'t>(&'t Turns);

impl Turns {
    /// The turn, unless somebody has it.
    pub(super) fn try_take(&self) -> Option<Turn<'_>> {
        let mut holder = self.holder.lock();
        match *holder {
            Some(_) => None,
            None => {
                *holder = Some(thread::current().id());
                Some(Turn(self))
            }
        }
    }

    /// The turn, once nobody else has it.
    ///
    /// # Errors
    /// `Coordinator` if somebody has it for too long, or the caller has it.
    pub(super) fn take(&self) -> Result<Turn<'_>> {
        let refuse = |message: &str| Err(Error::new(ErrorKind::Coordinator, message));
        let me = thread::current().id();
        let mut holder = self.holder.lock();
        if *holder == Some(me) {
            return refuse("a cache asked for a round of eviction in the middle of one");
        }
        self.over
            .wait_while_for(&mut holder, |holder| holder.is_some(), PATIENCE);
        if holder.is_some() {
            return refuse("another round of eviction takes too long");
        }
        *holder = Some(me);
        Ok(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.holder.lock() = None;
        self.0.over.notify_one();
    }
}
