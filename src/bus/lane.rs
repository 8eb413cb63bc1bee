//! A lane of delivery: a bounded queue, and a thread that does what is in it. What is slow in one lane
//! holds up nobody in another.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::event::Invalidation;
use super::queue::{Counts, Queue};
use crate::error::Result;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::primitives::{Condvar, Mutex};
use crate::worker::Worker;

/// So many are taken at a time: a stop is seen between them.
const TOGETHER: usize = 64;

/// A queue with its thread.
pub(super) struct Lane {
    shared: Arc<Shared>,
    worker: Worker,
}

struct Shared {
    state: Mutex<State>,
    delivered: Condvar,
}

struct State {
    queue: Queue,
    /// How many were put, and how many of these are done with.
    put: u64,
    done: u64,
}

impl Lane {
    /// A lane whose thread calls `deliver` for each, one after the other.
    ///
    /// # Errors
    /// `Io` if the thread cannot be started.
    pub(super) fn new(
        name: &str,
        capacity: usize,
        mut deliver: impl FnMut(&Invalidation) + Send + 'static,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: Queue::new(capacity),
                put: 0,
                done: 0,
            }),
            delivered: Condvar::default(),
        });
        let theirs = Arc::clone(&shared);
        let round = move |stop: &AtomicBool| {
            loop {
                let (taken, put) = {
                    let mut state = theirs.state.lock();
                    (state.queue.take(TOGETHER), state.put)
                };
                if taken.is_empty() {
                    theirs.state.lock().done = put;
                    theirs.delivered.notify_all();
                    return None;
                }
                taken.iter().for_each(&mut deliver);
                if stop.load(Ordering::Relaxed) {
                    return None;
                }
            }
        };
        Ok(Lane {
            shared,
            worker: Worker::spawn(name, round)?,
        })
    }

    /// Puts it into the queue. Never waits.
    pub(super) fn push(&self, invalidation: Invalidation) {
        let mut state = self.shared.state.lock();
        state.put += 1;
        state.queue.push(invalidation);
        drop(state);
        self.worker.ring();
    }

    /// Waits until what was put before is done with; false if that takes longer.
    pub(super) fn settle(&self, within: Duration) -> bool {
        let mut state = self.shared.state.lock();
        let put = state.put;
        let is_behind = |state: &mut State| state.done < put;
        self.shared
            .delivered
            .wait_while_for(&mut state, is_behind, within);
        state.done >= put
    }

    pub(super) fn counts(&self) -> Counts {
        self.shared.state.lock().queue.counts
    }

    pub(super) fn waiting(&self) -> usize {
        self.shared.state.lock().queue.len()
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
