//! No change is missed: random statements of every kind, by programs that know nothing of us, and
//! after each one every file whose rows differ must have a new and higher sequence in the log.
//!
//! `CARDEX_TEST_SEED` repeats a run. A second test takes each trigger away in turn and asserts that
//! the first one would have noticed.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod store_support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cardex::store::{MetadataStore, SqliteStore, Write};
use cardex::{FileMetadata, Function};
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode};
use store_support::{TestDb, path};

const CHILDREN: [&str; 5] = [
    "functions",
    "classes",
    "methods",
    "reference_docs",
    "change_records",
];

/// SplitMix64: small, seeded, good enough to choose with.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// A statement, and the kinds it is an example of, `|` between them.
struct Statement {
    sql: String,
    kind: String,
}

/// Writes random statements over few projects, paths, ids and ordinals, so that they collide.
struct Generator {
    random: Random,
    /// Whether to open transactions and to set pragmas; each run of the `sqlite3` command is a
    /// connection of its own.
    session: bool,
    in_transaction: bool,
}

impl Generator {
    fn statement(&mut self) -> Statement {
        match self.random.below(100) {
            0..=24 => self.insert_document(),
            25..=49 => self.insert_child(),
            50..=62 => self.update_document(),
            63..=76 => self.update_child(),
            77..=79 => self.delete("documents"),
            80..=84 => self.delete_child(),
            85..=90 => self.project(),
            _ if self.session => self.session(),
            _ => self.insert_document(),
        }
    }

    fn or_clause(&mut self) -> &'static str {
        self.random.pick(&[
            "",
            "",
            "OR REPLACE",
            "OR IGNORE",
            "OR ABORT",
            "OR FAIL",
            "OR ROLLBACK",
        ])
    }

    fn id(&mut self) -> String {
        (1 + self.random.below(9)).to_string()
    }

    fn project_id(&mut self) -> String {
        (1 + self.random.below(3)).to_string()
    }

    fn path(&mut self) -> &'static str {
        self.random
            .pick(&["'a'", "'b'", "'c'", "'d'", "'e'", "'f'"])
    }

    fn ordinal(&mut self) -> String {
        self.random.below(4).to_string()
    }

    fn word(&mut self) -> String {
        format!("'w{}'", self.random.below(100))
    }

    fn document_type(&mut self) -> &'static str {
        self.random
            .pick(&["'Code'", "'Config'", "'Header'", "NULL", "'Poem'"])
    }

    fn insert_document(&mut self) -> Statement {
        let or = self.or_clause();
        let (columns, rows) = self.document_rows();
        let source = if self.random.one_in(6) {
            let shift = self.random.pick(&["0", "1", "-1"]);
            let (project, filter) = (self.project_id(), self.document_filter());
            // The parser needs a WHERE before ON CONFLICT.
            let rows = format!("SELECT id + {shift}, {project}, path, language FROM documents");
            format!("(id, project_id, path, language) {rows} {filter}")
        } else {
            format!("{columns} VALUES {rows}")
        };
        let upsert = if self.random.one_in(3) {
            self.document_upsert()
        } else {
            String::new()
        };
        let kind = match upsert.as_str() {
            "" => format!("insert {or} documents"),
            text if text.contains("UPDATE") => format!("insert {or} documents do update"),
            _ => format!("insert {or} documents do nothing"),
        };
        Statement {
            sql: format!("INSERT {or} INTO documents {source} {upsert}"),
            kind,
        }
    }

    fn document_rows(&mut self) -> (String, String) {
        let id = self.random.pick(&["", "id, ", "id, ", "rowid, "]);
        let typed = self.random.one_in(4);
        let columns = format!(
            "({id}project_id, path, language{})",
            if typed { ", document_type" } else { "" }
        );
        let count = 1 + self.random.below(3);
        let rows: Vec<_> = (0..count)
            .map(|_| {
                let id = if id.is_empty() {
                    String::new()
                } else {
                    format!("{}, ", self.id())
                };
                let project = self.project_id();
                let path = if self.random.one_in(30) {
                    "NULL"
                } else {
                    self.path()
                };
                let language = self.word();
                let kind = if typed {
                    format!(", {}", self.document_type())
                } else {
                    String::new()
                };
                format!("({id}{project}, {path}, {language}{kind})")
            })
            .collect();
        (columns, rows.join(", "))
    }

    fn document_upsert(&mut self) -> String {
        let target = self
            .random
            .pick(&["(id)", "(project_id, path)", "(project_id, path)", ""]);
        if target.is_empty() || self.random.one_in(3) {
            return format!("ON CONFLICT {target} DO NOTHING");
        }
        let assignment = match self.random.below(6) {
            0 => "id = excluded.id".to_owned(),
            1 => format!("id = {}", self.id()),
            2 => format!("path = {}", self.path()),
            3 => format!("project_id = {}", self.project_id()),
            4 => "path = excluded.path, project_id = excluded.project_id".to_owned(),
            _ => format!("language = language || {}", self.word()),
        };
        let first = format!("ON CONFLICT {target} DO UPDATE SET {assignment}");
        match self.random.below(4) {
            0 => format!("{first} ON CONFLICT DO NOTHING"),
            1 => format!("{first} WHERE documents.language <> 'w1'"),
            _ => first,
        }
    }

    fn document_filter(&mut self) -> String {
        match self.random.below(7) {
            0 => "WHERE true".to_owned(),
            1 => format!("WHERE path = {}", self.path()),
            2 => format!("WHERE project_id = {}", self.project_id()),
            3 => format!("WHERE id < {}", self.id()),
            4 => format!(
                "WHERE project_id = {} AND path = {}",
                self.project_id(),
                self.path()
            ),
            _ => format!("WHERE id = {}", self.id()),
        }
    }

    fn update_document(&mut self) -> Statement {
        let or = self.or_clause();
        let (what, assignment) = match self.random.below(9) {
            0 => ("id", format!("id = {}", self.id())),
            1 => (
                "id",
                format!("rowid = id + {}", self.random.pick(&["1", "-1"])),
            ),
            2 | 3 => ("path", format!("path = {}", self.path())),
            4 => ("project_id", format!("project_id = {}", self.project_id())),
            5 => {
                let (id, path) = (self.id(), self.path());
                (
                    "all keys",
                    format!(
                        "id = {id}, path = {path}, project_id = {}",
                        self.project_id()
                    ),
                )
            }
            6 => ("type", format!("document_type = {}", self.document_type())),
            _ => ("language", format!("language = {}", self.word())),
        };
        let filter = self.document_filter();
        Statement {
            sql: format!("UPDATE {or} documents SET {assignment} {filter}"),
            kind: format!("update {or} documents.{what}"),
        }
    }

    fn child(&mut self) -> &'static str {
        self.random.pick(&CHILDREN)
    }

    /// The columns of a child table that need a value, with one of its own content.
    fn child_columns(table: &str) -> (&'static str, &'static str) {
        match table {
            "methods" => ("class_ordinal, ", "name"),
            "reference_docs" => ("", "document"),
            "change_records" => ("", "summary"),
            _ => ("", "name"),
        }
    }

    fn insert_child(&mut self) -> Statement {
        let (or, table) = (self.or_clause(), self.child());
        let (class, content) = Self::child_columns(table);
        let source = if self.random.one_in(6) {
            let shift = self.random.pick(&["0", "1", "-1"]);
            let (document, old) = (self.id(), self.id());
            format!(
                "SELECT {document}, ordinal + {shift}, {class}{content} FROM {table}
                 WHERE document_id = {old}"
            )
        } else {
            let count = 1 + self.random.below(3);
            let rows: Vec<_> = (0..count)
                .map(|_| {
                    let class = if class.is_empty() { "" } else { "0, " };
                    let (document, ordinal) = (self.id(), self.ordinal());
                    format!("({document}, {ordinal}, {class}{})", self.word())
                })
                .collect();
            format!("VALUES {}", rows.join(", "))
        };
        let upsert = match self.random.below(9) {
            0 => "ON CONFLICT (document_id, ordinal) DO NOTHING".to_owned(),
            1 => format!(
                "ON CONFLICT (document_id, ordinal) DO UPDATE SET {content} = {content} || {}",
                self.word()
            ),
            2 => format!(
                "ON CONFLICT (document_id, ordinal) DO UPDATE SET document_id = {}, ordinal = {}",
                self.id(),
                self.ordinal()
            ),
            _ => String::new(),
        };
        let kind = if upsert.is_empty() { "" } else { " upsert" };
        Statement {
            sql: format!(
                "INSERT {or} INTO {table} (document_id, ordinal, {class}{content}) {source} {upsert}"
            ),
            kind: format!("insert {or} child{kind}|insert {table}{kind}"),
        }
    }

    fn child_filter(&mut self) -> String {
        match self.random.below(6) {
            0 => format!("WHERE ordinal = {}", self.ordinal()),
            1 | 2 => format!("WHERE document_id < {}", self.id()),
            3 => format!(
                "WHERE document_id = {} AND ordinal = {}",
                self.id(),
                self.ordinal()
            ),
            _ => format!("WHERE document_id = {}", self.id()),
        }
    }

    fn update_child(&mut self) -> Statement {
        let (or, table) = (self.or_clause(), self.child());
        let (_, content) = Self::child_columns(table);
        let (what, assignment) = match self.random.below(6) {
            0 => ("document_id", format!("document_id = {}", self.id())),
            1 => ("document_id", "document_id = document_id + 1".to_owned()),
            2 => ("ordinal", format!("ordinal = {}", self.ordinal())),
            3 => ("ordinal", "ordinal = ordinal + 1".to_owned()),
            4 => (
                "key",
                format!("document_id = {}, ordinal = {}", self.id(), self.ordinal()),
            ),
            _ => ("content", format!("{content} = {}", self.word())),
        };
        let filter = self.child_filter();
        Statement {
            sql: format!("UPDATE {or} {table} SET {assignment} {filter}"),
            kind: format!("update {or} child.{what}|update {table}.{what}"),
        }
    }

    fn delete(&mut self, table: &str) -> Statement {
        let filter = if self.random.one_in(60) {
            String::new()
        } else {
            self.document_filter()
        };
        Statement {
            sql: format!("DELETE FROM {table} {filter}"),
            kind: format!("delete {table}"),
        }
    }

    fn delete_child(&mut self) -> Statement {
        let table = self.child();
        let filter = if self.random.one_in(60) {
            String::new()
        } else {
            self.child_filter()
        };
        Statement {
            sql: format!("DELETE FROM {table} {filter}"),
            kind: format!("delete {table}"),
        }
    }

    fn project(&mut self) -> Statement {
        let or = self.or_clause();
        let (id, name) = (
            self.project_id(),
            self.random.pick(&["'p1'", "'p2'", "'p3'"]),
        );
        match self.random.below(8) {
            // Without projects nothing else happens.
            0..=2 => Statement {
                sql: "INSERT OR IGNORE INTO projects (id, name)
                      VALUES (1, 'p1'), (2, 'p2'), (3, 'p3')"
                    .to_owned(),
                kind: "restore projects".to_owned(),
            },
            3 | 4 => Statement {
                sql: format!("INSERT {or} INTO projects (id, name) VALUES ({id}, {name})"),
                kind: format!("insert {or} projects"),
            },
            5 => Statement {
                sql: format!(
                    "UPDATE {or} projects SET id = {} WHERE id = {id}",
                    self.project_id()
                ),
                kind: format!("update {or} projects.id"),
            },
            6 => Statement {
                sql: format!("UPDATE {or} projects SET name = {name} WHERE id = {id}"),
                kind: format!("update {or} projects.name"),
            },
            _ => Statement {
                sql: format!("DELETE FROM projects WHERE id = {id}"),
                kind: "delete projects".to_owned(),
            },
        }
    }

    /// Transactions, savepoints and the settings of a connection.
    fn session(&mut self) -> Statement {
        let sql = if self.in_transaction {
            self.random.pick(&[
                "COMMIT",
                "COMMIT",
                "ROLLBACK",
                "SAVEPOINT s",
                "SAVEPOINT s",
                "ROLLBACK TO s",
                "RELEASE s",
                "PRAGMA defer_foreign_keys = ON",
            ])
        } else {
            self.random.pick(&[
                "BEGIN",
                "BEGIN IMMEDIATE",
                "SAVEPOINT s",
                "PRAGMA foreign_keys = ON",
                "PRAGMA foreign_keys = OFF",
                "PRAGMA recursive_triggers = ON",
                "PRAGMA recursive_triggers = OFF",
            ])
        };
        Statement {
            sql: sql.to_owned(),
            kind: sql.to_owned(),
        }
    }
}

type Key = (i64, Vec<u8>);

/// Everything that matters of a database at one moment.
#[derive(Clone, PartialEq)]
struct State {
    /// Each file with all its rows.
    files: BTreeMap<Key, Vec<Value>>,
    /// The log.
    sequences: BTreeMap<Key, i64>,
    head: i64,
}

fn rows(conn: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = conn.prepare_cached(sql).unwrap();
    let width = statement.column_count();
    let rows = statement
        .query_map([], |row| (0..width).map(|i| row.get(i)).collect())
        .unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn integer(value: &Value) -> i64 {
    let Value::Integer(value) = value else {
        panic!("{value:?} is no integer")
    };
    *value
}

fn bytes(value: &Value) -> Vec<u8> {
    let Value::Text(text) = value else {
        panic!("{value:?} is no text")
    };
    text.clone().into_bytes()
}

impl State {
    fn read(conn: &Connection) -> Self {
        let mut by_id: BTreeMap<i64, (Key, Vec<Value>)> = BTreeMap::new();
        for row in rows(conn, "SELECT id, project_id, path, * FROM documents") {
            let key = (integer(&row[1]), bytes(&row[2]));
            by_id.insert(integer(&row[0]), (key, row));
        }
        for table in CHILDREN {
            let sql = format!("SELECT document_id, '{table}', * FROM {table} ORDER BY 1, ordinal");
            for row in rows(conn, &sql) {
                // A row without a document belongs to no file.
                if let Some((_, values)) = by_id.get_mut(&integer(&row[0])) {
                    values.extend(row);
                }
            }
        }
        let log = rows(conn, "SELECT project_id, path, seq FROM changes");
        let sequences: BTreeMap<Key, i64> = log
            .iter()
            .map(|row| ((integer(&row[0]), bytes(&row[1])), integer(&row[2])))
            .collect();
        let unique: BTreeSet<_> = sequences.values().collect();
        assert_eq!(unique.len(), log.len(), "a sequence was used twice");
        let pruned_to = integer(&rows(conn, "SELECT pruned_to FROM log_state")[0][0]);
        let head = sequences
            .values()
            .copied()
            .max()
            .unwrap_or(0)
            .max(pruned_to);
        State {
            files: by_id.into_values().collect(),
            sequences,
            head,
        }
    }

    /// The files that differ between two states.
    fn changed<'a>(&'a self, after: &'a State) -> BTreeSet<&'a Key> {
        let keys = self.files.keys().chain(after.files.keys());
        keys.filter(|key| self.files.get(*key) != after.files.get(*key))
            .collect()
    }

    /// The changed files that the log of `after` does not name anew.
    fn missed<'a>(&'a self, after: &'a State) -> Vec<&'a Key> {
        let logged = |key: &Key| after.sequences.get(key).is_some_and(|seq| *seq > self.head);
        self.changed(after)
            .into_iter()
            .filter(|key| !logged(key))
            .collect()
    }
}

/// What a run did, so that one that proves nothing is noticed.
#[derive(Default)]
struct Tally {
    statements: usize,
    /// Those that tried to change rows, and those that did.
    of_rows: usize,
    effective: usize,
    changed_keys: usize,
    /// For each kind, how often it ran, and how often it changed a file.
    kinds: BTreeMap<String, (usize, usize)>,
}

impl Tally {
    fn count(&mut self, kinds: &str, changed: usize) {
        self.statements += 1;
        self.effective += usize::from(changed > 0);
        self.changed_keys += changed;
        let verbs = ["insert", "update", "delete"];
        self.of_rows += usize::from(verbs.iter().any(|verb| kinds.starts_with(verb)));
        for kind in kinds.split('|') {
            let entry = self.kinds.entry(kind.to_owned()).or_default();
            entry.0 += 1;
            entry.1 += usize::from(changed > 0);
        }
    }

    fn print(&self, title: &str) {
        println!(
            "{title}: {} statements of {} kinds, {} on rows, {} effective, {} changed files",
            self.statements,
            self.kinds.len(),
            self.of_rows,
            self.effective,
            self.changed_keys
        );
        if std::env::var_os("CARDEX_TEST_KINDS").is_some() {
            for (kind, (ran, changed)) in &self.kinds {
                println!("{ran:6} {changed:6} {kind}");
            }
        }
    }
}

fn seed() -> u64 {
    let given = std::env::var("CARDEX_TEST_SEED")
        .ok()
        .map(|text| text.parse().unwrap());
    let seed = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap().as_nanos() as u64
    });
    println!("CARDEX_TEST_SEED={seed}");
    seed
}

/// A program that writes with plain SQL over one connection, watched.
struct Session {
    conn: Connection,
    generator: Generator,
    /// The last committed state.
    committed: State,
    /// The last state, committed or not.
    current: State,
    tally: Tally,
}

impl Session {
    fn new(db: &TestDb, seed: u64) -> Self {
        let conn = db.connect();
        let state = State::read(&conn);
        let generator = Generator {
            random: Random(seed),
            session: true,
            in_transaction: false,
        };
        Session {
            conn,
            generator,
            committed: state.clone(),
            current: state,
            tally: Tally::default(),
        }
    }

    /// Runs one statement. Returns a description of what the log missed.
    fn step(&mut self) -> Result<(), String> {
        self.generator.in_transaction = !self.conn.is_autocommit();
        let statement = self.generator.statement();
        let outcome = self.conn.execute_batch(&statement.sql);
        if let Err(error) = &outcome {
            let expected = matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::ConstraintViolation | ErrorCode::Unknown | ErrorCode::TypeMismatch)
            );
            assert!(expected, "{}: {error}", statement.sql);
        }
        let after = State::read(&self.conn);
        let undone = self.generator.in_transaction
            && (statement.sql.starts_with("ROLLBACK") || self.conn.is_autocommit());
        let before = std::mem::replace(&mut self.current, after);
        // What undoes changes undoes their log too: those are compared as committed states.
        if !undone {
            self.judge(&before, &statement)?;
            self.tally
                .count(&statement.kind, before.changed(&self.current).len());
        } else {
            self.tally.count(&statement.kind, 0);
        }
        if self.conn.is_autocommit() {
            let committed = std::mem::replace(&mut self.committed, self.current.clone());
            self.judge(&committed, &statement)?;
        }
        Ok(())
    }

    fn judge(&self, before: &State, statement: &Statement) -> Result<(), String> {
        let missed = before.missed(&self.current);
        if missed.is_empty() && self.current.head >= before.head {
            return Ok(());
        }
        let keys: Vec<_> = missed
            .iter()
            .map(|(id, path)| (id, String::from_utf8_lossy(path)))
            .collect();
        Err(format!(
            "`{}` changed {keys:?} unlogged; head {} -> {}",
            statement.sql, before.head, self.current.head
        ))
    }
}

/// Three projects, made by us; everything else is up to the generator.
fn fresh() -> (TestDb, SqliteStore) {
    let db = TestDb::new();
    let store = db.open("p1");
    db.open("p2");
    db.open("p3");
    (db, store)
}

/// Our own writer and the pruning of the log, between the statements of others.
fn interleave(session: &mut Session, store: &SqliteStore) -> Result<(), String> {
    if !session.conn.is_autocommit() || store.head().is_err() {
        return Ok(());
    }
    let random = &mut session.generator.random;
    let name = random.pick(&["a", "b", "c", "d", "e"]);
    let record = FileMetadata::builder(name)
        .language(random.next().to_string())
        .function(Function::named("f"))
        .build()
        .unwrap();
    let kind = match random.below(3) {
        0 => {
            let keep = random.below(3);
            store.prune_log(keep).unwrap();
            "our prune"
        }
        1 => {
            store.write(&[Write::Remove(path(name))]).unwrap();
            "our remove"
        }
        _ => {
            store.put(&record).unwrap();
            "our put"
        }
    };
    let before = std::mem::replace(&mut session.current, State::read(&session.conn));
    session.committed = session.current.clone();
    session
        .tally
        .count(kind, before.changed(&session.current).len());
    session.judge(
        &before,
        &Statement {
            sql: kind.to_owned(),
            kind: kind.to_owned(),
        },
    )
}

#[test]
fn no_statement_changes_a_file_unlogged() {
    const STATEMENTS: usize = 30_000;
    /// A new database now and then: constraints wear a state out.
    const PER_DATABASE: usize = 1_500;
    let seed = seed();
    let mut total = Tally::default();
    for run in 0..STATEMENTS / PER_DATABASE {
        let (db, store) = fresh();
        let mut session = Session::new(&db, seed.wrapping_add(run as u64));
        session.tally = std::mem::take(&mut total);
        for step in 0..PER_DATABASE {
            session.step().unwrap();
            if step % 25 == 0 {
                interleave(&mut session, &store).unwrap();
            }
        }
        total = session.tally;
    }
    total.print("over one connection");
    assert_covers_every_kind(&total);
}

/// A generator that does not reach a kind of statement, or only in vain, proves nothing about it.
fn assert_covers_every_kind(tally: &Tally) {
    assert!(tally.statements >= 30_000);
    assert!(
        tally.effective * 4 > tally.of_rows,
        "too many statements were in vain"
    );
    let effective = |kind: &str| {
        tally
            .kinds
            .get(kind)
            .is_some_and(|(_, changed)| *changed > 0)
    };
    let mut expected = vec!["delete documents".to_owned(), "delete projects".to_owned()];
    expected.extend(["our put", "our remove"].map(str::to_owned));
    let mut children = Vec::new();
    let mut of_child = |kind: String| {
        children.push(format!("insert {kind}"));
        children.push(format!("insert {kind} upsert"));
        for column in ["document_id", "ordinal", "key", "content"] {
            children.push(format!("update {kind}.{column}"));
        }
    };
    for or in [
        "",
        "OR REPLACE",
        "OR IGNORE",
        "OR ABORT",
        "OR FAIL",
        "OR ROLLBACK",
    ] {
        expected.push(format!("insert {or} documents"));
        expected.push(format!("insert {or} documents do update"));
        expected.push(format!("insert {or} documents do nothing"));
        for column in ["id", "path", "project_id", "language", "all keys"] {
            expected.push(format!("update {or} documents.{column}"));
        }
        of_child(format!("{or} child"));
    }
    for table in CHILDREN {
        of_child(table.to_owned());
        expected.push(format!("delete {table}"));
    }
    expected.extend(children);
    expected.push("insert OR REPLACE projects".to_owned());
    let vain: Vec<_> = expected.iter().filter(|kind| !effective(kind)).collect();
    // A rare kind may be in vain by chance, once in fifty runs.
    assert!(vain.len() <= 3, "never changed anything: {vain:?}");
    for kind in [
        "COMMIT",
        "ROLLBACK",
        "ROLLBACK TO s",
        "RELEASE s",
        "PRAGMA foreign_keys = ON",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA recursive_triggers = ON",
        "PRAGMA recursive_triggers = OFF",
        "our prune",
    ] {
        assert!(tally.kinds.contains_key(kind), "{kind} never ran");
    }
}

#[test]
fn the_sqlite3_command_with_its_defaults_changes_no_file_unlogged() {
    const STATEMENTS: usize = 600;
    let command = std::env::var("CARDEX_SQLITE3").unwrap_or_else(|_| "sqlite3".to_owned());
    assert!(
        Command::new(&command).arg("--version").output().is_ok(),
        "the `{command}` command is missing: install it (Debian, Ubuntu: apt-get install sqlite3; \
         macOS: brew install sqlite) or name it in CARDEX_SQLITE3"
    );
    let (db, _store) = fresh();
    let mut session = Session::new(&db, seed());
    session.generator.session = false;
    for _ in 0..STATEMENTS {
        let statement = session.generator.statement();
        let output = Command::new(&command)
            .arg("-batch")
            .arg(db.file())
            .arg(&statement.sql)
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        let refused = message.contains("constraint") || message.contains("datatype mismatch");
        assert!(
            output.status.success() || refused,
            "{}: {message}",
            statement.sql
        );
        let before = std::mem::replace(&mut session.current, State::read(&session.conn));
        session.judge(&before, &statement).unwrap();
        session
            .tally
            .count(&statement.kind, before.changed(&session.current).len());
    }
    session.tally.print("through the sqlite3 command");
    assert!(session.tally.effective * 4 > session.tally.of_rows);
}

#[test]
fn taking_a_trigger_away_is_noticed() {
    /// Needed only where SQLite would displace a row and then not insert the new one.
    const ENOUGH: usize = 6_000;
    let (db, _store) = fresh();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger'";
    let triggers: Vec<_> = rows(&db.connect(), sql)
        .iter()
        .map(|row| bytes(&row[0]))
        .collect();
    assert_eq!(triggers.len(), 21);
    for trigger in triggers {
        let trigger = String::from_utf8(trigger).unwrap();
        // Without this one, statements fail: nothing can be changed unlogged.
        if trigger == "touched_insert" {
            continue;
        }
        let (db, _store) = fresh();
        db.sql(&format!("DROP TRIGGER {trigger}"));
        let mut session = Session::new(&db, 7);
        let noticed = (0..ENOUGH).find_map(|step| session.step().err().map(|miss| (step, miss)));
        let (step, miss) = noticed.unwrap_or_else(|| panic!("nobody noticed without {trigger}"));
        println!("without {trigger}, after {step} statements: {miss}");
    }
}

#[test]
fn a_quiet_switch_left_on_would_be_noticed() {
    let (db, store) = fresh();
    db.sql("UPDATE log_state SET quiet = 1");
    let mut session = Session::new(&db, 7);
    assert!((0..100).any(|_| session.step().is_err()));
    drop(session);
    assert!(store.head().is_err(), "a store must not trust such a log");
}
