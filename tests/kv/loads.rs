//! Single-flight: who misses together shares one load, its value or its error.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cardex::kv::KvOptions;
use cardex::tier::Lifetime;
use cardex::{Error, ErrorKind};

use crate::support::{Case, NEVER, case, case_with, seconds, until};

const CALLERS: usize = 1000;

/// So many wait for one load by now.
fn await_waiters(cache: &Case, waiters: u64) {
    let have_come = || cache.stats().unwrap().most_waiters >= waiters;
    until("all wait for one load", have_come);
}

#[test]
fn a_thousand_simultaneous_misses_are_one_load_and_all_get_its_value() {
    let (cache, loads) = (case(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                let value = cache.get_or_load("k", Lifetime::Default, || {
                    loads.fetch_add(1, Ordering::SeqCst);
                    await_waiters(&cache, CALLERS as u64 - 1);
                    Ok("made".to_owned())
                });
                assert_eq!(value.unwrap(), "made");
            });
        }
    });
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    let stats = cache.stats().unwrap();
    assert_eq!((stats.loads, stats.misses), (1, CALLERS as u64));
    assert_eq!(cache.get::<String>("k").unwrap().unwrap(), "made");
}

#[test]
fn all_get_the_error_of_the_load_and_nobody_remembers_it() {
    let cache = case();
    let load = || {
        cache.get_or_load("k", NEVER, || {
            await_waiters(&cache, 9);
            Err::<u32, _>(Error::new(ErrorKind::Io, "the source is down"))
        })
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..10).map(|_| scope.spawn(load)).collect();
        for caller in callers {
            let error = caller.join().unwrap().unwrap_err();
            assert_eq!(error.to_string(), "the source is down");
        }
    });
    let stats = cache.stats().unwrap();
    assert_eq!(
        (stats.loads, stats.load_errors, stats.total_entries),
        (1, 1, 0)
    );
    assert_eq!(cache.get_or_load("k", NEVER, || Ok(5)).unwrap(), 5);
}

fn takes_over(break_off: fn() -> Result<u32, Error>, kind: ErrorKind) {
    let cache = case();
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| {
            cache.get_or_load("k", NEVER, || {
                await_waiters(&cache, 1);
                break_off()
            })
        });
        until("the leader loads", || cache.stats().unwrap().loads == 1);
        assert_eq!(cache.get_or_load("k", NEVER, || Ok(9)).unwrap(), 9);
        let error = leader.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    });
    assert_eq!(cache.get::<u32>("k").unwrap(), Some(9));
    assert_eq!(cache.stats().unwrap().loads, 2);
}

#[test]
fn a_waiter_takes_over_from_a_leader_that_panics() {
    takes_over(|| panic!("the loader breaks"), ErrorKind::Internal);
}

#[test]
fn a_waiter_takes_over_from_a_leader_that_is_cancelled() {
    let cancelled = || Err(Error::new(ErrorKind::Cancelled, "told to stop"));
    takes_over(cancelled, ErrorKind::Cancelled);
}

#[test]
fn a_loader_that_asks_for_its_own_key_gets_an_error_and_no_deadlock() {
    let cache = case();
    let own = cache.get_or_load("a", NEVER, || cache.get_or_load("a", NEVER, || Ok(1)));
    assert_eq!(own.unwrap_err().kind(), ErrorKind::Internal);
    let round = cache.get_or_load("a", NEVER, || {
        cache.get_or_load("b", NEVER, || cache.get_or_load("a", NEVER, || Ok(1)))
    });
    assert_eq!(round.unwrap_err().kind(), ErrorKind::Internal);
    let other = cache.get_or_load("a", NEVER, || cache.get_or_load("b", NEVER, || Ok(1)));
    assert_eq!(other.unwrap(), 1);
}

#[test]
fn a_load_that_takes_too_long_is_not_waited_for() {
    let cache = case_with(
        KvOptions::default()
            .load_timeout(Duration::from_millis(1))
            .unwrap(),
    );
    std::thread::scope(|scope| {
        let (told, goes_on) = std::sync::mpsc::channel();
        let leader = scope.spawn(|| {
            cache.get_or_load("k", NEVER, move || {
                goes_on.recv_timeout(seconds(60)).unwrap();
                Ok(1)
            })
        });
        until("the leader loads", || cache.stats().unwrap().loads == 1);
        let error = cache.get_or_load("k", NEVER, || Ok(2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        told.send(()).unwrap();
        assert_eq!(leader.join().unwrap().unwrap(), 1);
    });
    assert_eq!(cache.get::<u32>("k").unwrap(), Some(1));
}

#[test]
fn what_is_there_is_looked_at_before_anything_is_computed() {
    let cache = case();
    cache.set("null", &None::<u32>, NEVER).unwrap();
    let loaded = cache.get_or_load::<Option<u32>>("null", NEVER, || panic!("it is there"));
    assert_eq!(loaded.unwrap(), None);
    let loads = AtomicUsize::new(0);
    for _ in 0..3 {
        let made = cache.get_or_load("made", NEVER, || {
            loads.fetch_add(1, Ordering::SeqCst);
            Ok(None::<u32>)
        });
        assert_eq!(made.unwrap(), None);
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[test]
fn what_is_of_another_type_is_made_anew() {
    let cache = case();
    cache.set("k", "text", NEVER).unwrap();
    assert_eq!(cache.get_or_load("k", NEVER, || Ok(1)).unwrap(), 1);
    assert_eq!(cache.get::<u32>("k").unwrap(), Some(1));
}

#[test]
fn a_tier_that_is_down_is_a_miss_each_time() {
    let cache = case();
    cache.tier.set_down(true);
    for n in 0..3 {
        assert_eq!(cache.get_or_load("k", NEVER, || Ok(n)).unwrap(), n);
    }
    cache.tier.set_down(false);
    assert_eq!(cache.get_or_load("k", NEVER, || Ok(3)).unwrap(), 3);
}

#[test]
fn switched_off_every_call_loads_and_nothing_is_kept() {
    let cache = case_with(KvOptions::default().enabled(false));
    for n in 0..3 {
        assert_eq!(cache.get_or_load("k", NEVER, || Ok(n)).unwrap(), n);
    }
    assert_eq!(cache.stats().unwrap().misses, 0, "it was not asked");
    cache.set_enabled(true).unwrap();
    assert_eq!(cache.get::<u32>("k").unwrap(), None);
}

#[test]
fn a_key_or_a_lifetime_that_is_none_is_refused_before_the_load() {
    let cache = case();
    let never = || -> Result<u32, Error> { panic!("there is nothing to load") };
    assert!(cache.get_or_load("k k", NEVER, never).is_err());
    let zero = Lifetime::For(Duration::ZERO);
    assert!(cache.get_or_load("k", zero, never).is_err());
}
