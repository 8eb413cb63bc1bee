//! What a transaction adds and takes out, space by space: it counts once that is committed.

use smallvec::SmallVec;

use super::space::Space;
use crate::tier::Key;

/// How the number of rows of one space moves, and why.
#[derive(Debug, Default)]
pub(super) struct Moves {
    pub(super) added: usize,
    pub(super) removed: usize,
    pub(super) expired: usize,
    pub(super) evicted: usize,
    pub(super) damaged: usize,
    /// The keys of those that expired or were evicted.
    pub(super) departed: Vec<Key>,
}

impl Moves {
    /// How many more rows there are.
    pub(super) fn grown(&self) -> i64 {
        let gone = self.removed + self.expired + self.evicted + self.damaged;
        self.added as i64 - gone as i64
    }
}

/// The moves of every space that a transaction changes: mostly one.
#[derive(Debug, Default)]
pub(super) struct Tally(SmallVec<[(String, Moves); 1]>);

impl Tally {
    /// Those of this space.
    pub(super) fn of(&mut self, space: &str) -> &mut Moves {
        let at = self.0.iter().position(|(name, _)| name == space);
        let at = at.unwrap_or_else(|| {
            self.0.push((space.to_owned(), Moves::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// Counts it in the spaces that tiers are over. The others have nobody to tell.
    pub(super) fn count(&self, spaces: &[std::sync::Arc<Space>]) {
        for (name, moves) in &self.0 {
            if let Some(space) = spaces.iter().find(|space| *space.name == **name) {
                space.count(moves);
            }
        }
    }
}
