//! Processes that answer from results of records, in memory and in a file that outlives them, while another
//! process writes to the database, and all of them are killed: no answer is older than what was committed
//! before it was asked for.
//!
//! `CARDEX_TEST_INDEX_ANSWERS` sets how many answers are checked (20,000), `CARDEX_TEST_SEED` repeats who is
//! killed when.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cardex::FilePath;
use cardex::store::{MetadataStore, SqliteOptions, SqliteStore};

use crate::history::{PLACE, TREE, kill_readers_until, number, read, replace};
use crate::project::{Project, database, record};

const FILES: usize = 20;
/// How many writers went before.
const FORMER: &str = "CARDEX_TEST_INDEX_FORMER";

fn path(at: usize) -> String {
    format!("d{}/f{at}", at % 4)
}

/// Up to where a file is known to be written. The writer numbers what it does: an even number is put as the
/// language of the file, an odd one is its removal.
fn known(home: &Path, at: usize) -> PathBuf {
    home.join(format!("known/f{at}"))
}

/// The last removal that was begun.
fn begun(home: &Path, at: usize) -> PathBuf {
    home.join(format!("begun/f{at}"))
}

/// A process that writes: first the database, then what may be counted on.
#[test]
#[ignore = "the program that the history runs"]
fn writer() {
    let home = PathBuf::from(std::env::var(TREE).expect("set by the history"));
    let former = number(FORMER, 0);
    let store = SqliteStore::open(database(&home), "default", SqliteOptions::default()).unwrap();
    let mut random = fastrand::Rng::with_seed(former);
    let mut n = (former + 1) * 10_000_000;
    loop {
        n += 2;
        let at = random.usize(0..FILES);
        let mut done = n;
        if random.u32(0..8) == 0 {
            done += 1;
            replace(&begun(&home, at), done);
            store.remove(&FilePath::new(&path(at)).unwrap()).unwrap();
        } else {
            store.put(&record(&path(at), &n.to_string())).unwrap();
        }
        replace(&known(&home, at), done);
        if random.u32(0..100) == 0 {
            store.prune_log(2).unwrap();
        }
        // As fast as a person's tools, not as fast as the disk.
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// A process that answers, and compares each answer with what was known before it asked.
#[test]
#[ignore = "the program that the history runs"]
fn reader() {
    let home = PathBuf::from(std::env::var(TREE).expect("set by the history"));
    let place = PathBuf::from(std::env::var(PLACE).unwrap());
    fs::create_dir_all(&place).unwrap();
    let project = Project::durable_at(&place, &home);
    let mut random = fastrand::Rng::new();
    let mut answers = 0_u64;
    loop {
        let at = random.usize(0..FILES);
        let (path, known) = (path(at), read(&known(&home, at)));
        let answered = match random.u32(0..4) {
            0 => project.in_directory(&path),
            1 => project.of_all(&path),
            _ => project.language(&path).0,
        };
        match answered.parse::<u64>() {
            Ok(answered) => assert!(answered >= known, "{path}: {answered}, not {known}"),
            Err(_) => {
                let is_gone = known % 2 == 1 || read(&begun(&home, at)) > known;
                assert!(is_gone, "{path}: {answered}, not {known}");
            }
        }
        answers += 1;
        if answers.is_multiple_of(100) {
            println!("answers {answers} made {}", project.made());
        }
    }
}

impl Project {
    /// The language of a file, by a result that is made from its directory.
    fn in_directory(&self, path: &str) -> String {
        let directory = &path[..2];
        let key = format!("in:{path}");
        self.run(&key, &[directory], |_| self.now(path)).unwrap()
    }

    /// The same, by one that is made from everything.
    fn of_all(&self, path: &str) -> String {
        let key = format!("all:{path}");
        self.run(&key, &["."], |_| self.now(path)).unwrap()
    }
}

/// The process that writes; ended with this.
struct Writer(Child);

impl Writer {
    fn start(home: &Path, former: u64) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["index_history::writer", "--exact", "--ignored"])
            .env(TREE, home)
            .env(FORMER, former.to_string())
            .stdout(Stdio::null())
            .spawn();
        Writer(child.unwrap())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn no_answer_is_older_than_what_was_committed_whoever_is_killed() {
    let wanted = number("CARDEX_TEST_INDEX_ANSWERS", 20_000);
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for directory in ["known", "begun"] {
        fs::create_dir(home.join(directory)).unwrap();
    }
    let store = SqliteStore::open(database(home), "default", SqliteOptions::default()).unwrap();
    for at in 0..FILES {
        store.put(&record(&path(at), "2")).unwrap();
        replace(&known(home, at), 2);
        replace(&begun(home, at), 0);
    }
    drop(store);
    let mut writers = 0;
    let mut writer = Writer::start(home, writers);
    let kills = kill_readers_until(wanted, "index_history::reader", home, home, || {
        let ended = writer.0.try_wait().unwrap();
        assert!(ended.is_none(), "the writer failed: {ended:?}");
        writers += 1;
        if writers % 3 == 0 {
            writer.0.kill().unwrap();
            writer.0.wait().unwrap();
            writer = Writer::start(home, writers);
        }
    });
    assert!(kills >= 10);
    // Nobody writes any more: what was committed last is answered, whoever had told of it.
    drop(writer);
    let project = Project::durable_at(&home.join("reader0"), home);
    for at in 0..FILES {
        let path = path(at);
        let language = project.language(&path).0;
        assert_eq!(language, project.now(&path).unwrap(), "{path}");
        assert_eq!(project.in_directory(&path), language, "{path}");
        assert_eq!(project.of_all(&path), language, "{path}");
    }
}
