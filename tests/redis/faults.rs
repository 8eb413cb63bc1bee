//! A server that is away, stands still, was emptied, refuses, or is reached by a bad way. What a verb
//! says is true, or it is an error, soon at once; and it all comes back by itself.

use std::time::{Duration, Instant};

use cardex::tier::{RedisTier, Tier, Update};
use cardex::{Cache, Error, ErrorKind, HealthState, Result};

use crate::redis_support::proxy::{Proxy, Way};
use crate::redis_support::{HASTE, Server, TIMEOUT, client, hasty_client, options, soon, tier};
use crate::verbs::{get, key, ms, put};

/// What a verb takes at most whose client gives up after [`HASTE`], three times, on a busy machine.
const BOUND: Duration = Duration::from_secs(8);
/// What a verb takes at most that does not ask.
const AT_ONCE: Duration = Duration::from_millis(100);

fn unavailable<T: std::fmt::Debug>(outcome: Result<T>) -> Error {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    error
}

fn timed<T>(verb: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    (verb(), begin.elapsed())
}

/// Waits until the tier is as it was, and healthy.
fn comes_back(tier: &RedisTier) {
    soon("the tier comes back", || tier.get(&key("any")).is_ok());
    assert_eq!(tier.health().state, HealthState::Healthy);
}

fn increment(tier: &RedisTier) -> Result<u64> {
    let entry = tier.update(&key("count"), &mut |entry| {
        let version = entry.map_or(0, |entry| entry.version) + 1;
        Ok(Update::Put {
            value: b""[..].into(),
            version,
            term: None,
        })
    });
    Ok(entry?.unwrap().version)
}

#[test]
fn a_server_that_was_killed_is_an_error_then_one_at_once_and_comes_back_empty() {
    let mut server = Server::start();
    let tier = tier(hasty_client(&server.url()));
    put(&tier, "k", b"v");
    server.kill();
    let (error, time) = timed(|| unavailable(tier.get(&key("k"))));
    assert!(time < BOUND, "{time:?}");
    assert!(error.to_string().contains(&server.url()), "{error}");
    let health = tier.health();
    assert_ne!(health.state, HealthState::Healthy);
    assert_eq!(health.reasons[0].code, "unavailable");
    assert!(health.reasons[0].message.contains(&server.url()));
    let report = tier.stats().unwrap();
    assert_eq!((report.hits, report.misses), (0, 0), "nothing is known");
    server.restart();
    comes_back(&tier);
    assert_eq!(get(&tier, "k"), None);
    put(&tier, "k", b"new");
    assert_eq!(get(&tier, "k").unwrap(), b"new");
}

#[test]
fn an_emptied_server_is_misses_and_no_error_for_who_reads() {
    let mut server = Server::start();
    let tier = server.tier();
    for round in 0..3 {
        put(&tier, "k", b"v");
        match round {
            0 => _ = server.ask::<String>(&["FLUSHALL"]),
            1 => server.restart(),
            _ => _ = server.ask::<i64>(&["CLIENT", "KILL", "TYPE", "normal"]),
        }
        let kept = (round == 2).then(|| b"v".to_vec());
        assert_eq!(get(&tier, "k"), kept, "round {round}");
        assert_eq!(tier.health().state, HealthState::Healthy);
        put(&tier, "k", b"new");
        assert_eq!(get(&tier, "k").unwrap(), b"new");
        let many = tier.get_many(&[&key("k"), &key("none")]);
        assert!(many[0].as_ref().is_ok_and(Option::is_some));
        assert_eq!(many[1].as_ref().unwrap(), &None);
    }
}

/// `CARDEX_TEST_FREEZE_SECONDS` has it frozen for longer, and with the usual time-outs.
#[test]
fn a_server_that_stands_still_costs_a_few_time_outs_and_then_nothing() {
    let server = Server::start();
    let seconds = std::env::var("CARDEX_TEST_FREEZE_SECONDS");
    let seconds: Option<u64> = seconds.ok().map(|seconds| seconds.parse().unwrap());
    let (client, timeout) = match seconds {
        Some(_) => (client(&server.url()), TIMEOUT),
        None => (hasty_client(&server.url()), HASTE),
    };
    let frozen = seconds.map_or(ms(1500), Duration::from_secs);
    let tier = tier(client);
    put(&tier, "k", b"old");
    server.freeze();
    let begin = Instant::now();
    let (error, time) = timed(|| unavailable(tier.get(&key("k"))));
    assert!(time >= timeout, "{time:?}: {error:#}");
    assert!(time < timeout * 3 + BOUND, "{time:?}: {error:#}");
    // Now the circuit is open: only probes wait, one at a time.
    let mut asked = 0;
    let mut waited = Duration::ZERO;
    while begin.elapsed() < frozen || asked < 100 {
        let (_, time) = timed(|| unavailable(tier.get(&key("k"))));
        waited += if time > AT_ONCE { time } else { Duration::ZERO };
        asked += 1;
    }
    assert!(
        asked >= 100,
        "{asked} in {:?}, {waited:?} in probes",
        begin.elapsed()
    );
    // What is written now is not known to be: it is done, or it will never be.
    unavailable(tier.put(
        &key("k"),
        b"doubtful"[..].into(),
        1,
        cardex::tier::Lifetime::Never.into(),
    ));
    server.thaw();
    comes_back(&tier);
    let value = get(&tier, "k").unwrap();
    assert!(value == b"old" || value == b"doubtful");
    put(&tier, "k", b"new");
    assert_eq!(get(&tier, "k").unwrap(), b"new");
}

#[test]
fn a_write_that_timed_out_is_not_done_after_a_later_one() {
    let server = Server::start();
    let proxy = Proxy::to(&server.socket());
    let tier = tier(hasty_client(&proxy.url()));
    put(&tier, "k", b"old");
    proxy.make(Way::HoldsRequests);
    let never = cardex::tier::Lifetime::Never;
    unavailable(tier.put(&key("k"), b"doubtful"[..].into(), 1, never.into()));
    proxy.make(Way::Clear);
    put(&tier, "k", b"new");
    proxy.let_go(1);
    assert_eq!(get(&tier, "k").unwrap(), b"new");
    assert_eq!(server.ask::<String>(&["PING"]), "PONG");
    assert_eq!(
        get(&tier, "k").unwrap(),
        b"new",
        "the late write has nowhere to go"
    );
}

#[test]
fn an_increment_whose_reply_is_lost_is_an_error_and_is_made_once() {
    let server = Server::start();
    let proxy = Proxy::to(&server.socket());
    let tier = tier(hasty_client(&proxy.url()));
    assert_eq!(increment(&tier).unwrap(), 1);
    for cut in [Way::LosesReplies, Way::CutReply(1)] {
        let before = tier.peek(&key("count")).unwrap().unwrap().version;
        let mut is_bad = false;
        // The way is bad once the entry was read.
        let outcome = tier.update(&key("count"), &mut |entry| {
            assert!(!is_bad, "it is not tried again");
            is_bad = true;
            proxy.make(cut);
            Ok(Update::Put {
                value: b""[..].into(),
                version: entry.unwrap().version + 1,
                term: None,
            })
        });
        unavailable(outcome);
        proxy.make(Way::Clear);
        comes_back(&tier);
        let entry = tier.get(&key("count")).unwrap().unwrap();
        assert_eq!(entry.version, before + 1, "{cut:?}");
    }
    assert_eq!(increment(&tier).unwrap(), 4);
}

#[test]
fn a_slow_server_is_waited_for_and_a_late_reply_is_nobodys_answer() {
    let server = Server::start();
    let proxy = Proxy::to(&server.socket());
    let tier = tier(hasty_client(&proxy.url()));
    for k in 0..5 {
        put(&tier, k, &[k]);
    }
    proxy.make(Way::Slow(ms(60)));
    for k in 0..5_u8 {
        assert_eq!(get(&tier, k).unwrap(), [k]);
    }
    proxy.make(Way::Slow(HASTE + ms(100)));
    let (_, time) = timed(|| unavailable(tier.get(&key(1))));
    assert!(time < BOUND, "{time:?}");
    proxy.make(Way::Clear);
    comes_back(&tier);
    for k in 0..5_u8 {
        assert_eq!(get(&tier, k).unwrap(), [k]);
    }
}

#[test]
fn a_reply_that_is_cut_anywhere_is_no_answer() {
    let server = Server::start();
    let proxy = Proxy::to(&server.socket());
    put(&server.tier(), "k", b"value");
    for cut in (0..200).step_by(7) {
        proxy.make(Way::Clear);
        let tier = tier(hasty_client(&proxy.url()));
        assert_eq!(get(&tier, "k").unwrap(), b"value");
        proxy.make(Way::CutReply(cut));
        match tier.get(&key("k")) {
            Ok(entry) => assert_eq!(&*entry.unwrap().value, b"value", "cut at {cut}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "cut at {cut}"),
        }
    }
}

#[test]
fn a_hole_and_a_closed_door_are_errors_in_time_and_come_back() {
    let server = Server::start();
    let proxy = Proxy::to(&server.socket());
    let tier = tier(hasty_client(&proxy.url()));
    put(&tier, "k", b"v");
    for way in [Way::Hole, Way::Closed] {
        proxy.make(way);
        let (_, time) = timed(|| unavailable(tier.get(&key("k"))));
        assert!(time < BOUND, "{way:?}: {time:?}");
        let (_, time) = timed(|| unavailable(tier.remove(&key("none"))));
        assert!(time < BOUND, "{way:?}: {time:?}");
        proxy.make(Way::Clear);
        comes_back(&tier);
        assert_eq!(get(&tier, "k").unwrap(), b"v");
    }
}

#[test]
fn a_wrong_password_is_told_at_once_and_never_shown() {
    let server = Server::start_with(&["--requirepass", "right!pass"]);
    let proxy = Proxy::to(&server.socket());
    let at = proxy.url().replace("redis://", "");
    for url in [format!("redis://:hunter2@{at}"), format!("redis://{at}")] {
        let before = proxy.connections();
        let client = hasty_client(&url);
        let tier = tier(client.clone());
        let error = unavailable(tier.get(&key("k")));
        assert_eq!(proxy.connections() - before, 1, "it is not tried again");
        let told = format!("{error:#} {:?} {:?}", error.help(), tier.health());
        assert!(!told.contains("hunter2"), "{told}");
        assert!(told.contains("does not let us in"), "{told}");
        assert_eq!(tier.health().state, HealthState::Unhealthy);
        assert!(!format!("{client:?}").contains("hunter2"));
    }
    let right = tier(hasty_client(&format!("redis://:right%21pass@{at}")));
    put(&right, "k", b"v");
    assert_eq!(get(&right, "k").unwrap(), b"v");
}

#[test]
fn a_replica_is_not_believed() {
    let server = Server::start();
    let before = server.tier();
    put(&before, "k", b"v");
    _ = server.ask::<String>(&["REPLICAOF", "127.0.0.1", "1"]);
    let client = hasty_client(&server.url());
    let error = unavailable(client.ping());
    assert!(format!("{error:#}").contains("replica"), "{error:#}");
    let tier = tier(client);
    unavailable(tier.get(&key("k")));
    _ = server.ask::<String>(&["REPLICAOF", "NO", "ONE"]);
    comes_back(&tier);
    assert_eq!(get(&tier, "k"), None, "it may have taken over other data");
    put(&tier, "k", b"new");
    assert_eq!(get(&tier, "k").unwrap(), b"new");
}

#[test]
fn a_panic_in_a_change_leaves_nothing_behind() {
    let server = Server::start();
    let one = options(&server.url()).max_connections(1).unwrap();
    let client = cardex::RedisClient::new(one, std::sync::Arc::new(cardex::SystemClock));
    let tier = tier(client);
    put(&tier, "k", b"v");
    let changed =
        std::panic::AssertUnwindSafe(|| tier.update(&key("k"), &mut |_| panic!("a caller's own")));
    assert!(std::panic::catch_unwind(changed).is_err());
    assert_eq!(get(&tier, "k").unwrap(), b"v");
    assert_eq!(increment(&tier).unwrap(), 1);
    assert_eq!(tier.health().state, HealthState::Healthy);
}
