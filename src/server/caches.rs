//! The caches that a server shows and empties: the seam between the routes and whoever coordinates
//! the caches of a process.

use super::problem::Problem;
use crate::bounded::RemovalCause;
use crate::cardex::Cardex;
use crate::error::{Error, ErrorKind, Result};
use crate::suggest;

/// The name of the one cache there is.
const MEMORY: &str = "memory_cache";

/// The caches of this process.
#[derive(Clone, Debug)]
pub(super) struct Caches {
    cardex: Cardex,
}

/// What a cache tells of itself.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) name: String,
    pub(super) entries: u64,
    pub(super) capacity: Option<u64>,
    pub(super) bytes: Option<u64>,
    pub(super) max_bytes: Option<u64>,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) evictions: u64,
    pub(super) error: Option<Error>,
}

impl Caches {
    pub(super) fn new(cardex: Cardex) -> Self {
        Caches { cardex }
    }

    /// Every cache.
    pub(super) fn list(&self) -> Vec<Told> {
        let mut told = Told {
            name: MEMORY.to_owned(),
            entries: 0,
            capacity: None,
            bytes: None,
            max_bytes: None,
            hits: 0,
            misses: 0,
            evictions: 0,
            error: None,
        };
        match self.cardex.stats() {
            Ok(stats) => {
                told.entries = stats.items as u64;
                told.capacity = Some(stats.max_items as u64);
                told.bytes = Some(stats.bytes);
                told.max_bytes = Some(stats.max_bytes);
                told.hits = stats.hits;
                told.misses = stats.misses;
                let causes = [RemovalCause::Capacity, RemovalCause::Pressure];
                told.evictions = causes.map(|cause| stats.evictions(cause)).iter().sum();
            }
            Err(error) => told.error = Some(error),
        }
        vec![told]
    }

    /// Evicts so many entries of a cache; how many really left.
    pub(super) fn evict(&self, name: &str, entries: usize) -> Result<u64, Problem> {
        self.find(name)?;
        Ok(self.cardex.evict(entries)? as u64)
    }

    /// Evicts so many entries of each cache, a fifth of them if it is not said; how many really left
    /// each.
    pub(super) fn evict_all(&self, entries: Option<usize>) -> Result<Vec<(String, u64)>, Problem> {
        let held = self.cardex.stats()?.items;
        let evicted = self.evict(MEMORY, entries.unwrap_or(held.div_ceil(5)))?;
        Ok(vec![(MEMORY.to_owned(), evicted)])
    }

    /// Drops every entry of a cache.
    pub(super) fn clear(&self, name: &str) -> Result<(), Problem> {
        self.find(name)?;
        Ok(self.cardex.clear()?)
    }

    fn find(&self, name: &str) -> Result<()> {
        if name == MEMORY {
            return Ok(());
        }
        let error = Error::new(ErrorKind::NotFound, format!("there is no cache `{name}`"));
        Err(match suggest::nearest(name, [MEMORY]) {
            Some(meant) => error.with_help(format!("did you mean `{meant}`?")),
            None => error.with_help(format!("the caches are {MEMORY}")),
        })
    }
}
