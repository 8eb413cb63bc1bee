//! The processes of a history: this test binary run as children over one database, one of them killed
//! and started again, and what they recorded, gathered when all have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cardex::store::{SqliteOptions, SqliteStore};
use fastrand::Rng;
use rusqlite::{Connection, OptionalExtension as _};

use super::check::{Checked, Commit, History, check_process, whole_lines};
use super::writer::stored;
use super::{OTHER, PROJECT, Task, database, now, path};

/// How many processes of each kind there are, for how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub readers: usize,
    pub threads: usize,
    pub foreign: usize,
    pub writers: usize,
    pub time: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub checked: Checked,
    pub commits: usize,
    pub kills: usize,
    /// Commits of a process that died before it knew.
    pub unacknowledged: usize,
}

/// Runs the plan and checks all that was recorded.
pub fn run(plan: Plan, seed: u64) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let file = database(folder.path());
    for project in [PROJECT, OTHER] {
        drop(SqliteStore::open(&file, project, SqliteOptions::default()).unwrap());
    }
    let until = now() + plan.time.as_nanos() as u64;
    let mut fleet = Fleet {
        task: Task {
            role: String::new(),
            folder: folder.path().to_owned(),
            name: String::new(),
            until,
            seed,
            threads: plan.threads,
        },
        children: Vec::new(),
        names: Vec::new(),
    };
    let kinds = [
        ("foreign", plan.foreign),
        ("writer", plan.writers),
        ("reader", plan.readers),
    ];
    for (role, count) in kinds {
        for n in 0..count {
            fleet.start(role, &format!("{role}-{n}"));
        }
    }
    let mut deaths = Deaths::new(&fleet.task);
    let mut random = Rng::with_seed(seed);
    while now() < until {
        deaths.one(&mut fleet, &mut random);
    }
    fleet.wait();
    let database = Connection::open(&file).unwrap();
    let files: Vec<Vec<PathBuf>> = fleet.names.iter().map(|name| fleet.files(name)).collect();
    let mut commits = deaths.resolved.clone();
    let mut epochs = BTreeSet::new();
    for file in files.iter().flatten() {
        let text = whole_lines(file);
        commits.extend(text.lines().filter_map(Commit::parse));
        epochs.extend(
            text.lines()
                .filter(|line| line.starts_with("e "))
                .map(str::to_owned),
        );
    }
    assert_eq!(epochs.len(), 1, "all see one database: {epochs:?}");
    let history = History::new(commits, &database);
    let mut checked = Checked::default();
    for process in &files {
        check_process(&history, process, &mut checked);
    }
    let store = SqliteStore::open(&file, PROJECT, SqliteOptions::default()).unwrap();
    assert_eq!(store.check().unwrap(), [], "the database is sound");
    Outcome {
        checked,
        commits: history.len(),
        kills: deaths.kills,
        unacknowledged: deaths.resolved.len(),
    }
}

/// The children that live; they die with it.
struct Fleet {
    task: Task,
    children: Vec<(String, Child)>,
    /// Of all that ever lived.
    names: Vec<String>,
}

impl Fleet {
    fn spawn(&mut self, role: &str, name: &str) -> Child {
        self.names.push(name.to_owned());
        let task = Task {
            role: role.to_owned(),
            name: name.to_owned(),
            seed: self.task.seed % (1 << 32) + self.names.len() as u64,
            ..self.task.clone()
        };
        let (variable, value) = task.variable();
        Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--ignored", "--nocapture"])
            .env(variable, value)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn start(&mut self, role: &str, name: &str) {
        let child = self.spawn(role, name);
        self.children.push((name.to_owned(), child));
    }

    /// Waits for all; none may have met an error.
    fn wait(&mut self) {
        for (name, child) in &mut self.children {
            let status = child.wait().unwrap();
            assert!(status.success(), "{name}: {status}");
        }
        self.children.clear();
    }

    /// What the threads of a process recorded.
    fn files(&self, name: &str) -> Vec<PathBuf> {
        let file = |thread| self.task.folder.join(format!("{name}.{thread}.lines"));
        let files = (0..self.task.threads.max(1)).map(file);
        files.filter(|file| file.exists()).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for (_, child) in &mut self.children {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The process that is killed now and then, and what it left open each time.
struct Deaths {
    database: Connection,
    /// The last change of each file that only it writes.
    versions: BTreeMap<usize, u64>,
    resolved: Vec<Commit>,
    kills: usize,
}

/// The most commits of one life.
const LIFE: usize = 60;
/// The time of a write, about: it dies at any moment of the next one.
const WRITE: Duration = Duration::from_millis(3);

impl Deaths {
    fn new(task: &Task) -> Self {
        Deaths {
            database: Connection::open(task.database()).unwrap(),
            versions: BTreeMap::new(),
            resolved: Vec::new(),
            kills: 0,
        }
    }

    /// A life: from its start until it has done a random number of writes, or the time is over.
    fn one(&mut self, fleet: &mut Fleet, random: &mut Rng) {
        let name = format!("victim-{}", self.kills);
        let mut child = fleet.spawn("victim", &name);
        let mut out = child.stdout.take().unwrap();
        let (mut byte, mut left) = ([0], random.usize(..LIFE));
        // The end of the time is the end of the pipe.
        while left > 0 && out.read(&mut byte).unwrap() == 1 {
            left -= usize::from(byte == *b"!");
        }
        let moment = Instant::now() + WRITE.mul_f64(random.f64());
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let is_over = now() >= fleet.task.until;
        assert!(
            status.signal() == Some(9) || is_over && status.success(),
            "it died of something else: {status}"
        );
        self.kills += 1;
        for file in fleet.files(&name) {
            self.resolve(&whole_lines(&file));
        }
    }

    /// Finds out whether the last write was committed: nobody else writes that file.
    fn resolve(&mut self, text: &str) {
        let mut pending = None;
        for line in text.lines() {
            if let Some(commit) = Commit::parse(line) {
                let (number, _) = commit.changes[0];
                self.versions.insert(number, commit.sequence);
                pending = None;
            } else if let Some(intent) = line.strip_prefix("i ") {
                pending = Some(intent);
            } else if line == "n" {
                pending = None;
            }
        }
        let Some((begun, number)) = pending.and_then(|intent| intent.split_once(' ')) else {
            return;
        };
        let number: usize = number.parse().unwrap();
        let tx = self.database.unchecked_transaction().unwrap();
        let sql = "SELECT c.seq FROM changes c JOIN projects p ON p.id = c.project_id
                   WHERE p.name = ?1 AND c.path = ?2";
        let row = tx.query_row(sql, [PROJECT, path(number).as_str()], |row| row.get(0));
        let version = row.optional().unwrap().map(i64::unsigned_abs);
        let state = stored(&tx, number);
        drop(tx);
        let Some(sequence) = version.filter(|now| Some(now) != self.versions.get(&number)) else {
            return;
        };
        self.versions.insert(number, sequence);
        self.resolved.push(Commit {
            begun: begun.parse().unwrap(),
            acknowledged: now(),
            before: sequence - 1,
            sequence,
            changes: vec![(number, state)],
        });
    }
}
