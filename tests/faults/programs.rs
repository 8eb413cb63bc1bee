//! What other programs write, by whatever statement.

use crate::victim::*;

#[test]
fn what_another_program_writes_by_any_statement_is_what_the_index_holds() {
    let mut victim = Victim::new();
    let statements = [
        "INSERT INTO documents (project_id, path, language) VALUES (1, 'new', 'Ada')",
        "INSERT INTO functions (document_id, ordinal, name)
         SELECT id, 7, 'seventh' FROM documents WHERE path = 'new'",
        "UPDATE documents SET language = 'perl' WHERE path IN ('f001', 'f007')",
        "UPDATE functions SET name = 'renamed' WHERE name = 'only_001'",
        "UPDATE documents SET path = 'moved' WHERE path = 'f007'",
        "UPDATE functions SET document_id = (SELECT id FROM documents WHERE path = 'new')
         WHERE name = 'only_002'",
        "INSERT OR REPLACE INTO documents (project_id, path, language) VALUES (1, 'f000', 'lisp')",
        "UPDATE OR REPLACE documents SET path = 'f003' WHERE path = 'f004'",
        "INSERT INTO documents (project_id, path, language) VALUES (1, 'f005', 'lisp')
         ON CONFLICT (project_id, path) DO UPDATE SET language = excluded.language",
        "INSERT OR IGNORE INTO documents (project_id, path) VALUES (1, 'f006'), (1, 'f100')",
        "DELETE FROM functions WHERE name = 'each' AND document_id % 2 = 0",
        // Without foreign keys the rows of a file stay behind, as nobody's.
        "DELETE FROM documents WHERE path = 'f008'",
        "PRAGMA foreign_keys = ON; DELETE FROM documents WHERE path = 'f009'",
        "BEGIN; DELETE FROM documents WHERE path = 'f010'; ROLLBACK",
        "BEGIN; DELETE FROM documents WHERE path = 'f011';
         INSERT INTO documents (project_id, path) VALUES (1, 'f011'); COMMIT",
        "PRAGMA foreign_keys = ON;
         INSERT INTO projects (id, name) VALUES (2, 'other');
         UPDATE documents SET project_id = 2 WHERE path = 'f012';
         DELETE FROM projects WHERE id = 2",
        "VACUUM",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "DELETE FROM documents",
    ];
    for statement in statements {
        sqlite3(&victim.file, statement);
        victim.after(LATER);
    }
    assert!(victim.records.is_empty());
}
