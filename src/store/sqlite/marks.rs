//! The end of the log as transactions have seen it. A copy of the database that is put back in place
//! is another history from then on, also once it was written to until its log is past where ours
//! stood: it is told by the last entries and their nonces.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, Row, params};

use super::column::RawText;

/// How many entries are remembered. Files that change again leave their place in the log, so the last
/// one alone would often tell nothing.
const MARKS: usize = 16;

/// The end of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogHead {
    pub(super) seq: u64,
    /// That of the entry with this sequence, unless it was pruned.
    pub(super) nonce: Option<i64>,
}

impl LogHead {
    /// Whether it may be the head of the same log, later.
    pub(super) fn follows(self, before: LogHead) -> bool {
        let is_known = self.nonce.is_some() && before.nonce.is_some();
        let differs = self.seq == before.seq && is_known && self.nonce != before.nonce;
        self.seq >= before.seq && !differs
    }
}

/// The last entries of a log at some time, in the order of their sequences.
#[derive(Debug, Default)]
pub(super) struct Marks(Vec<Mark>);

#[derive(Debug, PartialEq, Eq)]
struct Mark {
    project: i64,
    /// As it is in the row, whatever that is.
    path: RawText,
    seq: i64,
    nonce: i64,
}

impl Mark {
    fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Mark {
            project: row.get(0)?,
            path: row.get(1)?,
            seq: row.get(2)?,
            nonce: row.get(3)?,
        })
    }
}

impl Marks {
    /// The last entries of the log as a transaction sees it.
    pub(super) fn read(conn: &Connection) -> Result<Self> {
        let mut last = conn.prepare_cached(
            "SELECT project_id, path, seq, nonce FROM changes ORDER BY seq DESC LIMIT ?1",
        )?;
        let marks = last.query_map([MARKS as i64], Mark::read)?;
        let mut marks: Vec<Mark> = marks.collect::<Result<_>>()?;
        marks.reverse();
        Ok(Marks(marks))
    }

    /// The last of them.
    pub(super) fn head(&self) -> LogHead {
        let last = self.0.last().map(|mark| LogHead {
            seq: mark.seq.cast_unsigned(),
            nonce: Some(mark.nonce),
        });
        last.unwrap_or_default()
    }

    /// Whether the log that a transaction sees may have come out of the one that these are of. There
    /// an entry only ever moves on to a higher sequence, or is pruned; so each of these is still there,
    /// later or gone, and nobody else stands where they stood.
    pub(super) fn fit(&self, conn: &Connection, pruned_to: u64) -> Result<bool> {
        let mut find = conn
            .prepare_cached("SELECT seq, nonce FROM changes WHERE project_id = ?1 AND path = ?2")?;
        for mark in &self.0 {
            if !mark.fits(&mut find, pruned_to)? {
                return Ok(false);
            }
        }
        self.hold_their_places(conn)
    }

    fn hold_their_places(&self, conn: &Connection) -> Result<bool> {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else {
            return Ok(true);
        };
        // Where these were all that there was, nothing may stand before them either.
        let from = if self.0.len() < MARKS { 0 } else { first.seq };
        let mut between = conn.prepare_cached(
            "SELECT project_id, path, seq, nonce FROM changes WHERE seq BETWEEN ?1 AND ?2",
        )?;
        let mut rows = between.query(params![from, last.seq])?;
        while let Some(row) = rows.next()? {
            if !self.0.contains(&Mark::read(row)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Mark {
    fn fits(&self, find: &mut CachedStatement<'_>, pruned_to: u64) -> Result<bool> {
        let now: Option<(i64, i64)> = find
            .query_row(params![self.project, self.path], |row| row.try_into())
            .optional()?;
        Ok(match now {
            Some((seq, nonce)) => seq > self.seq || (seq, nonce) == (self.seq, self.nonce),
            None => self.seq.cast_unsigned() <= pruned_to,
        })
    }
}
