//! Every policy against a naive model of itself: random lives, hits and victims.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;
use proptest::strategy::Strategy as Generate;

use super::random::{Dice, Random};
use super::s3fifo::most_ghosts;
use super::{Deadline, EvictionPolicy, FOREVER, Id, Marks, Strategy, evict};

/// The policy said slowly.
trait Naive: Default {
    fn accessed(&mut self, id: Id);
    fn inserted(&mut self, id: Id, fingerprint: u64);
    fn ends_at(&mut self, _id: Id, _deadline: Deadline) {}
    fn removed(&mut self, id: Id);
    fn victim(&mut self, spared: Option<Id>) -> Option<Id>;
}

/// The least recent first.
#[derive(Default)]
struct NaiveLru(Vec<Id>);

impl Naive for NaiveLru {
    fn accessed(&mut self, id: Id) {
        self.removed(id);
        self.0.push(id);
    }

    fn inserted(&mut self, id: Id, _fingerprint: u64) {
        self.0.push(id);
    }

    fn removed(&mut self, id: Id) {
        self.0.retain(|held| *held != id);
    }

    fn victim(&mut self, spared: Option<Id>) -> Option<Id> {
        let at = self.0.iter().position(|id| Some(*id) != spared)?;
        Some(self.0.remove(at))
    }
}

/// In the order of arrival.
#[derive(Default)]
struct NaiveFifo(Vec<Id>);

impl Naive for NaiveFifo {
    fn accessed(&mut self, _id: Id) {}

    fn inserted(&mut self, id: Id, _fingerprint: u64) {
        self.0.push(id);
    }

    fn removed(&mut self, id: Id) {
        self.0.retain(|held| *held != id);
    }

    fn victim(&mut self, spared: Option<Id>) -> Option<Id> {
        let at = self.0.iter().position(|id| Some(*id) != spared)?;
        Some(self.0.remove(at))
    }
}

/// (id, deadline), in the order in which the deadlines were told.
#[derive(Default)]
struct NaiveTtl(Vec<(Id, Deadline)>);

impl Naive for NaiveTtl {
    fn accessed(&mut self, _id: Id) {}

    fn inserted(&mut self, id: Id, _fingerprint: u64) {
        self.0.push((id, FOREVER));
    }

    fn ends_at(&mut self, id: Id, deadline: Deadline) {
        if !self.0.contains(&(id, deadline)) {
            self.removed(id);
            self.0.push((id, deadline));
        }
    }

    fn removed(&mut self, id: Id) {
        self.0.retain(|(held, _)| *held != id);
    }

    fn victim(&mut self, spared: Option<Id>) -> Option<Id> {
        let others = self.0.iter().filter(|(id, _)| Some(*id) != spared);
        // The first of the least.
        let (id, _) = *others.min_by_key(|(_, deadline)| *deadline)?;
        self.removed(id);
        Some(id)
    }
}

const SEED: u64 = 7;

/// The last one takes the place of one that leaves; one of the others is drawn, and the last one
/// stands in for the spared one.
struct NaiveRandom(Vec<Id>, Dice);

impl Default for NaiveRandom {
    fn default() -> Self {
        NaiveRandom(Vec::new(), Dice(SEED))
    }
}

impl Naive for NaiveRandom {
    fn accessed(&mut self, _id: Id) {}

    fn inserted(&mut self, id: Id, _fingerprint: u64) {
        self.0.push(id);
    }

    fn removed(&mut self, id: Id) {
        if let Some(at) = self.0.iter().position(|held| *held == id) {
            self.0.swap_remove(at);
        }
    }

    fn victim(&mut self, spared: Option<Id>) -> Option<Id> {
        let mut others = self.0.clone();
        if let Some(at) = others.iter().position(|id| Some(*id) == spared) {
            others.swap_remove(at);
        }
        if others.is_empty() {
            return None;
        }
        let id = others[self.1.below(others.len())];
        self.removed(id);
        Some(id)
    }
}

/// Count, age at the last use, time of the last use.
#[derive(Default)]
struct NaiveLfu {
    entries: HashMap<Id, (u64, u64, u64)>,
    now: u64,
    age: u64,
}

impl NaiveLfu {
    fn uses(&mut self, id: Id, count: u64) {
        self.now += 1;
        self.entries.insert(id, (count, self.age, self.now));
    }
}

impl Naive for NaiveLfu {
    fn accessed(&mut self, id: Id) {
        self.uses(id, (self.entries[&id].0 + 1).min(16));
    }

    fn inserted(&mut self, id: Id, _fingerprint: u64) {
        self.uses(id, 1);
    }

    fn removed(&mut self, id: Id) {
        self.entries.remove(&id);
    }

    fn victim(&mut self, spared: Option<Id>) -> Option<Id> {
        let others = self.entries.iter().filter(|(id, _)| Some(**id) != spared);
        let ranked = others.map(|(id, (count, age, tick))| (count + age, *tick, *id));
        let (priority, _, id) = ranked.min()?;
        self.age = self.age.max(priority);
        self.entries.remove(&id);
        Some(id)
    }
}

/// Queues of (id, fingerprint, hits), the oldest first.
#[derive(Default)]
struct NaiveS3Fifo {
    small: VecDeque<(Id, u64, u8)>,
    main: VecDeque<(Id, u64, u8)>,
    /// One that came back leaves its place empty.
    ghosts: VecDeque<Option<u64>>,
}

impl NaiveS3Fifo {
    fn recall(&mut self, fingerprint: u64) -> bool {
        let found = self
            .ghosts
            .iter_mut()
            .find(|ghost| **ghost == Some(fingerprint));
        found.and_then(Option::take).is_some()
    }
}

impl Naive for NaiveS3Fifo {
    fn accessed(&mut self, id: Id) {
        let entries = self.small.iter_mut().chain(&mut self.main);
        for entry in entries.filter(|entry| entry.0 == id) {
            entry.2 = (entry.2 + 1).min(3);
        }
    }

    fn inserted(&mut self, id: Id, fingerprint: u64) {
        let known = self.recall(fingerprint);
        let queue = if known {
            &mut self.main
        } else {
            &mut self.small
        };
        queue.push_back((id, fingerprint, 0));
    }

    fn removed(&mut self, id: Id) {
        self.small.retain(|entry| entry.0 != id);
        self.main.retain(|entry| entry.0 != id);
    }

    fn victim(&mut self, spared: Option<Id>) -> Option<Id> {
        loop {
            let other = |queue: &VecDeque<(Id, u64, u8)>| {
                let others = queue
                    .iter()
                    .enumerate()
                    .filter(|(_, e)| Some(e.0) != spared);
                let found: Vec<_> = others.map(|(at, _)| at).collect();
                (found.len(), found.first().copied())
            };
            let ((small, oldest_small), (main, oldest_main)) =
                (other(&self.small), other(&self.main));
            let from_small = main == 0 || (small > 0 && small * 50 >= small + main);
            if from_small {
                let entry = self.small.remove(oldest_small?)?;
                if entry.2 > 0 {
                    self.main.push_back((entry.0, entry.1, entry.2 - 1));
                    continue;
                }
                self.ghosts.push_back(Some(entry.1));
                while self.ghosts.len() > most_ghosts(self.small.len() + self.main.len()) {
                    self.ghosts.pop_front();
                }
                return Some(entry.0);
            }
            let entry = self.main.remove(oldest_main?)?;
            if entry.2 == 0 {
                return Some(entry.0);
            }
            self.main.push_back((entry.0, entry.1, entry.2 - 1));
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A key comes, under a free id.
    Insert(u64),
    Access(usize),
    EndsAt(usize, Deadline),
    Remove(usize),
    Victim,
    VictimSparing(usize),
    Clear,
}

fn any_step() -> impl Generate<Value = Step> {
    prop_oneof![
        300 => (0..60u64).prop_map(Step::Insert),
        400 => any::<usize>().prop_map(Step::Access),
        100 => (any::<usize>(), 0..50u64).prop_map(|(n, end)| Step::EndsAt(n, end)),
        30 => any::<usize>().prop_map(Step::Remove),
        150 => Just(Step::Victim),
        30 => any::<usize>().prop_map(Step::VictimSparing),
        1 => Just(Step::Clear),
    ]
}

fn equals_its_model<M: Naive>(strategy: Strategy, steps: Vec<Step>) {
    let (marks, mut policy): (_, Box<dyn EvictionPolicy>) = match strategy {
        Strategy::Random => (Marks::Unmarked, Box::new(Random::seeded(SEED))),
        _ => strategy.build(),
    };
    let mut model = M::default();
    let mut live: Vec<Id> = Vec::new();
    let mut keys: HashMap<Id, u64> = HashMap::new();
    let mut free: Vec<Id> = (0..1000).rev().collect();
    for step in steps {
        match step {
            Step::Insert(key) => {
                if live.iter().any(|id| keys.get(id) == Some(&key)) {
                    continue;
                }
                let Some(id) = free.pop() else { continue };
                keys.insert(id, key);
                policy.inserted(id, key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                model.inserted(id, key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                live.push(id);
            }
            Step::Access(n) if !live.is_empty() => {
                let id = live[n % live.len()];
                marks.accessed(id);
                model.accessed(id);
            }
            Step::EndsAt(n, deadline) if !live.is_empty() => {
                let id = live[n % live.len()];
                policy.ends_at(id, deadline);
                model.ends_at(id, deadline);
            }
            Step::Remove(n) if !live.is_empty() => {
                let id = live.swap_remove(n % live.len());
                policy.removed(id);
                model.removed(id);
                free.push(id);
            }
            Step::Victim | Step::VictimSparing(_) => {
                let spared = match step {
                    Step::VictimSparing(n) if !live.is_empty() => Some(live[n % live.len()]),
                    _ => None,
                };
                let victim = evict(&mut *policy, spared);
                assert_eq!(victim, model.victim(spared));
                live.retain(|id| Some(*id) != victim);
                free.extend(victim);
            }
            Step::Clear => {
                policy.clear();
                for id in live.drain(..) {
                    model.removed(id);
                    free.push(id);
                }
                if strategy == Strategy::S3Fifo {
                    model = M::default();
                }
            }
            _ => {}
        }
        assert_eq!(policy.len(), live.len());
    }
    while let Some(victim) = evict(&mut *policy, None) {
        assert_eq!(Some(victim), model.victim(None));
    }
    assert_eq!(model.victim(None), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn lru_equals_its_model(steps in prop::collection::vec(any_step(), 1..2000)) {
        equals_its_model::<NaiveLru>(Strategy::Lru, steps);
    }

    #[test]
    fn lfu_equals_its_model(steps in prop::collection::vec(any_step(), 1..2000)) {
        equals_its_model::<NaiveLfu>(Strategy::Lfu, steps);
    }

    #[test]
    fn s3fifo_equals_its_model(steps in prop::collection::vec(any_step(), 1..2000)) {
        equals_its_model::<NaiveS3Fifo>(Strategy::S3Fifo, steps);
    }

    #[test]
    fn fifo_equals_its_model(steps in prop::collection::vec(any_step(), 1..2000)) {
        equals_its_model::<NaiveFifo>(Strategy::Fifo, steps);
    }

    #[test]
    fn ttl_equals_its_model(steps in prop::collection::vec(any_step(), 1..2000)) {
        equals_its_model::<NaiveTtl>(Strategy::Ttl, steps);
    }

    #[test]
    fn random_equals_its_model(steps in prop::collection::vec(any_step(), 1..2000)) {
        equals_its_model::<NaiveRandom>(Strategy::Random, steps);
    }
}
