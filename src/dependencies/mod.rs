//! What entries of caches were made from: files, directories and other entries. The graph answers which
//! entries an invalidation is about; the arguments of a tool tell which files its result came from.

mod arguments;
mod graph;
mod source;

pub use self::arguments::{Sources, sources_of};
pub use self::graph::DependencyGraph;
pub use self::source::Source;
