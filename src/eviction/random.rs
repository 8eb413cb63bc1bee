//! Any entry, each with the same chance: nothing is kept about anybody. The choice comes from a seed,
//! so that whoever gives one gets the same victims again.

use std::hash::BuildHasher;

use super::{EvictionPolicy, Id};

/// The place of an id that does not live.
const VACANT: usize = usize::MAX;

/// The living ids in no order, and a generator.
#[derive(Debug)]
pub(crate) struct Random {
    living: Vec<Id>,
    /// Where each id stands among the living.
    places: Vec<usize>,
    dice: Dice,
}

impl Default for Random {
    /// With a seed that nobody can foresee.
    fn default() -> Self {
        Self::seeded(foldhash::fast::RandomState::default().hash_one(0))
    }
}

impl Random {
    /// With this seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Random {
            living: Vec::new(),
            places: Vec::new(),
            dice: Dice(seed),
        }
    }

    fn place(&self, id: Id) -> Option<usize> {
        let place = self.places.get(id as usize).copied();
        place.filter(|place| *place != VACANT)
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014): SplitMix64.
#[derive(Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// A number below `end`, which is not 0. The high half of a product: its bias is below `end` in
    /// 2^64.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let wide = u128::from(z ^ (z >> 31)) * end as u128;
        (wide >> 64) as usize
    }
}

impl EvictionPolicy for Random {
    fn inserted(&mut self, id: Id, _fingerprint: u64) {
        let index = id as usize;
        if index >= self.places.len() {
            self.places.resize(index + 1, VACANT);
        }
        self.places[index] = self.living.len();
        self.living.push(id);
    }

    fn removed(&mut self, id: Id) {
        if let Some(place) = self.place(id) {
            self.living.swap_remove(place);
            if let Some(moved) = self.living.get(place) {
                self.places[*moved as usize] = place;
            }
            self.places[id as usize] = VACANT;
        }
    }

    fn victim(&mut self, spared: Option<Id>) -> Option<Id> {
        let spared = spared.and_then(|id| self.place(id));
        let others = self.living.len() - usize::from(spared.is_some());
        if others == 0 {
            return None;
        }
        let at = self.dice.below(others);
        // The last one stands in for the spared one.
        let at = if spared == Some(at) { others } else { at };
        Some(self.living[at])
    }

    fn clear(&mut self) {
        self.living.clear();
        self.places.clear();
    }

    fn len(&self) -> usize {
        self.living.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eviction::{dump, evict};

    fn of_ten(seed: u64) -> Random {
        let mut random = Random::seeded(seed);
        (0..10).for_each(|id| random.inserted(id, 0));
        random
    }

    #[test]
    fn a_seed_gives_the_same_victims_again_and_another_one_others() {
        assert_eq!(dump(&mut of_ten(1)), dump(&mut of_ten(1)));
        assert_ne!(dump(&mut of_ten(1)), dump(&mut of_ten(2)));
    }

    #[test]
    fn each_entry_has_the_same_chance_but_the_spared_has_none() {
        let mut drawn = [0_u32; 10];
        for seed in 0..9_000 {
            let victim = evict(&mut of_ten(seed), Some(3)).unwrap();
            drawn[victim as usize] += 1;
        }
        assert_eq!(drawn[3], 0);
        drawn[3] = 1_000;
        // Five standard deviations of a binomial of 9,000 draws at one in nine.
        assert!(drawn.iter().all(|n| n.abs_diff(1_000) < 150), "{drawn:?}");
    }
}
