//! Exact least-recently-used order without a list. A hit takes its tick from one global counter and
//! stores it: one word, nothing is relinked. Order is put in place when a victim is needed, for the
//! oldest entries only.

use crate::primitives::atomic::{AtomicU64, Ordering::Relaxed};
use std::cmp::Reverse;
use std::sync::Arc;

use super::marks::MarkTable;
use super::{EvictionPolicy, Id, Named};

/// The tick of an id that does not live: later than every other, so it is never selected.
const VACANT: u64 = u64::MAX;
/// A selection takes about this share: one entry in so many. A larger share is scanned for less
/// often, and more of it is used again before its turn comes.
const SHARE: usize = 6;
/// How many ticks are looked at to find out where the oldest share ends.
const SAMPLE: usize = 512;
/// More entries than this are not sorted at once: nobody waits for a sort of a large cache.
const SORTED: usize = 4096;

/// Ticks that are scanned together; chunks of marks are multiples of it.
const BLOCK: usize = 64;

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
    /// The oldest entries of all, sorted, the oldest last.
    oldest: Vec<(u64, Id)>,
    /// Those that come after them, in no order. All others are younger.
    old: Vec<(u64, Id)>,
    /// Ids ever given out.
    ids: usize,
    len: usize,
}

impl Lru {
    pub(crate) fn marks(&self) -> Arc<Recency> {
        Arc::clone(&self.marks)
    }

    /// Sorts the next of the oldest entries: all below a tick that a sample puts near the oldest
    /// share. Any such tick gives the exact order; a bad one only costs another selection.
    ///
    /// The scan of all ticks reads each once, in storage order, and pays for the share that it
    /// selects: a constant number of words for each later victim. So does that of the selected.
    fn select(&mut self) {
        if self.old.is_empty() {
            self.scan();
        }
        if self.old.len() <= SORTED {
            std::mem::swap(&mut self.old, &mut self.oldest);
        } else {
            let ticks = self.old.iter().map(|(tick, _)| *tick);
            let limit = oldest_share(ticks.step_by(self.old.len() / SAMPLE));
            let (marks, oldest) = (&self.marks, &mut self.oldest);
            self.old.retain(|&(tick, id)| {
                let next = tick <= limit;
                if next && marks.tick(id) == tick {
                    oldest.push((tick, id));
                }
                !next
            });
        }
        // No two ticks are equal.
        self.oldest.sort_unstable_by_key(|(tick, _)| Reverse(*tick));
    }

    fn scan(&mut self) {
        let step = (self.ids / SAMPLE).max(1);
        let sample = (0..self.ids).step_by(step);
        let limit = oldest_share(sample.map(|id| self.marks.tick(id as Id)));
        let (mut found, mut id) = (0, 0);
        for block in self.marks.ticks.blocks::<BLOCK>() {
            if id as usize >= self.ids {
                break;
            }
            self.old.resize(found + BLOCK, (0, 0));
            // Which entry is old is anybody's guess, the processor's too: so each is written down,
            // and the next one over it if it was not.
            if let Some(room) = self.old.last_chunk_mut::<BLOCK>() {
                let mut n = 0;
                for tick in block {
                    let tick = tick.0.load(Relaxed);
                    room[n % BLOCK] = (tick, id);
                    n += usize::from(tick <= limit);
                    id += 1;
                }
                found += n;
            }
        }
        self.old.truncate(found);
    }
}

/// The tick at the end of the oldest share of a sample, or the last there is.
fn oldest_share(sample: impl Iterator<Item = u64>) -> u64 {
    let mut sample: Vec<u64> = sample.filter(|tick| *tick != VACANT).collect();
    match sample.len() / SHARE {
        0 => VACANT - 1,
        nth => *sample.select_nth_unstable(nth).1,
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

    fn victims(&mut self, most: usize, spared: Option<Id>, named: &mut Named) {
        named.extend(self.victim(spared));
        // Only those that are sorted already: a selection would find the named ones again.
        while named.len() < most
            && let Some((tick, id)) = self.oldest.pop()
        {
            if spared == Some(id) {
                self.oldest.push((tick, id));
                break;
            }
            if self.marks.tick(id) == tick {
                named.push(id);
            }
        }
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
        self.old.clear();
        self.ids = 0;
        self.len = 0;
    }

    fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
    fn a_large_cache_keeps_the_exact_order() {
        let mut lru = Lru::default();
        let mut random = fastrand::Rng::with_seed(1);
        let mut used: Vec<u64> = (0..100_000).collect();
        (0..100_000).for_each(|id| lru.inserted(id, 0));
        let mut order: BTreeMap<u64, Id> = (0..100_000).map(|id| (id.into(), id)).collect();
        for now in 100_000..300_000 {
            let id = random.u32(..100_000);
            if order.remove(&used[id as usize]).is_some() {
                lru.marks.accessed(id);
                used[id as usize] = now;
                order.insert(now, id);
            }
            if now > 200_000 {
                let victim = order.pop_first().map(|(_, id)| id);
                assert_eq!(evict(&mut lru, None), victim);
            }
        }
    }

    #[test]
    fn victims_named_together_are_those_named_one_by_one() {
        let (mut one, mut many) = (Lru::default(), Lru::default());
        let mut random = fastrand::Rng::with_seed(2);
        for lru in [&mut one, &mut many] {
            (0..10_000).for_each(|id| lru.inserted(id, 0));
        }
        while many.len() > 1 {
            let used = random.u32(..10_000);
            if one.marks.tick(used) != VACANT {
                one.marks.accessed(used);
                many.marks.accessed(used);
            }
            let (mut named, spared) = (Named::new(), random.u32(..10_000));
            let spared = (one.marks.tick(spared) != VACANT).then_some(spared);
            many.victims(100, spared, &mut named);
            assert!((1..=100).contains(&named.len()));
            for id in named {
                many.removed(id);
                assert_eq!(evict(&mut one, spared), Some(id));
            }
        }
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
