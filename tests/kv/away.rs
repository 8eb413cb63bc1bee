//! While the tier that processes share is away: what is loaded is kept in the tiers that this process has
//! alone, as a copy. It hides what others change no longer than any copy could, and never what this
//! process has changed, or was told of.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cardex::bus::KeyedCache;
use cardex::kv::{CacheStrategy, KvCache, KvOptions, SourcedCache};
use cardex::tier::{Key, Lifetime, MemoryTier, MemoryTierOptions, Tier, Tiered, TieredOptions};
use cardex::{ManualClock, Result};

use crate::shared::SharedTier;
use crate::support::{NEVER, lasting, pattern, seconds, until};

/// A process that is cut off from what it shares with another one.
struct World {
    /// Memory for 10 s, a slower tier for 60 s, and the way to the shared one.
    cache: KvCache,
    parts: [Arc<MemoryTier>; 2],
    tiered: Arc<Tiered>,
    way: Arc<SharedTier>,
    other: KvCache,
    clock: Arc<ManualClock>,
}

fn world() -> World {
    world_with(KvOptions::default())
}

fn world_with(options: KvOptions) -> World {
    let clock = Arc::new(ManualClock::new());
    let part = |name: &str, ttl| {
        let options = MemoryTierOptions::default().ttl(seconds(ttl)).unwrap();
        Arc::new(MemoryTier::new(name, options, clock.clone()))
    };
    let parts = [part("L1", 10), part("L2", 60)];
    let way = SharedTier::new(&clock);
    let tiers: Vec<Arc<dyn Tier>> = vec![parts[0].clone(), parts[1].clone(), way.clone()];
    let tiered = TieredOptions::default().repair_interval(None);
    let tiered = Tiered::new("tiers", tiers, tiered, clock.clone()).unwrap();
    let other = KvCache::new("other", options.clone(), way.another(), clock.clone());
    way.set_away(true);
    World {
        cache: KvCache::new("cache", options, tiered.clone(), clock.clone()),
        parts,
        tiered,
        way,
        other,
        clock,
    }
}

impl World {
    /// What the source has: the cache is to have it, too.
    fn load(&self, key: &str, value: u32) -> u32 {
        self.load_for(key, NEVER, value)
    }

    fn load_for(&self, key: &str, life: Lifetime, value: u32) -> u32 {
        self.cache.get_or_load(key, life, || Ok(value)).unwrap()
    }

    /// Loads while something happens; whether that was kept.
    fn keeps_beside(&self, key: &str, happens: impl FnOnce()) -> bool {
        let made = self.cache.get_or_load(key, NEVER, || {
            happens();
            Ok(1)
        });
        assert_eq!(made.unwrap(), 1, "answered");
        let kept = self.get(key);
        assert!(kept.is_none_or(|kept| kept == 1), "{kept:?}");
        kept.is_some()
    }

    fn get(&self, key: &str) -> Option<u32> {
        self.cache.get(key).unwrap()
    }

    fn loads(&self) -> u64 {
        self.cache.stats().unwrap().loads
    }

    /// The shared tier is back, and asked again.
    fn comes_back(&self) {
        self.way.set_away(false);
        self.clock.advance(seconds(1));
        assert_eq!(self.get("unheard-of"), None);
    }
}

#[test]
fn a_hundred_gets_make_one_load_in_every_tier_that_the_process_has_alone() {
    let world = world();
    for n in 0..100 {
        assert_eq!(world.load("k", n), 0);
    }
    assert_eq!(world.loads(), 1);
    let key = Key::new("k").unwrap();
    let held = |part: &Arc<MemoryTier>| part.peek(&key).unwrap().is_some();
    assert!(world.parts.iter().all(held));
    assert_eq!(world.cache.stats().unwrap().voided, 0);
    assert!(!world.tiered.is_owed(), "a load is no change");
}

#[test]
fn a_hundred_callers_at_the_same_time_make_one_load() {
    let (world, loads) = (world(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let made = world.cache.get_or_load("k", NEVER, || {
                    loads.fetch_add(1, Ordering::SeqCst);
                    Ok(5)
                });
                assert_eq!(made.unwrap(), 5);
            });
        }
    });
    assert_eq!(loads.into_inner(), 1);
}

#[test]
fn a_batch_is_kept_too_and_so_is_what_a_source_has() {
    let world = world();
    let keys = ["a", "b", "c"];
    let made = |keys: &[Key]| keys.iter().map(|key| (key.clone(), 1)).collect();
    for _ in 0..2 {
        let values = world
            .cache
            .get_many_or_load(&keys, NEVER, |keys| Ok::<HashMap<_, u32>, _>(made(keys)));
        assert!(values.into_iter().all(|one| one.unwrap() == Some(1)));
    }
    assert_eq!(world.loads(), 3);
    let source = |_: &Key| Ok(Some(serde_json::json!(2)));
    let strategy = CacheStrategy::ReadThrough;
    let sourced = SourcedCache::new(world.cache.clone(), Arc::new(source), strategy).unwrap();
    for _ in 0..2 {
        assert_eq!(sourced.get::<u32>("d").unwrap(), Some(2));
    }
    assert_eq!(world.loads(), 4);
}

#[test]
fn what_is_near_its_end_or_past_it_is_refreshed() {
    let options = KvOptions::default().grace(seconds(60));
    for options in [
        options.clone(),
        options.clone().stale_while_revalidate(true),
        options.refresh_ahead(0.9).unwrap(),
    ] {
        let is_ahead = options != options.clone().refresh_ahead(0.0).unwrap();
        let world = world_with(options);
        assert_eq!(world.load_for("k", lasting(5), 1), 1);
        world.clock.advance(seconds(if is_ahead { 4 } else { 6 }));
        assert_eq!(world.load_for("k", lasting(5), 2), 2);
        assert_eq!(world.load_for("k", NEVER, 3), 2);
        assert_eq!(world.cache.stats().unwrap().refreshes, 1);
    }
}

#[test]
fn what_this_process_changes_meanwhile_keeps_a_load_out() {
    let world = world();
    assert!(world.keeps_beside("k", || ()));
    let cache = &world.cache;
    // The shared tier misses all of them.
    assert!(!world.keeps_beside("a", || drop(cache.delete("a"))));
    assert!(!world.keeps_beside("b", || drop(cache.delete_matching(&pattern("b*")))));
    assert!(!world.keeps_beside("c", || drop(cache.clear())));
    let made = cache.get_or_load("d", NEVER, || {
        cache.set("d", &7, NEVER)?;
        Ok(1)
    });
    assert_eq!((made.unwrap(), world.get("d")), (1, Some(7)));
    assert!(!world.keeps_beside("e", || cache.set_enabled(false).unwrap()));
    cache.set_enabled(true).unwrap();
    assert!(!world.keeps_beside("f", || world.tiered.set_bypass(true)));
}

#[test]
fn what_others_say_keeps_a_load_out_and_takes_a_copy_out() {
    let world = world();
    let forget = |what: &str| _ = KeyedCache::forget_copies(&world.cache, &pattern(what)).unwrap();
    assert!(!world.keeps_beside("a", || forget("a")));
    assert!(!world.keeps_beside("b", || forget("*")));
    let doubt = || _ = KeyedCache::revalidate(&world.cache).unwrap();
    assert!(!world.keeps_beside("c", doubt));
    assert!(world.keeps_beside("d", || forget("e*")), "another key");
    forget("e*");
    assert_eq!(world.get("d"), Some(1));
    doubt();
    assert_eq!(world.get("d"), None);
    assert_eq!(world.load("d", 2), 2);
}

#[test]
fn a_copy_hides_what_others_did_no_longer_than_any_copy() {
    let world = world();
    assert_eq!(world.load("told", 1), 1);
    assert_eq!(world.load("untold", 1), 1);
    for key in ["told", "untold"] {
        world.other.set(key, &2, NEVER).unwrap();
    }
    world.comes_back();
    assert_eq!(world.get("told"), Some(1));
    KeyedCache::forget_copies(&world.cache, &pattern("told")).unwrap();
    assert_eq!(world.get("told"), Some(2), "the bus says so");
    // What came up from the second tier at its end is in the first one for a while.
    world.clock.advance(seconds(58));
    assert_eq!(world.get("untold"), Some(1));
    world.clock.advance(seconds(10));
    assert_eq!(world.get("untold"), Some(2));
}

/// What others did while it was made is not hidden for longer, either.
#[test]
fn the_age_of_a_copy_counts_from_when_it_began_to_be_made() {
    let world = world();
    let made = world.cache.get_or_load("k", NEVER, || {
        world.clock.advance(seconds(50));
        Ok(1)
    });
    assert_eq!(made.unwrap(), 1);
    let key = Key::new("k").unwrap();
    let held = || [0, 1].map(|at| world.parts[at].peek(&key).unwrap().is_some());
    assert_eq!(held(), [false, true]);
    world.clock.advance(seconds(9));
    assert_eq!(held(), [false, true]);
    world.clock.advance(seconds(1));
    assert_eq!(held(), [false, false]);
    let made = world.cache.get_or_load("k", NEVER, || {
        world.clock.advance(seconds(60));
        Ok(2)
    });
    assert_eq!(
        (made.unwrap(), world.get("k")),
        (2, None),
        "too old to be kept"
    );
}

#[test]
fn what_was_loaded_meanwhile_is_not_written_to_the_shared_tier_later() {
    let world = world();
    assert_eq!(world.load("k", 1), 1);
    world.other.set("l", &2, NEVER).unwrap();
    assert_eq!(world.load("l", 1), 1);
    world.comes_back();
    assert!(world.tiered.repair());
    assert_eq!(world.other.get::<u32>("k").unwrap(), None);
    assert_eq!(
        world.other.get::<u32>("l").unwrap(),
        Some(2),
        "and stays there"
    );
    // What is changed is known to be: the shared tier begins anew.
    world.way.set_away(true);
    assert_eq!(world.load("n", 5), 5);
    assert_eq!(world.cache.increment("n", 1).unwrap(), 6);
    world.comes_back();
    assert!(world.tiered.repair());
    assert_eq!(world.other.get::<u32>("n").unwrap(), None);
}

#[test]
fn a_value_that_came_up_meanwhile_goes_before_the_load() {
    let world = world();
    let made = world.cache.get_or_load("k", NEVER, || {
        world.other.set("k", &2, NEVER)?;
        world.comes_back();
        assert_eq!(world.get("k"), Some(2));
        Ok(1)
    });
    assert_eq!(made.unwrap(), 1);
    assert_eq!(world.get("k"), Some(2));
}

#[test]
fn a_load_that_has_lost_the_shared_tier_by_its_end_is_kept_as_well() {
    let world = world();
    world.comes_back();
    let cut = || world.way.set_away(true);
    assert!(world.keeps_beside("k", cut));
    assert_eq!(world.load("k", 2), 1);
    // Whether the shared tier has it is not known.
    world.comes_back();
    assert!(world.tiered.repair());
    assert_eq!(world.other.get::<u32>("k").unwrap(), None);
    let says = || {
        cut();
        KeyedCache::revalidate(&world.cache).unwrap();
    };
    assert!(!world.keeps_beside("l", says));
}

#[test]
fn a_lease_that_was_found_lost_is_no_right_to_keep_anything() {
    let options = KvOptions::default().lease(Duration::from_millis(100));
    let world = world_with(options.unwrap());
    world.comes_back();
    let renewals = || world.way.renewals.load(Ordering::SeqCst);
    assert!(!world.keeps_beside("k", || {
        world.way.take_away("k");
        // The leases are renewed in turn: when that of the second one is, the first one was found lost.
        assert!(world.keeps_beside("l", || until("both are looked at", || {
            world.clock.advance(Duration::from_millis(1));
            renewals() >= 2
        })));
        world.way.set_away(true);
    }));
}

/// No lease is to be had, but the tier answers: whatever others put there is not hidden.
#[test]
fn a_shared_tier_that_is_there_and_refuses_is_not_away() {
    let world = world();
    world.comes_back();
    world.way.locks_are_down.store(true, Ordering::SeqCst);
    assert!(!world.keeps_beside("k", || ()));
    assert!(!world.keeps_beside("l", || {
        world.other.set("l", &1, NEVER).unwrap();
        world.other.delete("l").unwrap();
    }));
    assert_eq!(world.load("k", 2), 2);
    world.other.set("k", &3, NEVER).unwrap();
    assert_eq!(world.load("k", 4), 3);
    world.way.set_away(true);
    assert!(world.keeps_beside("m", || ()));
}

#[test]
fn with_the_shared_tier_alone_nothing_is_kept() {
    let world = world();
    let alone = world.way.another();
    let options = KvOptions::default().grace(seconds(60));
    let options = options.stale_while_revalidate(true);
    let cache = KvCache::new("alone", options, alone.clone(), world.clock.clone());
    assert_eq!(cache.get_or_load("k", lasting(5), || Ok(1)).unwrap(), 1);
    world.clock.advance(seconds(6));
    // A stale value is answered as long as its refresh could not be kept.
    let asked = Cell::new(false);
    let refresh = || -> Result<u32> {
        asked.set(true);
        Ok(2)
    };
    alone.locks_are_down.store(true, Ordering::SeqCst);
    assert_eq!(cache.get_or_load("k", lasting(5), refresh).unwrap(), 1);
    assert!(!asked.get());
    alone.set_away(true);
    let loads = AtomicUsize::new(0);
    for _ in 0..3 {
        let load = || Ok(loads.fetch_add(1, Ordering::SeqCst));
        cache.get_or_load("l", NEVER, load).unwrap();
    }
    assert_eq!(loads.into_inner(), 3);
}

/// As long as it is let alone, the way is tried once a second, and no more.
#[test]
fn who_has_a_copy_asks_nobody() {
    let world = world();
    assert_eq!(world.load("k", 1), 1);
    until("it is let alone", || {
        world.load("l", 1);
        KeyedCache::revalidate(&world.cache).unwrap();
        world.tiered.tiers()[2].is_let_alone
    });
    world.load("k", 1);
    let asked = world.way.asked.load(Ordering::SeqCst);
    for n in 0..100 {
        assert_eq!(world.load("k", n), 1);
    }
    assert_eq!(world.way.asked.load(Ordering::SeqCst), asked);
}
