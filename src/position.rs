//! A position in a database's change log: which database, and how far.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// A point in the change log of one database. Every commit moves the sequence up; it never
/// restarts. Positions of different epochs (of different databases) do not compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Position {
    /// Names the database and its history: another file, the same one put back from a copy, and one
    /// whose schema was changed (also by `VACUUM`) have another epoch. A process that saw the log go
    /// back tells another one than those that did not, until it is started again.
    pub epoch: u64,
    /// The highest log sequence at or below this point; 0 is before the first change.
    pub sequence: u64,
}

impl Position {
    /// The position of a sequence of the same log.
    pub(crate) fn at(self, sequence: u64) -> Position {
        Position { sequence, ..self }
    }

    /// Whether a state at this position includes the commit at `other`: not if that is of another
    /// epoch.
    pub fn covers(self, other: Position) -> bool {
        self >= other
    }
}

/// Positions compare within an epoch only.
impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (self.epoch == other.epoch).then(|| self.sequence.cmp(&other.sequence))
    }
}

/// `EPOCH:SEQUENCE`, the epoch in 16 hexadecimal digits.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:{}", self.epoch, self.sequence)
    }
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || {
            Error::new(
                ErrorKind::InvalidInput,
                format!("`{text}` is not a log position"),
            )
            .with_help("a position looks like 00c0ffee00c0ffee:42")
        };
        let (epoch, sequence) = text.split_once(':').ok_or_else(bad)?;
        Ok(Position {
            epoch: u64::from_str_radix(epoch, 16).map_err(|_| bad())?,
            sequence: sequence.parse().map_err(|_| bad())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip_and_order() {
        let position = Position {
            epoch: 0xc0ffee,
            sequence: 42,
        };
        assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
        assert!(
            position
                < Position {
                    sequence: 43,
                    ..position
                }
        );
        assert_eq!(
            position.partial_cmp(&Position {
                epoch: 1,
                sequence: 42
            }),
            None
        );
        assert_eq!(
            "42".parse::<Position>().unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }
}
