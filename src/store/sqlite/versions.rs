//! The version of each file during a scan. Files usually come in path order, as the log is stored:
//! then a cursor beside them costs one step a file. A file out of order costs a look-up.

use std::cmp::Ordering;

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, Rows, params};

/// How far the cursor may run ahead for one file before a look-up is cheaper. It doubles while the
/// file looked for is further ahead, so that a block of tombstones is crossed once.
const STEPS: usize = 8;

/// The statements of [`Versions`].
pub(super) struct VersionStatements<'c> {
    in_order: CachedStatement<'c>,
    one: CachedStatement<'c>,
}

impl<'c> VersionStatements<'c> {
    pub(super) fn new(conn: &'c Connection) -> Result<Self> {
        Ok(VersionStatements {
            in_order: conn.prepare_cached(
                "SELECT path, seq FROM changes WHERE project_id = ?1 ORDER BY path",
            )?,
            one: conn
                .prepare_cached("SELECT seq FROM changes WHERE project_id = ?1 AND path = ?2")?,
        })
    }

    pub(super) fn start(&mut self, project: i64) -> Result<Versions<'_, 'c>> {
        let mut cursor = self.in_order.query([project])?;
        cursor.advance()?;
        Ok(Versions {
            project,
            cursor,
            one: &mut self.one,
            steps: STEPS,
        })
    }
}

/// Finds the log sequence of one file after the other.
pub(super) struct Versions<'s, 'c> {
    project: i64,
    cursor: Rows<'s>,
    one: &'s mut CachedStatement<'c>,
    steps: usize,
}

impl Versions<'_, '_> {
    /// The sequence of a file's last change; 0 if the log does not know the file.
    pub(super) fn of(&mut self, path: &str) -> Result<u64> {
        for _ in 0..self.steps {
            let Some(row) = self.cursor.get() else {
                return self.look_up(path);
            };
            match row.get_ref(0)?.as_bytes()?.cmp(path.as_bytes()) {
                Ordering::Less => self.cursor.advance()?,
                Ordering::Equal => {
                    let seq: i64 = row.get(1)?;
                    self.cursor.advance()?;
                    self.steps = STEPS;
                    return Ok(seq.cast_unsigned());
                }
                Ordering::Greater => return self.look_up(path),
            }
        }
        self.steps *= 2;
        self.look_up(path)
    }

    fn look_up(&mut self, path: &str) -> Result<u64> {
        let seq = self
            .one
            .query_row(params![self.project, path], |row| row.get(0))
            .optional()?;
        Ok(seq.map_or(0, i64::cast_unsigned))
    }
}
