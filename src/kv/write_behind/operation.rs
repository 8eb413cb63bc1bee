//! A write on its way to the source, its name that never changes, and what became of it there.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::tier::Key;

/// What an operation is charged with beside its key and its value: its row, its places in memory.
const OPERATION_BYTES: u64 = 200;

/// The name of an operation: that of its journal, and its number there. No other operation ever has
/// it, and it stays the same however often the operation is delivered, also after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationId {
    /// The journal's, random, made with it.
    pub journal: u128,
    /// Greater than that of every operation that the journal accepted before.
    pub number: u64,
}

/// The journal in 32 hexadecimal digits, a dash, and the number.
impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{}", self.journal, self.number)
    }
}

/// A write, or a deletion, that was acknowledged. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name.
    pub id: OperationId,
    /// What is written to.
    pub key: Key,
    /// What is written; `None` deletes.
    pub value: Option<Arc<[u8]>>,
    /// The version that the writer gave it. It is not compared here.
    pub version: u64,
}

impl Operation {
    /// What it is charged with.
    pub(super) fn bytes(&self) -> u64 {
        weight(&self.key, self.value.as_deref())
    }
}

pub(super) fn weight(key: &Key, value: Option<&[u8]>) -> u64 {
    OPERATION_BYTES + (key.as_str().len() + value.map_or(0, <[u8]>::len)) as u64
}

/// What became of an operation at the sink.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is done, for good; also if it had been done before.
    Applied,
    /// It cannot be done as it is: this counts as one of its tries.
    Refused(Error),
    /// The sink cannot be reached at the moment, which is not the operation's fault: it is tried again,
    /// as often as it takes.
    Unavailable(Error),
}

/// An error that may pass is the sink's, any other the operation's.
impl From<Result<()>> for Outcome {
    fn from(result: Result<()>) -> Self {
        match result {
            Ok(()) => Outcome::Applied,
            Err(error) if error.kind().may_pass() => Outcome::Unavailable(error),
            Err(error) => Outcome::Refused(error),
        }
    }
}

/// Where operations are delivered: the source of what is cached.
///
/// Each operation is delivered at least once. Those of one key come in the order in which they were
/// accepted, and none comes while an earlier one is with the sink; one that a later one of its key
/// overtook in the journal never comes. After the end of the process, or of the machine, those come again
/// of which it was not yet written down that they were done.
///
/// For an effect exactly once, the sink keeps the id of each operation in the transaction that makes its
/// effect, and makes none whose id it has; or it keeps the greatest number by key, and also refuses one that
/// was held up somewhere and comes after a later one:
///
/// ```sql
/// BEGIN IMMEDIATE;
/// INSERT INTO applied (key, journal, number) VALUES (:key, :journal, :number)
///   ON CONFLICT (key, journal) DO UPDATE SET number = excluded.number
///   WHERE excluded.number > number;
/// -- changes() = 0: it was done before. Otherwise write the value here.
/// COMMIT;
/// ```
pub trait Sink: Send + Sync {
    /// Does these, at most one of a key, the one accepted first at the front, and tells what became of
    /// each, in their order. What is told of no outcome counts as refused. After a panic, each is
    /// delivered once more, alone, so that only the one whose fault it is counts a try.
    fn apply(&self, operations: &[Operation]) -> Vec<Outcome>;
}
