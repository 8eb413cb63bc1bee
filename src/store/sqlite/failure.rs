//! What went wrong in SQLite, as the crate's error: the kind a caller can act on, the file and the
//! operation in the sentence, SQLite's own words as the cause.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::error::{Error, ErrorKind};
use crate::store::SkippedRow;

/// Why a file's rows could not be read: the database failed, or a row is not what it should be.
#[derive(Debug)]
pub(super) enum Fault {
    Database(rusqlite::Error),
    Row(SkippedRow),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Database(error)
    }
}

impl Fault {
    /// A malformed row; the file that it belongs to is added by [`Fault::of_file`].
    pub(super) fn row(reason: impl Into<String>) -> Self {
        Fault::Row(SkippedRow {
            path: String::new(),
            reason: reason.into(),
        })
    }

    /// Names the file that the row belongs to.
    pub(super) fn of_file(self, path: &str) -> Self {
        match self {
            Fault::Row(row) => Fault::Row(SkippedRow {
                path: path.to_owned(),
                ..row
            }),
            database => database,
        }
    }
}

/// An error of SQLite during `operation` ("read src/a.rs", "open") on the database `file`.
pub(super) fn failed(file: &Path, operation: &str, cause: rusqlite::Error) -> Error {
    let name = file.display();
    let error = match cause.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::new(
            ErrorKind::DatabaseBusy,
            format!("cannot {operation}: another program holds the lock of {name}"),
        )
        .with_help("try again, or raise database.connection_timeout"),
        Some(ErrorCode::DatabaseCorrupt) => Error::new(
            ErrorKind::DatabaseCorrupt,
            format!("cannot {operation}: the database {name} is damaged"),
        )
        .with_help("delete the file and index again, or restore a copy of it"),
        Some(ErrorCode::NotADatabase) => Error::new(
            ErrorKind::DatabaseCorrupt,
            format!("{name} is not an SQLite database"),
        )
        .with_help("name another file; this one was left as it is"),
        _ => Error::new(
            ErrorKind::Database,
            format!("cannot {operation} in the database {name}"),
        ),
    };
    error.because(cause)
}

/// A row that the caller asked for by name and that cannot be read.
pub(super) fn unreadable(file: &Path, row: &SkippedRow) -> Error {
    let (name, path, reason) = (file.display(), &row.path, &row.reason);
    Error::new(
        ErrorKind::DatabaseCorrupt,
        format!("the record of {path} in the database {name} is unreadable: {reason}"),
    )
    .with_help("index the file again, or correct the row with an SQL tool")
}
