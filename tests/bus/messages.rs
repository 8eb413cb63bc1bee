//! Messages among nodes that can hear each other.

use std::sync::Arc;
use std::time::Duration;

use cardex::bus::{BusOptions, Invalidation, InvalidationBus, RedisBus, Told};
use cardex::kv::{Caches, TierSet};
use cardex::tier::{Lifetime, MemoryTierOptions};

use crate::redis_support::proxy::{Proxy, Way};
use crate::redis_support::{SOON, Server, hasty_client, soon};
use crate::support::{clock, node, pattern};

#[test]
fn every_verb_that_changes_something_is_heard_by_the_others() {
    let server = Server::start();
    let (one, other) = (node(&server.url()), node(&server.url()));
    one.knows(1);
    other.knows(1);
    one.set("k", 1);
    other.copies("k", 1);
    one.set("k", 2);
    soon("a new value", || other.get("k") == Some(2));
    assert_eq!(one.cache.increment("k", 3).unwrap(), 5);
    soon("a sum", || other.get("k") == Some(5));
    other.copies("k", 5);
    one.cache.delete("k").unwrap();
    soon("a deletion", || other.get("k").is_none());
    for forget in [
        &(|| one.cache.delete_matching(&pattern("a:*")).map(drop))
            as &dyn Fn() -> cardex::Result<()>,
        &|| one.cache.clear(),
        &|| {
            one.cache
                .expire("a:1", Lifetime::For(Duration::from_millis(1)))
                .map(drop)
        },
    ] {
        other.set("a:1", 1);
        one.copies("a:1", 1);
        other.copies("a:1", 1);
        forget().unwrap();
        soon("what matched is gone", || other.get("a:1").is_none());
    }
    let stats = one.redis.stats();
    assert!(
        stats.echoes > 0 && stats.failed == 0 && stats.unreadable == 0,
        "{stats:?}"
    );
}

#[test]
fn any_program_can_publish_a_pattern_of_full_keys() {
    let server = Server::start();
    let (one, other) = (node(&server.url()), node(&server.url()));
    // What no node hears yet is nobody's.
    one.settle();
    other.settle();
    for key in ["7:name", "7:mail", "8:name"] {
        one.set(key, 1);
        other.copies(key, 1);
    }
    let heard: u32 = server.ask(&["PUBLISH", "cache:invalidate", "users:7:*"]);
    assert_eq!(heard, 2);
    for node in [&one, &other] {
        soon("they are gone everywhere", || {
            node.get("7:name").is_none() && node.get("7:mail").is_none()
        });
        assert_eq!(node.get("8:name"), Some(1));
    }
    for bad in ["", &"x".repeat(2000)] {
        let _: u32 = server.ask(&["PUBLISH", "cache:invalidate", bad]);
    }
    let _: u32 = server.ask(&["PUBLISH", "cardex:bus:{cache}:0", "gossip"]);
    soon("what is no pattern is counted", || {
        let stats = other.redis.stats();
        (stats.patterns, stats.invalid_patterns, stats.unreadable) == (1, 2, 1)
    });
    assert_eq!(other.get("8:name"), Some(1));
}

#[test]
fn the_caches_of_a_program_join_when_they_are_made() {
    let server = Server::start();
    let program = || {
        let client = hasty_client(&server.url());
        let tiers = TierSet::memory(MemoryTierOptions::default());
        let tiers = tiers.redis(Arc::clone(&client), "program", Duration::from_secs(300));
        let caches = Caches::new(tiers.unwrap(), None, clock());
        let bus = InvalidationBus::new(clock()).unwrap();
        let redis = RedisBus::start(client, BusOptions::default(), bus, clock()).unwrap();
        caches.on_make(move |cache| redis.share(cache)).unwrap();
        caches
    };
    let (one, other) = (program(), program());
    let (mine, theirs) = (one.get("session").unwrap(), other.get("session").unwrap());
    for n in 0..20 {
        mine.set("k", &n, Lifetime::Default).unwrap();
        soon("it is heard", || theirs.get("k").unwrap() == Some(n));
    }
    let error = one.on_make(|_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), cardex::ErrorKind::InvalidConfig);
}

#[test]
fn messages_that_come_twice_or_late_do_no_harm() {
    let server = Server::start();
    let proxy = Proxy::to(&server.socket());
    let (one, other) = (node(&server.url()), node(&proxy.url()));
    other.knows(1);
    for way in [
        Way::DoublesMessages,
        Way::SlowMessages(Duration::from_millis(20)),
    ] {
        proxy.make(way);
        for n in 0..20 {
            one.set("k", n);
            soon("it is heard", || other.get("k") == Some(n));
        }
    }
    proxy.make(Way::Clear);
    other.settle();
}

#[test]
fn a_caller_knows_whether_others_were_told_and_they_are_when_the_server_is_back() {
    let mut server = Server::start();
    let (one, other) = (node(&server.url()), node(&server.url()));
    one.knows(1);
    let event = |pattern_text: &str| Invalidation::keys("users", pattern(pattern_text), "a test");
    let told = one.redis.publish_and_wait(event("a"), SOON);
    assert!(matches!(told, Told::Sent), "{told:?}");
    server.kill();
    let told = one.redis.publish_and_wait(event("b"), SOON);
    let Told::Nobody(error) = told else {
        panic!("{told:?}");
    };
    assert_eq!(error.kind(), cardex::ErrorKind::Unavailable);
    let health = one.redis.health();
    assert!(
        health
            .reasons
            .iter()
            .any(|reason| reason.code == "not-published"),
        "{health:?}"
    );
    assert!(one.redis.stats().failed > 0 && one.redis.stats().waiting > 0);
    for n in 0..3000 {
        one.redis.publish(event(&format!("c{n}")));
    }
    assert!(one.redis.stats().waiting <= 1024, "bounded");
    server.restart();
    soon("all is told", || one.redis.stats().waiting == 0);
    one.settle();
    other.settle();
    one.set("k", 1);
    other.copies("k", 1);
    one.set("k", 2);
    soon("the bus works again", || other.get("k") == Some(2));
}
