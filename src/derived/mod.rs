//! Results that are derived from files, and are true as long as those are as they were.

mod cache;
mod departed;
mod index;
mod stamp;
mod tool;
#[cfg(unix)]
mod tree;

pub use self::cache::{DerivedCache, DerivedStats, Making};
pub use self::index::IndexWitness;
pub use self::stamp::{FileStamp, RowStamp, Seen, Stamp, Witness};
pub use self::tool::ToolCache;
#[cfg(unix)]
pub use self::tree::TreeWitness;
