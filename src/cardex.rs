//! `Cardex`: a database, its index, and the records in memory, opened together behind one handle.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cache::Cache;
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::eviction::Strategy;
use crate::metadata_cache::{CacheOptions, MetadataCache};
use crate::store::{MetadataStore, SqliteOptions, SqliteStore};

/// The metadata of one project: complete, indexed, as true as its database, and in as much memory as
/// it was given. Clones share everything; it can be used and dropped on any thread, also inside an
/// asynchronous runtime. Its verbs are those of the [`MetadataCache`] that it holds.
#[derive(Clone, Debug)]
pub struct Cardex(Arc<MetadataCache>);

/// Says where a [`Cardex`] keeps its data and how much of it stays in memory, and opens it.
#[derive(Clone, Debug)]
#[must_use]
pub struct CardexBuilder {
    database: PathBuf,
    project: String,
    sqlite: SqliteOptions,
    cache: Result<CacheOptions>,
    clock: Arc<dyn Clock>,
    start_degraded: bool,
}

impl CardexBuilder {
    /// The SQLite file; made if it does not exist. Default: `.cardex/cardex.db`.
    pub fn database(mut self, path: impl AsRef<Path>) -> Self {
        self.database = path.as_ref().to_path_buf();
        self
    }

    /// Which project of the database; made if it does not exist. Default: `default`.
    pub fn project(mut self, name: impl Into<String>) -> Self {
        self.project = name.into();
        self
    }

    /// How the database is opened.
    pub fn sqlite(mut self, options: SqliteOptions) -> Self {
        self.sqlite = options;
        self
    }

    /// What is kept in memory: all of these options at once.
    pub fn cache(mut self, options: CacheOptions) -> Self {
        self.cache = Ok(options);
        self
    }

    /// At most this many records are in memory, 100 to 1,000,000. Default: 10,000.
    pub fn max_items(mut self, items: usize) -> Self {
        self.cache = self.cache.and_then(|options| options.max_items(items));
        self
    }

    /// The records in memory weigh at most this many bytes, 1 MiB to what the machine has.
    /// Default: 64 MiB.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.cache = self.cache.and_then(|options| options.max_bytes(bytes));
        self
    }

    /// Which record leaves first when memory is full. Default: the least recently used.
    pub fn eviction_strategy(mut self, strategy: Strategy) -> Self {
        self.cache = self
            .cache
            .map(|options| options.eviction_strategy(strategy));
        self
    }

    /// Whether records are read into memory when it is opened, most recently modified first.
    /// Default: yes.
    pub fn load_bodies(mut self, load: bool) -> Self {
        self.cache = self.cache.map(|options| options.load_bodies(load));
        self
    }

    /// Whether a thread follows the database, whoever writes to it. Default: yes.
    pub fn follow(mut self, follow: bool) -> Self {
        self.cache = self.cache.map(|options| options.follow(follow));
        self
    }

    /// Opens also while the database cannot be reached (it is locked, say, or its disk is not
    /// there): gets and queries are errors then, and
    /// [`MetadataCache::stats`] says so, until a synchronisation succeeds. Default: no.
    pub fn start_degraded(mut self, allowed: bool) -> Self {
        self.start_degraded = allowed;
        self
    }

    /// Where the time is read. Default: the machine's clocks.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the database, loads the whole index, and records up to the capacity.
    ///
    /// # Errors
    /// `InvalidConfig` for an option that is out of range; those of the database: `SchemaTooNew`,
    /// `DatabaseCorrupt`, `DatabaseBusy`, `Database`, `Io`.
    pub fn open(self) -> Result<Cardex> {
        let options = self.cache?;
        let store = SqliteStore::open_lazily(&self.database, &self.project, self.sqlite)?;
        let cardex = Cardex::over(Arc::new(store), self.clock, options)?;
        match cardex.load() {
            Err(error) if self.start_degraded && error.kind().may_pass() => {
                tracing::warn!("starting without the database: {error:#}");
            }
            loaded => drop(loaded?),
        }
        Ok(cardex)
    }
}

impl Cardex {
    /// Says where the data is.
    pub fn builder() -> CardexBuilder {
        CardexBuilder {
            database: PathBuf::from(".cardex/cardex.db"),
            project: "default".to_owned(),
            sqlite: SqliteOptions::default(),
            cache: Ok(CacheOptions::default()),
            clock: Arc::new(SystemClock),
            start_degraded: false,
        }
    }

    /// A cache over a store that is open already. It knows nothing until
    /// [`MetadataCache::load`].
    ///
    /// # Errors
    /// `Io` if the index's thread cannot be started.
    pub fn over(
        store: Arc<dyn MetadataStore>,
        clock: Arc<dyn Clock>,
        options: CacheOptions,
    ) -> Result<Self> {
        Ok(Cardex(Arc::new(MetadataCache::new(store, clock, options)?)))
    }

    /// Its records in memory as a cache, to be registered with a
    /// [`CacheCoordinator`](crate::CacheCoordinator) under the name `memory_cache`.
    pub fn as_cache(&self) -> Arc<dyn Cache> {
        Arc::clone(&self.0) as _
    }
}

impl Deref for Cardex {
    type Target = MetadataCache;

    fn deref(&self) -> &MetadataCache {
        &self.0
    }
}
