//! Reading whole records: a file's document row and its ranges of the child tables, inside the
//! caller's transaction.

use rusqlite::{CachedStatement, Connection, Row, params};

use super::column::Columns;
use super::failure::Fault;
use crate::metadata::{
    ChangeRecord, Class, DocSections, DocumentType, FileMetadata, FilePath, FileState, Function,
};
use crate::store::Versioned;

/// The columns that [`RecordReader::record`] reads.
macro_rules! documents {
    ($rest:literal) => {
        concat!(
            "SELECT id, path, language, document_type, size_bytes, digest, last_modified,
                extraction_timestamp, intent, design_principles, constraints,
                (SELECT seq FROM changes c WHERE c.project_id = d.project_id AND c.path = d.path)
             FROM documents d WHERE project_id = ?1 ",
            $rest
        )
    };
}

/// The statements that read a record, prepared once a transaction.
pub(super) struct RecordReader<'c> {
    by_path: CachedStatement<'c>,
    functions: CachedStatement<'c>,
    classes: CachedStatement<'c>,
    methods: CachedStatement<'c>,
    references: CachedStatement<'c>,
    changes: CachedStatement<'c>,
}

impl<'c> RecordReader<'c> {
    pub(super) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(RecordReader {
            by_path: conn.prepare_cached(documents!("AND path = ?2"))?,
            functions: conn.prepare_cached(
                "SELECT name, line_start, line_end, parameters, intent, design_principles,
                    implementation_details, design_decisions
                 FROM functions WHERE document_id = ?1 ORDER BY ordinal",
            )?,
            classes: conn.prepare_cached(
                "SELECT name, line_start, line_end, ordinal, intent, design_principles,
                    implementation_details, design_decisions
                 FROM classes WHERE document_id = ?1 ORDER BY ordinal",
            )?,
            methods: conn.prepare_cached(
                "SELECT name, line_start, line_end, parameters, intent, design_principles,
                    implementation_details, design_decisions, class_ordinal
                 FROM methods WHERE document_id = ?1 ORDER BY ordinal",
            )?,
            references: conn.prepare_cached(
                "SELECT document FROM reference_docs WHERE document_id = ?1 ORDER BY ordinal",
            )?,
            changes: conn.prepare_cached(
                "SELECT timestamp, summary, details
                 FROM change_records WHERE document_id = ?1 ORDER BY ordinal",
            )?,
        })
    }

    /// The record of a path; `None` if there is none.
    pub(super) fn by_path(
        &mut self,
        project: i64,
        path: &FilePath,
    ) -> Result<Option<Versioned>, Fault> {
        let RecordReader {
            by_path,
            functions,
            classes,
            methods,
            references,
            changes,
        } = self;
        let mut children = Children {
            functions,
            classes,
            methods,
            references,
            changes,
        };
        let mut rows = by_path.query(params![project, path.as_str()])?;
        rows.next()?.map(|row| children.record(row)).transpose()
    }
}

/// Calls `visit` with every record of the project, in path order; an unreadable one arrives as its
/// fault. Only one record is in memory at a time.
pub(super) fn for_each<E: From<rusqlite::Error>>(
    conn: &Connection,
    project: i64,
    mut visit: impl FnMut(Result<Versioned, Fault>) -> Result<(), E>,
) -> Result<(), E> {
    let mut documents = conn.prepare_cached(documents!("ORDER BY path"))?;
    let mut reader = RecordReader::new(conn)?;
    let RecordReader {
        functions,
        classes,
        methods,
        references,
        changes,
        ..
    } = &mut reader;
    let mut children = Children {
        functions,
        classes,
        methods,
        references,
        changes,
    };
    let mut rows = documents.query([project])?;
    while let Some(row) = rows.next()? {
        visit(children.record(row))?;
    }
    Ok(())
}

/// What is known of each file's content, in path order. A value that cannot be read is unknown, so
/// that the file is read anew and its row mended; a path that cannot be read is left out.
pub(super) fn file_states(conn: &Connection, project: i64) -> Result<Vec<FileState>, Fault> {
    let mut states = conn.prepare_cached(
        "SELECT path, size_bytes, last_modified, digest, extraction_timestamp
         FROM documents WHERE project_id = ?1 ORDER BY path",
    )?;
    let mut out = Vec::new();
    take_states(states.query([project])?, &mut out)?;
    Ok(out)
}

/// What is known of the content of these files, and of those below them.
pub(super) fn file_states_at(
    conn: &Connection,
    project: i64,
    paths: &[FilePath],
) -> Result<Vec<FileState>, Fault> {
    // What is below a directory lies between its name with `/` and its name with what follows that, `0`.
    let mut states = conn.prepare_cached(
        "SELECT path, size_bytes, last_modified, digest, extraction_timestamp
         FROM documents WHERE project_id = ?1 AND path = ?2
         UNION ALL
         SELECT path, size_bytes, last_modified, digest, extraction_timestamp
         FROM documents WHERE project_id = ?1 AND path > ?2 || '/' AND path < ?2 || '0'",
    )?;
    let mut out = Vec::new();
    for path in paths {
        take_states(states.query(params![project, path.as_str()])?, &mut out)?;
    }
    Ok(out)
}

fn take_states(mut rows: rusqlite::Rows<'_>, out: &mut Vec<FileState>) -> Result<(), Fault> {
    while let Some(row) = rows.next()? {
        let columns = Columns {
            row,
            table: "documents",
        };
        let Ok(path) = columns.path(0).and_then(file_path) else {
            tracing::warn!(path = columns.shown(0), "a file has an unreadable path");
            continue;
        };
        out.push(FileState {
            path,
            size_bytes: columns.number(1).unwrap_or_default(),
            last_modified: columns.instant(2).unwrap_or_default(),
            digest: columns.owned(3).unwrap_or_default(),
            read_at: columns.instant(4).unwrap_or_default(),
        });
    }
    Ok(())
}

/// The paths of the files that were modified last, the latest first.
pub(super) fn newest(
    conn: &Connection,
    project: i64,
    limit: usize,
) -> rusqlite::Result<Vec<FilePath>> {
    // Instants are stored in one form of fixed width, which sorts as they do.
    let mut newest = conn.prepare_cached(
        "SELECT path FROM documents WHERE project_id = ?1
         ORDER BY last_modified DESC, path LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = newest.query(params![project, limit])?;
    let mut paths = Vec::new();
    while let Some(row) = rows.next()? {
        let columns = Columns {
            row,
            table: "documents",
        };
        paths.extend(columns.path(0).and_then(file_path).ok());
    }
    Ok(paths)
}

fn file_path(text: &str) -> Result<FilePath, Fault> {
    FilePath::new(text).map_err(|e| Fault::row(e.to_string()))
}

/// The statements on the child tables, borrowed so that a document row can be held beside them.
struct Children<'a, 'c> {
    functions: &'a mut CachedStatement<'c>,
    classes: &'a mut CachedStatement<'c>,
    methods: &'a mut CachedStatement<'c>,
    references: &'a mut CachedStatement<'c>,
    changes: &'a mut CachedStatement<'c>,
}

impl Children<'_, '_> {
    fn record(&mut self, row: &Row<'_>) -> Result<Versioned, Fault> {
        let columns = Columns {
            row,
            table: "documents",
        };
        self.whole_record(&columns)
            .map_err(|fault| fault.of_file(&columns.shown(1)))
    }

    fn whole_record(&mut self, document: &Columns<'_, '_>) -> Result<Versioned, Fault> {
        let id = document.required(0)?;
        let mut record = FileMetadata::new(file_path(document.path(1)?)?);
        record.language = document.owned(2)?;
        record.document_type = document_type(document, 3)?;
        record.size_bytes = document.number(4)?;
        record.digest = document.owned(5)?;
        record.last_modified = document.instant(6)?;
        record.extraction_timestamp = document.instant(7)?;
        let header = &mut record.header_sections;
        header.intent = document.owned(8)?;
        header.design_principles = document.list(9)?;
        header.constraints = document.list(10)?;
        let version = document.number(11)?.unwrap_or(0);
        header.reference_documentation = self.references(id)?;
        header.change_history = self.changes(id)?;
        record.functions = self.functions(id)?;
        record.classes = self.classes(id)?;
        Ok(Versioned { record, version })
    }

    fn functions(&mut self, document: i64) -> Result<Vec<Function>, Fault> {
        let mut rows = self.functions.query([document])?;
        let mut functions = Vec::new();
        while let Some(row) = rows.next()? {
            functions.push(function(&Columns {
                row,
                table: "functions",
            })?);
        }
        Ok(exact(functions))
    }

    fn classes(&mut self, document: i64) -> Result<Vec<Class>, Fault> {
        let mut rows = self.classes.query([document])?;
        let (mut ordinals, mut classes) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            let columns = Columns {
                row,
                table: "classes",
            };
            ordinals.push(columns.required(3)?);
            classes.push(Class {
                name: columns.owned(0)?,
                line_range: columns.lines(1)?,
                doc_sections: doc_sections(&columns)?,
                methods: Vec::new(),
            });
        }
        let mut rows = self.methods.query([document])?;
        while let Some(row) = rows.next()? {
            let columns = Columns {
                row,
                table: "methods",
            };
            let ordinal = columns.required(8)?;
            let class = ordinals.binary_search(&ordinal).unwrap_or_else(|place| {
                // A program without foreign keys deleted the class: its name is not known any
                // more, its methods are still there.
                ordinals.insert(place, ordinal);
                classes.insert(place, Class::default());
                place
            });
            classes[class].methods.push(function(&columns)?);
        }
        for class in &mut classes {
            class.methods.shrink_to_fit();
        }
        Ok(exact(classes))
    }

    fn references(&mut self, document: i64) -> Result<Vec<String>, Fault> {
        let mut rows = self.references.query([document])?;
        let mut references = Vec::new();
        while let Some(row) = rows.next()? {
            let columns = Columns {
                row,
                table: "reference_docs",
            };
            references.push(columns.owned(0)?.unwrap_or_default());
        }
        Ok(exact(references))
    }

    fn changes(&mut self, document: i64) -> Result<Vec<ChangeRecord>, Fault> {
        let mut rows = self.changes.query([document])?;
        let mut changes = Vec::new();
        while let Some(row) = rows.next()? {
            let columns = Columns {
                row,
                table: "change_records",
            };
            changes.push(ChangeRecord {
                timestamp: columns.owned(0)?,
                summary: columns.owned(1)?,
                details: columns.list(2)?,
            });
        }
        Ok(exact(changes))
    }
}

fn document_type(columns: &Columns<'_, '_>, index: usize) -> Result<DocumentType, Fault> {
    let text = columns.text(index)?.unwrap_or_default();
    text.parse()
        .map_err(|e| Fault::row(format!("documents.document_type: {e}")))
}

fn function(columns: &Columns<'_, '_>) -> Result<Function, Fault> {
    Ok(Function {
        name: columns.owned(0)?,
        line_range: columns.lines(1)?,
        parameters: columns.list(3)?,
        doc_sections: doc_sections(columns)?,
    })
}

/// Records are kept in memory for long: their lists hold no spare room.
fn exact<T>(mut list: Vec<T>) -> Vec<T> {
    list.shrink_to_fit();
    list
}

/// Functions, classes and methods are read with these columns at 4 to 7.
fn doc_sections(columns: &Columns<'_, '_>) -> Result<DocSections, Fault> {
    Ok(DocSections {
        intent: columns.owned(4)?,
        design_principles: columns.list(5)?,
        implementation_details: columns.owned(6)?,
        design_decisions: columns.owned(7)?,
    })
}
