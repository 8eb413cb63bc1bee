//! Counters: atomic across callers, with a lifetime that is set once.

use cardex::ErrorKind;
use cardex::kv::Ttl;
use cardex::tier::Lifetime;

use crate::support::{NEVER, case, lasting, seconds};

#[test]
fn a_missing_number_is_the_delta_and_lives_for_the_default_lifetime() {
    let cache = case();
    assert_eq!(cache.increment("n", 5).unwrap(), 5);
    assert_eq!(cache.ttl("n").unwrap(), Some(Ttl::For(seconds(3600))));
    assert_eq!(cache.get::<i64>("n").unwrap(), Some(5));
}

#[test]
fn increment_keeps_the_remaining_lifetime() {
    let cache = case();
    cache.set("n", &1, lasting(100)).unwrap();
    cache.clock.advance(seconds(40));
    assert_eq!(cache.increment("n", -3).unwrap(), -2);
    assert_eq!(cache.ttl("n").unwrap(), Some(Ttl::For(seconds(60))));
    cache.clock.advance(seconds(60));
    assert_eq!(cache.increment("n", 1).unwrap(), 1, "it ended");
    cache.set("forever", &1, NEVER).unwrap();
    cache.increment("forever", 1).unwrap();
    assert_eq!(cache.ttl("forever").unwrap(), Some(Ttl::Never));
}

#[test]
fn what_is_no_number_and_what_overflows_are_errors_and_change_nothing() {
    let cache = case();
    for (key, value) in [
        ("text", "\"5\""),
        ("float", "1.5"),
        ("null", "null"),
        ("big", "1e3"),
    ] {
        let value: serde_json::Value = serde_json::from_str(value).unwrap();
        cache.set(key, &value, Lifetime::Default).unwrap();
        let error = cache.increment(key, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{key}");
        assert!(error.to_string().contains(key));
        assert_eq!(cache.get(key).unwrap(), Some(value));
    }
    for (from, delta) in [(i64::MAX, 1), (i64::MIN, -1)] {
        cache.set("n", &from, Lifetime::Default).unwrap();
        let error = cache.increment("n", delta).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(cache.get("n").unwrap(), Some(from));
        assert_eq!(cache.increment("n", -delta).unwrap(), from - delta);
    }
    assert_eq!(cache.stats().unwrap().errors, 6);
}

#[test]
fn increments_of_many_threads_are_all_counted() {
    let cache = case();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..500).all(|_| cache.increment("n", 1).is_ok()));
        }
    });
    assert_eq!(cache.get::<i64>("n").unwrap(), Some(4000));
}
