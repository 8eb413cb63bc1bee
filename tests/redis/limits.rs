//! What there is only so much of: connections, and the server's memory.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Instant;

use cardex::tier::{Tier, Update};
use cardex::{Cache, ErrorKind, HealthState, RedisClient, RedisOptions, SystemClock};

use crate::redis_support::{Server, TIMEOUT, client, hasty_client, soon, tier};
use crate::verbs::{get, key, put};

/// Our connections at the server, by their names: not those of the test, which may be on their way out.
fn connections(server: &Server) -> usize {
    let list: String = server.ask(&["CLIENT", "LIST", "TYPE", "normal"]);
    let ours = list.lines().filter(|line| line.contains(" name=cardex-"));
    ours.count()
}

#[test]
fn thirty_users_have_at_most_twenty_connections() {
    let server = Server::start();
    let tier = tier(client(&server.url()));
    put(&tier, "k", b"v");
    assert_eq!(connections(&server), 1, "one is made when it is wanted");
    let (is_over, begin) = (AtomicBool::new(false), Barrier::new(31));
    let most = std::thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| {
                begin.wait();
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(get(&tier, "k").unwrap(), b"v");
                }
            });
        }
        begin.wait();
        let most = (0..100).map(|_| connections(&server)).max();
        is_over.store(true, Ordering::Relaxed);
        most.unwrap()
    });
    assert!((2..=20).contains(&most), "{most}");
}

#[test]
fn who_finds_all_connections_in_use_gets_an_error_at_the_time_out() {
    let server = Server::start();
    // Time enough for twenty connections that are made at once.
    let tier = tier(client(&server.url()));
    put(&tier, "k", b"v");
    let (inside, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for k in 0..20 {
            let (tier, inside, is_over) = (&tier, &inside, &is_over);
            scope.spawn(move || {
                let mut change = |_: Option<&cardex::tier::Entry>| {
                    inside.fetch_add(1, Ordering::SeqCst);
                    soon("it is over", || is_over.load(Ordering::SeqCst));
                    Ok(Update::Leave)
                };
                tier.update(&key(k), &mut change).unwrap();
            });
        }
        soon("all are in", || inside.load(Ordering::SeqCst) == 20);
        assert_eq!(connections(&server), 20);
        let begin = Instant::now();
        let error = tier.get(&key("k")).unwrap_err();
        assert!(begin.elapsed() >= TIMEOUT, "{:?}", begin.elapsed());
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(
            error.to_string().starts_with("none of 20 connections"),
            "{error}"
        );
        assert_eq!(
            tier.health().state,
            HealthState::Healthy,
            "the server is well"
        );
        assert!(!tier.is_away());
        is_over.store(true, Ordering::SeqCst);
    });
    assert_eq!(get(&tier, "k").unwrap(), b"v");
}

#[test]
fn a_server_that_turns_clients_away_is_tried_again() {
    let server = Server::start_with(&["--maxclients", "4"]);
    let tier = tier(hasty_client(&server.url()));
    // One that the test had before may still be on its way out.
    let others: Vec<_> = (0..4).map(|_| server.connection_soon()).collect();
    let error = tier.get(&key("k")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    drop(others);
    soon("there is room", || tier.get(&key("k")).is_ok());
}

#[test]
fn an_evicting_server_answers_rightly_or_not_at_all() {
    let server =
        Server::start_with(&["--maxmemory", "4mb", "--maxmemory-policy", "allkeys-random"]);
    let tier = tier(client(&server.url()));
    let value = |k: u32| k.to_string().repeat(4000).into_bytes();
    let mut found = 0;
    for k in 0..2000_u32 {
        put(&tier, k, &value(k));
        let asked = k / 2;
        if let Some(got) = get(&tier, asked) {
            assert!(got == value(asked), "key {asked}");
            found += 1;
        }
    }
    assert!((1..2000).contains(&found), "{found}");
    let evicted: String = server.ask(&["INFO", "stats"]);
    assert!(!evicted.contains("evicted_keys:0"));
    assert_eq!(tier.tier_stats().unwrap().max_bytes, 4 << 20);
    assert_eq!(tier.health().state, HealthState::Healthy);
}

#[test]
fn a_server_without_room_keeps_nothing_new_and_goes_on_with_what_it_has() {
    let server = Server::start_with(&["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]);
    let tier = tier(client(&server.url()));
    let value: Arc<[u8]> = vec![7; 20_000].into();
    let never = cardex::tier::Lifetime::Never;
    let put = |k: u32| tier.put(&key(k), value.clone(), 1, never.into());
    let error = (0..1000).find_map(|k| put(k).err()).expect("it is full");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(format!("{error:#}").contains("OOM"), "{error:#}");
    assert_eq!(tier.health().state, HealthState::Healthy);
    assert!(get(&tier, 0).is_some());
    assert!((0..20).all(|k| tier.remove(&key(k)).unwrap()));
    soon("there is room", || put(2000).is_ok());
    assert!((3000..).find_map(|k| put(k).err()).is_some(), "full again");
    tier.clear().unwrap();
    assert!(get(&tier, 30).is_none());
    soon("there is room", || put(2).is_ok());
    assert_eq!(connections(&server), 1, "a refusal costs no connection");
}

/// How often the server was asked for this command so far.
fn calls(server: &Server, command: &str) -> u64 {
    let stats: String = server.ask(&["INFO", "commandstats"]);
    let start = format!("cmdstat_{command}:calls=");
    let line = stats.lines().find_map(|line| line.strip_prefix(&start));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[test]
fn many_long_values_are_read_in_a_few_round_trips() {
    let server = Server::start();
    let tier = tier(client(&server.url()));
    let value = |k: usize| vec![k as u8; (300 << 10) + k];
    for k in 0..256 {
        put(&tier, k, &value(k));
    }
    let keys: Vec<_> = (0..256).map(key).collect();
    let keys: Vec<_> = keys.iter().collect();
    // Each request asks for the epoch once, but for that of the lengths.
    let before = calls(&server, "mget");
    for (k, entry) in tier.get_many(&keys).into_iter().enumerate() {
        assert!(*entry.unwrap().unwrap().value == value(k)[..], "{k}");
    }
    assert_eq!(calls(&server, "mget") - before, 1 + 5);
    assert_eq!(calls(&server, "strlen"), 256);
    let short: Vec<_> = (1000..1256).map(key).collect();
    let short: Vec<_> = short.iter().collect();
    for k in &short {
        put(&tier, k, b"short");
    }
    let before = calls(&server, "mget");
    assert!(
        tier.get_many(&short)
            .iter()
            .all(|e| e.as_ref().unwrap().is_some())
    );
    assert_eq!(calls(&server, "mget") - before, 1);
}

#[test]
fn values_of_all_lengths_are_read_together_with_what_is_not_there() {
    let server = Server::start();
    let tier = tier(client(&server.url()));
    let lengths = [0, 20 << 20, 10, 9 << 20, 64 << 20, 7 << 20, 1, 5 << 20];
    for (k, length) in lengths.into_iter().enumerate() {
        put(&tier, k, &vec![k as u8; length]);
    }
    put(&tier, "list", b"v");
    put(&tier, "empty", b"v");
    let list = server.name("cardex:{test}:v:*:list");
    assert_eq!(server.ask::<i64>(&["DEL", &list]), 1);
    assert_eq!(server.ask::<i64>(&["LPUSH", &list, "x"]), 1);
    let empty = server.name("cardex:{test}:v:*:empty");
    _ = server.ask::<String>(&["SET", &empty, ""]);
    let names = (0..lengths.len()).map(key);
    let keys: Vec<_> = names.chain(["none", "list", "empty"].map(key)).collect();
    let keys: Vec<_> = keys.iter().collect();
    for (k, entry) in tier.get_many(&keys).into_iter().enumerate() {
        let length = entry.unwrap().map(|entry| {
            assert!(entry.value.iter().all(|&byte| byte == k as u8));
            entry.value.len()
        });
        assert_eq!(length, lengths.get(k).copied(), "{k}");
    }
    assert_eq!(tier.tier_stats().unwrap().damaged, 1, "the empty one");
}

#[test]
fn a_client_costs_nothing_until_it_is_used() {
    let options = RedisOptions::new("redis://127.0.0.1:1/0").unwrap();
    let client = RedisClient::new(options, Arc::new(SystemClock));
    assert_eq!(client.health().state, HealthState::Healthy);
    let error = client.ping().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.to_string().contains("redis://127.0.0.1:1/0"),
        "{error}"
    );
}
