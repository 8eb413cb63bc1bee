//! `Cache`: what every cache of a process can be asked, whatever it holds: how large it is, to give
//! room, to drop what is no longer true, and how well it does. The coordinator, and whoever reports on
//! caches, speak to this trait and to nothing else.

use crate::error::Result;
use crate::metadata::FilePath;

/// A cache that takes part in the coordination of a process's memory.
///
/// Its verbs are called from any thread, also several at once, and never under a lock of the caller.
/// An error or a panic of one of them concerns this cache alone.
pub trait Cache: Send + Sync {
    /// Its name, unique in a coordinator, and the same for as long as it lives.
    fn name(&self) -> &str;

    /// What it holds and may hold. Cheap, without I/O: it is asked several times a round.
    fn usage(&self) -> CacheUsage;

    /// Gives up so many entries, those that it would miss least, and returns how many really left: 0
    /// for 0, all of them if it holds no more.
    ///
    /// # Errors
    /// Whatever keeps it from giving room.
    fn evict(&self, entries: usize) -> Result<usize>;

    /// Drops what was made from the files of the scope, and sees to it that no load that began before
    /// puts it back. Returns how many entries left.
    ///
    /// # Errors
    /// `InvalidPath` or `InvalidPattern` for a scope that makes no sense; whatever keeps it from
    /// forgetting.
    fn invalidate(&self, scope: &Scope) -> Result<usize>;

    /// Drops everything. Again: nothing happens.
    ///
    /// # Errors
    /// Whatever keeps it from forgetting.
    fn clear(&self) -> Result<()>;

    /// What it holds, and what it has done since the start.
    ///
    /// # Errors
    /// Whatever keeps it from knowing.
    fn stats(&self) -> Result<CacheReport>;
}

/// What a cache holds, and may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUsage {
    /// Entries.
    pub entries: usize,
    /// The most entries; `None` if there is no such limit.
    pub capacity: Option<usize>,
    /// What the entries weigh, in bytes; `None` if the cache does not know.
    pub bytes: Option<u64>,
    /// The most that they may weigh, in bytes; `None` if there is no such limit.
    pub max_bytes: Option<u64>,
}

/// Which files an invalidation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every file.
    All,
    /// This one.
    Path(FilePath),
    /// The file or directory of this path, and everything below it: `src` is about `src/a.rs`, and
    /// not about `srcs/a.rs`.
    Prefix(String),
    /// The files whose whole path matches this glob, as a query's glob does.
    Pattern(String),
}

/// What a cache holds, and what it has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheReport {
    /// What it holds and may hold.
    pub usage: CacheUsage,
    /// Requests that were answered from it.
    pub hits: u64,
    /// Requests that were not.
    pub misses: u64,
    /// Entries that left because room was needed, here or elsewhere.
    pub evictions: u64,
}

impl CacheReport {
    /// A report of a cache that was never asked: set what is known beside.
    pub fn new(usage: CacheUsage) -> Self {
        CacheReport {
            usage,
            ..Self::default()
        }
    }

    /// The same, with this many requests that were answered, and that were not.
    #[must_use]
    pub fn requests(mut self, hits: u64, misses: u64) -> Self {
        (self.hits, self.misses) = (hits, misses);
        self
    }

    /// The same, with this many entries that left for want of room.
    #[must_use]
    pub fn evictions(mut self, evictions: u64) -> Self {
        self.evictions = evictions;
        self
    }

    /// The share of requests that were answered, 0.0 to 1.0; 0.0 before the first.
    pub fn hit_rate(&self) -> f64 {
        match self.hits.saturating_add(self.misses) {
            0 => 0.0,
            requests => self.hits as f64 / requests as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hit_rate_of_a_cache_that_was_never_asked_is_zero() {
        let report = CacheReport::new(CacheUsage::default());
        assert_eq!(report.hit_rate(), 0.0);
        assert_eq!(report.requests(3, 1).hit_rate(), 0.75);
    }
}
