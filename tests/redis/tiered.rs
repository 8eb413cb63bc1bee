//! A Redis server under memory: while it is away memory goes on, and what it missed is put right when it
//! is back, so that nobody gets what it held before.

use std::sync::Arc;

use cardex::tier::{
    Key, Lifetime, MemoryTier, MemoryTierOptions, RedisTier, Tier, Tiered, TieredOptions,
};
use cardex::{HealthState, SystemClock};

use crate::redis_support::{Server, hasty_client, soon, tier};
use crate::verbs::{key, ms};

/// A process: memory above the server.
fn process(server: &Server) -> Arc<Tiered> {
    let clock = Arc::new(SystemClock);
    let memory = MemoryTier::new("memory", MemoryTierOptions::default(), clock.clone());
    let redis: RedisTier = tier(hasty_client(&server.url()));
    let options = TieredOptions::default()
        .repair_interval(Some(ms(20)))
        .probe_interval(ms(20));
    let tiers: Vec<Arc<dyn Tier>> = vec![Arc::new(memory), Arc::new(redis)];
    Tiered::new("tiered", tiers, options, clock).unwrap()
}

fn put(tier: &dyn Tier, k: &Key, value: &[u8]) {
    let kept = tier.put(k, value.into(), 1, Lifetime::Default.into());
    assert!(kept.unwrap());
}

fn get(tier: &dyn Tier, k: &Key) -> Option<Vec<u8>> {
    tier.get(k).unwrap().map(|entry| entry.value.to_vec())
}

#[test]
fn what_a_server_missed_while_it_stood_still_is_put_right_before_anybody_asks_it() {
    let server = Server::start();
    let (process, other) = (process(&server), server.tier());
    let (changed, removed) = (key("changed"), key("removed"));
    for k in [&changed, &removed] {
        put(&*process, k, b"old");
        assert_eq!(get(&other, k).unwrap(), b"old");
    }
    assert_eq!(process.health().state, HealthState::Healthy);
    server.freeze();
    put(&*process, &changed, b"new");
    assert_eq!(get(&*process, &changed).unwrap(), b"new");
    // What cannot be removed everywhere is told, or hidden; it is never returned.
    _ = process.remove(&removed);
    assert_eq!(process.get(&removed).unwrap_or(None), None);
    assert_eq!(process.health().state, HealthState::Degraded);
    server.thaw();
    soon("the server is put right", || !process.is_owed());
    assert_eq!(get(&*process, &changed).unwrap(), b"new");
    assert_ne!(get(&other, &changed).as_deref(), Some(&b"old"[..]));
    assert_eq!(get(&other, &removed), None);
    soon("all is well", || {
        put(&*process, &changed, b"newer");
        process.health().state == HealthState::Healthy
    });
    assert_eq!(get(&other, &changed).unwrap(), b"newer");
}

#[test]
fn a_server_that_was_killed_comes_back_under_memory_by_itself() {
    let mut server = Server::start();
    let process = process(&server);
    let k = key("k");
    put(&*process, &k, b"v");
    server.kill();
    for n in 0..50 {
        assert_eq!(get(&*process, &k).unwrap(), b"v");
        put(&*process, &key(n), b"meanwhile");
        assert_eq!(get(&*process, &key(n)).unwrap(), b"meanwhile");
    }
    assert_eq!(process.health().state, HealthState::Degraded);
    server.restart();
    let other = server.tier();
    soon("writes arrive", || {
        put(&*process, &k, b"new");
        get(&other, &k).is_some()
    });
    soon("all is well", || {
        _ = process.get(&key("absent"));
        process.health().state == HealthState::Healthy
    });
}
