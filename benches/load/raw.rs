//! The same rows without an index: all of every table that it is made from, each from end to end, or those
//! of the files that the log names. Only the columns that it needs are looked at, and forgotten.

use std::hint::black_box;

use rusqlite::{Connection, Params, Statement};

const TABLES: [&str; 6] = [
    "SELECT id, path, language FROM documents NOT INDEXED",
    "SELECT document_id, name FROM functions",
    "SELECT document_id, ordinal, name FROM classes",
    "SELECT document_id, class_ordinal, name FROM methods",
    "SELECT document_id, document FROM reference_docs",
    "SELECT path, seq FROM changes NOT INDEXED",
];

/// The rows of one file.
const CHILDREN: [&str; 4] = [
    "SELECT name FROM functions WHERE document_id = ?1 ORDER BY ordinal",
    "SELECT ordinal, name FROM classes WHERE document_id = ?1 ORDER BY ordinal",
    "SELECT class_ordinal, name FROM methods WHERE document_id = ?1 ORDER BY ordinal",
    "SELECT document FROM reference_docs WHERE document_id = ?1 ORDER BY ordinal",
];

/// Passes over everything.
pub(crate) fn scan(conn: &Connection) -> rusqlite::Result<()> {
    for sql in TABLES {
        let mut statement = conn.prepare_cached(sql)?;
        look_at(&mut statement, [])?;
    }
    Ok(())
}

/// Passes over the files that changed after `since`; how many there are, and the last change.
pub(crate) fn changes(conn: &Connection, since: i64) -> rusqlite::Result<(usize, i64)> {
    let tx = conn.unchecked_transaction()?;
    let mut log = tx.prepare_cached(
        "SELECT d.id, c.seq, c.path, d.language FROM changes c
         JOIN documents d ON d.project_id = c.project_id AND d.path = c.path
         WHERE c.seq > ?1 ORDER BY c.seq",
    )?;
    let mut children = CHILDREN
        .into_iter()
        .map(|sql| tx.prepare_cached(sql))
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut rows = log.query([since])?;
    let (mut count, mut last) = (0, since);
    while let Some(row) = rows.next()? {
        let document: i64 = row.get(0)?;
        last = row.get(1)?;
        black_box((row.get_ref(2)?, row.get_ref(3)?));
        for child in &mut children {
            look_at(child, [document])?;
        }
        count += 1;
    }
    Ok((count, last))
}

fn look_at(statement: &mut Statement<'_>, parameters: impl Params) -> rusqlite::Result<()> {
    let columns = statement.column_count();
    let mut rows = statement.query(parameters)?;
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            black_box(row.get_ref(column)?);
        }
    }
    Ok(())
}
