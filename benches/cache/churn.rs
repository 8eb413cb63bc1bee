//! A full cache at work: get, and insert what was not there, which evicts. 10 % of the keys fit.

use std::hint::black_box;
use std::sync::Arc;

use cardex::{BoundedMap, Limits, Strategy};

use crate::race::{race, report};
use crate::traces::Zipf;
use crate::{items, path, small};

/// Requests in a turn.
const TURN: usize = 64 * 1024;
/// The default of the product.
const BATCH: usize = 100;

type Key = Arc<str>;
type Value = Arc<[u64; 8]>;

pub(crate) fn run() {
    let keys: usize = if small() { 10_000 } else { 100_000 };
    let capacity = keys / 10;
    let mut zipf = Zipf::new(keys, 9);
    let wanted: Vec<u32> = (0..TURN).map(|_| zipf.draw()).collect();
    victims_are_exact(&wanted, capacity);

    let records: Vec<(Key, Value)> = (0..keys as u32)
        .map(|n| (path(n).into(), Arc::new([u64::from(n); 8])))
        .collect();
    let requests: Vec<&(Key, Value)> = wanted.iter().map(|n| &records[*n as usize]).collect();
    let batched = Limits {
        eviction_batch: BATCH,
        ..items(capacity)
    };
    let lru = BoundedMap::new(items(capacity), Strategy::Lru);
    let lru_batched = BoundedMap::new(batched, Strategy::Lru);
    let lfu = BoundedMap::new(items(capacity), Strategy::Lfu);
    let s3fifo = BoundedMap::new(items(capacity), Strategy::S3Fifo);
    let ours = [
        ("lru", lru),
        ("lru,batch=100", lru_batched),
        ("lfu", lfu),
        ("s3fifo", s3fifo),
    ];
    let quick = quick_cache::sync::Cache::new(capacity);
    let moka = moka::sync::Cache::new(capacity as u64);
    // One peer at a time: a third cache would only push the others out of the processor's.
    for (policy, map) in ours {
        let case = format!("get+insert+evict,{policy},zipf,10%");
        let [ours, theirs] = race(
            TURN,
            [
                &mut || {
                    fill(
                        &requests,
                        |key| map.get(key),
                        |k, v| _ = map.insert(k, v, 1),
                    )
                },
                &mut || fill(&requests, |key| quick.get(key), |k, v| quick.insert(k, v)),
            ],
        );
        let target = policy.starts_with("lru").then_some(1.0);
        report("cache", &case, "quick_cache", ours, theirs, target);
        let [ours, theirs] = race(
            TURN,
            [
                &mut || {
                    fill(
                        &requests,
                        |key| map.get(key),
                        |k, v| _ = map.insert(k, v, 1),
                    )
                },
                &mut || fill(&requests, |key| moka.get(key), |k, v| moka.insert(k, v)),
            ],
        );
        report("cache", &case, "moka", ours, theirs, None);
    }
}

fn fill(
    requests: &[&(Key, Value)],
    get: impl Fn(&str) -> Option<Value>,
    insert: impl Fn(Key, Value),
) {
    for (key, value) in requests {
        if black_box(get(key)).is_none() {
            insert(Arc::clone(key), Arc::clone(value));
        }
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
