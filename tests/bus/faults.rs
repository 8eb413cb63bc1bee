//! Whatever becomes of the messages and of the server: no copy that is no longer true is served for
//! longer than three heartbeats, and all is well again by itself.

use std::time::Duration;

use cardex::HealthState;

use crate::redis_support::proxy::{Proxy, Way};
use crate::redis_support::{SOON, Server, soon};
use crate::support::{Node, node, within_the_bound};

#[test]
fn with_every_message_lost_no_copy_is_served_for_longer_than_the_bound() {
    let server = Server::start();
    let proxy = Proxy::to(&server.socket());
    let (one, other) = (node(&server.url()), node(&proxy.url()));
    other.knows(1);
    proxy.make(Way::LosesMessages);
    for n in 0..3 {
        one.set("k", n);
        within_the_bound("what was lost is found out", || other.get("k") == Some(n));
        soon("there is a copy", || {
            other.get("k") == Some(n) && other.has_copy("k")
        });
    }
    assert!(other.redis.stats().doubts > 0);
    proxy.make(Way::Clear);
    other.settle();
}

#[test]
fn a_message_that_is_lost_is_found_by_the_next_one_or_by_a_heartbeat() {
    let server = Server::start();
    let proxy = Proxy::to(&server.socket());
    let (one, other) = (node(&server.url()), node(&proxy.url()));
    other.knows(1);
    for is_followed in [true, false] {
        hears(&other, &one, 1);
        let (lost, doubts) = (proxy.lost(), other.redis.stats().doubts);
        proxy.make(Way::LosesMessages);
        one.set("k", 2);
        soon("the message is lost", || proxy.lost() > lost);
        proxy.make(Way::Clear);
        if is_followed {
            one.set("another", 1);
        }
        within_the_bound("the gap is found", || other.redis.stats().doubts > doubts);
        let cause = other.redis.stats().last_doubt;
        let gaps = [
            "a number is missing among a node's messages",
            "a message of a node was not heard",
        ];
        assert!(
            cause.is_some_and(|cause| gaps.contains(&cause)),
            "{cause:?}"
        );
        soon("it is as the others have it", || other.get("k") == Some(2));
        other.settle();
    }
}

#[test]
fn messages_that_are_cut_or_torn_leave_no_copy_that_is_no_longer_true() {
    let server = Server::start();
    let proxy = Proxy::to(&server.socket());
    let (one, other) = (node(&server.url()), node(&proxy.url()));
    other.knows(1);
    let mut n = 0;
    // Longer than who hears waits for the rest at a time.
    let torn = Way::TearsMessages(Duration::from_millis(300));
    let cuts = [0, 1, 12, 60, 150].map(Way::CutsMessages);
    for way in cuts.into_iter().chain([torn]) {
        n += 2;
        hears(&other, &one, n);
        let lost = proxy.lost();
        proxy.make(way);
        one.set("k", n + 1);
        within_the_bound("the copy is gone", || other.get("k") == Some(n + 1));
        if matches!(way, Way::CutsMessages(_)) {
            soon("the message is cut", || proxy.lost() > lost);
        }
        proxy.make(Way::Clear);
        other.settle();
    }
}

#[test]
fn replies_that_are_cut_leave_no_copy_that_is_no_longer_true() {
    let server = Server::start();
    let proxy = Proxy::to(&server.socket());
    let (one, other) = (node(&server.url()), node(&proxy.url()));
    other.knows(1);
    for (n, cut) in [0, 1, 7, 40].into_iter().enumerate() {
        let n = u32::try_from(n).unwrap() * 2;
        hears(&other, &one, n);
        proxy.make(Way::CutReply(cut));
        one.set("k", n + 1);
        within_the_bound("the copy is gone", || other.get("k") != Some(n));
        proxy.make(Way::Clear);
        other.settle();
        soon("it is as the others have it", || {
            other.get("k") == Some(n + 1)
        });
    }
}

#[test]
fn who_was_cut_off_hears_what_he_missed_from_the_others() {
    let server = Server::start();
    let proxy = Proxy::to(&server.socket());
    let (one, other) = (node(&server.url()), node(&proxy.url()));
    other.knows(1);
    one.set("k", 1);
    other.copies("k", 1);
    proxy.make(Way::Hole);
    one.set("k", 2);
    within_the_bound("the copy is gone", || other.get("k") != Some(1));
    proxy.make(Way::Clear);
    soon("it is as the others have it", || other.get("k") == Some(2));
    other.settle();
    proxy.make(Way::Closed);
    one.set("k", 3);
    within_the_bound("the copy is gone again", || other.get("k") != Some(2));
    proxy.make(Way::Clear);
    soon("it is as the others have it", || other.get("k") == Some(3));
    other.settle();
}

#[test]
fn what_was_written_while_cut_off_is_forgotten_and_never_follows_what_is_newer() {
    let server = Server::start();
    let proxy = Proxy::to(&server.socket());
    let (cut_off, other) = (node(&proxy.url()), node(&server.url()));
    cut_off.knows(1);
    for key in ["alone", "both"] {
        cut_off.set(key, 1);
        other.copies(key, 1);
    }
    proxy.make(Way::Closed);
    for key in ["alone", "both"] {
        cut_off.set(key, 2);
    }
    other.set("both", 3);
    within_the_bound("what it wrote is gone here, too", || {
        cut_off.get("alone").is_none() && cut_off.get("both").is_none()
    });
    proxy.make(Way::Clear);
    // From here on nobody sees what was written in between, nor does it take the place of what is newer.
    let look = || {
        for node in [&cut_off, &other] {
            assert_ne!(node.get("alone"), Some(2));
            assert!(!matches!(node.get("both"), Some(1 | 2)));
        }
    };
    soon("the server is put right", || {
        look();
        cut_off.cache.health().state == HealthState::Healthy
    });
    cut_off.settle();
    other.settle();
    soon("both know that it is gone", || {
        look();
        [&cut_off, &other]
            .iter()
            .all(|node| node.get("alone").is_none())
    });
    other.set("both", 4);
    soon("the newer value is seen", || {
        look();
        cut_off.get("both") == Some(4)
    });
    look();
}

#[test]
fn a_server_that_stands_still_leaves_no_copies_and_goes_on() {
    let server = Server::start();
    let (one, other) = (node(&server.url()), node(&server.url()));
    one.set("k", 1);
    other.copies("k", 1);
    server.freeze();
    within_the_bound("the copy is gone", || !other.has_copy("k"));
    server.thaw();
    one.settle();
    other.settle();
    one.set("k", 2);
    soon("the new value is seen", || other.get("k") == Some(2));
}

#[test]
fn a_server_that_was_killed_or_emptied_leaves_no_copies() {
    let mut server = Server::start();
    let (one, other) = (node(&server.url()), node(&server.url()));
    one.set("k", 1);
    other.copies("k", 1);
    let _: String = server.ask(&["FLUSHALL"]);
    within_the_bound("what was flushed is gone", || other.get("k").is_none());
    one.settle();
    one.set("k", 2);
    other.copies("k", 2);
    server.kill();
    within_the_bound("the copy is gone", || !other.has_copy("k"));
    server.restart();
    one.settle();
    other.settle();
    one.set("k", 3);
    other.copies("k", 3);
    one.set("k", 4);
    soon("the new value is seen", || other.get("k") == Some(4));
}

#[test]
fn a_replica_that_was_behind_and_takes_over_serves_nothing_older() {
    let (mut master, port) = Server::start_at_port();
    let replica = Server::start();
    let _: String = replica.ask(&["REPLICAOF", "127.0.0.1", &port]);
    // With its first replica a server has another history, and values of before are dead.
    soon("the replica follows its master", || {
        let told: String = replica.ask(&["INFO", "replication"]);
        told.contains("master_link_status:up")
    });
    let proxy = Proxy::to(&master.socket());
    let (one, other) = (node(&proxy.url()), node(&proxy.url()));
    one.knows(1);
    one.set("k", 1);
    soon("the replica has it", || {
        let names: Vec<String> = replica.ask(&["KEYS", "cardex:*:v:*:k"]);
        names.len() == 1
    });
    // From here on it hears no more of its master.
    let _: String = replica.ask(&["REPLICAOF", "NO", "ONE"]);
    one.set("k", 2);
    other.copies("k", 2);
    one.cache.delete("gone").unwrap();
    proxy.lead_to(&replica.socket());
    master.kill();
    // The shared tier sees by itself that the server is another one; copies leave when the bus does.
    within_the_bound("the replica's values are dead", || {
        one.get("k").is_none() && other.get("k").is_none()
    });
    one.settle();
    other.settle();
    assert_eq!((one.get("k"), other.get("k")), (None, None));
    one.set("k", 3);
    soon("the new value is seen", || other.get("k") == Some(3));
}

/// It may have taken over other data meanwhile; it is the same run, and connections stay open.
#[test]
fn a_server_that_was_a_replica_for_a_while_is_doubted() {
    let server = Server::start();
    let (one, other) = (node(&server.url()), node(&server.url()));
    other.knows(1);
    one.set("k", 1);
    other.copies("k", 1);
    let doubts = || {
        let causes = other.bus.stats().by_cause;
        let doubted = causes
            .iter()
            .filter(|(cause, _)| cause.contains("another server"));
        doubted.map(|(_, count)| count).sum::<u64>()
    };
    assert_eq!(doubts(), 0);
    let mut detour = redis::pipe();
    detour.cmd("REPLICAOF").arg("127.0.0.1").arg("1");
    detour.cmd("REPLICAOF").arg("NO").arg("ONE");
    let _: [String; 2] = detour.query(&mut server.connection()).unwrap();
    within_the_bound("it is another server", || doubts() > 0);
    other.settle();
    one.set("k", 2);
    soon("the new value is seen", || other.get("k") == Some(2));
}

/// The value of `k` is another one, this node has heard of it, and has a copy.
#[track_caller]
fn hears(node: &Node, who: &Node, value: u32) {
    let heard = || {
        let causes = node.bus.stats().by_cause;
        causes.get("a value changed").copied().unwrap_or_default()
    };
    node.settle();
    let before = heard();
    who.set("k", value);
    soon("it is heard", || heard() > before);
    assert!(node.bus.settle(SOON));
    node.copies("k", value);
}
