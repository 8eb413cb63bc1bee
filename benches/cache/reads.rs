//! Reads that hit: 100,000 resident records under paths, asked for in uniform and in Zipf order.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use cardex::{BoundedMap, Strategy};
use parking_lot::RwLock;

use crate::common::race::{median, race, report};
use crate::common::small;
use crate::traces::Zipf;
use crate::{items, path};

/// Reads in a turn.
const TURN: usize = 64 * 1024;
/// Keys in one `get_many`.
const MANY: usize = 64;

type Key = Arc<str>;
/// The value is shared; its words stand for a record's fields.
type Value = Arc<[u64; 8]>;

/// One set of records in every cache.
struct Caches {
    lru: BoundedMap<Key, Value>,
    lfu: BoundedMap<Key, Value>,
    s3fifo: BoundedMap<Key, Value>,
    quick: quick_cache::sync::Cache<Key, Value>,
    moka: moka::sync::Cache<Key, Value>,
    locked: RwLock<HashMap<Key, Value>>,
}

pub(crate) fn run() {
    let records = if small() { 10_000 } else { 100_000 };
    let caches = Caches::new(records);
    let mut random = fastrand::Rng::with_seed(7);
    let uniform: Vec<u32> = (0..TURN).map(|_| random.u32(..records)).collect();
    let mut zipf = Zipf::new(records as usize, 8);
    let mut ranks: Vec<u32> = (0..records).collect();
    random.shuffle(&mut ranks);
    let zipf: Vec<u32> = (0..TURN).map(|_| ranks[zipf.draw() as usize]).collect();
    for (order, wanted) in [("uniform", uniform), ("zipf", zipf)] {
        let asked = Asked::new(&wanted);
        let case = format!("{order},{}k", records / 1000);
        caches.agree(&asked);
        caches.one_thread(&case, &asked);
        caches.many(&case, &asked);
        caches.two_threads(&case, &asked);
    }
}

/// The keys as callers bring them: just made, one after the other in memory.
struct Asked {
    text: String,
    ends: Vec<usize>,
}

impl Asked {
    fn new(wanted: &[u32]) -> Self {
        let (mut text, mut ends) = (String::new(), Vec::new());
        for n in wanted {
            text.push_str(&path(*n));
            ends.push(text.len());
        }
        Asked { text, ends }
    }

    fn keys(&self) -> Vec<&str> {
        let starts = std::iter::once(&0).chain(&self.ends);
        let bounds = starts.zip(&self.ends);
        bounds
            .map(|(start, end)| &self.text[*start..*end])
            .collect()
    }
}

impl Caches {
    fn new(records: u32) -> Self {
        let capacity = records as usize * 2;
        let bounded = |strategy| BoundedMap::new(items(capacity), strategy);
        let caches = Caches {
            lru: bounded(Strategy::Lru),
            lfu: bounded(Strategy::Lfu),
            s3fifo: bounded(Strategy::S3Fifo),
            quick: quick_cache::sync::Cache::new(capacity),
            moka: moka::sync::Cache::new(capacity as u64),
            locked: RwLock::default(),
        };
        for n in 0..records {
            // Each cache has its own copies, made in the same order.
            let pair = || -> (Key, Value) { (path(n).into(), Arc::new([u64::from(n); 8])) };
            for map in [&caches.lru, &caches.lfu, &caches.s3fifo] {
                let (key, value) = pair();
                let _ = map.insert(key, value, 1);
            }
            let (key, value) = pair();
            caches.quick.insert(key, value);
            let (key, value) = pair();
            caches.moka.insert(key, value);
            let (key, value) = pair();
            caches.locked.write().insert(key, value);
        }
        caches.moka.run_pending_tasks();
        caches
    }

    fn agree(&self, asked: &Asked) {
        let keys = asked.keys();
        for chunk in keys.chunks(MANY) {
            let many = self.lru.get_many(chunk);
            for (key, found) in chunk.iter().zip(many) {
                assert!(found.is_some());
                assert_eq!(found, self.lru.get(*key));
                assert_eq!(found, self.quick.get(*key));
                assert_eq!(found, self.locked.read().get(*key).cloned());
            }
        }
    }

    fn one_thread(&self, case: &str, asked: &Asked) {
        let keys = asked.keys();
        for (policy, map) in [
            ("lru", &self.lru),
            ("lfu", &self.lfu),
            ("s3fifo", &self.s3fifo),
        ] {
            let case = format!("get,{policy},{case},1thread");
            // One peer at a time: a third cache would only push the others out of the processor's.
            let against = |peer, target, theirs: &mut dyn FnMut()| {
                let mut ours = || each(&keys, |key| map.get(key));
                let [ours, theirs] = race(TURN, [&mut ours, theirs]);
                report("cache", &case, peer, ours, theirs, target);
            };
            against("quick_cache", Some(1.0), &mut || {
                each(&keys, |key| self.quick.get(key))
            });
            against("moka", Some(4.0), &mut || {
                each(&keys, |key| self.moka.get(key))
            });
            against("RwLock<HashMap>", None, &mut || {
                each(&keys, |key| self.locked.read().get(key).cloned());
            });
        }
    }

    fn many(&self, case: &str, asked: &Asked) {
        let keys = asked.keys();
        let [ours, own, quick] = race(
            TURN,
            [
                &mut || {
                    for chunk in keys.chunks(MANY) {
                        black_box(self.lru.get_many(chunk));
                    }
                },
                &mut || each(&keys, |key| self.lru.get(key)),
                &mut || each(&keys, |key| self.quick.get(key)),
            ],
        );
        let case = format!("get_many,64,{case},1thread");
        report("cache", &case, "own_gets", ours, own, Some(1.0));
        report("cache", &case, "quick_cache_gets", ours, quick, Some(2.0));
    }

    fn two_threads(&self, case: &str, asked: &Asked) {
        let keys = asked.keys();
        let rounds = if small() { 3 } else { 15 };
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            times[0].push(in_two(&keys, |key| self.lru.get(key)));
            times[1].push(in_two(&keys, |key| self.quick.get(key)));
        }
        let [ours, quick] = times.map(median);
        let case = format!("get,lru,{case},2threads");
        report("cache", &case, "quick_cache", ours, quick, None);
    }
}

fn each(keys: &[&str], get: impl Fn(&str) -> Option<Value>) {
    for key in keys {
        black_box(get(key));
    }
}

/// The time that a read takes of each of two threads that read at once.
fn in_two(keys: &[&str], get: impl Fn(&str) -> Option<Value> + Sync) -> f64 {
    let barrier = std::sync::Barrier::new(2);
    let turn = || {
        barrier.wait();
        let start = Instant::now();
        each(keys, &get);
        start.elapsed().as_nanos() as f64 / keys.len() as f64
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(turn);
        let mine = turn();
        mine.max(other.join().expect("reading does not panic"))
    })
}
