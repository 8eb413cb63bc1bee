//! The processes that write: a foreign client of the file, with SQLite's own defaults and raw SQL; a
//! cache that writes; and a cache that writes until it is killed. Each records what it is about to
//! do where it may die, and each commit with its place in the log and what it changed.

use std::time::Duration;

use cardex::Cardex;
use cardex::store::{SqliteOptions, SqliteStore};
use fastrand::Rng;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::reader::Asker;
use super::{
    Content, FUNCTIONS, LANGUAGES, Lines, OTHER, PATHS, PROJECT, SHARED, Task, digest, function,
    now, path,
};

/// The rest after a commit: others want to write too.
const REST: Duration = Duration::from_millis(1);
/// How often the log is pruned, in commits, and how many deleted files it then remembers.
const PRUNE_EVERY: u64 = 50;
const PRUNE_KEEP: u64 = 40;

/// Who wrote a state, so that no two are the same.
fn tag(task: &Task, n: u64) -> u64 {
    (task.seed % (1 << 20)) << 32 | n
}

/// Any SQL tool: it knows nothing of the log but what the database does by itself.
pub fn foreign(task: &Task) {
    let mut lines = Lines::new(task, 0);
    let mut database = Connection::open(task.database()).unwrap();
    let mut random = Rng::with_seed(task.seed);
    let mut n = 0;
    while !task.is_over() {
        let begun = now();
        let tx = database
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .unwrap();
        let before = head(&tx);
        let mut touched = Vec::new();
        for _ in 0..random.usize(1..4) {
            n += 1;
            touched.extend(statement(&tx, tag(task, n), &mut random));
        }
        touched.sort_unstable();
        touched.dedup();
        let after = head(&tx);
        let mut changes = String::new();
        for number in touched {
            use std::fmt::Write as _;
            match stored(&tx, number) {
                Some((version, content)) => {
                    write!(changes, " {number} {version} {content}").unwrap()
                }
                None => write!(changes, " {number} 0 -").unwrap(),
            }
        }
        tx.commit().unwrap();
        let done = now();
        if after != before {
            lines.tell(format_args!("c {begun} {done} {before} {after}{changes}"));
        }
        std::thread::sleep(REST);
    }
}

/// Changes something; the paths whose files it may have changed.
fn statement(database: &Connection, tag: u64, random: &mut Rng) -> Vec<usize> {
    let number = random.usize(..SHARED);
    let path_text = path(number);
    let content = Content::random(tag, random);
    let language = LANGUAGES[content.language];
    let id: Option<i64> = id(database, number);
    let project = "(SELECT id FROM projects WHERE name = ?1)";
    match random.u32(..10) {
        0..4 => {
            let sql = format!(
                "INSERT OR REPLACE INTO documents (project_id, path, language, digest)
                 VALUES ({project}, ?2, ?3, ?4)"
            );
            let values = params![PROJECT, path_text.as_str(), language, digest(tag)];
            database.execute(&sql, values).unwrap();
            let sql = "INSERT INTO functions (document_id, ordinal, name) VALUES (?1, 0, ?2)";
            let values = params![database.last_insert_rowid(), function(content.function)];
            database.execute(sql, values).unwrap();
            vec![number]
        }
        4..6 => {
            let sql = "DELETE FROM documents WHERE id = ?1";
            database.execute(sql, [id]).unwrap();
            vec![number]
        }
        6 => {
            let sql = "UPDATE documents SET language = ?2, digest = ?3 WHERE id = ?1";
            let values = params![id, language, digest(tag)];
            database.execute(sql, values).unwrap();
            vec![number]
        }
        7 => {
            let name = function(random.usize(..FUNCTIONS));
            let sql = "UPDATE functions SET name = ?2 WHERE document_id = ?1";
            database.execute(sql, params![id, name]).unwrap();
            vec![number]
        }
        8 => {
            let to = random.usize(..SHARED);
            let sql = "UPDATE OR REPLACE documents SET path = ?2 WHERE id = ?1";
            let to_text = path(to);
            let values = params![id, to_text.as_str()];
            database.execute(sql, values).unwrap();
            vec![number, to]
        }
        _ => {
            // The other project's file moves the log, and changes nothing here.
            let sql = format!(
                "INSERT OR REPLACE INTO documents (project_id, path) VALUES ({project}, ?2)"
            );
            let values = params![OTHER, path_text.as_str()];
            database.execute(&sql, values).unwrap();
            Vec::new()
        }
    }
}

/// The end of the log, in a transaction.
pub fn head(database: &Connection) -> u64 {
    let sql = "SELECT max(coalesce((SELECT max(seq) FROM changes), 0),
                          (SELECT pruned_to FROM log_state))";
    let head: i64 = database.query_row(sql, [], |row| row.get(0)).unwrap();
    head.unsigned_abs()
}

fn id(database: &Connection, number: usize) -> Option<i64> {
    let sql = "SELECT d.id FROM documents d JOIN projects p ON p.id = d.project_id
               WHERE p.name = ?1 AND d.path = ?2";
    let row = database.query_row(sql, [PROJECT, path(number).as_str()], |row| row.get(0));
    row.optional().unwrap()
}

/// What SQL says of a file: the sequence of its last change, and its content.
pub fn stored(database: &Connection, number: usize) -> Option<(u64, Content)> {
    let sql = "SELECT c.seq, d.digest, d.language, f.name
               FROM documents d JOIN changes c ON c.project_id = d.project_id AND c.path = d.path
               JOIN functions f ON f.document_id = d.id WHERE d.id = ?1";
    let row = |row: &rusqlite::Row<'_>| {
        let [digest, language, function] = [1, 2, 3].map(|at| row.get::<_, String>(at).unwrap());
        let version: i64 = row.get(0)?;
        let content = Content::parts(&digest, &language, &function);
        Ok((version.unsigned_abs(), content))
    };
    let id = id(database, number)?;
    Some(database.query_row(sql, [id], row).unwrap())
}

/// A cache that writes the files that the foreign client writes too, reads what it wrote, and prunes
/// the log.
pub fn cardex(task: &Task) {
    let cardex = task.open();
    let store = SqliteStore::open(task.database(), PROJECT, SqliteOptions::default()).unwrap();
    let mut writer = Writer::new(task, &cardex);
    let mut n = 0;
    while !task.is_over() {
        n += 1;
        writer.write(tag(task, n), 0..SHARED);
        if n.is_multiple_of(PRUNE_EVERY) {
            store.prune_log(PRUNE_KEEP).unwrap();
        }
        std::thread::sleep(REST);
    }
}

/// A cache that writes files of its own until it dies, and says so after each.
pub fn victim(task: &Task) {
    use std::io::Write as _;
    let cardex = task.open();
    let mut writer = Writer::new(task, &cardex);
    let mut out = std::io::stdout();
    let mut n = 0;
    while !task.is_over() {
        n += 1;
        writer.write(tag(task, n), SHARED..PATHS);
        out.write_all(b"!\n").unwrap();
    }
}

struct Writer<'c> {
    cardex: &'c Cardex,
    asker: Asker,
}

impl<'c> Writer<'c> {
    fn new(task: &Task, cardex: &'c Cardex) -> Self {
        let random = Rng::with_seed(task.seed);
        let asker = Asker::with(Lines::new(task, 0), random, task);
        Writer { cardex, asker }
    }

    /// Writes one of these files, reads it, and asks something.
    fn write(&mut self, tag: u64, numbers: std::ops::Range<usize>) {
        let number = self.asker.random().usize(numbers);
        let content = Content::random(tag, self.asker.random());
        let removes = self.asker.random().u32(..4) == 0;
        let begun = now();
        self.asker.lines().tell(format_args!("i {begun} {number}"));
        if removes {
            let removal = self.cardex.remove(&path(number)).unwrap();
            let done = now();
            let sequence = self.asker.lines().sequence(removal.position);
            match removal.existed {
                false => self.asker.lines().tell(format_args!("n")),
                true => self.committed([begun, done], sequence, number, None),
            }
        } else {
            let position = self.cardex.update(&content.record(number)).unwrap();
            let done = now();
            let sequence = self.asker.lines().sequence(position);
            self.committed([begun, done], sequence, number, Some(content));
        }
        let from = now();
        let found = self.cardex.get(&path(number)).unwrap();
        let times = [from, now()];
        let lines = self.asker.lines();
        lines.got(times, super::Asked::Cached, number, found.as_ref());
        self.asker.ask(self.cardex);
    }

    fn committed(
        &mut self,
        [begun, done]: [u64; 2],
        sequence: u64,
        number: usize,
        content: Option<Content>,
    ) {
        let content = content.map_or("0 -".to_owned(), |content| format!("{sequence} {content}"));
        let before = sequence - 1;
        let lines = self.asker.lines();
        lines.tell(format_args!(
            "c {begun} {done} {before} {sequence} {number} {content}"
        ));
    }
}
