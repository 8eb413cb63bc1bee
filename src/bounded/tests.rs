//! The map against a naive one, its promises one by one, and eight threads at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use proptest::strategy::Strategy as Generate;

use super::*;
use crate::eviction::Strategy;

type Map = BoundedMap<u8, Arc<u32>>;

fn limits(max_items: usize, max_bytes: u64, eviction_batch: usize) -> Limits {
    Limits {
        max_items,
        max_bytes,
        eviction_batch,
    }
}

fn map(max_items: usize, max_bytes: u64) -> Map {
    Map::new(limits(max_items, max_bytes, 1), Strategy::Lru)
}

fn put(map: &Map, key: u8, weight: u64) -> Inserted<u8, Arc<u32>> {
    map.insert(key, Arc::new(u32::from(key)), weight)
}

fn keys(evicted: &[(u8, Arc<u32>)]) -> Vec<u8> {
    evicted.iter().map(|(key, _)| *key).collect()
}

/// What a bounded map is, said slowly.
struct Model {
    strategy: Strategy,
    limits: Limits,
    entries: HashMap<u8, ModelEntry>,
    clock: u64,
    age: u64,
    stored: u64,
    now: u64,
}

#[derive(Clone, Debug)]
struct ModelEntry {
    value: u32,
    weight: u64,
    tick: u64,
    count: u64,
    age: u64,
    /// The number of its first value, and of the first that had its deadline.
    came: u64,
    told: u64,
    end: u64,
}

impl Model {
    fn bytes(&self) -> u64 {
        self.entries.values().map(|entry| entry.weight).sum()
    }

    fn rank(&self, key: u8) -> (u64, u64) {
        let entry = &self.entries[&key];
        match self.strategy {
            Strategy::Lfu => (entry.count + entry.age, entry.tick),
            Strategy::Fifo => (0, entry.came),
            Strategy::Ttl => (entry.end, entry.told),
            _ => (0, entry.tick),
        }
    }

    fn evict(&mut self, spared: Option<u8>, victims: &mut Vec<u8>) {
        let others = self
            .entries
            .keys()
            .copied()
            .filter(|key| Some(*key) != spared);
        if let Some(victim) = others.min_by_key(|key| self.rank(*key)) {
            self.age = self.age.max(self.rank(victim).0);
            self.entries.remove(&victim);
            victims.push(victim);
        }
    }

    fn get(&mut self, key: u8) -> Option<u32> {
        let (tick, age) = (self.clock, self.age);
        let entry = self.entries.get_mut(&key)?;
        self.clock += 1;
        (entry.tick, entry.age) = (tick, age);
        entry.count = (entry.count + 1).min(16);
        Some(entry.value)
    }

    /// Takes out the one that expired first, if any has.
    fn expire(&mut self, victims: &mut Vec<u8>) -> bool {
        let over = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.end <= self.now);
        let first = over.min_by_key(|(_, entry)| (entry.end, entry.told));
        let Some(key) = first.map(|(key, _)| *key) else {
            return false;
        };
        self.entries.remove(&key);
        victims.push(key);
        true
    }

    fn insert(
        &mut self,
        key: u8,
        value: u32,
        weight: u64,
        end: u64,
    ) -> (bool, Option<u32>, Vec<u8>) {
        let mut victims = Vec::new();
        if self.limits.max_items == 0 || weight > self.limits.max_bytes {
            let old = self.entries.remove(&key);
            return (false, old.map(|entry| entry.value), victims);
        }
        if self
            .entries
            .get(&key)
            .is_some_and(|old| old.end <= self.now)
        {
            self.entries.remove(&key);
            victims.push(key);
        }
        let held = self.entries.get(&key).map(|old| old.weight);
        let full = |model: &Model| {
            (held.is_none() && model.entries.len() >= model.limits.max_items)
                || model.bytes() - held.unwrap_or(0) + weight > model.limits.max_bytes
        };
        while full(self) && self.expire(&mut victims) {}
        self.stored += 1;
        if let Some(old) = self.entries.get(&key).cloned() {
            let told = if old.end == end {
                old.told
            } else {
                self.stored
            };
            while self.bytes() - old.weight + weight > self.limits.max_bytes {
                self.evict(Some(key), &mut victims);
            }
            self.entries.insert(
                key,
                ModelEntry {
                    value,
                    weight,
                    told,
                    end,
                    ..old
                },
            );
            return (true, Some(old.value), victims);
        }
        if self.entries.len() >= self.limits.max_items {
            let share = (self.limits.max_items / 10).max(1);
            for _ in 0..self.limits.eviction_batch.clamp(1, share) {
                self.evict(None, &mut victims);
            }
        }
        while self.bytes() + weight > self.limits.max_bytes {
            self.evict(None, &mut victims);
        }
        let (tick, age) = (self.clock, self.age);
        self.clock += 1;
        let (count, came, told) = (1, self.stored, self.stored);
        self.entries.insert(
            key,
            ModelEntry {
                value,
                weight,
                tick,
                count,
                age,
                came,
                told,
                end,
            },
        );
        (true, None, victims)
    }

    fn shrink(&mut self, limits: Limits) -> Vec<u8> {
        self.limits = limits;
        let mut victims = Vec::new();
        while self.entries.len() > limits.max_items || self.bytes() > limits.max_bytes {
            self.evict(None, &mut victims);
        }
        victims
    }
}

#[derive(Clone, Debug)]
enum Op {
    Get(u8),
    GetMany(Vec<u8>),
    Peek(u8),
    Insert(u8, u64),
    InsertFor(u8, u64, u64),
    Advance(u64),
    Expire(usize),
    Remove(u8),
    RemoveIf(u8, bool),
    Evict(usize),
    Clear,
    SetLimits(Limits),
}

fn any_limits() -> impl Generate<Value = Limits> {
    let items = prop_oneof![Just(0), 1..4usize, 1..60usize];
    (items, prop_oneof![0..40u64, Just(u64::MAX)], 0..9usize)
        .prop_map(|(items, bytes, batch)| limits(items, bytes, batch))
}

fn any_op() -> impl Generate<Value = Op> {
    let key = 0..80u8;
    prop_oneof![
        20 => key.clone().prop_map(Op::Get),
        4 => prop::collection::vec(key.clone(), 0..130).prop_map(Op::GetMany),
        2 => key.clone().prop_map(Op::Peek),
        30 => (key.clone(), 0..12u64).prop_map(|(key, weight)| Op::Insert(key, weight)),
        20 => (key.clone(), 0..12u64, 1..40u64).prop_map(|(key, weight, ttl)| {
            Op::InsertFor(key, weight, ttl)
        }),
        6 => (0..12u64).prop_map(Op::Advance),
        2 => (0..9usize).prop_map(Op::Expire),
        4 => key.clone().prop_map(Op::Remove),
        4 => (key, any::<bool>()).prop_map(|(key, met)| Op::RemoveIf(key, met)),
        2 => (0..5usize).prop_map(Op::Evict),
        1 => Just(Op::Clear),
        1 => any_limits().prop_map(Op::SetLimits),
    ]
}

fn apply(map: &Map, model: &mut Model, op: Op, value: u32) {
    let number = |value: Option<Arc<u32>>| value.map(|value| *value);
    match op {
        Op::Get(key) => assert_eq!(number(map.get(&key)), model.get(key)),
        Op::GetMany(keys) => {
            let found = map.get_many(&keys.iter().collect::<Vec<_>>());
            let expected: Vec<_> = keys.iter().map(|key| model.get(*key)).collect();
            assert_eq!(found.into_iter().map(number).collect::<Vec<_>>(), expected);
        }
        Op::Peek(key) => {
            let expected = model.entries.get(&key).map(|entry| entry.value);
            assert_eq!(number(map.peek(&key)), expected);
        }
        Op::Advance(by) => model.now += by,
        Op::Expire(most) => {
            let mut victims = Vec::new();
            while victims.len() < most && model.expire(&mut victims) {}
            assert_eq!(keys(&map.remove_expired(model.now, most)), victims);
        }
        Op::Insert(..) | Op::InsertFor(..) => {
            let (key, weight, end) = match op {
                Op::InsertFor(key, weight, ttl) => (key, weight, model.now + ttl),
                Op::Insert(key, weight) => (key, weight, FOREVER),
                _ => unreachable!(),
            };
            let span = Span {
                now: model.now,
                end,
            };
            let inserted = map.insert_within(key, Arc::new(value), weight, span);
            let (kept, replaced, victims) = model.insert(key, value, weight, end);
            assert_eq!(keys(&inserted.evicted), victims);
            assert_eq!((inserted.kept, number(inserted.replaced)), (kept, replaced));
        }
        Op::Remove(key) => {
            let expected = model.entries.remove(&key).map(|entry| entry.value);
            assert_eq!(number(map.remove(&key, RemovalCause::Explicit)), expected);
        }
        Op::RemoveIf(key, met) => {
            let expected = met.then(|| model.entries.remove(&key)).flatten();
            let removed = map.remove_if(&key, RemovalCause::Expired, |_| met);
            assert_eq!(number(removed), expected.map(|entry| entry.value));
        }
        Op::Evict(n) => {
            let mut victims = Vec::new();
            for _ in 0..n {
                model.evict(None, &mut victims);
            }
            assert_eq!(keys(&map.evict(n)), victims);
        }
        Op::Clear => {
            assert_eq!(map.clear().len(), model.entries.len());
            model.entries.clear();
        }
        Op::SetLimits(limits) => assert_eq!(keys(&map.set_limits(limits)), model.shrink(limits)),
    }
    map.validate();
    let usage = map.usage();
    assert_eq!(usage.items, model.entries.len());
    assert_eq!(usage.bytes, model.bytes());
    assert_eq!(map.stats().stored, model.stored);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Every result, every victim and every count equals the naive model's.
    #[test]
    fn behaves_as_the_exact_model(
        strategy in prop_oneof![
            Just(Strategy::Lru), Just(Strategy::Lfu), Just(Strategy::Fifo), Just(Strategy::Ttl),
        ],
        limits in any_limits(),
        ops in prop::collection::vec(any_op(), 1..300),
    ) {
        let map = Map::new(limits, strategy);
        let (entries, clock, age, stored, now) = (HashMap::new(), 0, 0, 0, 0);
        let mut model = Model { strategy, limits, entries, clock, age, stored, now };
        for (op, value) in ops.into_iter().zip(0..) {
            apply(&map, &mut model, op, value);
        }
    }

    /// Strategies that are not exact keep every other promise.
    #[test]
    fn holds_its_invariants_under_every_strategy(
        strategy in prop::sample::select(Strategy::ALL.to_vec()),
        limits in any_limits(),
        ops in prop::collection::vec((0..80u8, 0..12u64, 0..3u8), 1..300),
    ) {
        let map = Map::new(limits, strategy);
        for (key, weight, verb) in ops {
            match verb {
                0 => _ = map.get(&key),
                1 => _ = map.remove(&key, RemovalCause::Explicit),
                _ => {
                    let inserted = put(&map, key, weight);
                    prop_assert_eq!(inserted.kept, map.peek(&key).is_some());
                    prop_assert!(!keys(&inserted.evicted).contains(&key));
                }
            }
            map.validate();
        }
    }
}

#[test]
fn replacing_at_capacity_evicts_nothing() {
    let map = map(2, 100);
    let _ = put(&map, 1, 10);
    let _ = put(&map, 2, 10);
    let inserted = put(&map, 1, 20);
    assert!(inserted.evicted.is_empty() && inserted.replaced.is_some());
    assert_eq!(
        map.usage(),
        Usage {
            items: 2,
            bytes: 30
        }
    );
}

#[test]
fn a_replacement_is_no_access_and_is_never_its_own_victim() {
    let map = map(10, 30);
    for key in [1, 2, 3] {
        let _ = put(&map, key, 10);
    }
    // 1 is the oldest; it grows, so 2 must go, and 1 stays the oldest.
    assert_eq!(keys(&put(&map, 1, 20).evicted), [2]);
    assert_eq!(keys(&put(&map, 4, 10).evicted), [1]);
}

#[test]
fn a_value_too_large_is_not_kept_and_takes_the_older_one_away() {
    let map = map(10, 30);
    let _ = put(&map, 1, 10);
    let _ = put(&map, 2, 10);
    let inserted = put(&map, 1, 31);
    assert!(!inserted.kept && inserted.replaced.is_some() && inserted.evicted.is_empty());
    assert_eq!(map.keys(), [2]);
    assert_eq!(map.stats().removed(RemovalCause::Replaced), 1);
}

#[test]
fn an_overflow_evicts_a_batch_of_at_most_a_tenth() {
    let full = |max_items, batch| {
        let map = Map::new(limits(max_items, u64::MAX, batch), Strategy::Lru);
        for key in 0..max_items as u8 {
            let _ = put(&map, key, 1);
        }
        put(&map, 255, 1).evicted.len()
    };
    assert_eq!(full(4, 100), 1);
    assert_eq!(full(100, 100), 10);
    assert_eq!(full(100, 5), 5);
    assert_eq!(full(100, 0), 1);
}

#[test]
fn a_removed_key_is_never_evicted_later() {
    let map = map(3, 100);
    for key in [1, 2, 3] {
        let _ = put(&map, key, 1);
    }
    assert_eq!(
        map.remove(&1, RemovalCause::Invalidated).as_deref(),
        Some(&1)
    );
    assert_eq!(map.remove(&1, RemovalCause::Invalidated), None);
    assert!(put(&map, 4, 1).evicted.is_empty());
    assert_eq!(keys(&put(&map, 5, 1).evicted), [2]);
    assert_eq!(map.stats().removed(RemovalCause::Invalidated), 1);
}

#[test]
fn limits_of_nothing_keep_nothing() {
    for map in [map(0, 100), map(10, 0)] {
        assert!(!put(&map, 1, 1).kept);
        assert!(map.is_empty());
    }
}

#[test]
fn evict_takes_what_it_is_asked_for_and_no_more_than_is_held() {
    let map = map(10, 100);
    for key in 0..5 {
        let _ = put(&map, key, 1);
    }
    assert!(map.evict(0).is_empty());
    assert_eq!(keys(&map.evict(2)), [0, 1]);
    assert_eq!(map.evict(99).len(), 3);
    assert_eq!(map.stats().removed(RemovalCause::Pressure), 5);
}

#[test]
fn keys_are_looked_up_by_what_they_borrow() {
    let map = BoundedMap::<Arc<str>, u32>::new(limits(10, 100, 1), Strategy::Lru);
    let _ = map.insert("a".into(), 1, 1);
    assert_eq!(map.get("a"), Some(1));
    assert_eq!(map.get_many(&["b", "a"]), [None, Some(1)]);
    assert_eq!(map.remove("a", RemovalCause::Explicit), Some(1));
}

/// A value that looks at its map when it is dropped: a deadlock if any lock were held.
#[derive(Clone)]
struct Curious {
    _looker: Arc<Looker>,
}
struct Looker(std::sync::Weak<BoundedMap<u8, Curious>>);
impl Drop for Looker {
    fn drop(&mut self) {
        if let Some(map) = self.0.upgrade() {
            map.usage();
            map.keys();
        }
    }
}

#[test]
fn values_are_dropped_outside_every_lock() {
    let map = Arc::new(BoundedMap::new(limits(2, 100, 1), Strategy::Lru));
    let value = || Curious {
        _looker: Arc::new(Looker(Arc::downgrade(&map))),
    };
    for key in 0..5 {
        let _ = map.insert(key, value(), 1);
    }
    let _ = map.insert(4, value(), 1);
    let _ = map.insert(4, value(), 101);
    let _ = map.insert(5, value(), 101);
    map.remove(&3, RemovalCause::Explicit);
    let _ = map.insert(6, value(), 1);
    map.remove_if(&6, RemovalCause::Expired, |_| map.len() == 1);
    let _ = map.insert(7, value(), 1);
    map.set_limits(limits(0, 0, 1));
    map.evict(1);
    map.clear();
    map.validate();
}

/// Runs a body in eight threads, each with a seed.
fn in_eight_threads(body: impl Fn(u64) + Sync) {
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let body = &body;
            scope.spawn(move || body(seed));
        }
    });
}

fn mixed(map: &Map, seed: u64, operations: usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..operations {
        let key = random.u8(..);
        match random.u8(..100) {
            0..50 => {
                if let Some(value) = map.get(&key) {
                    assert_eq!(*value, u32::from(key), "a value of another key");
                }
            }
            50..55 => {
                let keys = [key, key.wrapping_add(1), key.wrapping_add(2)];
                for (key, value) in keys.iter().zip(map.get_many(&keys.each_ref())) {
                    assert!(value.is_none_or(|value| *value == u32::from(*key)));
                }
            }
            55..85 => _ = put(map, key, random.u64(..50)),
            85..95 => _ = map.remove(&key, RemovalCause::Explicit),
            95..98 => _ = map.remove_if(&key, RemovalCause::Expired, |value| **value % 2 == 0),
            _ => _ = map.evict(2),
        }
    }
}

#[test]
fn agrees_with_itself_after_eight_threads() {
    for strategy in Strategy::ALL {
        let map = Map::new(limits(100, 1500, 7), strategy);
        in_eight_threads(|seed| mixed(&map, seed, 100_000));
        map.validate();
        // The order holds exactly what storage holds.
        let held = map.len();
        assert_eq!(map.evict(usize::MAX).len(), held);
        map.validate();
        assert!(map.keys().is_empty());
    }
}

#[test]
fn is_never_over_its_limits_when_somebody_looks() {
    let bounds = limits(50, 700, 3);
    let map = Map::new(bounds, Strategy::Lru);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let observer = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) || looks < 100 {
                let usage = map.usage();
                assert!(!bounds.exceeded_by(usage), "{usage:?}");
                assert!(map.keys().len() <= bounds.max_items);
                looks += 1;
            }
        });
        in_eight_threads(|seed| mixed(&map, seed, 20_000));
        done.store(true, Ordering::Relaxed);
        observer.join().unwrap();
    });
    map.validate();
}
