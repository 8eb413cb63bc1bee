//! `CoordinatorComponent`: the coordinator of a host's caches, which knows the metadata cache from the
//! start.

use std::fmt;
use std::sync::Arc;

use super::running::Running;
use super::{Component, ConfigManagerComponent, InitializationContext, MemoryCacheComponent};
use crate::clock::{Clock, SystemClock};
use crate::coordinator::{CacheCoordinator, PressureGauge};
use crate::error::Result;
use crate::machine::SystemMemory;

/// The coordinator of a host's caches. It enrols the host's metadata cache when it starts; other
/// components that depend on it enrol their own.
pub struct CoordinatorComponent {
    gauge: Arc<dyn PressureGauge>,
    clock: Arc<dyn Clock>,
    running: Running<CacheCoordinator>,
}

impl Default for CoordinatorComponent {
    fn default() -> Self {
        Self::with_gauge(Arc::new(SystemMemory::new()), Arc::new(SystemClock))
    }
}

impl CoordinatorComponent {
    /// The name under which it is registered.
    pub const NAME: &str = "cache_coordinator";

    /// What it is registered to depend on. A host without a metadata cache leaves that one out.
    pub const DEPENDENCIES: &[&str] = &[ConfigManagerComponent::NAME, MemoryCacheComponent::NAME];

    /// A coordinator over the limits of this machine and this process's container.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same over another gauge, reading the time from this clock.
    pub fn with_gauge(gauge: Arc<dyn PressureGauge>, clock: Arc<dyn Clock>) -> Self {
        CoordinatorComponent {
            gauge,
            clock,
            running: Running::new(Self::NAME),
        }
    }

    /// The coordinator of this run. It may be kept; when the component is shut down it checks no
    /// more.
    ///
    /// # Errors
    /// `NotInitialized` unless it runs.
    pub fn coordinator(&self) -> Result<Arc<CacheCoordinator>> {
        self.running.with(|coordinator| Ok(Arc::clone(coordinator)))
    }
}

impl Component for CoordinatorComponent {
    fn name(&self) -> &str {
        Self::NAME
    }

    /// # Errors
    /// `Io` if its thread cannot be started.
    fn initialize(&self, context: &InitializationContext<'_>) -> Result<()> {
        self.running.begin(|| {
            let config =
                context.dependency::<ConfigManagerComponent>(ConfigManagerComponent::NAME)?;
            let options = config.settings()?.coordinator.clone();
            let (gauge, clock) = (Arc::clone(&self.gauge), Arc::clone(&self.clock));
            let coordinator = CacheCoordinator::with_gauge(options, gauge, clock);
            if context.depends_on(MemoryCacheComponent::NAME) {
                let cache =
                    context.dependency::<MemoryCacheComponent>(MemoryCacheComponent::NAME)?;
                coordinator.register(cache.cache()?)?;
            }
            coordinator.start()?;
            Ok(Arc::new(coordinator))
        })
    }

    fn shutdown(&self) -> Result<()> {
        if let Some(coordinator) = self.running.end() {
            coordinator.stop();
        }
        Ok(())
    }

    fn is_initialized(&self) -> bool {
        self.running.runs()
    }
}

impl fmt::Debug for CoordinatorComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoordinatorComponent")
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}
