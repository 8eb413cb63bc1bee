//! How often a key was found in a lower tier, as far as that is remembered: a fixed number of places,
//! each for the key that came last.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use crate::primitives::Mutex;
use crate::tier::Key;

/// So many keys are counted at most: 64 KiB.
const PLACES: usize = 4096;

/// Counts hits of keys until they are enough.
#[derive(Debug)]
pub(super) struct Hits {
    enough: u32,
    hasher: RandomState,
    places: Mutex<Box<[Place]>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    hash: u64,
    hits: u32,
}

impl Hits {
    /// So many hits are enough, 1 or more.
    pub(super) fn new(enough: u32) -> Self {
        let places = if enough > 1 { PLACES } else { 0 };
        Hits {
            enough,
            hasher: RandomState::default(),
            places: Mutex::new(vec![Place::default(); places].into()),
        }
    }

    /// One more hit; whether they are enough. Then its count begins anew.
    pub(super) fn are_enough(&self, key: &Key) -> bool {
        if self.enough <= 1 {
            return true;
        }
        let hash = self.hasher.hash_one(key);
        let mut places = self.places.lock();
        let place = &mut places[hash as usize % PLACES];
        if place.hash != hash {
            *place = Place { hash, hits: 0 };
        }
        place.hits += 1;
        let are_enough = place.hits >= self.enough;
        if are_enough {
            place.hits = 0;
        }
        are_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_promoted_after_so_many_hits_and_memory_is_bounded() {
        let key = |n: usize| Key::new(&n.to_string()).unwrap();
        let hits = Hits::new(3);
        let told: Vec<bool> = (0..7).map(|_| hits.are_enough(&key(0))).collect();
        assert_eq!(told, [false, false, true, false, false, true, false]);
        assert!((0..2 * PLACES).all(|n| !hits.are_enough(&key(n + 1))));
        assert!(Hits::new(1).are_enough(&key(0)));
    }
}
