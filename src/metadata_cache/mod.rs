//! The cache of file metadata: how it is set up.

mod options;

pub use options::CacheOptions;
