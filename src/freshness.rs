//! How fresh an answer must be, as the caller's choice.

use std::fmt;
use std::time::Duration;

use crate::position::Position;

/// What an answer must reflect at least. A demand that cannot be met is an error, never an older
/// answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// What was seen last, however long ago: no I/O.
    #[default]
    Cached,
    /// A look at the log that began at most this long before the call; otherwise one is taken.
    MaxAge(Duration),
    /// The commit at this position: one of the caller's own, or one that another process told of.
    AtLeast(Position),
    /// Everything that is committed before the call: a look that begins after it.
    Latest,
}

/// `cached`, `max-age 300ms`, `at least EPOCH:SEQUENCE`, `latest`.
impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Freshness::Cached => f.write_str("cached"),
            Freshness::MaxAge(age) => write!(f, "max-age {age:?}"),
            Freshness::AtLeast(position) => write!(f, "at least {position}"),
            Freshness::Latest => f.write_str("latest"),
        }
    }
}
