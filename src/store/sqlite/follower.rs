//! The connection that looks at the change log: one of its own, outside the pool, that never writes.
//! As long as nobody commits, a look costs two small reads and begins no transaction.

use std::path::Path;
use std::sync::Arc;

use super::connection::Lasting;
use super::failure::failed;
use super::frame::Frame;
use super::log;
use super::options::SqliteOptions;
use super::pool::Pool;
use crate::error::Result;
use crate::position::Position;
use crate::store::{RowSink, ScanReport};

/// A connection to the file of a pool, and what it saw last.
#[derive(Debug)]
pub(super) struct Follower {
    conn: Lasting,
    pool: Arc<Pool>,
    seen: Option<Seen>,
}

/// What was known after the last look.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// SQLite's count of the commits of others, as it was before the look's own transaction: it is
    /// blind to what is committed while that is open.
    data_version: i64,
    /// How often the log had been found to be another one.
    others: u64,
    position: Position,
}

impl Follower {
    /// # Errors
    /// Those of opening the file.
    pub(super) fn open(file: &Path, pool: Arc<Pool>, options: &SqliteOptions) -> Result<Self> {
        let conn = Lasting::open(Arc::clone(pool.place()), options.timeout())?;
        conn.pragma_update(None, "query_only", true)
            .map_err(|e| failed(file, "open", e))?;
        Ok(Follower {
            conn,
            pool,
            seen: None,
        })
    }

    /// Whether it leads to the file of this pool.
    pub(super) fn is_of(&self, pool: &Arc<Pool>) -> bool {
        Arc::ptr_eq(&self.pool, pool)
    }

    /// Hands over every file of the project that changed after `since`, all of one instant.
    ///
    /// # Errors
    /// As [`MetadataStore::scan_changes`](crate::store::MetadataStore::scan_changes).
    pub(super) fn scan_changes(
        &mut self,
        file: &Path,
        project: &str,
        since: Position,
        sink: &mut dyn RowSink,
    ) -> Result<ScanReport> {
        let fail = |e| failed(file, "read the change log", e);
        let data_version = self
            .conn
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut pragma| pragma.query_row([], |row| row.get(0)))
            .map_err(fail)?;
        let before = self.pool.history();
        if let Some(seen) = self.seen
            && seen.data_version == data_version
            && seen.others == before.others()
            && seen.position == since
        {
            return Ok(ScanReport {
                position: since,
                ..ScanReport::default()
            });
        }
        self.seen = None;
        let tx = self.conn.unchecked_transaction().map_err(fail)?;
        let frame = Frame::read(&tx, &self.pool, &before, file, project)?;
        let report = log::read_changes(&tx, &frame, file, since, sink)?;
        self.seen = Some(Seen {
            data_version,
            others: before.others(),
            position: report.position,
        });
        Ok(report)
    }
}
