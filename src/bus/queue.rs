//! Invalidations that wait: equal ones wait once, and when there are too many, those of a scope become
//! all of that scope. So it is bounded, and nothing is lost.

use std::collections::{HashSet, VecDeque};

use super::event::{Invalidation, What};

/// A bounded queue that forgets nothing, but for details.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: VecDeque<Invalidation>,
    /// The identities of those that wait.
    known: HashSet<String>,
    capacity: usize,
    pub(super) counts: Counts,
}

/// What became of what was put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Equal to one that waits.
    pub(super) coalesced: u64,
    /// How often details were forgotten for want of room.
    pub(super) overflows: u64,
}

impl Queue {
    /// An empty one, for at least 8.
    pub(super) fn new(capacity: usize) -> Self {
        Queue {
            waiting: VecDeque::new(),
            known: HashSet::new(),
            capacity: capacity.max(8),
            counts: Counts::default(),
        }
    }

    /// Puts it behind those that wait, unless one waits that is equal, or all of its scope.
    pub(super) fn push(&mut self, invalidation: Invalidation) {
        let mut invalidation = invalidation;
        if self.waiting.len() == self.capacity {
            self.counts.overflows += 1;
            invalidation = self.make_room(invalidation);
        }
        self.add(invalidation);
    }

    fn add(&mut self, invalidation: Invalidation) {
        let what = &invalidation.what;
        let wider = [what.all_of_its_scope(), what.all_of_its_kind()];
        let is_covered = wider
            .iter()
            .any(|wide| self.known.contains(&wide.identity()));
        if !is_covered && self.known.insert(what.identity()) {
            self.waiting.push_back(invalidation);
        } else {
            self.counts.coalesced += 1;
        }
    }

    /// Forgets the details of those in the scope of the new one; if there is no room then, those of all;
    /// at last, of which caches they are. Returns the new one, as wide.
    fn make_room(&mut self, new: Invalidation) -> Invalidation {
        let scope = new.what.all_of_its_scope();
        let widen_scope = |what: &What| {
            let all = what.all_of_its_scope();
            if all == scope { all } else { what.clone() }
        };
        let steps: [&dyn Fn(&What) -> What; 3] = [
            &widen_scope,
            &What::all_of_its_scope,
            &What::all_of_its_kind,
        ];
        let mut new = new;
        for widen in steps {
            self.widen(widen);
            new.what = widen(&new.what);
            if self.waiting.len() < self.capacity {
                break;
            }
        }
        new
    }

    fn widen(&mut self, widen: &dyn Fn(&What) -> What) {
        self.known.clear();
        for mut invalidation in std::mem::take(&mut self.waiting) {
            let what = widen(&invalidation.what);
            if what != invalidation.what {
                invalidation.cause = "too many at once".to_owned();
                invalidation.what = what;
            }
            if self.known.insert(invalidation.what.identity()) {
                self.waiting.push_back(invalidation);
            }
        }
    }

    /// Takes out the first ones, at most so many.
    pub(super) fn take(&mut self, most: usize) -> Vec<Invalidation> {
        let taken: Vec<_> = self.waiting.drain(..most.min(self.waiting.len())).collect();
        for invalidation in &taken {
            self.known.remove(&invalidation.what.identity());
        }
        taken
    }

    /// Puts back what was taken and could not be told, before those that came meanwhile.
    #[cfg(any(feature = "redis", test))]
    pub(super) fn put_back(&mut self, taken: Vec<Invalidation>) {
        let later = self.take(usize::MAX);
        taken
            .into_iter()
            .chain(later)
            .for_each(|one| self.push(one));
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::event::{Origin, Reach};
    use crate::cache::Scope;
    use crate::tier::KeyPattern;

    fn keys(cache: &str, pattern: &str) -> Invalidation {
        let what = What::Keys {
            cache: Some(cache.to_owned()),
            pattern: KeyPattern::new(pattern).unwrap(),
            reach: Reach::Copies,
        };
        Invalidation::of(what, Origin::Api, "a test")
    }

    fn told(queue: &mut Queue) -> Vec<String> {
        let taken = queue.take(usize::MAX);
        taken.iter().map(|one| one.what.to_string()).collect()
    }

    #[test]
    fn equal_ones_wait_once_and_again_when_they_were_taken() {
        let mut queue = Queue::new(10);
        for pattern in ["a", "b", "a"] {
            queue.push(keys("c", pattern));
        }
        assert_eq!(queue.counts.coalesced, 1);
        assert_eq!(queue.take(1).len(), 1);
        queue.push(keys("c", "a"));
        assert_eq!(told(&mut queue), ["c: b", "c: a"]);
    }

    #[test]
    fn too_many_of_a_scope_become_all_of_it_and_leave_others_alone() {
        let mut queue = Queue::new(10);
        queue.push(keys("other", "x"));
        (0..20).for_each(|n| queue.push(keys("c", &n.to_string())));
        assert_eq!((queue.counts.overflows, queue.counts.coalesced), (1, 11));
        assert_eq!(told(&mut queue), ["other: x", "c: *"]);
    }

    #[test]
    fn too_many_scopes_become_everything_of_their_kind() {
        let mut queue = Queue::new(10);
        let file = |n: usize| Scope::Prefix(format!("d{n}"));
        queue.push(Invalidation::files(vec![file(1)], "a test"));
        (0..50).for_each(|n| queue.push(keys(&format!("c{n}"), "x")));
        assert!(queue.len() <= 10);
        let told = told(&mut queue);
        assert_eq!(told[..2], ["all files", "*"]);
    }

    #[test]
    fn what_is_put_back_goes_before_what_came_meanwhile() {
        let mut queue = Queue::new(10);
        queue.push(keys("c", "a"));
        let taken = queue.take(1);
        queue.push(keys("c", "b"));
        queue.put_back(taken);
        assert_eq!(told(&mut queue), ["c: a", "c: b"]);
    }
}
