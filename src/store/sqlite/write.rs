//! Writing whole records. What a record cannot hold is refused before the database is touched; then
//! its rows are replaced and its key is logged once, in the transaction of the caller.

use rusqlite::{Connection, Result, ToSql, named_params, params};

use super::column;
use crate::error;
use crate::metadata::{Class, DocSections, FileMetadata, Function, HeaderSections};
use crate::store::Write;

/// A write whose values fit the columns.
pub(super) enum Checked<'w> {
    Put(CheckedRecord<'w>),
    Remove(&'w str),
}

/// A record with those of its values that the database could not hold as they are.
pub(super) struct CheckedRecord<'w> {
    record: &'w FileMetadata,
    size_bytes: Option<i64>,
    last_modified: Option<String>,
    extraction_timestamp: Option<String>,
}

impl<'w> Checked<'w> {
    /// # Errors
    /// `InvalidRecord` naming path and field.
    pub(super) fn new(write: &'w Write) -> error::Result<Self> {
        match write {
            Write::Put(record) => Self::put(record),
            Write::Remove(path) => Ok(Checked::Remove(path.as_str())),
        }
    }

    pub(super) fn put(record: &'w FileMetadata) -> error::Result<Self> {
        let named = |e: error::Error| {
            error::Error::new(
                e.kind(),
                format!("the record of {} is refused", record.path),
            )
            .because(e)
        };
        let instant = |name, at: Option<_>| {
            at.map(|at| column::instant(name, at))
                .transpose()
                .map_err(named)
        };
        Ok(Checked::Put(CheckedRecord {
            record,
            size_bytes: record
                .size_bytes
                .map(column::size)
                .transpose()
                .map_err(named)?,
            last_modified: instant("lastModified", record.last_modified)?,
            extraction_timestamp: instant("extractionTimestamp", record.extraction_timestamp)?,
        }))
    }
}

/// Switches the triggers off, or on again, for this transaction.
pub(super) fn set_quiet(conn: &Connection, quiet: bool) -> Result<()> {
    conn.prepare_cached("UPDATE log_state SET quiet = ?1")?
        .execute([quiet])?;
    Ok(())
}

/// Applies one write and logs its key. Returns whether there was anything to do: removing a file
/// that is not there is nothing, and leaves no trace.
pub(super) fn apply(conn: &Connection, project: i64, write: &Checked<'_>) -> Result<bool> {
    let path = match write {
        Checked::Put(checked) => {
            put(conn, project, checked)?;
            checked.record.path.as_str()
        }
        Checked::Remove(path) => {
            if !remove(conn, project, path)? {
                return Ok(false);
            }
            path
        }
    };
    conn.prepare_cached("INSERT INTO touched (project_id, path) VALUES (?1, ?2)")?
        .execute(params![project, path])?;
    Ok(true)
}

/// Whether the project has a file of this path; a path that no file can have may be asked for too.
pub(super) fn exists(conn: &Connection, project: i64, path: impl ToSql) -> Result<bool> {
    conn.prepare_cached("SELECT 1 FROM documents WHERE project_id = ?1 AND path = ?2")?
        .exists(params![project, path])
}

fn remove(conn: &Connection, project: i64, path: &str) -> Result<bool> {
    // The rows of the child tables go with it.
    let removed = conn
        .prepare_cached("DELETE FROM documents WHERE project_id = ?1 AND path = ?2")?
        .execute(params![project, path])?;
    Ok(removed > 0)
}

const PUT_DOCUMENT: &str = "INSERT INTO documents (
    project_id, path, language, document_type, size_bytes, digest, last_modified,
    extraction_timestamp, intent, design_principles, constraints
) VALUES (
    :project_id, :path, :language, :document_type, :size_bytes, :digest, :last_modified,
    :extraction_timestamp, :intent, :design_principles, :constraints
) ON CONFLICT (project_id, path) DO UPDATE SET
    language = excluded.language, document_type = excluded.document_type,
    size_bytes = excluded.size_bytes, digest = excluded.digest,
    last_modified = excluded.last_modified,
    extraction_timestamp = excluded.extraction_timestamp, intent = excluded.intent,
    design_principles = excluded.design_principles, constraints = excluded.constraints
RETURNING id";

fn put(conn: &Connection, project: i64, checked: &CheckedRecord<'_>) -> Result<()> {
    let CheckedRecord {
        record,
        size_bytes,
        last_modified,
        extraction_timestamp,
    } = checked;
    let header = &record.header_sections;
    let document: i64 = conn.prepare_cached(PUT_DOCUMENT)?.query_one(
        named_params! {
            ":project_id": project,
            ":path": record.path.as_str(),
            ":language": record.language.as_deref(),
            ":document_type": record.document_type.as_str(),
            ":size_bytes": size_bytes,
            ":digest": record.digest.as_deref(),
            ":last_modified": last_modified,
            ":extraction_timestamp": extraction_timestamp,
            ":intent": header.intent,
            ":design_principles": column::list(&header.design_principles),
            ":constraints": column::list(&header.constraints),
        },
        |row| row.get(0),
    )?;
    // A new document too: a program without foreign keys may have left rows under its id.
    clear_children(conn, document)?;
    put_functions(conn, document, &record.functions)?;
    put_classes(conn, document, &record.classes)?;
    put_header(conn, document, header)
}

fn clear_children(conn: &Connection, document: i64) -> Result<()> {
    for delete in [
        "DELETE FROM functions WHERE document_id = ?1",
        "DELETE FROM methods WHERE document_id = ?1",
        "DELETE FROM classes WHERE document_id = ?1",
        "DELETE FROM reference_docs WHERE document_id = ?1",
        "DELETE FROM change_records WHERE document_id = ?1",
    ] {
        conn.prepare_cached(delete)?.execute([document])?;
    }
    Ok(())
}

fn put_functions(conn: &Connection, document: i64, functions: &[Function]) -> Result<()> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO functions (document_id, ordinal, name, line_start, line_end, parameters,
            intent, design_principles, implementation_details, design_decisions)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for (ordinal, function) in (0_i64..).zip(functions) {
        let doc = &function.doc_sections;
        insert.execute(params![
            document,
            ordinal,
            function.name.as_deref(),
            function.line_range.start(),
            function.line_range.end(),
            column::list(&function.parameters),
            doc.intent,
            column::list(&doc.design_principles),
            doc.implementation_details,
            doc.design_decisions,
        ])?;
    }
    Ok(())
}

fn put_classes(conn: &Connection, document: i64, classes: &[Class]) -> Result<()> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO classes (document_id, ordinal, name, line_start, line_end, intent,
            design_principles, implementation_details, design_decisions)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let mut method_ordinal = 0;
    for (ordinal, class) in (0_i64..).zip(classes) {
        let DocSections {
            intent,
            design_principles,
            implementation_details,
            design_decisions,
        } = &class.doc_sections;
        insert.execute(params![
            document,
            ordinal,
            class.name.as_deref(),
            class.line_range.start(),
            class.line_range.end(),
            intent,
            column::list(design_principles),
            implementation_details,
            design_decisions,
        ])?;
        put_methods(conn, document, ordinal, &class.methods, &mut method_ordinal)?;
    }
    Ok(())
}

fn put_methods(
    conn: &Connection,
    document: i64,
    class_ordinal: i64,
    methods: &[Function],
    next_ordinal: &mut i64,
) -> Result<()> {
    if methods.is_empty() {
        return Ok(());
    }
    let mut insert = conn.prepare_cached(
        "INSERT INTO methods (document_id, ordinal, class_ordinal, name, line_start, line_end,
            parameters, intent, design_principles, implementation_details, design_decisions)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for method in methods {
        let doc = &method.doc_sections;
        insert.execute(params![
            document,
            *next_ordinal,
            class_ordinal,
            method.name.as_deref(),
            method.line_range.start(),
            method.line_range.end(),
            column::list(&method.parameters),
            doc.intent,
            column::list(&doc.design_principles),
            doc.implementation_details,
            doc.design_decisions,
        ])?;
        *next_ordinal += 1;
    }
    Ok(())
}

fn put_header(conn: &Connection, document: i64, header: &HeaderSections) -> Result<()> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO reference_docs (document_id, ordinal, document) VALUES (?1, ?2, ?3)",
    )?;
    for (ordinal, reference) in (0_i64..).zip(&header.reference_documentation) {
        insert.execute(params![document, ordinal, reference])?;
    }
    let mut insert = conn.prepare_cached(
        "INSERT INTO change_records (document_id, ordinal, timestamp, summary, details)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (ordinal, change) in (0_i64..).zip(&header.change_history) {
        let details = column::list(&change.details);
        insert.execute(params![
            document,
            ordinal,
            change.timestamp,
            change.summary,
            details
        ])?;
    }
    Ok(())
}
