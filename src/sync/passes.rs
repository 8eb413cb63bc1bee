//! Who makes the next pass. There is one pass at a time; a request joins only a pass that starts
//! after it was made, and all who wait for the same pass share its outcome.

use super::{SyncMode, SyncReport};
use crate::error::{Error, ErrorKind, Result};
use crate::primitives::{Condvar, Mutex};

/// The passes of one synchronizer, by number.
#[derive(Debug, Default)]
pub(super) struct Passes {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the last pass that started; the first is 1.
    started: u64,
    running: bool,
    /// Somebody waits for the next pass to be a full one.
    full_wanted: bool,
    last: Option<Ended>,
    last_full: Option<Ended>,
}

#[derive(Clone, Debug)]
struct Ended {
    number: u64,
    outcome: Result<SyncReport>,
}

impl Passes {
    /// The outcome of a pass of this mode that started after the call. The caller makes it with
    /// `run`, which is told the mode, unless somebody else does. A full pass serves everybody.
    ///
    /// The wait is bounded by two passes: the one that is running, and the next.
    ///
    /// # Errors
    /// That of the pass; `Internal` if whoever made it panicked.
    pub(super) fn request(
        &self,
        mode: SyncMode,
        run: impl FnOnce(SyncMode) -> Result<SyncReport>,
    ) -> Result<SyncReport> {
        let mut state = self.state.lock();
        let ticket = state.started + 1;
        state.full_wanted |= mode == SyncMode::Full;
        loop {
            let ended = match mode {
                SyncMode::Full => &state.last_full,
                SyncMode::Incremental => &state.last,
            };
            if let Some(ended) = ended.as_ref().filter(|ended| ended.number >= ticket) {
                return ended.outcome.clone();
            }
            if !state.running {
                break;
            }
            self.ended.wait(&mut state);
        }
        state.running = true;
        state.started += 1;
        let mode = match std::mem::take(&mut state.full_wanted) {
            true => SyncMode::Full,
            false => SyncMode::Incremental,
        };
        let mut pass = Pass {
            passes: self,
            mode,
            outcome: Err(Error::new(
                ErrorKind::Internal,
                "a synchronisation pass panicked",
            )),
        };
        drop(state);
        pass.outcome = run(mode);
        pass.outcome.clone()
    }
}

/// A running pass; its end is told when it goes out of scope, also by a panic.
struct Pass<'p> {
    passes: &'p Passes,
    mode: SyncMode,
    outcome: Result<SyncReport>,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.passes.state.lock();
        let ended = Ended {
            number: state.started,
            outcome: self.outcome.clone(),
        };
        if self.mode == SyncMode::Full {
            state.last_full = Some(ended.clone());
        }
        state.last = Some(ended);
        state.running = false;
        drop(state);
        self.passes.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::position::Position;

    fn report(mode: SyncMode) -> SyncReport {
        SyncReport {
            mode,
            from: Position::default(),
            to: Position::default(),
            files: 0,
            deleted: 0,
            skipped: Vec::new(),
            skipped_total: 0,
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn those_who_ask_during_a_pass_share_the_next_one() {
        let passes = Passes::default();
        let (runs, asked) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let count = |mode| {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok(report(mode))
        };
        std::thread::scope(|scope| {
            let first = passes.request(SyncMode::Incremental, |mode| {
                for _ in 0..20 {
                    scope.spawn(|| {
                        // Under the lock of the passes, so that all ask during this pass.
                        asked.fetch_add(1, Ordering::SeqCst);
                        passes.request(SyncMode::Incremental, count).unwrap();
                    });
                }
                while asked.load(Ordering::SeqCst) < 20 {
                    std::thread::yield_now();
                }
                count(mode)
            });
            assert_eq!(first.unwrap().mode, SyncMode::Incremental);
        });
        // The first, the one shared, and one more for whoever was late at the lock.
        let runs = runs.load(Ordering::SeqCst);
        assert!((2..=3).contains(&runs), "{runs} passes for 21 requests");
    }

    #[test]
    fn a_full_pass_serves_everybody_and_nothing_less_serves_who_wants_it() {
        let passes = Passes::default();
        let run = |mode| passes.request(mode, |mode| Ok(report(mode))).unwrap().mode;
        assert_eq!(run(SyncMode::Incremental), SyncMode::Incremental);
        assert_eq!(run(SyncMode::Full), SyncMode::Full);
        assert_eq!(run(SyncMode::Incremental), SyncMode::Incremental);
    }

    #[test]
    fn a_failure_and_a_panic_end_their_pass_only() {
        let passes = Passes::default();
        let failed = passes.request(SyncMode::Full, |_| {
            Err(Error::new(ErrorKind::Database, "x"))
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Database);
        let broken = || passes.request(SyncMode::Full, |_| panic!("a pass breaks"));
        assert!(catch_unwind(AssertUnwindSafe(broken)).is_err());
        let next = passes.request(SyncMode::Incremental, |mode| Ok(report(mode)));
        assert_eq!(next.unwrap().mode, SyncMode::Incremental);
    }
}
