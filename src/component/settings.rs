//! `Settings`: all that the components of a host are told, as one value made in code or taken from
//! the layered configuration.

use std::path::PathBuf;

#[cfg(feature = "cli")]
use crate::config::Config;
use crate::coordinator::CoordinatorOptions;
use crate::metadata_cache::CacheOptions;
use crate::store::SqliteOptions;

/// What the components of a host are told.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        }
    }
}

#[cfg(feature = "cli")]
impl From<&Config> for Settings {
    /// The settings of the project that the configuration is for.
    fn from(config: &Config) -> Self {
        Settings {
            database: config.database().to_path_buf(),
            sqlite: config.sqlite().clone(),
            cache: config.cache().clone(),
            coordinator: config.coordinator().clone(),
            ..Settings::default()
        }
    }
}
