//! A process may be killed while it reads everything, while it reads what changed, while it makes the
//! database, and while it prunes the log: the database opens again, is sound, and an index made of
//! it, or kept up to date beside all that, equals SQL.
//!
//! `CARDEX_TEST_SYNC_KILLS` sets how many are killed (400), a fourth at each work;
//! `CARDEX_TEST_SEED` repeats what they write, though not when they die.

#![cfg(all(unix, feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod oracle_support;

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use cardex::store::{MetadataStore as _, SqliteOptions, SqliteStore, Write};
use cardex::{Cardex, FilePath, SyncMode};
use fastrand::Rng;
use oracle_support::{Asked, compare, number, open_sql, paths, record_of, seed};
use rusqlite::Connection;

/// What a child does until it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Reads everything, again and again, while the database changes.
    Full,
    /// Reads what changed.
    Incremental,
    /// Makes the database and its schema, of no file or of an empty one.
    Opening,
    /// Forgets deleted files.
    Pruning,
}

const WORKS: [Work; 4] = [Work::Full, Work::Incremental, Work::Opening, Work::Pruning];
const WORK: &str = "CARDEX_TEST_SYNC_KILL_WORK";
const DATABASE: &str = "CARDEX_TEST_SYNC_KILL_DATABASE";
const SEED: &str = "CARDEX_TEST_SYNC_KILL_SEED";
/// So many that a full pass takes longer than a process needs to die.
const PATHS: usize = 150;
/// How long a child may live before it has hung.
const DEADLINE: Duration = Duration::from_secs(60);
/// How many children one database survives before the next one is made; each that makes one begins
/// with none.
const LIVES: usize = 25;

fn store(file: &Path) -> SqliteStore {
    SqliteStore::open(file, "main", SqliteOptions::default()).unwrap()
}

fn open(file: &Path) -> Cardex {
    let builder = Cardex::builder().database(file).project("main");
    builder.load_bodies(true).follow(false).open().unwrap()
}

/// A batch of our own writer: one transaction.
fn batch(random: &mut Rng, paths: &[FilePath], length: usize) -> Vec<Write> {
    let write = |_| {
        let path = random.choice(paths).unwrap().clone();
        match random.u32(..3) {
            0 => Write::Remove(path),
            _ => Write::Put(record_of(path.as_str(), random)),
        }
    };
    (0..length).map(write).collect()
}

/// Somebody else's statements, with SQLite's defaults.
fn foreign(random: &mut Rng, database: &Connection) {
    let rest = random.u32(..7);
    let sql = match random.u32(..3) {
        0 => format!("DELETE FROM documents WHERE id % 7 = {rest}"),
        1 => format!("UPDATE documents SET language = 'zig{rest}' WHERE id % 7 = {rest}"),
        _ => format!("UPDATE functions SET name = 'run' WHERE document_id % 7 = {rest}"),
    };
    database.execute_batch(&sql).unwrap();
}

/// The program that is killed: says when a piece of its work begins and ends.
#[test]
#[ignore = "it is run, and killed, by the other test"]
fn child() {
    let Some(file) = std::env::var_os(DATABASE).map(PathBuf::from) else {
        return;
    };
    std::thread::spawn(|| {
        std::thread::sleep(DEADLINE);
        std::process::exit(3);
    });
    let work = std::env::var(WORK).unwrap();
    let work = WORKS.into_iter().find(|one| format!("{one:?}") == work);
    let work = work.unwrap();
    let mut random = Rng::with_seed(number(SEED, 0) as u64);
    let mut out = std::io::stdout();
    // A failed write ends the child: nobody listens any more.
    let mut piece = |work: &mut dyn FnMut()| {
        out.write_all(b"\nbegin\n").unwrap();
        work();
        out.write_all(b"end\n").unwrap();
    };
    if work == Work::Opening {
        piece(&mut || drop(open(&file)));
    }
    let (store, cardex, paths) = (store(&file), open(&file), paths(PATHS));
    let database = Connection::open(&file).unwrap();
    loop {
        store.write(&batch(&mut random, &paths, 12)).unwrap();
        foreign(&mut random, &database);
        let keep = random.u64(..20);
        piece(&mut || match work {
            Work::Full => drop(cardex.sync(SyncMode::Full).unwrap()),
            Work::Incremental => drop(cardex.sync(SyncMode::Incremental).unwrap()),
            Work::Opening => drop(open(&file)),
            Work::Pruning => drop(store.prune_log(keep).unwrap()),
        });
    }
}

/// A child and what it says.
struct Victim {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Victim {
    fn spawn(file: &Path, work: Work, seed: u64) -> Victim {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--ignored", "--nocapture"])
            .env(DATABASE, file)
            .env(WORK, format!("{work:?}"))
            .env(SEED, seed.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Victim { process, lines }
    }

    /// Lets it begin so many pieces of work, and so long go on with the last; whether it was killed
    /// within one.
    fn kill_in(mut self, mut pieces: usize, time: Duration) -> bool {
        while pieces > 0 {
            let line = self.lines.next().expect("it works until it is killed");
            pieces -= usize::from(line.unwrap() == "begin");
        }
        let moment = Instant::now() + time;
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        self.process.kill().unwrap();
        let status = self.process.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "it died of nothing else");
        let last = self
            .lines
            .map(Result::unwrap)
            .filter(|line| !line.is_empty());
        last.last().is_none_or(|line| line == "begin")
    }
}

/// A database that outlives those who work on it.
struct Survivor {
    folder: tempfile::TempDir,
    /// A cache that lives on beside the children, and only follows the log.
    beside: Option<Cardex>,
}

impl Survivor {
    fn new(work: Work, random: &mut Rng) -> Self {
        let mut survivor = Survivor {
            folder: tempfile::tempdir().unwrap(),
            beside: None,
        };
        let file = survivor.file();
        match work {
            Work::Opening if random.bool() => drop(std::fs::File::create(&file).unwrap()),
            Work::Opening => {}
            _ => {
                let all = paths(PATHS);
                store(&file).write(&batch(random, &all, 2 * PATHS)).unwrap();
                survivor.beside = Some(open(&file));
            }
        }
        survivor
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("survivor.db")
    }

    fn survive(&mut self, work: Work, random: &mut Rng) -> bool {
        let victim = Victim::spawn(&self.file(), work, random.u64(..1 << 48));
        let (pieces, longest) = match work {
            Work::Opening => (1, Duration::from_millis(60)),
            Work::Full => (random.usize(1..6), Duration::from_millis(6)),
            Work::Incremental | Work::Pruning => (random.usize(1..6), Duration::from_millis(2)),
        };
        let is_within = victim.kill_in(pieces, longest.mul_f64(random.f64()));
        self.assert_sound(random);
        is_within
    }

    /// The database opens and is sound, and caches equal SQL; and it can be written.
    fn assert_sound(&self, random: &mut Rng) {
        let file = self.file();
        let store = store(&file);
        assert_eq!(store.check().unwrap(), [], "the database is sound");
        let fresh = open(&file);
        let record = record_of("left/behind", random);
        let position = fresh.update(&record).unwrap();
        assert_eq!(store.head().unwrap(), position);
        let database = open_sql(&file);
        if let Some(beside) = &self.beside {
            assert_eq!(beside.sync(SyncMode::Incremental).unwrap().to, position);
        }
        for cardex in [Some(&fresh), self.beside.as_ref()].into_iter().flatten() {
            let everything = Asked::default();
            let answer = cardex.query(&everything.query(None)).unwrap();
            everything.assert_is_answer(&answer, None, &database, "main");
            for _ in 0..3 {
                compare(random, cardex, &database, "main");
            }
            for hit in answer.hits() {
                let path = FilePath::new(hit.path).unwrap();
                let found = cardex.get(&path).unwrap().unwrap();
                let stored = store.get(&path).unwrap().unwrap();
                assert_eq!((&stored.record, stored.version), (&*found, hit.version));
            }
        }
    }
}

#[test]
fn whatever_work_it_is_killed_at_the_database_is_sound_and_the_index_equals_sql() {
    let kills = number("CARDEX_TEST_SYNC_KILLS", 400) / WORKS.len();
    let mut random = Rng::with_seed(seed());
    for work in WORKS {
        let start = Instant::now();
        let lives = match work {
            Work::Opening => 1,
            _ => LIVES,
        };
        let mut survivor = None;
        let mut within = 0;
        for kill in 0..kills {
            if kill.is_multiple_of(lives) {
                survivor = None;
            }
            let survivor = survivor.get_or_insert_with(|| Survivor::new(work, &mut random));
            within += usize::from(survivor.survive(work, &mut random));
        }
        println!(
            "{work:?}: {kills} killed, {within} within it, {:?}",
            start.elapsed()
        );
        assert!(kills < 20 || within > 3, "{work:?}: {within} of {kills}");
    }
}
