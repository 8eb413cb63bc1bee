//! `BoundedMap`: never above its limits as others see it, in agreement with itself at rest, and
//! every value that came in is held or was handed back, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use libtest_mimic::Trial;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};

use crate::bounded::{BoundedMap, Inserted, Limits, RemovalCause};
use crate::eviction::Strategy;
use crate::explore::{claim, join};

pub(crate) fn claims() -> Vec<Trial> {
    vec![
        claim("bounded: inserts at capacity", 5000, inserts_at_capacity),
        claim("bounded: insert against remove", 5000, insert_remove),
        claim("bounded: a replaced value is never missing", 5000, replace),
        claim("bounded: evict against insert", 5000, evict_insert),
        claim("bounded: lower limits against insert", 5000, lower_limits),
        claim("bounded: clear against insert", 5000, clear_insert),
        claim(
            "bounded: remove_if takes only what it was asked about",
            5000,
            remove_if,
        ),
        claim(
            "bounded: many keys are read within the limits",
            5000,
            get_many,
        ),
    ]
}

/// A value names its key: `key * 100 + number`. Each is inserted once.
type Value = u32;

fn key_of(value: Value) -> u8 {
    (value / 100) as u8
}

/// A map whose every outcome is written down.
#[derive(Clone)]
struct Ward {
    map: Arc<BoundedMap<u8, Value>>,
    came: Arc<std::sync::Mutex<BTreeMap<Value, u32>>>,
    left: Arc<std::sync::Mutex<BTreeMap<Value, u32>>>,
}

fn limits(max_items: usize, max_bytes: u64) -> Limits {
    Limits {
        max_items,
        max_bytes,
        eviction_batch: 1,
    }
}

impl Ward {
    fn new(limits: Limits) -> Self {
        let strategies = Strategy::FOR_RECORDS;
        let strategy = strategies[thread_rng().gen_range(0..strategies.len())];
        Ward {
            map: Arc::new(BoundedMap::new(limits, strategy)),
            came: Arc::default(),
            left: Arc::default(),
        }
    }

    /// In a thread of its own.
    fn spawn(&self, body: impl FnOnce(&Ward) + Send + 'static) -> JoinHandle<()> {
        let ward = self.clone();
        thread::spawn(move || body(&ward))
    }

    fn put(&self, value: Value, weight: u64) {
        let Inserted {
            kept,
            replaced,
            evicted,
        } = self.map.insert(key_of(value), value, weight);
        if kept {
            *self.came.lock().unwrap().entry(value).or_default() += 1;
        }
        if let Some(old) = replaced {
            assert_eq!(key_of(old), key_of(value));
            self.took(old);
        }
        self.took_all(evicted);
    }

    fn took(&self, value: Value) {
        *self.left.lock().unwrap().entry(value).or_default() += 1;
    }

    fn took_all(&self, entries: impl IntoIterator<Item = (u8, Value)>) {
        for (key, value) in entries {
            assert_eq!(key, key_of(value));
            self.took(value);
        }
    }

    /// What another thread sees at any moment.
    fn watch(&self, times: usize) {
        for _ in 0..times {
            let stats = self.map.stats();
            assert!(stats.usage.items <= stats.limits.max_items, "{stats:?}");
            assert!(stats.usage.bytes <= stats.limits.max_bytes, "{stats:?}");
            assert!(self.map.keys().len() <= stats.limits.max_items.max(1));
        }
    }

    /// All threads are done: the books must balance.
    fn at_rest(&self) {
        self.map.validate();
        let mut balance = self.left.lock().unwrap().clone();
        for key in self.map.keys() {
            let value = self.map.peek(&key).unwrap();
            assert_eq!(key_of(value), key);
            *balance.entry(value).or_default() += 1;
        }
        assert_eq!(balance, *self.came.lock().unwrap());
    }
}

fn inserts_at_capacity() {
    let ward = Ward::new(limits(2, 10));
    ward.put(900, 4);
    join([
        ward.spawn(|ward| [100, 200, 101].into_iter().for_each(|v| ward.put(v, 5))),
        ward.spawn(|ward| [300, 201].into_iter().for_each(|v| ward.put(v, 6))),
        ward.spawn(|ward| ward.watch(3)),
    ]);
    ward.at_rest();
}

fn insert_remove() {
    let ward = Ward::new(limits(2, 10));
    ward.put(100, 1);
    join([
        ward.spawn(|ward| [101, 200, 102].into_iter().for_each(|v| ward.put(v, 5))),
        ward.spawn(|ward| {
            for key in [1, 2, 1] {
                if let Some(value) = ward.map.remove(&key, RemovalCause::Explicit) {
                    assert_eq!(key_of(value), key);
                    ward.took(value);
                }
            }
        }),
        ward.spawn(|ward| ward.watch(2)),
    ]);
    ward.at_rest();
}

fn replace() {
    let ward = Ward::new(limits(3, 10));
    ward.put(100, 1);
    join([
        ward.spawn(|ward| [101, 200, 102].into_iter().for_each(|v| ward.put(v, 2))),
        ward.spawn(|ward| {
            let mut newest = 0;
            for _ in 0..4 {
                let value = ward.map.get(&1).expect("nobody removes it");
                assert!(key_of(value) == 1 && value >= newest);
                newest = value;
            }
        }),
        ward.spawn(|ward| {
            for _ in 0..2 {
                let [one, none] = ward.map.get_many(&[&1, &7])[..] else {
                    panic!("two answers to two keys");
                };
                assert!(one.is_some() && none.is_none());
            }
        }),
    ]);
    assert_eq!(ward.map.peek(&1), Some(102));
    ward.at_rest();
}

fn evict_insert() {
    let ward = Ward::new(limits(3, 30));
    [100, 200, 300].into_iter().for_each(|v| ward.put(v, 10));
    join([
        ward.spawn(|ward| [400, 101].into_iter().for_each(|v| ward.put(v, 10))),
        ward.spawn(|ward| {
            ward.took_all(ward.map.evict(2));
            ward.took_all(ward.map.evict(usize::MAX));
        }),
        ward.spawn(|ward| {
            for key in [1, 2, 1] {
                ward.map.get(&key);
            }
            ward.watch(1);
        }),
    ]);
    ward.at_rest();
}

fn lower_limits() {
    let ward = Ward::new(limits(4, 40));
    [100, 200, 300].into_iter().for_each(|v| ward.put(v, 10));
    join([
        ward.spawn(|ward| [400, 101, 500].into_iter().for_each(|v| ward.put(v, 10))),
        ward.spawn(|ward| {
            ward.took_all(ward.map.set_limits(limits(1, 15)));
            assert!(ward.map.usage().items <= 1, "{:?}", ward.map.usage());
            assert!(ward.map.usage().bytes <= 15, "{:?}", ward.map.usage());
        }),
        ward.spawn(|ward| {
            ward.map.get(&3);
            ward.watch(2);
        }),
    ]);
    ward.at_rest();
}

fn clear_insert() {
    let ward = Ward::new(limits(3, 30));
    [100, 200].into_iter().for_each(|v| ward.put(v, 10));
    join([
        ward.spawn(|ward| [300, 101, 400].into_iter().for_each(|v| ward.put(v, 10))),
        ward.spawn(|ward| {
            let cleared = ward.map.clear();
            let keys: Vec<u8> = cleared.iter().map(|entry| entry.0).collect();
            assert!(keys.contains(&2), "what was there before is cleared");
            ward.took_all(cleared);
        }),
        ward.spawn(|ward| ward.watch(2)),
    ]);
    ward.at_rest();
}

/// Only odd values are to go, and a value may change while the question is asked.
fn remove_if() {
    let ward = Ward::new(limits(2, 20));
    ward.put(101, 10);
    join([
        ward.spawn(|ward| [102, 103, 104].into_iter().for_each(|v| ward.put(v, 10))),
        ward.spawn(|ward| {
            for _ in 0..2 {
                let odd = |value: &Value| {
                    thread::yield_now();
                    value % 2 == 1
                };
                if let Some(value) = ward.map.remove_if(&1, RemovalCause::Invalidated, odd) {
                    assert!(value % 2 == 1, "{value} was not asked about");
                    ward.took(value);
                }
            }
        }),
        ward.spawn(|ward| ward.took_all(ward.map.evict(1))),
    ]);
    ward.at_rest();
}

/// The keys of one call are seen at one instant: never more of them than the map may hold.
fn get_many() {
    let ward = Ward::new(limits(2, 20));
    [100, 200].into_iter().for_each(|v| ward.put(v, 10));
    join([
        ward.spawn(|ward| [300, 400].into_iter().for_each(|v| ward.put(v, 10))),
        ward.spawn(|ward| [101, 201].into_iter().for_each(|v| ward.put(v, 10))),
        ward.spawn(|ward| {
            for _ in 0..2 {
                let found = ward.map.get_many(&[&1, &2, &3, &4]);
                let found: Vec<Value> = found.into_iter().flatten().collect();
                assert!(found.len() <= 2, "{found:?} at once");
            }
        }),
    ]);
    ward.at_rest();
}
