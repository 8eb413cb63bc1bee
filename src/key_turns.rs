//! `KeyTurns`: who may write a key now. A writer holds the key's turn, and no lock, while he does I/O;
//! others wait for it on a condition, and not for ever. Keys share stripes, so that the turns of all
//! keys are few.

use std::fmt::Display;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::error::{Error, ErrorKind, Result};
use crate::primitives::thread::{self, ThreadId};
use crate::primitives::{Condvar, Mutex, MutexGuard};

/// Writers of so many keys work beside each other, if the keys do not meet in a stripe.
const STRIPES: usize = 64;

/// The turns of all keys.
#[derive(Debug)]
pub(crate) struct KeyTurns {
    stripes: Box<[Stripe]>,
    /// The longest that anybody waits for a turn.
    patience: Duration,
    hasher: RandomState,
}

/// A turn, given back when it is dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct KeyTurn<'t>(&'t Stripe);

#[derive(Debug, Default)]
struct Stripe {
    state: Mutex<Holding>,
    given_back: Condvar,
}

#[derive(Debug, Default)]
struct Holding {
    holder: Option<ThreadId>,
    /// How many turns were taken so far.
    taken: u64,
}

impl KeyTurns {
    /// Turns that nobody waits for longer than this: more than a writer's I/O may take.
    pub(crate) fn new(patience: Duration) -> Self {
        KeyTurns {
            stripes: (0..STRIPES).map(|_| Stripe::default()).collect(),
            patience,
            hasher: RandomState::default(),
        }
    }

    /// The turn of the key, when whoever has it gives it back. A thread has one turn at a time.
    ///
    /// # Errors
    /// `DatabaseBusy` if nobody gave it back in time; `Internal` if the caller has it, or that of
    /// another key that shares it.
    pub(crate) fn take<Q: Hash + Display + ?Sized>(&self, key: &Q) -> Result<KeyTurn<'_>> {
        let stripe = self.stripe(key);
        let mut state = stripe.state.lock();
        if state.is_mine() {
            let message = format!("a change of {key} was asked for in the middle of one");
            return Err(Error::new(ErrorKind::Internal, message)
                .with_help("make the one change after the other"));
        }
        stripe
            .given_back
            .wait_while_for(&mut state, |state| state.holder.is_some(), self.patience);
        stripe.hold(state).ok_or_else(|| {
            let message = format!("{key} is being changed by others");
            Error::new(ErrorKind::DatabaseBusy, message).with_help("try again")
        })
    }

    /// The turn of the key, if nobody has it.
    pub(crate) fn try_take<Q: Hash + ?Sized>(&self, key: &Q) -> Option<KeyTurn<'_>> {
        let stripe = self.stripe(key);
        stripe.hold(stripe.state.lock())
    }

    /// Waits until every turn that is held now has been given back: whoever began before has ended.
    ///
    /// # Errors
    /// `DatabaseBusy` if one was not given back in time; `Internal` if the caller has one.
    pub(crate) fn barrier(&self) -> Result<()> {
        for stripe in &self.stripes {
            let mut state = stripe.state.lock();
            if state.is_mine() {
                let message = "a change of all keys was asked for in the middle of one of a key";
                return Err(Error::new(ErrorKind::Internal, message));
            }
            let before = state.taken;
            let still_held = |state: &mut Holding| state.holder.is_some() && state.taken == before;
            stripe
                .given_back
                .wait_while_for(&mut state, still_held, self.patience);
            if still_held(&mut state) {
                let message = "a key is being changed by others, and takes too long";
                return Err(Error::new(ErrorKind::DatabaseBusy, message).with_help("try again"));
            }
        }
        Ok(())
    }

    fn stripe<Q: Hash + ?Sized>(&self, key: &Q) -> &Stripe {
        let hash = self.hasher.hash_one(key);
        &self.stripes[(hash >> 32) as usize % self.stripes.len()]
    }
}

impl Stripe {
    fn hold(&self, mut state: MutexGuard<'_, Holding>) -> Option<KeyTurn<'_>> {
        if state.holder.is_some() {
            return None;
        }
        state.holder = Some(thread::current().id());
        state.taken += 1;
        Some(KeyTurn(self))
    }
}

impl Holding {
    fn is_mine(&self) -> bool {
        self.holder == Some(thread::current().id())
    }
}

impl Drop for KeyTurn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().holder = None;
        // Those who want the turn wait here, and those who only wait for its end.
        self.0.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn writers_of_a_key_come_one_after_the_other() {
        let turns = KeyTurns::new(LONG);
        let (inside, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let _turn = turns.take("k").unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(done.load(Ordering::SeqCst), 800);
    }

    #[test]
    fn a_turn_is_not_waited_for_for_ever_and_comes_back_after_a_panic() {
        let turns = KeyTurns::new(Duration::from_millis(1));
        let panicked = std::thread::scope(|scope| {
            let panics = || {
                let _turn = turns.take("k").unwrap();
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        let busy = turns.take("k").unwrap_err();
                        assert_eq!(busy.kind(), ErrorKind::DatabaseBusy);
                        assert_eq!(busy.to_string(), "k is being changed by others");
                        assert!(turns.try_take("k").is_none());
                        let busy = turns.barrier().unwrap_err();
                        assert_eq!(busy.kind(), ErrorKind::DatabaseBusy);
                    });
                });
                panic!("a writer breaks");
            };
            scope.spawn(panics).join()
        });
        assert!(panicked.is_err());
        drop(turns.take("k").unwrap());
        turns.barrier().unwrap();
    }

    #[test]
    fn a_writer_who_asks_for_his_own_turn_is_told_and_does_not_wait() {
        let turns = KeyTurns::new(LONG);
        let turn = turns.take("k").unwrap();
        assert_eq!(turns.take("k").unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(turns.barrier().unwrap_err().kind(), ErrorKind::Internal);
        drop(turn);
        turns.take("k").unwrap();
    }

    #[test]
    fn a_barrier_waits_for_those_who_began_before_it_alone() {
        let turns = KeyTurns::new(LONG);
        let (passed, held) = (AtomicBool::new(false), turns.take("k").unwrap());
        std::thread::scope(|scope| {
            let passes = scope.spawn(|| {
                turns.barrier().unwrap();
                passed.store(true, Ordering::SeqCst);
            });
            std::thread::yield_now();
            assert!(!passed.load(Ordering::SeqCst), "one began before");
            drop(held);
            passes.join().unwrap();
        });
        assert!(passed.load(Ordering::SeqCst));
    }
}
