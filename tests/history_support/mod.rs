//! What the processes of a history share: the files they write about and ask for, the lines that they
//! record, and the clock between them. A line is one answer or one commit; it is appended with one
//! write, so a process that is killed leaves whole lines and at most one torn one.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "a test fails by panicking; each test program uses a part of it"
)]

pub mod check;
pub mod fleet;
pub mod reader;
pub mod writer;

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cardex::store::SqliteOptions;
use cardex::{
    Cardex, Clock as _, FileMetadata, FilePath, Function, Position, Query, Record, SystemClock,
};

/// The project that is asked about; another one shares its log.
pub const PROJECT: &str = "main";
pub const OTHER: &str = "other";
/// The files that every writer writes, and those that only the process that is killed does.
pub const SHARED: usize = 96;
pub const OWN: usize = 8;
pub const PATHS: usize = SHARED + OWN;

pub const LANGUAGES: [&str; 4] = ["rust", "python", "go", "java"];
pub const FUNCTIONS: usize = 6;
/// The questions: each language, each function, everything.
pub const QUESTIONS: usize = LANGUAGES.len() + FUNCTIONS + 1;

/// The time that all processes share, in nanoseconds.
pub fn now() -> u64 {
    SystemClock.elapsed().as_nanos() as u64
}

/// The text of a path; texts sort as their numbers do.
pub fn path(number: usize) -> FilePath {
    FilePath::new(&format!("src/{number:03}.x")).unwrap()
}

/// The number of a path of [`path`].
pub fn path_number(path: &str) -> usize {
    path[4..7].parse().unwrap()
}

/// What is in a file: a number that no other state has, and what can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    pub tag: u64,
    pub language: usize,
    pub function: usize,
}

impl Content {
    pub fn random(tag: u64, random: &mut fastrand::Rng) -> Self {
        Content {
            tag,
            language: random.usize(..LANGUAGES.len()),
            function: random.usize(..FUNCTIONS),
        }
    }

    pub fn record(&self, number: usize) -> FileMetadata {
        FileMetadata::builder(path(number).as_str())
            .language(LANGUAGES[self.language])
            .digest(digest(self.tag))
            .function(Function::named(function(self.function)))
            .build()
            .unwrap()
    }

    pub fn of(record: &FileMetadata) -> Self {
        let [function] = &record.functions[..] else {
            panic!("{} has one function: {:?}", record.path, record.functions);
        };
        Content::parts(
            record.digest.as_deref().unwrap(),
            record.language.as_deref().unwrap(),
            function.name.as_deref().unwrap(),
        )
    }

    /// As the database holds it.
    pub fn parts(digest: &str, language: &str, function: &str) -> Self {
        Content {
            tag: digest.strip_prefix("state:").unwrap().parse().unwrap(),
            language: language_number(language),
            function: function.strip_prefix('f').unwrap().parse().unwrap(),
        }
    }

    /// Whether it is of the answer to this question.
    pub fn answers(&self, question: usize) -> bool {
        match question {
            language if language < LANGUAGES.len() => self.language == language,
            all if all == QUESTIONS - 1 => true,
            function => self.function == function - LANGUAGES.len(),
        }
    }

    fn parse(text: &str) -> Self {
        let mut numbers = text.split('.').map(|number| number.parse().unwrap());
        let mut number = || -> u64 { numbers.next().unwrap() };
        Content {
            tag: number(),
            language: number() as usize,
            function: number() as usize,
        }
    }
}

/// `TAG.LANGUAGE.FUNCTION`, in numbers.
impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.tag, self.language, self.function)
    }
}

pub fn digest(tag: u64) -> String {
    format!("state:{tag}")
}

pub fn function(number: usize) -> String {
    format!("f{number}")
}

pub fn language_number(name: &str) -> usize {
    LANGUAGES.iter().position(|one| *one == name).unwrap()
}

pub fn query(question: usize, limit: Option<usize>) -> Query {
    let mut query = Query::builder();
    if question < LANGUAGES.len() {
        query = query.field("language", LANGUAGES[question]);
    } else if question < QUESTIONS - 1 {
        query = query.field("function", &function(question - LANGUAGES.len()));
    }
    if let Some(limit) = limit {
        query = query.limit(limit);
    }
    query.build().unwrap()
}

/// What the parent tells a process: who it is, where, and until when.
#[derive(Clone, Debug)]
pub struct Task {
    pub role: String,
    pub folder: PathBuf,
    /// The name of its records, no other process's.
    pub name: String,
    pub until: u64,
    pub seed: u64,
    pub threads: usize,
}

/// How long a process may take to end after its time: more than any time-out of the database.
const GRACE: Duration = Duration::from_secs(30);
const VARIABLE: &str = "CARDEX_TEST_HISTORY_TASK";

impl Task {
    /// In the child: what it was told, if it is one.
    pub fn of_this_process() -> Option<Task> {
        let text = std::env::var(VARIABLE).ok()?;
        let mut words = text.split('\n');
        let mut word = || words.next().unwrap().to_owned();
        Some(Task {
            role: word(),
            folder: word().into(),
            name: word(),
            until: word().parse().unwrap(),
            seed: word().parse().unwrap(),
            threads: word().parse().unwrap(),
        })
    }

    fn variable(&self) -> (&'static str, String) {
        let folder = self.folder.to_str().unwrap();
        let (role, name) = (&self.role, &self.name);
        let text = format!(
            "{role}\n{folder}\n{name}\n{}\n{}\n{}",
            self.until, self.seed, self.threads
        );
        (VARIABLE, text)
    }

    pub fn database(&self) -> PathBuf {
        database(&self.folder)
    }

    /// With the following thread, as by default. Some load the bodies at once, some when wanted.
    pub fn open(&self) -> Cardex {
        Cardex::builder()
            .database(self.database())
            .project(PROJECT)
            .sqlite(SqliteOptions::default())
            .load_bodies(self.seed.is_multiple_of(2))
            .open()
            .unwrap()
    }

    /// Ends this process with an error if it is still there long after the time: it hangs.
    pub fn watch(&self) {
        let left = Duration::from_nanos(self.until.saturating_sub(now())) + GRACE;
        let name = self.name.clone();
        std::thread::spawn(move || {
            std::thread::sleep(left);
            eprintln!("{name} hangs");
            std::process::exit(3);
        });
    }

    pub fn is_over(&self) -> bool {
        now() >= self.until
    }
}

pub fn database(folder: &Path) -> PathBuf {
    folder.join("history.db")
}

/// Where a thread appends its lines.
pub struct Lines {
    file: File,
    epoch: Option<u64>,
    line: String,
}

impl Lines {
    pub fn new(task: &Task, thread: usize) -> Self {
        let file = task.folder.join(format!("{}.{thread}.lines", task.name));
        Lines {
            file: File::create_new(file).unwrap(),
            epoch: None,
            line: String::new(),
        }
    }

    /// One line, in one write.
    pub fn tell(&mut self, line: fmt::Arguments<'_>) {
        use std::fmt::Write as _;
        self.line.clear();
        self.line.write_fmt(line).unwrap();
        self.line.push('\n');
        self.file.write_all(self.line.as_bytes()).unwrap();
    }

    /// The sequence of a position; its epoch is told once, and may not change.
    pub fn sequence(&mut self, position: Position) -> u64 {
        if self.epoch.is_none() {
            self.epoch = Some(position.epoch);
            self.tell(format_args!("e {}", position.epoch));
        }
        assert_eq!(
            self.epoch,
            Some(position.epoch),
            "nobody swaps the database"
        );
        position.sequence
    }

    /// What a get found of a path, called and returned at these times.
    pub fn got(
        &mut self,
        [from, to]: [u64; 2],
        asked: Asked,
        number: usize,
        found: Option<&Record>,
    ) {
        match found {
            None => self.tell(format_args!("g {from} {to} {asked} {number} -")),
            Some(record) => {
                assert_eq!(record.path, path(number));
                let as_of = self.sequence(record.as_of());
                self.got_at([from, to], asked, as_of, record);
            }
        }
    }

    /// A record that is said to be true of this sequence.
    pub fn got_at(&mut self, [from, to]: [u64; 2], asked: Asked, as_of: u64, record: &Record) {
        let (number, version) = (path_number(record.path.as_str()), record.version());
        let content = Content::of(record);
        self.tell(format_args!(
            "g {from} {to} {asked} {number} {as_of} {version} {content}"
        ));
    }
}

/// How fresh an answer was asked to be: `c`, `l`, `m<nanoseconds>`, `a<sequence>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Cached,
    Latest,
    MaxAge(u64),
    AtLeast(u64),
}

impl Asked {
    pub fn freshness(self, epoch: u64) -> cardex::Freshness {
        match self {
            Asked::Cached => cardex::Freshness::Cached,
            Asked::Latest => cardex::Freshness::Latest,
            Asked::MaxAge(age) => cardex::Freshness::MaxAge(Duration::from_nanos(age)),
            Asked::AtLeast(sequence) => cardex::Freshness::AtLeast(Position { epoch, sequence }),
        }
    }

    fn parse(text: &str) -> Self {
        match text.split_at(1) {
            ("c", _) => Asked::Cached,
            ("l", _) => Asked::Latest,
            ("m", age) => Asked::MaxAge(age.parse().unwrap()),
            (_, sequence) => Asked::AtLeast(sequence.parse().unwrap()),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asked::Cached => f.write_str("c"),
            Asked::Latest => f.write_str("l"),
            Asked::MaxAge(age) => write!(f, "m{age}"),
            Asked::AtLeast(sequence) => write!(f, "a{sequence}"),
        }
    }
}
