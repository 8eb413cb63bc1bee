//! Batches of loads: one call for all that is missing, each key once among batches that overlap.

use std::collections::HashMap;
use std::sync::Mutex;

use cardex::kv::KvOptions;
use cardex::tier::Key;
use cardex::{Error, ErrorKind, Result};

use crate::support::{NEVER, case, case_with, lasting, seconds, until};

/// Each key, with its length.
fn lengths(keys: &[Key]) -> HashMap<Key, usize> {
    keys.iter()
        .map(|key| (key.clone(), key.as_str().len()))
        .collect()
}

fn values(outcomes: Vec<Result<Option<usize>>>) -> Vec<Option<usize>> {
    outcomes.into_iter().map(Result::unwrap).collect()
}

#[test]
fn one_call_makes_all_that_is_missing() {
    let cache = case();
    cache.set("b", &10, NEVER).unwrap();
    let mut calls = Vec::new();
    let made = cache.get_many_or_load(&["a", "b", "ccc", "a"], NEVER, |keys| {
        calls.push(keys.to_vec());
        Ok(lengths(keys))
    });
    assert_eq!(values(made), [Some(1), Some(10), Some(3), Some(1)]);
    let called: Vec<Vec<&str>> = calls
        .iter()
        .map(|keys| keys.iter().map(Key::as_str).collect())
        .collect();
    assert_eq!(called, [["a", "ccc"]]);
    let again = cache.get_many_or_load(&["a", "ccc"], NEVER, |_| panic!("they are there"));
    assert_eq!(values(again), [Some(1), Some(3)]);
    let stats = cache.stats().unwrap();
    assert_eq!((stats.hits, stats.misses, stats.loads), (3, 3, 2));
}

#[test]
fn overlapping_batches_load_each_key_once() {
    let (cache, loaded) = (case(), Mutex::new(Vec::new()));
    let batch = |keys: &[&str], waiters: u64| {
        let made = cache.get_many_or_load(keys, NEVER, |keys| {
            loaded.lock().unwrap().extend(keys.to_vec());
            until("they overlap", || {
                cache.stats().unwrap().most_waiters >= waiters
            });
            Ok(lengths(keys))
        });
        assert!(values(made).into_iter().all(|length| length.is_some()));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| batch(&["a", "bb"], 1));
        until("the first one loads", || cache.stats().unwrap().loads == 2);
        scope.spawn(|| batch(&["bb", "ccc"], 0));
    });
    let mut loaded = loaded.into_inner().unwrap();
    loaded.sort_unstable();
    assert_eq!(
        loaded.iter().map(Key::as_str).collect::<Vec<_>>(),
        ["a", "bb", "ccc"]
    );
}

#[test]
fn what_the_loader_does_not_have_is_none_and_not_kept() {
    let cache = case();
    for _ in 0..2 {
        let made = cache.get_many_or_load::<u32>(&["a", "b b"], NEVER, |_| Ok(HashMap::new()));
        let made: Vec<_> = made.into_iter().map(Result::ok).collect();
        assert_eq!(made, [Some(None), None], "the other one is no key");
    }
    assert_eq!(cache.stats().unwrap().loads, 2);
    let alone = cache.get_or_load("a", NEVER, || Ok(1));
    assert_eq!(alone.unwrap(), 1);
}

#[test]
fn an_error_or_a_panic_is_that_of_all_its_keys() {
    let cache = case();
    let failing = cache.get_many_or_load::<u32>(&["a", "b"], NEVER, |_| {
        Err(Error::new(ErrorKind::Io, "down"))
    });
    assert!(
        failing
            .iter()
            .all(|one| one.as_ref().unwrap_err().kind() == ErrorKind::Io)
    );
    let broken = cache.get_many_or_load::<u32>(&["a", "b"], NEVER, |_| panic!("it breaks"));
    for one in broken {
        let error = one.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert_eq!(
            error.to_string(),
            "the load of many values: it panicked: it breaks"
        );
    }
    assert_eq!(cache.get_or_load("a", NEVER, || Ok(1)).unwrap(), 1);
}

#[test]
fn a_stale_value_goes_before_an_error_and_goes_itself_if_its_source_has_it_no_more() {
    let cache = case_with(KvOptions::default().grace(seconds(60)));
    cache.set("a", &1, lasting(10)).unwrap();
    cache.clock.advance(seconds(10));
    let failing = cache.get_many_or_load::<u32>(&["a", "b"], NEVER, |_| {
        Err(Error::new(ErrorKind::Io, "down"))
    });
    let failing: Vec<_> = failing.into_iter().map(Result::ok).collect();
    assert_eq!(failing, [Some(Some(1)), None]);
    let gone = cache.get_many_or_load::<u32>(&["a"], NEVER, |_| Ok(HashMap::new()));
    assert_eq!(
        gone.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
        [None]
    );
    assert_eq!(cache.stats().unwrap().total_entries, 0);
}

#[test]
fn warming_makes_what_is_missing() {
    let cache = case();
    cache.set("a", &1_usize, NEVER).unwrap();
    let had = cache.warm(&["a", "bb", "none"], NEVER, |keys| {
        let mut made = lengths(keys);
        made.retain(|key, _| key.as_str() != "none");
        Ok(made)
    });
    assert_eq!(had, 2);
    assert_eq!(cache.get::<usize>("bb").unwrap(), Some(2));
}

#[test]
fn what_a_batch_makes_anew_is_counted_as_refreshed() {
    let cache = case_with(KvOptions::default().grace(seconds(60)));
    cache.set("a", &7, lasting(10)).unwrap();
    cache.clock.advance(seconds(11));
    let made = cache.get_many_or_load(&["a", "bb"], NEVER, |keys| Ok(lengths(keys)));
    assert_eq!(values(made), [Some(1), Some(2)]);
    let stats = cache.stats().unwrap();
    assert_eq!((stats.loads, stats.refreshes), (2, 1));
}
