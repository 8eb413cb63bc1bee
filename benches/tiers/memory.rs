//! The tier in memory against moka with a time to live, and quick_cache, which knows of no end; what the
//! policies cost; and what a cache of values adds to its tier.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use cardex::kv::{KvCache, KvOptions};
use cardex::tier::{Key, Lifetime, MemoryTier, MemoryTierOptions, Tier};
use cardex::{Cache, Strategy, SystemClock};

use crate::common::race::{race, report};
use crate::common::{Random, small};

/// Look-ups in a turn.
const TURN: usize = 1024;
const TTL: Duration = Duration::from_secs(300);

pub(crate) fn keys(count: usize) -> Vec<Key> {
    let key = |n| Key::from_parts(["tool", "summary", &format!("src/file_{n}.rs")]);
    (0..count).map(|n| key(n).expect("a key")).collect()
}

pub(crate) fn memory(items: usize, strategy: Strategy) -> MemoryTier {
    let options = MemoryTierOptions::default()
        .max_items(items)
        .and_then(|options| options.max_bytes(1 << 30))
        .and_then(|options| options.ttl(TTL))
        .expect("in range");
    let options = options.eviction_strategy(strategy);
    MemoryTier::new("bench", options, Arc::new(SystemClock))
}

fn value(n: usize) -> Arc<[u8]> {
    format!("\"the summary of file {n}, {}\"", "x".repeat(200))
        .into_bytes()
        .into()
}

pub(crate) fn run() {
    hits();
    churn();
    typed();
}

fn hits() {
    let count = if small() { 1_000 } else { 100_000 };
    let keys = keys(count);
    let theirs = moka::sync::Cache::builder()
        .max_capacity(count as u64 * 2)
        .time_to_live(TTL)
        .build_with_hasher(foldhash::fast::RandomState::default());
    let quick = quick_cache::sync::Cache::<Key, Arc<[u8]>>::new(count * 2);
    let tier = memory(count, Strategy::Lru);
    for (n, key) in keys.iter().enumerate() {
        let kept = tier.put(key, value(n), 1, Lifetime::Default.into());
        assert!(kept.expect("memory does not fail"));
        theirs.insert(key.clone(), value(n));
        quick.insert(key.clone(), value(n));
    }
    for (n, key) in keys.iter().enumerate().step_by(7) {
        let ours = tier.get(key).expect("memory does not fail").expect("there");
        assert_eq!(*ours.value, *value(n));
        assert_eq!(*theirs.get(key).expect("there"), *value(n));
        assert_eq!(*quick.get(key).expect("there"), *value(n));
    }
    let mut random = Random(5);
    let asked: Vec<&Key> = (0..TURN).map(|_| &keys[random.below(count)]).collect();
    let [ours, moka, quick] = race(
        TURN,
        [
            &mut || {
                for key in &asked {
                    black_box(tier.get(key).expect("memory does not fail"));
                }
            },
            &mut || {
                for key in &asked {
                    black_box(theirs.get(*key));
                }
            },
            &mut || {
                for key in &asked {
                    black_box(quick.get(*key));
                }
            },
        ],
    );
    report("tiers", "memory,hit", "moka,ttl", ours, moka, Some(3.0));
    report(
        "tiers",
        "memory,hit",
        "quick_cache,no-ttl",
        ours,
        quick,
        None,
    );
}

/// A tier that holds a tenth of what is asked for: a miss puts.
fn churn() {
    let count = if small() { 2_000 } else { 100_000 };
    let keys = keys(count);
    let mut random = Random(7);
    // Zipf, about: the rank's inverse.
    let mut zipf = || {
        let share = (random.below(1 << 20) + 1) as f64 / (1 << 20) as f64;
        ((count as f64).powf(share) as usize).saturating_sub(1)
    };
    let asked: Vec<&Key> = (0..TURN * 64).map(|_| &keys[zipf()]).collect();
    let theirs = moka::sync::Cache::builder()
        .max_capacity(count as u64 / 10)
        .time_to_live(TTL)
        .build_with_hasher(foldhash::fast::RandomState::default());
    let body = value(1);
    for strategy in Strategy::ALL {
        let tier = memory(count / 10, strategy);
        let [ours, moka] = race(
            asked.len(),
            [
                &mut || {
                    for key in &asked {
                        if tier.get(key).expect("memory does not fail").is_none() {
                            let term = Lifetime::Default.into();
                            let put = tier.put(key, Arc::clone(&body), 1, term);
                            black_box(put.expect("memory does not fail"));
                        }
                    }
                },
                &mut || {
                    for key in &asked {
                        if theirs.get(*key).is_none() {
                            theirs.insert((*key).clone(), Arc::clone(&body));
                        }
                    }
                },
            ],
        );
        let stats = tier.stats().expect("memory does not fail");
        let case = format!("memory,get+put,{strategy},hits={:.2}", stats.hit_rate());
        report("tiers", &case, "moka,ttl", ours, moka, None);
    }
}

/// A typed value, decoded at each hit.
fn typed() {
    let tier = Arc::new(memory(10_000, Strategy::Lru));
    let cache = KvCache::new(
        "bench",
        KvOptions::default(),
        Arc::clone(&tier) as Arc<dyn Tier>,
        Arc::new(SystemClock),
    );
    let keys = keys(1_000);
    for key in &keys {
        let kept = cache.set(key, &vec!["a name"; 20], Lifetime::Default);
        assert!(kept.expect("memory does not fail"));
    }
    let mut random = Random(9);
    let asked: Vec<&Key> = (0..TURN).map(|_| &keys[random.below(keys.len())]).collect();
    let plain: Vec<Arc<[u8]>> = asked
        .iter()
        .map(|key| tier.get(key).ok().flatten().expect("there").value)
        .collect();
    let [ours, bytes, parse] = race(
        TURN,
        [
            &mut || {
                for key in &asked {
                    black_box(cache.get::<Vec<String>>(*key).expect("a key"));
                }
            },
            &mut || {
                for key in &asked {
                    black_box(cache.get_bytes(*key).expect("a key"));
                }
            },
            &mut || {
                for (key, value) in asked.iter().zip(&plain) {
                    black_box(tier.get(key).expect("memory does not fail"));
                    // The head of the envelope comes before the value.
                    black_box(serde_json::from_slice::<Vec<String>>(&value[9..]).expect("JSON"));
                }
            },
        ],
    );
    report(
        "tiers",
        "cache,get<Vec<String>>",
        "tier+serde_json",
        ours,
        parse,
        None,
    );
    report(
        "tiers",
        "cache,get_bytes",
        "tier+serde_json",
        bytes,
        parse,
        None,
    );
}
