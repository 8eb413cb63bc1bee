//! The soonest to expire first. The order of deadlines is also what tells a map, under any policy,
//! whose time is over.

use std::collections::BTreeSet;

use super::{Deadline, EvictionPolicy, FOREVER, Id};

/// Entries in the order of their deadlines; equal ones in the order in which these were told.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    order: BTreeSet<(Deadline, u64, Id)>,
    /// Where each id stands in the order.
    places: Vec<Option<(Deadline, u64)>>,
    next: u64,
}

impl Deadlines {
    /// Gives the entry this deadline, in place of the one that it had. The same one again is nothing.
    pub(crate) fn set(&mut self, id: Id, deadline: Deadline) {
        if self.place(id).is_some_and(|(held, _)| held == deadline) {
            return;
        }
        self.remove(id);
        let index = id as usize;
        if index >= self.places.len() {
            self.places.resize(index + 1, None);
        }
        self.places[index] = Some((deadline, self.next));
        self.order.insert((deadline, self.next, id));
        self.next += 1;
    }

    /// Forgets the entry; one that is not known is none.
    pub(crate) fn remove(&mut self, id: Id) {
        let place = self.places.get_mut(id as usize);
        if let Some((deadline, told)) = place.and_then(Option::take) {
            self.order.remove(&(deadline, told, id));
        }
    }

    /// The first to end, but for one that is spared, and its deadline.
    pub(crate) fn first(&self, spared: Option<Id>) -> Option<(Deadline, Id)> {
        let mut others = self.order.iter().filter(|(_, _, id)| spared != Some(*id));
        others.next().map(|(deadline, _, id)| (*deadline, *id))
    }

    /// Whether the entry's time is over.
    pub(crate) fn is_over(&self, id: Id, now: Deadline) -> bool {
        self.place(id).is_some_and(|(deadline, _)| deadline <= now)
    }

    fn place(&self, id: Id) -> Option<(Deadline, u64)> {
        self.places.get(id as usize).copied().flatten()
    }

    /// Forgets every entry.
    pub(crate) fn clear(&mut self) {
        self.order.clear();
        self.places.clear();
    }

    /// How many entries are known.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}

/// The order of deadlines as a policy. What does not expire comes last, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Ttl(Deadlines);

impl EvictionPolicy for Ttl {
    fn inserted(&mut self, id: Id, _fingerprint: u64) {
        self.0.set(id, FOREVER);
    }

    fn ends_at(&mut self, id: Id, deadline: Deadline) {
        self.0.set(id, deadline);
    }

    fn removed(&mut self, id: Id) {
        self.0.remove(id);
    }

    fn victim(&mut self, spared: Option<Id>) -> Option<Id> {
        self.0.first(spared).map(|(_, id)| id)
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eviction::{dump, evict};

    #[test]
    fn the_soonest_to_expire_leaves_first_and_what_stays_forever_last() {
        let mut ttl = Ttl::default();
        (0..5).for_each(|id| ttl.inserted(id, 0));
        for (id, deadline) in [(0, 30), (1, 10), (3, 20), (4, 20)] {
            ttl.ends_at(id, deadline);
        }
        assert_eq!(evict(&mut ttl, Some(1)), Some(3));
        // Another value, another deadline.
        ttl.ends_at(0, 5);
        assert_eq!(dump(&mut ttl), [0, 1, 4, 2]);
    }

    #[test]
    fn a_deadline_is_the_first_instant_after_the_end() {
        let mut deadlines = Deadlines::default();
        deadlines.set(7, 10);
        assert!(!deadlines.is_over(7, 9));
        assert!(deadlines.is_over(7, 10));
        deadlines.remove(7);
        assert!(!deadlines.is_over(7, 10));
        assert_eq!((deadlines.first(None), deadlines.len()), (None, 0));
    }
}
