//! Caches of derived results: values under keys, made from a source and written to it.

#[cfg(feature = "sqlite")]
pub mod write_behind;
