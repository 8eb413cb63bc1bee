//! A cache over a Redis server under memory and a file: while the server is away, what is loaded is kept in
//! memory and in the file, and what another process changed is seen in time when it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cardex::bus::{BusOptions, InvalidationBus, KeyedCache, RedisBus};
use cardex::kv::{KvCache, KvOptions};
#[cfg(feature = "sqlite")]
use cardex::tier::{DiskTier, DiskTierOptions};
use cardex::tier::{
    KeyPattern, Lifetime, MemoryTier, MemoryTierOptions, Tier, Tiered, TieredOptions,
};
use cardex::{Clock, HealthState, SystemClock};

use crate::redis_support::proxy::{Proxy, Way};
use crate::redis_support::{Server, hasty_client, soon, tier};
use crate::verbs::ms;

const HEARTBEAT: Duration = Duration::from_millis(500);
/// Three heartbeats, and a second for a busy machine.
const BOUND: Duration = Duration::from_millis(1500 + 1000);

/// A process with its own memory and file, perhaps on a bus.
struct Process {
    cache: KvCache,
    loads: AtomicUsize,
    bus: Option<(RedisBus, Arc<InvalidationBus>)>,
    _home: tempfile::TempDir,
}

fn process(url: &str) -> Process {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let home = tempfile::tempdir().unwrap();
    let memory = MemoryTier::new("memory", MemoryTierOptions::default(), clock.clone());
    let redis = tier(hasty_client(url));
    let tiers: Vec<Arc<dyn Tier>> = vec![
        Arc::new(memory),
        #[cfg(feature = "sqlite")]
        Arc::new(in_a_file(home.path(), &clock)),
        Arc::new(redis),
    ];
    let options = TieredOptions::default()
        .repair_interval(Some(ms(20)))
        .probe_interval(ms(20));
    let tiers = Tiered::new("tiers", tiers, options, clock.clone()).unwrap();
    Process {
        cache: KvCache::new("cache", KvOptions::default(), tiers, clock),
        loads: AtomicUsize::new(0),
        bus: None,
        _home: home,
    }
}

#[cfg(feature = "sqlite")]
fn in_a_file(home: &std::path::Path, clock: &Arc<dyn Clock>) -> DiskTier {
    let (file, options) = (home.join("tier.db"), DiskTierOptions::default());
    DiskTier::open("disk", file, options, clock.clone()).unwrap()
}

/// The same on a bus.
fn node(url: &str) -> Process {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let process = process(url);
    let bus = InvalidationBus::new(clock.clone()).unwrap();
    let options = BusOptions::default().heartbeat(HEARTBEAT).unwrap();
    let redis = RedisBus::start(hasty_client(url), options, bus.clone(), clock).unwrap();
    redis.share(&process.cache).unwrap();
    Process {
        bus: Some((redis, bus)),
        ..process
    }
}

impl Process {
    fn load(&self, key: &str, value: u32) -> u32 {
        let load = || {
            self.loads.fetch_add(1, Ordering::SeqCst);
            Ok(value)
        };
        let made = self.cache.get_or_load(key, Lifetime::Default, load);
        made.unwrap()
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    fn set(&self, key: &str, value: u32) {
        assert!(self.cache.set(key, &value, Lifetime::Default).unwrap());
    }

    fn get(&self, key: &str) -> Option<u32> {
        self.cache.get(key).unwrap()
    }

    /// Waits until the server is asked again, and the bus is well, if there is one.
    fn is_well_again(&self) {
        soon("all is well", || {
            _ = self.get("unheard-of");
            let bus = self.bus.as_ref();
            let bus = bus.is_none_or(|(redis, _)| redis.health().state == HealthState::Healthy);
            bus && self.cache.health().state == HealthState::Healthy
        });
    }
}

#[test]
fn with_the_server_killed_a_hundred_gets_make_one_load() {
    let mut server = Server::start();
    let process = process(&server.url());
    assert_eq!(process.load("before", 1), 1);
    server.kill();
    for n in 0..100 {
        assert_eq!(process.load("k", n), 0);
        assert_eq!(process.load("before", n), 1);
    }
    let keys = ["a", "b", "c"];
    for _ in 0..10 {
        let values = process
            .cache
            .get_many_or_load(&keys, Lifetime::Default, |keys| {
                process.loads.fetch_add(keys.len(), Ordering::SeqCst);
                Ok(keys.iter().map(|key| (key.clone(), 7_u32)).collect())
            });
        assert!(values.into_iter().all(|one| one.unwrap() == Some(7)));
    }
    assert_eq!(process.loads(), 5);
    assert_eq!(process.cache.health().state, HealthState::Degraded);
    server.restart();
    process.is_well_again();
    // It is a load like any other now.
    assert_eq!(process.load("l", 2), 2);
    let other = self::process(&server.url());
    assert_eq!((other.get("l"), other.get("k")), (Some(2), None));
    assert_eq!(process.get("k"), Some(0));
}

#[test]
fn a_server_that_goes_away_during_the_load_does_not_take_the_value_with_it() {
    let mut server = Server::start();
    let process = process(&server.url());
    let made = process.cache.get_or_load("k", Lifetime::Default, || {
        server.kill();
        Ok(1)
    });
    assert_eq!(made.unwrap(), 1);
    assert_eq!(process.load("k", 2), 1);
    assert_eq!(process.loads(), 0);
}

/// It has no room, or no connection is free: it is not away, and what others put there is not hidden.
#[test]
fn a_server_that_is_well_and_refuses_is_not_away() {
    let server = Server::start_with(&["--maxmemory-policy", "noeviction"]);
    let (process, other) = (self::process(&server.url()), self::process(&server.url()));
    let room = |most: &str| server.ask::<()>(&["CONFIG", "SET", "maxmemory", most]);
    assert_eq!(process.load("before", 1), 1);
    room("1");
    for n in 0..3 {
        assert_eq!(process.load("k", n), n, "not kept");
    }
    assert_eq!(process.get("k"), None);
    room("0");
    other.set("k", 7);
    // It may have been let alone for a moment.
    soon("it is seen", || process.get("k") == Some(7));
    drop(server);
    soon("it is found to be away", || {
        process.load("l", 1);
        process.get("l").is_some()
    });
}

#[test]
fn a_delete_and_a_word_of_others_during_the_load_void_it() {
    let mut server = Server::start();
    let process = process(&server.url());
    server.kill();
    let cache = &process.cache;
    let is_kept_beside = |happens: &dyn Fn()| {
        let made = cache.get_or_load("k", Lifetime::Default, || {
            happens();
            Ok(1)
        });
        assert_eq!(made.unwrap(), 1);
        process.get("k").is_some()
    };
    assert!(!is_kept_beside(&|| drop(cache.delete("k"))));
    let word = KeyPattern::new("k*").unwrap();
    assert!(!is_kept_beside(&|| {
        KeyedCache::forget_copies(cache, &word).unwrap();
    }));
    assert!(!is_kept_beside(&|| {
        KeyedCache::revalidate(cache).unwrap();
    }));
    assert!(is_kept_beside(&|| ()));
}

/// One process is cut off, and another one, which is not, changes what both have.
#[test]
fn on_a_bus_what_another_process_changes_is_seen_in_three_heartbeats() {
    let server = Server::start();
    let proxy = Proxy::to(&server.socket());
    let (cut_off, other) = (node(&proxy.url()), node(&server.url()));
    let known = |node: &Process| {
        node.bus
            .as_ref()
            .is_some_and(|(bus, _)| bus.stats().nodes == 1)
    };
    soon("they know each other", || known(&cut_off) && known(&other));
    for key in ["changed", "deleted"] {
        other.set(key, 1);
    }
    proxy.make(Way::Closed);
    let (began, before) = (Instant::now(), cut_off.loads());
    // The source says so; both copies are there soon, and leave in time.
    let mut asked = 0;
    while began.elapsed() < 4 * HEARTBEAT {
        assert_eq!(cut_off.load("changed", 1), 1);
        asked += 1;
    }
    let loads = cut_off.loads() - before;
    println!("{asked} gets in four heartbeats made {loads} loads");
    assert!(loads <= 5 && asked > 100, "{loads} loads of {asked}");
    other.set("changed", 2);
    assert!(other.cache.delete("deleted").unwrap());
    let changed = Instant::now();
    soon("it is seen", || cut_off.load("changed", 2) == 2);
    println!("cut off: seen after {:?}", changed.elapsed());
    assert!(changed.elapsed() < BOUND, "{:?}", changed.elapsed());
    // And when the way is clear again; the copy may have to be loaded anew in between, from what is true.
    assert_eq!(cut_off.load("changed", 2), 2);
    proxy.make(Way::Clear);
    other.set("changed", 4);
    let changed = Instant::now();
    soon("it is seen", || cut_off.get("changed") == Some(4));
    println!("back: seen after {:?}", changed.elapsed());
    cut_off.is_well_again();
    assert_eq!(cut_off.get("deleted"), None);
    other.cache.delete("changed").unwrap();
    soon("it is gone at once", || cut_off.get("changed").is_none());
}
