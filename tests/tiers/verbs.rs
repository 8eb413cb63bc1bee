//! The rules of the verbs that change an entry in one step, list, forget by pattern, and tell the time
//! after the end.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use cardex::tier::{Entry, KeyPattern, Lifetime, Term, Update};
use cardex::{Error, ErrorKind, HealthState, Result};

use crate::every::{Case, MIB, and_redis, changeable, every, key, seconds, sound};

fn pattern(text: &str) -> KeyPattern {
    KeyPattern::new(text).unwrap()
}

fn keys(case: &Case, text: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let visited = case.tier.scan(&pattern(text), &mut |key| {
        keys.push(key.to_string());
        ControlFlow::Continue(())
    });
    visited.unwrap();
    keys.sort();
    keys
}

fn put(value: &[u8], version: u64, term: Option<Term>) -> Result<Update> {
    let value = value.into();
    Ok(Update::Put {
        value,
        version,
        term,
    })
}

/// The counters that a tier tells.
fn counters(case: &Case) -> (u64, u64, u64, u64) {
    let stats = case.tier.tier_stats().unwrap();
    let report = stats.report;
    let gone = report.evictions + stats.expirations + stats.damaged;
    (
        report.hits,
        report.misses,
        gone,
        report.usage.entries as u64,
    )
}

fn increment(entry: Option<&Entry>) -> Result<Update> {
    let count = |entry: &Entry| std::str::from_utf8(&entry.value).unwrap().parse::<u64>();
    let count = entry.map_or(0, |entry| count(entry).unwrap());
    put((count + 1).to_string().as_bytes(), count + 1, None)
}

#[test]
fn increments_by_eight_threads_are_all_counted() {
    const EACH: u64 = 200;
    for case in and_redis(changeable(100, 8 * MIB)) {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        case.tier.update(&key("n"), &mut increment).unwrap();
                    }
                });
            }
        });
        let entry = case.tier.get(&key("n")).unwrap().unwrap();
        assert_eq!(&*entry.value, b"1600", "{}", case.what);
        assert_eq!((entry.version, case.entries()), (8 * EACH, 1));
    }
}

/// Only the last tier can say that there is no entry: a count that began anew would be put over it.
#[test]
fn without_the_last_tier_only_an_entry_that_is_held_above_it_is_changed() {
    let without: Vec<Case> = every(100, 8 * MIB)
        .into_iter()
        .filter(|case| case.is_without_last)
        .collect();
    assert!(!without.is_empty());
    for case in without {
        case.tier.update(&key("n"), &mut increment).unwrap_err();
        assert_eq!(case.get("n"), None, "{}", case.what);
        case.put_for("n", b"41", seconds(10));
        let made = case.tier.update(&key("n"), &mut increment).unwrap();
        assert_eq!(&*made.unwrap().value, b"42", "{}", case.what);
    }
}

#[test]
fn an_update_is_given_what_lives_and_returns_what_it_makes() {
    for case in changeable(100, 8 * MIB) {
        let what = &case.what;
        let made = case.tier.update(&key("k"), &mut |entry| {
            assert_eq!(entry, None);
            put(b"1", 1, None)
        });
        let made = made.unwrap().unwrap();
        assert_eq!((&*made.value, made.version), (&b"1"[..], 1), "{what}");
        assert_eq!(made.remaining, Some(seconds(300)), "the default");
        assert_eq!(
            case.tier.peek(&key("k")).unwrap(),
            Some(made.clone()),
            "{what}"
        );
        let left = case.tier.update(&key("k"), &mut |entry| {
            assert_eq!(entry, Some(&made));
            Ok(Update::Leave)
        });
        assert_eq!(left.unwrap(), Some(made), "{what}");
        let gone = case
            .tier
            .update(&key("k"), &mut |_| Ok(Update::Remove))
            .unwrap();
        assert_eq!((gone, case.entries()), (None, 0), "{what}");
        let gone = case
            .tier
            .update(&key("k"), &mut |_| Ok(Update::Remove))
            .unwrap();
        assert_eq!(gone, None, "{what}");
        case.put_for("over", b"v", seconds(1));
        case.clock.advance(seconds(1));
        let made = case.tier.update(&key("over"), &mut |entry| {
            assert_eq!(entry, None, "{what}: what has expired is absent");
            Ok(Update::Leave)
        });
        assert_eq!(made.unwrap(), None, "{what}");
        assert_eq!(counters(&case).0 + counters(&case).1, 0, "not a request");
    }
}

#[test]
fn an_update_keeps_the_end_unless_it_is_given_another_one() {
    for case in every(100, 8 * MIB) {
        let term = Term {
            lifetime: Lifetime::For(seconds(10)),
            grace: seconds(5),
            // What was copied from one tier to another is held for that tier's own time.
            at_most: (!case.is_tiered()).then(|| seconds(12)),
        };
        let kept = case.tier.put(&key("k"), b"1"[..].into(), 1, term);
        assert!(kept.unwrap(), "{}", case.what);
        case.clock.advance(seconds(4));
        let entry = case.tier.update(&key("k"), &mut increment).unwrap();
        let entry = entry.unwrap();
        assert_eq!((&*entry.value, entry.version), (&b"2"[..], 2));
        assert_eq!(entry.remaining, Some(seconds(11)), "{}", case.what);
        assert_eq!(entry.grace, seconds(5));
        assert_eq!(case.tier.peek(&key("k")).unwrap(), Some(entry));
        case.clock
            .advance(seconds(if case.is_tiered() { 11 } else { 8 }));
        assert_eq!(case.get("k"), None, "{}: held for 12 s", case.what);

        case.put_for("n", b"1", seconds(10));
        let endless = Term::from(Lifetime::Never);
        let entry = case
            .tier
            .update(&key("n"), &mut |_| put(b"2", 2, Some(endless)));
        assert_eq!(entry.unwrap().unwrap().remaining, None, "{}", case.what);
        case.clock.advance(seconds(1_000));
        assert_eq!(case.get("n").unwrap(), b"2", "{}", case.what);
    }
}

#[test]
fn an_update_that_fails_changes_nothing() {
    for case in and_redis(sound(100, 8 * MIB)) {
        case.put_for("k", b"old", seconds(10));
        let refused = case.tier.update(&key("k"), &mut |_| {
            Err(Error::new(ErrorKind::InvalidInput, "no number"))
        });
        assert_eq!(refused.unwrap_err().to_string(), "no number");
        let zero = Term::from(Lifetime::For(Duration::ZERO));
        let refused = case
            .tier
            .update(&key("k"), &mut |_| put(b"new", 2, Some(zero)));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(case.get("k").unwrap(), b"old", "{}", case.what);
        assert_eq!(case.tier.health().state, HealthState::Healthy);
    }
}

#[test]
fn a_value_that_grows_too_large_in_an_update_leaves_nothing() {
    for case in every(10, MIB) {
        case.put("k", b"old");
        let large = vec![7; 2 * MIB as usize];
        let made = case.tier.update(&key("k"), &mut |_| put(&large, 2, None));
        assert_eq!(made.unwrap(), None, "{}", case.what);
        assert_eq!(case.get("k"), None, "{}", case.what);
    }
}

#[test]
fn an_update_that_panics_leaves_the_entry_and_a_tier_that_works() {
    for case in and_redis(every(100, 8 * MIB)) {
        case.put("k", b"old");
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            case.tier.update(&key("k"), &mut |_| panic!("on purpose"))
        }));
        // Tiers above each other tell it as an error.
        assert_eq!(panicked.is_ok(), case.is_tiered(), "{}", case.what);
        assert!(panicked.map_or(true, |made| made.is_err()));
        assert_eq!(case.get("k").unwrap(), b"old", "{}", case.what);
        assert!(case.put("k", b"new"));
        assert_eq!(case.get("k").unwrap(), b"new", "{}", case.what);
    }
}

#[test]
fn another_term_counts_from_now_on_and_leaves_the_value() {
    for case in changeable(100, 8 * MIB) {
        let what = &case.what;
        case.put_for("k", b"v", seconds(10));
        case.clock.advance(seconds(9));
        let longer = Lifetime::For(seconds(20)).into();
        assert!(case.tier.expire(&key("k"), longer).unwrap(), "{what}");
        case.clock.advance(seconds(19));
        let entry = case.tier.peek(&key("k")).unwrap().unwrap();
        assert_eq!((&*entry.value, entry.version), (&b"v"[..], 1), "{what}");
        assert_eq!(entry.remaining, Some(seconds(1)), "{what}");
        case.clock.advance(seconds(1));
        assert_eq!(case.get("k"), None, "{what}");
        assert!(!case.tier.expire(&key("k"), longer).unwrap(), "{what}");
        assert!(!case.tier.expire(&key("absent"), longer).unwrap(), "{what}");
        assert_eq!(case.get("k"), None, "{what}: what has expired stays so");

        case.put_for("n", b"v", seconds(10));
        assert!(case.tier.expire(&key("n"), Lifetime::Never.into()).unwrap());
        let zero = Lifetime::For(Duration::ZERO).into();
        let refused = case.tier.expire(&key("n"), zero).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        case.clock.advance(seconds(10_000));
        assert_eq!(
            case.tier.peek(&key("n")).unwrap().unwrap().remaining,
            None,
            "{what}"
        );
        assert!(
            case.tier
                .expire(&key("n"), Lifetime::Default.into())
                .unwrap()
        );
        assert_eq!(
            case.tier.peek(&key("n")).unwrap().unwrap().remaining,
            Some(seconds(300)),
            "{what}"
        );
        case.clock.advance(seconds(300));
        case.tier.sweep(usize::MAX).unwrap();
        assert_eq!(case.entries(), 0, "{what}");
    }
}

#[test]
fn an_entry_is_stale_in_its_grace_and_gone_after_it() {
    for case in every(100, 8 * MIB) {
        let what = &case.what;
        let term = Term {
            lifetime: Lifetime::For(seconds(10)),
            grace: seconds(30),
            at_most: None,
        };
        let put = || case.tier.put(&key("k"), b"v"[..].into(), 1, term).unwrap();
        assert!(put());
        let entry = case.tier.get(&key("k")).unwrap().unwrap();
        assert_eq!(entry.remaining, Some(seconds(40)), "{what}");
        assert_eq!(
            (entry.fresh(), entry.is_stale()),
            (Some(seconds(10)), false)
        );
        case.clock.advance(seconds(9));
        assert_eq!(case.get("k").as_deref(), Some(&b"v"[..]), "{what}");
        case.clock.advance(seconds(1));
        let stale = case.tier.get(&key("k")).unwrap().unwrap();
        assert!(stale.is_stale(), "{what}");
        assert_eq!((stale.term(), stale.remaining), (None, Some(seconds(30))));
        assert_eq!(case.tier.sweep(9).unwrap(), 0, "{what}");
        assert_eq!(keys(&case, "*"), ["k"], "{what}");
        case.clock.advance(seconds(30));
        assert_eq!(case.tier.get(&key("k")).unwrap(), None, "{what}");

        let endless = Term {
            lifetime: Lifetime::Never,
            ..term
        };
        let kept = case.tier.put(&key("n"), b"v"[..].into(), 1, endless);
        assert!(kept.unwrap());
        let entry = case.tier.peek(&key("n")).unwrap().unwrap();
        assert_eq!((entry.remaining, entry.grace), (None, Duration::ZERO));
    }
}

#[test]
fn a_tier_in_front_lets_go_early_and_tells_the_whole_rest() {
    for case in every(100, 8 * MIB) {
        let what = &case.what;
        let put = |name, lifetime| {
            let term = Term {
                at_most: Some(seconds(10)),
                ..Term::from(lifetime)
            };
            let kept = case.tier.put(&key(name), b"v"[..].into(), 1, term);
            assert!(kept.unwrap(), "{what}");
        };
        put("long", Lifetime::For(seconds(100)));
        put("short", Lifetime::For(seconds(5)));
        put("endless", Lifetime::Never);
        let remaining = |name| {
            let entry = case.tier.get(&key(name)).unwrap();
            entry.map(|entry| entry.remaining.map(|time| time.as_secs()))
        };
        assert_eq!(remaining("long"), Some(Some(100)), "{what}");
        assert_eq!(remaining("short"), Some(Some(5)), "{what}");
        assert_eq!(remaining("endless"), Some(None), "{what}");
        case.clock.advance(seconds(9));
        assert_eq!(remaining("long"), Some(Some(91)), "{what}");
        assert_eq!(remaining("short"), None, "{what}");
        case.clock.advance(seconds(1));
        assert_eq!((remaining("long"), remaining("endless")), (None, None));
        case.tier.sweep(usize::MAX).unwrap();
        assert_eq!((case.entries(), case.expirations()), (0, 3), "{what}");
    }
}

#[test]
fn a_peek_is_no_request_and_no_access_and_takes_nothing_out() {
    for case in every(100, 8 * MIB) {
        case.put("k", b"v");
        case.put_for("over", b"v", seconds(1));
        case.clock.advance(seconds(1));
        let before = counters(&case);
        assert!(case.tier.peek(&key("k")).unwrap().is_some());
        assert_eq!(case.tier.peek(&key("over")).unwrap(), None);
        assert_eq!(case.tier.peek(&key("absent")).unwrap(), None);
        assert_eq!(counters(&case), before, "{}", case.what);
    }
}

#[test]
fn many_keys_are_answered_in_their_order_each_counted() {
    for case in every(100, 8 * MIB) {
        case.put("a", b"1");
        case.put("c", b"");
        case.put_for("over", b"v", seconds(1));
        case.clock.advance(seconds(1));
        let names = ["c", "b", "a", "over", "a"].map(key);
        let keys: Vec<_> = names.iter().collect();
        let found = case.tier.get_many(&keys).into_iter();
        let found = found.map(|found| found.unwrap().map(|entry| entry.value.to_vec()));
        let found: Vec<_> = found.collect();
        let one = Some(b"1".to_vec());
        assert_eq!(
            found,
            [Some(vec![]), None, one.clone(), None, one],
            "{}",
            case.what
        );
        let report = case.tier.stats().unwrap();
        assert_eq!((report.hits, report.misses), (3, 2), "{}", case.what);
        assert!(case.tier.get_many(&[]).is_empty());
    }
}

/// Keys that a scan by ranges could confuse.
const AWKWARD: [&str; 12] = [
    "a",
    "a:",
    "a:1",
    "a:10",
    "a:2",
    "a;",
    "ab",
    "b*",
    "bx",
    "ü",
    "üa",
    "\u{10ffff}",
];

#[test]
fn a_scan_visits_every_living_key_that_matches_and_no_other() {
    for case in every(10_000, 64 * MIB) {
        AWKWARD
            .iter()
            .for_each(|name| assert!(case.put(name, b"v")));
        case.put_for("a:over", b"v", seconds(1));
        case.clock.advance(seconds(1));
        for text in [
            "*", "a*", "a:*", "a:?", "b\\*", "b*", "ü*", "?", "a:1", "[ab]*", "x*",
        ] {
            let pattern = pattern(text);
            let wanted = AWKWARD.iter().filter(|name| pattern.matches(name));
            let mut wanted: Vec<_> = wanted.map(ToString::to_string).collect();
            wanted.sort();
            assert_eq!(keys(&case, text), wanted, "{}: {text}", case.what);
        }
        assert_eq!(case.tier.stats().unwrap().misses, 0, "{}", case.what);
    }
}

#[test]
fn a_scan_of_many_ends_when_told_and_its_visitor_may_use_the_tier() {
    for case in and_redis(every(10_000, 64 * MIB)) {
        (0..3_000).for_each(|n| assert!(case.put(format!("k:{n}"), b"v")));
        let mut visited = 0;
        let ended = case.tier.scan(&pattern("k:*"), &mut |_| {
            visited += 1;
            match visited {
                2_500 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        ended.unwrap();
        assert_eq!(visited, 2_500, "{}", case.what);
        let mut removed = 0;
        let ended = case.tier.scan(&pattern("*"), &mut |found| {
            removed += usize::from(case.tier.remove(&found).unwrap());
            assert!(case.put("new", b"v"));
            ControlFlow::Continue(())
        });
        ended.unwrap();
        assert!((3_000..=3_001).contains(&removed), "{}", case.what);
        assert!(case.entries() <= 1);
    }
}

#[test]
fn what_matches_leaves_and_those_that_lived_are_counted() {
    for case in every(10_000, 64 * MIB) {
        let what = &case.what;
        (0..2_500).for_each(|n| assert!(case.put(format!("a:{n}"), b"v")));
        (0..40).for_each(|n| case.put_for(format!("a:over:{n}"), b"v", seconds(1)));
        for name in ["b:1", "a", "a;", "x*", "xy"] {
            case.put(name, b"v");
        }
        case.clock.advance(seconds(1));
        let remove = |text| case.tier.remove_matching(&pattern(text)).unwrap();
        assert_eq!(remove("a:*"), 2_500, "{what}");
        assert_eq!(keys(&case, "*"), ["a", "a;", "b:1", "x*", "xy"], "{what}");
        assert_eq!((case.entries(), case.expirations()), (5, 40), "{what}");
        assert_eq!(case.evictions(), 0, "{what}");
        assert_eq!(remove("a:*"), 0, "{what}");
        assert_eq!(remove("x\\*"), 1, "{what}: itself alone");
        assert_eq!(remove("nothing"), 0, "{what}");
        assert_eq!(keys(&case, "*"), ["a", "a;", "b:1", "xy"], "{what}");
        assert_eq!(remove("*"), 4, "{what}");
        assert_eq!(case.entries(), 0, "{what}");
    }
}

#[test]
fn a_removal_by_pattern_beside_writers_takes_all_that_was_there_before() {
    for case in every(10_000, 64 * MIB) {
        let old: Vec<_> = (0..500).map(|n| format!("k:{n}")).collect();
        old.iter().for_each(|name| assert!(case.put(name, b"old")));
        std::thread::scope(|scope| {
            scope.spawn(|| (0..500).for_each(|n| assert!(case.put(format!("k:new:{n}"), b"new"))));
            let removed = case.tier.remove_matching(&pattern("k:*")).unwrap();
            assert!(removed >= 500, "{}", case.what);
        });
        let found = old.iter().filter(|name| case.get(name).is_some());
        assert_eq!(found.count(), 0, "{}", case.what);
        let left = keys(&case, "*").len();
        // What is written meanwhile may stay in one of several tiers.
        assert!(left == case.entries() || case.is_tiered(), "{}", case.what);
    }
}

/// An entry of the model: its value, when it ends, how much of that is grace, and when it leaves.
#[derive(Clone, Debug)]
struct Slow {
    value: String,
    end: Option<u64>,
    grace: u64,
    leaves: u64,
}

impl Slow {
    fn new(value: String, term: Term, now: u64) -> Self {
        let time = match term.lifetime {
            Lifetime::Default => Some(300),
            Lifetime::Never => None,
            Lifetime::For(time) => Some(time.as_secs()),
        };
        let grace = time.map_or(0, |_| term.grace.as_secs());
        let end = time.map(|time| now + time + grace);
        let most = term.at_most.map_or(u64::MAX, |most| now + most.as_secs());
        Slow {
            value,
            end,
            grace,
            leaves: end.unwrap_or(u64::MAX).min(most),
        }
    }
}

fn some_term(random: &mut fastrand::Rng, case: &Case) -> Term {
    Term {
        lifetime: match random.u8(..6) {
            0 => Lifetime::Default,
            1 => Lifetime::Never,
            _ => Lifetime::For(seconds(random.u64(1..20))),
        },
        grace: seconds(random.u64(..5)),
        // Tiers above each other hold what is copied between them for their own time.
        at_most: random
            .bool()
            .then(|| seconds(random.u64(1..15)))
            .filter(|_| !case.is_tiered()),
    }
}

/// What these verbs do, said slowly: a plain map with ends, over random sequences.
#[test]
fn with_room_for_all_every_verb_does_what_a_plain_map_does() {
    for case in changeable(1_000, 64 * MIB) {
        let what = &case.what;
        let mut random = fastrand::Rng::with_seed(17);
        let mut model: BTreeMap<String, Slow> = BTreeMap::new();
        let mut now = 0;
        for version in 0..1_500_u64 {
            let name = format!("{}:{}", ["a", "ab", "b"][random.usize(..3)], random.u8(..8));
            model.retain(|_, held| held.leaves > now);
            let held = model.get(&name).cloned();
            match random.u8(..12) {
                0..3 => {
                    let term = some_term(&mut random, &case);
                    let value = version.to_string();
                    let bytes: Arc<[u8]> = value.as_bytes().into();
                    assert!(case.tier.put(&key(&name), bytes, version, term).unwrap());
                    model.insert(name, Slow::new(value, term, now));
                }
                3 | 4 => {
                    let term = random.bool().then(|| some_term(&mut random, &case));
                    let value = version.to_string();
                    let made = case.tier.update(&key(&name), &mut |entry| {
                        let seen = entry.map(|entry| entry.value.to_vec());
                        let known = held.as_ref().map(|held| held.value.as_bytes().to_vec());
                        assert_eq!(seen, known, "{what}");
                        put(value.as_bytes(), version, term)
                    });
                    assert!(made.unwrap().is_some(), "{what}");
                    let new = match (term, held) {
                        (None, Some(held)) => Slow { value, ..held },
                        (term, _) => {
                            let term = term.unwrap_or(Lifetime::Default.into());
                            Slow::new(value, term, now)
                        }
                    };
                    model.insert(name, new);
                }
                5 => {
                    let term = some_term(&mut random, &case);
                    let found = case.tier.expire(&key(&name), term).unwrap();
                    assert_eq!(found, held.is_some(), "{what}");
                    if let Some(held) = held {
                        model.insert(name, Slow::new(held.value, term, now));
                    }
                }
                6 => {
                    let text = ["a:*", "ab:[0-3]", "?:1", "b:2"][random.usize(..4)];
                    let pattern = pattern(text);
                    let before = model.len();
                    model.retain(|name, _| !pattern.matches(name));
                    let removed = case.tier.remove_matching(&pattern).unwrap();
                    assert_eq!(removed, before - model.len(), "{what}: {text}");
                }
                7 => {
                    let by = random.u64(..4);
                    now += by;
                    case.clock.advance(seconds(by));
                }
                8 => {
                    let names: Vec<_> = model.keys().cloned().collect();
                    assert_eq!(keys(&case, "*"), names, "{what}");
                }
                _ => {
                    let found = case.tier.get(&key(&name)).unwrap();
                    let found = found.map(|entry| {
                        let value = String::from_utf8(entry.value.to_vec()).unwrap();
                        let end = entry.remaining.map(|rest| now + rest.as_secs());
                        (value, end, entry.grace.as_secs())
                    });
                    let wanted = held.map(|held| (held.value, held.end, held.grace));
                    assert_eq!(found, wanted, "{what}: {name} at {now}");
                }
            }
        }
        model.retain(|_, held| held.leaves > now);
        case.tier.sweep(usize::MAX).unwrap();
        assert_eq!(
            (case.entries(), case.evictions()),
            (model.len(), 0),
            "{what}"
        );
    }
}
