//! A record survives the database exactly, a write is all or nothing, projects are apart, and a
//! row that cannot be read is named while the others load.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod store_support;

use cardex::store::{MetadataStore, Removal, SqliteOptions, SqliteStore, Write};
use cardex::{Class, ErrorKind, FileMetadata, FilePath, Function};
use chrono::DateTime;
use proptest::prelude::*;
use store_support::{Collected, TestDb, any_record, collect, path};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_record_survives_also_over_another(
        batches in prop::collection::vec(prop::collection::vec(any_record(), 1..6), 1..4),
    ) {
        let db = TestDb::new();
        let store = db.open("p");
        let mut expected = std::collections::BTreeMap::new();
        for batch in batches {
            expected.extend(batch.iter().map(|record| (record.path.clone(), record.clone())));
            let writes: Vec<_> = batch.into_iter().map(Write::Put).collect();
            let position = store.write(&writes).unwrap();
            prop_assert_eq!(position, store.head().unwrap());
        }
        let paths: Vec<_> = expected.keys().cloned().collect();
        let found = store.fetch(&paths).unwrap().records;
        for (found, expected) in found.into_iter().zip(expected.values()) {
            prop_assert_eq!(&found.unwrap().unwrap().record, expected);
        }
        let mut walked = Vec::new();
        let report = store.for_each(&mut |found| { walked.push(found.record); Ok(()) }).unwrap();
        prop_assert_eq!(report.files, expected.len() as u64);
        prop_assert_eq!(&walked, &expected.values().cloned().collect::<Vec<_>>());
        let (scanned, report) = collect(&store);
        prop_assert_eq!(report.skipped_total, 0);
        prop_assert_eq!(scanned.files, expected.values().map(store_support::terms).collect());
        for state in store.file_states().unwrap() {
            let record = &expected[&state.path];
            prop_assert_eq!(state.size_bytes, record.size_bytes);
            prop_assert_eq!(state.last_modified, record.last_modified);
            prop_assert_eq!(&state.digest, &record.digest);
        }
        prop_assert!(store.check().unwrap().is_empty());
    }
}

#[test]
fn put_get_remove() {
    let db = TestDb::new();
    let store = db.open("p");
    let record = FileMetadata::builder("src/a.rs")
        .function(Function::named("f"))
        .build()
        .unwrap();
    assert_eq!(store.get(&record.path).unwrap(), None);
    let first = store.put(&record).unwrap().position;
    let second = store.put(&record).unwrap().position;
    assert!(first < second);
    let found = store.get(&record.path).unwrap().unwrap();
    assert_eq!(
        (found.version, found.record),
        (second.sequence, record.clone())
    );
    let removal = store.remove(&record.path).unwrap();
    assert!(removal.existed && removal.position > second);
    assert_eq!(store.get(&record.path).unwrap(), None);
    let again = store.remove(&record.path).unwrap();
    assert_eq!(
        again,
        Removal {
            existed: false,
            position: removal.position
        }
    );
    let unchanged = store.write(&[Write::Remove(record.path)]).unwrap();
    assert_eq!(
        unchanged, removal.position,
        "removing nothing leaves no trace"
    );
}

#[test]
fn a_batch_is_applied_in_its_order_and_all_or_not_at_all() {
    let db = TestDb::new();
    let store = db.open("p");
    let small = FileMetadata::builder("a").language("c").build().unwrap();
    let large = FileMetadata::builder("b")
        .size_bytes(u64::MAX)
        .build()
        .unwrap();
    let batch = [
        Write::Put(small.clone()),
        Write::Remove(path("a")),
        Write::Put(FileMetadata::builder("a").language("go").build().unwrap()),
    ];
    let position = store.write(&batch).unwrap();
    let found = store.get(&path("a")).unwrap().unwrap();
    assert_eq!(found.record.language.as_deref(), Some("go"));

    let error = store
        .write(&[Write::Remove(path("a")), Write::Put(large)])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRecord);
    assert!(error.to_string().contains('b'), "{error}");
    let year = DateTime::from_timestamp(400_000_000_000, 0).unwrap();
    let late = FileMetadata::builder("b")
        .last_modified(year)
        .build()
        .unwrap();
    assert_eq!(
        store.put(&late).unwrap_err().kind(),
        ErrorKind::InvalidRecord
    );
    assert_eq!(store.head().unwrap(), position);
    assert!(store.get(&path("a")).unwrap().is_some());
}

#[test]
fn an_error_of_the_visitor_ends_the_pass_and_is_returned() {
    let db = TestDb::new();
    let store = db.open("p");
    store.put(&FileMetadata::new(path("a"))).unwrap();
    let error = store
        .for_each(&mut |_| Err(cardex::Error::new(ErrorKind::Cancelled, "enough")))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(store.put(&FileMetadata::new(path("b"))).is_ok());
}

#[test]
fn projects_of_one_file_are_apart() {
    let db = TestDb::new();
    let (one, two) = (db.open("one"), db.open("two"));
    for i in 0..40 {
        for (store, language) in [(&one, "c"), (&two, "go")] {
            let record = FileMetadata::builder(&format!("f{i:02}")).language(language);
            store
                .put(&record.function(Function::named(language)).build().unwrap())
                .unwrap();
        }
    }
    assert!(one.remove(&path("f07")).unwrap().existed);
    assert!(two.get(&path("f07")).unwrap().is_some());
    let languages = |store: &SqliteStore| {
        let (scanned, report) = collect(store);
        assert_eq!(report.files, scanned.files.len() as u64);
        let language = |file: &store_support::Terms| file.language.clone().unwrap();
        (
            scanned.files.len(),
            scanned.files.iter().map(language).collect::<Vec<_>>(),
        )
    };
    assert_eq!(languages(&one), (39, vec!["c".to_owned(); 39]));
    assert_eq!(languages(&two), (40, vec!["go".to_owned(); 40]));
    assert_ne!(one.head().unwrap().epoch, two.head().unwrap().epoch);
    // A project that is a small part of a long span is read file by file.
    let three = db.open("three");
    three.put(&FileMetadata::new(path("first"))).unwrap();
    for i in 40..60 {
        two.put(&FileMetadata::new(path(&format!("f{i}")))).unwrap();
    }
    three
        .put(
            &FileMetadata::builder("last")
                .function(Function::named("f"))
                .build()
                .unwrap(),
        )
        .unwrap();
    let (scanned, _) = collect(&three);
    let paths: Vec<_> = scanned
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(paths, ["first", "last"]);
}

#[test]
fn a_project_that_is_gone_is_an_error_and_not_an_empty_answer() {
    let db = TestDb::new();
    let store = db.open("p");
    store.put(&FileMetadata::new(path("a"))).unwrap();
    let epoch = store.head().unwrap().epoch;
    db.sql("DELETE FROM projects");
    assert_eq!(store.head().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(
        store.get(&path("a")).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let store = db.open("p");
    assert_eq!(store.get(&path("a")).unwrap(), None);
    assert_ne!(store.head().unwrap().epoch, epoch);
}

/// Each statement makes the record of `bad` unreadable in another way.
const SPOIL: &[(&str, bool)] = &[
    (
        "UPDATE documents SET path = CAST(x'ff' AS TEXT) WHERE path = 'bad'",
        true,
    ),
    (
        "UPDATE documents SET path = '/etc/passwd' WHERE path = 'bad'",
        true,
    ),
    (
        "UPDATE documents SET path = 'x/../bad' WHERE path = 'bad'",
        true,
    ),
    (
        "UPDATE documents SET language = CAST(x'ff' AS TEXT) WHERE path = 'bad'",
        true,
    ),
    (
        "UPDATE functions SET name = CAST(x'ff' AS TEXT) WHERE document_id = 2",
        true,
    ),
    (
        "UPDATE documents SET last_modified = 'yesterday' WHERE path = 'bad'",
        false,
    ),
    (
        "UPDATE documents SET document_type = 'Poem' WHERE path = 'bad'",
        false,
    ),
    (
        "UPDATE documents SET size_bytes = -1 WHERE path = 'bad'",
        false,
    ),
    (
        "UPDATE documents SET constraints = '{' WHERE path = 'bad'",
        false,
    ),
    (
        "UPDATE functions SET line_start = 5, line_end = 4 WHERE document_id = 2",
        false,
    ),
    (
        "UPDATE functions SET line_start = -1 WHERE document_id = 2",
        false,
    ),
    (
        "UPDATE functions SET parameters = '[1]' WHERE document_id = 2",
        false,
    ),
];

#[test]
fn an_unreadable_row_is_skipped_counted_and_named_and_the_others_load() {
    for (spoil, seen_by_scan) in SPOIL {
        let db = TestDb::new();
        let store = db.open("p");
        let text = r#"{"path":"P","functions":[{"name":"f"}],
            "classes":[{"name":"C","methods":[{"name":"m"}]}]}"#;
        for name in ["a", "bad", "c"] {
            let record = serde_json::from_str(&text.replace('P', name)).unwrap();
            store.put(&record).unwrap();
        }
        let since = store.head().unwrap();
        db.sql(&format!("PRAGMA ignore_check_constraints = ON; {spoil}"));

        let mut read = Vec::new();
        let mut visit = |found: cardex::store::Versioned| {
            read.push(found.record.path.to_string());
            Ok(())
        };
        let report = store.for_each(&mut visit).unwrap();
        assert_eq!((report.files, report.skipped_total), (2, 1), "{spoil}");
        assert_eq!(read, ["a", "c"], "{spoil}");
        assert!(!report.skipped[0].path.is_empty(), "{spoil}");
        let (scanned, report) = collect(&store);
        let paths: Vec<_> = scanned
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        if *seen_by_scan {
            assert_eq!(report.skipped_total, 1, "{spoil}");
            assert_eq!(paths, ["a", "c"], "{spoil}");
        } else {
            assert_eq!(paths, ["a", "bad", "c"], "{spoil}");
        }
        if let Ok(bad) = store.get(&path("bad")) {
            assert_eq!(bad, None, "{spoil}: its path is another one now");
        }
        // The follower's old state of the file is withdrawn.
        let mut changes = Collected::default();
        store.scan_changes(since, &mut changes).unwrap();
        if *seen_by_scan {
            assert_eq!(changes.deleted, ["bad"], "{spoil}");
            assert!(changes.files.is_empty());
        }
        // Writing the record again mends it.
        let record: FileMetadata = serde_json::from_str(&text.replace('P', "bad")).unwrap();
        store.put(&record).unwrap();
        assert_eq!(store.get(&record.path).unwrap().unwrap().record, record);
        assert!(store.file_states().unwrap().len() >= 3, "{spoil}");
    }
}

#[test]
fn rows_left_under_an_id_by_others_do_not_join_a_new_record() {
    let db = TestDb::new();
    let store = db.open("p");
    db.sql(
        "PRAGMA foreign_keys = OFF;
         INSERT INTO functions (document_id, ordinal, name) VALUES (1, 7, 'ghost');
         INSERT INTO reference_docs (document_id, ordinal, document) VALUES (1, 7, 'ghost')",
    );
    let record = FileMetadata::new(path("a"));
    store.put(&record).unwrap();
    assert_eq!(store.get(&record.path).unwrap().unwrap().record, record);
}

#[test]
fn paths_are_exact_bytes() {
    let db = TestDb::new();
    let store = db.open("p");
    for name in ["a", "A", "a ", "ä", "a%", "a'b"] {
        store
            .put(&FileMetadata::builder(name).language(name).build().unwrap())
            .unwrap();
    }
    let found = store.get(&FilePath::new("A").unwrap()).unwrap().unwrap();
    assert_eq!(found.record.language.as_deref(), Some("A"));
    assert_eq!(store.file_states().unwrap().len(), 6);
}

#[test]
fn the_project_and_its_root_are_there_for_people() {
    let db = TestDb::new();
    SqliteStore::open(db.file(), "p", SqliteOptions::default().root("/src/p")).unwrap();
    let store = db.open("p");
    store
        .put(
            &FileMetadata::builder("a")
                .function(Function::named("f"))
                .build()
                .unwrap(),
        )
        .unwrap();
    let text = |sql| {
        db.connect()
            .query_row(sql, [], |row| row.get::<_, String>(0))
            .unwrap()
    };
    assert_eq!(text("SELECT root FROM projects WHERE name = 'p'"), "/src/p");
    assert_eq!(
        text("SELECT project || path || functions FROM v_files"),
        "pa1"
    );
    assert_eq!(
        text("SELECT name FROM v_functions WHERE class IS NULL"),
        "f"
    );
}

#[test]
fn methods_whose_class_was_deleted_are_those_of_an_unnamed_class() {
    let db = TestDb::new();
    let store = db.open("p");
    let class = |class: Class| class.method(Function::named("next"));
    let record = |first: Class| {
        let second = class(Class::named("Kept"));
        FileMetadata::builder("a")
            .class(class(first))
            .class(second)
            .build()
            .unwrap()
    };
    store.put(&record(Class::named("Lost"))).unwrap();
    let delete = "DELETE FROM classes WHERE name = 'Lost'";
    db.sql(&format!("PRAGMA foreign_keys = OFF; {delete}"));
    let found = store.get(&path("a")).unwrap().unwrap().record;
    assert_eq!(
        found,
        record(Class::default()),
        "the methods are still the file's"
    );
    assert_eq!(collect(&store).1.skipped_total, 0);
    assert!(
        store
            .check()
            .unwrap()
            .iter()
            .any(|finding| finding.message.contains("methods"))
    );

    store.put(&record(Class::named("Lost"))).unwrap();
    db.sql(&format!("PRAGMA foreign_keys = ON; {delete}"));
    let found = store.get(&path("a")).unwrap().unwrap().record;
    assert_eq!(
        found.classes,
        [class(Class::named("Kept"))],
        "with foreign keys they go with it"
    );
}
