//! Before the end, and after it: jitter, early refresh, refresh-ahead, and stale values in their grace.

use std::collections::HashSet;
use std::time::Duration;

use cardex::kv::{KvOptions, Ttl};
use cardex::tier::Lifetime;
use cardex::{Error, ErrorKind, Result};

use crate::support::{Case, NEVER, case_with, lasting, seconds, until};

fn down<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Io, "the source is down"))
}

/// A value that took so long to load, and lives for 100 seconds.
fn loaded(cache: &Case, cost: u64) {
    let made = cache.get_or_load("k", lasting(100), || {
        cache.clock.advance(seconds(cost));
        Ok(1)
    });
    assert_eq!(made.unwrap(), 1);
}

#[test]
fn jitter_spreads_the_ends_within_its_share_and_spares_what_was_said_exactly() {
    let cache = case_with(KvOptions::default().jitter(0.1).unwrap());
    let ttl = |key: &str| match cache.ttl(key).unwrap() {
        Some(Ttl::For(time)) => time,
        other => panic!("{other:?}"),
    };
    let mut ends = HashSet::new();
    for n in 0..100 {
        let key = format!("loaded:{n}");
        cache.get_or_load(&key, lasting(100), || Ok(n)).unwrap();
        assert!((seconds(90)..=seconds(110)).contains(&ttl(&key)));
        ends.insert(ttl(&key));
        cache.set("default", &n, Lifetime::Default).unwrap();
        assert!((seconds(3240)..=seconds(3960)).contains(&ttl("default")));
    }
    assert!(ends.len() > 90, "they do not end together");
    cache.set("exact", &1, lasting(100)).unwrap();
    assert_eq!(ttl("exact"), seconds(100));
    cache.get_or_load("never", NEVER, || Ok(1)).unwrap();
    assert_eq!(cache.ttl("never").unwrap(), Some(Ttl::Never));
}

#[test]
fn an_expensive_value_is_refreshed_before_its_end_at_random() {
    let cache = case_with(KvOptions::default().early_refresh(1.0).unwrap());
    loaded(&cache, 20);
    cache.clock.advance(seconds(80));
    // A fifth of the life is left, as long as the load took: the chance is 1/e each time.
    let mut refreshed = 0;
    for _ in 0..2000 {
        let found = cache.get_or_load("k", lasting(20), || {
            // It takes as long as before, without time passing for the others.
            refreshed += 1;
            down::<u32>()
        });
        assert_eq!(found.unwrap(), 1, "the old value is answered");
    }
    assert!((500..1000).contains(&refreshed), "{refreshed} of 2000");
    let stats = cache.stats().unwrap();
    assert_eq!((stats.hits, stats.refreshes), (2000, refreshed));
    assert_eq!(stats.load_errors, refreshed);
}

#[test]
fn what_costs_nothing_is_never_refreshed_early() {
    let cache = case_with(KvOptions::default().early_refresh(10.0).unwrap());
    loaded(&cache, 0);
    cache.clock.advance(seconds(99));
    for _ in 0..100 {
        cache
            .get_or_load("k", lasting(100), || -> Result<u32> { panic!("too early") })
            .unwrap();
    }
}

#[test]
fn refresh_ahead_loads_anew_in_the_last_share_of_the_life() {
    let cache = case_with(KvOptions::default().refresh_ahead(0.2).unwrap());
    loaded(&cache, 0);
    cache.clock.advance(seconds(80));
    let get = |value: u32| cache.get_or_load("k", lasting(100), || Ok(value)).unwrap();
    assert_eq!(get(2), 1, "a fifth is left");
    cache.clock.advance(seconds(1));
    assert_eq!(get(3), 3);
    assert_eq!(cache.ttl("k").unwrap(), Some(Ttl::For(seconds(100))));
    assert_eq!(get(4), 3);
}

#[test]
fn a_refresh_that_fails_keeps_the_old_value_until_its_end() {
    let cache = case_with(KvOptions::default().refresh_ahead(0.5).unwrap());
    loaded(&cache, 0);
    cache.clock.advance(seconds(60));
    for broken in [down, || panic!("the loader breaks")] {
        assert_eq!(
            cache.get_or_load::<u32>("k", lasting(100), broken).unwrap(),
            1
        );
    }
    assert_eq!(cache.ttl("k").unwrap(), Some(Ttl::For(seconds(40))));
    cache.clock.advance(seconds(40));
    assert!(cache.get_or_load::<u32>("k", lasting(100), down).is_err());
}

#[test]
fn a_stale_value_is_answered_in_its_grace_if_the_load_fails_and_no_longer() {
    let cache = case_with(KvOptions::default().grace(seconds(50)));
    loaded(&cache, 0);
    cache.clock.advance(seconds(100));
    let load = || cache.get_or_load::<u32>("k", lasting(100), down);
    assert_eq!(load().unwrap(), 1);
    assert_eq!(
        cache.get::<u32>("k").unwrap(),
        None,
        "absent for who does not load"
    );
    cache.clock.advance(seconds(50) - Duration::from_nanos(1));
    assert_eq!(load().unwrap(), 1);
    cache.clock.advance(Duration::from_nanos(1));
    assert_eq!(load().unwrap_err().kind(), ErrorKind::Io);
    let stats = cache.stats().unwrap();
    assert_eq!((stats.stale_answers, stats.load_errors), (2, 3));
}

#[test]
fn while_one_caller_revalidates_the_others_have_the_stale_value() {
    let options = KvOptions::default().grace(seconds(50));
    let cache = case_with(options.stale_while_revalidate(true));
    loaded(&cache, 0);
    cache.clock.advance(seconds(100));
    std::thread::scope(|scope| {
        let (told, goes_on) = std::sync::mpsc::channel();
        let one = scope.spawn(|| {
            cache.get_or_load("k", lasting(100), move || {
                goes_on.recv_timeout(seconds(60)).unwrap();
                Ok(2)
            })
        });
        until("it is loaded", || cache.stats().unwrap().refreshes == 1);
        let other = cache.get_or_load("k", lasting(100), || -> Result<u32> { panic!("one does") });
        assert_eq!(other.unwrap(), 1);
        told.send(()).unwrap();
        assert_eq!(one.join().unwrap().unwrap(), 2);
    });
    assert_eq!(cache.get::<u32>("k").unwrap(), Some(2));
}
