//! Results that are derived from files, and are true as long as those are as they were.

mod cache;
mod stamp;
mod tool;
#[cfg(unix)]
mod tree;

pub use self::cache::{DerivedCache, DerivedStats, Making};
pub use self::stamp::{FileStamp, Seen, Stamp, Witness};
pub use self::tool::ToolCache;
#[cfg(unix)]
pub use self::tree::TreeWitness;
