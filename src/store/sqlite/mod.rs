//! The embedded database.

/// Options.
#[derive(Debug)]
pub struct SqliteOptions;
/// The store.
#[derive(Debug)]
pub struct SqliteStore;
