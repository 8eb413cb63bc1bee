//! A tier that is down: a read is a miss, a write tells, and counters and health tell too.

use cardex::{ErrorKind, HealthState};

use crate::support::{NEVER, case, pattern};

#[test]
fn a_tier_that_fails_is_a_miss_for_who_reads_and_an_error_for_who_writes() {
    let cache = case();
    cache.set("k", &1, NEVER).unwrap();
    cache.tier.set_down(true);
    assert_eq!(cache.get::<u32>("k").unwrap(), None);
    assert_eq!(cache.mget::<u32>(&["k"]).remove(0).unwrap(), None);
    assert!(!cache.exists("k").unwrap());
    assert_eq!(cache.ttl("k").unwrap(), None);
    let refused = [
        cache.set("k", &2, NEVER).unwrap_err(),
        cache.delete("k").unwrap_err(),
        cache.expire("k", NEVER).unwrap_err(),
        cache.increment("n", 1).unwrap_err(),
        cache.clear().unwrap_err(),
        cache.delete_matching(&pattern("k*")).unwrap_err(),
        cache.keys(&pattern("*")).unwrap_err(),
    ];
    assert!(refused.iter().all(|error| error.kind() == ErrorKind::Io));
    assert_eq!(cache.health().state, HealthState::Unhealthy);
    cache.tier.set_down(false);
    assert_eq!(cache.health().state, HealthState::Healthy);
    assert_eq!(cache.get::<u32>("k").unwrap(), Some(1), "nothing changed");
    let stats = cache.stats().unwrap();
    assert_eq!((stats.hits, stats.misses, stats.errors), (1, 2, 11));
}

#[test]
fn a_health_check_changes_neither_data_nor_counters() {
    let cache = case();
    cache.set("k", &1, NEVER).unwrap();
    let before = cache.stats().unwrap();
    for _ in 0..10 {
        assert_eq!(cache.health().name, "cache");
    }
    assert_eq!(cache.stats().unwrap(), before);
}
