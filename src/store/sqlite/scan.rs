//! Reading the index's part of every file in one pass. All tables are clustered by document, so one
//! cursor a table, stepped side by side, reads each page once; strings are borrowed from SQLite.

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{CachedStatement, Connection, Result, Rows, params};

use super::column::Columns;
use super::failure::Fault;
use super::file_rows::{Child, FileRows};
use super::lookup::Lookup;
use super::versions::VersionStatements;
use crate::store::{MAX_SKIPPED_SHOWN, RowSink, ScanReport, SkippedRow};

impl ScanReport {
    /// Counts an unreadable row, and names it while there is room.
    pub(super) fn skip(&mut self, row: SkippedRow) {
        tracing::debug!(path = row.path, reason = row.reason, "a row is unreadable");
        self.skipped_total += 1;
        if self.skipped.len() < MAX_SKIPPED_SHOWN {
            self.skipped.push(row);
        }
    }

    /// Counts a malformed row; passes a failure of the database on.
    pub(super) fn skip_fault(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::Row(row) => self.skip(row),
            Fault::Database(error) => return Err(error),
        }
        Ok(())
    }

    /// The file that a row of (path, version) names, unless no file can have that path.
    pub(super) fn named_file<'r>(
        &mut self,
        named: &Columns<'r, '_>,
    ) -> Result<Option<(&'r str, u64)>> {
        match named.path(0) {
            Ok(path) => Ok(Some((path, named.row.get::<_, i64>(1)?.cast_unsigned()))),
            Err(fault) => {
                self.skip_fault(fault.of_file(&named.shown(0)))?;
                Ok(None)
            }
        }
    }
}

/// Where the project's documents lie among those of the other projects.
struct Span {
    first: i64,
    last: i64,
    files: i64,
}

impl Span {
    fn read(conn: &Connection, project: i64) -> Result<Option<Self>> {
        let mut statement = conn.prepare_cached(
            "SELECT min(id), max(id), count(*) FROM documents WHERE project_id = ?1",
        )?;
        statement.query_row([project], |row| {
            let bounds = row.get::<_, Option<i64>>(0)?.zip(row.get(1)?);
            let files = row.get(2)?;
            Ok(bounds.map(|(first, last)| Span { first, last, files }))
        })
    }

    /// Whether most of the span belongs to others: then reading file by file is cheaper than
    /// passing over their rows.
    fn is_sparse(&self) -> bool {
        self.last.saturating_sub(self.first) / SPARSE > self.files
    }
}

/// Passing over a document costs about an eighth of looking one up.
const SPARSE: i64 = 8;

/// Hands every file of the project to `sink`.
pub(super) fn scan(
    conn: &Connection,
    project: i64,
    sink: &mut dyn RowSink,
    report: &mut ScanReport,
) -> Result<()> {
    match Span::read(conn, project)? {
        None => Ok(()),
        Some(span) if span.is_sparse() => scan_sparse(conn, project, sink, report),
        Some(span) => scan_span(conn, project, &span, sink, report),
    }
}

fn scan_span(
    conn: &Connection,
    project: i64,
    span: &Span,
    sink: &mut dyn RowSink,
    report: &mut ScanReport,
) -> Result<()> {
    let mut documents = conn.prepare_cached(
        "SELECT id, path, language FROM documents NOT INDEXED
         WHERE id BETWEEN ?1 AND ?2 AND project_id = ?3 ORDER BY id",
    )?;
    let mut documents = documents.query(params![span.first, span.last, project])?;
    let prepare = |child| ChildStatement::new(conn, child);
    let mut statements = Child::ALL
        .into_iter()
        .map(prepare)
        .collect::<Result<Vec<_>>>()?;
    let mut children = statements
        .iter_mut()
        .map(|statement| statement.start(span))
        .collect::<Result<Vec<_>>>()?;
    let mut versions = VersionStatements::new(conn)?;
    let mut versions = versions.start(project)?;
    let mut file = FileRows::default();
    while let Some(row) = documents.next()? {
        let document = Columns {
            row,
            table: "documents",
        };
        let begun = begin(&mut file, &document, |path| versions.of(path));
        let id = row.get(0)?;
        match begun.and_then(|()| children.iter_mut().try_for_each(|c| c.read(id, &mut file))) {
            Ok(()) => {
                report.files += 1;
                file.emit(sink);
            }
            Err(fault) => report.skip_fault(fault.of_file(&document.shown(1)))?,
        }
    }
    Ok(())
}

/// Begins a file with a document row: id, path, language.
pub(super) fn begin(
    file: &mut FileRows,
    document: &Columns<'_, '_>,
    version: impl FnOnce(&str) -> Result<u64>,
) -> Result<(), Fault> {
    let path = document.path(1)?;
    let language = document.text(2)?;
    file.begin(path, language, version(path)?);
    Ok(())
}

fn scan_sparse(
    conn: &Connection,
    project: i64,
    sink: &mut dyn RowSink,
    report: &mut ScanReport,
) -> Result<()> {
    let mut paths = conn.prepare_cached(
        "SELECT d.path, coalesce(c.seq, 0) FROM documents d
         LEFT JOIN changes c ON c.project_id = d.project_id AND c.path = d.path
         WHERE d.project_id = ?1 ORDER BY d.path",
    )?;
    let mut lookup = Lookup::new(conn)?;
    let mut rows = paths.query([project])?;
    while let Some(row) = rows.next()? {
        let named = Columns {
            row,
            table: "documents",
        };
        let Some((path, version)) = report.named_file(&named)? else {
            continue;
        };
        lookup.hand_over(project, path, version, sink, report)?;
    }
    Ok(())
}

/// The statement that reads a child table in the order of the documents.
struct ChildStatement<'c> {
    child: Child,
    statement: CachedStatement<'c>,
}

impl<'c> ChildStatement<'c> {
    fn new(conn: &'c Connection, child: Child) -> Result<Self> {
        let (columns, table) = (child.columns(), child.table());
        let sql = format!(
            "SELECT {columns} FROM {table}
             WHERE document_id BETWEEN ?1 AND ?2 ORDER BY document_id, ordinal"
        );
        Ok(ChildStatement {
            child,
            statement: conn.prepare_cached(&sql)?,
        })
    }

    fn start(&mut self, span: &Span) -> Result<ChildCursor<'_>> {
        let mut rows = self.statement.query([span.first, span.last])?;
        rows.advance()?;
        Ok(ChildCursor {
            child: self.child,
            rows,
        })
    }
}

/// A child table, standing at the first row not read yet.
struct ChildCursor<'s> {
    child: Child,
    rows: Rows<'s>,
}

impl ChildCursor<'_> {
    /// Moves past the rows of the document, adding them to `file`. Rows of documents before it are
    /// those of other projects, of files that were skipped, and of no file at all.
    fn read(&mut self, document: i64, file: &mut FileRows) -> Result<(), Fault> {
        while let Some(row) = self.rows.get() {
            let owner: i64 = row.get(0)?;
            if owner > document {
                break;
            }
            if owner == document {
                file.add(
                    self.child,
                    &Columns {
                        row,
                        table: self.child.table(),
                    },
                )?;
            }
            self.rows.advance()?;
        }
        Ok(())
    }
}
