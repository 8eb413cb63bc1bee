//! The oracle: every answer of the index equals SQL on the same database. Random records, random
//! writes (ours, and a foreign client's raw SQL), random queries; 0 differences are allowed.

#![expect(clippy::unwrap_used, reason = "a test stops at its first surprise")]

use std::fmt::Write as _;
use std::path::Path;

use cardex::store::Write;
use cardex::{Cardex, Class, FileMetadata, FilePath, Function, Query};
use fastrand::Rng;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// Rounds of changes, and queries after each: 20,400 queries a run.
const ROUNDS: usize = 120;
const QUERIES: usize = 170;

const LANGUAGES: [&str; 5] = ["rust", "python", "Python", "go", "TypeScript"];
const NAMES: [&str; 14] = [
    "new", "parse", "next", "toString", "setUp", "run", "main", "Init", "drop", "close", "a.b",
    "Lexer", "é", "",
];
const CLASSES: [&str; 8] = [
    "Lexer", "Parser", "Token", "A", "A.B", "Node", "Visitor", "",
];
const DOCUMENTS: [&str; 5] = [
    "README.md",
    "docs/A.md",
    "docs/GRAMMAR.md",
    "CHANGELOG.md",
    "",
];
const REGEXES: [&str; 12] = [
    "^src/",
    "^src",
    r"\.rs$",
    "mod",
    "^tests/.*_[0-9]+",
    "a|b",
    r"\bx",
    "^$",
    "[0-9]{2}",
    "(?i)SRC",
    "^src/x/f1",
    "é",
];
const GLOBS: [&str; 7] = [
    "src/**",
    "**/*.rs",
    "src/*/f1*.rs",
    "*.md",
    "**/x/*",
    "{src,tests}/**/*.py",
    "nothing",
];

/// A skewed choice: the first entries are the frequent ones.
fn pick<'c>(random: &mut Rng, choices: &[&'c str]) -> &'c str {
    let at = random
        .usize(0..choices.len())
        .min(random.usize(0..choices.len()));
    choices[at]
}

fn some<'c>(random: &mut Rng, share: f64, choices: &[&'c str]) -> Option<&'c str> {
    (random.f64() < share).then(|| pick(random, choices))
}

fn path(random: &mut Rng) -> String {
    let mut path = String::new();
    for _ in 0..random.usize(1..3) {
        let part = pick(random, &["src", "tests", "x", "mod", "é", "docs"]);
        write!(path, "{part}/").unwrap();
    }
    let extension = pick(random, &["rs", "py", "go", "md"]);
    write!(path, "f{}.{extension}", random.u32(0..40)).unwrap();
    path
}

fn function(random: &mut Rng) -> Function {
    match some(random, 0.95, &NAMES) {
        Some(name) => Function::named(name),
        None => Function::default(),
    }
}

fn record(random: &mut Rng) -> FileMetadata {
    let mut record = FileMetadata::builder(&path(random));
    if let Some(language) = some(random, 0.9, &LANGUAGES) {
        record = record.language(language);
    }
    for _ in 0..random.usize(0..5) {
        record = record.function(function(random));
    }
    for _ in 0..random.usize(0..4) {
        let name = some(random, 0.95, &CLASSES);
        let mut class = name.map_or(Class::default(), Class::named);
        for _ in 0..random.usize(0..4) {
            class = class.method(function(random));
        }
        record = record.class(class);
    }
    for _ in 0..random.usize(0..3) {
        record = record.reference(pick(random, &DOCUMENTS));
    }
    record.build().unwrap()
}

/// A query, as the product's builder takes it and as SQL.
#[derive(Debug, Default)]
struct Asked {
    fields: Vec<(&'static str, String)>,
    sql: String,
    values: Vec<Value>,
}

impl Asked {
    fn random(random: &mut Rng) -> Asked {
        let mut asked = Asked::default();
        if let Some(language) = some(random, 0.4, &LANGUAGES) {
            asked.add("language", language, "lower(d.language) = lower(?)", 1);
        }
        for _ in 0..random.usize(0..5) / 2 {
            let name = match random.bool() {
                true => pick(random, &NAMES[..13]).to_owned(),
                false => format!(
                    "{}.{}",
                    pick(random, &CLASSES[..7]),
                    pick(random, &NAMES[..13])
                ),
            };
            let sql =
                "(EXISTS (SELECT 1 FROM functions f WHERE f.document_id = d.id AND f.name = ?)
                OR EXISTS (SELECT 1 FROM methods m WHERE m.document_id = d.id AND m.name = ?)
                OR EXISTS (SELECT 1 FROM methods m JOIN classes c ON c.document_id = m.document_id
                        AND c.ordinal = m.class_ordinal AND c.name <> '' AND m.name <> ''
                    WHERE m.document_id = d.id AND c.name || '.' || m.name = ?))";
            asked.add("function", &name, sql, 3);
        }
        if let Some(name) = some(random, 0.3, &CLASSES[..7]) {
            let sql = "EXISTS (SELECT 1 FROM classes c WHERE c.document_id = d.id AND c.name = ?)";
            asked.add("class", name, sql, 1);
        }
        if let Some(document) = some(random, 0.3, &DOCUMENTS[..4]) {
            let sql = "EXISTS (SELECT 1 FROM reference_docs r
                WHERE r.document_id = d.id AND r.document = ?)";
            asked.add("reference", document, sql, 1);
        }
        if let Some(regex) = some(random, 0.3, &REGEXES) {
            asked.add("path", regex, "d.path REGEXP ?", 1);
        }
        if let Some(glob) = some(random, 0.2, &GLOBS) {
            asked.add("glob", glob, "path_glob(?, d.path)", 1);
        }
        asked
    }

    fn add(&mut self, field: &'static str, value: &str, sql: &str, times: usize) {
        self.fields.push((field, value.to_owned()));
        write!(self.sql, " AND {sql}").unwrap();
        self.values
            .extend(std::iter::repeat_n(Value::from(value.to_owned()), times));
    }

    fn query(&self, limit: Option<usize>) -> Query {
        let mut query = Query::builder();
        for (field, value) in &self.fields {
            query = query.field(field, value);
        }
        if let Some(limit) = limit {
            query = query.limit(limit);
        }
        query.build().unwrap()
    }

    /// The paths, and the log sequence of each.
    fn answer_of_sql(&self, database: &Connection, project: &str) -> Vec<(String, u64)> {
        let sql = format!(
            "SELECT d.path, coalesce(l.seq, 0) FROM documents d JOIN projects p ON p.id = d.project_id
             LEFT JOIN changes l ON l.project_id = d.project_id AND l.path = d.path
             WHERE p.name = '{project}'{} ORDER BY d.path",
            self.sql
        );
        let mut statement = database.prepare_cached(&sql).unwrap();
        let rows = statement
            .query_map(params_from_iter(&self.values), |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
            })
            .unwrap();
        rows.map(Result::unwrap).collect()
    }
}

/// A second client of the same file, with the two functions that the oracle needs.
fn open_sql(path: &Path) -> Connection {
    let database = Connection::open(path).unwrap();
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    database
        .create_scalar_function("regexp", 2, flags, |call| {
            let regex = call.get_or_create_aux(0, |pattern| {
                regex::Regex::new(pattern.as_str().unwrap_or_default())
            })?;
            Ok(regex.is_match(&call.get::<String>(1)?))
        })
        .unwrap();
    database
        .create_scalar_function("path_glob", 2, flags, |call| {
            let glob = call.get_or_create_aux(0, |glob| {
                globset::GlobBuilder::new(glob.as_str().unwrap_or_default())
                    .literal_separator(true)
                    .build()
                    .map(|glob| glob.compile_matcher())
            })?;
            Ok(glob.is_match(call.get::<String>(1)?))
        })
        .unwrap();
    database
}

fn change(random: &mut Rng, cardex: &Cardex, database: &Connection, paths: &[String]) {
    let known = |random: &mut Rng| {
        random
            .choice(paths)
            .map(|path| FilePath::new(path).unwrap())
    };
    match random.u32(0..10) {
        0..3 => {
            cardex.update(&record(random)).unwrap();
        }
        3..5 => {
            if let Some(path) = known(random) {
                cardex.remove(&path).unwrap();
            }
        }
        5..7 => {
            let batch: Vec<Write> = (0..random.usize(0..30))
                .map(|_| match known(random).filter(|_| random.u32(0..3) == 0) {
                    Some(path) => Write::Remove(path),
                    None => Write::Put(record(random)),
                })
                .collect();
            cardex.store().write(&batch).unwrap();
        }
        _ => foreign_statement(random, database),
    }
}

/// Somebody else writes to the tables, as any SQL tool may.
fn foreign_statement(random: &mut Rng, database: &Connection) {
    let name = pick(random, &NAMES);
    let (path, other) = (path(random), path(random));
    let any = "(SELECT id FROM documents ORDER BY random() LIMIT 1)";
    let project = "(SELECT id FROM projects WHERE name = 'main')";
    let sql = match random.u32(0..9) {
        0 => format!("UPDATE functions SET name = '{name}' WHERE document_id = {any}"),
        1 => format!("DELETE FROM classes WHERE document_id = {any}"),
        2 => format!("UPDATE OR REPLACE documents SET path = '{path}' WHERE id = {any}"),
        3 => format!("INSERT OR REPLACE INTO documents (project_id, path) VALUES ({project}, '{path}')"),
        4 => format!("DELETE FROM documents WHERE id = {any}"),
        5 => format!("UPDATE documents SET language = NULL WHERE path < '{path}' AND path > '{other}'"),
        6 => format!("UPDATE methods SET class_ordinal = class_ordinal + 1 WHERE document_id = {any}"),
        7 => format!(
            "INSERT INTO reference_docs (document_id, ordinal, document)
             SELECT {any}, 1 + max(ordinal), 'README.md' FROM reference_docs"
        ),
        _ => format!(
            "INSERT INTO functions (document_id, ordinal, name)
             SELECT id, 1000 + abs(random() % 1000000), '{name}' FROM documents WHERE path > '{path}'"
        ),
    };
    // Any SQL tool may leave foreign keys off; then children can lose their parents.
    database
        .pragma_update(None, "foreign_keys", random.bool())
        .unwrap();
    // A constraint may refuse the statement; what it then changed is nothing.
    match database.execute_batch(&sql) {
        Ok(()) => {}
        Err(error) => assert!(
            error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation),
            "{sql}: {error}"
        ),
    }
}

fn compare(random: &mut Rng, cardex: &Cardex, database: &Connection, project: &str) {
    let snapshot = cardex.snapshot().unwrap();
    let asked = Asked::random(random);
    let expected = asked.answer_of_sql(database, project);
    let limit = (random.u32(0..3) > 0).then(|| random.usize(0..25));
    let query = asked.query(limit);
    let answer = snapshot.search(&query);
    let found: Vec<_> = answer
        .hits()
        .map(|hit| (hit.path.to_owned(), hit.version))
        .collect();
    let shown = limit.unwrap_or(usize::MAX).min(expected.len());
    assert_eq!(
        found,
        expected[..shown],
        "{query}\n{}",
        snapshot.explain(&query)
    );
    assert_eq!(answer.total(), expected.len() as u64, "{query}");
    assert_eq!(answer.is_truncated(), shown < expected.len(), "{query}");
}

fn seed() -> u64 {
    let seed = std::env::var("CARDEX_TEST_SEED")
        .ok()
        .map(|text| text.parse().unwrap());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("CARDEX_TEST_SEED={seed}");
    seed
}

#[test]
fn every_answer_equals_sql_on_the_same_database() {
    let mut random = Rng::with_seed(seed());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("oracle.db");
    let open = |project: &str| {
        Cardex::builder()
            .database(&path)
            .project(project)
            .open()
            .unwrap()
    };
    let (cardex, neighbour) = (open("main"), open("neighbour"));
    let database = open_sql(&path);
    let everything = Asked::default();
    let mut queries = 0;
    let mut largest = 0;
    for round in 0..ROUNDS {
        let files = everything.answer_of_sql(&database, "main");
        largest = largest.max(files.len());
        let paths: Vec<String> = files.into_iter().map(|(path, _)| path).collect();
        for _ in 0..random.usize(1..8) {
            change(&mut random, &cardex, &database, &paths);
        }
        if round % 10 == 0 {
            neighbour.update(&record(&mut random)).unwrap();
        }
        let report = cardex.sync().unwrap();
        assert_eq!(report.skipped_total, 0, "{report:?}");
        if round % 40 == 39 {
            cardex.rebuild().unwrap();
        }
        for _ in 0..QUERIES {
            compare(&mut random, &cardex, &database, "main");
            queries += 1;
        }
        // What follows the log from the start equals what is read afresh.
        if round % 20 == 0 {
            let fresh = open("main");
            assert_eq!(
                fresh.snapshot().unwrap().position(),
                cardex.snapshot().unwrap().position()
            );
            compare(&mut random, &fresh, &database, "main");
            neighbour.sync().unwrap();
            compare(&mut random, &neighbour, &database, "neighbour");
        }
    }
    println!("{queries} queries, up to {largest} files, 0 differences");
    assert!(
        queries >= 20_000 && largest > 100,
        "{queries} queries over {largest} files"
    );
}
