//! `DatabaseComponent`: the database of a host, opened where the settings say.

use std::sync::Arc;

use super::running::Running;
use super::{Component, ConfigManagerComponent, InitializationContext};
use crate::error::{ErrorKind, Result};
use crate::store::{MetadataStore, SqliteStore};

/// The database of a host. A database that cannot be reached does not keep the host from starting:
/// it is tried again whenever it is used, and until then each use is an error.
#[derive(Debug)]
pub struct DatabaseComponent {
    running: Running<SqliteStore>,
}

impl Default for DatabaseComponent {
    fn default() -> Self {
        DatabaseComponent {
            running: Running::new(Self::NAME),
        }
    }
}

impl DatabaseComponent {
    /// The name under which it is registered.
    pub const NAME: &str = "database";

    /// What it is registered to depend on.
    pub const DEPENDENCIES: &[&str] = &[ConfigManagerComponent::NAME];

    /// A database that is opened when the host starts.
    pub fn new() -> Self {
        Self::default()
    }

    /// The store of this run. It may be kept, and works until the last owner drops it.
    ///
    /// # Errors
    /// `NotInitialized` unless it runs.
    pub fn store(&self) -> Result<Arc<SqliteStore>> {
        self.running.with(|store| Ok(Arc::clone(store)))
    }
}

impl Component for DatabaseComponent {
    fn name(&self) -> &str {
        Self::NAME
    }

    /// # Errors
    /// `DatabaseCorrupt`, `SchemaTooNew`, `InvalidInput`: another try would end no better.
    fn initialize(&self, context: &InitializationContext<'_>) -> Result<()> {
        self.running.begin(|| {
            let config =
                context.dependency::<ConfigManagerComponent>(ConfigManagerComponent::NAME)?;
            let settings = config.settings()?;
            let (file, project) = (&settings.database, &settings.project);
            let store = SqliteStore::open_lazily(file, project, settings.sqlite.clone())?;
            match store.head() {
                Err(error) if may_pass(error.kind()) => {
                    tracing::warn!("the database cannot be reached yet: {error:#}");
                }
                head => drop(head?),
            }
            Ok(Arc::new(store))
        })
    }

    fn shutdown(&self) -> Result<()> {
        self.running.end();
        Ok(())
    }

    fn is_initialized(&self) -> bool {
        self.running.runs()
    }
}

/// Whether the same database may well be reached the next time.
pub(super) fn may_pass(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Io | ErrorKind::Database | ErrorKind::DatabaseBusy
    )
}
