//! Ten thousand requests, nine in ten of them repeats: one load for each other one, and fast answers.

use std::time::{Duration, Instant};

use crate::support::{NEVER, case};

const KEYS: usize = 1000;
const REQUESTS: usize = 10_000;

#[test]
fn nine_repeats_in_ten_are_a_hit_rate_of_ninety_percent_and_a_thousand_loads() {
    let cache = case();
    let mut order: Vec<usize> = (0..REQUESTS).map(|n| n % KEYS).collect();
    fastrand::Rng::with_seed(7).shuffle(&mut order);
    let mut latencies: Vec<Duration> = order.into_iter().map(|n| request(&cache, n)).collect();
    let stats = cache.stats().unwrap();
    assert_eq!((stats.loads, stats.misses), (KEYS as u64, KEYS as u64));
    assert_eq!(stats.hit_rate(), 0.9);
    latencies.sort_unstable();
    let p95 = latencies[REQUESTS * 95 / 100];
    assert!(p95 < Duration::from_millis(5), "{p95:?}");
}

fn request(cache: &cardex::kv::KvCache, n: usize) -> Duration {
    let (key, began) = (format!("key:{n}"), Instant::now());
    assert_eq!(cache.get_or_load(&key, NEVER, || Ok(n)).unwrap(), n);
    began.elapsed()
}
