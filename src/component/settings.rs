//! `Settings`: all that the components of a host are told, as one value made in code or taken from
//! the layered configuration.

use std::path::PathBuf;

#[cfg(feature = "cli")]
use crate::config::Config;
use crate::coordinator::CoordinatorOptions;
#[cfg(feature = "cli")]
use crate::error::Result;
use crate::kv::CachesSetup;
use crate::metadata_cache::CacheOptions;
use crate::store::SqliteOptions;

/// What the components of a host are told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The SQLite file; made if it does not exist.
    pub database: PathBuf,
    /// Which project of the database; made if it does not exist.
    pub project: String,
    /// How the database is opened.
    pub sqlite: SqliteOptions,
    /// What the cache of records may hold.
    pub cache: CacheOptions,
    /// When the caches of the host give room, and how much.
    pub coordinator: CoordinatorOptions,
    /// What the caches of derived results are made of.
    pub caches: CachesSetup,
}

impl Default for Settings {
    /// The project `default` in `.cardex/cardex.db`, with default options.
    fn default() -> Self {
        Settings {
            database: PathBuf::from(".cardex/cardex.db"),
            project: "default".to_owned(),
            sqlite: SqliteOptions::default(),
            cache: CacheOptions::default(),
            coordinator: CoordinatorOptions::default(),
            caches: CachesSetup::default(),
        }
    }
}

#[cfg(feature = "cli")]
impl TryFrom<&Config> for Settings {
    type Error = crate::error::Error;

    /// The settings of the project that the configuration is for.
    ///
    /// # Errors
    /// Those of [`DerivedSettings::setup`](crate::config::DerivedSettings::setup).
    fn try_from(config: &Config) -> Result<Self> {
        Ok(Settings {
            database: config.database().to_path_buf(),
            sqlite: config.sqlite().clone(),
            cache: config.cache().clone(),
            coordinator: config.coordinator().clone(),
            caches: config.derived().setup(config.root())?,
            ..Settings::default()
        })
    }
}
