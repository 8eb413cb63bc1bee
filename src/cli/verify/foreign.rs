//! A program that knows nothing of cardex: any SQL tool, with SQLite's own defaults and statements of
//! its own. And what SQL says of the database, for whoever compares. This is the one place outside
//! the store with SQL about metadata: it is somebody else's.

use std::path::Path;
use std::time::Duration;

use cardex::{Error, ErrorKind, Result};
use fastrand::Rng;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::lines::{Lines, change};
use super::task::{Task, now};
use super::world::{
    Content, FUNCTIONS, LANGUAGES, OTHER, PROJECT, SHARED, digest, function, path, strange,
};
use super::writer::{REST, tag};

/// How long it waits for somebody else's lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection that waits for others.
pub(super) fn connect(file: &Path) -> Result<Connection> {
    let connection = Connection::open(file).map_err(refused)?;
    connection.busy_timeout(PATIENCE).map_err(refused)?;
    Ok(connection)
}

/// What SQLite refused to such a program.
pub(super) fn refused(cause: rusqlite::Error) -> Error {
    Error::new(ErrorKind::Database, "a foreign program was refused").because(cause)
}

/// Changes files until the task is over, a few statements a commit.
pub(super) fn run(task: &Task) -> Result<()> {
    let mut lines = Lines::new(task, 0)?;
    let mut database = connect(&task.database())?;
    let mut random = Rng::with_seed(task.seed);
    let mut n = 0;
    while !task.is_over() {
        let begun = now();
        let tx = database
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(refused)?;
        let before = head(&tx)?;
        let mut touched = Vec::new();
        for _ in 0..random.usize(1..4) {
            n += 1;
            touched.extend(statement(&tx, tag(task, n), &mut random)?);
        }
        touched.sort_unstable();
        touched.dedup();
        let after = head(&tx)?;
        let mut changes = String::new();
        for number in touched {
            changes.push_str(&change(number, stored(&tx, number)?));
        }
        tx.commit().map_err(refused)?;
        let done = now();
        if after != before {
            lines.committed([begun, done], [before, after], &changes)?;
        }
        std::thread::sleep(REST);
    }
    Ok(())
}

/// Changes something; the paths whose files it may have changed.
fn statement(database: &Connection, tag: u64, random: &mut Rng) -> Result<Vec<usize>> {
    let number = random.usize(..SHARED);
    let path_text = path(number)?;
    let content = Content::random(tag, random);
    let language = LANGUAGES[content.language];
    let id = id(database, number)?;
    let project = "(SELECT id FROM projects WHERE name = ?1)";
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        database.execute(sql, values).map(drop).map_err(refused)
    };
    match random.u32(..10) {
        0..4 => {
            let sql = format!(
                "INSERT OR REPLACE INTO documents (project_id, path, language, digest)
                 VALUES ({project}, ?2, ?3, ?4)"
            );
            let values = params![PROJECT, path_text.as_str(), language, digest(tag)];
            run(&sql, values)?;
            let sql = "INSERT INTO functions (document_id, ordinal, name) VALUES (?1, 0, ?2)";
            let values = params![database.last_insert_rowid(), function(content.function)];
            run(sql, values)?;
        }
        4..6 => run("DELETE FROM documents WHERE id = ?1", params![id])?,
        6 => {
            let sql = "UPDATE documents SET language = ?2, digest = ?3 WHERE id = ?1";
            run(sql, params![id, language, digest(tag)])?;
        }
        7 => {
            let name = function(random.usize(..FUNCTIONS));
            let sql = "UPDATE functions SET name = ?2 WHERE document_id = ?1";
            run(sql, params![id, name])?;
        }
        8 => {
            let to = random.usize(..SHARED);
            let sql = "UPDATE OR REPLACE documents SET path = ?2 WHERE id = ?1";
            run(sql, params![id, path(to)?.as_str()])?;
            return Ok(vec![number, to]);
        }
        _ => {
            // The other project's file moves the log, and changes nothing here.
            let sql = format!(
                "INSERT OR REPLACE INTO documents (project_id, path) VALUES ({project}, ?2)"
            );
            run(&sql, params![OTHER, path_text.as_str()])?;
            return Ok(Vec::new());
        }
    }
    Ok(vec![number])
}

/// The end of the log, in a transaction.
pub(super) fn head(database: &Connection) -> Result<u64> {
    let sql = "SELECT max(coalesce((SELECT max(seq) FROM changes), 0),
                          (SELECT pruned_to FROM log_state))";
    let head: i64 = database
        .query_row(sql, [], |row| row.get(0))
        .map_err(refused)?;
    Ok(head.unsigned_abs())
}

fn id(database: &Connection, number: usize) -> Result<Option<i64>> {
    let sql = "SELECT d.id FROM documents d JOIN projects p ON p.id = d.project_id
               WHERE p.name = ?1 AND d.path = ?2";
    let path = path(number)?;
    let values = params![PROJECT, path.as_str()];
    let row = database.query_row(sql, values, |row| row.get(0));
    row.optional().map_err(refused)
}

/// What SQL says of a file: the sequence of its last change, and its content.
pub(super) fn stored(database: &Connection, number: usize) -> Result<Option<(u64, Content)>> {
    let Some(id) = id(database, number)? else {
        return Ok(None);
    };
    let sql = "SELECT c.seq, d.digest, d.language, f.name
               FROM documents d JOIN changes c ON c.project_id = d.project_id AND c.path = d.path
               JOIN functions f ON f.document_id = d.id WHERE d.id = ?1";
    let row = |row: &rusqlite::Row<'_>| {
        let version: i64 = row.get(0)?;
        let texts: [String; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
        Ok((version.unsigned_abs(), texts))
    };
    let (version, [digest, language, function]) =
        database.query_row(sql, [id], row).map_err(refused)?;
    match Content::parts(&digest, &language, &function) {
        Some(content) => Ok(Some((version, content))),
        None => Err(strange(format!(
            "nobody wrote {digest}, {language}, {function}"
        ))),
    }
}

/// The sequence of the last change of a file, which may be gone.
pub(super) fn last_change(database: &Connection, number: usize) -> Result<Option<u64>> {
    let sql = "SELECT c.seq FROM changes c JOIN projects p ON p.id = c.project_id
               WHERE p.name = ?1 AND c.path = ?2";
    let path = path(number)?;
    let values = params![PROJECT, path.as_str()];
    let row = database.query_row(sql, values, |row| row.get::<_, i64>(0));
    let sequence = row.optional().map_err(refused)?;
    Ok(sequence.map(i64::unsigned_abs))
}
