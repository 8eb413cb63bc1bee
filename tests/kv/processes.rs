//! One load among all processes that share a tier: two caches over one tier know as little of each other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cardex::kv::warming::{StopSign, Warmer, WarmerOptions, Warmth};
use cardex::kv::{KvCache, KvOptions};
use cardex::tier::{Key, Lifetime};
use cardex::{Error, ErrorKind, ManualClock, Result};

use crate::shared::SharedTier;
use crate::support::{NEVER, until};

const PROCESSES: usize = 4;
const THREADS: usize = 8;

struct World {
    tier: Arc<SharedTier>,
    clock: Arc<ManualClock>,
    processes: Vec<KvCache>,
}

fn world_with(options: &KvOptions) -> World {
    let clock = Arc::new(ManualClock::new());
    let tier = SharedTier::new(&clock);
    let process = |_| KvCache::new("cache", options.clone(), tier.clone(), clock.clone());
    World {
        processes: (0..PROCESSES).map(process).collect(),
        tier,
        clock,
    }
}

fn world() -> World {
    world_with(&KvOptions::default())
}

impl World {
    /// All threads of all processes ask for one key; how many loads that took.
    fn loads(&self, load: impl Fn() -> Result<u32> + Sync) -> usize {
        let loads = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for process in &self.processes {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        let made = process.get_or_load("k", NEVER, || {
                            loads.fetch_add(1, Ordering::SeqCst);
                            load()
                        });
                        assert_eq!(made.unwrap(), 5);
                    });
                }
            }
        });
        loads.into_inner()
    }

    /// In every process one makes the value, or waits for who does, and all others wait for that one.
    fn all_wait(&self) -> bool {
        let wait = |process: &KvCache| process.stats().unwrap().most_waiters >= THREADS as u64 - 1;
        self.processes.iter().all(wait)
    }
}

#[test]
fn all_processes_together_make_one_load() {
    let world = world();
    let loads = world.loads(|| {
        until("all ask", || world.all_wait());
        Ok(5)
    });
    assert_eq!(loads, 1);
    assert_eq!(world.tier.leases(), 0);
}

#[test]
fn without_locks_each_process_makes_at_most_one() {
    for options in [
        KvOptions::default(),
        KvOptions::default().cross_process(false),
    ] {
        let world = world_with(&options);
        world.tier.locks_are_down.store(true, Ordering::SeqCst);
        let loads = world.loads(|| {
            until("all ask", || world.all_wait());
            Ok(5)
        });
        assert!((1..=PROCESSES).contains(&loads), "{loads}");
        assert_eq!(
            world.processes[0].get::<u32>("k").unwrap(),
            None,
            "not kept"
        );
    }
}

#[test]
fn what_is_made_under_a_lost_lease_is_answered_and_not_kept() {
    let world = world();
    let one = &world.processes[0];
    let made = one.get_or_load("k", NEVER, || {
        world.tier.take_away("k");
        Ok(1)
    });
    assert_eq!(made.unwrap(), 1);
    assert_eq!(one.get::<u32>("k").unwrap(), None);
    assert_eq!(one.stats().unwrap().voided, 1);
}

/// A change by any process beats the load of any other.
#[test]
fn a_write_in_another_process_beats_the_load_that_began_before_it() {
    for (with_locks, waits) in [(true, true), (true, false), (false, true), (false, false)] {
        let world = world_with(&KvOptions::default().cross_process(waits));
        world
            .tier
            .locks_are_down
            .store(!with_locks, Ordering::SeqCst);
        let [one, other, ..] = &world.processes[..] else {
            panic!("there are several");
        };
        one.set("k", &0, NEVER).unwrap();
        let made = one.get_or_load("l", NEVER, || {
            other.set("l", &7, NEVER).unwrap();
            Ok(1)
        });
        assert_eq!(made.unwrap(), 1);
        assert_eq!(one.get::<u32>("l").unwrap(), Some(7), "locks: {with_locks}");
        // There is nothing before it, and nothing after it.
        let made = one.get_or_load("m", NEVER, || {
            other.delete("m").unwrap();
            Ok(1)
        });
        assert_eq!(made.unwrap(), 1);
        let kept = one.get::<u32>("m").unwrap();
        assert_eq!(kept, None, "locks: {with_locks}, waits: {waits}");
    }
}

#[test]
fn a_lease_is_given_back_when_the_load_fails() {
    let world = world();
    let [one, other, ..] = &world.processes[..] else {
        panic!("there are several");
    };
    let down = || Err::<u32, _>(Error::new(ErrorKind::Io, "down"));
    assert!(one.get_or_load("k", NEVER, down).is_err());
    assert!(
        one.get_or_load::<u32>("k", NEVER, || panic!("it breaks"))
            .is_err()
    );
    assert_eq!(world.tier.leases(), 0);
    assert_eq!(other.get_or_load("k", NEVER, || Ok(2)).unwrap(), 2);
}

#[test]
fn a_lease_is_renewed_while_its_holder_works() {
    let options = KvOptions::default()
        .lease(Duration::from_millis(100))
        .unwrap();
    let world = world_with(&options);
    let made = world.processes[0].get_or_load("k", NEVER, || {
        until("it is renewed twice", || {
            world.clock.advance(Duration::from_millis(1));
            world.tier.renewals.load(Ordering::SeqCst) >= 2
        });
        Ok(1)
    });
    assert_eq!(made.unwrap(), 1);
    assert_eq!(world.processes[1].get::<u32>("k").unwrap(), Some(1));
}

#[test]
fn another_process_is_not_waited_for_for_ever() {
    let options = KvOptions::default()
        .load_timeout(Duration::from_millis(5))
        .unwrap();
    let world = world_with(&options);
    let [one, other, ..] = &world.processes[..] else {
        panic!("there are several");
    };
    let made = one.get_or_load("k", NEVER, || {
        let second = other.get_or_load("k", NEVER, || Ok(2));
        assert_eq!(second.unwrap(), 2, "answered");
        assert_eq!(other.get::<u32>("k").unwrap(), None, "and not kept");
        Ok(1)
    });
    assert_eq!(made.unwrap(), 1);
    assert_eq!(other.get::<u32>("k").unwrap(), Some(1));
}

#[test]
fn overlapping_batches_of_processes_load_each_key_once() {
    let (world, loaded) = (world(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for (at, process) in world.processes.iter().enumerate() {
            let mut keys = ["a", "b", "c", "d", "e"];
            keys.rotate_left(at);
            let loaded = &loaded;
            scope.spawn(move || {
                let made = process.get_many_or_load(&keys, NEVER, |keys: &[Key]| {
                    loaded.fetch_add(keys.len(), Ordering::SeqCst);
                    Ok(keys
                        .iter()
                        .map(|key| (key.clone(), 1))
                        .collect::<HashMap<_, _>>())
                });
                assert!(made.into_iter().all(|one| one.unwrap() == Some(1)));
            });
        }
    });
    assert_eq!(loaded.into_inner(), 5);
}

#[test]
fn who_does_not_wait_for_others_keeps_what_nobody_else_makes() {
    let world = world_with(&KvOptions::default().cross_process(false));
    let [one, other, ..] = &world.processes[..] else {
        panic!("there are several");
    };
    let made = one.get_or_load("k", NEVER, || {
        assert_eq!(other.get_or_load("k", NEVER, || Ok(2)).unwrap(), 2);
        Ok(1)
    });
    assert_eq!(made.unwrap(), 1);
    assert_eq!(other.get::<u32>("k").unwrap(), Some(1));
    assert_eq!(world.tier.leases(), 0);
}

/// Of a change by another process while its loader works, a warmer would know nothing.
#[test]
fn what_is_warmed_is_not_kept_where_other_processes_change_it() {
    let world = world();
    let [one, other, ..] = &world.processes[..] else {
        panic!("there are several");
    };
    let warmer = Warmer::new(one.clone(), WarmerOptions::default(), world.clock.clone());
    let other = other.clone();
    let make = move |_: &StopSign| {
        other.delete("k")?;
        Warmth::one(&1)
    };
    warmer.loader("k", make).unwrap();
    let report = warmer.warm().unwrap();
    assert_eq!((report.kept(), report.is_complete()), (0, false));
    assert_eq!(one.get::<u32>("k").unwrap(), None);
}

#[test]
fn a_batch_waits_for_all_that_others_make_once_and_not_for_each_key_anew() {
    let time = Duration::from_millis(500);
    let world = world_with(&KvOptions::default().load_timeout(time).unwrap());
    let [one, other, ..] = &world.processes[..] else {
        panic!("there are several");
    };
    let keys: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    let make = |keys: &[Key], n: u32| keys.iter().map(|key| (key.clone(), n)).collect();
    one.get_many_or_load::<u32>(&keys, NEVER, |made| {
        // In another process, it makes them itself.
        let began = Instant::now();
        let values = other.get_many_or_load(&keys, NEVER, |made| Ok(make(made, 2)));
        assert!(values.into_iter().all(|one| one.unwrap() == Some(2)));
        // In this one, it goes without.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let values = one.get_many_or_load(&keys, NEVER, |made| Ok(make(made, 3)));
                let late =
                    |one: Result<Option<u32>>| one.unwrap_err().kind() == ErrorKind::TimedOut;
                assert!(values.into_iter().all(late));
            });
        });
        assert!(began.elapsed() < 8 * time, "{:?}", began.elapsed());
        Ok(make(made, 1))
    });
}

/// There is an answer: the value that is stale, or soon will be.
#[test]
fn a_refresh_does_not_wait_for_the_one_of_another_process() {
    let refreshed = KvOptions::default().grace(Duration::from_secs(60));
    for options in [
        refreshed.clone().stale_while_revalidate(true),
        refreshed.refresh_ahead(0.9).unwrap(),
    ] {
        let world = world_with(&options);
        let [one, other, ..] = &world.processes[..] else {
            panic!("there are several");
        };
        let life = Lifetime::For(Duration::from_secs(10));
        one.set("k", &1, life).unwrap();
        let is_stale = options != options.clone().stale_while_revalidate(false);
        let age = if is_stale { 11 } else { 8 };
        world.clock.advance(Duration::from_secs(age));
        let made = one.get_or_load("k", life, || {
            let begun = Instant::now();
            let found = other.get_or_load("k", life, || Ok(3));
            assert_eq!(found.unwrap(), 1, "what there is");
            assert!(begun.elapsed() < Duration::from_secs(10));
            Ok(2)
        });
        assert_eq!(made.unwrap(), 2);
        assert_eq!(other.get::<u32>("k").unwrap(), Some(2));
        assert_eq!(other.stats().unwrap().loads, 0);
    }
}
