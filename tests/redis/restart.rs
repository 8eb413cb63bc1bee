//! A server that goes back in time: started again from a snapshot, or replaced by a replica that was
//! behind. Nothing that it held before is an answer, for anybody, whatever is asked first.

use cardex::tier::{Entry, KeyPattern, Leased, Lifetime, RedisTier, Tier, Update};
use cardex::{Cache, Error, ErrorKind, Scope};

use crate::redis_support::proxy::Proxy;
use crate::redis_support::{Server, client, soon, tier};
use crate::verbs::{get, key, ms, put};

const EPOCH: &str = "cardex:{test}:epoch";

/// What the server has is older than what was acknowledged: `changed` is, and `gone` was removed.
fn goes_back(server: &mut Server, tier: &RedisTier) {
    put(tier, "changed", b"1");
    put(tier, "gone", b"1");
    put(tier, "same", b"1");
    _ = server.ask::<String>(&["SAVE"]);
    put(tier, "changed", b"2");
    assert!(tier.remove(&key("gone")).unwrap());
    server.kill();
    server.restart();
    has_all_of_it(server);
}

/// The server itself has the three values.
fn has_all_of_it(server: &Server) {
    for k in ["changed", "gone", "same"] {
        server.name(&format!("cardex:{{test}}:v:*:{k}"));
    }
    server.name(EPOCH);
}

/// Puts it, again if that was sent on a connection of before, which is an error.
fn puts(tier: &RedisTier, name: &str, value: &[u8]) {
    let never = Lifetime::Never.into();
    soon("it is put", || {
        tier.put(&key(name), value.into(), 1, never).is_ok()
    });
}

#[track_caller]
fn has_nothing_of_before(tier: &RedisTier) {
    let keys = ["changed", "gone", "same"].map(key);
    for entry in tier.get_many(&keys.each_ref()) {
        assert_eq!(entry.unwrap(), None);
    }
}

#[test]
fn nothing_of_a_snapshot_is_an_answer_whichever_verb_comes_first() {
    let mut server = Server::start();
    let all = KeyPattern::new("*").unwrap();
    let changed = key("changed");
    for round in 0..22 {
        let old = server.tier();
        goes_back(&mut server, &old);
        let new = server.tier();
        // Who was there before, or who comes after.
        let tier = if round % 2 == 0 { &old } else { &new };
        match round / 2 {
            0 => assert_eq!(get(tier, "changed"), None),
            1 => assert_eq!(get(tier, "gone"), None),
            2 => assert_eq!(tier.peek(&changed).unwrap(), None),
            3 => assert!(!tier.remove(&changed).unwrap()),
            4 => assert!(!tier.expire(&changed, Lifetime::Default.into()).unwrap()),
            5 => {
                let seen = tier.update(&changed, &mut |_| Ok(Update::Leave));
                assert_eq!(seen.unwrap(), None);
            }
            6 => assert_eq!(tier.tier_stats().unwrap().report.usage.entries, 0),
            7 => assert_eq!(tier.remove_matching(&all).unwrap(), 0),
            8 => assert_eq!(tier.invalidate(&Scope::All).unwrap(), 0),
            9 => {
                puts(tier, "changed", b"3");
                assert_eq!(get(&old, "changed").unwrap(), b"3");
                assert_eq!(get(&new, "changed").unwrap(), b"3");
                assert!(tier.remove(&changed).unwrap());
            }
            _ => assert_eq!(tier.sweep(usize::MAX).unwrap(), 3, "they are taken out"),
        }
        has_nothing_of_before(&old);
        has_nothing_of_before(&new);
        tier.clear().unwrap();
    }
}

#[test]
fn a_lease_of_before_a_restart_keeps_nothing() {
    let mut server = Server::start();
    let tier = server.tier();
    let (k, long) = (key("k"), ms(600_000));
    let Leased::Granted(lease) = tier.lease(&k, long).unwrap() else {
        panic!("nobody else has it");
    };
    _ = server.ask::<String>(&["SAVE"]);
    server.kill();
    server.restart();
    assert!(!tier.renew(&k, &lease, long).unwrap());
    let never = Lifetime::Never.into();
    assert!(!tier.fill(&k, &lease, b"v"[..].into(), 1, never).unwrap());
    assert_eq!(get(&tier, "k"), None);
    assert!(matches!(tier.lease(&k, long).unwrap(), Leased::Granted(_)));
}

#[test]
fn of_many_that_find_another_server_one_makes_the_epoch_and_no_write_is_lost() {
    let mut server = Server::start();
    let old = server.tier();
    for _ in 0..5 {
        goes_back(&mut server, &old);
        let tiers = [server.tier(), server.tier(), server.tier()];
        std::thread::scope(|scope| {
            for (n, tier) in tiers.iter().chain([&old]).enumerate() {
                for thread in 0..3 {
                    scope.spawn(move || {
                        let name = format!("{n}:{thread}");
                        puts(tier, &name, name.as_bytes());
                        assert_eq!(get(tier, &name).unwrap(), name.as_bytes());
                    });
                }
            }
        });
        has_nothing_of_before(&old);
        for n in 0..4 {
            for thread in 0..3 {
                let name = format!("{n}:{thread}");
                assert_eq!(get(&tiers[0], &name).unwrap(), name.as_bytes());
            }
        }
        old.clear().unwrap();
    }
}

#[test]
fn a_server_that_goes_on_keeps_its_epoch() {
    let server = Server::start();
    let one = server.tier();
    put(&one, "k", b"v");
    let epoch: String = server.ask(&["GET", EPOCH]);
    _ = server.ask::<String>(&["SAVE"]);
    _ = server.ask::<i64>(&["CLIENT", "KILL", "TYPE", "normal"]);
    for _ in 0..3 {
        assert_eq!(get(&server.tier(), "k").unwrap(), b"v");
        assert_eq!(get(&one, "k").unwrap(), b"v");
    }
    assert_eq!(server.ask::<String>(&["GET", EPOCH]), epoch);
}

#[test]
fn a_replica_that_was_behind_and_takes_over_answers_nothing_of_before() {
    let (mut master, port) = Server::start_at_port();
    let replica = Server::start();
    let proxy = Proxy::to(&master.socket());
    let old = tier(client(&proxy.url()));
    _ = replica.ask::<String>(&["REPLICAOF", "127.0.0.1", &port]);
    for k in ["changed", "gone", "same"] {
        put(&old, k, b"1");
    }
    soon("the replica has them", || {
        let names: Vec<String> = replica.ask(&["KEYS", "cardex:{test}:v:*"]);
        names.len() == 3
    });
    // From here on it hears no more of its master.
    _ = replica.ask::<String>(&["REPLICAOF", "NO", "ONE"]);
    put(&old, "changed", b"2");
    assert!(old.remove(&key("gone")).unwrap());
    proxy.lead_to(&replica.socket());
    master.kill();
    has_all_of_it(&replica);
    soon("the replica is reached", || {
        old.peek(&key("changed")).is_ok()
    });
    has_nothing_of_before(&old);
    let new = replica.tier();
    has_nothing_of_before(&new);
    put(&new, "changed", b"3");
    assert_eq!(get(&old, "changed").unwrap(), b"3");
}

/// It may have taken over other data meanwhile. Connections of before learn of it from the epoch.
#[test]
fn a_server_that_was_a_replica_for_a_while_answers_nothing_of_before() {
    let server = Server::start();
    let (one, other) = (server.tier(), server.tier());
    put(&one, "k", b"v");
    assert_eq!(get(&other, "k").unwrap(), b"v");
    _ = server.ask::<String>(&["REPLICAOF", "127.0.0.1", "1"]);
    _ = server.ask::<String>(&["REPLICAOF", "NO", "ONE"]);
    let new = server.tier();
    for tier in [&new, &one, &other] {
        assert_eq!(get(tier, "k"), None);
    }
    let epoch: String = server.ask(&["GET", EPOCH]);
    for tier in [&one, &new, &other] {
        put(tier, "k", b"new");
        for tier in [&new, &one, &other] {
            assert_eq!(get(tier, "k").unwrap(), b"new");
        }
    }
    let now: String = server.ask(&["GET", EPOCH]);
    assert_eq!(now, epoch, "they agree on one");
}

/// Nothing is there; false if the server had no room to say so.
fn is_miss(found: cardex::Result<Option<Entry>>) -> bool {
    match found {
        Ok(found) => {
            assert_eq!(found, None);
            true
        }
        Err(error) => is_not_done(&error),
    }
}

/// False, of the error of a server without room, and of no other.
fn is_not_done(error: &Error) -> bool {
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(format!("{error:#}").contains("OOM"), "{error:#}");
    false
}

#[test]
fn who_may_not_ask_which_server_it_is_shares_with_who_may() {
    let server = Server::start();
    let user = [
        "ACL", "SETUSER", "plain", "on", ">pw", "~*", "&*", "+@all", "-info",
    ];
    _ = server.ask::<String>(&user);
    let plain = tier(client(&format!("{}?user=plain&pass=pw", server.url())));
    put(&plain, "k", b"1");
    assert_eq!(get(&plain, "k").unwrap(), b"1");
    let one = server.tier();
    assert_eq!(get(&one, "k"), None, "it is not known where that was made");
    for value in [b"2", b"3"] {
        put(&one, "k", value);
        assert_eq!(get(&plain, "k").unwrap(), value);
    }
    put(&plain, "k", b"4");
    assert_eq!(get(&one, "k").unwrap(), b"4");
}

#[test]
fn a_full_server_that_goes_back_answers_nothing_and_room_is_made_whichever_verb_comes_first() {
    let full = ["--maxmemory", "6mb", "--maxmemory-policy", "noeviction"];
    let mut server = Server::start_with(&full);
    for verb in ["get", "get_many", "put", "remove", "sweep", "clear"] {
        let tier = server.tier();
        for k in 0..100 {
            put(&tier, k, &[7; 20_000]);
        }
        _ = server.ask::<String>(&["SAVE"]);
        server.kill();
        server.restart();
        _ = server.ask::<String>(&["CONFIG", "SET", "maxmemory", "2mb"]);
        match verb {
            "sweep" => assert_eq!(tier.sweep(usize::MAX).unwrap(), 100),
            // What leaves does so in the background.
            _ => soon("there is room", || match verb {
                "get" => is_miss(tier.get(&key(0))),
                "get_many" => {
                    let keys = [0, 1].map(key);
                    let found = tier.get_many(&keys.each_ref());
                    found.into_iter().all(is_miss)
                }
                "put" => {
                    let never = Lifetime::Never.into();
                    tier.put(&key("k"), b"v"[..].into(), 1, never).is_ok()
                }
                "remove" => match tier.remove(&key(0)) {
                    Ok(was_there) => {
                        assert!(!was_there);
                        true
                    }
                    Err(error) => is_not_done(&error),
                },
                _ => tier.clear().is_ok(),
            }),
        }
        soon("there is room", || is_miss(tier.get(&key(0))));
        let values: Vec<String> = server.ask(&["KEYS", "cardex:{test}:v:*"]);
        assert!(values.len() <= 1, "they are taken out: {values:?}");
        put(&tier, "k", b"v");
        assert_eq!(get(&tier, "k").unwrap(), b"v");
        _ = server.ask::<String>(&["CONFIG", "SET", "maxmemory", "6mb"]);
        tier.clear().unwrap();
    }
}
