//! A connection that only reads, and its view of the file. A statement alone sees what was committed
//! before it, and asks the file's locks for that each time, which takes as long as the rest of a look-up.
//! With a view it asks once: all statements see the file as it was at the first of them.
//!
//! A view that is kept sees no later change, and keeps the log from starting anew. Whoever keeps one has
//! to end it before anything is changed: see [`Readers`](super::readers::Readers).

use rusqlite::Connection;

use super::row::Instant;

/// The age from which on a view is not read any more, in nanoseconds: nobody else should change the file,
/// and if somebody does, it is seen after so long.
const MOST_NS: i64 = 100_000_000;

/// A connection that only reads.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) conn: Connection,
    /// When it began to keep a view, the last time that it did.
    since_ns: i64,
    /// After how many beginnings and ends of turns it was handed out last.
    pub(super) turns: u64,
}

impl Viewer {
    pub(super) fn new(conn: Connection) -> Self {
        Viewer {
            conn,
            since_ns: 0,
            turns: 0,
        }
    }

    /// Whether it keeps a view, or a failed statement has left it one. SQLite alone knows: it may have
    /// ended one itself after an error.
    pub(super) fn has_view(&self) -> bool {
        !self.conn.is_autocommit()
    }

    /// Keeps a view from the next statement on, if it has none that is young enough.
    pub(super) fn keep_view(&mut self, now: Instant) -> rusqlite::Result<()> {
        if self.has_view() {
            let age_ns = now.boot_ns.saturating_sub(self.since_ns);
            if (0..MOST_NS).contains(&age_ns) {
                return Ok(());
            }
            self.end_view()?;
        }
        self.conn.prepare_cached("BEGIN")?.execute([])?;
        self.since_ns = now.boot_ns;
        Ok(())
    }

    /// Ends its view, if it has one.
    pub(super) fn end_view(&mut self) -> rusqlite::Result<()> {
        if self.has_view() {
            self.conn.prepare_cached("ROLLBACK")?.execute([])?;
        }
        Ok(())
    }
}
