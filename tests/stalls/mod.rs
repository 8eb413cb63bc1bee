//! What a busy machine adds to a time that is measured. A promise such as "within a second" is about the
//! product on a machine that has room for it; where other programs have the processors, each of its threads
//! waits for its turn. A thread of the test that wants to work each millisecond tells how long that takes:
//! what it waits longer is taken off, but never more than half of the time, since the product's own work may
//! be what it waits for. So nothing passes that took twice its bound, unless the machine stood still: no
//! work of the product keeps a thread from its turn for as long as `FROZEN`. On a machine that is free,
//! nothing is taken off. Used by `#[path]`.

#![allow(dead_code, reason = "each program of tests uses a part of it")]

use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How often it wants to work.
const EVERY: Duration = Duration::from_millis(1);
/// Lateness up to this is the timer's.
const USUAL: Duration = Duration::from_micros(500);
/// A single stall that is longer than this is all taken off.
const FROZEN: Duration = Duration::from_millis(500);
/// How long the thread that watches may be waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Watches the machine as long as it lives.
pub(crate) struct Stalls {
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    spans: Mutex<Spans>,
    grew: Condvar,
}

/// Each stall, from when the thread wanted to work to when it could.
#[derive(Default)]
struct Spans {
    stalls: Vec<(Instant, Instant)>,
    /// Up to here, all are known.
    until: Option<Instant>,
}

impl Stalls {
    pub(crate) fn watch() -> Self {
        let (seen, begin) = (Arc::new(Seen::default()), Instant::now());
        let watched = Arc::downgrade(&seen);
        thread::spawn(move || look(&watched, begin));
        Stalls { seen }
    }

    /// What has passed since then, without the stalls.
    pub(crate) fn since(&self, begin: Instant) -> Duration {
        let end = Instant::now();
        // One that goes on is known when it is over.
        let spans = self.seen.spans.lock().unwrap();
        let is_behind = |spans: &mut Spans| spans.until.is_none_or(|until| until < end);
        let waited = self
            .seen
            .grew
            .wait_timeout_while(spans, PATIENCE, is_behind);
        let (spans, waited) = waited.unwrap();
        assert!(!waited.timed_out(), "nobody watches the machine");
        without(&spans.stalls, begin, end)
    }
}

/// Watches until nobody wants to know any more. Its rounds leave no gap: each begins where the last one ended.
fn look(seen: &Weak<Seen>, begin: Instant) {
    let mut last = begin;
    loop {
        // A wake-up without a reason is no stall.
        thread::park_timeout(EVERY);
        let Some(seen) = seen.upgrade() else {
            return;
        };
        let (wanted, came) = (last + EVERY, Instant::now());
        {
            let mut spans = seen.spans.lock().unwrap();
            if came > wanted + USUAL {
                spans.stalls.push((wanted, came));
            }
            spans.until = Some(came);
        }
        seen.grew.notify_all();
        last = came;
    }
}

/// The time between these without what the machine stood still, and without the other stalls, which are no
/// more than half of what is left.
fn without(stalls: &[(Instant, Instant)], begin: Instant, end: Instant) -> Duration {
    let inside = |(wanted, came): &(Instant, Instant)| {
        (*came)
            .min(end)
            .saturating_duration_since((*wanted).max(begin))
    };
    let (frozen, short): (Vec<Duration>, Vec<Duration>) =
        stalls.iter().map(inside).partition(|stall| *stall > FROZEN);
    let thawed = (end - begin).saturating_sub(frozen.iter().sum());
    thawed - short.iter().sum::<Duration>().min(thawed / 2)
}

#[test]
fn half_of_a_time_counts_whatever_stalled_unless_the_machine_stood_still() {
    let begin = Instant::now();
    let at = |millis| begin + Duration::from_millis(millis);
    let counted = |stalls: &[(u64, u64)], end| {
        let stalls: Vec<_> = stalls.iter().map(|(a, b)| (at(*a), at(*b))).collect();
        without(&stalls, at(1_000), at(end)).as_millis()
    };
    assert_eq!(counted(&[], 2_000), 1_000);
    assert_eq!(counted(&[(0, 900), (1_500, 1_600)], 2_000), 900);
    assert_eq!(counted(&[(900, 1_100), (1_900, 2_300)], 2_000), 800);
    let busy: Vec<_> = (0..40).map(|n| (n * 100 + 1, n * 100 + 100)).collect();
    assert_eq!(counted(&busy, 4_000), 1_500);
    assert_eq!(counted(&[(1_100, 3_100)], 4_000), 1_000);
    assert_eq!(counted(&[(1_100, 3_100), (3_100, 3_600)], 4_000), 500);
}

#[test]
fn a_stall_that_goes_on_is_waited_for() {
    let stalls = Stalls::watch();
    let begin = Instant::now();
    let took = stalls.since(begin);
    let until = stalls.seen.spans.lock().unwrap().until.unwrap();
    assert!(until >= begin + took);
}
