//! Messages among nodes that can hear each other.

use std::sync::Arc;
use std::time::Duration;

use cardex::bus::{BusOptions, Invalidation, InvalidationBus, RedisBus, Told};
use cardex::kv::{Caches, KvCache, KvOptions, TierSet};
use cardex::tier::{Lifetime, MemoryTier, MemoryTierOptions};
use cardex::{FilePath, Scope};

use crate::redis_support::proxy::{Proxy, Way};
use crate::redis_support::{SOON, Server, hasty_client, soon};
use crate::support::{Node, clock, node, pattern};

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
fn what_one_publishes_of_keys_and_of_files_is_done_by_all() {
    let server = Server::start();
    let nodes: Vec<Node> = (0..5).map(|_| node(&server.url())).collect();
    let made: Vec<KvCache> = nodes.iter().map(made_from_files).collect();
    nodes.iter().for_each(Node::settle);
    nodes[0].set("7:name", 1);
    for (node, made) in nodes.iter().zip(&made) {
        node.copies("7:name", 1);
        made.set("result", &1, Lifetime::Default).unwrap();
    }
    let keys = Invalidation::keys("users", pattern("7:*"), "a user is gone");
    let told = nodes[3].redis.publish_and_wait(keys, SOON);
    assert!(matches!(told, Told::Sent), "{told:?}");
    let gone = |node: &Node| !node.has_copy("7:name") && node.get("7:name").is_none();
    soon("the value is gone everywhere", || nodes.iter().all(gone));
    let files = vec![Scope::Path(FilePath::new("src/a.rs").unwrap())];
    nodes[1]
        .redis
        .publish(Invalidation::files(files, "a file was saved"));
    let is_empty = |made: &KvCache| !made.exists("result").unwrap();
    soon("no result of the file is left", || {
        made.iter().all(is_empty)
    });
    // Who has heard itself after that has counted all that came before, an echo too.
    nodes.iter().for_each(Node::settle);
    for (at, node) in nodes.iter().enumerate() {
        let stats = node.bus.stats();
        let origin = if at == 1 { "api" } else { "redis" };
        assert!(stats.by_origin[origin] >= 1, "{stats:?}");
        assert_eq!(
            stats.by_cause["a file was saved"], 1,
            "nobody does it for an echo"
        );
    }
}

/// A cache that the node's bus tells of files. What its values were made from is not known: any file.
fn made_from_files(node: &Node) -> KvCache {
    let tier = MemoryTier::new("results", MemoryTierOptions::default(), clock());
    let cache = KvCache::new("results", KvOptions::default(), Arc::new(tier), clock());
    node.bus.subscribe(Arc::new(cache.clone())).unwrap();
    cache
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
