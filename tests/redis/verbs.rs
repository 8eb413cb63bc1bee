//! The verbs of a tier, and its entries' ends.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use cardex::tier::{Entry, Key, KeyPattern, Lifetime, RedisTier, Term, Tier, Update};
use cardex::{Cache, ErrorKind};

use crate::redis_support::{Server, soon};

pub fn key(text: impl ToString) -> Key {
    Key::new(&text.to_string()).unwrap()
}

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn put(tier: &RedisTier, name: impl ToString, value: &[u8]) {
    let never = Lifetime::Never.into();
    assert!(tier.put(&key(name), value.into(), 1, never).unwrap());
}

pub fn get(tier: &RedisTier, name: impl ToString) -> Option<Vec<u8>> {
    let entry = tier.get(&key(name)).unwrap();
    entry.map(|entry| entry.value.to_vec())
}

fn pattern(text: &str) -> KeyPattern {
    KeyPattern::new(text).unwrap()
}

fn scanned(tier: &RedisTier, text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let visit = &mut |key: Key| {
        names.push(key.as_str().to_owned());
        ControlFlow::Continue(())
    };
    tier.scan(&pattern(text), visit).unwrap();
    names.sort();
    names
}

fn term(fresh: u64, grace: u64, at_most: Option<u64>) -> Term {
    Term {
        grace: ms(grace),
        at_most: at_most.map(ms),
        ..Lifetime::For(ms(fresh)).into()
    }
}

#[test]
fn an_entry_ends_by_the_servers_clock_and_tells_how_long_it_lives() {
    let server = Server::start();
    let tier = server.tier();
    let put = |name, term: Term| tier.put(&key(name), b"v"[..].into(), 7, term).unwrap();
    put("short", term(60, 0, None));
    put("default", Lifetime::Default.into());
    put("never", Lifetime::Never.into());
    put("longest", Lifetime::For(Duration::MAX).into());
    let remaining = |name| tier.get(&key(name)).unwrap().map(|e| e.remaining);
    let left = remaining("default").unwrap().unwrap();
    assert!(left <= ms(300_000) && left > ms(280_000), "{left:?}");
    assert_eq!(remaining("never"), Some(None));
    assert_eq!(remaining("longest"), Some(None));
    soon("the entry ends", || match remaining("short") {
        Some(left) => {
            assert!(left.unwrap() <= ms(60));
            false
        }
        None => true,
    });
    assert!(!tier.remove(&key("short")).unwrap());
    assert!(remaining("never").is_some());
    assert_eq!(tier.tier_stats().unwrap().report.usage.entries, 3);
}

#[test]
fn an_entry_in_its_grace_says_so_and_one_that_is_held_for_less_tells_its_whole_life() {
    let server = Server::start();
    let tier = server.tier();
    let put = |name, term: Term| tier.put(&key(name), b"v"[..].into(), 1, term).unwrap();
    put("grace", term(40, 60_000, None));
    put("held", term(600_000, 0, Some(60_000)));
    let mut at_most = Term::from(Lifetime::Never);
    at_most.at_most = Some(ms(60_000));
    put("endless", at_most);
    let entry = |name| -> Entry { tier.get(&key(name)).unwrap().unwrap() };
    assert_eq!(entry("grace").grace, ms(60_000));
    soon("the entry is stale", || entry("grace").is_stale());
    assert_eq!(entry("grace").term(), None);
    let left = entry("held").remaining.unwrap();
    assert!(left <= ms(600_000) && left > ms(560_000), "{left:?}");
    let pttl: i64 = server.ask(&["PTTL", &server.name("cardex:{test}:v:*:held")]);
    assert!((1..=60_000).contains(&pttl));
    assert_eq!(entry("endless").remaining, None);
    let pttl: i64 = server.ask(&["PTTL", &server.name("cardex:{test}:v:*:endless")]);
    assert!((1..=60_000).contains(&pttl));
}

#[test]
fn an_update_changes_value_and_version_and_keeps_the_end_unless_it_brings_one() {
    let server = Server::start();
    let tier = server.tier();
    let k = key("k");
    let change = |value: &'static [u8], term| {
        tier.update(&k, &mut |entry| {
            Ok(Update::Put {
                value: value.into(),
                version: entry.map_or(0, |entry| entry.version) + 1,
                term,
            })
        })
        .unwrap()
        .unwrap()
    };
    let made = change(b"1", None);
    assert_eq!((made.version, made.remaining), (1, Some(ms(300_000))));
    tier.put(&k, b"2"[..].into(), 10, term(90_000, 5_000, Some(60_000)))
        .unwrap();
    let kept = change(b"3", None);
    assert_eq!(
        (&*kept.value, kept.version, kept.grace),
        (&b"3"[..], 11, ms(5_000))
    );
    let entry = tier.get(&k).unwrap().unwrap();
    assert_eq!(
        (&*entry.value, entry.version, entry.grace),
        (&b"3"[..], 11, ms(5_000))
    );
    let left = entry.remaining.unwrap();
    assert!(left <= ms(95_000) && left > ms(75_000), "{left:?}");
    let changed = change(b"4", Some(Lifetime::Never.into()));
    assert_eq!(changed.remaining, None);
    assert_eq!(tier.get(&k).unwrap().unwrap().remaining, None);

    assert!(tier.expire(&k, term(50, 0, None)).unwrap());
    let entry = tier.get(&k).unwrap();
    assert!(entry.is_none_or(|entry| entry.version == 12 && entry.remaining <= Some(ms(50))));
    soon("the entry ends", || get(&tier, "k").is_none());
    assert!(!tier.expire(&k, term(50, 0, None)).unwrap());

    put(&tier, "k", b"v");
    let left = tier.update(&k, &mut |_| Ok(Update::Leave)).unwrap();
    assert_eq!(&*left.unwrap().value, b"v");
    let refused = cardex::Error::new(ErrorKind::InvalidInput, "no");
    let error = tier.update(&k, &mut |_| Err(refused.clone())).unwrap_err();
    assert_eq!(error.to_string(), "no");
    assert_eq!(get(&tier, "k").unwrap(), b"v");
    assert_eq!(tier.update(&k, &mut |_| Ok(Update::Remove)).unwrap(), None);
    assert_eq!(get(&tier, "k"), None);
    assert_eq!(tier.update(&k, &mut |_| Ok(Update::Leave)).unwrap(), None);
}

#[test]
fn many_keys_are_answered_in_their_order() {
    let server = Server::start();
    let tier = server.tier();
    for k in (0..600).step_by(2) {
        put(&tier, k, k.to_string().as_bytes());
    }
    let keys: Vec<Key> = (0..600).map(key).collect();
    let keys: Vec<&Key> = keys.iter().collect();
    for (k, entry) in tier.get_many(&keys).into_iter().enumerate() {
        let value = entry.unwrap().map(|entry| entry.value.to_vec());
        assert_eq!(value, (k % 2 == 0).then(|| k.to_string().into_bytes()));
    }
    let report = tier.stats().unwrap();
    assert_eq!((report.hits, report.misses), (300, 300));
    assert!(tier.get_many(&[]).is_empty());
}

#[test]
fn patterns_match_characters_and_nothing_of_other_namespaces() {
    let server = Server::start();
    let tier = server.tier();
    let names = ["a:1", "a:2", "a:ü", "a*b", "b:1", "a:[x]", "{a}:1"];
    names.iter().for_each(|name| put(&tier, name, b"v"));
    let other = cardex::tier::RedisTierOptions::new("test2").unwrap();
    let other = RedisTier::new("other", other, server.client());
    put(&other, "a:1", b"v");
    assert_eq!(scanned(&tier, "a:?"), ["a:1", "a:2", "a:ü"]);
    assert_eq!(scanned(&tier, "a:[1-2]"), ["a:1", "a:2"]);
    assert_eq!(scanned(&tier, "a\\*b"), ["a*b"]);
    assert_eq!(scanned(&tier, "*").len(), names.len());
    assert_eq!(tier.remove_matching(&pattern("a\\*b")).unwrap(), 1);
    assert_eq!(tier.remove_matching(&pattern("a:?")).unwrap(), 3);
    assert_eq!(tier.remove_matching(&pattern("a:?")).unwrap(), 0);
    assert_eq!(scanned(&tier, "*"), ["a:[x]", "b:1", "{a}:1"]);
    assert_eq!(scanned(&other, "*"), ["a:1"]);
}

#[test]
fn thousands_of_keys_are_visited_counted_and_removed() {
    let server = Server::start();
    let tier = server.tier();
    for k in 0..3000 {
        put(&tier, format!("{}:{k}", k % 3), b"v");
    }
    assert_eq!(scanned(&tier, "1:*").len(), 1000);
    let stats = tier.tier_stats().unwrap();
    assert_eq!(stats.report.usage.entries, 3000);
    assert!(stats.bytes > 3000 * 50, "{stats:?}");
    assert_eq!(tier.usage().entries, 3000);
    let mut seen = 0;
    let visit = &mut |_| {
        seen += 1;
        match seen {
            7 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    tier.scan(&pattern("*"), visit).unwrap();
    assert_eq!(seen, 7);
    assert_eq!(tier.remove_matching(&pattern("1:*")).unwrap(), 1000);
    assert_eq!(tier.evict(500).unwrap(), 500);
    assert_eq!(tier.tier_stats().unwrap().report.usage.entries, 1500);
    tier.clear().unwrap();
    assert_eq!(tier.tier_stats().unwrap().report.usage.entries, 0);
    let left: Vec<String> = server.ask(&["KEYS", "cardex:{test}:v:*"]);
    assert!(left.is_empty(), "cleared values that never end are gone");
}

/// Random verbs against a plain map. Lifetimes are long or endless: time stands still, nearly.
#[test]
fn every_answer_is_that_of_a_plain_map() {
    let server = Server::start();
    let tier = server.tier();
    let mut random = fastrand::Rng::with_seed(11);
    let mut model: HashMap<u32, (Vec<u8>, u64)> = HashMap::new();
    for version in 0..3000_u64 {
        let k = random.u32(..30);
        let name = key(k);
        let value = vec![random.u8(..); random.usize(..200)];
        match random.u8(..12) {
            0..4 => {
                let lifetimes = [Lifetime::Default, Lifetime::Never];
                let term = lifetimes[random.usize(..2)].into();
                let kept = tier.put(&name, value.clone().into(), version, term);
                assert!(kept.unwrap());
                model.insert(k, (value, version));
            }
            4 => assert_eq!(tier.remove(&name).unwrap(), model.remove(&k).is_some()),
            5 => {
                let entry = tier.update(&name, &mut |entry| {
                    let told = entry.map(|entry| (entry.value.to_vec(), entry.version));
                    assert_eq!(told.as_ref(), model.get(&k));
                    Ok(Update::Put {
                        value: value.clone().into(),
                        version,
                        term: None,
                    })
                });
                assert_eq!(&*entry.unwrap().unwrap().value, value);
                model.insert(k, (value, version));
            }
            6 => {
                let found = tier.expire(&name, Lifetime::Default.into()).unwrap();
                assert_eq!(found, model.contains_key(&k));
            }
            7 if version % 100 == 7 => {
                tier.clear().unwrap();
                model.clear();
            }
            8 if version % 20 == 8 => {
                let starts = format!("{}*", k % 3);
                let matching = |k: &u32| k.to_string().starts_with(&starts[..1]);
                let count = model.keys().filter(|k| matching(k)).count();
                assert_eq!(tier.remove_matching(&pattern(&starts)).unwrap(), count);
                model.retain(|k, _| !matching(k));
            }
            _ => {
                let entry = tier.get(&name).unwrap();
                let told = entry.map(|entry| (entry.value.to_vec(), entry.version));
                assert_eq!(told.as_ref(), model.get(&k), "key {k}");
            }
        }
    }
    assert_eq!(scanned(&tier, "*").len(), model.len());
}
