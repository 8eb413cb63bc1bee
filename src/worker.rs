//! `Worker`: one background thread that works when a bell is rung, and stops promptly. Rings that
//! come while it works are one more round, not many.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::primitives::thread::{self, JoinHandle};
use crate::primitives::{Condvar, Mutex};

/// How long the end of a thread is waited for. A round that is held up by a database for longer ends
/// by itself afterwards, and is the last one.
const STOP_WAIT: Duration = Duration::from_millis(750);

/// The rest after a panic in a round that was rung for: nobody may ring again.
const AFTER_PANIC: Option<Duration> = Some(Duration::from_secs(1));

/// A thread with a doorbell. Dropping it sets the stop flag, rings, and waits for the round in
/// progress, which looks at the flag as often as it can; at most for three quarters of a second.
#[derive(Debug)]
pub(crate) struct Worker {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    ringing: Condvar,
    stop: AtomicBool,
    ended: Mutex<bool>,
    ending: Condvar,
}

impl Worker {
    /// Starts a thread that calls `round` after each ring, and again after the time that `round`
    /// returns. A panic in a round is logged and ends that round only: the next one comes as if it had
    /// not been.
    pub(crate) fn spawn(
        name: &str,
        mut round: impl FnMut(&AtomicBool) -> Option<Duration> + Send + 'static,
    ) -> Result<Worker> {
        let bell = Arc::new(Bell::default());
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn({
                let bell = Arc::clone(&bell);
                move || {
                    let mut again = None;
                    let _ended = Ended(&bell);
                    while bell.wait(again) {
                        again = catch_unwind(AssertUnwindSafe(|| round(&bell.stop)))
                            .inspect_err(|_| tracing::error!("a background round panicked"))
                            .unwrap_or(again.or(AFTER_PANIC));
                    }
                }
            })
            .map_err(|cause| {
                Error::new(ErrorKind::Io, format!("cannot start the thread `{name}`"))
                    .because(cause)
            })?;
        Ok(Worker {
            bell,
            thread: Some(thread),
        })
    }

    /// Asks for a round. Never blocks on the work.
    pub(crate) fn ring(&self) {
        self.bell.ring();
    }

    /// The same for another thread, which may outlive the worker: then it does nothing.
    #[cfg(feature = "watch")]
    pub(crate) fn ringer(&self) -> impl Fn() + Send + 'static {
        let bell = Arc::clone(&self.bell);
        move || bell.ring()
    }

    /// Tells it to stop, and does not wait for that: whoever drops it does.
    #[cfg(feature = "redis")]
    pub(crate) fn stop(&self) {
        self.bell.stop.store(true, Ordering::Relaxed);
        self.ring();
    }
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock() = true;
        self.ringing.notify_one();
    }

    /// Waits for a ring, or for `again` to pass; false when it is time to stop.
    fn wait(&self, again: Option<Duration>) -> bool {
        let mut rung = self.rung.lock();
        match again {
            Some(time) => {
                self.ringing.wait_while_for(&mut rung, |rung| !*rung, time);
            }
            None => self.ringing.wait_while(&mut rung, |rung| !*rung),
        }
        *rung = false;
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Tells that the thread has ended, also by a panic.
struct Ended<'b>(&'b Bell);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        *self.0.ended.lock() = true;
        self.0.ending.notify_all();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.bell.stop.store(true, Ordering::Relaxed);
        self.ring();
        if let Some(handle) = self.thread.take()
            && handle.thread().id() != thread::current().id()
        {
            let mut ended = self.bell.ended.lock();
            self.bell
                .ending
                .wait_while_for(&mut ended, |ended| !*ended, STOP_WAIT);
            if *ended {
                drop(ended);
                // A panic was logged where it happened.
                let _ = handle.join();
            } else {
                tracing::warn!("a background thread is held up; it ends when it is let go");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    #[test]
    fn works_when_rung_survives_a_panic_and_stops_when_dropped() {
        let (told, hears) = mpsc::channel();
        let mut round = 0;
        let worker = Worker::spawn("test", move |_| {
            round += 1;
            told.send(round).unwrap();
            assert_ne!(round, 1, "the first round panics");
            None
        })
        .unwrap();
        for expected in 1..=3 {
            worker.ring();
            assert_eq!(hears.recv_timeout(DEADLINE).unwrap(), expected);
        }
        drop(worker);
        assert!(
            hears.recv_timeout(DEADLINE).is_err(),
            "the thread has ended"
        );
    }

    #[test]
    fn comes_back_after_a_panic_as_if_that_had_not_been() {
        let (told, hears) = mpsc::channel();
        let mut round = 0;
        let worker = Worker::spawn("test", move |_| {
            round += 1;
            assert_ne!(round, 2, "the second round panics");
            told.send(round).ok().map(|()| Duration::from_millis(1))
        })
        .unwrap();
        worker.ring();
        for expected in [1, 3, 4] {
            assert_eq!(hears.recv_timeout(DEADLINE).unwrap(), expected);
        }
    }

    #[test]
    fn comes_back_after_the_time_it_asked_for() {
        let (told, hears) = mpsc::channel();
        let worker = Worker::spawn("test", move |_| {
            told.send(()).ok().map(|()| Duration::from_millis(1))
        })
        .unwrap();
        worker.ring();
        for _ in 0..3 {
            hears.recv_timeout(DEADLINE).unwrap();
        }
    }
}
