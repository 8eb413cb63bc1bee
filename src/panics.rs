//! Somebody else's code, called so that its panic stays his.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, ErrorKind, Result};

/// What the verb returns; if it panics, an error of this kind with the panic's own words. What it
/// leaves behind then is seen by its owner alone.
pub(crate) fn caught<R>(kind: ErrorKind, verb: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(verb)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let message = format!("it panicked: {}", text.unwrap_or("without a word"));
        Err(Error::new(kind, message))
    })
}
