//! `KvCache`: on every path by which a value comes in, nothing that was loaded before a change is found
//! after it; a key is loaded by one at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::Value;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};

use crate::clock::ManualClock;
use crate::error::{ErrorKind, Result};
use crate::explore::{claim, join};
use crate::kv::warming::{Warmer, WarmerOptions, Warmth};
use crate::kv::{CacheStrategy, KvCache, KvOptions, Source, SourcedCache};
use crate::primitives::Mutex;
use crate::shared::SharedTier;
use crate::tier::{
    Key, KeyPattern, Lifetime, MemoryTier, MemoryTierOptions, Tier, Tiered, TieredOptions,
};

pub(crate) fn claims() -> Vec<Trial> {
    vec![
        claim("kv: a load against changes", 3000, || {
            against_changes(Fill::Alone)
        }),
        claim("kv: a batch against changes", 2000, || {
            against_changes(Fill::Batch)
        }),
        claim("kv: a refresh against changes", 2000, || {
            against_changes(Fill::Refresh)
        }),
        claim("kv: a load in the background against changes", 1000, || {
            against_changes(Fill::Behind);
        }),
        claim(
            "kv: a refresh in the background against changes",
            1000,
            || {
                against_changes(Fill::RefreshBehind);
            },
        ),
        claim(
            "kv: a load from the cache itself against removals of many",
            3000,
            || {
                against_changes(Fill::Derived);
            },
        ),
        claim(
            "kv: a load without the shared tier against changes of all",
            3000,
            || against_changes(Fill::Aside),
        ),
        claim(
            "kv: a load from copies without the shared tier against what others say",
            3000,
            || against_changes(Fill::DerivedAside),
        ),
        claim("kv: warming against changes", 1000, warming),
        claim("kv: a key is loaded by one at a time", 3000, one_load),
        claim(
            "kv: writes through end equal in source and cache",
            1000,
            write_through,
        ),
        claim(
            "kv: increments are exact beside loads and changes",
            2000,
            increments,
        ),
    ]
}

const LIFE: Lifetime = Lifetime::For(Duration::from_secs(100));
const MAX_CHANGES: u64 = 3;

/// By which path a value comes in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fill {
    Alone,
    Batch,
    Refresh,
    Behind,
    RefreshBehind,
    /// Made of what the cache has of another key.
    Derived,
    /// While the tier that processes share is away.
    Aside,
    /// Both.
    DerivedAside,
}

/// What is true, and a cache of it.
struct World {
    cache: KvCache,
    sourced: Option<SourcedCache>,
    truth: Arc<Truth>,
    /// The last change that everybody may count on.
    announced: Mutex<u64>,
}

#[derive(Default)]
struct Truth {
    number: Mutex<u64>,
    /// Loads in progress.
    loading: Mutex<usize>,
}

impl Truth {
    fn load(&self) -> u64 {
        let number = *self.number.lock();
        thread::yield_now();
        number
    }
}

impl Source for Truth {
    fn load(&self, _: &Key) -> Result<Option<Value>> {
        Ok(Some(self.load().into()))
    }

    fn store(&self, _: &Key, value: &Value) -> Result<()> {
        *self.number.lock() = value.as_u64().unwrap();
        Ok(())
    }
}

fn world(fill: Fill) -> Arc<World> {
    let clock = Arc::new(ManualClock::new());
    let tier = MemoryTier::new("tier", MemoryTierOptions::default(), clock.clone());
    let tier: Arc<dyn Tier> = match fill {
        Fill::Aside | Fill::DerivedAside => without_shared(tier, &clock),
        _ => Arc::new(tier),
    };
    let options = KvOptions::default().load_threads(1).unwrap();
    let options = options.ttl(Duration::from_secs(100)).unwrap();
    let options = options.refresh_ahead(0.5).unwrap();
    let cache = KvCache::new("cache", options, tier, clock.clone());
    let truth = Arc::new(Truth::default());
    let is_sourced = matches!(fill, Fill::Behind | Fill::RefreshBehind);
    let sourced = is_sourced.then(|| {
        let strategy = CacheStrategy::WriteThrough;
        SourcedCache::new(cache.clone(), truth.clone(), strategy).unwrap()
    });
    if matches!(fill, Fill::Refresh | Fill::RefreshBehind) {
        cache.set("k", &0, LIFE).unwrap();
        clock.advance(Duration::from_secs(60));
    }
    if matches!(fill, Fill::Derived | Fill::DerivedAside) {
        cache.set("j", &0, LIFE).unwrap();
    }
    Arc::new(World {
        cache,
        sourced,
        truth,
        announced: Mutex::new(0),
    })
}

/// This tier above one that processes share, which is away.
fn without_shared(tier: MemoryTier, clock: &Arc<ManualClock>) -> Arc<dyn Tier> {
    let shared = SharedTier::new(clock);
    shared.set_away(true);
    let options = TieredOptions::default().repair_interval(None);
    let tiers: Vec<Arc<dyn Tier>> = vec![Arc::new(tier), shared];
    Tiered::new("tiers", tiers, options, clock.clone()).unwrap()
}

/// Again, as often as the checker lets a wait end too soon.
fn patiently<R>(mut verb: impl FnMut() -> Result<R>) -> R {
    use ErrorKind::{CommittedNotApplied, DatabaseBusy, TimedOut};
    loop {
        match verb() {
            Ok(outcome) => return outcome,
            Err(error) if matches!(error.kind(), CommittedNotApplied | DatabaseBusy | TimedOut) => {
                thread::yield_now();
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn spawn(world: &Arc<World>, body: impl FnOnce(&World) + Send + 'static) -> JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || body(&world))
}

impl World {
    /// Asks by the path.
    fn ask(&self, fill: Fill) -> Result<u64> {
        match (&self.sourced, fill) {
            (Some(sourced), _) => sourced.get("k").map(Option::unwrap),
            (None, Fill::Batch) => {
                let made = self
                    .cache
                    .get_many_or_load(&["j", "k"], LIFE, |keys: &[Key]| {
                        let made = keys.iter().map(|key| (key.clone(), self.truth.load()));
                        Ok(made.collect::<HashMap<_, _>>())
                    });
                made.into_iter().nth(1).unwrap().map(Option::unwrap)
            }
            (None, Fill::Derived | Fill::DerivedAside) => self.cache.get_or_load("k", LIFE, || {
                let other = self.cache.get::<u64>("j")?;
                thread::yield_now();
                Ok(other.unwrap_or_else(|| self.truth.load()))
            }),
            (None, _) => self.cache.get_or_load("k", LIFE, || Ok(self.truth.load())),
        }
    }

    fn asks(&self, fill: Fill) {
        for _ in 0..2 {
            let announced = *self.announced.lock();
            let found = patiently(|| self.ask(fill));
            assert!(found >= announced, "{found} after {announced}");
        }
    }

    /// Changes what is true, and tells the cache in one way or another.
    fn change(&self, fill: Fill) {
        let number = {
            let mut truth = self.truth.number.lock();
            *truth += 1;
            *truth
        };
        let ways = match fill {
            Fill::Derived => 1..3,
            // What is not there cannot be cleared.
            Fill::Aside => 2..8,
            Fill::DerivedAside => 6..8,
            _ => 0..5,
        };
        let way = thread_rng().gen_range(ways);
        let forget = |pattern: &str| {
            let pattern = KeyPattern::new(pattern).unwrap();
            self.cache.forget_copies(&pattern).map(drop)
        };
        patiently(|| match way {
            0 => self.cache.delete("k").map(drop),
            1 => self.cache.clear(),
            2 => {
                let pattern = KeyPattern::new("[jk]*").unwrap();
                self.cache.delete_matching(&pattern).map(drop)
            }
            3 => self.cache.set("k", &number, LIFE).map(drop),
            4 => self.cache.mset(&[("k", number)], LIFE).remove(0).map(drop),
            5 => forget("k"),
            6 => forget("[jk]*"),
            _ => forget("*"),
        });
        *self.announced.lock() = number;
    }

    /// What is kept is true.
    fn at_rest(&self) {
        let truth = *self.truth.number.lock();
        let kept = self.cache.get::<u64>("k").unwrap();
        assert!(kept.is_none_or(|kept| kept == truth), "{kept:?} of {truth}");
    }
}

fn against_changes(fill: Fill) {
    let world = world(fill);
    join([
        spawn(&world, move |world| {
            (0..MAX_CHANGES).for_each(|_| world.change(fill))
        }),
        spawn(&world, move |world| world.asks(fill)),
        spawn(&world, move |world| world.asks(fill)),
    ]);
    world.at_rest();
}

fn warming() {
    let world = world(Fill::Alone);
    join([
        spawn(&world, |world| {
            (0..MAX_CHANGES).for_each(|_| world.change(Fill::Alone))
        }),
        spawn(&world, |world| {
            let clock = Arc::new(ManualClock::new());
            let warmer = Warmer::new(world.cache.clone(), WarmerOptions::default(), clock.clone());
            let truth = Arc::clone(&world.truth);
            let loader = move |_: &_| Warmth::many([("k", truth.load())]);
            warmer.loader("k", loader).unwrap();
            for _ in 0..2 {
                // Its rate is another matter.
                clock.advance(Duration::from_secs(1));
                warmer.warm().unwrap();
            }
        }),
        spawn(&world, |world| world.asks(Fill::Alone)),
    ]);
    world.at_rest();
}

fn one_load() {
    let world = world(Fill::Alone);
    let ask = |world: &World| {
        let load = || {
            *world.truth.loading.lock() += 1;
            let number = world.truth.load();
            assert_eq!(*world.truth.loading.lock(), 1, "somebody else loads it");
            *world.truth.loading.lock() -= 1;
            Ok(number)
        };
        assert_eq!(patiently(|| world.cache.get_or_load("k", LIFE, load)), 0);
    };
    join([spawn(&world, ask), spawn(&world, ask), spawn(&world, ask)]);
    assert_eq!(world.cache.stats().unwrap().loads, 1);
}

fn write_through() {
    let world = world(Fill::Behind);
    let write = |number: u64| {
        move |world: &World| {
            let sourced = world.sourced.as_ref().unwrap();
            patiently(|| sourced.set("k", &number));
            patiently(|| sourced.get::<u64>("k"));
        }
    };
    join([spawn(&world, write(1)), spawn(&world, write(2))]);
    world.at_rest();
}

fn increments() {
    let world = world(Fill::Alone);
    let count = |world: &World| {
        for _ in 0..2 {
            patiently(|| world.cache.increment("n", 1));
        }
    };
    join([
        spawn(&world, count),
        spawn(&world, count),
        spawn(&world, |world| {
            // If it comes first, it is what is counted from.
            let made = patiently(|| world.cache.get_or_load("n", LIFE, || Ok(100_i64)));
            assert!(
                (1..=4).contains(&made) || (100..=104).contains(&made),
                "{made}"
            );
        }),
    ]);
    let sum = world.cache.get::<i64>("n").unwrap().unwrap();
    assert!(sum == 4 || sum == 104, "{sum}");
}
