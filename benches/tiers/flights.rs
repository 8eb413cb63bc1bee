//! What it costs that many share one load; what it takes to bring a value up; and what it takes to find
//! the dependants of a file among a million entries.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use cardex::dependencies::{DependencyGraph, Source};
use cardex::kv::{KvCache, KvOptions};
use cardex::tier::{Lifetime, MemoryTier, Tier, Tiered, TieredOptions};
use cardex::{FilePath, Scope, Strategy, SystemClock};

use super::memory::{keys, memory};
use crate::common::race::{race, report};
use crate::common::small;

pub(crate) fn run() {
    single_flight();
    stampede();
    promotion();
    dependants();
}

fn cache(tier: Arc<dyn Tier>) -> KvCache {
    KvCache::new("bench", KvOptions::default(), tier, Arc::new(SystemClock))
}

/// A load that nobody else asks for, against a look, the work and a set.
fn single_flight() {
    let keys = keys(256);
    let (with, without) = (
        cache(Arc::new(memory(10_000, Strategy::Lru))),
        cache(Arc::new(memory(10_000, Strategy::Lru))),
    );
    let [ours, theirs] = race(
        keys.len(),
        [
            &mut || {
                with.clear().expect("memory does not fail");
                for key in &keys {
                    let made = with.get_or_load(key, Lifetime::Default, || Ok(7_u64));
                    assert_eq!(made.expect("memory does not fail"), 7);
                }
            },
            &mut || {
                without.clear().expect("memory does not fail");
                for key in &keys {
                    assert_eq!(without.get::<u64>(key).expect("a key"), None);
                    let set = without.set(key, &7_u64, Lifetime::Default);
                    black_box(set.expect("memory does not fail"));
                }
            },
        ],
    );
    report("tiers", "load,alone", "get+set", ours, theirs, None);
}

/// A thousand callers who miss the same key at the same time.
fn stampede() {
    let callers = if small() { 100 } else { 1000 };
    let cache = cache(Arc::new(memory(10_000, Strategy::Lru)));
    let (loads, together) = (AtomicUsize::new(0), Barrier::new(callers));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                together.wait();
                let made = cache.get_or_load("k", Lifetime::Default, || {
                    loads.fetch_add(1, Ordering::SeqCst);
                    Ok(7_u64)
                });
                assert_eq!(made.expect("memory does not fail"), 7);
            });
        }
    });
    let (loads, took) = (loads.load(Ordering::SeqCst), begun.elapsed());
    let verdict = if loads == 1 { "ok" } else { "short" };
    println!(
        "bench=tiers case=stampede,{callers}callers peer=loads ours={loads} theirs=1 ratio=1.00 target=1 {verdict} took={took:.1?}"
    );
}

/// A hit in the second of two tiers, which brings the value up, against a get and a put.
fn promotion() {
    let keys = keys(256);
    let clock = Arc::new(SystemClock);
    let lower = Arc::new(memory(10_000, Strategy::Lru));
    let upper = Arc::new(memory(10_000, Strategy::Lru));
    let plain: MemoryTier = memory(10_000, Strategy::Lru);
    let tiers: Vec<Arc<dyn Tier>> = vec![upper.clone(), lower.clone()];
    let tiered = Tiered::new("bench", tiers, TieredOptions::default(), clock).expect("two tiers");
    let term = Lifetime::Default.into();
    for key in &keys {
        lower
            .put(key, b"value"[..].into(), 1, term)
            .expect("memory");
    }
    let [ours, theirs, hit] = race(
        keys.len(),
        [
            &mut || {
                for key in &keys {
                    upper.remove(key).expect("memory");
                    assert!(tiered.get(key).expect("memory").is_some());
                }
            },
            &mut || {
                for key in &keys {
                    plain.remove(key).expect("memory");
                    let entry = lower.get(key).expect("memory").expect("there");
                    plain
                        .put(key, entry.value, entry.version, term)
                        .expect("memory");
                }
            },
            &mut || {
                for key in &keys {
                    assert!(tiered.get(key).expect("memory").is_some());
                }
            },
        ],
    );
    report(
        "tiers",
        "promotion,memory-to-memory",
        "get+put",
        ours,
        theirs,
        None,
    );
    let [plain] = race(
        keys.len(),
        [&mut || {
            for key in &keys {
                assert!(upper.get(key).expect("memory").is_some());
            }
        }],
    );
    report(
        "tiers",
        "tiered,hit-in-memory",
        "memory-alone",
        hit,
        plain,
        None,
    );
}

/// Ten dependants of one file among a million entries.
fn dependants() {
    let count = if small() { 10_000 } else { 1_000_000 };
    let graph = DependencyGraph::new();
    for (n, key) in keys(count).iter().enumerate() {
        let file = format!("src/d{}/f{}.rs", n % 1000, n % (count / 10));
        let source = Source::under(Path::new("/"), &file).expect("inside");
        graph.record(key, 1, &[source], &[]);
    }
    let scope = Scope::Path(FilePath::new("src/d7/f7.rs").expect("a path"));
    let found = graph.dependants(&scope).expect("a path");
    assert_eq!(found.len(), 10);
    let [ours] = race(
        1,
        [&mut || {
            black_box(graph.dependants(&scope).expect("a path"));
        }],
    );
    report(
        "tiers",
        &format!("dependants,10of{count}"),
        "1ms",
        ours,
        1e6,
        Some(1.0),
    );
}
