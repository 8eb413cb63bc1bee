//! The index's part of single files, found by path: for changed files, and for a small project
//! among large ones.

use rusqlite::{CachedStatement, Connection, Result, params};

use super::column::Columns;
use super::failure::Fault;
use super::file_rows::{Child, FileRows};
use super::scan::begin;
use crate::store::{RowSink, ScanReport};

/// The statements that read one file, prepared once a transaction.
pub(super) struct Lookup<'c> {
    document: CachedStatement<'c>,
    children: Vec<(Child, CachedStatement<'c>)>,
    file: FileRows,
}

/// What was found under a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    File,
    Nothing,
    Unreadable,
}

impl<'c> Lookup<'c> {
    pub(super) fn new(conn: &'c Connection) -> Result<Self> {
        let statement = |child: Child| {
            let (columns, table) = (child.columns(), child.table());
            let sql =
                format!("SELECT {columns} FROM {table} WHERE document_id = ?1 ORDER BY ordinal");
            Ok((child, conn.prepare_cached(&sql)?))
        };
        Ok(Lookup {
            document: conn.prepare_cached(
                "SELECT id, path, language FROM documents WHERE project_id = ?1 AND path = ?2",
            )?,
            children: Child::ALL
                .into_iter()
                .map(statement)
                .collect::<Result<_>>()?,
            file: FileRows::default(),
        })
    }

    /// Hands over the file of a path. An unreadable one is counted and named in `report`.
    pub(super) fn hand_over(
        &mut self,
        project: i64,
        path: &str,
        version: u64,
        sink: &mut dyn RowSink,
        report: &mut ScanReport,
    ) -> Result<Found> {
        match self.read(project, path, version) {
            Ok(true) => {
                report.files += 1;
                self.file.emit(sink);
                Ok(Found::File)
            }
            Ok(false) => Ok(Found::Nothing),
            Err(fault) => {
                report.skip_fault(fault.of_file(path))?;
                Ok(Found::Unreadable)
            }
        }
    }

    /// Reads a file into `self.file`; whether there is one.
    fn read(&mut self, project: i64, path: &str, version: u64) -> Result<bool, Fault> {
        let mut rows = self.document.query(params![project, path])?;
        let Some(row) = rows.next()? else {
            return Ok(false);
        };
        begin(
            &mut self.file,
            &Columns {
                row,
                table: "documents",
            },
            |_| Ok(version),
        )?;
        let id: i64 = row.get(0)?;
        for (child, statement) in &mut self.children {
            let mut rows = statement.query([id])?;
            while let Some(row) = rows.next()? {
                self.file.add(
                    *child,
                    &Columns {
                        row,
                        table: child.table(),
                    },
                )?;
            }
        }
        Ok(true)
    }
}
