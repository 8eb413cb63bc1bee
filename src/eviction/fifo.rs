//! First in, first out: the order of arrival, which no use changes.

use std::collections::VecDeque;

use super::{EvictionPolicy, Id};

/// The arrival of an id that does not live.
const VACANT: u64 = u64::MAX;

/// A queue of arrivals. Entries that left before their turn stay in it until they come to the front,
/// or are the greater part; their number tells them from a later life of the same id.
#[derive(Debug, Default)]
pub(crate) struct Fifo {
    queue: VecDeque<(u64, Id)>,
    /// The number of each id's present arrival.
    arrivals: Vec<u64>,
    next: u64,
    len: usize,
}

impl Fifo {
    fn lives(&self, (arrival, id): (u64, Id)) -> bool {
        self.arrivals[id as usize] == arrival
    }

    /// Drops the arrivals of entries that left once they are the greater part.
    fn tidy(&mut self) {
        if self.queue.len() > 2 * self.len + 64 {
            let arrivals = &self.arrivals;
            self.queue
                .retain(|(arrival, id)| arrivals[*id as usize] == *arrival);
        }
    }
}

impl EvictionPolicy for Fifo {
    fn inserted(&mut self, id: Id, _fingerprint: u64) {
        let index = id as usize;
        if index >= self.arrivals.len() {
            self.arrivals.resize(index + 1, VACANT);
        }
        self.arrivals[index] = self.next;
        self.queue.push_back((self.next, id));
        self.next += 1;
        self.len += 1;
    }

    fn removed(&mut self, id: Id) {
        self.arrivals[id as usize] = VACANT;
        self.len -= 1;
        self.tidy();
    }

    fn victim(&mut self, spared: Option<Id>) -> Option<Id> {
        while let Some(front) = self.queue.front()
            && !self.lives(*front)
        {
            self.queue.pop_front();
        }
        let mut living = self.queue.iter().filter(|entry| self.lives(**entry));
        let victim = living.find(|(_, id)| spared != Some(*id))?;
        Some(victim.1)
    }

    fn clear(&mut self) {
        self.queue.clear();
        self.arrivals.clear();
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
    fn the_first_to_come_leaves_first_and_a_second_life_is_a_new_arrival() {
        let mut fifo = Fifo::default();
        (0..4).for_each(|id| fifo.inserted(id, 0));
        fifo.removed(0);
        fifo.inserted(0, 0);
        assert_eq!(evict(&mut fifo, Some(1)), Some(2));
        assert_eq!(dump(&mut fifo), [1, 3, 0]);
    }

    #[test]
    fn what_has_left_does_not_pile_up() {
        let mut fifo = Fifo::default();
        fifo.inserted(0, 0);
        for _ in 0..10_000 {
            fifo.inserted(1, 0);
            fifo.removed(1);
        }
        assert!(fifo.queue.len() < 100);
        assert_eq!(dump(&mut fifo), [0]);
    }
}
