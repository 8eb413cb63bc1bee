//! What anybody may do to our keys on a server: nothing of it is ever an answer.

use cardex::tier::{Lifetime, RedisTier, Tier};

use crate::redis_support::Server;
use crate::verbs::{get, key, put};

fn damaged(tier: &RedisTier) -> u64 {
    tier.tier_stats().unwrap().damaged
}

/// The name of the value of `k`, the only one.
fn name(server: &Server) -> String {
    server.name("cardex:{test}:v:*:k")
}

fn raw(server: &Server, name: &str) -> Vec<u8> {
    server.ask(&["GET", name])
}

fn write(server: &Server, name: &str, bytes: &[u8]) {
    let mut set = redis::cmd("SET");
    set.arg(name).arg(bytes);
    set.exec(&mut server.connection()).unwrap();
}

#[test]
fn a_value_of_somebody_else_is_a_miss_that_is_taken_out_and_counted() {
    let server = Server::start();
    let tier = server.tier();
    put(&tier, "k", b"value");
    let name = name(&server);
    let good = raw(&server, &name);
    let flipped = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 1;
        bad
    };
    let cases: [&[u8]; 7] = [
        b"",
        b"value",
        b"{\"json\": true}",
        &good[..good.len() - 1],
        &flipped(0),
        &flipped(3),
        &flipped(good.len() - 1),
    ];
    for (at, bad) in cases.into_iter().enumerate() {
        write(&server, &name, bad);
        assert_eq!(tier.peek(&key("k")).unwrap(), None);
        assert_eq!(raw(&server, &name), bad, "who only looks changes nothing");
        assert_eq!(damaged(&tier), at as u64);
        assert_eq!(get(&tier, "k"), None);
        assert_eq!(server.ask::<i64>(&["EXISTS", &name]), 0);
        assert_eq!(damaged(&tier), at as u64 + 1);
    }
    let report = tier.tier_stats().unwrap().report;
    assert_eq!((report.hits, report.misses), (0, 7));
    put(&tier, "k", b"again");
    assert_eq!(get(&tier, "k").unwrap(), b"again");
}

#[test]
fn a_value_that_was_moved_to_another_key_or_lost_its_end_is_no_answer() {
    let server = Server::start();
    let tier = server.tier();
    put(&tier, "k", b"value");
    let (mine, other) = (name(&server), name(&server).replace(":k", ":other"));
    assert_eq!(server.ask::<i64>(&["COPY", &mine, &other]), 1);
    assert_eq!(get(&tier, "other"), None);
    assert_eq!(get(&tier, "k").unwrap(), b"value");
    tier.put(&key("k"), b"v"[..].into(), 1, Lifetime::Default.into())
        .unwrap();
    assert_eq!(server.ask::<i64>(&["PERSIST", &mine]), 1);
    assert_eq!(get(&tier, "k"), None);
    assert_eq!(damaged(&tier), 2);
}

#[test]
fn whatever_stands_in_the_place_of_the_epoch_is_replaced() {
    let server = Server::start();
    let tier = server.tier();
    put(&tier, "k", b"value");
    for tier in [&tier, &server.tier()] {
        let mut long = redis::cmd("SETRANGE");
        long.arg("cardex:{test}:epoch").arg(66 << 20).arg("x");
        long.exec(&mut server.connection()).unwrap();
        // The first verb may fail; it is no answer of before.
        assert!(!matches!(tier.get(&key("k")), Ok(Some(_))));
        put(tier, "k", b"again");
        assert_eq!(get(tier, "k").unwrap(), b"again");
    }
}

#[test]
fn a_list_under_our_name_is_nothing_and_is_overwritten() {
    let server = Server::start();
    let tier = server.tier();
    put(&tier, "k", b"value");
    let name = name(&server);
    for verb in 0..3 {
        _ = server.ask::<i64>(&["DEL", &name]);
        assert_eq!(server.ask::<i64>(&["RPUSH", &name, "x"]), 1);
        assert_eq!(get(&tier, "k"), None);
        match verb {
            0 => put(&tier, "k", b"new"),
            1 => {
                let mut change = |entry: Option<&cardex::tier::Entry>| {
                    assert_eq!(entry, None);
                    Ok(cardex::tier::Update::Put {
                        value: b"new"[..].into(),
                        version: 1,
                        term: None,
                    })
                };
                tier.update(&key("k"), &mut change).unwrap();
            }
            _ => {
                tier.remove(&key("k")).unwrap();
                assert_eq!(server.ask::<i64>(&["EXISTS", &name]), 0);
                continue;
            }
        }
        assert_eq!(get(&tier, "k").unwrap(), b"new");
    }
}

#[test]
fn an_epoch_that_is_lost_or_replaced_makes_everything_a_miss() {
    let server = Server::start();
    let (one, other) = (server.tier(), server.tier());
    let epoch = "cardex:{test}:epoch";
    for change in [
        &["DEL", epoch][..],
        &["SET", epoch, "garbage"],
        &["SET", epoch, "0000000000000000"],
        &["SET", epoch, "00000000000000ff"],
        &["RENAME", "list", epoch],
    ] {
        put(&one, "k", b"old");
        assert_eq!(get(&other, "k").unwrap(), b"old");
        _ = server.ask::<i64>(&["RPUSH", "list", "x"]);
        _ = server.ask::<redis::Value>(change);
        assert_eq!(get(&one, "k"), None, "{change:?}");
        assert_eq!(get(&other, "k"), None, "{change:?}");
        put(&other, "k", b"new");
        assert_eq!(get(&one, "k").unwrap(), b"new", "{change:?}");
    }
    // What lies in a dead epoch, and never ends, is swept away.
    let count = || {
        server
            .ask::<Vec<String>>(&["KEYS", "cardex:{test}:v:*"])
            .len()
    };
    assert!(count() > 1);
    let before = count();
    assert_eq!(one.sweep(1).unwrap(), 1);
    assert_eq!(count(), before - 1);
    assert_eq!(one.sweep(usize::MAX).unwrap(), before - 2);
    assert_eq!(one.sweep(usize::MAX).unwrap(), 0);
    assert_eq!(get(&one, "k").unwrap(), b"new");
}

#[test]
fn a_value_that_is_too_long_is_a_miss_that_is_taken_out_and_long_ones_are_read_among_many() {
    let server = Server::start();
    let tier = server.tier();
    let long = vec![7; 3 << 20];
    put(&tier, "k", b"value");
    let name = name(&server);
    put(&tier, "long", &long);
    for many in [false, true] {
        let last = (400_u64 << 20).to_string();
        _ = server.ask::<i64>(&["SETRANGE", &name, &last, "end"]);
        let before = damaged(&tier);
        if many {
            let keys = ["k", "long", "none"].map(key);
            let found = tier.get_many(&keys.each_ref());
            let found: Vec<_> = found.into_iter().map(|entry| entry.unwrap()).collect();
            assert!(found[0].is_none() && found[2].is_none());
            assert!(found[1].as_ref().is_some_and(|entry| *entry.value == *long));
        } else {
            assert_eq!(get(&tier, "k"), None);
        }
        assert_eq!(damaged(&tier), before + 1);
        assert_eq!(server.ask::<i64>(&["EXISTS", &name]), 0, "it is taken out");
    }
    assert_eq!(get(&tier, "long").unwrap(), long);
    let too_long = vec![0; (64 << 20) + 1];
    let kept = tier.put(
        &key("long"),
        too_long.into(),
        1,
        cardex::tier::Lifetime::Never.into(),
    );
    assert!(!kept.unwrap());
    assert_eq!(get(&tier, "long"), None, "nor the one before");
}
