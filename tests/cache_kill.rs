//! A process that is killed at any moment loses no write that it has acknowledged and leaves none
//! half done. A child of this test writes through a cache and says what is done; it is killed, and
//! what it left is compared with what it said: the database is sound, every record is one that was
//! sent, and an index made of it, or kept up to date beside it, equals SQL.
//!
//! Some die while they open the database, some while they make it. `CARDEX_TEST_KILLS` sets how many
//! are killed (500), `CARDEX_TEST_SEED` repeats what they write, though not when they die.

#![cfg(all(unix, feature = "sqlite"))]
#![expect(clippy::unwrap_used, reason = "a test stops at its first surprise")]

mod oracle_support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use cardex::store::{MetadataStore, SqliteOptions, SqliteStore};
use cardex::{Cardex, FileMetadata, FilePath, Function, Position, SyncMode};
use fastrand::Rng;
use oracle_support::{Asked, compare, number, open_sql, paths, record_of, seed};

/// What tells the child which file to write to, and its random seed.
const DATABASE: &str = "CARDEX_TEST_KILL_DATABASE";
const WRITES: &str = "CARDEX_TEST_KILL_WRITES";
/// So few that most writes replace or remove something.
const PATHS: usize = 12;
/// How many children one database survives before the next one is made.
const LIVES: usize = 25;
/// The most that a child writes.
const MAX_WRITES: u64 = 100_000;
/// How long a child may take to say something.
const DEADLINE: Duration = Duration::from_secs(60);

/// A write of a child.
#[derive(Clone, Debug)]
enum Change {
    Put(Box<FileMetadata>),
    Remove(FilePath),
}

impl Change {
    /// The nth write of the child with this seed.
    fn nth(seed: u64, n: u64, paths: &[FilePath]) -> Change {
        let mut random = Rng::with_seed(seed.wrapping_add(n));
        let path = random.choice(paths).unwrap().clone();
        if random.u32(0..5) == 0 {
            return Change::Remove(path);
        }
        let mut record = record_of(path.as_str(), &mut random);
        // Many rows, each of which names its write.
        for _ in 0..random.usize(0..30) {
            let name = format!("write_{seed}_{n}");
            record.functions.push(Function::named(name.as_str()));
        }
        Change::Put(Box::new(record))
    }

    fn path(&self) -> &FilePath {
        match self {
            Change::Put(record) => &record.path,
            Change::Remove(path) => path,
        }
    }

    fn record(&self) -> Option<FileMetadata> {
        match self {
            Change::Put(record) => Some(FileMetadata::clone(record)),
            Change::Remove(_) => None,
        }
    }
}

/// The program that is killed: acknowledges each write when it has returned.
#[test]
#[ignore = "it is run, and killed, by the other test"]
fn child() {
    let Some(database) = std::env::var_os(DATABASE) else {
        return;
    };
    let seed = number(WRITES, 0) as u64;
    let paths = paths(PATHS);
    let cardex = open(Path::new(&database));
    // A failed write ends the child: nobody listens any more.
    let mut out = std::io::stdout();
    out.write_all(b"\nopen\n").unwrap();
    for n in 0..MAX_WRITES {
        let change = Change::nth(seed, n, &paths);
        let (existed, position) = match &change {
            Change::Put(record) => ("-".to_owned(), cardex.update(record).unwrap()),
            Change::Remove(path) => {
                let removal = cardex.remove(path).unwrap();
                (removal.existed.to_string(), removal.position)
            }
        };
        let line = format!("done {n} {existed} {position}\n");
        out.write_all(line.as_bytes()).unwrap();
    }
}

fn open(file: &Path) -> Cardex {
    let builder = Cardex::builder().database(file).project("main");
    builder.load_bodies(true).follow(false).open().unwrap()
}

/// A child and what it says.
struct Victim {
    process: Child,
    lines: Receiver<String>,
}

impl Victim {
    fn spawn(file: &Path, seed: u64) -> Victim {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--ignored", "--nocapture"])
            .env(DATABASE, file)
            .env(WRITES, seed.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (tells, lines) = mpsc::channel();
        let out = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.split(b'\n') {
                let line = String::from_utf8(line.unwrap()).unwrap();
                if tells.send(line).is_err() {
                    break;
                }
            }
        });
        Victim { process, lines }
    }

    /// Waits for so many writes after the opening.
    fn wait_for(&self, writes: usize) -> Vec<Done> {
        let mut done = Vec::new();
        let mut is_open = false;
        while !is_open || done.len() < writes {
            let line = self.lines.recv_timeout(DEADLINE).unwrap();
            is_open |= line == "open";
            done.extend(Done::parse(&line));
        }
        done
    }

    /// Kills it; what it had said that was not heard yet.
    fn kill(mut self) -> Vec<Done> {
        self.process.kill().unwrap();
        let status = self.process.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "it died of nothing else");
        // The end of the pipe comes with its death.
        let lines = std::iter::from_fn(|| self.lines.recv_timeout(DEADLINE).ok());
        lines.filter_map(|line| Done::parse(&line)).collect()
    }
}

/// An acknowledged write.
#[derive(Debug)]
struct Done {
    n: u64,
    existed: Option<bool>,
    position: Position,
}

impl Done {
    /// What a line says, if it is one of the child's own and whole.
    fn parse(line: &str) -> Option<Done> {
        let mut words = line.strip_prefix("done ")?.split(' ');
        let mut word = || words.next().unwrap();
        Some(Done {
            n: word().parse().unwrap(),
            existed: word().parse().ok(),
            position: word().parse().unwrap(),
        })
    }
}

/// How the children of this run died.
#[derive(Debug, Default)]
struct Deaths {
    acknowledged: usize,
    /// With a write committed and not acknowledged.
    after_commit: usize,
    /// With a write begun, if at all, and not committed.
    before_commit: usize,
    /// Before they had opened the database.
    while_opening: usize,
}

/// A database that outlives its writers.
struct Survivor {
    folder: tempfile::TempDir,
    paths: Vec<FilePath>,
    /// What is known to be there, with its version.
    records: BTreeMap<FilePath, (FileMetadata, u64)>,
    head: Option<Position>,
    /// A cache that lives on beside the children: it keeps the file open, and only follows the log.
    beside: Option<Cardex>,
}

impl Survivor {
    fn new(paths: &[FilePath]) -> Self {
        Survivor {
            folder: tempfile::tempdir().unwrap(),
            paths: paths.to_vec(),
            records: BTreeMap::new(),
            head: None,
            beside: None,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("survivor.db")
    }

    /// One child's life and death.
    fn survive(&mut self, random: &mut Rng, is_young: bool, deaths: &mut Deaths) {
        let seed = random.u64(0..1 << 48);
        let victim = Victim::spawn(&self.file(), seed);
        let mut done = Vec::new();
        let is_first = self.head.is_none();
        let longest = if is_young {
            // The time to start and to open, about.
            Duration::from_millis(if is_first { 60 } else { 20 })
        } else {
            done = victim.wait_for(random.usize(0..25));
            // The time of two writes, about.
            Duration::from_millis(1)
        };
        let moment = Instant::now() + longest.mul_f64(random.f64());
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        done.extend(victim.kill());
        self.acknowledge(seed, &done);
        let next = Change::nth(seed, done.len() as u64, &self.paths);
        self.check(&next, deaths, is_young && done.is_empty());
        deaths.acknowledged += done.len();
        self.compare(random);
    }

    /// Takes in what a child has said.
    fn acknowledge(&mut self, seed: u64, done: &[Done]) {
        for (n, done) in (0..).zip(done) {
            assert_eq!(done.n, n, "a line is lost");
            let change = Change::nth(seed, n, &self.paths);
            let path = change.path().clone();
            let sequence = done.position.sequence;
            let has_changed = done.existed != Some(false);
            if let Some(head) = self.head {
                assert!(done.position.covers(head), "{} {head}", done.position);
                assert!(!has_changed || sequence > head.sequence, "{path}");
            }
            self.head = Some(done.position);
            let old = match change.record() {
                Some(record) => self.records.insert(path, (record, sequence)),
                None => self.records.remove(&path),
            };
            assert!(done.existed.is_none_or(|existed| existed == old.is_some()));
        }
    }

    /// Compares the database with what is known; one more write may be in it than was acknowledged.
    fn check(&mut self, next: &Change, deaths: &mut Deaths, may_be_unopened: bool) {
        let store = SqliteStore::open(self.file(), "main", SqliteOptions::default()).unwrap();
        assert_eq!(store.check().unwrap(), [], "the database is sound");
        let head = store.head().unwrap();
        let known = self.head.unwrap_or(Position {
            sequence: 0,
            ..head
        });
        assert!(head.covers(known), "{head} {known}");
        let mut found = BTreeMap::new();
        store
            .for_each(&mut |file| {
                found.insert(file.record.path.clone(), (file.record, file.version));
                Ok(())
            })
            .unwrap();
        let has_more = head != known;
        if has_more {
            let path = next.path().clone();
            match next.record() {
                Some(record) => drop(self.records.insert(path, (record, head.sequence))),
                None => drop(self.records.remove(&path)),
            }
            assert_eq!(
                head.sequence,
                known.sequence + 1,
                "one write was on its way"
            );
        }
        assert!(
            found == self.records,
            "after {next:?} was on its way\nfound {found:#?}\nknown {:#?}",
            self.records
        );
        match (has_more, may_be_unopened) {
            (true, _) => deaths.after_commit += 1,
            (false, true) => deaths.while_opening += 1,
            (false, false) => deaths.before_commit += 1,
        }
        self.head = Some(head);
    }

    /// Compares caches with SQL: a new one, and the one that has seen it all.
    fn compare(&mut self, random: &mut Rng) {
        let fresh = open(&self.file());
        let database = open_sql(&self.file());
        if let Some(beside) = &self.beside {
            let report = beside.sync(SyncMode::Incremental).unwrap();
            assert_eq!(Some(report.to), self.head);
        }
        for cardex in [Some(&fresh), self.beside.as_ref()].into_iter().flatten() {
            let everything = Asked::default();
            let answer = cardex.query(&everything.query(None)).unwrap();
            everything.assert_is_answer(&answer, None, &database, "main");
            for _ in 0..3 {
                compare(random, cardex, &database, "main");
            }
            let found = cardex.get_many(&self.paths).unwrap();
            for (path, found) in self.paths.iter().zip(found) {
                let found = found.map(|found| (FileMetadata::clone(&found), found.version()));
                assert_eq!(found.as_ref(), self.records.get(path));
            }
        }
        assert!(fresh.update(&record_of("left/behind", random)).is_ok());
        let gone = fresh
            .remove(&FilePath::new("left/behind").unwrap())
            .unwrap();
        self.head = Some(gone.position);
    }
}

#[test]
fn no_acknowledged_write_is_lost_and_none_is_half_done() {
    let kills = number("CARDEX_TEST_KILLS", 500);
    let mut random = Rng::with_seed(seed());
    let paths = paths(PATHS);
    let mut deaths = Deaths::default();
    let mut survivor = Survivor::new(&paths);
    for kill in 0..kills {
        let life = kill % LIVES;
        if life == 0 {
            survivor = Survivor::new(&paths);
        }
        survivor.survive(&mut random, life.is_multiple_of(8), &mut deaths);
        // Every other database is also kept open.
        if life == 0 && kill / LIVES % 2 == 1 {
            survivor.beside = Some(open(&survivor.file()));
        }
    }
    println!("{kills} killed: {deaths:?}");
    assert!(kills < 100 || deaths.after_commit > 0, "{deaths:?}");
}
