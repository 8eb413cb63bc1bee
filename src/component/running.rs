//! `Running`: the part of a component that exists while it runs and not before or after. A verb takes
//! no lock to reach it, and one that has begun keeps it until it is done.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::primitives::{ArcSwapOption, Mutex};

/// The running part of the component of this name, if it runs.
#[derive(Debug)]
pub(super) struct Running<T> {
    component: &'static str,
    part: ArcSwapOption<T>,
    /// Held while the part is made, so that one is: nothing else waits for it but another
    /// initialize, or a shutdown that came too early.
    changing: Mutex<()>,
}

impl<T> Running<T> {
    pub(super) fn new(component: &'static str) -> Self {
        Running {
            component,
            part: ArcSwapOption::empty(),
            changing: Mutex::new(()),
        }
    }

    /// Makes the part; if there is one already, it stays, and a warning is logged.
    pub(super) fn begin(&self, make: impl FnOnce() -> Result<Arc<T>>) -> Result<()> {
        let _changing = self.changing.lock();
        if self.runs() {
            tracing::warn!(component = self.component, "is initialized already");
            return Ok(());
        }
        self.part.store(Some(make()?));
        Ok(())
    }

    /// Takes the part out; verbs in progress keep it until they are done.
    pub(super) fn end(&self) -> Option<Arc<T>> {
        let _changing = self.changing.lock();
        self.part.swap(None)
    }

    pub(super) fn runs(&self) -> bool {
        self.part.load().is_some()
    }

    /// Lets a verb work with the part.
    ///
    /// # Errors
    /// `NotInitialized` naming the component, or the verb's own.
    pub(super) fn with<R>(&self, verb: impl FnOnce(&Arc<T>) -> Result<R>) -> Result<R> {
        match &*self.part.load() {
            Some(part) => verb(part),
            None => Err(self.not_initialized()),
        }
    }

    fn not_initialized(&self) -> Error {
        let name = self.component;
        let message = format!("the component `{name}` is not initialized, or was shut down");
        Error::new(ErrorKind::NotInitialized, message).with_help("start its host first")
    }
}

#[cfg(test)]
mod tests {
    use super::super::logged::logged;
    use super::*;

    #[test]
    fn a_part_is_there_between_begin_and_end_and_a_second_begin_is_a_warning() {
        let running = Running::new("probe");
        let value = |running: &Running<u32>| running.with(|part| Ok(**part));
        let error = value(&running).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotInitialized);
        assert_eq!(error.code(), "not-initialized");
        assert!(error.to_string().contains("`probe`"), "{error}");
        running.begin(|| Ok(Arc::new(1))).unwrap();
        let again = logged(|| running.begin(|| unreachable!("it runs")).unwrap());
        assert_eq!(again.len(), 1, "{again:?}");
        assert!(again[0].starts_with("WARN ") && again[0].contains("probe"));
        assert_eq!(value(&running).unwrap(), 1);
        assert_eq!(running.end(), Some(Arc::new(1)));
        assert_eq!(running.end(), None);
        assert!(value(&running).is_err());
        running.begin(|| Ok(Arc::new(2))).unwrap();
        assert_eq!(value(&running).unwrap(), 2);
    }

    #[test]
    fn a_part_that_cannot_be_made_leaves_none() {
        let running: Running<u32> = Running::new("probe");
        let fault = || Error::new(ErrorKind::Io, "no");
        assert!(running.begin(|| Err(fault())).is_err());
        assert!(!running.runs());
    }
}
