//! `Record`: one file's metadata as the cache hands it out, shared and immutable.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::metadata::FileMetadata;
use crate::position::Position;

/// A record in memory, with the position of the change that made it.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) record: FileMetadata,
    pub(super) version: Position,
}

/// What the map and the allocator hold for each body beside the record itself, about: an entry, its
/// slot, its place in the order, and the counts of two `Arc`s.
const ENTRY: u64 = 160;

impl Body {
    /// The bytes that it is charged with.
    pub(super) fn weight(&self) -> u64 {
        self.record.weight() + ENTRY
    }
}

/// The metadata of a file at one position of the log. Clones share it; nobody can change it. It
/// reads like the [`FileMetadata`] it holds.
#[derive(Clone)]
pub struct Record {
    pub(super) body: Arc<Body>,
    pub(super) as_of: Position,
}

impl Record {
    /// The log position that it reflects, exactly.
    pub fn as_of(&self) -> Position {
        self.as_of
    }

    /// The log sequence of the file's last change, at or before that position.
    pub fn version(&self) -> u64 {
        self.body.version.sequence
    }

    /// Whether both are the same record in memory.
    pub fn is_same(&self, other: &Record) -> bool {
        Arc::ptr_eq(&self.body, &other.body)
    }
}

impl Deref for Record {
    type Target = FileMetadata;

    fn deref(&self) -> &FileMetadata {
        &self.body.record
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("as_of", &self.as_of)
            .field("version", &self.version())
            .field("metadata", &**self)
            .finish()
    }
}
