//! Values: what is stored is found, whatever it is, and what cannot be read is none.

use std::collections::HashMap;

use cardex::kv::{KvOptions, Ttl};
use cardex::tier::{Lifetime, MemoryTierOptions};
use cardex::{Cache, ErrorKind, Scope, Strategy};
use serde_json::{Value, json};

use crate::support::{NEVER, case, case_of, case_with, lasting, pattern, seconds};

/// A falsy value is a value in every verb.
#[test]
fn stored_null_zero_false_and_nothing_are_hits_in_every_verb() {
    let falsy = [
        json!(null),
        json!(0),
        json!(false),
        json!(""),
        json!([]),
        json!({}),
    ];
    for value in falsy {
        let cache = case();
        assert!(cache.set("k", &value, lasting(60)).unwrap());
        assert_eq!(cache.get("k").unwrap(), Some(value.clone()), "{value}");
        assert!(cache.exists("k").unwrap());
        assert_eq!(cache.ttl("k").unwrap(), Some(Ttl::For(seconds(60))));
        assert_eq!(cache.keys(&pattern("*")).unwrap().len(), 1);
        let many = cache.mget::<Value>(&["k"]).remove(0);
        assert_eq!(many.unwrap(), Some(value.clone()));
        assert!(cache.expire("k", NEVER).unwrap());
        assert!(cache.get_bytes("k").unwrap().is_some());
        let stats = cache.stats().unwrap();
        assert_eq!((stats.hits, stats.misses, stats.total_entries), (3, 0, 1));
        assert!(cache.delete("k").unwrap(), "{value}");
        assert!(!cache.exists("k").unwrap());
    }
    let cache = case();
    assert!(cache.set_bytes("k", b"", NEVER).unwrap());
    assert_eq!(cache.get_bytes("k").unwrap(), Some(Vec::new()));
}

#[test]
fn none_is_a_value_too() {
    let cache = case();
    cache.set("k", &None::<u32>, NEVER).unwrap();
    assert_eq!(cache.get::<Option<u32>>("k").unwrap(), Some(None));
}

#[test]
fn set_replaces_and_delete_tells_whether_there_was_one() {
    let cache = case();
    assert!(!cache.delete("k").unwrap());
    cache.set("k", &1, NEVER).unwrap();
    cache.set("k", "two", lasting(60)).unwrap();
    assert_eq!(cache.get::<String>("k").unwrap().unwrap(), "two");
    assert_eq!(cache.ttl("k").unwrap(), Some(Ttl::For(seconds(60))));
    assert!(cache.delete("k").unwrap());
    assert!(!cache.delete("k").unwrap());
    assert_eq!(cache.get::<String>("k").unwrap(), None);
}

#[test]
fn bytes_come_back_as_they_were() {
    let cache = case();
    let bytes: Vec<u8> = (0..=255).collect();
    cache.set_bytes("k", &bytes, NEVER).unwrap();
    assert_eq!(cache.get_bytes("k").unwrap(), Some(bytes));
    cache.set("k", &[1, 2], NEVER).unwrap();
    assert_eq!(cache.get_bytes("k").unwrap().unwrap(), b"[1,2]");
}

#[test]
fn what_json_cannot_hold_is_refused_and_changes_nothing() {
    let cache = case();
    cache.set("k", &1, NEVER).unwrap();
    let odd = HashMap::from([(vec![1, 2], 3)]);
    let error = cache.set("k", &odd, NEVER).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(cache.get::<u32>("k").unwrap(), Some(1));
    assert_eq!(cache.stats().unwrap().errors, 1);
}

/// A value of another type, of another schema version, or damaged is a miss, removed and counted.
#[test]
fn what_cannot_be_read_is_a_miss_removed_and_counted() {
    let cache = case_with(KvOptions::default().schema(2));
    cache.set("type", "text", NEVER).unwrap();
    let mut sealed = vec![1, 2, 0, 0, 0, 0, 0, 0, 0];
    sealed.extend_from_slice(b"[1,");
    cache.tier.plant("damaged", &sealed);
    cache
        .tier
        .plant("version", &[1, 3, 0, 0, 0, 0, 0, 0, 0, b'5']);
    cache.tier.plant("form", &[9, 2, 0, 0, 0, 0, 0, 0, 0, b'5']);
    cache.tier.plant("stump", b"5");
    let planted = ["type", "damaged", "version", "form", "stump"];
    for (at, key) in (1..).zip(planted) {
        assert_eq!(cache.get::<u32>(key).unwrap(), None, "{key}");
        let stats = cache.stats().unwrap();
        assert_eq!(stats.total_entries, planted.len() - at, "{key} is removed");
        assert_eq!((stats.unreadable, stats.misses), (at as u64, at as u64));
    }
    cache
        .tier
        .plant("version", &[1, 3, 0, 0, 0, 0, 0, 0, 0, b'5']);
    assert!(!cache.exists("version").unwrap());
    assert!(!cache.expire("version", NEVER).unwrap());
    assert_eq!(cache.increment("version", 3).unwrap(), 3);
}

/// Ours is only what its key's entry was when it was found unreadable.
#[test]
fn a_value_that_cannot_be_read_does_not_take_its_successor_with_it() {
    let cache = case();
    cache.set("k", "text", NEVER).unwrap();
    assert_eq!(cache.get::<u32>("k").unwrap(), None);
    cache.set("k", &7, NEVER).unwrap();
    assert_eq!(cache.get::<u32>("k").unwrap(), Some(7));
}

#[test]
fn a_request_counts_once() {
    let cache = case();
    cache.set("a", &1, NEVER).unwrap();
    cache.get::<u32>("a").unwrap();
    cache.get::<u32>("b").unwrap();
    cache.mget::<u32>(&["a", "b", "c"]);
    cache.exists("a").unwrap();
    cache.ttl("a").unwrap();
    cache.keys(&pattern("*")).unwrap();
    cache.health();
    let stats = cache.stats().unwrap();
    assert_eq!((stats.hits, stats.misses), (2, 3));
    assert_eq!(stats.hit_rate(), 0.4);
    assert!(stats.memory_usage.unwrap() > 0);
    let report = Cache::stats(&cache.cache).unwrap();
    assert_eq!((report.hits, report.misses), (2, 3));
}

/// At capacity, only a new key makes another one leave.
#[test]
fn only_a_new_key_needs_room_and_what_has_expired_goes_first() {
    for strategy in Strategy::ALL {
        let memory = MemoryTierOptions::default().eviction_strategy(strategy);
        let cache = case_of(KvOptions::default(), memory.max_items(3).unwrap());
        for key in ["a", "b", "c"] {
            cache.set(key, &1, lasting(60)).unwrap();
        }
        cache.set("b", &2, lasting(10)).unwrap();
        assert_eq!(cache.stats().unwrap().evictions, 0, "{strategy}");
        cache.clock.advance(seconds(10));
        cache.set("d", &4, lasting(60)).unwrap();
        let stats = cache.stats().unwrap();
        assert_eq!((stats.evictions, stats.expirations), (0, 1), "{strategy}");
        cache.set("e", &5, lasting(60)).unwrap();
        assert_eq!(cache.stats().unwrap().evictions, 1, "{strategy}");
    }
}

/// Any bits of a float that is a number come back as they are.
#[test]
fn floats_come_back_to_the_last_bit() {
    let (cache, mut random) = (case(), fastrand::Rng::with_seed(7));
    let bits = std::iter::repeat_with(|| f64::from_bits(random.u64(..)));
    let floats: Vec<f64> = bits
        .filter(|float| float.is_finite())
        .take(20_000)
        .collect();
    for part in floats.chunks(1000) {
        cache.set("k", part, NEVER).unwrap();
        let found = cache.get::<Vec<f64>>("k").unwrap().unwrap();
        let differ = |(put, found): &(&f64, &f64)| put.to_bits() != found.to_bits();
        assert_eq!(part.iter().zip(&found).find(differ), None);
        assert_eq!(found.len(), part.len());
    }
}

#[test]
fn floats_that_are_no_numbers_are_refused_and_change_nothing() {
    let cache = case();
    cache.set("k", &1.5, NEVER).unwrap();
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = cache.set("k", &vec![Some(odd)], NEVER).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:#}");
        let error = cache.get_or_load("l", NEVER, || Ok(odd)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:#}");
    }
    assert_eq!(cache.get::<f64>("k").unwrap(), Some(1.5));
    assert!(!cache.exists("l").unwrap());
}

#[test]
fn a_value_that_alone_exceeds_the_limits_is_not_kept() {
    let memory = MemoryTierOptions::default().max_bytes(1000).unwrap();
    let cache = case_of(KvOptions::default(), memory);
    cache.set("k", "old", NEVER).unwrap();
    assert!(!cache.set("k", &"x".repeat(2000), NEVER).unwrap());
    assert!(
        !cache.exists("k").unwrap(),
        "the old value is not the new one"
    );
}

#[test]
fn as_a_cache_among_others_it_gives_room_and_forgets() {
    let cache = case();
    for key in ["a", "b", "c"] {
        cache.set(key, &1, Lifetime::Default).unwrap();
    }
    let shared: &dyn Cache = &cache.cache;
    assert_eq!((shared.name(), shared.usage().entries), ("cache", 3));
    assert_eq!(shared.evict(0).unwrap(), 0);
    assert_eq!(shared.evict(1).unwrap(), 1);
    assert_eq!(shared.invalidate(&Scope::All).unwrap(), 2);
    assert_eq!(shared.evict(9).unwrap(), 0);
    shared.clear().unwrap();
    shared.clear().unwrap();
}
