//! What the triggers that log every change add to the writes of a program that knows nothing of them.

use crate::common::database::Database;
use crate::common::race::{race, report};
use crate::copy::{Copy, Foreign};

/// Files of one transaction.
const FILES: [usize; 2] = [1, 100];

pub(crate) fn run(database: &Database) {
    let (with, without) = (Copy::of(database), Copy::of(database));
    let (mut with, mut without) = (with.foreign(), without.foreign());
    drop_triggers(&without);
    for files in FILES {
        let [ours, theirs] = race(
            files,
            [&mut || write(&mut with, files), &mut || {
                write(&mut without, files);
            }],
        );
        let case = format!("foreign-update,per-file,{files}-a-commit");
        report("sync", &case, "without-triggers", ours, theirs, None);
    }
}

fn write(foreign: &mut Foreign, files: usize) {
    foreign
        .conn
        .execute_batch("BEGIN IMMEDIATE")
        .expect("nobody else writes");
    for _ in 0..files {
        foreign.change();
    }
    foreign
        .conn
        .execute_batch("COMMIT")
        .expect("nobody else writes");
}

fn drop_triggers(foreign: &Foreign) {
    let drops: String = foreign
        .conn
        .query_row(
            "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema
             WHERE type = 'trigger'",
            [],
            |row| row.get(0),
        )
        .expect("there are triggers");
    foreign
        .conn
        .execute_batch(&drops)
        .expect("they can be dropped");
}
