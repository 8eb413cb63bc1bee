//! A window of time that slides: counts since the start are marked now and then, and what happened in
//! the window is the difference to the mark at its beginning.

use std::collections::VecDeque;
use std::time::Duration;

use super::metrics::{Gauges, Metrics, milliseconds, percent};
use crate::kv::histogram::Latencies;

/// Marks to a window: so much longer than asked for it may be, at most.
const MARKS: u32 = 12;

/// What was counted up to a moment. Gauges that were not read yet are none.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) at: Duration,
    pub(super) latencies: Latencies,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) evictions: Option<u64>,
    pub(super) expirations: Option<u64>,
}

/// Marks of the last window, the oldest first; never empty, and at most two more than [`MARKS`].
#[derive(Debug)]
pub(super) struct Window {
    length: Duration,
    marks: VecDeque<Mark>,
}

impl Window {
    pub(super) fn new(length: Duration, start: Mark) -> Self {
        Window {
            length,
            marks: VecDeque::from([start]),
        }
    }

    /// Passes on to this moment; returns what was measured in the window that ends here.
    pub(super) fn pass(&mut self, now: Mark, gauges: &Gauges) -> Metrics {
        let begins = now.at.saturating_sub(self.length);
        // The newest one that is not within the window stays: the window begins there.
        while self.marks.get(1).is_some_and(|second| second.at <= begins) {
            self.marks.pop_front();
        }
        let metrics = between(&self.marks[0], &now, gauges);
        let last = self.marks.back().map_or(Duration::ZERO, |mark| mark.at);
        if now.at.saturating_sub(last) >= self.length / MARKS {
            self.marks.push_back(now);
        }
        metrics
    }
}

fn between(then: &Mark, now: &Mark, gauges: &Gauges) -> Metrics {
    let latencies = now.latencies.since(&then.latencies);
    let (hits, misses) = (now.hits - then.hits, now.misses - then.misses);
    let requests = hits + misses;
    // A cache that was made anew counts from 0 again.
    let since = |now: Option<u64>, then: Option<u64>| {
        let now = now.unwrap_or(0);
        now.checked_sub(then.unwrap_or(0)).unwrap_or(now)
    };
    let evictions = since(now.evictions, then.evictions);
    let quantile = |share| latencies.quantile(share).map(milliseconds);
    let memory = gauges.memory_bytes.zip(gauges.max_memory_bytes);
    Metrics {
        window_seconds: now.at.saturating_sub(then.at).as_secs_f64(),
        requests,
        hits,
        misses,
        hit_percent: percent(hits, requests),
        average_ms: latencies.average().map(milliseconds),
        p50_ms: quantile(0.5),
        p95_ms: quantile(0.95),
        p99_ms: quantile(0.99),
        evictions,
        eviction_percent: percent(evictions, requests),
        expirations: since(now.expirations, then.expirations),
        memory_bytes: gauges.memory_bytes,
        max_memory_bytes: gauges.max_memory_bytes,
        memory_percent: memory.and_then(|(used, max)| percent(used, max)),
        waiters: gauges.waiters,
        split_brain: gauges.split_brain.clone(),
    }
}
