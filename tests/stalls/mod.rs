//! What a busy machine adds to a time that is measured. A promise such as "within a second" is about the
//! product on a machine that has room for it; where other programs have the processors, each of its threads
//! waits for its turn. A thread of the test that wants to work each millisecond tells how long that takes:
//! what it waits longer is taken off. On a machine that is free, nothing is. Used by `#[path]`.

#![allow(dead_code, reason = "each program of tests uses a part of it")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How often it wants to work.
const EVERY: Duration = Duration::from_millis(1);
/// Lateness up to this is the timer's.
const USUAL: Duration = Duration::from_micros(500);

/// Watches the machine as long as it lives.
pub(crate) struct Stalls {
    spans: Arc<Mutex<Vec<(Instant, Instant)>>>,
    is_over: Arc<AtomicBool>,
}

impl Stalls {
    pub(crate) fn watch() -> Self {
        let stalls = Stalls {
            spans: Arc::default(),
            is_over: Arc::default(),
        };
        let (spans, is_over) = (Arc::clone(&stalls.spans), Arc::clone(&stalls.is_over));
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let wanted = Instant::now() + EVERY;
                // A wake-up without a reason is no stall.
                thread::park_timeout(EVERY);
                let came = Instant::now();
                if came > wanted + USUAL {
                    spans.lock().unwrap().push((wanted, came));
                }
            }
        });
        stalls
    }

    /// How long the machine stalled between these.
    pub(crate) fn between(&self, begin: Instant, end: Instant) -> Duration {
        let spans = self.spans.lock().unwrap();
        let inside = spans.iter().rev();
        let inside = inside.take_while(|(_, came)| *came > begin);
        inside
            .map(|(wanted, came)| {
                (*came)
                    .min(end)
                    .saturating_duration_since((*wanted).max(begin))
            })
            .sum()
    }

    /// What has passed since then, without the stalls.
    pub(crate) fn since(&self, begin: Instant) -> Duration {
        let end = Instant::now();
        (end - begin).saturating_sub(self.between(begin, end))
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
