//! Latencies, counted in buckets whose width grows with them: 32 to each doubling, so that a quantile is
//! within 2 % of the sample that it stands for, whatever its size. To count is one relaxed addition.
//!
//! G. Tene's HdrHistogram has the layout.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets to a doubling: 2^5.
const BITS: u32 = 5;
const SUB: u64 = 1 << BITS;
/// Latencies of 2^40 ns, 18 minutes, and more are counted as that.
const TOP: u32 = 40;
const BUCKETS: usize = ((TOP - BITS + 1) as usize) << BITS;

/// Counts of latencies since the start. Any thread may record and read at any time.
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum_ns: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Counts one latency.
    pub fn record(&self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let ns = ns.min((1 << TOP) - 1);
        self.buckets[bucket(ns)].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// What was counted so far. Latencies that are recorded at this moment are in it or not.
    pub fn snapshot(&self) -> Latencies {
        let load = |bucket: &AtomicU64| bucket.load(Ordering::Relaxed);
        let counts: Box<[u64]> = self.buckets.iter().map(load).collect();
        Latencies {
            count: counts.iter().sum(),
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
            counts,
        }
    }
}

/// The bucket of a latency: itself below 32 ns, then the five bits below its highest one.
fn bucket(ns: u64) -> usize {
    if ns < SUB {
        return ns as usize;
    }
    let doubling = ns.ilog2() - BITS;
    (u64::from(doubling + 1) * SUB + ((ns >> doubling) - SUB)) as usize
}

/// The middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SUB {
        return bucket;
    }
    let doubling = bucket / SUB - 1;
    ((bucket % SUB + SUB) << doubling) + ((1 << doubling) >> 1)
}

/// Latencies that were counted in some time.
#[derive(Clone, PartialEq, Eq)]
pub struct Latencies {
    counts: Box<[u64]>,
    count: u64,
    sum_ns: u64,
}

impl Latencies {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their average; `None` if there are none.
    pub fn average(&self) -> Option<Duration> {
        let average = self.sum_ns.checked_div(self.count)?;
        Some(Duration::from_nanos(average))
    }

    /// The latency that this share of them, 0.0 to 1.0, does not exceed, within 2 %; `None` if there
    /// are none.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        let rank = (self.count as f64 * share.clamp(0.0, 1.0)).ceil() as u64;
        let rank = rank.clamp(1, self.count);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        at.map(|at| Duration::from_nanos(middle(at)))
    }

    /// Those that were counted since that earlier snapshot of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Latencies) -> Latencies {
        let pairs = self.counts.iter().zip(&earlier.counts);
        let counts: Box<[u64]> = pairs.map(|(now, then)| now.saturating_sub(*then)).collect();
        Latencies {
            count: counts.iter().sum(),
            sum_ns: self.sum_ns.wrapping_sub(earlier.sum_ns),
            counts,
        }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latencies")
            .field("count", &self.count)
            .field("average", &self.average())
            .field("p95", &self.quantile(0.95))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut last = 0;
        for ns in 0..100_000_u64 {
            let at = bucket(ns);
            assert!(at == last || at == last + 1, "{ns}");
            last = at;
        }
        assert_eq!(bucket((1 << TOP) - 1), BUCKETS - 1);
        for at in 0..BUCKETS {
            assert_eq!(bucket(middle(at)), at);
        }
    }

    proptest! {
        #[test]
        fn quantiles_are_within_two_percent_of_the_sample(
            mut samples in prop::collection::vec((0..36_u32, 0..1_000_000_u64), 1..500),
        ) {
            let histogram = Histogram::default();
            let mut sorted: Vec<u64> = samples.drain(..).map(|(bits, low)| (1 << bits) + low % (1 << bits)).collect();
            sorted.iter().for_each(|ns| histogram.record(Duration::from_nanos(*ns)));
            sorted.sort_unstable();
            let latencies = histogram.snapshot();
            prop_assert_eq!(latencies.count(), sorted.len() as u64);
            for share in [0.0, 0.5, 0.95, 0.99, 1.0] {
                let rank = (sorted.len() as f64 * share).ceil().max(1.0) as usize;
                let (exact, told) = (sorted[rank - 1], latencies.quantile(share).unwrap());
                let off = told.as_nanos().abs_diff(u128::from(exact));
                prop_assert!(off * 50 <= u128::from(exact).max(50), "{}: {:?} for {}", share, told, exact);
            }
            let average = sorted.iter().sum::<u64>() / sorted.len() as u64;
            prop_assert_eq!(latencies.average(), Some(Duration::from_nanos(average)));
        }
    }

    #[test]
    fn a_window_is_the_difference_of_two_snapshots() {
        let histogram = Histogram::default();
        (0..100).for_each(|_| histogram.record(Duration::from_secs(1)));
        let before = histogram.snapshot();
        (0..10).for_each(|_| histogram.record(Duration::from_micros(1)));
        let window = histogram.snapshot().since(&before);
        assert_eq!(window.count(), 10);
        assert!(window.quantile(0.99).unwrap() < Duration::from_micros(2));
        assert_eq!(window.average(), Some(Duration::from_micros(1)));
        assert_eq!(before.since(&before).quantile(0.5), None);
        assert_eq!(before.since(&before).average(), None);
    }

    #[test]
    fn no_latency_is_lost_however_long_and_whoever_records() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|n| histogram.record(Duration::from_nanos(n))));
            }
        });
        histogram.record(Duration::MAX);
        let latencies = histogram.snapshot();
        assert_eq!(latencies.count(), 40_001);
        assert!(latencies.quantile(1.0).unwrap() > Duration::from_secs(1000));
    }
}
