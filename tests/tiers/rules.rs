//! The rules that hold in every tier.

use std::collections::HashMap;
use std::time::Duration;

use cardex::tier::Lifetime;
use cardex::{CacheCoordinator, CoordinatorOptions, ErrorKind, FilePath, Scope};

use crate::every::{Case, MIB, alone, every, key, seconds, sound};

#[test]
fn empty_zero_null_and_false_are_hits() {
    for case in every(100, 8 * MIB) {
        for value in [&b""[..], b"0", b"null", b"false", b"[]", b"\0\0"] {
            assert!(case.put("k", value));
            assert_eq!(case.get("k").as_deref(), Some(value), "{}", case.what);
        }
        let report = case.tier.stats().unwrap();
        assert_eq!((report.hits, report.misses), (6, 0));
    }
}

#[test]
fn what_is_absent_is_none_and_one_miss() {
    for case in every(100, 8 * MIB) {
        assert_eq!(case.get("k"), None);
        let report = case.tier.stats().unwrap();
        assert_eq!((report.hits, report.misses), (0, 1), "{}", case.what);
        assert!(!case.tier.remove(&key("k")).unwrap());
    }
}

#[test]
fn an_entry_is_returned_until_its_end_and_never_from_then_on() {
    for case in every(100, 8 * MIB) {
        case.put_for("k", b"v", seconds(10));
        case.clock.advance(seconds(10) - Duration::from_nanos(1));
        let entry = case.tier.get(&key("k")).unwrap().unwrap();
        assert_eq!(
            entry.remaining,
            Some(Duration::from_nanos(1)),
            "{}",
            case.what
        );
        case.clock.advance(Duration::from_nanos(1));
        assert_eq!(case.get("k"), None, "{}", case.what);
        let report = case.tier.stats().unwrap();
        assert_eq!((report.hits, report.misses), (1, 1));
        case.tier.sweep(usize::MAX).unwrap();
        assert_eq!(
            (case.entries(), case.expirations()),
            (0, 1),
            "{}",
            case.what
        );
        assert_eq!(case.evictions(), 0);
    }
}

#[test]
fn a_lifetime_is_the_tiers_own_or_endless_or_the_one_that_is_given() {
    for case in sound(100, 8 * MIB) {
        let put = |name, lifetime: Lifetime| {
            case.tier
                .put(&key(name), b"v"[..].into(), 7, lifetime.into())
        };
        let remaining = |name| case.tier.get(&key(name)).unwrap().map(|e| e.remaining);
        for (name, lifetime) in [
            ("default", Lifetime::Default),
            ("never", Lifetime::Never),
            ("given", Lifetime::For(seconds(500))),
            ("longest", Lifetime::For(Duration::MAX)),
        ] {
            assert!(put(name, lifetime).unwrap());
        }
        assert_eq!(remaining("default"), Some(Some(seconds(300))));
        assert_eq!(remaining("given"), Some(Some(seconds(500))));
        case.clock.advance(seconds(300));
        assert_eq!(remaining("default"), None, "{}", case.what);
        assert_eq!(remaining("never"), Some(None));
        assert_eq!(remaining("given"), Some(Some(seconds(200))));
        case.clock.advance(seconds(10 * 365 * 86_400));
        assert_eq!(remaining("given"), None);
        assert_eq!(remaining("never"), Some(None), "{}", case.what);
        assert!(remaining("longest").is_some(), "{}", case.what);
    }
}

#[test]
fn a_lifetime_of_zero_is_refused_and_changes_nothing() {
    for case in every(100, 8 * MIB) {
        case.put("k", b"old");
        let lifetime = Lifetime::For(Duration::ZERO);
        let refused = case
            .tier
            .put(&key("k"), b"new"[..].into(), 2, lifetime.into());
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(case.get("k").unwrap(), b"old", "{}", case.what);
    }
}

#[test]
fn another_value_brings_its_own_version_and_end() {
    for case in every(100, 8 * MIB) {
        case.put_for("k", b"old", seconds(1));
        let lifetime = Lifetime::For(seconds(9));
        let kept = case
            .tier
            .put(&key("k"), b"new"[..].into(), u64::MAX, lifetime.into());
        assert!(kept.unwrap());
        case.clock.advance(seconds(2));
        let entry = case.tier.get(&key("k")).unwrap().unwrap();
        assert_eq!((&*entry.value, entry.version), (&b"new"[..], u64::MAX));
        assert_eq!(entry.remaining, Some(seconds(7)), "{}", case.what);
        case.put("k", b"endless");
        case.clock.advance(seconds(20));
        assert_eq!(case.get("k").unwrap(), b"endless", "{}", case.what);
        assert_eq!((case.entries(), case.expirations()), (1, 0));
    }
}

#[test]
fn remove_tells_whether_there_was_one_and_what_has_expired_is_none() {
    for case in every(100, 8 * MIB) {
        case.put("k", b"v");
        case.put_for("over", b"v", seconds(1));
        assert!(case.tier.remove(&key("k")).unwrap());
        assert!(!case.tier.remove(&key("k")).unwrap());
        assert_eq!(case.get("k"), None);
        case.clock.advance(seconds(1));
        assert!(!case.tier.remove(&key("over")).unwrap(), "{}", case.what);
        assert_eq!(
            (case.entries(), case.expirations()),
            (0, 1),
            "{}",
            case.what
        );
    }
}

#[test]
fn only_a_new_key_needs_room() {
    for case in every(10, 8 * MIB) {
        for round in 0..3_u8 {
            (0..10).for_each(|k| assert!(case.put(k, &[round])));
        }
        assert_eq!((case.entries(), case.evictions()), (10, 0), "{}", case.what);
        assert!(case.put("new", b"v"));
        assert_eq!((case.entries(), case.evictions()), (10, 1), "{}", case.what);
        assert_eq!(case.get("new").unwrap(), b"v", "not its own victim");
    }
}

#[test]
fn what_has_expired_goes_first() {
    for case in alone(10, 8 * MIB) {
        (0..5).for_each(|k| assert!(case.put(k, b"stays")));
        (5..10).for_each(|k| case.put_for(k, b"goes", seconds(1)));
        case.clock.advance(seconds(1));
        (20..25).for_each(|k| assert!(case.put(k, b"new")));
        assert_eq!(
            (case.evictions(), case.expirations()),
            (0, 5),
            "{}",
            case.what
        );
        for k in 0..5 {
            assert_eq!(case.get(k).unwrap(), b"stays", "{}", case.what);
        }
        case.put_for("soon", b"v", seconds(1));
        case.clock.advance(seconds(1));
        assert_eq!(case.tier.evict(1).unwrap(), 1);
        assert_eq!(case.expirations(), 6, "{}", case.what);
    }
}

#[test]
fn a_value_that_is_too_large_is_not_kept_and_the_older_one_is_gone() {
    for case in every(10, MIB) {
        case.put("other", b"v");
        case.put("k", b"old");
        assert!(!case.put("k", &vec![7; 2 * MIB as usize]), "{}", case.what);
        assert_eq!(case.get("k"), None);
        assert_eq!(case.get("other").unwrap(), b"v", "nobody left for it");
    }
}

#[test]
fn the_limits_hold_after_every_verb_and_no_answer_is_ever_another_one() {
    for (max_items, max_bytes) in [(20, 8 * MIB), (1_000, MIB)] {
        for case in alone(max_items, max_bytes) {
            let mut random = fastrand::Rng::with_seed(max_items as u64);
            let mut put: HashMap<u32, Vec<u8>> = HashMap::new();
            for _ in 0..400 {
                let k = random.u32(..60);
                match random.u8(..10) {
                    0..5 => {
                        let value = vec![random.u8(..); random.usize(..60_000)];
                        assert!(case.put(k, &value), "{}", case.what);
                        put.insert(k, value);
                    }
                    5 => {
                        let there = case.tier.remove(&key(k)).unwrap();
                        assert!(put.remove(&k).is_some() || !there, "{}", case.what);
                    }
                    _ => {
                        if let Some(value) = case.get(k) {
                            assert!(put.get(&k) == Some(&value), "{}: key {k}", case.what);
                        }
                    }
                }
                let usage = case.tier.usage();
                assert!(usage.entries <= max_items, "{}: {usage:?}", case.what);
                assert!(
                    case.tier.tier_stats().unwrap().bytes <= max_bytes,
                    "{}: {usage:?}",
                    case.what
                );
            }
            assert!(case.evictions() > 0, "{}", case.what);
        }
    }
}

/// What a tier is, said slowly: everything that was put and has not ended.
#[test]
fn with_room_for_all_every_answer_is_that_of_a_plain_map_with_ends() {
    for case in every(1_000, 64 * MIB) {
        let mut random = fastrand::Rng::with_seed(3);
        let mut model: HashMap<u32, (u64, u64)> = HashMap::new();
        let mut now = 0;
        for version in 0..1_500 {
            let k = random.u32(..40);
            let held = model.get(&k).copied().filter(|(_, end)| *end > now);
            match random.u8(..10) {
                0..4 => {
                    let end = now + random.u64(1..30);
                    let lifetime = Lifetime::For(seconds(end - now));
                    let value = version.to_string().into_bytes().into();
                    assert!(
                        case.tier
                            .put(&key(k), value, version, lifetime.into())
                            .unwrap()
                    );
                    model.insert(k, (version, end));
                }
                4 => {
                    assert_eq!(case.tier.remove(&key(k)).unwrap(), held.is_some());
                    model.remove(&k);
                }
                5 => {
                    let by = random.u64(..5);
                    now += by;
                    case.clock.advance(seconds(by));
                }
                6 => _ = case.tier.sweep(random.usize(..3)).unwrap(),
                _ => {
                    let found = case.tier.get(&key(k)).unwrap();
                    let found = found.map(|entry| {
                        assert_eq!(&*entry.value, entry.version.to_string().as_bytes());
                        (entry.version, now + entry.remaining.unwrap().as_secs())
                    });
                    assert_eq!(found, held, "{}: key {k}", case.what);
                }
            }
        }
        case.tier.sweep(usize::MAX).unwrap();
        let living = model.values().filter(|(_, end)| *end > now).count();
        assert_eq!(
            (case.entries(), case.evictions()),
            (living, 0),
            "{}",
            case.what
        );
    }
}

#[test]
fn a_sweep_takes_no_more_than_it_is_told_and_nothing_that_lives() {
    for case in alone(100, 8 * MIB) {
        (0..10).for_each(|k| case.put_for(k, b"v", seconds(1 + k)));
        case.put("stays", b"v");
        assert_eq!(case.tier.sweep(99).unwrap(), 0, "{}", case.what);
        case.clock.advance(seconds(5));
        for most in [0, 2, 3] {
            assert_eq!(case.tier.sweep(most).unwrap(), most, "{}", case.what);
        }
        assert_eq!(case.tier.sweep(99).unwrap(), 0);
        assert_eq!(
            (case.entries(), case.expirations()),
            (6, 5),
            "{}",
            case.what
        );
    }
}

#[test]
fn evict_takes_what_it_is_asked_for_and_no_more_than_is_held() {
    for case in alone(100, 8 * MIB) {
        (0..10).for_each(|k| assert!(case.put(k, b"v")));
        assert_eq!(case.tier.evict(0).unwrap(), 0);
        assert_eq!(case.tier.evict(3).unwrap(), 3);
        assert_eq!((case.entries(), case.evictions()), (7, 3), "{}", case.what);
        assert_eq!(case.tier.evict(99).unwrap(), 7);
        assert_eq!(case.tier.evict(99).unwrap(), 0);
        assert_eq!((case.entries(), case.evictions()), (0, 10), "{}", case.what);
    }
}

#[test]
fn clear_drops_everything_keeps_the_counters_and_may_be_repeated() {
    for case in alone(100, 8 * MIB) {
        (0..10).for_each(|k| case.put_for(k, b"v", seconds(9)));
        assert_eq!(case.get(1).unwrap(), b"v");
        case.tier.clear().unwrap();
        case.tier.clear().unwrap();
        let report = case.tier.stats().unwrap();
        assert_eq!((report.usage.entries, report.hits), (0, 1), "{}", case.what);
        assert_eq!(case.get(1), None);
        assert!(case.put(1, b"again"));
        case.clock.advance(seconds(9));
        assert_eq!(case.get(1).unwrap(), b"again", "{}", case.what);
    }
}

#[test]
fn any_file_invalidates_what_is_not_known_to_be_made_of_others() {
    for case in sound(100, 8 * MIB) {
        let path = Scope::Path(FilePath::new("src/a.rs").unwrap());
        for scope in [Scope::All, path, Scope::Pattern("*.rs".into())] {
            (0..3).for_each(|k| assert!(case.put(k, b"v")));
            assert_eq!(case.tier.invalidate(&scope).unwrap(), 3, "{}", case.what);
            assert_eq!(case.get(0), None);
        }
        case.put(0, b"v");
        let senseless = Scope::Pattern("[".into());
        assert_eq!(
            case.tier.invalidate(&senseless).unwrap_err().kind(),
            ErrorKind::InvalidPattern
        );
        assert_eq!(case.get(0).unwrap(), b"v", "{}", case.what);
    }
}

#[test]
fn a_coordinator_takes_room_from_it_as_from_any_cache() {
    for case in alone(100, 8 * MIB) {
        (0..10).for_each(|k| assert!(case.put(k, b"v")));
        let coordinator = CacheCoordinator::new(CoordinatorOptions::default());
        coordinator.register(case.tier.clone()).unwrap();
        assert_eq!(coordinator.evict_from("tier", 4).unwrap(), 4);
        assert_eq!(case.entries(), 6, "{}", case.what);
    }
}

fn storm(case: &Case, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..300 {
        let k = random.u32(..40);
        match random.u8(..10) {
            0..4 => _ = case.put(k, format!("{k}/{}", random.u32(..)).as_bytes()),
            4 => _ = case.tier.remove(&key(k)).unwrap(),
            5 => _ = case.tier.evict(1).unwrap(),
            _ => {
                if let Some(value) = case.get(k) {
                    let value = String::from_utf8(value).unwrap();
                    assert!(
                        value.starts_with(&format!("{k}/")),
                        "a value of another key"
                    );
                }
            }
        }
    }
}

#[test]
fn eight_threads_get_nobody_elses_value() {
    for case in alone(20, 8 * MIB) {
        std::thread::scope(|scope| {
            for seed in 0..8 {
                let case = &case;
                scope.spawn(move || storm(case, seed));
            }
        });
        let held = case.entries();
        assert!(held <= 20);
        assert_eq!(case.tier.evict(99).unwrap(), held, "{}", case.what);
    }
}
