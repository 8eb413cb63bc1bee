//! What the tiers of this process have as copies of what a shared tier has. When another process has
//! changed that, the copies leave, and nobody waits for it: who is about to put a copy finds, once he has
//! put it, that it was overtaken, and takes it out himself.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::Tiered;
use super::debts::Wide;
use crate::primitives::atomic::{AtomicUsize, Ordering};
use crate::tier::{Key, KeyPattern};

/// Copies of so many keys are told apart when one is overtaken, if the keys do not meet in a stripe.
const STRIPES: usize = 64;

/// How often copies were overtaken, by key.
#[derive(Debug)]
pub(super) struct Overtaken {
    stripes: Box<[AtomicUsize]>,
    hasher: RandomState,
}

/// How often a key's copies had been overtaken when what they are made of was about to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Since(usize);

impl Overtaken {
    pub(super) fn new() -> Self {
        Overtaken {
            stripes: (0..STRIPES).map(|_| AtomicUsize::new(0)).collect(),
            hasher: RandomState::default(),
        }
    }

    /// Taken before the shared tier is read or written for the key.
    pub(super) fn since(&self, key: &Key) -> Since {
        Since(self.stripe(key).load(Ordering::SeqCst))
    }

    fn overtake(&self, key: &Key) {
        self.stripe(key).fetch_add(1, Ordering::SeqCst);
    }

    fn overtake_all(&self) {
        for stripe in &self.stripes {
            stripe.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn stripe(&self, key: &Key) -> &AtomicUsize {
        let hash = self.hasher.hash_one(key);
        &self.stripes[(hash >> 32) as usize % self.stripes.len()]
    }
}

impl Tiered {
    /// Takes the copies of what matches out of the tiers that no other process has, if there is one that
    /// others have. Waits for nobody's turn: whoever has one may be waiting for a server.
    pub(super) fn drop_copies(&self, pattern: &KeyPattern) -> usize {
        if self.shared().is_none() {
            return 0;
        }
        // Before they are taken out: whoever puts one afterwards sees it.
        match pattern.only() {
            Some(key) => {
                self.overtaken.overtake(&key);
                self.flights.void(&key);
            }
            None => {
                self.overtaken.overtake_all();
                let keys = self.flights.keys().into_iter();
                let matching = keys.filter(|key| pattern.matches(key.as_str()));
                matching.for_each(|key| self.flights.void(&key));
            }
        }
        let mut dropped = 0;
        for part in self.own_parts() {
            match part.call(|tier| tier.remove_matching(pattern)) {
                Ok(n) => dropped = dropped.max(n),
                Err(_) => {
                    part.owe_wide(&Wide::Matching(pattern.clone()));
                    self.ring();
                }
            }
        }
        dropped
    }

    /// Takes the key's copies out again if they were overtaken since. For whoever has the key's turn, and
    /// has put them.
    pub(super) fn unless_overtaken(&self, key: &Key, since: Since) {
        if self.overtaken.since(key) == since {
            return;
        }
        for part in self.own_parts() {
            if part.remove(key).is_err() {
                self.ring();
            }
        }
    }
}
