//! `Answer`: the files that a query found, of one snapshot, with what is exact about them.

use std::sync::Arc;
use std::time::Duration;

use super::plan::Plan;
use super::{Query, run};
use crate::index::{FileId, Hit, Snapshot};
use crate::position::Position;

/// The files that matched a query at one position of the log, in path order. It holds its snapshot,
/// so what it says stays true of that position however the project changes.
#[derive(Clone, Debug)]
pub struct Answer {
    snapshot: Arc<Snapshot>,
    query: Query,
    found: Vec<FileId>,
    looked_at: Duration,
}

impl Answer {
    /// How many files it lists: at most the query's limit.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether it lists no file.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The files, in path order.
    pub fn hits(&self) -> impl ExactSizeIterator<Item = Hit<'_>> + DoubleEndedIterator {
        self.found.iter().map(|&id| self.snapshot.hit(id))
    }

    /// The paths of the files, in path order.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &str> + DoubleEndedIterator {
        self.hits().map(|hit| hit.path)
    }

    /// The log position that the answer reflects, exactly.
    pub fn as_of(&self) -> Position {
        self.snapshot.position()
    }

    /// How long ago the look at the log began that showed the project to be in this state: what was
    /// committed since then may be missing. Grows from call to call.
    pub fn age(&self) -> Duration {
        self.snapshot.age_since(self.looked_at)
    }

    /// Whether every file of the project was asked: not if the rows of some could not be read.
    pub fn is_complete(&self) -> bool {
        self.snapshot.is_complete()
    }

    /// The same answer, known to have been still true at a later look.
    pub(crate) fn seen_at(mut self, looked_at: Duration) -> Self {
        self.looked_at = self.looked_at.max(looked_at);
        self
    }

    /// How the query runs, over the very files that this answer is of.
    pub fn explain(&self) -> Plan {
        self.snapshot.explain(&self.query)
    }

    /// Whether the limit cut files off. Found out when asked for, by a search for one file more.
    pub fn is_truncated(&self) -> bool {
        match self.query.limit() {
            Some(limit) if self.len() == limit => {
                run::search(&self.snapshot, &self.query, limit.saturating_add(1)).len() > limit
            }
            _ => false,
        }
    }

    /// How many files match, those cut off by the limit included. Counted when asked for.
    pub fn total(&self) -> u64 {
        match self.query.limit() {
            Some(limit) if self.len() == limit => run::count(&self.snapshot, &self.query),
            _ => self.len() as u64,
        }
    }
}

impl Snapshot {
    /// The files that match, in path order, up to the query's limit. Takes no lock, does no I/O.
    pub fn search(self: &Arc<Self>, query: &Query) -> Answer {
        let found = run::search(self, query, query.limit().unwrap_or(usize::MAX));
        Answer {
            snapshot: Arc::clone(self),
            query: query.clone(),
            found,
            looked_at: self.stamp().looked_at,
        }
    }

    /// How many files match, whatever the query's limit.
    pub fn count(&self, query: &Query) -> u64 {
        run::count(self, query)
    }

    /// How the query would run.
    pub fn explain(&self, query: &Query) -> Plan {
        Plan::new(query, self)
    }
}
