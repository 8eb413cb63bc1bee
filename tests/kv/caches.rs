//! Types of caches: each made once, over its share of the tiers, apart from all others.

use std::sync::Arc;

use cardex::kv::{Backend, CacheType, Caches, Consistency, KvOptions, TierSet, Ttl};
use cardex::tier::{Key, Lifetime, MemoryTierOptions};
use cardex::{CacheCoordinator, CoordinatorOptions, ErrorKind, HealthState, ManualClock};

use crate::support::{NEVER, pattern, seconds};

fn caches() -> Caches {
    let tiers = TierSet::memory(MemoryTierOptions::default());
    Caches::new(tiers, None, Arc::new(ManualClock::new()))
}

fn coordinated() -> (Caches, Arc<CacheCoordinator>) {
    let coordinator = Arc::new(CacheCoordinator::new(CoordinatorOptions::default()));
    let tiers = TierSet::memory(MemoryTierOptions::default());
    let caches = Caches::new(
        tiers,
        Some(coordinator.clone()),
        Arc::new(ManualClock::new()),
    );
    (caches, coordinator)
}

fn own(name: &str) -> CacheType {
    CacheType::new(name).unwrap()
}

#[test]
fn the_same_type_twice_is_the_same_instance() {
    let caches = caches();
    for (name, other) in [
        ("session", "chat_history"),
        ("general", "advanced"),
        ("tool", "tool"),
    ] {
        caches.get(name).unwrap().set("k", name, NEVER).unwrap();
        let found = caches.get(other).unwrap().get::<String>("k").unwrap();
        assert_eq!(found.as_deref(), Some(name));
    }
    assert_eq!(caches.list().len(), 3);
}

#[test]
fn a_type_that_many_ask_for_at_once_is_made_once() {
    let (caches, coordinator) = coordinated();
    std::thread::scope(|scope| {
        for n in 0..16 {
            let caches = &caches;
            scope.spawn(move || {
                let cache = caches.get("ast").unwrap();
                cache.set(format!("k{n}"), &n, NEVER).unwrap();
            });
        }
    });
    assert_eq!(
        caches
            .get("ast")
            .unwrap()
            .keys(&pattern("*"))
            .unwrap()
            .len(),
        16
    );
    assert_eq!(coordinator.list(), ["ast"], "enrolled exactly once");
}

#[test]
fn types_are_isolated() {
    let caches = caches();
    for known in caches.types() {
        let cache = caches.get(known.name()).unwrap();
        assert!(cache.set("k", known.name(), NEVER).unwrap());
    }
    caches.get("tool").unwrap().clear().unwrap();
    for cache in caches.list() {
        let found = cache.get::<String>("k").unwrap();
        let expected = (cache.name() != "tool").then(|| cache.name().to_owned());
        assert_eq!(found, expected);
    }
}

#[test]
fn a_predefined_type_has_its_limits_and_its_lifetime() {
    let caches = caches();
    for (name, items, ttl) in [
        ("llm_response", 100, 300),
        ("model_registry", 500, 1800),
        ("computed", 1000, 7200),
    ] {
        let cache = caches.get(name).unwrap();
        cache.set("k", &1, Lifetime::Default).unwrap();
        assert_eq!(
            cache.ttl("k").unwrap(),
            Some(Ttl::For(seconds(ttl))),
            "{name}"
        );
        assert_eq!(cardex::Cache::usage(&cache).capacity, Some(items), "{name}");
    }
}

#[test]
fn types_are_defined_before_their_caches_and_with_a_prefix_of_their_own() {
    let caches = caches();
    let options = KvOptions::default().ttl(seconds(5)).unwrap();
    caches
        .define(own("mine").options(options.clone()).max_items(2).unwrap())
        .unwrap();
    caches.define(own("session").options(options)).unwrap();
    for name in ["mine", "session"] {
        let cache = caches.get(name).unwrap();
        cache.set("k", &1, Lifetime::Default).unwrap();
        assert_eq!(cache.ttl("k").unwrap(), Some(Ttl::For(seconds(5))));
        let late = caches.define(own(name)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::InvalidConfig);
    }
    for taken in ["general", "mine"] {
        assert!(caches.define(own("other").prefix(taken).unwrap()).is_err());
    }
    for alias in ["advanced", "chat_history", "weak_cache"] {
        assert!(caches.define(own(alias)).is_err());
    }
    caches.define(own("other").prefix("o").unwrap()).unwrap();
    let unknown = caches.get("sesion").unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    assert_eq!(unknown.help(), Some("did you mean `session`?"));
}

#[test]
fn a_backend_that_there_is_not_is_refused() {
    let caches = caches();
    for backend in [Backend::Disk, Backend::Redis, Backend::Tiered] {
        let name = backend.name();
        caches.define(own(name).backend(backend)).unwrap();
        let error = caches.get(name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{name}: {error}");
    }
    caches
        .define(own("mine").consistency(Consistency::Strong))
        .unwrap();
    assert!(caches.get("mine").is_ok(), "nobody shares memory");
}

#[test]
fn all_are_enrolled_while_they_live_and_a_taken_name_is_an_error() {
    let (caches, coordinator) = coordinated();
    caches.get("tool").unwrap();
    caches.get("session").unwrap();
    caches.get("chat_history").unwrap();
    caches.weak().unwrap();
    caches.weak().unwrap();
    let off = own("off").options(KvOptions::default().enabled(false));
    caches.define(off).unwrap();
    assert!(!caches.get("off").unwrap().set("k", &1, NEVER).unwrap());
    assert_eq!(coordinator.list(), ["tool", "session", "weak_cache"]);

    let clock = Arc::new(ManualClock::new());
    let others = Caches::new(TierSet::default(), Some(coordinator.clone()), clock);
    assert_eq!(
        others.get("tool").unwrap_err().kind(),
        ErrorKind::Coordinator
    );
    assert_eq!(others.weak().unwrap_err().kind(), ErrorKind::Coordinator);
    drop(others);
    assert_eq!(coordinator.list().len(), 3, "they were not its own");
    drop(caches);
    assert!(coordinator.list().is_empty());
}

#[test]
fn what_the_coordinator_takes_leaves_the_cache() {
    let (caches, coordinator) = coordinated();
    let cache = caches.get("tool").unwrap();
    for n in 0..10 {
        cache.set(format!("k{n}"), &n, NEVER).unwrap();
    }
    assert_eq!(coordinator.evict().unwrap().evicted(), 2);
    assert_eq!(cache.stats().unwrap().total_entries, 8);
    coordinator.clear("tool").unwrap();
    assert_eq!(cache.stats().unwrap().total_entries, 0);
}

#[test]
fn the_overall_hit_rate_is_hits_of_all_by_requests_of_all_and_health_is_the_worst() {
    let caches = caches();
    assert_eq!(caches.health().state, HealthState::Healthy, "no caches");
    assert_eq!(caches.stats().hit_rate, 0.0);
    let (one, other) = (caches.get("tool").unwrap(), caches.get("ast").unwrap());
    one.set("k", &1, NEVER).unwrap();
    for _ in 0..9 {
        one.get::<u32>("k").unwrap();
    }
    other.get::<u32>("k").unwrap();
    let stats = caches.stats();
    assert_eq!((stats.hits, stats.misses, stats.hit_rate), (9, 1, 0.9));
    assert_eq!((stats.total_entries, stats.caches.len()), (1, 2));
    other.set_enabled(false).unwrap();
    assert_eq!(caches.health().state, HealthState::Healthy);
    assert_eq!(other.health().state, HealthState::Disabled);
}

#[test]
fn all_are_switched_off_together_and_on_again_but_for_those_that_are_off_themselves() {
    let caches = caches();
    let (one, other) = (caches.get("tool").unwrap(), caches.get("ast").unwrap());
    one.set("k", &1, NEVER).unwrap();
    other.set_enabled(false).unwrap();
    caches.set_enabled(false).unwrap();
    assert!(!one.set("k", &2, NEVER).unwrap());
    assert_eq!(one.get::<u32>("k").unwrap(), None);
    let late = caches.get("session").unwrap();
    assert!(!late.is_enabled());
    assert!(
        caches
            .stats()
            .caches
            .values()
            .all(|stats| !stats.as_ref().unwrap().is_enabled)
    );
    caches.set_enabled(true).unwrap();
    assert!(one.is_enabled() && late.is_enabled() && !other.is_enabled());
    assert_eq!(one.get::<u32>("k").unwrap(), None, "it was to change");
}

#[test]
fn weak_values_are_found_as_long_as_somebody_has_them() {
    let caches = caches();
    let weak = caches.weak().unwrap();
    let key = Key::new("k").unwrap();
    let value = Arc::new(String::from("owned elsewhere"));
    weak.put_any(&key, &value);
    assert_eq!(weak.get_as::<String>(&key).as_deref(), Some(&*value));
    assert!(weak.get_as::<u32>(&key).is_none(), "of another type");
    drop(value);
    assert!(weak.get_as::<String>(&key).is_none());
}

#[cfg(feature = "sqlite")]
mod on_disk {
    use cardex::tier::{DiskFile, DiskFileOptions, DiskTierOptions, KeyPattern};

    use super::*;

    struct Home {
        folder: tempfile::TempDir,
        clock: Arc<ManualClock>,
    }

    impl Home {
        fn new() -> Self {
            Home {
                folder: tempfile::tempdir().unwrap(),
                clock: Arc::new(ManualClock::new()),
            }
        }

        fn caches(&self) -> Caches {
            let path = self.folder.path().join("derived.db");
            let file = DiskFile::open(path, DiskFileOptions::default(), self.clock.clone());
            let tiers = TierSet::memory(MemoryTierOptions::default());
            let tiers = tiers.disk(file.unwrap(), DiskTierOptions::default());
            let tiers = tiers.ledgers(self.folder.path());
            Caches::new(tiers, None, self.clock.clone())
        }
    }

    #[test]
    fn auto_is_every_tier_that_there_is_and_survives_a_restart() {
        let home = Home::new();
        let caches = home.caches();
        for name in ["tool", "ast"] {
            caches.get(name).unwrap().set("k", name, NEVER).unwrap();
            assert!(home.folder.path().join(format!("{name}.owed")).exists());
        }
        let memory = caches.get("lru_memory").unwrap();
        memory.set("k", &1, NEVER).unwrap();
        drop((caches, memory));
        let caches = home.caches();
        for name in ["tool", "ast"] {
            let cache = caches.get(name).unwrap();
            assert_eq!(cache.get::<String>("k").unwrap().as_deref(), Some(name));
            assert_eq!(cache.keys(&KeyPattern::new("*").unwrap()).unwrap().len(), 1);
        }
        assert_eq!(
            caches.get("lru_memory").unwrap().get::<u32>("k").unwrap(),
            None
        );
    }

    #[test]
    fn tiers_are_of_the_backend_that_was_chosen() {
        let home = Home::new();
        let caches = home.caches();
        for (name, backend) in [
            ("a", Backend::Disk),
            ("b", Backend::Tiered),
            ("c", Backend::Memory),
        ] {
            caches
                .define(own(name).backend(backend).max_items(50).unwrap())
                .unwrap();
            let cache = caches.get(name).unwrap();
            for n in 0..100 {
                cache.set(format!("k{n}"), &n, NEVER).unwrap();
            }
            let found = (0..100)
                .filter(|n| cache.exists(format!("k{n}")).unwrap())
                .count();
            let expected = if backend == Backend::Memory { 50 } else { 100 };
            assert_eq!(found, expected, "{backend}");
        }
    }

    #[test]
    fn a_cache_that_outlives_its_makers_goes_on() {
        let home = Home::new();
        let cache = home.caches().get("tool").unwrap();
        cache.set("k", &1, NEVER).unwrap();
        assert_eq!(cache.get::<u32>("k").unwrap(), Some(1));
    }
}
