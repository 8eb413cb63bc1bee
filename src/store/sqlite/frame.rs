//! What every transaction reads first: which database and project it sees, and how far its log goes.
//! Whatever could make the log unreliable is noticed here, before any row is used.

use std::path::Path;

use rusqlite::Connection;

use super::failure::failed;
use super::marks::LogHead;
use super::pool::{History, Pool, not_captured};
use super::schema;
use crate::error::{Error, ErrorKind, Result};
use crate::position::Position;
use crate::store::Pruned;

/// One transaction's view of the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// The project's id, in this transaction.
    pub(super) project: i64,
    /// The position of the last change that the transaction sees.
    pub(super) position: Position,
    /// Which tombstones are gone.
    pub(super) pruned: Pruned,
    /// A writer that logs its files itself may switch the triggers off.
    pub(super) may_be_quiet: bool,
}

const FRAME: &str = "SELECT
    (SELECT id FROM projects WHERE name = ?1),
    (SELECT db_uuid FROM identity WHERE id = 1),
    (SELECT quiet FROM log_state WHERE id = 1),
    (SELECT pruned_to FROM log_state WHERE id = 1),
    (SELECT pruned_nonce FROM log_state WHERE id = 1),
    (SELECT max(seq) FROM changes),
    (SELECT nonce FROM changes ORDER BY seq DESC LIMIT 1)";

impl Frame {
    /// Reads the frame; `conn` is in a transaction, which began after `before` was taken of the pool.
    ///
    /// # Errors
    /// `SchemaTooNew`; `DatabaseCorrupt` if changes may have gone unlogged; `NotFound` if the project
    /// is gone.
    pub(super) fn read(
        conn: &Connection,
        pool: &Pool,
        before: &History,
        file: &Path,
        project: &str,
    ) -> Result<Self> {
        schema::assert_known(conn, file)?;
        let cookie = pool.verify_capture(conn, file)?;
        type Columns = (
            Option<i64>,
            Option<String>,
            Option<i64>,
            Option<i64>,
            Option<i64>,
            Option<i64>,
            Option<i64>,
        );
        let (id, uuid, quiet, pruned_to, pruned_nonce, seq, nonce): Columns = conn
            .prepare_cached(FRAME)
            .and_then(|mut statement| statement.query_row([project], |row| row.try_into()))
            .map_err(|e| failed(file, "read the change log", e))?;
        if quiet != Some(0) {
            return Err(not_captured(
                file,
                "a writer left change capture switched off",
            ));
        }
        let uuid = uuid.ok_or_else(|| not_captured(file, "the database's identity is missing"))?;
        let project = id.ok_or_else(|| no_project(file, project))?;
        let sequence = |stored: Option<i64>| {
            u64::try_from(stored.unwrap_or(0))
                .map_err(|_| not_captured(file, "the log has a negative sequence"))
        };
        let pruned_to = sequence(pruned_to)?;
        let last = sequence(seq)?;
        let head = LogHead {
            seq: pruned_to.max(last),
            nonce: nonce.filter(|_| last >= pruned_to),
        };
        let others = pool.compare(conn, head, pruned_to, before);
        let others = match others.map_err(|e| failed(file, "read the change log", e))? {
            0 => Vec::new(),
            some => some.to_le_bytes().to_vec(),
        };
        Ok(Frame {
            project,
            position: Position {
                epoch: epoch(&[
                    uuid.as_bytes(),
                    &project.to_le_bytes(),
                    &pool.identity().bytes(),
                    &cookie.to_le_bytes(),
                    &others,
                ]),
                sequence: head.seq,
            },
            pruned: Pruned {
                to: pruned_to,
                nonce: pruned_nonce.unwrap_or_default(),
            },
            may_be_quiet: !pool.has_foreign_triggers(),
        })
    }

    /// Checks that the log names every change after `since`.
    ///
    /// # Errors
    /// `LogPruned` if it does not, or if `since` is of another history.
    pub(super) fn assert_reaches(&self, since: Position, file: &Path) -> Result<()> {
        let (head, low) = (self.position, self.pruned.to);
        let reason = if since.epoch != head.epoch {
            format!("it is another one than that of {since}, now at {head}")
        } else if since.sequence > head.sequence {
            format!("it ends at {head}, before {since}: an older copy was restored")
        } else if since.sequence < low {
            format!("it was pruned up to {low}, past {since}")
        } else {
            return Ok(());
        };
        Err(unfollowable(file, &reason))
    }
}

fn unfollowable(file: &Path, reason: &str) -> Error {
    let name = file.display();
    let message = format!("the change log of {name} cannot be followed: {reason}");
    Error::new(ErrorKind::LogPruned, message).with_help("scan the whole database")
}

fn no_project(file: &Path, project: &str) -> Error {
    let message = format!(
        "the database {} has no project `{project}` any more",
        file.display()
    );
    Error::new(ErrorKind::NotFound, message).with_help("open the store again to make it anew")
}

/// FNV-1a over the parts, mixed: the same in every process and every build, and another number for
/// another database, file, schema or project. Only where this process saw the log go back it differs
/// from what others say, until it is started again.
fn epoch(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().copied().flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}
