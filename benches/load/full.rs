//! The full load.

use cardex::store::{MetadataStore, RowSink};

use crate::common::database::{Database, read_only};
use crate::common::race::{race, report};
use crate::raw;

/// Races the load against the raw scan; and the store's part of it alone.
pub(crate) fn run(database: &Database) {
    let store = database.store().expect("the database is good");
    let conn = read_only(&database.path).expect("the database is good");
    let [full, scan, raw] = race(
        database.files,
        [
            &mut || {
                let (index, sync) = Database::index(&store).expect("a thread can be started");
                sync.full().expect("the database can be read");
                assert_eq!(index.snapshot().len(), database.files);
            },
            &mut || {
                let mut sink = Forget(0);
                store.scan(&mut sink).expect("the database can be read");
                assert_eq!(sink.0, database.files);
            },
            &mut || {
                raw::scan(&conn).expect("the database can be read");
            },
        ],
    );
    let case = |name: &str| format!("{name},per-record,{}", database.label);
    report("load", &case("full"), "raw-scan", full, raw, Some(0.25));
    report(
        "load",
        &case("store-scan-alone"),
        "raw-scan",
        scan,
        raw,
        None,
    );
    report(
        "load",
        &case("index-alone"),
        "raw-scan",
        full - scan,
        raw,
        None,
    );
}

/// Counts files and forgets them.
struct Forget(usize);

impl RowSink for Forget {
    fn file(&mut self, _: &str, _: Option<&str>, _: u64) {
        self.0 += 1;
    }

    fn function(&mut self, _: &str) {}

    fn class(&mut self, _: i64, _: &str) {}

    fn method(&mut self, _: i64, _: &str) {}

    fn reference(&mut self, _: &str) {}

    fn deleted(&mut self, _: &str) {}
}
