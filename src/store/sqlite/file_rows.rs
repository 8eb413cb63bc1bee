//! One file's part of the index, held back until all of it is known to be readable: a sink never
//! sees half a file. The buffer is reused, so that a scan allocates nothing a row.

use super::column::Columns;
use super::failure::Fault;
use crate::store::RowSink;

/// The rows of one file, their texts end to end.
#[derive(Debug, Default)]
pub(super) struct FileRows {
    text: String,
    rows: Vec<Row>,
    path: usize,
    language: Option<usize>,
    version: u64,
}

/// A row and the length of its text.
#[derive(Clone, Copy, Debug)]
enum Row {
    Function(usize),
    Class(i64, usize),
    Method(i64, usize),
    Reference(usize),
}

/// A child table that a scan reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Child {
    Functions,
    Classes,
    Methods,
    References,
}

impl Child {
    /// The order in which a file's rows reach a sink: classes before methods.
    pub(super) const ALL: [Child; 4] = [
        Child::Functions,
        Child::Classes,
        Child::Methods,
        Child::References,
    ];

    pub(super) fn table(self) -> &'static str {
        match self {
            Child::Functions => "functions",
            Child::Classes => "classes",
            Child::Methods => "methods",
            Child::References => "reference_docs",
        }
    }

    /// What [`FileRows::add`] reads: the document, the text, and the ordinal of the class.
    pub(super) fn columns(self) -> &'static str {
        match self {
            Child::Functions => "document_id, name",
            Child::Classes => "document_id, name, ordinal",
            Child::Methods => "document_id, name, class_ordinal",
            Child::References => "document_id, document",
        }
    }
}

impl FileRows {
    /// Begins a file, in place of the one before.
    pub(super) fn begin(&mut self, path: &str, language: Option<&str>, version: u64) {
        self.text.clear();
        self.rows.clear();
        self.path = path.len();
        self.language = language.map(str::len);
        self.version = version;
        self.text.push_str(path);
        self.text.push_str(language.unwrap_or_default());
    }

    /// Adds a row of a child table, selected as [`Child::columns`].
    pub(super) fn add(&mut self, child: Child, columns: &Columns<'_, '_>) -> Result<(), Fault> {
        let text = columns.text(1)?.unwrap_or_default();
        let length = text.len();
        let row = match child {
            Child::Functions => Row::Function(length),
            Child::Classes => Row::Class(columns.required(2)?, length),
            Child::Methods => Row::Method(columns.required(2)?, length),
            Child::References => Row::Reference(length),
        };
        if length > 0 {
            self.text.push_str(text);
            self.rows.push(row);
        }
        Ok(())
    }

    /// Hands the file over.
    pub(super) fn emit(&self, sink: &mut dyn RowSink) {
        let (path, mut rest) = self.text.split_at(self.path);
        let mut take = |length| {
            let (text, after) = rest.split_at(length);
            rest = after;
            text
        };
        let language = self.language.map(&mut take);
        sink.file(path, language, self.version);
        for row in &self.rows {
            match *row {
                Row::Function(length) => sink.function(take(length)),
                Row::Class(ordinal, length) => sink.class(ordinal, take(length)),
                Row::Method(ordinal, length) => sink.method(ordinal, take(length)),
                Row::Reference(length) => sink.reference(take(length)),
            }
        }
    }
}
