//! A full cache at work: get, and insert what was not there, which evicts. 10 % of the keys fit.
//!
//! A policy that hits less often inserts more often, and that is counted against it; so each line
//! tells which share of the requests missed, ours and theirs. In the `uniform` cases no policy can do
//! better than another, and nine requests of ten miss: they compare what a miss costs.

use std::hint::black_box;
use std::sync::Arc;

use cardex::{BoundedMap, Limits, Strategy};
use parking_lot::Mutex;

use crate::common::race::{race, report};
use crate::common::small;
use crate::traces::Zipf;
use crate::{items, path};

/// Requests in a turn.
const TURN: usize = 64 * 1024;
/// A stream is so many turns long. A short one would come round again and again, and reward whoever
/// keeps what comes next in the circle.
const TURNS: usize = 64;
/// The default of the product.
const BATCH: usize = 100;

type Key = Arc<str>;
type Value = Arc<[u64; 8]>;
type Quick = quick_cache::sync::Cache<Key, Value>;
type Moka = moka::sync::Cache<Key, Value>;
/// The exact order by another way: a linked list under a mutex.
type Linked = Mutex<lru::LruCache<Key, Value>>;

pub(crate) fn run() {
    let keys: usize = if small() { 10_000 } else { 100_000 };
    let capacity = keys / 10;
    let mut zipf = Zipf::new(keys, 9);
    let zipf: Vec<u32> = (0..TURN * TURNS).map(|_| zipf.draw()).collect();
    victims_are_exact(&zipf[..TURN], capacity);

    let mut random = fastrand::Rng::with_seed(12);
    let uniform: Vec<u32> = (0..TURN * TURNS)
        .map(|_| random.u32(..keys as u32))
        .collect();
    let records: Vec<(Key, Value)> = (0..keys as u32)
        .map(|n| (path(n).into(), Arc::new([u64::from(n); 8])))
        .collect();
    let zipf = Stream::new(&records, &zipf);
    let uniform = Stream::new(&records, &uniform);
    for (policy, strategy, batch) in [
        ("lru", Strategy::Lru, 1),
        ("lru,batch=100", Strategy::Lru, BATCH),
        ("lfu", Strategy::Lfu, 1),
        ("s3fifo", Strategy::S3Fifo, 1),
    ] {
        let limits = Limits {
            eviction_batch: batch,
            ..items(capacity)
        };
        let target = (strategy == Strategy::Lru).then_some(1.0);
        for (order, stream) in [("zipf", &zipf), ("uniform", &uniform)] {
            let case = format!("get+insert+evict,{policy},{order},10%");
            // New caches for each case, and one peer at a time: a third cache would only push the
            // others out of the processor's.
            stream.against::<Quick>(limits, strategy, &case, "quick_cache", target);
            stream.against::<Moka>(limits, strategy, &case, "moka", None);
            if strategy == Strategy::Lru {
                stream.against::<Linked>(limits, strategy, &case, "Mutex<lru>", None);
            }
        }
    }
}

/// A cache of the race.
trait Peer {
    fn of(capacity: usize) -> Self;
    fn find(&self, key: &str) -> Option<Value>;
    fn put(&self, key: Key, value: Value);
}

impl Peer for Quick {
    fn of(capacity: usize) -> Self {
        Quick::new(capacity)
    }

    fn find(&self, key: &str) -> Option<Value> {
        self.get(key)
    }

    fn put(&self, key: Key, value: Value) {
        self.insert(key, value);
    }
}

impl Peer for Moka {
    fn of(capacity: usize) -> Self {
        Moka::new(capacity as u64)
    }

    fn find(&self, key: &str) -> Option<Value> {
        self.get(key)
    }

    fn put(&self, key: Key, value: Value) {
        self.insert(key, value);
    }
}

impl Peer for Linked {
    fn of(capacity: usize) -> Self {
        let capacity = capacity.try_into().expect("a tenth of thousands");
        Mutex::new(lru::LruCache::new(capacity))
    }

    fn find(&self, key: &str) -> Option<Value> {
        self.lock().get(key).cloned()
    }

    fn put(&self, key: Key, value: Value) {
        // What it evicts is dropped when the lock is free, as ours is.
        let evicted = self.lock().push(key, value);
        drop(evicted);
    }
}

/// Requests without an end. Each cache goes through it at its own pace.
struct Stream<'r> {
    requests: Vec<&'r (Key, Value)>,
}

impl<'r> Stream<'r> {
    fn new(records: &'r [(Key, Value)], wanted: &[u32]) -> Self {
        let requests = wanted.iter().map(|n| &records[*n as usize]).collect();
        Stream { requests }
    }

    fn against<P: Peer>(
        &self,
        limits: Limits,
        strategy: Strategy,
        case: &str,
        peer: &str,
        target: Option<f64>,
    ) {
        let map = BoundedMap::<Key, Value>::new(limits, strategy);
        let theirs = P::of(limits.max_items);
        let (mut at, mut their_at) = (Place::default(), Place::default());
        let insert = |key, value| _ = map.insert(key, value, 1);
        let [ours, time] = race(
            TURN,
            [
                &mut || self.turn(&mut at, |key| map.get(key), insert),
                &mut || {
                    let put = |key, value| theirs.put(key, value);
                    self.turn(&mut their_at, |key| theirs.find(key), put);
                },
            ],
        );
        let case = format!("{case},miss={:.2}/{:.2}", at.missed(), their_at.missed());
        report("cache", &case, peer, ours, time, target);
    }

    fn turn(
        &self,
        place: &mut Place,
        get: impl Fn(&str) -> Option<Value>,
        insert: impl Fn(Key, Value),
    ) {
        let first = place.requests % self.requests.len();
        for (key, value) in &self.requests[first..first + TURN] {
            if black_box(get(key)).is_none() {
                place.misses += 1;
                insert(Arc::clone(key), Arc::clone(value));
            }
        }
        place.requests += TURN;
    }
}

/// How far a cache has come.
#[derive(Default)]
struct Place {
    requests: usize,
    misses: usize,
}

impl Place {
    fn missed(&self) -> f64 {
        self.misses as f64 / self.requests as f64
    }
}

/// Each victim of the map is the exact model's: a list in order of use.
fn victims_are_exact(wanted: &[u32], capacity: usize) {
    let map = BoundedMap::<u32, ()>::new(items(capacity), Strategy::Lru);
    let size = capacity.try_into().expect("a tenth of thousands");
    let mut model = lru::LruCache::<u32, ()>::new(size);
    for key in wanted {
        let hit = map.get(key).is_some();
        assert_eq!(hit, model.get(key).is_some());
        if !hit {
            let evicted = map.insert(*key, (), 1).evicted;
            let expected = model.push(*key, ());
            assert_eq!(evicted.into_iter().next(), expected, "the exact victim");
        }
    }
    println!("bench=cache case=victims,lru,zipf,10% peer=exact_model equal ok");
}
