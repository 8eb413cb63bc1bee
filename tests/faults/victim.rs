//! What faults befall: a cache of a project in an SQLite file, what is held of it, and the rules that
//! hold during a fault and after it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use cardex::store::{MetadataStore, SqliteOptions, SqliteStore, Write};
use cardex::{
    CacheStats, Cardex, Error, ErrorKind, FileMetadata, FilePath, Freshness, Function, Position,
    Query,
};
use rusqlite::Connection;

use crate::stalls::Stalls;

/// So soon is everything exact again where the log can be followed, or the project is small.
pub const SOON: Duration = Duration::from_secs(2);

/// So soon is a fault noticed, or everything exact again where everything is read anew.
pub const LATER: Duration = Duration::from_secs(5);

/// The shortest time that a lock is waited for.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

pub const FILES: usize = 60;

/// These records are in memory, the others are not.
pub const RESIDENT: [&str; 3] = ["f000", "f007", "f059"];

pub fn path(text: &str) -> FilePath {
    FilePath::new(text).unwrap()
}

pub fn record(path: &str, language: &str, function: &str) -> FileMetadata {
    let builder = FileMetadata::builder(path).language(language);
    builder.function(Function::named(function)).build().unwrap()
}

/// The files f000, f001, …, with a function of each and one of all.
pub fn records() -> impl Iterator<Item = FileMetadata> {
    (0..FILES).map(|at| {
        let language = ["rust", "go", "c"][at % 3];
        let builder = FileMetadata::builder(&format!("f{at:03}")).language(language);
        let builder = builder.function(Function::named(format!("only_{at:03}")));
        builder.function(Function::named("each")).build().unwrap()
    })
}

pub fn write_all(file: &Path, records: impl Iterator<Item = FileMetadata>) {
    let store = SqliteStore::open(file, "default", SqliteOptions::default()).unwrap();
    store
        .write(&records.map(Write::Put).collect::<Vec<_>>())
        .unwrap();
}

/// How much longer than it may take something is waited for on a machine that does other work.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a condition: for so long, on a machine that does nothing else.
#[track_caller]
pub fn within(limit: Duration, what: &str, condition: impl Fn() -> bool) {
    let (stalls, start) = (Stalls::watch(), Instant::now());
    while !condition() {
        let is_late = stalls.since(start) >= limit || start.elapsed() >= limit + PATIENCE;
        assert!(!is_late, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Runs another program, which must succeed.
#[track_caller]
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|e| panic!("the `{program}` command is missing: {e}"));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {message}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The `sqlite3` command, which knows nothing of us, with its defaults.
#[track_caller]
pub fn sqlite3(file: &Path, statement: &str) -> String {
    let command = std::env::var("CARDEX_SQLITE3").unwrap_or_else(|_| "sqlite3".to_owned());
    run(&command, &["-batch", file.to_str().unwrap(), statement])
}

pub fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", file.display()))
}

/// A consistent copy, made by another program's connection.
pub fn copy(from: &Path, to: &Path) {
    let conn = Connection::open(from).unwrap();
    conn.execute("VACUUM INTO ?1", [to.to_str().unwrap()])
        .unwrap();
}

/// Puts a database in the place of another one, as `mv` does.
pub fn put_in_place(new: &Path, file: &Path) {
    for suffix in ["-wal", "-shm"] {
        drop(std::fs::remove_file(with_suffix(file, suffix)));
    }
    std::fs::rename(new, file).unwrap();
}

/// What an index says, or ought to: which path has which language, and which function.
pub type Facts = BTreeSet<(&'static str, String, String)>;

/// What the database holds, read with SQL alone.
pub fn facts_of(conn: &Connection) -> Facts {
    let mut facts = Facts::new();
    let statements = [
        ("path", "SELECT path, path FROM documents"),
        (
            "language",
            "SELECT lower(language), path FROM documents WHERE language IS NOT NULL",
        ),
        (
            "function",
            "SELECT name, path FROM functions JOIN documents ON id = document_id",
        ),
    ];
    for (field, sql) in statements {
        let mut statement = conn.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((field, row.get(0)?, row.get(1)?)));
        facts.extend(rows.unwrap().map(Result::unwrap));
    }
    facts
}

/// As any caller would open it.
pub fn cache_of(file: &Path, follow: bool) -> Cardex {
    let options = SqliteOptions::default();
    Cardex::builder()
        .database(file)
        .sqlite(options.connection_timeout(LOCK_TIMEOUT).unwrap())
        .load_bodies(false)
        .follow(follow)
        .open()
        .unwrap()
}

/// A cache of a project that another program can do anything to, opened as any caller would.
pub struct Victim {
    _directory: tempfile::TempDir,
    pub file: PathBuf,
    pub cache: Cardex,
    /// What the cache was last known to hold.
    pub held: Facts,
    /// Every record then.
    pub records: BTreeMap<String, FileMetadata>,
    /// Where it stood then.
    pub position: Position,
}

impl Victim {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().to_owned();
        Self::at(directory, &place)
    }

    pub fn at(directory: tempfile::TempDir, place: &Path) -> Self {
        Self::open(directory, place, true)
    }

    /// Nobody looks but the test.
    pub fn unfollowed() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().to_owned();
        Self::open(directory, &place, false)
    }

    pub fn open(directory: tempfile::TempDir, place: &Path, follow: bool) -> Self {
        let file = place.join("project.db");
        write_all(&file, records());
        let cache = cache_of(&file, follow);
        // As if it had been open for long: a directory that has not changed lately is trusted more.
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(60);
        let lies_in = std::fs::File::open(place).unwrap();
        lies_in.set_modified(long_ago).unwrap();
        let mut victim = Victim {
            _directory: directory,
            file,
            cache,
            held: Facts::new(),
            records: BTreeMap::new(),
            position: Position::default(),
        };
        victim.note();
        victim
    }

    /// Another cache of the same database.
    pub fn second(&self) -> Cardex {
        cache_of(&self.file, true)
    }

    /// A file beside the database.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.file.with_file_name(name)
    }

    /// Another program's connection.
    pub fn connect(&self) -> Connection {
        let conn = Connection::open(&self.file).unwrap();
        conn.busy_timeout(LATER).unwrap();
        conn
    }

    #[track_caller]
    pub fn sql(&self, sql: &str) {
        self.connect().execute_batch(sql).unwrap();
    }

    pub fn stats(&self) -> CacheStats {
        self.cache.stats().unwrap()
    }

    /// What the index says, as far as somebody asks for what is in `values` or was held before.
    pub fn answers(&self, values: &Facts) -> Facts {
        let all = Query::builder().path_glob("**").build().unwrap();
        let answer = self.cache.query(&all).unwrap();
        let hits = answer.paths().map(str::to_owned);
        let mut facts: Facts = hits.map(|path| ("path", path.clone(), path)).collect();
        let known = values.iter().chain(&self.held);
        let known: BTreeSet<_> = known.map(|(field, value, _)| (*field, value)).collect();
        for (field, value) in known {
            let builder = Query::builder();
            let query = match field {
                "language" => builder.language(value),
                "function" => builder.function(value),
                _ => continue,
            };
            let answer = self.cache.query(&query.build().unwrap()).unwrap();
            facts.extend(
                answer
                    .paths()
                    .map(|path| (field, value.clone(), path.into())),
            );
        }
        facts
    }

    /// Takes what the database holds now for what the cache knows, and few records into memory.
    pub fn note(&mut self) {
        self.held = facts_of(&self.connect());
        let store = SqliteStore::open(&self.file, "default", SqliteOptions::default()).unwrap();
        self.records.clear();
        let mut take = |found: cardex::store::Versioned| {
            let record = found.record;
            self.records.insert(record.path.to_string(), record);
            Ok(())
        };
        store.for_each(&mut take).unwrap();
        self.cache.clear().unwrap();
        for name in RESIDENT {
            drop(self.cache.get(&path(name)).unwrap());
        }
        self.position = self.stats().watermark;
    }

    /// The rule while a fault lasts that keeps the database from being read, with errors of these
    /// kinds.
    #[track_caller]
    pub fn during(&self, kinds: &[ErrorKind]) {
        within(LATER, "the fault is noticed", || self.stats().is_degraded());
        let all = Query::builder().path_glob("**").build().unwrap();
        let first = self.cache.query(&all).unwrap();
        let age = first.age();

        // What is known stays exact, for where it stood.
        assert_eq!(self.answers(&self.held), self.held);
        assert_eq!(first.as_of(), self.position);
        for name in RESIDENT {
            let found = self.cache.get(&path(name)).unwrap().unwrap();
            assert_eq!(*found, self.records[name]);
            assert_eq!(found.as_of(), self.position);
        }

        // More than that is an error, and never a list or nothing.
        let is_named = |error: &Error| {
            let told = format!("{error:#}");
            assert!(kinds.contains(&error.kind()), "{error:?}");
            assert!(told.contains("project.db"), "{told}");
        };
        let latest = self.cache.query_with(&all, Freshness::Latest);
        let error = latest.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFresh);
        let cause = std::error::Error::source(&error).unwrap();
        is_named(cause.downcast_ref::<Error>().unwrap());
        for name in ["f001", "nothing"] {
            is_named(&self.cache.get(&path(name)).unwrap_err());
        }
        let error = self.cache.get_with(&path("f000"), Freshness::Latest);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFresh);

        // Writes are refused.
        is_named(&self.cache.update(&record("refused", "x", "x")).unwrap_err());
        is_named(&self.cache.remove(&path("f000")).unwrap_err());

        // And all that can be seen.
        let stats = self.stats();
        assert!(stats.is_degraded());
        is_named(&stats.last_failure.unwrap().error);
        within(LATER, "answers grow old", || {
            self.cache.query(&all).unwrap().age() > age
        });
        assert_eq!(self.answers(&self.held), self.held);
    }

    /// The rule after the cure: everything is as in the database, whoever looks, and nobody did
    /// anything to that end.
    #[track_caller]
    pub fn after(&mut self, limit: Duration) {
        let conn = self.connect();
        let wanted = facts_of(&conn);
        within(limit, "everything is exact again", || {
            !self.stats().is_degraded() && self.answers(&wanted) == wanted
        });
        drop(conn);
        let before = self.records.keys().cloned().collect::<BTreeSet<_>>();
        self.assert_exact(&wanted);
        self.note();
        for name in before.iter().chain(self.records.keys()) {
            let found = self.cache.get(&path(name)).unwrap();
            assert_eq!(found.as_deref(), self.records.get(name), "{name}");
        }
        // Writes are taken again.
        self.cache.update(&record("again", "x", "x")).unwrap();
        assert_eq!(self.held_now(), facts_of(&self.connect()));
        self.cache.remove(&path("again")).unwrap();
        assert_eq!(self.held_now(), facts_of(&self.connect()));
        self.note();
    }

    pub fn held_now(&self) -> Facts {
        self.answers(&facts_of(&self.connect()))
    }

    #[track_caller]
    pub fn assert_exact(&self, wanted: &Facts) {
        let all = Query::builder().path_glob("**").build().unwrap();
        let answer = self.cache.query_with(&all, Freshness::Latest).unwrap();
        assert!(answer.is_complete());
        assert_eq!(&self.answers(wanted), wanted);
        let paths = wanted.iter().map(|(_, _, path)| path.as_str());
        assert!(!paths.clone().any(|path| path == "refused"));
    }
}
