//! The parts of a host and how they live together: each is a [`Component`], the
//! [`ComponentRegistry`] starts them after what they depend on and stops them in reverse. What a
//! component does while it runs is its own business, and needs no lock of this module.
#![cfg_attr(
    feature = "sqlite",
    doc = "

Three components make this crate's cache a part of a host: [`ConfigManagerComponent`],
[`DatabaseComponent`] and [`MemoryCacheComponent`]. A fourth, [`CoordinatorComponent`], lets the caches
of the host give room when memory is tight; a fifth, [`CachesComponent`], holds its caches of derived
results.

```
use std::sync::Arc;
use cardex::Query;
use cardex::component::{
    ComponentRegistry, ConfigManagerComponent, DatabaseComponent, MemoryCacheComponent, Settings,
};

# let directory = tempfile::tempdir().unwrap();
# let database = directory.path().join(\"project.db\");
let settings = Settings { database, ..Settings::default() };
let cache = Arc::new(MemoryCacheComponent::new());
let host = ComponentRegistry::new();
host.register(Arc::new(ConfigManagerComponent::new(settings)), &[], true)?;
host.register(Arc::new(DatabaseComponent::new()), DatabaseComponent::DEPENDENCIES, true)?;
host.register(cache.clone(), MemoryCacheComponent::DEPENDENCIES, true)?;
host.start()?;
assert_eq!(cache.query(&Query::builder().build()?)?.total(), 0);
host.stop()?;
assert!(cache.query(&Query::builder().build()?).is_err());
# Ok::<(), cardex::Error>(())
```"
)]

#[cfg(feature = "sqlite")]
mod caches;
#[cfg(feature = "sqlite")]
mod config_manager;
mod context;
#[cfg(feature = "sqlite")]
mod coordinator;
#[cfg(feature = "sqlite")]
mod database;
#[cfg(test)]
mod logged;
#[cfg(feature = "sqlite")]
mod memory_cache;
mod order;
mod registry;
#[cfg(test)]
mod registry_tests;
#[cfg(feature = "sqlite")]
mod running;
#[cfg(feature = "sqlite")]
mod settings;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

#[cfg(feature = "sqlite")]
pub use self::caches::CachesComponent;
#[cfg(feature = "sqlite")]
pub use self::config_manager::ConfigManagerComponent;
pub use self::context::InitializationContext;
#[cfg(feature = "sqlite")]
pub use self::coordinator::CoordinatorComponent;
#[cfg(feature = "sqlite")]
pub use self::database::DatabaseComponent;
#[cfg(feature = "sqlite")]
pub use self::memory_cache::MemoryCacheComponent;
pub use self::registry::{ComponentInfo, ComponentRegistry, ComponentState};
#[cfg(feature = "sqlite")]
pub use self::settings::Settings;
use crate::error::Result;

/// A part of a host that is started and stopped with it.
///
/// What it needs to run it takes at [`Component::initialize`] and gives back at
/// [`Component::shutdown`]; in between its verbs work, outside they are errors of the kind
/// [`NotInitialized`](crate::ErrorKind::NotInitialized). A component can be started again after it
/// was stopped.
pub trait Component: Any + Debug + Send + Sync {
    /// Its name, by which others depend on it. Asked once, when it is registered.
    fn name(&self) -> &str;

    /// Begins to work. What it depends on is running already, and is found in the context. Once it
    /// runs, a second call should do nothing. It cannot start or stop its own host: a call on this
    /// thread is an error, and one on another thread waits until the start is over.
    ///
    /// # Errors
    /// Whatever keeps it from working. [`Component::shutdown`] is called next, and has to give back
    /// what was taken until then.
    fn initialize(&self, context: &InitializationContext<'_>) -> Result<()>;

    /// Ends its work and gives back what it took. What it depends on is still running. If nothing
    /// runs, it should do nothing.
    ///
    /// # Errors
    /// What could not be ended in good order. It counts as stopped all the same.
    fn shutdown(&self) -> Result<()>;

    /// Whether its verbs work.
    fn is_initialized(&self) -> bool;
}

/// The component as what it is; `None` if it is of another type.
fn typed<C: Component>(component: Arc<dyn Component>) -> Option<Arc<C>> {
    let any: Arc<dyn Any + Send + Sync> = component;
    any.downcast().ok()
}
