//! Keys: what is none is an error and a counter; patterns; and verbs for whatever matches.

use cardex::ErrorKind;
use cardex::tier::{Key, KeyPattern, Lifetime};

use crate::support::{NEVER, case, pattern};

#[test]
fn an_invalid_key_is_an_error_and_a_counter_in_every_verb() {
    let cache = case();
    let long = "k".repeat(251);
    let bad = ["", "a b", "a\n", "\u{0}", long.as_str()];
    for key in bad {
        assert!(!cache.is_valid_key(key));
        let errors = [
            cache.get::<u32>(key).unwrap_err(),
            cache.get_bytes(key).unwrap_err(),
            cache.set(key, &1, NEVER).unwrap_err(),
            cache.set_bytes(key, b"1", NEVER).unwrap_err(),
            cache.delete(key).unwrap_err(),
            cache.exists(key).unwrap_err(),
            cache.ttl(key).unwrap_err(),
            cache.expire(key, NEVER).unwrap_err(),
            cache.increment(key, 1).unwrap_err(),
            cache.mget::<u32>(&[key]).remove(0).unwrap_err(),
            cache.mset(&[(key, 1)], NEVER).remove(0).unwrap_err(),
        ];
        assert!(errors.iter().all(|e| e.kind() == ErrorKind::InvalidInput));
    }
    let stats = cache.stats().unwrap();
    let counted = 11 * bad.len() as u64;
    assert_eq!((stats.invalid_keys, stats.errors), (counted, counted));
    assert_eq!((stats.hits, stats.misses, stats.total_entries), (0, 0, 0));
}

#[test]
fn a_key_of_250_characters_is_one() {
    let cache = case();
    let key = "ü".repeat(250);
    assert!(cache.is_valid_key(&key));
    cache.set(&key, &1, NEVER).unwrap();
    assert_eq!(cache.get::<u32>(&key).unwrap(), Some(1));
}

#[test]
fn make_key_sorts_the_named_parts_and_other_parts_are_another_key() {
    let cache = case();
    let key = cache.make_key(&["t"], &[("b", "2"), ("a", "1")]).unwrap();
    assert_eq!(key.as_str(), "t:a=1:b=2");
    assert_eq!(
        cache.make_key(&["t"], &[("a", "1"), ("b", "2")]).unwrap(),
        key
    );
    let others = [
        cache.make_key(&["t", "a=1"], &[("b", "2")]),
        cache.make_key(&["t:a=1"], &[("b", "2")]),
        cache.make_key(&["t"], &[("a", "1:b=2")]),
        cache.make_key(&["t", "a=1", "b=2"], &[]),
    ];
    for other in others {
        assert_ne!(other.unwrap(), key);
    }
    assert!(cache.make_key(&[], &[]).is_err());
    assert_eq!(cache.stats().unwrap().errors, 1);
}

#[test]
fn keys_are_found_by_pattern_and_sorted() {
    let cache = case();
    for key in ["user:2", "user:10", "u", "user:1:name"] {
        cache.set(key, &1, Lifetime::Default).unwrap();
    }
    let keys = |text| -> Vec<String> {
        let keys = cache.keys(&pattern(text)).unwrap();
        keys.iter().map(Key::to_string).collect()
    };
    assert_eq!(keys("user:*"), ["user:10", "user:1:name", "user:2"]);
    assert_eq!(keys("user:?"), ["user:2"]);
    assert_eq!(keys("*").len(), 4);
    assert_eq!(keys("x*"), [""; 0]);
}

#[test]
fn delete_matching_counts_exactly_and_an_escaped_id_deletes_only_itself() {
    let cache = case();
    for key in ["a:*", "a:1", "a:2", "b:1"] {
        cache.set(key, &1, NEVER).unwrap();
    }
    let only = KeyPattern::exactly(&Key::new("a:*").unwrap());
    assert_eq!(cache.delete_matching(&only).unwrap(), 1);
    assert_eq!(cache.delete_matching(&only).unwrap(), 0);
    assert_eq!(cache.delete_matching(&pattern("a:*")).unwrap(), 2);
    assert_eq!(
        cache.keys(&pattern("*")).unwrap(),
        [Key::new("b:1").unwrap()]
    );
}

#[test]
fn clear_forgets_everything_and_again_nothing_happens() {
    let cache = case();
    cache.set("a", &1, NEVER).unwrap();
    cache.get::<u32>("a").unwrap();
    cache.clear().unwrap();
    cache.clear().unwrap();
    let stats = cache.stats().unwrap();
    assert_eq!(
        (stats.total_entries, stats.hits),
        (0, 1),
        "counters are kept"
    );
    assert_eq!(cache.get::<u32>("a").unwrap(), None);
}
