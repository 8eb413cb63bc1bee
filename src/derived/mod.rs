//! Results that are derived from files, and are true as long as those are as they were.

mod stamp;
#[cfg(unix)]
mod tree;

pub use self::stamp::{FileStamp, Seen, Stamp, Witness};
#[cfg(unix)]
pub use self::tree::TreeWitness;
