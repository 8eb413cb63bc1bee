//! A look at a database that nobody has changed, against the one question to SQLite that it cannot do
//! without, and against finding out whether the name still leads to the same file. Those two are four
//! system calls, which take three quarters of the look: SQLite locks, asks for the size and unlocks.

use std::hint::black_box;

use cardex::SyncMode;

use crate::common::race::{race, report};
use crate::copy::Copy;

const LOOKS: usize = 1_000;
/// What a look may take, in nanoseconds.
const LIMIT: f64 = 2_000.0;

pub(crate) fn run(copy: &Copy) {
    let cardex = copy.cardex(false);
    let foreign = copy.foreign();
    let mut version = foreign
        .conn
        .prepare("PRAGMA data_version")
        .expect("it is a known pragma");
    let path = &copy.database.path;
    let [ours, data_version, stat] = race(
        LOOKS,
        [
            &mut || {
                for _ in 0..LOOKS {
                    let report = cardex.sync(SyncMode::Incremental);
                    assert_eq!(report.expect("it can be read").files, 0);
                }
            },
            &mut || {
                for _ in 0..LOOKS {
                    let version = version.query_row([], |row| row.get::<_, i64>(0));
                    black_box(version.expect("it can be read"));
                }
            },
            &mut || {
                for _ in 0..LOOKS {
                    black_box(std::fs::metadata(path).expect("it is there"));
                }
            },
        ],
    );
    let case = format!("no-change-poll,{}", copy.database.label);
    report("sync", &case, "limit", ours, LIMIT, Some(1.0));
    report(
        "sync",
        &case,
        "data-version-alone",
        ours,
        data_version,
        None,
    );
    report("sync", &case, "stat-alone", ours, stat, None);
}
