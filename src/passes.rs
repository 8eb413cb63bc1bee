//! Who makes the next pass. There is one pass at a time; a request joins only a pass that starts
//! after it was made, and all who wait for the same pass share its outcome.

use crate::error::{Error, ErrorKind, Result};
use crate::primitives::thread::{self, ThreadId};
use crate::primitives::{Condvar, Mutex, MutexGuard};

/// The passes of one kind, by number; `T` is what a pass that succeeds tells.
#[derive(Debug)]
pub(crate) struct Passes<T> {
    state: Mutex<State<T>>,
    ended: Condvar,
}

#[derive(Debug)]
struct State<T> {
    /// The number of the last pass that started; the first is 1.
    started: u64,
    /// Who makes a pass now.
    runner: Option<ThreadId>,
    last: Option<Ended<T>>,
}

#[derive(Debug)]
struct Ended<T> {
    number: u64,
    outcome: Result<T>,
}

impl<T> Default for Passes<T> {
    fn default() -> Self {
        let state = State {
            started: 0,
            runner: None,
            last: None,
        };
        Passes {
            state: Mutex::new(state),
            ended: Condvar::new(),
        }
    }
}

impl<T: Clone> Passes<T> {
    /// The outcome of a pass that started after the call. The caller makes it with `run`, unless
    /// somebody else does. The wait is bounded by two passes: the one that is running, and the next.
    ///
    /// # Errors
    /// That of the pass; `Internal` if whoever made it panicked, or if the caller is making one.
    pub(crate) fn share(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut state = self.state.lock();
        let ticket = state.started + 1;
        loop {
            if let Some(ended) = state.last.as_ref().filter(|ended| ended.number >= ticket) {
                return ended.outcome.clone();
            }
            match state.runner {
                None => break,
                Some(runner) => self.wait_for(runner, &mut state)?,
            }
        }
        self.start(state, run)
    }

    /// The outcome of the pass that is running, however long it has been; of one that the caller makes
    /// with `run`, if there is none.
    ///
    /// # Errors
    /// As [`Passes::share`].
    pub(crate) fn join(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut state = self.state.lock();
        let number = state.started;
        while let Some(runner) = state.runner {
            self.wait_for(runner, &mut state)?;
            if let Some(ended) = state.last.as_ref().filter(|ended| ended.number >= number) {
                return ended.outcome.clone();
            }
        }
        self.start(state, run)
    }

    /// The outcome of `run`, made as a pass when it is the caller's turn. Who asked before it began
    /// may share it.
    ///
    /// # Errors
    /// That of the pass; `Internal` if the caller is making one.
    pub(crate) fn own(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut state = self.state.lock();
        while let Some(runner) = state.runner {
            self.wait_for(runner, &mut state)?;
        }
        self.start(state, run)
    }

    fn wait_for(&self, runner: ThreadId, state: &mut MutexGuard<'_, State<T>>) -> Result<()> {
        if runner == thread::current().id() {
            let message = "a pass asks for another one of its kind";
            return Err(Error::new(ErrorKind::Internal, message));
        }
        self.ended.wait(state);
        Ok(())
    }

    fn start(
        &self,
        mut state: MutexGuard<'_, State<T>>,
        run: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        state.runner = Some(thread::current().id());
        state.started += 1;
        drop(state);
        let panicked = "a pass panicked";
        let mut pass = Pass {
            passes: self,
            outcome: Err(Error::new(ErrorKind::Internal, panicked)),
        };
        pass.outcome = run();
        pass.outcome.clone()
    }
}

/// A running pass; its end is told when it goes out of scope, also by a panic.
struct Pass<'p, T: Clone> {
    passes: &'p Passes<T>,
    outcome: Result<T>,
}

impl<T: Clone> Drop for Pass<'_, T> {
    fn drop(&mut self) {
        let mut state = self.passes.state.lock();
        state.last = Some(Ended {
            number: state.started,
            outcome: self.outcome.clone(),
        });
        state.runner = None;
        drop(state);
        self.passes.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn those_who_ask_during_a_pass_share_the_next_one() {
        let passes = Passes::default();
        let (runs, asked) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let count = || {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        std::thread::scope(|scope| {
            let first = passes.share(|| {
                for _ in 0..20 {
                    scope.spawn(|| {
                        asked.fetch_add(1, Ordering::SeqCst);
                        passes.share(count).unwrap();
                    });
                }
                while asked.load(Ordering::SeqCst) < 20 {
                    std::thread::yield_now();
                }
                count()
            });
            first.unwrap();
        });
        // The first, the one shared, and one more for whoever was late at the lock.
        let runs = runs.load(Ordering::SeqCst);
        assert!((2..=3).contains(&runs), "{runs} passes for 21 requests");
    }

    #[test]
    fn those_who_join_take_the_pass_that_runs_or_make_one() {
        let passes = Passes::default();
        let (runs, joined) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let count = || {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        std::thread::scope(|scope| {
            let join = || {
                joined.fetch_add(1, Ordering::SeqCst);
                passes.join(count).unwrap();
            };
            let first = passes.join(|| {
                scope.spawn(join);
                // It stands in the pass's way, or will find it ended.
                while joined.load(Ordering::SeqCst) < 1 {
                    std::thread::yield_now();
                }
                count()
            });
            first.unwrap();
        });
        assert!((1..=2).contains(&runs.load(Ordering::SeqCst)));
        passes.join(count).unwrap();
        let outcome = passes.join(|| passes.join(|| Ok(())));
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Internal);
    }

    #[test]
    fn a_failure_and_a_panic_end_their_pass_only() {
        let passes = Passes::default();
        let failed = passes.share(|| Err(Error::new(ErrorKind::Database, "x")));
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Database);
        let broken = || passes.own(|| panic!("a pass breaks"));
        assert!(catch_unwind(AssertUnwindSafe(broken)).is_err());
        assert!(passes.share(|| Ok(())).is_ok());
    }

    #[test]
    fn a_pass_that_asks_for_another_is_an_error_and_no_deadlock() {
        let passes = Passes::default();
        let outcome = passes.share(|| passes.share(|| Ok(())));
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Internal);
        let outcome = passes.own(|| passes.own(|| Ok(())));
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Internal);
    }
}
