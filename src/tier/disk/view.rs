//! A connection that only reads, and its view of the file. A statement alone sees what was committed
//! before it, and asks the file's locks for that each time, which takes as long as the rest of a look-up.
//! With a view it asks once: all statements see the file as it was at the first of them.
//!
//! A view that is kept sees no later change, and keeps the log from starting anew. Whoever keeps one has
//! to end it before anything is changed: see [`Readers`](super::readers::Readers).

use rusqlite::Connection;

use super::row::Instant;

/// The longest that a view is kept, in nanoseconds since the boot: nobody else should change the file,
/// and if somebody does, it is seen after so long.
const MOST_NS: i64 = 100_000_000;

/// A connection that only reads.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) conn: Connection,
    /// Since when it keeps a view, if it does.
    since_ns: Option<i64>,
    /// After how many beginnings and ends of turns it was handed out last.
    pub(super) turns: u64,
}

impl Viewer {
    pub(super) fn new(conn: Connection) -> Self {
        Viewer {
            conn,
            since_ns: None,
            turns: 0,
        }
    }

    /// Whether it keeps a view.
    pub(super) fn has_view(&self) -> bool {
        self.since_ns.is_some()
    }

    /// Keeps a view from the next statement on, if it has none that is young enough.
    pub(super) fn keep_view(&mut self, now: Instant) -> rusqlite::Result<()> {
        if let Some(since) = self.since_ns {
            if (0..MOST_NS).contains(&now.boot_ns.saturating_sub(since)) {
                return Ok(());
            }
            self.end_view()?;
        }
        self.conn.prepare_cached("BEGIN")?.execute([])?;
        self.since_ns = Some(now.boot_ns);
        Ok(())
    }

    /// Ends its view, if it has one. SQLite itself may have done so after an error.
    pub(super) fn end_view(&mut self) -> rusqlite::Result<()> {
        if self.has_view() && !self.conn.is_autocommit() {
            self.conn.prepare_cached("ROLLBACK")?.execute([])?;
        }
        self.since_ns = None;
        Ok(())
    }
}
