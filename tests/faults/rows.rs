//! The log and the rows: pruned, and malformed by hand.

use cardex::store::{MetadataStore, SqliteOptions, SqliteStore, Write};
use cardex::{ErrorKind, Freshness, Query, SyncMode};

use crate::victim::*;

#[test]
fn a_log_pruned_past_the_watermark_is_no_reason_to_miss_what_was_deleted() {
    let mut victim = Victim::unfollowed();
    let store = SqliteStore::open(&victim.file, "default", SqliteOptions::default()).unwrap();
    let writes = ["f000", "f001", "f002"].map(|name| Write::Remove(path(name)));
    store.write(&writes).unwrap();
    store.put(&record("f003", "ada", "new")).unwrap();
    assert_eq!(store.prune_log(0).unwrap(), 3);
    // Nobody has looked yet.
    assert_eq!(victim.answers(&victim.held), victim.held);
    victim.cache.sync(SyncMode::Incremental).unwrap();
    assert_eq!(victim.stats().last_sync.unwrap().mode, SyncMode::Full);
    assert!(victim.cache.get(&path("f000")).unwrap().is_none());
    victim.after(SOON);
}

#[test]
fn rows_that_nobody_can_read_are_told_of_and_hide_no_others() {
    let damages = [
        // The index needs them: the answers are incomplete, and say so.
        ("UPDATE documents SET language = CAST(x'ff' AS TEXT)", true),
        ("UPDATE functions SET name = CAST(x'ff' AS TEXT)", true),
        // Only the record needs these.
        ("UPDATE documents SET constraints = 'no list'", false),
        ("UPDATE documents SET design_principles = '[1, {}]'", false),
        ("UPDATE documents SET last_modified = 'yesterday'", false),
        ("UPDATE functions SET parameters = '{\"a\": null}'", false),
        ("UPDATE functions SET line_start = 9, line_end = 2", false),
        ("UPDATE functions SET line_start = -1", false),
        ("UPDATE functions SET intent = CAST(x'fe' AS TEXT)", false),
        (
            "PRAGMA ignore_check_constraints = ON;
             UPDATE documents SET document_type = 'Poem'",
            false,
        ),
        (
            "PRAGMA ignore_check_constraints = ON;
             UPDATE documents SET size_bytes = -1",
            false,
        ),
        // Another type than the column's, as a damaged page or another program's tricks leave it.
        (
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, 'size_bytes INTEGER', 'size_bytes TEXT')
             WHERE name = 'documents';
             PRAGMA writable_schema = RESET;
             UPDATE documents SET size_bytes = 'many'",
            false,
        ),
        // NULL where the column allows none.
        (
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, 'document_type TEXT NOT NULL',
                 'document_type TEXT')
             WHERE name = 'documents';
             PRAGMA writable_schema = RESET;
             UPDATE documents SET document_type = NULL",
            false,
        ),
    ];
    let victim = Victim::new();
    for (damage, is_of_index) in damages {
        let table = if damage.contains("UPDATE functions") {
            "document_id"
        } else {
            "id"
        };
        let row = format!("{table} = (SELECT id FROM documents WHERE path = 'f000')");
        victim.sql(&format!("{damage} WHERE {row}"));
        let all = Query::builder().path_glob("**").build().unwrap();
        let answer = victim.cache.query_with(&all, Freshness::Latest);
        let answer = answer.unwrap_or_else(|e| panic!("{damage}: {e:#}"));
        assert_eq!(answer.is_complete(), !is_of_index, "{damage}");
        assert_eq!(answer.len(), FILES - usize::from(is_of_index), "{damage}");
        assert_eq!(
            victim.stats().unreadable,
            u64::from(is_of_index),
            "{damage}"
        );
        let error = victim.cache.get(&path("f000")).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::DatabaseCorrupt,
            "{damage}: {error:#}"
        );
        assert!(error.to_string().contains("f000"), "{damage}: {error}");
        for name in ["f001", "f007"] {
            let found = victim.cache.get(&path(name)).unwrap().unwrap();
            assert_eq!(*found, victim.records[name], "{damage}");
        }
        assert!(
            victim.cache.get(&path("nothing")).unwrap().is_none(),
            "{damage}"
        );
        // Writing the file again mends it.
        victim.cache.update(&victim.records["f000"]).unwrap();
        let found = victim.cache.get(&path("f000")).unwrap().unwrap();
        assert_eq!(*found, victim.records["f000"], "{damage}");
        assert_eq!(victim.stats().unreadable, 0, "{damage}");
        victim.assert_exact(&victim.held);
    }
}

#[test]
fn a_text_larger_than_a_record_may_be_is_an_error_and_hides_no_other_file() {
    let mut victim = Victim::new();
    victim.sql("UPDATE documents SET intent = hex(zeroblob(10000000)) WHERE path = 'f000'");
    victim.assert_exact(&victim.held);
    let error = victim.cache.get(&path("f000")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRecord, "{error:#}");
    assert!(error.to_string().contains("f000"), "{error}");
    assert!(victim.cache.get(&path("f001")).unwrap().is_some());
    victim.sql("UPDATE documents SET intent = NULL WHERE path = 'f000'");
    victim.after(SOON);
}
