//! An invalidation beats the load that began before it: what the load made is answered, and not kept.

use std::collections::HashMap;

use cardex::kv::{KvCache, KvOptions};
use cardex::tier::Key;
use cardex::{Cache, Scope};

use crate::support::{Case, NEVER, case, case_with, lasting, pattern, seconds};

/// Each way to change or forget the key, and what is found afterwards.
type Change = (&'static str, fn(&KvCache), Option<u32>);

fn changes() -> Vec<Change> {
    vec![
        (
            "delete",
            |cache| {
                cache.delete("k").unwrap();
            },
            None,
        ),
        (
            "set",
            |cache| {
                cache.set("k", &7, NEVER).unwrap();
            },
            Some(7),
        ),
        (
            "mset",
            |cache| drop(cache.mset(&[("k", 7)], NEVER)),
            Some(7),
        ),
        (
            "increment",
            |cache| {
                cache.increment("k", 7).unwrap();
            },
            Some(7),
        ),
        (
            "expire",
            |cache| {
                cache.expire("k", NEVER).unwrap();
            },
            None,
        ),
        ("clear", |cache| cache.clear().unwrap(), None),
        (
            "delete_matching",
            |cache| {
                cache.delete_matching(&pattern("k*")).unwrap();
            },
            None,
        ),
        (
            "delete_matching one",
            |cache| {
                cache.delete_matching(&pattern("k")).unwrap();
            },
            None,
        ),
        (
            "invalidate",
            |cache| {
                cache.invalidate(&Scope::All).unwrap();
            },
            None,
        ),
        ("switch", |cache| cache.set_enabled(false).unwrap(), None),
    ]
}

fn check(what: &str, cache: &Case, kept: Option<u32>) {
    assert_eq!(cache.get::<u32>("k").unwrap(), kept, "{what}");
    let voided = cache.stats().unwrap().voided;
    assert_eq!(voided, u64::from(what != "switch"), "{what}");
}

#[test]
fn a_load_that_began_before_a_change_is_answered_and_never_kept() {
    for (what, change, kept) in changes() {
        let cache = case();
        let made = cache.get_or_load("k", NEVER, || {
            change(&cache);
            Ok(1)
        });
        assert_eq!(made.unwrap(), 1, "{what}");
        check(what, &cache, kept);
    }
}

#[test]
fn nor_is_what_a_batch_made() {
    for (what, change, kept) in changes() {
        let cache = case();
        let made = cache.get_many_or_load(&["k", "other"], NEVER, |keys: &[Key]| {
            change(&cache);
            Ok(keys
                .iter()
                .map(|key| (key.clone(), 1))
                .collect::<HashMap<_, _>>())
        });
        assert_eq!(
            made.into_iter().flatten().flatten().sum::<u32>(),
            2,
            "{what}"
        );
        let others = ["clear", "invalidate", "switch"].contains(&what);
        let other = (!others).then_some(1);
        assert_eq!(cache.get::<u32>("other").unwrap(), other, "{what}");
        assert_eq!(cache.get::<u32>("k").unwrap(), kept, "{what}");
    }
}

#[test]
fn nor_is_what_a_refresh_made() {
    for (what, change, _) in changes() {
        let cache = case_with(KvOptions::default().refresh_ahead(0.5).unwrap());
        cache.set("k", &3, lasting(10)).unwrap();
        cache.clock.advance(seconds(6));
        let made = cache.get_or_load("k", lasting(10), || {
            change(&cache);
            Ok(1)
        });
        assert_eq!(made.unwrap(), 1, "{what}");
        let kept = cache.get::<u32>("k").unwrap();
        assert_ne!(kept, Some(1), "{what}");
    }
}

/// Another key's change voids nothing.
#[test]
fn what_does_not_concern_the_key_does_not_void_its_load() {
    let cache = case();
    let made = cache.get_or_load("k", NEVER, || {
        cache.set("j", &2, NEVER).unwrap();
        cache.delete("l").unwrap();
        cache.delete_matching(&pattern("k?*")).unwrap();
        Ok(1)
    });
    assert_eq!(made.unwrap(), 1);
    assert_eq!(cache.get::<u32>("k").unwrap(), Some(1));
    assert_eq!(cache.stats().unwrap().voided, 0);
}
