//! The caches of a coordinator, by name. The list is locked for a few words each; no cache is called
//! under it, so it may change at any time, also while a round works on what it held before.

use std::sync::Arc;

use crate::cache::{Cache, CacheUsage};
use crate::error::{Error, ErrorKind, Result};
use crate::panics::caught;
use crate::primitives::Mutex;
use crate::suggest;

/// The enrolled caches, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Registry {
    enrolled: Mutex<Vec<Arc<Enrolled>>>,
}

/// A cache under the name that it had when it came. Its code is called through here: a panic of it is
/// an error, and everybody else lives on.
pub(super) struct Enrolled {
    pub(super) name: String,
    cache: Arc<dyn Cache>,
}

impl Registry {
    /// Adds a cache.
    ///
    /// # Errors
    /// `Coordinator` if its name is empty or taken.
    pub(super) fn register(&self, cache: Arc<dyn Cache>) -> Result<()> {
        let enrolled = Enrolled::new(cache)?;
        let mut all = self.enrolled.lock();
        if named(&all, &enrolled.name).is_none() {
            all.push(Arc::new(enrolled));
            return Ok(());
        }
        drop(all);
        let message = format!("a cache named `{}` is registered already", enrolled.name);
        Err(Error::new(ErrorKind::Coordinator, message)
            .with_help("replace it, or unregister it first"))
    }

    /// Adds a cache in the place of the one of its name, which is handed back.
    ///
    /// # Errors
    /// `Coordinator` if its name is empty.
    pub(super) fn replace(&self, cache: Arc<dyn Cache>) -> Result<Option<Arc<dyn Cache>>> {
        let enrolled = Arc::new(Enrolled::new(cache)?);
        let mut all = self.enrolled.lock();
        let Some(at) = named(&all, &enrolled.name) else {
            all.push(enrolled);
            return Ok(None);
        };
        let replaced = std::mem::replace(&mut all[at], enrolled);
        Ok(Some(Arc::clone(&replaced.cache)))
    }

    /// Forgets a cache, which is handed back.
    pub(super) fn unregister(&self, name: &str) -> Option<Arc<Enrolled>> {
        let mut all = self.enrolled.lock();
        named(&all, name).map(|at| all.remove(at))
    }

    /// Those of this instant.
    pub(super) fn all(&self) -> Vec<Arc<Enrolled>> {
        self.enrolled.lock().clone()
    }

    /// The cache of a name.
    ///
    /// # Errors
    /// `NotFound`.
    pub(super) fn get(&self, name: &str) -> Result<Arc<Enrolled>> {
        let all = self.all();
        if let Some(at) = named(&all, name) {
            return Ok(Arc::clone(&all[at]));
        }
        let error = Error::new(ErrorKind::NotFound, format!("no cache is named `{name}`"));
        Err(
            match suggest::nearest(name, all.iter().map(|one| &*one.name)) {
                Some(meant) => error.with_help(format!("did you mean `{meant}`?")),
                None => error,
            },
        )
    }

    /// Whether it is still enrolled.
    pub(super) fn holds(&self, enrolled: &Arc<Enrolled>) -> bool {
        let all = self.enrolled.lock();
        all.iter().any(|one| Arc::ptr_eq(one, enrolled))
    }
}

fn named(all: &[Arc<Enrolled>], name: &str) -> Option<usize> {
    all.iter().position(|one| one.name == name)
}

impl Enrolled {
    fn new(cache: Arc<dyn Cache>) -> Result<Self> {
        let name = caught(ErrorKind::Coordinator, || Ok(cache.name().to_owned()))?;
        if name.trim().is_empty() {
            let message = "a cache cannot have an empty name";
            return Err(Error::new(ErrorKind::Coordinator, message));
        }
        Ok(Enrolled { name, cache })
    }

    /// Calls a verb of the cache.
    ///
    /// # Errors
    /// Its own; `Coordinator` if it panics. Each names the cache.
    pub(super) fn with<R>(&self, verb: impl FnOnce(&dyn Cache) -> Result<R>) -> Result<R> {
        caught(ErrorKind::Coordinator, || verb(&*self.cache))
            .map_err(|error| error.prefixed(&format!("cache `{}`", self.name)))
    }

    /// # Errors
    /// `Coordinator` if the cache panics.
    pub(super) fn usage(&self) -> Result<CacheUsage> {
        self.with(|cache| Ok(cache.usage()))
    }
}

impl std::fmt::Debug for Enrolled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enrolled")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
