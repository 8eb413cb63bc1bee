//! `CachesComponent`: the caches of derived results of a host, one a type, under its coordinator if it has
//! one.

use std::fmt;
use std::sync::Arc;

use super::running::Running;
use super::{
    Component, ConfigManagerComponent, CoordinatorComponent, InitializationContext,
    MemoryCacheComponent,
};
use crate::bus::FileChanges;
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::kv::report::Report;
use crate::kv::write_behind::WriteBehind;
use crate::kv::{Caches, KvCache};
use crate::position::Position;
use crate::primitives::Mutex;

/// The caches of derived results of a host. They are made when they are asked for, and enrolled with the
/// coordinator if that is among the dependencies. With the memory cache among these, what changes in its
/// database is told on their bus.
pub struct CachesComponent {
    clock: Arc<dyn Clock>,
    running: Running<Caches>,
    journals: Mutex<Vec<Arc<WriteBehind>>>,
    files: Mutex<Option<FileChanges>>,
}

impl Default for CachesComponent {
    fn default() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }
}

impl CachesComponent {
    /// The name under which it is registered.
    pub const NAME: &str = "caches";

    /// What it is registered to depend on. A host without a coordinator leaves that one out; one that wants
    /// to hear on the bus of these caches which files changed adds [`MemoryCacheComponent::NAME`].
    pub const DEPENDENCIES: &[&str] = &[ConfigManagerComponent::NAME, CoordinatorComponent::NAME];

    /// Caches that are opened when the host starts, as its settings say.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, reading the time from this clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        CachesComponent {
            clock,
            running: Running::new(Self::NAME),
            journals: Mutex::default(),
            files: Mutex::default(),
        }
    }

    /// As [`Caches::get`].
    ///
    /// # Errors
    /// `NotInitialized`, or as there.
    pub fn get(&self, name: &str) -> Result<KvCache> {
        self.running.with(|caches| caches.get(name))
    }

    /// As [`Caches::report`].
    ///
    /// # Errors
    /// `NotInitialized` unless it runs.
    pub fn report(&self) -> Result<Report> {
        self.running.with(|caches| Ok(caches.report()))
    }

    /// The caches of this run. They may be kept; the file belongs to this process until nobody keeps them,
    /// or a cache of them, any more. Those that other processes share find nothing after the shutdown.
    ///
    /// # Errors
    /// `NotInitialized` unless it runs.
    pub fn caches(&self) -> Result<Arc<Caches>> {
        self.running.with(|caches| Ok(Arc::clone(caches)))
    }

    /// Has this journal delivered and closed when the component is shut down: before the caches go.
    ///
    /// # Errors
    /// `NotInitialized` unless it runs.
    pub fn closes(&self, journal: &Arc<WriteBehind>) -> Result<()> {
        self.running.with(|_| {
            self.journals.lock().push(Arc::clone(journal));
            Ok(())
        })
    }
}

impl Component for CachesComponent {
    fn name(&self) -> &str {
        Self::NAME
    }

    /// Opens what there is. A file that another process has is left out and a Redis server may be down:
    /// the health of the caches says so.
    ///
    /// # Errors
    /// Those of its dependencies; `InvalidConfig` for types that cannot be.
    fn initialize(&self, context: &InitializationContext<'_>) -> Result<()> {
        self.running.begin(|| {
            let config =
                context.dependency::<ConfigManagerComponent>(ConfigManagerComponent::NAME)?;
            let setup = config.settings()?.caches.clone();
            let coordinator = match context.depends_on(CoordinatorComponent::NAME) {
                true => {
                    let name = CoordinatorComponent::NAME;
                    let coordinator = context.dependency::<CoordinatorComponent>(name)?;
                    Some(coordinator.coordinator()?)
                }
                false => None,
            };
            let caches = setup.open(coordinator, Arc::clone(&self.clock))?;
            if context.depends_on(MemoryCacheComponent::NAME) {
                let name = MemoryCacheComponent::NAME;
                let cache = context.dependency::<MemoryCacheComponent>(name)?.cache()?;
                // What the caches have kept in a file may be of any position.
                let follows = FileChanges::follow(&cache, Position::default(), caches.bus()?)?;
                *self.files.lock() = Some(follows);
            }
            for why in caches.health().reasons {
                tracing::warn!("the caches start degraded: {}", why.message);
            }
            Ok(Arc::new(caches))
        })
    }

    /// Delivers what journals hold, as long as that takes them at most, and lets go of the caches.
    fn shutdown(&self) -> Result<()> {
        let files = self.files.lock().take();
        drop(files);
        let caches = self.running.end();
        let journals = std::mem::take(&mut *self.journals.lock());
        for journal in journals {
            let left = journal.shutdown();
            if left > 0 {
                let file = journal.path().display().to_string();
                tracing::warn!(file, left, "writes are delivered at the next start");
            }
        }
        // Somebody may keep them, or a cache of them.
        if let Some(caches) = caches {
            caches.close();
        }
        Ok(())
    }

    fn is_initialized(&self) -> bool {
        self.running.runs()
    }
}

impl fmt::Debug for CachesComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachesComponent")
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}
