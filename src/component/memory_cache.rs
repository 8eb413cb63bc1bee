//! `MemoryCacheComponent`: the cache of a host's metadata. It is a [`MetadataCache`] with a life: its
//! verbs are those of the cache while it runs, and typed errors otherwise.

use std::sync::Arc;

use super::running::Running;
use super::{Component, ConfigManagerComponent, DatabaseComponent, InitializationContext};
use crate::cache::Scope;
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::index::Snapshot;
use crate::metadata::{FileMetadata, FilePath};
use crate::metadata_cache::{CacheStats, Fetch, MetadataCache, Page, Record};
use crate::position::Position;
use crate::query::{Answer, Query};
use crate::store::Removal;
use crate::sync::{SyncMode, SyncReport};

/// The indexed cache of a host's metadata.
///
/// Every verb is an error of the kind `NotInitialized` before the component is initialized and after
/// it is shut down; beside that it does what the verb of the same name of [`MetadataCache`] does. A
/// verb in progress during a shutdown may still succeed.
#[derive(Debug)]
pub struct MemoryCacheComponent {
    clock: Arc<dyn Clock>,
    running: Running<MetadataCache>,
}

impl Default for MemoryCacheComponent {
    fn default() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }
}

impl MemoryCacheComponent {
    /// The name under which it is registered.
    pub const NAME: &str = "memory_cache";

    /// What it is registered to depend on.
    pub const DEPENDENCIES: &[&str] = &[ConfigManagerComponent::NAME, DatabaseComponent::NAME];

    /// A cache that is loaded when the host starts.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, reading the time from this clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        MemoryCacheComponent {
            clock,
            running: Running::new(Self::NAME),
        }
    }

    /// As [`MetadataCache::get`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there.
    pub fn get(&self, path: &FilePath) -> Result<Option<Record>> {
        self.running.with(|cache| cache.get(path))
    }

    /// As [`MetadataCache::get_many`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there.
    pub fn get_many(&self, paths: &[FilePath]) -> Result<Vec<Option<Record>>> {
        self.running.with(|cache| cache.get_many(paths))
    }

    /// As [`MetadataCache::query`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there: `NotLoaded` if the cache started degraded and no
    /// synchronisation has succeeded yet.
    pub fn query(&self, query: &Query) -> Result<Answer> {
        self.running.with(|cache| cache.query(query))
    }

    /// As [`MetadataCache::records`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there.
    pub fn records(&self, answer: &Answer, fetch: &Fetch) -> Result<Page> {
        self.running.with(|cache| cache.records(answer, fetch))
    }

    /// As [`MetadataCache::query_records`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there.
    pub fn query_records(&self, query: &Query, fetch: &Fetch) -> Result<(Answer, Page)> {
        self.running.with(|cache| cache.query_records(query, fetch))
    }

    /// As [`MetadataCache::update`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there.
    pub fn update(&self, record: &FileMetadata) -> Result<Position> {
        self.running.with(|cache| cache.update(record))
    }

    /// As [`MetadataCache::remove`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there.
    pub fn remove(&self, path: &FilePath) -> Result<Removal> {
        self.running.with(|cache| cache.remove(path))
    }

    /// As [`MetadataCache::clear`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there.
    pub fn clear(&self) -> Result<()> {
        self.running.with(|cache| cache.clear())
    }

    /// As [`MetadataCache::evict`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there.
    pub fn evict(&self, n: usize) -> Result<usize> {
        self.running.with(|cache| cache.evict(n))
    }

    /// As [`MetadataCache::invalidate`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there.
    pub fn invalidate(&self, scope: &Scope) -> Result<usize> {
        self.running.with(|cache| cache.invalidate(scope))
    }

    /// The cache of this run. It may be kept; when the component is shut down its verbs become
    /// `NotInitialized` errors.
    ///
    /// # Errors
    /// `NotInitialized` unless it runs.
    pub fn cache(&self) -> Result<Arc<MetadataCache>> {
        self.running.with(|cache| Ok(Arc::clone(cache)))
    }

    /// As [`MetadataCache::sync`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there.
    pub fn sync(&self, mode: SyncMode) -> Result<SyncReport> {
        self.running.with(|cache| cache.sync(mode))
    }

    /// As [`MetadataCache::rebuild`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there.
    pub fn rebuild(&self) -> Result<SyncReport> {
        self.sync(SyncMode::Full)
    }

    /// As [`MetadataCache::snapshot`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>> {
        self.running.with(|cache| cache.snapshot())
    }

    /// As [`MetadataCache::stats`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there.
    pub fn stats(&self) -> Result<CacheStats> {
        self.running.with(|cache| cache.stats())
    }

    /// As [`MetadataCache::reset_stats`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there.
    pub fn reset_stats(&self) -> Result<()> {
        self.running.with(|cache| cache.reset_stats())
    }

    /// Whether the last synchronisation failed, or none has succeeded yet.
    ///
    /// # Errors
    /// `NotInitialized`, or as [`MetadataCache::stats`].
    pub fn is_degraded(&self) -> Result<bool> {
        Ok(self.stats()?.is_degraded())
    }
}

impl Component for MemoryCacheComponent {
    fn name(&self) -> &str {
        Self::NAME
    }

    /// Loads the index, and records as the settings say. If the database cannot be reached, the cache
    /// starts degraded: it says so in its stats, and queries are errors until a synchronisation
    /// succeeds.
    ///
    /// # Errors
    /// Those of its dependencies; `DatabaseCorrupt`, `SchemaTooNew`; `Io` if a thread cannot be
    /// started.
    fn initialize(&self, context: &InitializationContext<'_>) -> Result<()> {
        self.running.begin(|| {
            let config =
                context.dependency::<ConfigManagerComponent>(ConfigManagerComponent::NAME)?;
            let database = context.dependency::<DatabaseComponent>(DatabaseComponent::NAME)?;
            let options = config.settings()?.cache.clone();
            let cache = MetadataCache::new(database.store()?, Arc::clone(&self.clock), options)?;
            match cache.load() {
                Ok(report) => tracing::info!(files = report.files, "the cache is loaded"),
                Err(error) if error.kind().may_pass() => {
                    tracing::warn!("the cache starts degraded: {error:#}");
                }
                Err(error) => {
                    cache.shutdown();
                    return Err(error);
                }
            }
            Ok(Arc::new(cache))
        })
    }

    fn shutdown(&self) -> Result<()> {
        if let Some(cache) = self.running.end() {
            cache.shutdown();
        }
        Ok(())
    }

    fn is_initialized(&self) -> bool {
        self.running.runs()
    }
}
