//! `ChangeFeed`: what changes in the project, one set after the other, for a caller that waits for it.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::position::Position;
use crate::store::{ChangeSet, MetadataStore};
use crate::sync::Synchronizer;

/// At most so many files are told in one set.
const LIMIT: usize = 10_000;

/// A caller's place in the changes of a project. It needs no memory of the cache, however long its
/// caller takes: each set is read from the log, and a place that the log has forgotten is told as a
/// fresh instance.
#[derive(Debug)]
pub struct ChangeFeed {
    store: Arc<dyn MetadataStore>,
    sync: Arc<Synchronizer>,
    position: Position,
}

impl ChangeFeed {
    pub(super) fn new(
        store: Arc<dyn MetadataStore>,
        sync: Arc<Synchronizer>,
        since: Position,
    ) -> Self {
        ChangeFeed {
            store,
            sync,
            position: since,
        }
    }

    /// Up to where the changes were told.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Passes all changes by up to where the index is, once that is elsewhere; `None` if it is not for so long.
    pub(crate) fn skip(&mut self, within: Duration) -> Option<Position> {
        if !self.sync.wait_past(self.position, within) {
            return None;
        }
        self.position = self.sync.seen().0.position();
        Some(self.position)
    }

    /// The changes since the last call, as soon as the index knows of any: a query then finds them too.
    /// `None` if there was none for so long. Blocks, and reads the database when there is something.
    ///
    /// # Errors
    /// Those of the database; the place stays as it was.
    pub fn next(&mut self, within: Duration) -> Result<Option<ChangeSet>> {
        if !self.sync.wait_past(self.position, within) {
            return Ok(None);
        }
        let set = self.store.changes(self.position, LIMIT)?;
        // The log may be ahead of the index by now.
        self.sync.reach(set.position)?;
        self.position = set.position;
        let is_news = set.is_fresh_instance || !set.changes.is_empty();
        // Commits to other projects of the database move the position too.
        Ok(is_news.then_some(set))
    }
}
