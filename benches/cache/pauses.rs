//! The longest pause: how long the slowest of many inserts into a full cache takes, while every
//! entry is hit now and then.

use std::time::Instant;

use cardex::{BoundedMap, Strategy};

use crate::common::small;
use crate::items;

/// Reads between two inserts.
const READS: u32 = 4;

pub(crate) fn run() {
    let sizes: &[u32] = if small() {
        &[10_000]
    } else {
        &[10_000, 1_000_000]
    };
    for &size in sizes {
        let inserts = size;
        for strategy in Strategy::FOR_RECORDS {
            let map = BoundedMap::new(items(size as usize), strategy);
            let get = |key| map.get(&key).is_some();
            let insert = |key| drop(map.insert(key, (), 1));
            print(
                &strategy.to_string(),
                size,
                longest(size, inserts, get, insert),
            );
        }
        let quick = quick_cache::sync::Cache::new(size as usize);
        let get = |key: u32| quick.get(&key).is_some();
        print(
            "quick_cache",
            size,
            longest(size, inserts, get, |key| quick.insert(key, ())),
        );
    }
}

fn print(who: &str, size: u32, [median, p99, longest]: [f64; 3]) {
    println!(
        "bench=cache case=pause,insert,{size} who={who} median={median:.2}us p999={p99:.2}us longest={longest:.2}us"
    );
}

/// Median, 99.9th percentile and maximum, in microseconds.
fn longest(size: u32, inserts: u32, get: impl Fn(u32) -> bool, insert: impl Fn(u32)) -> [f64; 3] {
    let mut random = fastrand::Rng::with_seed(10);
    (0..size).for_each(&insert);
    let mut times: Vec<f64> = (size..size + inserts)
        .map(|key| {
            (0..READS).for_each(|_| _ = get(key - 1 - random.u32(..size)));
            let start = Instant::now();
            insert(key);
            start.elapsed().as_nanos() as f64 / 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let last = times.len() - 1;
    [times[last / 2], times[last - last / 1000], times[last]]
}
