//! The last entries of the log that a pass has seen, with their nonces. A copy of the database that is
//! put back in place may have been written to since, until its log is past where the pass stands: by
//! these it is told from the history that the pass knows.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::column::RawText;

/// How many entries are remembered. Files that change again leave their place in the log, so the last
/// one alone would often tell nothing.
const MARKS: usize = 16;

/// The entries of the log that were the last ones at some time.
#[derive(Debug, Default)]
pub(super) struct Marks(Vec<Mark>);

#[derive(Debug)]
struct Mark {
    project: i64,
    path: RawText,
    seq: i64,
    nonce: i64,
}

impl Marks {
    /// The last entries of the log as a transaction sees it.
    pub(super) fn read(conn: &Connection) -> Result<Self> {
        let mut last = conn.prepare_cached(
            "SELECT project_id, path, seq, nonce FROM changes ORDER BY seq DESC LIMIT ?1",
        )?;
        let marks = last.query_map([MARKS as i64], |row| {
            Ok(Mark {
                project: row.get(0)?,
                path: row.get(1)?,
                seq: row.get(2)?,
                nonce: row.get(3)?,
            })
        })?;
        Ok(Marks(marks.collect::<Result<_>>()?))
    }

    /// Whether the log that a transaction sees may have come out of the one that these are of: an entry
    /// only ever moves on to a higher sequence, or is pruned.
    pub(super) fn fit(&self, conn: &Connection, pruned_to: u64) -> Result<bool> {
        let mut find = conn
            .prepare_cached("SELECT seq, nonce FROM changes WHERE project_id = ?1 AND path = ?2")?;
        for mark in &self.0 {
            let now: Option<(i64, i64)> = find
                .query_row(params![mark.project, mark.path], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let fits = match now {
                Some((seq, nonce)) => seq > mark.seq || (seq == mark.seq && nonce == mark.nonce),
                None => mark.seq.cast_unsigned() <= pruned_to,
            };
            if !fits {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
