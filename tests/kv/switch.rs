//! The switch: a cache that is off finds nothing and keeps nothing, and comes back without anything old.

use cardex::HealthState;
use cardex::kv::KvOptions;
use cardex::tier::Lifetime;

use crate::support::{NEVER, case, case_with, pattern};

#[test]
fn switched_off_it_finds_nothing_and_keeps_nothing() {
    let cache = case_with(KvOptions::default().enabled(false));
    assert!(!cache.set("k", &1, NEVER).unwrap());
    assert!(!cache.set_bytes("k", b"1", NEVER).unwrap());
    assert_eq!(cache.get::<u32>("k").unwrap(), None);
    assert_eq!(cache.mget::<u32>(&["k"]).remove(0).unwrap(), None);
    assert!(!cache.mset(&[("k", 1)], NEVER).remove(0).unwrap());
    assert!(!cache.delete("k").unwrap());
    assert!(!cache.exists("k").unwrap());
    assert!(!cache.expire("k", NEVER).unwrap());
    assert_eq!(cache.ttl("k").unwrap(), None);
    assert_eq!(cache.increment("n", 5).unwrap(), 5);
    assert_eq!(cache.increment("n", 5).unwrap(), 5);
    assert_eq!(cache.keys(&pattern("*")).unwrap(), []);
    assert_eq!(cache.delete_matching(&pattern("*")).unwrap(), 0);
    cache.clear().unwrap();
    assert_eq!(cache.health().state, HealthState::Disabled);
    let stats = cache.stats().unwrap();
    assert!(!stats.is_enabled && stats.total_entries == 0);
    assert_eq!((stats.hits, stats.misses, stats.errors), (0, 0, 0));
    assert!(cache.get::<u32>("k k").is_err(), "a key is still looked at");
}

#[test]
fn what_changed_while_it_was_off_is_not_found_when_it_is_on_again() {
    let cache = case();
    for key in ["set", "deleted", "counted", "expired", "kept"] {
        cache.set(key, &1, Lifetime::Default).unwrap();
    }
    cache.set_enabled(false).unwrap();
    assert!(!cache.set("set", &2, NEVER).unwrap());
    assert!(!cache.delete("deleted").unwrap());
    cache.increment("counted", 1).unwrap();
    cache.expire("expired", NEVER).unwrap();
    cache.set_enabled(true).unwrap();
    for key in ["set", "deleted", "counted", "expired"] {
        assert_eq!(cache.get::<u32>(key).unwrap(), None, "{key}");
    }
    assert_eq!(cache.get::<u32>("kept").unwrap(), Some(1));
}

#[test]
fn it_comes_back_empty_if_it_could_not_forget_what_changed() {
    let cache = case();
    cache.set("a", &1, NEVER).unwrap();
    cache.set("b", &1, NEVER).unwrap();
    cache.set_enabled(false).unwrap();
    cache.tier.set_down(true);
    assert!(!cache.delete("a").unwrap());
    assert!(cache.set_enabled(true).is_err(), "it cannot forget yet");
    assert!(!cache.is_enabled());
    cache.tier.set_down(false);
    cache.set_enabled(true).unwrap();
    assert_eq!(
        cache
            .mget::<u32>(&["a", "b"])
            .into_iter()
            .flatten()
            .flatten()
            .count(),
        0
    );
}

/// The removal is under way when the cache is switched on, and fails afterwards.
#[test]
fn what_could_not_be_forgotten_when_it_is_on_again_is_an_error() {
    let cache = case();
    cache.set("k", &1, NEVER).unwrap();
    cache.set_enabled(false).unwrap();
    cache.tier.set_down(true);
    let switched = cache.cache.clone();
    cache.on_change(move |_| {
        // After the removal has failed, and before that is noted.
        switched.set_enabled(true).unwrap();
    });
    assert!(cache.delete("k").is_err());
    assert!(cache.is_enabled());
    cache.tier.set_down(false);
    assert_eq!(cache.get::<u32>("k").unwrap(), Some(1), "as it was told");
}
