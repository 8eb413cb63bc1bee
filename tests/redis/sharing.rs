//! What two processes see of each other: two tiers, each with a client of its own.

use std::time::Duration;

use cardex::Cache;
use cardex::tier::{
    Key, KeyPattern, Lease, Leased, Lifetime, RedisTier, RedisTierOptions, Tier, Update,
};

use crate::redis_support::{Server, soon};
use crate::verbs::{get, key, ms, put};

/// Ten seconds, more than any test takes.
const LONG: Duration = Duration::from_secs(10);

fn granted(leased: cardex::Result<Leased>) -> Lease {
    match leased.unwrap() {
        Leased::Granted(lease) => lease,
        held @ Leased::Held(_) => panic!("{held:?}"),
    }
}

fn is_held(leased: cardex::Result<Leased>) -> bool {
    matches!(leased.unwrap(), Leased::Held(left) if left <= LONG)
}

fn fill(tier: &RedisTier, key: &Key, lease: &Lease) -> bool {
    let term = Lifetime::Never.into();
    tier.fill(key, lease, b"made"[..].into(), 1, term).unwrap()
}

#[test]
fn two_processes_see_each_others_writes_and_removals() {
    let server = Server::start();
    let (one, other) = (server.tier(), server.tier());
    assert!(one.is_shared());
    put(&one, "k", b"1");
    assert_eq!(get(&other, "k").unwrap(), b"1");
    put(&other, "k", b"2");
    assert_eq!(get(&one, "k").unwrap(), b"2");
    assert!(one.remove(&key("k")).unwrap());
    assert_eq!(get(&other, "k"), None);
}

#[test]
fn a_clear_of_one_process_is_seen_at_once_by_every_verb_of_another() {
    let server = Server::start();
    let (one, other) = (server.tier(), server.tier());
    let k = key("k");
    for round in 0..8 {
        put(&one, "k", b"old");
        assert_eq!(get(&other, "k").unwrap(), b"old");
        one.clear().unwrap();
        match round {
            0 => assert_eq!(get(&other, "k"), None),
            1 => assert_eq!(other.peek(&k).unwrap(), None),
            2 => assert!(!other.remove(&k).unwrap()),
            3 => assert!(!other.expire(&k, Lifetime::Default.into()).unwrap()),
            4 => assert_eq!(other.update(&k, &mut |_| Ok(Update::Leave)).unwrap(), None),
            5 => assert_eq!(other.tier_stats().unwrap().report.usage.entries, 0),
            6 => assert_eq!(
                other
                    .remove_matching(&KeyPattern::new("*").unwrap())
                    .unwrap(),
                0
            ),
            _ => {
                // A write in the old epoch would be lost.
                put(&other, "k", b"new");
                assert_eq!(get(&one, "k").unwrap(), b"new");
                assert_eq!(get(&other, "k").unwrap(), b"new");
            }
        }
    }
    let left: Vec<String> = server.ask(&["KEYS", "cardex:{test}:v:*"]);
    assert_eq!(
        left.len(),
        1,
        "nothing is left of what was written too late: {left:?}"
    );
}

#[test]
fn what_was_put_after_a_clear_is_what_every_verb_of_another_process_is_about() {
    let server = Server::start();
    let (one, other) = (server.tier(), server.tier());
    let k = key("k");
    for round in 0..9 {
        put(&one, "k", b"old");
        assert_eq!(get(&other, "k").unwrap(), b"old");
        one.clear().unwrap();
        put(&one, "k", b"new");
        let pattern = KeyPattern::new("*").unwrap();
        match round {
            0 => assert_eq!(get(&other, "k").unwrap(), b"new"),
            1 => assert!(other.remove(&k).unwrap()),
            2 => assert_eq!(other.remove_matching(&pattern).unwrap(), 1),
            3 => assert!(other.expire(&k, Lifetime::For(LONG).into()).unwrap()),
            4 => assert_eq!(other.evict(2).unwrap(), 1),
            5 => assert_eq!(other.invalidate(&cardex::Scope::All).unwrap(), 1),
            6 => {
                let entry = other.update(&k, &mut |_| Ok(Update::Leave)).unwrap();
                assert_eq!(&*entry.unwrap().value, b"new");
            }
            7 => {
                let lease = granted(one.lease(&k, LONG));
                assert!(is_held(other.lease(&k, LONG)));
                assert!(other.renew(&k, &lease, LONG).unwrap());
                assert!(fill(&other, &k, &lease));
                assert_eq!(get(&one, "k").unwrap(), b"made");
            }
            _ => assert_eq!(other.tier_stats().unwrap().report.usage.entries, 1),
        }
        let is_gone = matches!(round, 1 | 2 | 4 | 5);
        assert_eq!(get(&one, "k").is_none(), is_gone, "round {round}");
        if round == 3 {
            assert!(one.get(&k).unwrap().unwrap().remaining <= Some(LONG));
        }
    }
}

#[test]
fn another_schema_is_another_tier_until_it_is_cleared() {
    let server = Server::start();
    let options = RedisTierOptions::new("test").unwrap().schema(2);
    let (one, other) = (
        server.tier(),
        RedisTier::new("new", options, server.client()),
    );
    put(&one, "k", b"1");
    assert_eq!(get(&other, "k"), None);
    put(&other, "k", b"2");
    assert_eq!(get(&one, "k").unwrap(), b"1");
    other.clear().unwrap();
    assert_eq!((get(&one, "k"), get(&other, "k")), (None, None));
}

#[test]
fn increments_of_8_threads_in_2_processes_are_all_counted() {
    let server = Server::start();
    let tiers = [server.tier(), server.tier()];
    let k = key("count");
    let number = |value: &[u8]| -> u64 { std::str::from_utf8(value).unwrap().parse().unwrap() };
    std::thread::scope(|scope| {
        for tier in &tiers {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        tier.update(&k, &mut |entry| {
                            let before = entry.map_or(0, |entry| number(&entry.value));
                            Ok(Update::Put {
                                value: (before + 1).to_string().into_bytes().into(),
                                version: before + 1,
                                term: None,
                            })
                        })
                        .unwrap();
                    }
                });
            }
        }
    });
    let entry = tiers[0].get(&k).unwrap().unwrap();
    assert_eq!((number(&entry.value), entry.version), (800, 800));
}

#[test]
fn one_of_many_has_the_lease_and_what_it_made_is_kept() {
    let server = Server::start();
    let (one, other) = (server.tier(), server.tier());
    let k = key("k");
    let leases: Vec<Leased> = std::thread::scope(|scope| {
        let tiers = [&one, &other].into_iter().cycle().take(16);
        let asking: Vec<_> = tiers
            .map(|tier| scope.spawn(|| tier.lease(&key("k"), LONG).unwrap()))
            .collect();
        asking
            .into_iter()
            .map(|asked| asked.join().unwrap())
            .collect()
    });
    let granted: Vec<&Lease> = leases
        .iter()
        .filter_map(|leased| match leased {
            Leased::Granted(lease) => Some(lease),
            Leased::Held(_) => None,
        })
        .collect();
    let [lease] = granted[..] else {
        panic!("{leases:?}");
    };
    assert!(is_held(other.lease(&k, LONG)));
    assert!(
        other
            .lease(&key("another"), LONG)
            .is_ok_and(|l| l != Leased::Held(LONG))
    );
    let wrong = Lease {
        token: lease.token ^ 1,
        fence: lease.fence,
    };
    assert!(!fill(&other, &k, &wrong));
    assert!(!other.renew(&k, &wrong, LONG).unwrap());
    other.release(&k, &wrong).unwrap();
    assert!(is_held(other.lease(&k, LONG)));
    assert!(one.renew(&k, lease, LONG).unwrap());
    assert!(fill(&one, &k, lease));
    assert_eq!(get(&other, "k").unwrap(), b"made");
    assert!(!fill(&one, &k, lease), "it was given back");
}

#[test]
fn whatever_changes_the_key_voids_its_lease() {
    let server = Server::start();
    let (one, other) = (server.tier(), server.tier());
    let k = key("k");
    for round in 0..7 {
        let lease = granted(one.lease(&k, LONG));
        match round {
            0 => _ = other.remove(&k).unwrap(),
            1 => put(&other, "k", b"new"),
            2 => other.clear().unwrap(),
            3 => {
                _ = other
                    .remove_matching(&KeyPattern::new("k*").unwrap())
                    .unwrap()
            }
            4 => _ = other.invalidate(&cardex::Scope::All).unwrap(),
            5 => {
                let mut change = |_: Option<&cardex::tier::Entry>| {
                    Ok(Update::Put {
                        value: b"new"[..].into(),
                        version: 2,
                        term: None,
                    })
                };
                other.update(&k, &mut change).unwrap();
            }
            _ => one.release(&k, &lease).unwrap(),
        }
        assert!(!one.renew(&k, &lease, LONG).unwrap(), "round {round}");
        assert!(!fill(&one, &k, &lease), "round {round}");
        assert_ne!(
            get(&one, "k").as_deref(),
            Some(&b"made"[..]),
            "round {round}"
        );
        let next = granted(other.lease(&k, LONG));
        assert!(next.fence > lease.fence);
        other.release(&k, &next).unwrap();
    }
}

/// Leases of before a removal, under which values are kept while it goes through the server's keys.
#[test]
fn what_is_filled_while_a_pattern_is_removed_does_not_outlive_the_removal() {
    let server = Server::start();
    let (one, other) = (server.tier(), server.tier());
    for round in 0..5 {
        for n in 0..3000 {
            put(&one, format!("there:{n}"), b"old");
        }
        let keys: Vec<Key> = (0..400).map(|n| key(format!("made:{n}"))).collect();
        let leases: Vec<Lease> = keys
            .iter()
            .map(|key| granted(one.lease(key, LONG)))
            .collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for (key, lease) in keys.iter().zip(&leases) {
                    fill(&one, key, lease);
                }
            });
            let all = KeyPattern::new("*").unwrap();
            other.remove_matching(&all).unwrap();
        });
        let left = keys.iter().filter(|key| one.peek(key).unwrap().is_some());
        assert_eq!(left.count(), 0, "round {round}");
    }
}

#[test]
fn a_lease_ends_by_itself_and_its_holder_comes_too_late() {
    let server = Server::start();
    let (one, other) = (server.tier(), server.tier());
    let k = key("k");
    let late = granted(one.lease(&k, ms(50)));
    let mut next = None;
    soon("the lease ends", || {
        match other.lease(&k, LONG).unwrap() {
            Leased::Granted(lease) => next = Some(lease),
            Leased::Held(left) => assert!(left <= ms(50)),
        }
        next.is_some()
    });
    let next = next.unwrap();
    assert!(next.fence > late.fence);
    assert!(!fill(&one, &k, &late));
    assert!(!one.renew(&k, &late, LONG).unwrap());
    assert!(fill(&other, &k, &next));
}

#[test]
fn fences_grow_also_over_a_server_that_was_emptied() {
    let mut server = Server::start();
    let tier = server.tier();
    let k = key("k");
    let mut last = 0;
    for round in 0..30 {
        if round == 10 {
            _ = server.ask::<String>(&["FLUSHALL"]);
        }
        if round == 20 {
            server.restart();
            soon("the server is back", || tier.peek(&k).is_ok());
        }
        let lease = granted(tier.lease(&k, LONG));
        assert!(lease.fence > last, "round {round}");
        last = lease.fence;
        tier.release(&k, &lease).unwrap();
    }
}
