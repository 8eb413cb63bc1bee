//! The raw scan: the rows of every table that the index is made from, each table from end to end, only the
//! columns that it needs, looked at and forgotten.

use std::hint::black_box;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

const TABLES: [&str; 6] = [
    "SELECT id, path, language FROM documents NOT INDEXED",
    "SELECT document_id, name FROM functions",
    "SELECT document_id, ordinal, name FROM classes",
    "SELECT document_id, class_ordinal, name FROM methods",
    "SELECT document_id, document FROM reference_docs",
    "SELECT path, seq FROM changes NOT INDEXED",
];

/// Returns how many bytes of text it saw, and how many rows.
pub(crate) fn scan(conn: &Connection) -> rusqlite::Result<(usize, usize)> {
    let (mut bytes, mut count) = (0, 0);
    for sql in TABLES {
        let mut statement = conn.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            count += 1;
            for column in 0..columns {
                match black_box(row.get_ref(column)?) {
                    ValueRef::Text(text) => bytes += text.len(),
                    ValueRef::Integer(number) => drop(black_box(number)),
                    _ => {}
                }
            }
        }
    }
    Ok((bytes, count))
}
