//! Lifetimes: the default, never, or a positive duration; what has expired is absent for every verb.

use std::time::Duration;

use cardex::ErrorKind;
use cardex::kv::{KvOptions, Ttl};
use cardex::tier::Lifetime;

use crate::support::{NEVER, case, case_with, lasting, pattern, seconds};

#[test]
fn the_three_forms_of_a_lifetime() {
    let cache = case();
    cache.set("default", &1, Lifetime::Default).unwrap();
    cache.set("never", &1, NEVER).unwrap();
    cache.set("given", &1, lasting(5)).unwrap();
    let ttl = |key| cache.ttl(key).unwrap();
    assert_eq!(ttl("default"), Some(Ttl::For(seconds(3600))));
    assert_eq!(ttl("never"), Some(Ttl::Never));
    assert_eq!(ttl("given"), Some(Ttl::For(seconds(5))));
    assert_eq!(ttl("absent"), None);
    cache.clock.advance(seconds(3600));
    assert_eq!((ttl("default"), ttl("given")), (None, None));
    assert_eq!(ttl("never"), Some(Ttl::Never));
}

/// A lifetime of 0 never means the default.
#[test]
fn a_lifetime_of_zero_is_an_error_and_changes_nothing() {
    let cache = case();
    cache.set("k", &1, lasting(5)).unwrap();
    let zero = Lifetime::For(Duration::ZERO);
    for error in [
        cache.set("k", &2, zero).unwrap_err(),
        cache.set_bytes("k", b"2", zero).unwrap_err(),
        cache.expire("k", zero).unwrap_err(),
        cache.mset(&[("k", 2)], zero).remove(0).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(cache.get::<u32>("k").unwrap(), Some(1));
    assert_eq!(cache.ttl("k").unwrap(), Some(Ttl::For(seconds(5))));
    assert_eq!(cache.stats().unwrap().errors, 4);
    assert!(KvOptions::default().ttl(Duration::ZERO).is_err());
}

#[test]
fn an_expired_entry_is_absent_for_every_verb_and_count() {
    for grace in [0, 60] {
        let cache = case_with(KvOptions::default().grace(seconds(grace)));
        for key in ["a", "b", "n"] {
            cache.set(key, &1, lasting(10)).unwrap();
        }
        cache.clock.advance(seconds(10) - Duration::from_nanos(1));
        assert!(cache.exists("a").unwrap());
        cache.clock.advance(Duration::from_nanos(1));
        assert!(!cache.exists("a").unwrap());
        assert_eq!(cache.ttl("a").unwrap(), None);
        assert_eq!(cache.keys(&pattern("*")).unwrap(), []);
        assert!(!cache.expire("a", NEVER).unwrap());
        assert_eq!(cache.get::<u32>("a").unwrap(), None);
        assert_eq!(cache.get_bytes("a").unwrap(), None);
        assert_eq!(cache.mget::<u32>(&["a"]).remove(0).unwrap(), None);
        assert_eq!(cache.increment("n", 5).unwrap(), 5, "grace {grace}");
        assert!(!cache.delete("a").unwrap(), "grace {grace}");
        assert_eq!(cache.delete_matching(&pattern("?")).unwrap(), 1, "n alone");
        let stats = cache.stats().unwrap();
        assert_eq!((stats.hits, stats.misses), (0, 3));
        assert_eq!(stats.total_entries, 0, "grace {grace}");
    }
}

#[test]
fn what_expires_leaves_and_is_counted() {
    let cache = case();
    cache.set("a", &1, lasting(10)).unwrap();
    cache.clock.advance(seconds(10));
    let stats = cache.stats().unwrap();
    assert_eq!((stats.total_entries, stats.expirations), (0, 1));
    assert_eq!((stats.evictions, stats.misses), (0, 0));
}

#[test]
fn expire_gives_another_lifetime_from_now_on() {
    let cache = case();
    assert!(!cache.expire("k", NEVER).unwrap());
    cache.set("k", &1, lasting(10)).unwrap();
    cache.clock.advance(seconds(9));
    assert!(cache.expire("k", lasting(10)).unwrap());
    cache.clock.advance(seconds(9));
    assert_eq!(cache.get::<u32>("k").unwrap(), Some(1));
    assert!(cache.expire("k", Lifetime::Default).unwrap());
    assert_eq!(cache.ttl("k").unwrap(), Some(Ttl::For(seconds(3600))));
    assert!(cache.expire("k", NEVER).unwrap());
    assert_eq!(cache.ttl("k").unwrap(), Some(Ttl::Never));
}
