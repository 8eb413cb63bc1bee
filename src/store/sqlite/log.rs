//! The change log as it is read and pruned. Its rows are written by the triggers and by the view
//! `touched` of the schema alone.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::column::{Columns, RawText};
use super::failure::failed;
use super::frame::Frame;
use super::lookup::{Found, Lookup};
use super::write;
use crate::position::Position;
use crate::store::{Change, ChangeMark, ChangeSet, RowSink, ScanReport, Traces};

/// The highest sequence in use, inside a transaction that has logged something.
pub(super) fn head(conn: &Connection) -> Result<u64> {
    let seq: i64 = conn
        .prepare_cached("SELECT max(seq) FROM changes")?
        .query_row([], |row| row.get(0))?;
    Ok(seq.cast_unsigned())
}

/// Hands over every file of the frame's project that changed after `since`.
///
/// # Errors
/// `LogPruned` if the log does not reach back to `since`.
pub(super) fn read_changes(
    conn: &Connection,
    frame: &Frame,
    file: &Path,
    since: Position,
    sink: &mut dyn RowSink,
) -> crate::error::Result<ScanReport> {
    frame.assert_reaches(since, file)?;
    let mut report = ScanReport {
        position: frame.position,
        ..ScanReport::default()
    };
    scan_changes(conn, frame.project, since.sequence, sink, &mut report)
        .map_err(|e| failed(file, "read the change log", e))?;
    Ok(report)
}

/// Hands over every file of the project that changed after `since`, in the order of the log.
fn scan_changes(
    conn: &Connection,
    project: i64,
    since: u64,
    sink: &mut dyn RowSink,
    report: &mut ScanReport,
) -> Result<()> {
    let mut changes = conn.prepare_cached(
        "SELECT path, seq FROM changes INDEXED BY changes_by_seq
         WHERE seq > ?2 AND project_id = ?1 ORDER BY seq",
    )?;
    let mut rows = changes.query(params![project, i64::try_from(since).unwrap_or(i64::MAX)])?;
    let mut lookup = None;
    while let Some(row) = rows.next()? {
        let lookup = match &mut lookup {
            Some(lookup) => lookup,
            none => none.insert(Lookup::new(conn)?),
        };
        let named = Columns {
            row,
            table: "changes",
        };
        // No sink ever heard of a file whose path cannot be read: it is only told that it is gone.
        if named.path(0).is_err() && !write::exists(conn, project, row.get::<_, RawText>(0)?)? {
            report.deleted += 1;
            sink.deleted(&named.shown(0));
            continue;
        }
        let Some((path, version)) = report.named_file(&named)? else {
            continue;
        };
        match lookup.hand_over(project, path, version, sink, report)? {
            Found::File => {}
            Found::Nothing => {
                report.deleted += 1;
                sink.deleted(path);
            }
            // The sink may know an older state of the file: better none than a stale one.
            Found::Unreadable => sink.deleted(path),
        }
    }
    Ok(())
}

/// What changed since a position; every file, if the log cannot tell.
pub(super) fn changes(
    conn: &Connection,
    frame: &Frame,
    file: &Path,
    since: Position,
    limit: usize,
) -> Result<ChangeSet> {
    let is_fresh_instance = frame.assert_reaches(since, file).is_err();
    let mut named = conn.prepare_cached(
        "SELECT c.path, c.seq, NOT EXISTS (
            SELECT 1 FROM documents d WHERE d.project_id = c.project_id AND d.path = c.path)
         FROM changes c INDEXED BY changes_by_seq
         WHERE c.seq > ?2 AND c.project_id = ?1 ORDER BY c.seq",
    )?;
    let from = if is_fresh_instance { 0 } else { since.sequence };
    let mut rows = named.query(params![
        frame.project,
        i64::try_from(from).unwrap_or(i64::MAX)
    ])?;
    let mut set = ChangeSet {
        position: frame.position,
        changes: Vec::new(),
        is_fresh_instance,
        is_truncated: false,
    };
    while let Some(row) = rows.next()? {
        let is_deleted = row.get(2)?;
        if is_fresh_instance && is_deleted {
            continue;
        }
        if set.changes.len() == limit {
            let last = set.changes.last().map_or(from, |change| change.version);
            set.position = frame.position.at(last);
            set.is_truncated = true;
            break;
        }
        let columns = Columns {
            row,
            table: "changes",
        };
        set.changes.push(Change {
            path: columns.shown(0),
            version: row.get::<_, i64>(1)?.cast_unsigned(),
            is_deleted,
        });
    }
    Ok(set)
}

/// What changed since a position, and the last change of a path with all below it.
pub(super) fn traces(
    conn: &Connection,
    frame: &Frame,
    file: &Path,
    since: Position,
    limit: usize,
    of: Option<&str>,
) -> Result<Traces> {
    let changes = match frame.assert_reaches(since, file) {
        Ok(()) => marks_since(conn, frame, since.sequence, limit)?,
        Err(_) => None,
    };
    let last = match of {
        Some(path) => last_mark(conn, frame.project, path)?,
        None => None,
    };
    Ok(Traces {
        position: frame.position,
        pruned: frame.pruned,
        changes,
        last,
    })
}

/// Every file that changed after `since`; `None` if there are more than `limit`.
fn marks_since(
    conn: &Connection,
    frame: &Frame,
    since: u64,
    limit: usize,
) -> Result<Option<Vec<(String, ChangeMark)>>> {
    if since == frame.position.sequence {
        return Ok(Some(Vec::new()));
    }
    let mut named = conn.prepare_cached(
        "SELECT seq, nonce, path FROM changes INDEXED BY changes_by_seq
         WHERE seq > ?2 AND project_id = ?1",
    )?;
    let since = i64::try_from(since).unwrap_or(i64::MAX);
    let mut rows = named.query(params![frame.project, since])?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        if changes.len() == limit {
            return Ok(None);
        }
        let columns = Columns {
            row,
            table: "changes",
        };
        changes.push((columns.shown(2), mark(row)?));
    }
    Ok(Some(changes))
}

/// The last change of a file, or of a directory and all below it: reads a row a file below it.
fn last_mark(conn: &Connection, project: i64, path: &str) -> Result<Option<ChangeMark>> {
    let (sql, path) = match path {
        "" => (
            "SELECT seq, nonce FROM changes INDEXED BY changes_by_seq
             WHERE project_id = ?1 AND ?2 IS NULL ORDER BY seq DESC LIMIT 1",
            None,
        ),
        // What is below a directory lies between its name with `/` and its name with what follows that,
        // `0`. The nonce is that of the row with the highest sequence.
        path => (
            "SELECT seq, nonce FROM (
                 SELECT seq, nonce FROM changes WHERE project_id = ?1 AND path = ?2
                 UNION ALL
                 SELECT max(seq) AS seq, nonce FROM changes
                 WHERE project_id = ?1 AND path > ?2 || '/' AND path < ?2 || '0')
             WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT 1",
            Some(path),
        ),
    };
    conn.prepare_cached(sql)?
        .query_row(params![project, path], mark)
        .optional()
}

fn mark(row: &Row<'_>) -> Result<ChangeMark> {
    Ok(ChangeMark {
        version: row.get::<_, i64>(0)?.cast_unsigned(),
        nonce: row.get(1)?,
    })
}

/// Deletes every tombstone but the newest `keep`, of all projects, and records how far the log is
/// now incomplete, under a new nonce. Returns how many were deleted.
pub(super) fn prune(conn: &Connection, keep: u64) -> Result<u64> {
    const TOMBSTONES: &str = "FROM changes c WHERE NOT EXISTS (
        SELECT 1 FROM documents d WHERE d.project_id = c.project_id AND d.path = c.path)";
    let last: Option<i64> = conn
        .prepare(&format!(
            "SELECT seq {TOMBSTONES} ORDER BY seq DESC LIMIT 1 OFFSET ?1"
        ))?
        .query_map([i64::try_from(keep).unwrap_or(i64::MAX)], |row| row.get(0))?
        .next()
        .transpose()?;
    let Some(last) = last else { return Ok(0) };
    conn.execute(
        "UPDATE log_state SET pruned_to = max(pruned_to, ?1), pruned_nonce = random()",
        [last],
    )?;
    let pruned = conn.execute(
        &format!(
            "DELETE FROM changes WHERE (project_id, path) IN (
                SELECT c.project_id, c.path {TOMBSTONES} AND c.seq <= ?1)"
        ),
        [last],
    )?;
    Ok(pruned as u64)
}
