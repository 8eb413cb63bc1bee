//! A node as a process has it: a cache `users` in memory above Redis, on the bus.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cardex::bus::{BusOptions, InvalidationBus, RedisBus};
use cardex::kv::{KvCache, KvOptions};
use cardex::tier::{
    Key, KeyPattern, Lifetime, MemoryTier, MemoryTierOptions, RedisTier, RedisTierOptions, Tier,
    Tiered, TieredOptions,
};
use cardex::{Clock, Health, HealthState, RedisClient, Result, SystemClock};

use crate::redis_support::{SOON, options, soon};
use crate::stalls::Stalls;

/// What is promised is told in these.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
pub const BOUND: Duration = Duration::from_secs(3);

pub struct Node {
    pub cache: KvCache,
    pub memory: Arc<MemoryTier>,
    pub bus: Arc<InvalidationBus>,
    pub redis: RedisBus,
}

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// A node whose client gives up so soon that what a test asks of it takes far less than the bound.
pub fn node(url: &str) -> Node {
    let options = options(url).timeout(Duration::from_millis(300)).unwrap();
    let client = RedisClient::new(options, clock());
    let memory = Arc::new(MemoryTier::new(
        "memory",
        MemoryTierOptions::default(),
        clock(),
    ));
    let options = RedisTierOptions::new("bus-test").unwrap();
    let redis: Arc<dyn Tier> = Arc::new(RedisTier::new("redis", options, Arc::clone(&client)));
    let tiers: Vec<Arc<dyn Tier>> = vec![memory.clone(), redis];
    let tiered = Tiered::new("tiers", tiers, TieredOptions::default(), clock()).unwrap();
    let cache = KvCache::new("users", KvOptions::default(), tiered, clock());
    let bus = InvalidationBus::new(clock()).unwrap();
    let options = BusOptions::default().heartbeat(HEARTBEAT).unwrap();
    let redis = RedisBus::start(client, options, Arc::clone(&bus), clock()).unwrap();
    redis.share(&cache).unwrap();
    Node {
        cache,
        memory,
        bus,
        redis,
    }
}

impl Node {
    pub fn set(&self, key: &str, value: u32) {
        assert!(self.cache.set(key, &value, Lifetime::Default).unwrap());
    }

    pub fn get(&self, key: &str) -> Option<u32> {
        self.cache.get(key).unwrap()
    }

    /// Whether memory has it.
    pub fn has_copy(&self, key: &str) -> bool {
        self.memory.peek(&Key::new(key).unwrap()).unwrap().is_some()
    }

    /// Waits until it has heard itself, and is well, its cache too: what that is told is in the shared tier
    /// then, and not owed to it.
    #[track_caller]
    pub fn settle(&self) {
        let (begin, echoes) = (Instant::now(), self.redis.stats().echoes);
        loop {
            // A tier that is let alone is tried again when somebody asks.
            _ = self.get("probe");
            let (health, stats) = (
                [self.redis.health(), self.cache.health()],
                self.redis.stats(),
            );
            let is_well = |health: &Health| health.state == HealthState::Healthy;
            if health.iter().all(is_well) && stats.echoes > echoes {
                return;
            }
            let is_late = begin.elapsed() > SOON;
            assert!(!is_late, "the node is not well: {health:?}, {stats:?}");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Waits until nothing is in doubt because others began or were started.
    #[track_caller]
    pub fn knows(&self, nodes: usize) {
        soon("the others are known", || self.redis.stats().nodes == nodes);
        assert!(self.bus.settle(Duration::from_secs(5)));
    }

    /// Has a copy of the value in memory.
    #[track_caller]
    pub fn copies(&self, key: &str, value: u32) {
        soon("there is a copy", || {
            self.get(key) == Some(value) && self.has_copy(key)
        });
    }
}

/// How long it took until this held, on a machine that does nothing else; that is within the bound.
#[track_caller]
pub fn within_the_bound(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let (stalls, begin) = (Stalls::watch(), Instant::now());
    soon(what, &mut holds);
    let took = stalls.since(begin);
    println!("{what}: after {took:?}");
    assert!(took < BOUND, "{what}: after {took:?}");
    took
}

pub fn pattern(text: &str) -> KeyPattern {
    KeyPattern::new(text).unwrap()
}

/// A database with a file, and its handle, which nothing follows but the test.
pub fn database(directory: &Path) -> Result<cardex::Cardex> {
    cardex::Cardex::builder()
        .database(directory.join("test.db"))
        .follow(true)
        .open()
}
