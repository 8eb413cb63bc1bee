//! The file is used by one thread at a time: whoever uses it holds its turn, and no lock.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::primitives::{Condvar, Mutex};

/// Something that one thread at a time may have.
#[derive(Debug)]
pub(super) struct Turns<T> {
    idle: Mutex<Option<T>>,
    back: Condvar,
}

/// It, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'t, T> {
    turns: &'t Turns<T>,
    /// Always there, until it is dropped.
    held: Option<T>,
}

impl<T> Turns<T> {
    pub(super) fn new(value: T) -> Self {
        Turns {
            idle: Mutex::new(Some(value)),
            back: Condvar::new(),
        }
    }

    /// The turn; `None` if nobody gave it back for so long.
    pub(super) fn take(&self, patience: Duration) -> Option<Turn<'_, T>> {
        let mut idle = self.idle.lock();
        self.back
            .wait_while_for(&mut idle, |idle| idle.is_none(), patience);
        let held = Some(idle.take()?);
        Some(Turn { turns: self, held })
    }
}

impl<T> Deref for Turn<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect("held until it is dropped")
    }
}

impl<T> DerefMut for Turn<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("held until it is dropped")
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        *self.turns.idle.lock() = self.held.take();
        self.turns.back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_waited_for_and_not_for_ever() {
        let turns = Turns::new(0);
        let mut first = turns.take(Duration::ZERO).unwrap();
        *first += 1;
        assert!(turns.take(Duration::from_millis(1)).is_none());
        std::thread::scope(|scope| {
            let second = scope.spawn(|| *turns.take(Duration::from_secs(60)).unwrap());
            drop(first);
            assert_eq!(second.join().unwrap(), 1);
        });
    }
}
