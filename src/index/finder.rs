//! `Finder`: finds the number of a name by the name's hash. It is built once and never changes, so it
//! is filled to three quarters whatever the count: about 6.7 bytes a name, where a growing table that
//! doubles takes 6 to 11.

/// An immutable table with open addressing and linear probing.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    /// A byte of each slot's hash; 0 for an empty slot.
    tags: Box<[u8]>,
    numbers: Box<[u32]>,
}

impl Finder {
    /// A table in which number `i` has the `i`-th of the hashes.
    pub(crate) fn new(hashes: impl ExactSizeIterator<Item = u64>) -> Self {
        // One slot at least stays empty: there every search ends.
        let slots = hashes.len() / 3 * 4 + hashes.len() % 3 + 1;
        let mut finder = Finder {
            tags: vec![0; slots].into(),
            numbers: vec![0; slots].into(),
        };
        for (number, hash) in (0u32..).zip(hashes) {
            let mut slot = finder.home(hash);
            while finder.tags[slot] != 0 {
                slot = finder.after(slot);
            }
            finder.tags[slot] = tag(hash);
            finder.numbers[slot] = number;
        }
        finder
    }

    /// The number of this hash for which `is` holds.
    pub(crate) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        if self.tags.is_empty() {
            return None;
        }
        let (mut slot, wanted) = (self.home(hash), tag(hash));
        loop {
            match self.tags[slot] {
                0 => return None,
                tag if tag == wanted && is(self.numbers[slot]) => return Some(self.numbers[slot]),
                _ => slot = self.after(slot),
            }
        }
    }

    /// Where a search begins: the upper half of the hash, scaled to the slots (Lemire, "Fast random
    /// integer generation in an interval", 2019).
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.tags.len() as u64) >> 32) as usize
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.tags.len() {
            0
        } else {
            slot + 1
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.tags.len() + size_of_val(&*self.numbers)
    }
}

fn tag(hash: u64) -> u8 {
    (hash as u8).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_number_and_no_other() {
        for count in [0u64, 1, 2, 3, 4, 1000] {
            // Few distinct hashes, so that slots collide and tables wrap round.
            let hash = |number: u64| (number % 7).wrapping_mul(0xdead_beef_dead_beef) | 1 << 63;
            let finder = Finder::new((0..count as usize).map(|number| hash(number as u64)));
            for number in 0..count {
                let found = finder.find(hash(number), |found| u64::from(found) == number);
                assert_eq!(found, Some(number as u32));
            }
            assert_eq!(finder.find(hash(1), |_| false), None);
        }
        assert_eq!(Finder::default().find(1, |_| true), None);
    }
}
