//! `CachesSetup`: what the caches of a program are made of, as one value that can only be valid, and the
//! one place where that is opened. A file that somebody else has, or a server that is down, does not stop
//! a start: what is not there is told by the health.

use std::fmt;
#[cfg(feature = "sqlite")]
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::caches::Caches;
use super::tier_set::TierSet;
use super::types::CacheType;
#[cfg(feature = "redis")]
use crate::bus::BusOptions;
use crate::clock::Clock;
use crate::coordinator::CacheCoordinator;
use crate::error::Result;
#[cfg(feature = "sqlite")]
use crate::error::{Error, ErrorKind};
#[cfg(feature = "redis")]
use crate::redis::{RedisClient, RedisOptions};
use crate::tier::MemoryTierOptions;
#[cfg(feature = "redis")]
use crate::tier::RedisTierOptions;
#[cfg(feature = "sqlite")]
use crate::tier::{DiskFile, DiskFileOptions, DiskTierOptions};

/// What the caches of a program are made of. Nothing is opened yet.
#[derive(Clone)]
pub struct CachesSetup {
    is_enabled: bool,
    memory: Option<MemoryTierOptions>,
    #[cfg(feature = "sqlite")]
    disk: Option<(PathBuf, DiskFileOptions, DiskTierOptions)>,
    #[cfg(feature = "redis")]
    redis: Option<(RedisOptions, String, Duration)>,
    /// The time between heartbeats, and whether what others change is forgotten here.
    bus: Option<(Duration, bool)>,
    types: Vec<CacheType>,
}

impl Default for CachesSetup {
    /// Switched on, in memory alone, with the predefined types.
    fn default() -> Self {
        CachesSetup {
            is_enabled: true,
            memory: Some(MemoryTierOptions::default()),
            #[cfg(feature = "sqlite")]
            disk: None,
            #[cfg(feature = "redis")]
            redis: None,
            bus: None,
            types: Vec::new(),
        }
    }
}

impl CachesSetup {
    /// Whether the caches begin switched on.
    #[must_use]
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.is_enabled = enabled;
        self
    }

    /// The limits of each type in memory, where it says nothing itself; `None` for nothing in memory.
    #[must_use]
    pub fn memory(mut self, options: Option<MemoryTierOptions>) -> Self {
        self.memory = options;
        self
    }

    /// With a file, in which each type has a space.
    #[cfg(feature = "sqlite")]
    #[must_use]
    pub fn disk(
        mut self,
        path: impl Into<PathBuf>,
        file: DiskFileOptions,
        each: DiskTierOptions,
    ) -> Self {
        self.disk = Some((path.into(), file, each));
        self
    }

    /// Without a file.
    #[cfg(feature = "sqlite")]
    #[must_use]
    pub fn without_disk(mut self) -> Self {
        self.disk = None;
        self
    }

    /// With a Redis server: see [`TierSet::redis`].
    ///
    /// # Errors
    /// Those of [`TierSet::redis`].
    #[cfg(feature = "redis")]
    pub fn redis(
        mut self,
        options: RedisOptions,
        namespace: impl Into<String>,
        ttl: Duration,
    ) -> Result<Self> {
        let namespace = namespace.into();
        RedisTierOptions::new(&namespace)?.ttl(ttl)?;
        self.redis = Some((options, namespace, ttl));
        Ok(self)
    }

    /// With a bus among the processes that share the Redis server, and the namespace: what one of them changes
    /// in a cache, the others forget in their own tiers, in a moment, and within three heartbeats whatever
    /// is lost: see [`RedisBus`](crate::bus::RedisBus). The heartbeat is the same in all of them. Other
    /// programs publish patterns in `NAMESPACE:invalidate`.
    ///
    /// # Errors
    /// Those of [`BusOptions::heartbeat`].
    #[cfg(feature = "redis")]
    pub fn bus(mut self, heartbeat: Duration) -> Result<Self> {
        BusOptions::default().heartbeat(heartbeat)?;
        self.bus = Some((heartbeat, true));
        Ok(self)
    }

    /// For a program that changes something and ends: other processes are told of it, if there is a bus, and
    /// nothing is forgotten for what they change.
    #[must_use]
    pub fn telling_only(mut self) -> Self {
        if let Some((_, hears)) = &mut self.bus {
            *hears = false;
        }
        self
    }

    /// Without a bus among processes: for who only looks.
    #[must_use]
    pub fn without_bus(mut self) -> Self {
        self.bus = None;
        self
    }

    /// Whether there is to be a bus among processes.
    pub fn has_bus(&self) -> bool {
        self.bus.is_some() && self.redis_server().is_some()
    }

    /// With a type, or one that is predefined otherwise: see [`Caches::define`], which refuses some of
    /// them when the caches are opened.
    #[must_use]
    pub fn define(mut self, known: CacheType) -> Self {
        self.types.push(known);
        self
    }

    /// The types that were defined, in that order.
    pub fn types(&self) -> &[CacheType] {
        &self.types
    }

    /// Whether the caches begin switched on.
    pub fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// The file, if there is to be one.
    #[cfg(feature = "sqlite")]
    pub fn disk_path(&self) -> Option<&Path> {
        self.disk.as_ref().map(|(path, ..)| path.as_path())
    }

    /// The Redis server as it may be shown, without user and password, if there is to be one.
    pub fn redis_server(&self) -> Option<String> {
        #[cfg(feature = "redis")]
        return self.redis.as_ref().map(|(options, ..)| options.server());
        #[cfg(not(feature = "redis"))]
        None
    }

    /// A client of the Redis server, if there is to be one. Nothing is sent yet.
    #[cfg(feature = "redis")]
    pub fn redis_client(&self, clock: &Arc<dyn Clock>) -> Option<Arc<RedisClient>> {
        let (options, ..) = self.redis.as_ref()?;
        Some(RedisClient::new(options.clone(), Arc::clone(clock)))
    }

    /// Opens the file, if there is to be one.
    ///
    /// # Errors
    /// Those of [`DiskFile::open`]; one that another process has says what to do about it.
    #[cfg(feature = "sqlite")]
    pub fn open_disk(&self, clock: &Arc<dyn Clock>) -> Result<Option<Arc<DiskFile>>> {
        let Some((path, options, _)) = &self.disk else {
            return Ok(None);
        };
        let file = DiskFile::open(path, options.clone(), Arc::clone(clock));
        file.map(Some).map_err(|error| in_use(path, error))
    }

    /// Opens what there is, and defines the types; no cache is made yet. A file that cannot be used is
    /// left out, which [`Caches::health`] tells. The Redis server is first asked
    /// when a cache is made that lies there, if there is a bus, or when a value is asked for.
    ///
    /// # Errors
    /// Those of [`Caches::define`].
    pub fn open(
        &self,
        coordinator: Option<Arc<CacheCoordinator>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Caches> {
        #[cfg_attr(
            not(any(feature = "sqlite", feature = "redis")),
            expect(unused_mut, reason = "there is nothing to add")
        )]
        let mut tiers = match &self.memory {
            Some(memory) => TierSet::memory(memory.clone()),
            None => TierSet::default().without_memory(),
        };
        #[cfg(feature = "redis")]
        if let (Some(client), Some((_, namespace, ttl))) = (self.redis_client(&clock), &self.redis)
        {
            tiers = tiers.redis(client, namespace, *ttl)?;
        }
        #[cfg(feature = "sqlite")]
        if let Some((_, _, each)) = &self.disk {
            tiers = match self.open_disk(&clock) {
                Ok(Some(file)) => tiers.disk(file, each.clone()),
                Ok(None) => tiers,
                Err(error) => {
                    tracing::info!("the caches do without their file: {error:#}");
                    tiers.without_disk(error)
                }
            };
        }
        let caches = Caches::new(tiers, coordinator, clock);
        #[cfg(feature = "redis")]
        let caches = match (&self.redis, self.bus) {
            (Some((_, namespace, _)), Some((heartbeat, hears))) => {
                let options = BusOptions::default().heartbeat(heartbeat)?;
                caches.among_others(options.prefix(namespace)?, hears)
            }
            _ => caches,
        };
        for known in &self.types {
            caches.define(known.clone())?;
        }
        caches.set_enabled(self.is_enabled)?;
        Ok(caches)
    }
}

/// Says what to do about a file that another process has.
#[cfg(feature = "sqlite")]
fn in_use(path: &Path, error: Error) -> Error {
    if error.kind() != ErrorKind::DatabaseBusy {
        return error;
    }
    let message = format!("the cache file {} is in use", path.display());
    Error::new(ErrorKind::DatabaseBusy, message)
        .with_help("one process has it at a time: ask that one, a server perhaps, or stop it")
}

/// Without the secrets of the server's address.
impl fmt::Debug for CachesSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachesSetup")
            .field("is_enabled", &self.is_enabled)
            .field("memory", &self.memory)
            .field("redis", &self.redis_server())
            .field("types", &self.types)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::health::HealthState;
    use crate::kv::Backend;
    use crate::tier::Lifetime;

    fn clock() -> Arc<dyn Clock> {
        Arc::new(SystemClock)
    }

    fn over(path: &Path) -> CachesSetup {
        let (file, each) = (DiskFileOptions::default(), DiskTierOptions::default());
        CachesSetup::default().disk(path, file, each)
    }

    #[test]
    fn a_file_that_somebody_else_has_is_done_without_and_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("derived.db");
        let disk = CacheType::new("pages").unwrap().backend(Backend::Disk);
        let setup = over(&path).define(disk);
        let first = setup.open(None, clock()).unwrap();
        let second = setup.open(None, clock()).unwrap();
        assert_eq!(first.health().state, HealthState::Healthy);
        let health = second.health();
        assert_eq!(health.state, HealthState::Degraded);
        assert_eq!(health.reasons[0].code, "database-busy");
        let general = second.get("general").unwrap();
        assert!(general.set("k", &1, Lifetime::Default).unwrap());
        assert_eq!(general.get::<u32>("k").unwrap(), Some(1));
        let error = second.get("pages").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DatabaseBusy);
        assert!(second.absent_tier("general").unwrap().is_some());
        assert!(second.absent_tier("lru_memory").unwrap().is_none());
        assert_eq!(first.get("general").unwrap().get::<u32>("k").unwrap(), None);
    }

    #[test]
    fn what_is_in_the_file_is_there_for_the_next_one_and_nothing_is_in_memory_without_memory() {
        let directory = tempfile::tempdir().unwrap();
        let setup = over(&directory.path().join("derived.db"));
        let caches = setup.open(None, clock()).unwrap();
        let general = caches.get("general").unwrap();
        assert!(general.set("k", &[1, 2], Lifetime::Default).unwrap());
        drop((general, caches));
        let caches = setup.memory(None).open(None, clock()).unwrap();
        let general = caches.get("general").unwrap();
        assert_eq!(general.get::<Vec<u32>>("k").unwrap(), Some(vec![1, 2]));
        let error = caches.get("lru_memory").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }

    #[test]
    fn caches_that_begin_switched_off_keep_nothing() {
        let caches = CachesSetup::default().enabled(false);
        let caches = caches.open(None, clock()).unwrap();
        let general = caches.get("general").unwrap();
        assert!(!general.set("k", &1, Lifetime::Default).unwrap());
        assert_eq!(general.get::<u32>("k").unwrap(), None);
        caches.set_enabled(true).unwrap();
        assert!(general.set("k", &1, Lifetime::Default).unwrap());
    }

    #[test]
    fn requests_are_judged_and_reported() {
        let caches = CachesSetup::default().open(None, clock()).unwrap();
        let general = caches.get("general").unwrap();
        assert!(general.set("k", &1, Lifetime::Default).unwrap());
        for n in 0..200 {
            let key = if n % 4 == 0 { "k" } else { "absent" };
            general.get::<u32>(key).unwrap();
        }
        let report = caches.report();
        assert_eq!(report.caches[0].name, "general");
        assert_eq!(report.caches[0].requests, 200);
        assert_eq!(report.caches[0].measures[0].value, Some(25.0));
        assert_eq!(report.caches[0].measures[0].holds, Some(false));
        assert!(!report.caches[0].recommendations.is_empty());
        assert_eq!(caches.health().state, HealthState::Degraded);
    }
}
