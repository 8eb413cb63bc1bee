//! Following the log equals scanning again: whatever happened in between, and whoever did it.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod store_support;

use std::collections::BTreeMap;

use cardex::store::{MetadataStore, SqliteStore, Write};
use cardex::{ErrorKind, FileMetadata, Position};
use proptest::prelude::*;
use store_support::{Terms, TestDb, any_record, collect, collect_changes, path};

/// A follower: the files it knows, with their versions, and how far it has read.
#[derive(Default)]
struct Follower {
    files: BTreeMap<String, (Terms, u64)>,
    position: Position,
}

impl Follower {
    fn scan(store: &SqliteStore) -> Self {
        let mut follower = Follower::default();
        let (seen, report) = collect(store);
        follower.take(seen);
        follower.position = report.position;
        follower
    }

    fn follow(&mut self, store: &SqliteStore) {
        let (seen, report) = collect_changes(store, self.position).unwrap();
        self.take(seen);
        self.position = report.position;
    }

    fn take(&mut self, seen: store_support::Collected) {
        for path in &seen.deleted {
            self.files.remove(path);
        }
        let versions: BTreeMap<_, _> = seen.versions.into_iter().collect();
        for file in seen.files {
            let version = versions[&file.path];
            self.files.insert(file.path.clone(), (file, version));
        }
    }
}

/// What other programs do.
const FOREIGN: [&str; 6] = [
    "UPDATE documents SET language = 'foreign'",
    "UPDATE OR REPLACE documents SET path = 'a' WHERE path > 'a'",
    "DELETE FROM documents WHERE path < 'b'",
    "UPDATE functions SET name = 'foreign' WHERE ordinal = 0",
    "INSERT OR REPLACE INTO documents (id, project_id, path) VALUES (1, 1, 'foreign')",
    "DELETE FROM classes WHERE NOT EXISTS (
        SELECT 1 FROM methods m WHERE m.document_id = classes.document_id)",
];

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let write = prop_oneof![
        4 => any_record().prop_map(Write::Put),
        1 => any_record().prop_map(|record| Write::Remove(record.path)),
    ];
    prop::collection::vec(write, 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn following_equals_scanning(
        steps in prop::collection::vec((writes(), prop::option::of(0..FOREIGN.len())), 1..6),
    ) {
        let db = TestDb::new();
        let store = db.open("p");
        let mut follower = Follower::scan(&store);
        for (batch, foreign) in steps {
            store.write(&batch).unwrap();
            if let Some(foreign) = foreign {
                db.sql(FOREIGN[foreign]);
            }
            follower.follow(&store);
            let scanned = Follower::scan(&store);
            prop_assert_eq!(&follower.files, &scanned.files);
            prop_assert_eq!(follower.position, scanned.position);
            prop_assert_eq!(follower.position, store.head().unwrap());
        }
    }
}

#[test]
fn only_what_changed_is_read_in_the_order_of_the_log() {
    let db = TestDb::new();
    let store = db.open("p");
    for name in ["a", "b", "c"] {
        store.put(&FileMetadata::new(path(name))).unwrap();
    }
    let since = store.head().unwrap();
    let (seen, report) = collect_changes(&store, since).unwrap();
    assert_eq!((seen.versions.len(), report.position), (0, since));
    store.put(&FileMetadata::new(path("c"))).unwrap();
    store.put(&FileMetadata::new(path("a"))).unwrap();
    store.remove(&path("b")).unwrap();
    let (seen, report) = collect_changes(&store, since).unwrap();
    let versions = [
        ("c".to_owned(), since.sequence + 1),
        ("a".to_owned(), since.sequence + 2),
    ];
    assert_eq!(seen.versions, versions);
    assert_eq!(seen.deleted, ["b"]);
    assert_eq!((report.files, report.deleted), (2, 1));
    assert_eq!(report.position.sequence, since.sequence + 3);
}

#[test]
fn pruning_forgets_the_oldest_tombstones_and_says_how_far() {
    let db = TestDb::new();
    let store = db.open("p");
    let mut positions = Vec::new();
    for name in ["a", "b", "c", "d"] {
        store.put(&FileMetadata::new(path(name))).unwrap();
    }
    for name in ["a", "b", "c"] {
        positions.push(store.remove(&path(name)).unwrap().position);
    }
    assert_eq!(store.prune_log(3).unwrap(), 0);
    assert!(
        collect_changes(
            &store,
            Position {
                sequence: 0,
                ..positions[0]
            }
        )
        .is_ok()
    );
    assert_eq!(store.prune_log(1).unwrap(), 2);
    let error = collect_changes(&store, positions[0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LogPruned);
    let (seen, _) = collect_changes(&store, positions[1]).unwrap();
    assert_eq!(seen.deleted, ["c"]);

    // With every tombstone gone the head stays, and sequences go on from there.
    assert_eq!(store.prune_log(0).unwrap(), 1);
    assert_eq!(store.head().unwrap(), positions[2]);
    let next = store.put(&FileMetadata::new(path("a"))).unwrap().position;
    assert_eq!(next.sequence, positions[2].sequence + 1);
    let (seen, _) = collect_changes(&store, positions[2]).unwrap();
    assert_eq!(seen.versions, [("a".to_owned(), next.sequence)]);
    assert_eq!(Follower::scan(&store).files["a"].1, next.sequence);
}

#[test]
fn a_position_of_another_history_is_refused() {
    let db = TestDb::new();
    let store = db.open("p");
    let head = store.put(&FileMetadata::new(path("a"))).unwrap().position;
    let ahead = Position {
        sequence: head.sequence + 1,
        ..head
    };
    let elsewhere = Position {
        epoch: head.epoch ^ 1,
        ..head
    };
    for position in [ahead, elsewhere, Position::default()] {
        let error = collect_changes(&store, position).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LogPruned, "{position}");
    }
    // Whatever alters the schema may have switched capture off and on again meanwhile.
    db.sql("CREATE INDEX somebodys ON functions (name)");
    assert_eq!(
        collect_changes(&store, head).unwrap_err().kind(),
        ErrorKind::LogPruned
    );
}

#[test]
fn versions_are_right_in_any_order_of_the_documents() {
    let db = TestDb::new();
    let store = db.open("p");
    // Documents out of path order, over blocks of tombstones.
    let names: Vec<String> = (0..300_u32)
        .map(|i| format!("{:03}", (i * 7919) % 300))
        .collect();
    for name in &names {
        store.put(&FileMetadata::new(path(name))).unwrap();
    }
    let gone = |name: &String| ("050".."150").contains(&name.as_str());
    let removals: Vec<_> = names
        .iter()
        .filter(|name| gone(name))
        .map(|name| Write::Remove(path(name)))
        .collect();
    store.write(&removals).unwrap();
    let (seen, report) = collect(&store);
    assert_eq!(report.files, 200);
    for (name, version) in seen.versions {
        assert_eq!(
            store.get(&path(&name)).unwrap().unwrap().version,
            version,
            "{name}"
        );
    }
}

#[test]
fn somebody_elses_trigger_on_our_writes_is_logged() {
    let db = TestDb::new();
    let store = db.open("p");
    let record = |path: &str| {
        FileMetadata::builder(path)
            .language("rust")
            .build()
            .unwrap()
    };
    store.put(&record("a")).unwrap();
    store.put(&record("b")).unwrap();
    db.sql(
        "CREATE TRIGGER mine AFTER UPDATE OF language ON documents WHEN NEW.path = 'a'
         BEGIN UPDATE documents SET language = 'zig' WHERE path = 'b'; END",
    );
    let since = store.head().unwrap();
    store.put(&record("a")).unwrap();
    let (changes, _) = collect_changes(&store, since).unwrap();
    let mut paths: Vec<_> = changes
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    paths.sort_unstable();
    assert_eq!(paths, ["a", "b"]);
}

#[test]
fn a_log_that_says_what_cannot_be_is_refused_and_named_and_repaired() {
    let db = TestDb::new();
    let store = db.open("p");
    store
        .put(&FileMetadata::builder("a").build().unwrap())
        .unwrap();
    db.sql("PRAGMA ignore_check_constraints = ON; UPDATE log_state SET pruned_to = -1");
    assert_eq!(store.head().unwrap_err().kind(), ErrorKind::DatabaseCorrupt);
    assert!(!SqliteStore::check_file(db.file()).unwrap().is_empty());
    SqliteStore::repair_file(db.file()).unwrap();
    assert_eq!(SqliteStore::check_file(db.file()).unwrap(), []);
    assert!(store.get(&path("a")).unwrap().is_some());
}
