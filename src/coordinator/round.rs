//! A round of eviction: who gives room, in which order, how much, and when it is enough. What is
//! decided here is decided from values; whoever makes the round measures and calls.

use std::cmp::Reverse;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::pressure::Pressure;
use crate::cache::CacheUsage;
use crate::error::Result;
use crate::ratio::Ratio;

/// Pressure from outside leaves each cache this share of what it may hold.
const RESERVE: Ratio = Ratio::percent(10);

/// Why a round was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RoundCause {
    /// Memory was tight.
    Pressure,
    /// Somebody asked for it.
    Manual,
}

/// What a cache made of what it was asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CacheOutcome {
    /// Its name.
    pub cache: String,
    /// How many entries left, or why that failed: its own error, or `Coordinator` if it panicked.
    pub removed: Result<usize>,
}

/// What a round did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RoundReport {
    /// Why it was made.
    pub cause: RoundCause,
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it took.
    pub duration: Duration,
    /// The used share of the tightest limit before it; `None` if no limit was known.
    pub before: Option<f64>,
    /// The same after it.
    pub after: Option<f64>,
    /// What each cache gave, in the order in which they were asked. One that was not asked, because
    /// it was enough before its turn, is not among them.
    pub outcomes: Vec<CacheOutcome>,
    /// All that was measured before it, and after it.
    pub(super) measured: (Pressure, Pressure),
}

impl RoundReport {
    /// How many entries left, of all caches together.
    pub fn evicted(&self) -> usize {
        let removed = self.outcomes.iter().flat_map(|one| &one.removed);
        removed.fold(0, |sum, removed| sum.saturating_add(*removed))
    }

    /// Whether it made memory less tight. If the caches' own limit was exceeded, that one is asked: a
    /// tighter one that others fill says nothing of it.
    pub(super) fn has_helped(&self, own: bool) -> bool {
        let share = |pressure: &Pressure| match own {
            true => pressure.own.as_ref()?.share(),
            false => pressure.share(),
        };
        let (before, after) = &self.measured;
        let is_lower = match (share(before), share(after)) {
            (Some(before), Some(after)) => after < before,
            _ => false,
        };
        self.evicted() > 0 && is_lower
    }
}

/// The turns of a round: the largest in bytes first; then those that do not know their bytes, the one
/// with the most entries first. What ties goes by name.
pub(super) fn turns<T>(mut caches: Vec<(T, CacheUsage)>, name: impl Fn(&T) -> &str) -> Vec<T> {
    caches.sort_by(|(one, a), (other, b)| {
        let size = |usage: &CacheUsage| Reverse((usage.bytes, usage.entries));
        size(a)
            .cmp(&size(b))
            .then_with(|| name(one).cmp(name(other)))
    });
    caches.into_iter().map(|(cache, _)| cache).collect()
}

/// How many entries a cache gives up in a round: this share of them, rounded up, so at least one of a
/// cache that is not empty; but `spared` ones stay, whatever the share is.
pub(super) fn quota(entries: usize, share: Ratio, spared: usize) -> usize {
    let quota = usize::try_from(share.of(entries as u64)).unwrap_or(entries);
    quota.max(1).min(entries.saturating_sub(spared))
}

/// The entries that pressure from outside leaves a cache: as many as make up a tenth of its capacity,
/// by count or by bytes, whichever is reached first. A cache without limits has no capacity to hold a
/// part of.
pub(super) fn reserve(usage: &CacheUsage) -> usize {
    let entries = usage.entries as u64;
    let by_count = usage.capacity.map(|capacity| RESERVE.of(capacity as u64));
    let by_bytes = match (usage.bytes, usage.max_bytes) {
        (Some(bytes), Some(max_bytes)) if bytes > 0 => {
            let kept = u128::from(entries) * u128::from(RESERVE.of(max_bytes));
            let kept = kept.div_ceil(u128::from(bytes));
            Some(u64::try_from(kept).unwrap_or(u64::MAX))
        }
        _ => None,
    };
    let reserve = match (by_count, by_bytes) {
        (Some(count), Some(bytes)) => count.min(bytes),
        (one, other) => one.or(other).unwrap_or(0),
    };
    usize::try_from(reserve).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(entries: usize, capacity: Option<usize>) -> CacheUsage {
        CacheUsage {
            entries,
            capacity,
            ..CacheUsage::default()
        }
    }

    #[test]
    fn a_share_is_rounded_up_and_at_least_one() {
        let fifth = Ratio::percent(20);
        for (entries, quota_of) in [(0, 0), (1, 1), (4, 1), (5, 1), (6, 2), (35, 7), (1000, 200)] {
            assert_eq!(quota(entries, fifth, 0), quota_of, "{entries}");
        }
        assert_eq!(quota(1000, fifth, 900), 100);
        assert_eq!(quota(1000, fifth, 1000), 0);
        assert_eq!(quota(1000, fifth, 2000), 0);
        assert_eq!(quota(7, Ratio::percent(100), 0), 7);
    }

    #[test]
    fn the_largest_in_bytes_comes_first() {
        let sized = |bytes, entries| CacheUsage {
            bytes,
            ..usage(entries, None)
        };
        let caches = vec![
            ("many", sized(None, 1000)),
            ("few", sized(None, 10)),
            ("b", sized(Some(5), 1)),
            ("large", sized(Some(1 << 30), 1)),
            ("a", sized(Some(5), 1)),
        ];
        assert_eq!(
            turns(caches, |name| name),
            ["large", "a", "b", "many", "few"]
        );
    }

    #[test]
    fn a_tenth_of_the_capacity_is_reserved() {
        for (capacity, reserved) in [(1000, 100), (1001, 101), (10, 1), (4, 1), (0, 0)] {
            assert_eq!(reserve(&usage(500, Some(capacity))), reserved, "{capacity}");
        }
        assert_eq!(reserve(&usage(500, None)), 0);
        // 500 entries of 2 KB each: 100 KB are a tenth of a megabyte.
        let by_bytes = CacheUsage {
            bytes: Some(1_000_000),
            max_bytes: Some(1_000_000),
            ..usage(500, None)
        };
        assert_eq!(reserve(&by_bytes), 50);
        // A cache that its bytes fill long before its count does.
        let both = CacheUsage {
            capacity: Some(10_000),
            ..by_bytes
        };
        assert_eq!(reserve(&both), 50);
    }
}
