//! Whether a database is sound, and mending its log when it is not. Both work on a file that a store
//! would refuse to open.

use std::path::Path;

use rusqlite::{Connection, Result, Transaction, TransactionBehavior};

use super::failure::failed;
use super::schema;
use crate::error;

/// Something that is wrong with a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: `integrity`, `foreign-keys`, `triggers`, `quiet` or `log`.
    pub check: &'static str,
    /// What is wrong, naming the row or the object.
    pub message: String,
}

/// How many findings one check reports; a damaged file can have millions.
const MAX_FINDINGS: usize = 100;

/// A check: its name, and the statement whose rows are its findings.
const CHECKS: [(&str, &str); 6] = [
    (
        "integrity",
        "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
    ),
    (
        "foreign-keys",
        "SELECT format('a row of %s has no row in %s', \"table\", parent)
         FROM pragma_foreign_key_check",
    ),
    (
        "quiet",
        "SELECT 'change capture is switched off, or its state is missing'
         WHERE (SELECT quiet FROM log_state WHERE id = 1) IS NOT 0
            OR NOT EXISTS (SELECT 1 FROM identity)",
    ),
    (
        "log",
        "SELECT format('the log does not know %s of project %d', d.path, d.project_id)
         FROM documents d WHERE NOT EXISTS (
            SELECT 1 FROM changes c WHERE c.project_id = d.project_id AND c.path = d.path)",
    ),
    (
        "log",
        "SELECT format('%s of project %d has the impossible sequence %d', path, project_id, seq)
         FROM changes WHERE seq < 1",
    ),
    (
        "log",
        "SELECT format('the log is said to be pruned to the impossible sequence %d', pruned_to)
         FROM log_state WHERE pruned_to < 0",
    ),
];

/// Looks at everything that the promises of the store rest on. Takes time in proportion to the file.
pub(super) fn check(conn: &Connection, file: &Path) -> error::Result<Vec<Finding>> {
    schema::version(conn, file)?;
    let look = || {
        // One read transaction: all checks see one state.
        let tx = conn.unchecked_transaction()?;
        let mut findings = capture(&tx)?;
        for (check, sql) in CHECKS {
            let mut statement = tx.prepare(sql)?;
            let rows = statement.query_map([], |row| {
                // A message may show a path that is no text.
                Ok(String::from_utf8_lossy(row.get_ref(0)?.as_bytes()?).into_owned())
            })?;
            for message in rows.take(MAX_FINDINGS) {
                findings.push(Finding {
                    check,
                    message: message?,
                });
            }
        }
        Ok(findings)
    };
    look().map_err(|e| failed(file, "check the rows", e))
}

fn capture(conn: &Connection) -> Result<Vec<Finding>> {
    let finding = |message| Finding {
        check: "triggers",
        message,
    };
    Ok(schema::capture_faults(conn)?
        .into_iter()
        .map(finding)
        .collect())
}

/// Makes change capture whole again: its triggers as they should be, switched on, and, since nobody
/// knows what went unlogged, every file logged anew under a new identity, so that every index of this
/// database is built anew and every derived value is revalidated.
pub(super) fn repair(conn: &Connection, file: &Path) -> error::Result<()> {
    schema::version(conn, file)?;
    let mend = || {
        let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
        for name in schema::capture().keys() {
            let kind = if name == "touched" { "VIEW" } else { "TRIGGER" };
            tx.execute_batch(&format!("DROP {kind} IF EXISTS {name}"))?;
        }
        // The view comes first: dropping or making it takes or needs no trigger of its own.
        let (view, triggers): (Vec<_>, Vec<_>) = schema::capture()
            .iter()
            .partition(|(name, _)| *name == "touched");
        for (_, sql) in view.into_iter().chain(triggers) {
            tx.execute_batch(sql)?;
        }
        tx.execute_batch(RELOG)?;
        tx.commit()
    };
    mend().map_err(|e| failed(file, "repair the change log", e))
}

const RELOG: &str = "
    INSERT INTO log_state (id, quiet) VALUES (1, 0)
    ON CONFLICT (id) DO UPDATE SET quiet = 0, pruned_to = max(pruned_to, 0);
    DELETE FROM changes WHERE seq < 1;
    INSERT INTO identity (id, db_uuid, created_at)
    VALUES (1, lower(hex(randomblob(16))), strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000000Z')
    ON CONFLICT (id) DO UPDATE SET db_uuid = excluded.db_uuid;
    INSERT INTO touched (project_id, path)
    SELECT project_id, path FROM changes UNION SELECT project_id, path FROM documents;";
