//! Whom do the policies keep? Hit ratios at 1 % and 10 % of the keys of each trace.

use cardex::{BoundedMap, Strategy};

use crate::items;
use crate::traces::Trace;

/// The best of ours may be so many points below the best peer.
const MARGIN: f64 = 0.5;
/// On the drifting traces, aged LFU reaches this share of LRU.
const AGED: f64 = 0.95;
/// Peers that admit in batches are told to do so this often.
const UPKEEP: usize = 32;

pub(crate) fn run() {
    for trace in Trace::all() {
        let distinct = trace.distinct();
        for percent in [1, 10] {
            compare(&trace, percent, distinct * percent / 100);
        }
    }
}

fn compare(trace: &Trace, percent: usize, capacity: usize) {
    let case = format!("hits,{},{percent}%", trace.name);
    let optimum = 100.0 * trace.optimum(capacity);
    let ours: Vec<(Strategy, f64)> = Strategy::FOR_RECORDS
        .into_iter()
        .map(|strategy| (strategy, bounded(trace, strategy, capacity)))
        .collect();
    let best = ours.iter().map(|(_, hits)| *hits).fold(0.0, f64::max);
    for (strategy, hits) in &ours {
        let share = hits / optimum;
        println!(
            "bench=cache case={case} policy={strategy} ours={hits:.2} optimum={optimum:.2} ratio={share:.3}"
        );
    }
    let peers = [
        ("quick_cache", quick_cache(trace, capacity)),
        ("moka", moka(trace, capacity)),
        ("lru", lru(trace, capacity)),
    ];
    for (peer, hits) in peers {
        let verdict = if best >= hits - MARGIN { "ok" } else { "short" };
        let share = best / optimum;
        println!(
            "bench=cache case={case} peer={peer} ours={best:.2} theirs={hits:.2} \
             optimum={optimum:.2} ratio={share:.3} target=-{MARGIN} {verdict}"
        );
    }
    let of = |wanted| {
        ours.iter()
            .find(|(s, _)| *s == wanted)
            .map_or(0.0, |(_, hits)| *hits)
    };
    assert!(
        (of(Strategy::Lru) - peers[2].1).abs() < 1e-9,
        "LRU is exact, so it hits as the `lru` crate does"
    );
    if ["drift", "turnover"].contains(&trace.name) {
        let ratio = of(Strategy::Lfu) / of(Strategy::Lru);
        let verdict = if ratio >= AGED { "ok" } else { "short" };
        println!("bench=cache case={case},lfu/lru ratio={ratio:.3} target={AGED} {verdict}");
    }
}

fn ratio(trace: &Trace, mut hit: impl FnMut(usize, u32) -> bool) -> f64 {
    let requests = trace.keys.iter().enumerate();
    let hits = requests.filter(|(at, key)| hit(*at, **key)).count();
    100.0 * hits as f64 / trace.keys.len() as f64
}

fn bounded(trace: &Trace, strategy: Strategy, capacity: usize) -> f64 {
    let map = BoundedMap::<u32, ()>::new(items(capacity), strategy);
    ratio(trace, |_, key| {
        let hit = map.get(&key).is_some();
        if !hit {
            let _ = map.insert(key, (), 0);
        }
        hit
    })
}

fn quick_cache(trace: &Trace, capacity: usize) -> f64 {
    let cache = quick_cache::sync::Cache::<u32, ()>::new(capacity);
    ratio(trace, |_, key| {
        let hit = cache.get(&key).is_some();
        if !hit {
            cache.insert(key, ());
        }
        hit
    })
}

fn moka(trace: &Trace, capacity: usize) -> f64 {
    let cache = moka::sync::Cache::<u32, ()>::new(capacity as u64);
    ratio(trace, |at, key| {
        let hit = cache.get(&key).is_some();
        if !hit {
            cache.insert(key, ());
        }
        if at % UPKEEP == 0 {
            cache.run_pending_tasks();
        }
        hit
    })
}

fn lru(trace: &Trace, capacity: usize) -> f64 {
    let capacity = capacity.try_into().expect("traces have hundreds of keys");
    let mut cache = lru::LruCache::<u32, ()>::new(capacity);
    ratio(trace, |_, key| {
        let hit = cache.get(&key).is_some();
        if !hit {
            cache.put(key, ());
        }
        hit
    })
}
