//! Whatever becomes of the messages and of the server: no copy that is no longer true is served for
//! longer than three heartbeats, and all is well again by itself.

use std::net::TcpListener;
use std::time::Instant;

use crate::redis_support::proxy::{Proxy, Way};
use crate::redis_support::{Server, soon};
use crate::support::{BOUND, node, within_the_bound};

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
    let port = free_port();
    let mut master = Server::start_with(&["--port", &port, "--bind", "127.0.0.1"]);
    let replica = Server::start();
    let _: String = replica.ask(&["REPLICAOF", "127.0.0.1", &port]);
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
    let begin = Instant::now();
    // The shared tier sees by itself that the server is another one; copies leave when the bus does.
    soon("the replica's values are dead", || {
        one.get("k").is_none() && other.get("k").is_none()
    });
    let took = begin.elapsed();
    println!("after a failover: {took:?}");
    assert!(took < BOUND, "{took:?}");
    one.settle();
    other.settle();
    assert_eq!((one.get("k"), other.get("k")), (None, None));
    one.set("k", 3);
    soon("the new value is seen", || other.get("k") == Some(3));
}

fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}
