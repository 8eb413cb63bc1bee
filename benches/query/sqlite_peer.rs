//! SQLite in memory, with the best index for these questions: one clustered table a field whose key is
//! (name, language, file), so that a language and a name are one range in the order of the answer,
//! and one without the language for questions without one. Statements are held, the rarest term
//! stands first, and two terms are a range and a look-up a row of it.

use rusqlite::{Connection, OpenFlags, Statement};

use crate::common::corpus::{Corpus, FIELDS, Field};
use crate::lists::Lists;
use crate::questions::{LIMIT, NamedTerm, Question};

#[derive(Debug)]
pub(crate) struct Sqlite {
    conn: Connection,
}

impl Sqlite {
    pub(crate) fn new(corpus: &Corpus, lists: &Lists) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_in_memory_with_flags(flags)?;
        conn.execute_batch("PRAGMA journal_mode = OFF; PRAGMA locking_mode = EXCLUSIVE; BEGIN")?;
        for field in FIELDS {
            let table = table(field);
            conn.execute_batch(&format!(
                "CREATE TABLE {table} (name TEXT, language INTEGER, file INTEGER,
                     PRIMARY KEY (name, language, file)) WITHOUT ROWID;
                 CREATE TABLE {table}_any (name TEXT, file INTEGER,
                     PRIMARY KEY (name, file)) WITHOUT ROWID;"
            ))?;
            let mut insert = conn.prepare(&format!("INSERT INTO {table} VALUES (?1, ?2, ?3)"))?;
            let mut any = conn.prepare(&format!("INSERT INTO {table}_any VALUES (?1, ?2)"))?;
            // In the order of the keys: pages are filled one after the other.
            let mut terms = lists.by_files(field);
            terms.sort_by_cached_key(|&term| corpus.name(field, term));
            for term in terms {
                let name = corpus.name(field, term);
                let files = lists.files(field, term);
                let mut keys: Vec<_> = files
                    .iter()
                    .map(|&file| (lists.languages[file as usize], file))
                    .collect();
                keys.sort_unstable();
                for (language, file) in keys {
                    insert.execute((&name, language, file))?;
                }
                for file in files {
                    any.execute((&name, file))?;
                }
            }
        }
        conn.execute_batch("CREATE TABLE files (file INTEGER PRIMARY KEY, language INTEGER)")?;
        let mut insert = conn.prepare("INSERT INTO files VALUES (?1, ?2)")?;
        for (file, language) in (0u32..).zip(&lists.languages) {
            insert.execute((file, language))?;
        }
        drop(insert);
        conn.execute_batch("COMMIT; ANALYZE")?;
        Ok(Sqlite { conn })
    }

    /// Holds one statement.
    pub(crate) fn hold(&self, sql: &str) -> rusqlite::Result<Statement<'_>> {
        self.conn.prepare(sql)
    }

    /// Holds statements for all of these questions, one pair for each shape among them.
    pub(crate) fn asker<'q>(&self, questions: &'q [Question]) -> rusqlite::Result<Asker<'_, 'q>> {
        let mut asker = Asker {
            shapes: Vec::new(),
            questions: Vec::new(),
        };
        for question in questions {
            let mut terms: Vec<&NamedTerm> = question.terms.iter().collect();
            terms.sort_by_key(|term| term.files);
            let fields: Vec<Field> = terms.iter().map(|term| term.field).collect();
            let known = asker.shapes.iter().position(|shape| shape.fields == fields);
            let shape = match known {
                Some(shape) => shape,
                None => {
                    let shape = Shape::new(&self.conn, fields, question.language.is_some())?;
                    asker.shapes.push(shape);
                    asker.shapes.len() - 1
                }
            };
            let names = terms.iter().map(|term| term.name.as_str()).collect();
            asker.questions.push((shape, names, question.language));
        }
        Ok(asker)
    }
}

fn table(field: Field) -> &'static str {
    match field {
        Field::Function => "functions",
        Field::Class => "classes",
        Field::Reference => "refs",
    }
}

/// Statements for questions whose terms are of these fields.
#[derive(Debug)]
struct Shape<'c> {
    fields: Vec<Field>,
    first: Statement<'c>,
    count: Statement<'c>,
}

impl<'c> Shape<'c> {
    fn new(conn: &'c Connection, fields: Vec<Field>, has_language: bool) -> rusqlite::Result<Self> {
        let suffix = if has_language { "" } else { "_any" };
        let (mut tables, mut conditions) = (Vec::new(), Vec::new());
        for (at, &field) in fields.iter().enumerate() {
            tables.push(format!("{}{suffix} t{at}", table(field)));
            conditions.push(format!("t{at}.name = ?{}", at + 1));
            if has_language {
                conditions.push(format!("t{at}.language = ?{}", fields.len() + 1));
            }
            if at > 0 {
                conditions.push(format!("t{at}.file = t0.file"));
            }
        }
        // A cross join keeps the order given.
        let from = format!(
            "{} WHERE {}",
            tables.join(" CROSS JOIN "),
            conditions.join(" AND ")
        );
        let first = format!("SELECT t0.file FROM {from} ORDER BY t0.file LIMIT {LIMIT}");
        let count = format!("SELECT count(*) FROM {from}");
        Ok(Shape {
            fields,
            first: conn.prepare(&first)?,
            count: conn.prepare(&count)?,
        })
    }
}

/// Questions with everything ready that can be before they are asked.
#[derive(Debug)]
pub(crate) struct Asker<'c, 'q> {
    shapes: Vec<Shape<'c>>,
    /// Shape, names and language of each.
    questions: Vec<(usize, Vec<&'q str>, Option<u16>)>,
}

impl Asker<'_, '_> {
    pub(crate) fn first(&mut self, at: usize, found: &mut Vec<u32>) -> rusqlite::Result<()> {
        let (shape, names, language) = &self.questions[at];
        let statement = &mut self.shapes[*shape].first;
        bind(statement, names, *language)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            found.push(row.get(0)?);
        }
        Ok(())
    }

    pub(crate) fn count(&mut self, at: usize) -> rusqlite::Result<u64> {
        let (shape, names, language) = &self.questions[at];
        let statement = &mut self.shapes[*shape].count;
        bind(statement, names, *language)?;
        let mut rows = statement.raw_query();
        let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        Ok(row.get::<_, i64>(0)?.cast_unsigned())
    }
}

fn bind(
    statement: &mut Statement<'_>,
    names: &[&str],
    language: Option<u16>,
) -> rusqlite::Result<()> {
    for (at, name) in names.iter().enumerate() {
        statement.raw_bind_parameter(at + 1, *name)?;
    }
    if let Some(language) = language {
        statement.raw_bind_parameter(names.len() + 1, language)?;
    }
    Ok(())
}
