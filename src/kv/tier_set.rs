//! The tiers of a program, of which each type of cache takes its share: memory, perhaps a file, perhaps a
//! Redis server.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::types::{Backend, CacheType, Consistency};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "redis")]
use crate::redis::RedisClient;
#[cfg(feature = "sqlite")]
use crate::tier::{DiskFile, DiskTier, DiskTierOptions};
use crate::tier::{MemoryTier, MemoryTierOptions, Tier, Tiered, TieredOptions};
#[cfg(feature = "redis")]
use crate::tier::{RedisTier, RedisTierOptions};

/// The tiers that there are. What is not set is not there; there is memory unless it is left out.
#[derive(Clone, Default)]
pub struct TierSet {
    memory: MemoryTierOptions,
    is_without_memory: bool,
    tiered: TieredOptions,
    /// Where it is written what the tiers of a type have missed.
    ledgers: Option<PathBuf>,
    /// Why there is no file, although there should be one.
    absent: Option<Error>,
    #[cfg(feature = "sqlite")]
    disk: Option<(Arc<DiskFile>, DiskTierOptions)>,
    #[cfg(feature = "redis")]
    redis: Option<(Arc<RedisClient>, String, std::time::Duration)>,
}

impl TierSet {
    /// Memory alone: these limits are each type's, where it says nothing itself, and this lifetime is the
    /// longest in memory in front of other tiers.
    pub fn memory(options: MemoryTierOptions) -> Self {
        TierSet {
            memory: options,
            ..TierSet::default()
        }
    }

    /// The same without memory: for who only looks after what outlives him.
    #[must_use]
    pub fn without_memory(mut self) -> Self {
        self.is_without_memory = true;
        self
    }

    /// The same without the file that there should be, and why: a type that has another tier does with
    /// that, and whoever wants the file alone gets this error.
    #[must_use]
    pub fn without_disk(mut self, why: Error) -> Self {
        self.absent = Some(why);
        self
    }

    /// How the tiers of a type work together: all but the ledger, for which see [`TierSet::ledgers`].
    #[must_use]
    pub fn tiered(mut self, options: TieredOptions) -> Self {
        self.tiered = options;
        self
    }

    /// The folder in which it is written what the tiers of each type have missed, in a file for each
    /// that is named after its prefix: the next process begins with it.
    #[must_use]
    pub fn ledgers(mut self, folder: impl Into<PathBuf>) -> Self {
        self.ledgers = Some(folder.into());
        self
    }

    /// The same with a file, in which each type has a space of its own.
    #[cfg(feature = "sqlite")]
    #[must_use]
    pub fn disk(mut self, file: Arc<DiskFile>, options: DiskTierOptions) -> Self {
        self.disk = Some((file, options));
        self
    }

    /// The same with a Redis server, on which `namespace` sets apart what belongs together: a program,
    /// or a project. Values live there for `ttl` at most if they are given no lifetime.
    ///
    /// # Errors
    /// Those of [`RedisTierOptions::new`] and [`RedisTierOptions::ttl`].
    #[cfg(feature = "redis")]
    pub fn redis(
        mut self,
        client: Arc<RedisClient>,
        namespace: &str,
        ttl: std::time::Duration,
    ) -> Result<Self> {
        RedisTierOptions::new(namespace)?.ttl(ttl)?;
        self.redis = Some((client, namespace.to_owned(), ttl));
        Ok(self)
    }

    /// The tier of a type: one, or several above each other.
    ///
    /// # Errors
    /// `InvalidConfig` if its backend is none that there is; whatever keeps the file from being used.
    pub(super) fn tier_of(
        &self,
        known: &CacheType,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<dyn Tier>> {
        let behind = self.behind(known)?;
        let takes_memory = match known.its_backend() {
            _ if self.is_without_memory => false,
            Backend::Memory => true,
            Backend::Auto | Backend::Tiered => !is_strict(known, &behind),
            Backend::Disk | Backend::Redis => false,
        };
        let mut tiers = behind;
        if takes_memory {
            let options = known.memory(&self.memory, !tiers.is_empty())?;
            let name = format!("{} in memory", known.name());
            let memory = MemoryTier::new(name, options, Arc::clone(clock));
            tiers.insert(0, Arc::new(memory));
        }
        match (known.its_backend(), tiers.len()) {
            (Backend::Tiered, 1) if !self.is_without_memory && !is_strict(known, &tiers) => {
                Err(self.lacks(known).unwrap_or_else(|| missing(known)))
            }
            (_, 0) => Err(self.lacks(known).unwrap_or_else(|| missing(known))),
            (_, 1) => Ok(tiers.remove(0)),
            _ => {
                let options = self.tiered_of(known, &tiers);
                let clock = Arc::clone(clock);
                Ok(Tiered::new(known.name(), tiers, options, clock)?)
            }
        }
    }

    /// Why the type lacks the file, if it would take it.
    pub(super) fn lacks(&self, known: &CacheType) -> Option<Error> {
        let takes_redis = matches!(
            known.its_backend(),
            Backend::Auto | Backend::Tiered | Backend::Redis
        );
        let is_strict = known.its_consistency() == Consistency::Strong;
        let takes_disk = match known.its_backend() {
            Backend::Memory | Backend::Redis => false,
            Backend::Disk => true,
            Backend::Auto | Backend::Tiered => !(is_strict && takes_redis && self.has_redis()),
        };
        self.absent.clone().filter(|_| takes_disk)
    }

    /// Why there is no file, although there should be one.
    pub(super) fn absent(&self) -> Option<&Error> {
        self.absent.as_ref()
    }

    /// The file, if there is one.
    #[cfg(feature = "sqlite")]
    pub fn disk_file(&self) -> Option<&Arc<DiskFile>> {
        self.disk.as_ref().map(|(file, _)| file)
    }

    /// The client of the Redis server, if there is one.
    #[cfg(feature = "redis")]
    pub fn redis_client(&self) -> Option<&Arc<RedisClient>> {
        self.redis.as_ref().map(|(client, ..)| client)
    }

    #[cfg(feature = "redis")]
    fn has_redis(&self) -> bool {
        self.redis.is_some()
    }

    #[cfg(not(feature = "redis"))]
    fn has_redis(&self) -> bool {
        false
    }

    /// How its tiers work together. What a shared one is owed outlives the process beside the file, which
    /// is this process' own, unless a place was given for it.
    #[cfg(feature = "sqlite")]
    fn tiered_of(&self, known: &CacheType, tiers: &[Arc<dyn Tier>]) -> TieredOptions {
        let options = self.tiered.clone();
        if let Some(folder) = &self.ledgers {
            return options.ledger(folder.join(format!("{}.owed", known.its_prefix())));
        }
        match &self.disk {
            Some((file, _)) if tiers.iter().any(|tier| tier.is_shared()) => {
                let suffix = format!(".{}.owed", known.its_prefix());
                options.ledger(crate::store::beside(file.path(), &suffix))
            }
            _ => options,
        }
    }

    #[cfg(not(feature = "sqlite"))]
    fn tiered_of(&self, known: &CacheType, _: &[Arc<dyn Tier>]) -> TieredOptions {
        let options = self.tiered.clone();
        match &self.ledgers {
            Some(folder) => options.ledger(folder.join(format!("{}.owed", known.its_prefix()))),
            None => options,
        }
    }

    /// Its tiers behind memory, the fastest first. Where it is to be strong, the shared one alone.
    fn behind(&self, known: &CacheType) -> Result<Vec<Arc<dyn Tier>>> {
        let backend = known.its_backend();
        let takes = |own: Backend| [own, Backend::Auto, Backend::Tiered].contains(&backend);
        let mut tiers: Vec<Arc<dyn Tier>> = Vec::new();
        if takes(Backend::Redis) {
            tiers.extend(self.redis_of(known)?);
        }
        if takes(Backend::Disk) && !is_strict(known, &tiers) {
            tiers.splice(0..0, self.disk_of(known)?);
        }
        Ok(tiers)
    }

    #[cfg(feature = "sqlite")]
    fn disk_of(&self, known: &CacheType) -> Result<Option<Arc<dyn Tier>>> {
        let Some((file, options)) = &self.disk else {
            return Ok(None);
        };
        let tier = DiskTier::over(file, known.its_prefix(), options.clone())?;
        Ok(Some(Arc::new(tier)))
    }

    #[cfg(not(feature = "sqlite"))]
    fn disk_of(&self, _: &CacheType) -> Result<Option<Arc<dyn Tier>>> {
        Ok(None)
    }

    #[cfg(feature = "redis")]
    fn redis_of(&self, known: &CacheType) -> Result<Option<Arc<dyn Tier>>> {
        let Some((client, namespace, ttl)) = &self.redis else {
            return Ok(None);
        };
        let namespace = format!("{namespace}.{}", known.its_prefix());
        let options = RedisTierOptions::new(&namespace)?.ttl(*ttl)?;
        let options = options.schema(known.its_options().schema);
        let name = format!("{} in Redis", known.name());
        let tier = RedisTier::new(name, options, Arc::clone(client));
        Ok(Some(Arc::new(tier)))
    }

    #[cfg(not(feature = "redis"))]
    fn redis_of(&self, _: &CacheType) -> Result<Option<Arc<dyn Tier>>> {
        Ok(None)
    }
}

/// Whether the type answers from the shared tier alone.
fn is_strict(known: &CacheType, tiers: &[Arc<dyn Tier>]) -> bool {
    known.its_consistency() == Consistency::Strong && tiers.iter().any(|tier| tier.is_shared())
}

fn missing(known: &CacheType) -> Error {
    let (name, backend) = (known.name(), known.its_backend());
    let message = format!("the type of cache `{name}` lacks what the backend {backend} takes");
    Error::new(ErrorKind::InvalidConfig, message)
        .with_help("switch the tier on, or choose the backend auto")
}

impl fmt::Debug for TierSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TierSet")
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}
