//! What the tests against the SQL oracle share: random records, random queries as the product takes
//! them and as SQL, a foreign client's raw statements, and the comparison of the two answers. The
//! same random numbers always make the same thing.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use cardex::{Answer, Cardex, Class, FileMetadata, FilePath, Function, Query};
use fastrand::Rng;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

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
pub fn pick<'c>(random: &mut Rng, choices: &[&'c str]) -> &'c str {
    let at = random
        .usize(0..choices.len())
        .min(random.usize(0..choices.len()));
    choices[at]
}

pub fn some<'c>(random: &mut Rng, share: f64, choices: &[&'c str]) -> Option<&'c str> {
    (random.f64() < share).then(|| pick(random, choices))
}

pub fn path(random: &mut Rng) -> String {
    let mut path = String::new();
    for _ in 0..random.usize(1..3) {
        let part = pick(random, &["src", "tests", "x", "mod", "é", "docs"]);
        write!(path, "{part}/").unwrap();
    }
    let extension = pick(random, &["rs", "py", "go", "md"]);
    write!(path, "f{}.{extension}", random.u32(0..40)).unwrap();
    path
}

/// So many different paths, always the same.
pub fn paths(count: usize) -> Vec<FilePath> {
    let mut paths = Vec::with_capacity(count);
    let mut random = Rng::with_seed(1);
    while paths.len() < count {
        let path = FilePath::new(&path(&mut random)).unwrap();
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

pub fn function(random: &mut Rng) -> Function {
    match some(random, 0.95, &NAMES) {
        Some(name) => Function::named(name),
        None => Function::default(),
    }
}

/// A record of any file.
pub fn record(random: &mut Rng) -> FileMetadata {
    let path = path(random);
    record_of(&path, random)
}

/// A record of this file.
pub fn record_of(path: &str, random: &mut Rng) -> FileMetadata {
    let mut record = FileMetadata::builder(path);
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
pub struct Asked {
    fields: Vec<(&'static str, String)>,
    groups: Vec<Group>,
    sql: String,
    values: Vec<Value>,
}

/// Alternatives, or one query that is denied.
#[derive(Debug)]
enum Group {
    AnyOf(Vec<Asked>),
    Not(Asked),
}

/// The deepest groups inside each other, and the most of them side by side.
const DEPTH: usize = 3;
const GROUPS: usize = 3;

impl Asked {
    /// Any query; half of them have alternatives or denials.
    pub fn random(random: &mut Rng) -> Asked {
        let mut asked = Asked::flat(random);
        if random.bool() {
            asked.add_groups(random, DEPTH);
        }
        asked
    }

    /// Criteria that must all hold.
    fn flat(random: &mut Rng) -> Asked {
        let mut asked = Asked::default();
        if let Some(language) = some(random, 0.4, &LANGUAGES) {
            asked.add_language(language);
        }
        for _ in 0..random.usize(0..5) / 2 {
            asked.add_function(random);
        }
        if let Some(name) = some(random, 0.3, &CLASSES[..7]) {
            asked.add_class(name);
        }
        if let Some(document) = some(random, 0.3, &DOCUMENTS[..4]) {
            asked.add_reference(document);
        }
        if let Some(regex) = some(random, 0.3, &REGEXES) {
            asked.add("path", regex, "d.path REGEXP ?", 1);
        }
        if let Some(glob) = some(random, 0.2, &GLOBS) {
            asked.add("glob", glob, "path_glob(?, d.path)", 1);
        }
        asked
    }

    /// What stands in a group: one criterion at least, and more groups down to a depth.
    fn inner(random: &mut Rng, depth: usize) -> Asked {
        let mut asked = Asked::default();
        for _ in 0..1 + random.usize(0..4) / 3 {
            match random.u32(0..12) {
                0..4 => asked.add_language(pick(random, &LANGUAGES)),
                4..7 => asked.add_function(random),
                7..9 => asked.add_class(pick(random, &CLASSES[..7])),
                9 => asked.add_reference(pick(random, &DOCUMENTS[..4])),
                10 => asked.add("path", pick(random, &REGEXES), "d.path REGEXP ?", 1),
                _ => asked.add("glob", pick(random, &GLOBS), "path_glob(?, d.path)", 1),
            }
        }
        if depth > 0 && random.u32(0..4) == 0 {
            asked.add_groups(random, depth);
        }
        asked
    }

    fn add_groups(&mut self, random: &mut Rng, depth: usize) {
        for _ in 0..random.usize(1..GROUPS) {
            let group = match random.bool() {
                true => Group::AnyOf(
                    (0..random.usize(1..=GROUPS))
                        .map(|_| Asked::inner(random, depth - 1))
                        .collect(),
                ),
                false => Group::Not(Asked::inner(random, depth - 1)),
            };
            let (sql, inside) = match &group {
                Group::AnyOf(branches) => {
                    let each: Vec<_> = branches.iter().map(Asked::condition).collect();
                    (format!(" AND ({})", each.join(" OR ")), &branches[..])
                }
                Group::Not(denied) => (
                    format!(" AND NOT {}", denied.condition()),
                    std::slice::from_ref(denied),
                ),
            };
            self.sql += &sql;
            let values = inside.iter().flat_map(|asked| asked.values.iter().cloned());
            self.values.extend(values);
            self.groups.push(group);
        }
    }

    /// What must hold, in parentheses.
    fn condition(&self) -> String {
        format!("(1{})", self.sql)
    }

    fn add_language(&mut self, language: &str) {
        // A file without a language is in none: not in an unknown one, as NULL would be.
        let sql = "coalesce(lower(d.language) = lower(?), 0)";
        self.add("language", language, sql, 1);
    }

    fn add_function(&mut self, random: &mut Rng) {
        let name = match random.bool() {
            true => pick(random, &NAMES[..13]).to_owned(),
            false => format!(
                "{}.{}",
                pick(random, &CLASSES[..7]),
                pick(random, &NAMES[..13])
            ),
        };
        let sql = "(EXISTS (SELECT 1 FROM functions f WHERE f.document_id = d.id AND f.name = ?)
            OR EXISTS (SELECT 1 FROM methods m WHERE m.document_id = d.id AND m.name = ?)
            OR EXISTS (SELECT 1 FROM methods m JOIN classes c ON c.document_id = m.document_id
                    AND c.ordinal = m.class_ordinal AND c.name <> '' AND m.name <> ''
                WHERE m.document_id = d.id AND c.name || '.' || m.name = ?))";
        self.add("function", &name, sql, 3);
    }

    fn add_class(&mut self, name: &str) {
        let sql = "EXISTS (SELECT 1 FROM classes c WHERE c.document_id = d.id AND c.name = ?)";
        self.add("class", name, sql, 1);
    }

    fn add_reference(&mut self, document: &str) {
        let sql = "EXISTS (SELECT 1 FROM reference_docs r
            WHERE r.document_id = d.id AND r.document = ?)";
        self.add("reference", document, sql, 1);
    }

    fn add(&mut self, field: &'static str, value: &str, sql: &str, times: usize) {
        assert!(self.groups.is_empty(), "values are in the order of the SQL");
        self.fields.push((field, value.to_owned()));
        write!(self.sql, " AND {sql}").unwrap();
        self.values
            .extend(std::iter::repeat_n(Value::from(value.to_owned()), times));
    }

    /// Whether it has alternatives, denials.
    pub fn has_groups(&self) -> (bool, bool) {
        let any_of = |group: &Group| matches!(group, Group::AnyOf(_));
        (
            self.groups.iter().any(any_of),
            !self.groups.iter().all(any_of),
        )
    }

    pub fn query(&self, limit: Option<usize>) -> Query {
        let mut query = Query::builder();
        for (field, value) in &self.fields {
            query = query.field(field, value);
        }
        for group in &self.groups {
            query = match group {
                Group::AnyOf(branches) => query.any_of(branches.iter().map(|b| b.query(None))),
                Group::Not(denied) => query.not(denied.query(None)),
            };
        }
        if let Some(limit) = limit {
            query = query.limit(limit);
        }
        query.build().unwrap()
    }

    /// The paths, and the log sequence of each.
    pub fn answer_of_sql(&self, database: &Connection, project: &str) -> Vec<(String, u64)> {
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

impl Asked {
    /// Asserts that this is the answer of SQL: the same files in the same versions and order, cut by
    /// the limit last, and as many in all.
    pub fn assert_is_answer(
        &self,
        answer: &Answer,
        limit: Option<usize>,
        database: &Connection,
        project: &str,
    ) {
        let expected = self.answer_of_sql(database, project);
        let query = self.query(limit);
        let found: Vec<_> = answer
            .hits()
            .map(|hit| (hit.path.to_owned(), hit.version))
            .collect();
        let shown = limit.unwrap_or(usize::MAX).min(expected.len());
        assert_eq!(found, expected[..shown], "{query}");
        assert_eq!(answer.total(), expected.len() as u64, "{query}");
        assert_eq!(answer.is_truncated(), shown < expected.len(), "{query}");
    }
}

/// A second client of the same file, with the two functions that the oracle needs.
pub fn open_sql(path: &Path) -> Connection {
    let database = Connection::open(path).unwrap();
    database.busy_timeout(Duration::from_secs(20)).unwrap();
    // No power fails here.
    database.pragma_update(None, "synchronous", "OFF").unwrap();
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

/// Somebody else writes to the tables, as any SQL tool may; where a statement names paths, these.
pub fn foreign_statement(random: &mut Rng, database: &Connection, [path, other]: &[String; 2]) {
    let name = pick(random, &NAMES);
    let (row, ordinal) = (random.u32(0..1000), random.u32(1000..1_000_000));
    let any = format!(
        "(SELECT id FROM documents ORDER BY id
          LIMIT 1 OFFSET {row} % max(1, (SELECT count(*) FROM documents)))"
    );
    let project = "(SELECT id FROM projects WHERE name = 'main')";
    let sql = match random.u32(0..9) {
        0 => format!("UPDATE functions SET name = '{name}' WHERE document_id = {any}"),
        1 => format!("DELETE FROM classes WHERE document_id = {any}"),
        2 => format!("UPDATE OR REPLACE documents SET path = '{path}' WHERE id = {any}"),
        3 => format!(
            "INSERT OR REPLACE INTO documents (project_id, path) VALUES ({project}, '{path}')"
        ),
        4 => format!("DELETE FROM documents WHERE id = {any}"),
        5 => format!(
            "UPDATE documents SET language = NULL WHERE path < '{path}' AND path > '{other}'"
        ),
        6 => format!(
            "UPDATE methods SET class_ordinal = class_ordinal + 1 WHERE document_id = {any}"
        ),
        7 => format!(
            "INSERT INTO reference_docs (document_id, ordinal, document)
             SELECT {any}, 1 + max(ordinal), 'README.md' FROM reference_docs"
        ),
        _ => format!(
            "INSERT INTO functions (document_id, ordinal, name)
             SELECT id, {ordinal}, '{name}' FROM documents WHERE path > '{path}'"
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

/// Puts a random question to the index, half of the time as text, and to SQL. What was asked is
/// handed back.
pub fn compare(random: &mut Rng, cardex: &Cardex, database: &Connection, project: &str) -> Asked {
    let asked = Asked::random(random);
    let limit = (random.u32(0..3) > 0).then(|| random.usize(0..25));
    let mut query = asked.query(limit);
    if random.bool() {
        let read = Query::builder().and(Query::parse(&query.to_text()).unwrap());
        let read = limit
            .into_iter()
            .fold(read, |read, limit| read.limit(limit));
        let read = read.build().unwrap();
        assert_eq!(read, query);
        query = read;
    }
    let snapshot = cardex.snapshot().unwrap();
    let answer = snapshot.search(&query);
    asked.assert_is_answer(&answer, limit, database, project);
    asked
}

pub fn seed() -> u64 {
    let seed = std::env::var("CARDEX_TEST_SEED")
        .ok()
        .map(|text| text.parse().unwrap());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("CARDEX_TEST_SEED={seed}");
    seed
}

/// How much of something to do: the environment's number, or this one.
pub fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}
