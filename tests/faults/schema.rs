//! The schema: its version, and the triggers that log changes.

use cardex::ErrorKind;
use cardex::store::SqliteStore;

use crate::victim::*;

#[test]
fn without_its_triggers_a_database_is_not_trusted_until_it_is_repaired() {
    let damages = [
        "DROP TRIGGER documents_after_update",
        "DROP TRIGGER functions_after_insert;
         CREATE TRIGGER functions_after_insert AFTER INSERT ON functions BEGIN SELECT 1; END",
        "DROP VIEW touched",
        // Committed, nobody knows since when.
        "UPDATE log_state SET quiet = 1",
    ];
    for damage in damages {
        let mut victim = Victim::new();
        victim.sql(damage);
        // This goes unlogged, or fails.
        let unlogged = "UPDATE documents SET language = 'ada' WHERE path = 'f001'";
        drop(victim.connect().execute_batch(unlogged));
        victim.during(&[ErrorKind::DatabaseCorrupt]);
        SqliteStore::repair_file(&victim.file).unwrap();
        victim.after(LATER);
    }
}

#[test]
fn a_newer_schema_is_left_alone_until_the_known_one_is_back() {
    let mut victim = Victim::new();
    victim.sql("PRAGMA user_version = 4711");
    victim.during(&[ErrorKind::SchemaTooNew]);
    victim.sql("PRAGMA user_version = 2");
    victim.after(LATER);
}

#[test]
fn an_older_schema_is_not_read_until_the_known_one_is_back() {
    let mut victim = Victim::new();
    victim.sql("PRAGMA user_version = 0");
    victim.during(&[ErrorKind::DatabaseCorrupt]);
    victim.sql("PRAGMA user_version = 2");
    victim.after(LATER);
}
