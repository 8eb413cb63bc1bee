//! What the tests of the store share: a database in a directory of its own, records of every shape,
//! and a sink that remembers what it was told.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cardex::store::{MetadataStore, RowSink, ScanReport, SqliteOptions, SqliteStore};
use cardex::{
    ChangeRecord, Class, DocSections, DocumentType, FileMetadata, FilePath, Function,
    HeaderSections, LineRange,
};
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use rusqlite::Connection;
use smol_str::SmolStr;

pub fn path(text: &str) -> FilePath {
    FilePath::new(text).unwrap()
}

/// A directory with a database in it, or with room for one.
pub struct TestDb {
    directory: tempfile::TempDir,
}

impl TestDb {
    pub fn new() -> Self {
        TestDb {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn file(&self) -> PathBuf {
        self.directory.path().join("test.db")
    }

    pub fn open(&self, project: &str) -> SqliteStore {
        SqliteStore::open(self.file(), project, SqliteOptions::default()).unwrap()
    }

    /// Another program's connection.
    pub fn connect(&self) -> Connection {
        let conn = Connection::open(self.file()).unwrap();
        conn.busy_timeout(std::time::Duration::from_secs(10))
            .unwrap();
        conn
    }

    pub fn sql(&self, sql: &str) {
        self.connect()
            .execute_batch(sql)
            .unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
}

/// What the index learns of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Terms {
    pub path: String,
    pub language: Option<String>,
    pub functions: Vec<String>,
    pub classes: Vec<(i64, String)>,
    pub methods: Vec<(i64, String)>,
    pub references: Vec<String>,
}

/// What a scan ought to say of a record.
pub fn terms(record: &FileMetadata) -> Terms {
    let named = |function: &Function| {
        function
            .name
            .as_ref()
            .filter(|name| !name.is_empty())
            .map(|name| name.to_string())
    };
    let classes = || (0..).zip(&record.classes);
    let name_of = |(ordinal, class): (i64, &Class)| {
        class
            .name
            .as_ref()
            .filter(|name| !name.is_empty())
            .map(|name| (ordinal, name.to_string()))
    };
    let methods_of = |(ordinal, class): (i64, &Class)| {
        class
            .methods
            .iter()
            .filter_map(named)
            .map(move |name| (ordinal, name))
            .collect::<Vec<_>>()
    };
    let references = &record.header_sections.reference_documentation;
    Terms {
        path: record.path.to_string(),
        language: record.language.as_ref().map(ToString::to_string),
        functions: record.functions.iter().filter_map(named).collect(),
        classes: classes().filter_map(name_of).collect(),
        methods: classes().flat_map(methods_of).collect(),
        references: references
            .iter()
            .filter(|text| !text.is_empty())
            .cloned()
            .collect(),
    }
}

/// A sink that remembers, and checks the order of the calls.
#[derive(Debug, Default)]
pub struct Collected {
    pub files: BTreeSet<Terms>,
    pub versions: Vec<(String, u64)>,
    pub deleted: Vec<String>,
    current: Option<Terms>,
}

impl Collected {
    fn finish(&mut self) {
        if let Some(file) = self.current.take() {
            assert!(self.files.insert(file), "a file was handed over twice");
        }
    }

    fn current(&mut self) -> &mut Terms {
        self.current
            .as_mut()
            .expect("a file begins before its rows")
    }
}

impl RowSink for Collected {
    fn file(&mut self, path: &str, language: Option<&str>, version: u64) {
        self.finish();
        self.versions.push((path.to_owned(), version));
        self.current = Some(Terms {
            path: path.to_owned(),
            language: language.map(str::to_owned),
            ..Terms::default()
        });
    }

    fn function(&mut self, name: &str) {
        self.current().functions.push(name.to_owned());
    }

    fn class(&mut self, ordinal: i64, name: &str) {
        assert!(
            self.current().methods.is_empty(),
            "every class comes before every method"
        );
        self.current().classes.push((ordinal, name.to_owned()));
    }

    fn method(&mut self, class_ordinal: i64, name: &str) {
        self.current()
            .methods
            .push((class_ordinal, name.to_owned()));
    }

    fn reference(&mut self, document: &str) {
        self.current().references.push(document.to_owned());
    }

    fn deleted(&mut self, path: &str) {
        self.finish();
        self.deleted.push(path.to_owned());
    }
}

/// A full scan.
pub fn collect(store: &SqliteStore) -> (Collected, ScanReport) {
    let mut collected = Collected::default();
    let report = store.scan(&mut collected).unwrap();
    collected.finish();
    (collected, report)
}

/// A look at the log.
pub fn collect_changes(
    store: &SqliteStore,
    since: cardex::Position,
) -> cardex::Result<(Collected, ScanReport)> {
    let mut collected = Collected::default();
    let report = store.scan_changes(since, &mut collected)?;
    collected.finish();
    Ok((collected, report))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z]{1,6}",
        ".{0,12}",
        Just("a\0b\"\\\u{1F600}".to_owned())
    ]
}

fn small() -> impl Strategy<Value = Option<SmolStr>> {
    prop::option::of(text().prop_map(SmolStr::from))
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(text(), 0..3)
}

fn lines() -> impl Strategy<Value = LineRange> {
    let line = || prop::option::of(prop_oneof![0..5_u32, any::<u32>()]);
    (line(), line()).prop_map(|(a, b)| match (a, b) {
        (Some(a), Some(b)) => LineRange::new(Some(a.min(b)), Some(a.max(b))).unwrap(),
        (a, b) => LineRange::new(a, b).unwrap(),
    })
}

fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    // The first and last second of the years 0 to 9999; nanoseconds above 10^9 are leap seconds.
    (
        -62_167_219_200_i64..=253_402_300_799,
        0..1_000_000_000_u32,
        any::<bool>(),
    )
        .prop_map(|(second, nanos, leap)| {
            let at_59 = second - second.rem_euclid(60) + 59;
            let leap_second = DateTime::from_timestamp(at_59, nanos + 1_000_000_000);
            let plain = DateTime::from_timestamp(second, nanos).unwrap();
            leap_second.filter(|_| leap).unwrap_or(plain)
        })
}

fn doc_sections() -> impl Strategy<Value = DocSections> {
    let option = || prop::option::of(text());
    (option(), texts(), option(), option()).prop_map(
        |(intent, design_principles, implementation_details, design_decisions)| DocSections {
            intent,
            design_principles,
            implementation_details,
            design_decisions,
        },
    )
}

fn functions() -> impl Strategy<Value = Vec<Function>> {
    let function = (small(), doc_sections(), texts(), lines());
    let function = function.prop_map(|(name, doc_sections, parameters, line_range)| Function {
        name,
        doc_sections,
        parameters: parameters.into_iter().map(SmolStr::from).collect(),
        line_range,
    });
    prop::collection::vec(function, 0..4)
}

fn classes() -> impl Strategy<Value = Vec<Class>> {
    let class = (small(), doc_sections(), functions(), lines());
    let class = class.prop_map(|(name, doc_sections, methods, line_range)| Class {
        name,
        doc_sections,
        methods,
        line_range,
    });
    prop::collection::vec(class, 0..3)
}

fn header() -> impl Strategy<Value = HeaderSections> {
    let change = (prop::option::of(text()), prop::option::of(text()), texts());
    let change = change.prop_map(|(timestamp, summary, details)| ChangeRecord {
        timestamp,
        summary,
        details,
    });
    let changes = prop::collection::vec(change, 0..3);
    (prop::option::of(text()), texts(), texts(), texts(), changes).prop_map(
        |(intent, design_principles, constraints, reference_documentation, change_history)| {
            HeaderSections {
                intent,
                design_principles,
                constraints,
                reference_documentation,
                change_history,
            }
        },
    )
}

/// A record of one of few paths, of any shape.
pub fn any_record() -> impl Strategy<Value = FileMetadata> {
    let kind = prop::sample::select(vec![
        DocumentType::Code,
        DocumentType::Markdown,
        DocumentType::Header,
        DocumentType::Config,
    ]);
    let size = prop::option::of(prop_oneof![0..9_u64, Just(i64::MAX as u64)]);
    let times = (prop::option::of(instant()), prop::option::of(instant()));
    (
        "[a-c](/[a-c ä]){0,2}",
        small(),
        header(),
        functions(),
        classes(),
        size,
        small(),
        times,
        kind,
    )
        .prop_map(
            |(path, language, header, functions, classes, size, digest, times, kind)| {
                let mut record = FileMetadata::builder(&path).header(header).build().unwrap();
                record.language = language;
                record.functions = functions;
                record.classes = classes;
                record.size_bytes = size;
                record.digest = digest;
                (record.last_modified, record.extraction_timestamp) = times;
                record.document_type = kind;
                record
            },
        )
}
