//! Exact least-recently-used order without a list. A hit takes its tick from one global counter and
//! stores it: one word, nothing is relinked. Order is put in place when a victim is needed, for the
//! oldest entries only.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::marks::MarkTable;
use super::{EvictionPolicy, Id};

/// The tick of an id that does not live: later than every other, so it is never selected.
const VACANT: u64 = u64::MAX;
/// A selection takes about this share of the entries: one part in so many.
const SHARE: usize = 8;
/// How many ticks are looked at to find out where the oldest share ends.
const SAMPLE: usize = 512;

/// When each entry was last used.
#[derive(Debug, Default)]
pub(crate) struct Recency {
    clock: AtomicU64,
    ticks: MarkTable<Tick>,
}

#[derive(Debug)]
struct Tick(AtomicU64);

impl Default for Tick {
    fn default() -> Self {
        Tick(AtomicU64::new(VACANT))
    }
}

impl Recency {
    #[inline]
    pub(crate) fn accessed(&self, id: Id) {
        if let Some(tick) = self.ticks.get(id) {
            tick.0.store(self.clock.fetch_add(1, Relaxed), Relaxed);
        }
    }

    /// One step of the clock for all: the ids take their ticks in order.
    pub(crate) fn accessed_all(&self, ids: &[Id]) {
        let first = self.clock.fetch_add(ids.len() as u64, Relaxed);
        for (id, tick) in ids.iter().zip(first..) {
            if let Some(mark) = self.ticks.get(*id) {
                mark.0.store(tick, Relaxed);
            }
        }
    }

    fn tick(&self, id: Id) -> u64 {
        self.ticks
            .get(id)
            .map_or(VACANT, |tick| tick.0.load(Relaxed))
    }
}

/// The ordered part: the oldest entries, as they were when they were selected.
///
/// Ticks only grow and are given out once. So an entry whose tick is unchanged is still older than
/// every entry outside the selection, and one whose tick has changed is younger than all inside.
#[derive(Debug, Default)]
pub(crate) struct Lru {
    marks: Arc<Recency>,
    /// The oldest last.
    oldest: Vec<(u64, Id)>,
    /// Ids ever given out.
    ids: usize,
    len: usize,
}

impl Lru {
    pub(crate) fn marks(&self) -> Arc<Recency> {
        Arc::clone(&self.marks)
    }

    /// Selects the oldest entries: all below a tick that a sample puts near the oldest share. Any
    /// such tick gives the exact order; a bad one only costs another selection.
    ///
    /// The scan reads each tick once, in storage order, and pays for the share it selects: a
    /// constant number of words for each later victim.
    fn select(&mut self) {
        let limit = self.sampled_limit();
        let ticks = self.marks.ticks.iter().take(self.ids);
        let found = ticks.zip(0..).map(|(tick, id)| (tick.0.load(Relaxed), id));
        self.oldest.extend(found.filter(|(tick, _)| *tick <= limit));
        // No two ticks are equal.
        self.oldest.sort_unstable_by_key(|(tick, _)| Reverse(*tick));
    }

    fn sampled_limit(&self) -> u64 {
        let step = self.ids.div_ceil(SAMPLE).max(1);
        let ids = (0..self.ids).step_by(step).map(|id| id as Id);
        let mut sample: Vec<u64> = ids
            .map(|id| self.marks.tick(id))
            .filter(|t| *t != VACANT)
            .collect();
        match sample.len() / SHARE {
            0 => VACANT - 1,
            nth => *sample.select_nth_unstable(nth).1,
        }
    }
}

impl EvictionPolicy for Lru {
    fn inserted(&mut self, id: Id, _fingerprint: u64) {
        let now = self.marks.clock.fetch_add(1, Relaxed);
        self.marks.ticks.grow(id).0.store(now, Relaxed);
        self.ids = self.ids.max(id as usize + 1);
        self.len += 1;
    }

    fn removed(&mut self, id: Id) {
        self.marks.ticks.grow(id).0.store(VACANT, Relaxed);
        self.len -= 1;
    }

    fn victim(&mut self, spared: Option<Id>) -> Option<Id> {
        if self.len <= usize::from(spared.is_some()) {
            return None;
        }
        let mut kept = None;
        let victim = loop {
            let Some((tick, id)) = self.oldest.pop() else {
                self.select();
                continue;
            };
            if self.marks.tick(id) != tick {
                continue;
            }
            if spared == Some(id) {
                kept = Some((tick, id));
                continue;
            }
            break id;
        };
        self.oldest.extend(kept);
        Some(victim)
    }

    fn clear(&mut self) {
        for tick in self.marks.ticks.iter().take(self.ids) {
            tick.0.store(VACANT, Relaxed);
        }
        self.oldest.clear();
        self.ids = 0;
        self.len = 0;
    }

    fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eviction::{dump, evict};

    #[test]
    fn the_least_recent_leaves_first() {
        let mut lru = Lru::default();
        let marks = lru.marks();
        for id in 0..6 {
            lru.inserted(id, 0);
        }
        marks.accessed(0);
        marks.accessed(2);
        assert_eq!(evict(&mut lru, None), Some(1));
        // 3 was selected with 1 and is younger now.
        marks.accessed(3);
        lru.removed(5);
        lru.inserted(1, 0);
        assert_eq!(dump(&mut lru), [4, 0, 2, 3, 1]);
    }

    #[test]
    fn the_spared_keeps_its_place() {
        let mut lru = Lru::default();
        (0..3).for_each(|id| lru.inserted(id, 0));
        assert_eq!(evict(&mut lru, Some(0)), Some(1));
        assert_eq!(evict(&mut lru, None), Some(0));
        assert_eq!(evict(&mut lru, Some(2)), None);
        assert_eq!(dump(&mut lru), [2]);
    }

    #[test]
    fn a_mark_on_a_victim_that_is_about_to_go_leaves_no_ghost() {
        let mut lru = Lru::default();
        (0..2).for_each(|id| lru.inserted(id, 0));
        let victim = lru.victim(None).unwrap();
        lru.marks.accessed(victim);
        lru.removed(victim);
        assert_eq!(dump(&mut lru), [1]);
    }
}
