//! A quarter of a million files in a process that may take 512 MB: it loads, synchronises in full, gives
//! room when it is asked to, answers exactly as SQL does, and is never killed.
//!
//! The limit is a control group of the second version where one can be made, which is what a container
//! is; else it is one on the address space (`ulimit -v`), which is stricter: what is reserved and not
//! used counts too. Which one it was is said. `CARDEX_TEST_LIMITED_FILES=20000` takes fewer files.

#![expect(clippy::unwrap_used, reason = "a test stops at its first surprise")]

mod oracle_support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cardex::store::{SqliteOptions, SqliteStore};
use cardex::{
    CacheCoordinator, Cardex, CoordinatorOptions, Fetch, FilePath, Query, SyncMode, SystemMemory,
};
use fastrand::Rng;
use libtest_mimic::{Arguments, Failed, Trial};
use oracle_support::{compare, number, open_sql};

/// Names the database that a child works on, or `hog`.
const CHILD: &str = "CARDEX_TEST_LIMITED";
const FILES: &str = "CARDEX_TEST_LIMITED_FILES";
const PROJECT: &str = "main";
const LIMIT: u64 = 512 << 20;
const QUERIES: usize = 8;
const DEADLINE: Duration = Duration::from_secs(60);

fn files() -> usize {
    number(FILES, 250_000)
}

fn path(n: usize) -> FilePath {
    let directory = ["src/x", "src", "tests/x", "docs/mod", "tests/é"][n % 5];
    let extension = ["rs", "py", "go", "md"][n % 4];
    FilePath::new(&format!("{directory}/d{}/f{n}.{extension}", n % 211)).unwrap()
}

/// What the oracle's questions are about, in each file by its number: all in one transaction of another
/// program, which is faster than a quarter of a million records.
const CONTENTS: &str = "
    CREATE TEMP TABLE words (kind TEXT, n INTEGER, word TEXT, PRIMARY KEY (kind, n));
    INSERT INTO words VALUES
        ('language', 0, 'rust'), ('language', 1, 'python'), ('language', 2, 'Python'),
        ('language', 3, 'go'), ('language', 4, 'TypeScript'),
        ('function', 0, 'new'), ('function', 1, 'parse'), ('function', 2, 'next'),
        ('function', 3, 'toString'), ('function', 4, 'run'), ('function', 5, 'main'),
        ('function', 6, 'close'), ('class', 0, 'Lexer'), ('class', 1, 'Parser'),
        ('class', 2, 'Token'), ('class', 3, 'Node'),
        ('document', 0, 'README.md'), ('document', 1, 'docs/A.md'), ('document', 2, 'docs/GRAMMAR.md');
    INSERT INTO documents (project_id, path, language)
        SELECT (SELECT id FROM projects WHERE name = 'main'), path,
            (SELECT word FROM words WHERE kind = 'language' AND n = file / 3 % 6)
        FROM files;
    INSERT INTO functions (document_id, ordinal, name)
        SELECT file + 1, 0, word FROM files JOIN words ON kind = 'function' AND n = file / 5 % 8;
    INSERT INTO functions (document_id, ordinal, name)
        SELECT file + 1, 1, printf('f%d', file) FROM files;
    INSERT INTO classes (document_id, ordinal, name)
        SELECT file + 1, 0, word FROM files JOIN words ON kind = 'class' AND n = file / 7 % 6;
    INSERT INTO methods (document_id, ordinal, class_ordinal, name)
        SELECT document_id, 0, ordinal, word FROM classes
        JOIN words ON kind = 'function' AND n = document_id / 11 % 9;
    INSERT INTO reference_docs (document_id, ordinal, document)
        SELECT file + 1, 0, word FROM files JOIN words ON kind = 'document' AND n = file / 13 % 9;
";

fn make_database(file: &Path) {
    drop(SqliteStore::open(file, PROJECT, SqliteOptions::default()).unwrap());
    let mut database = open_sql(file);
    let files_of = "CREATE TEMP TABLE files (file INTEGER PRIMARY KEY, path TEXT NOT NULL)";
    database.execute_batch(files_of).unwrap();
    let transaction = database.transaction().unwrap();
    let mut file = transaction
        .prepare("INSERT INTO files VALUES (?, ?)")
        .unwrap();
    for n in 0..files() {
        file.execute((n as i64, path(n).as_str())).unwrap();
    }
    drop(file);
    transaction.execute_batch(CONTENTS).unwrap();
    transaction.commit().unwrap();
}

/// How a child is held to its limit.
enum Limit {
    /// The directory of a control group.
    Group(PathBuf),
    AddressSpace,
}

impl Limit {
    /// A control group if one can be made: below this process's own, with a limit on memory.
    fn strongest() -> Limit {
        let Some(own) = own_group() else {
            return Limit::AddressSpace;
        };
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let n = MADE.fetch_add(1, Ordering::Relaxed);
        let group = own.join(format!("cardex-limit-{}-{n}", std::process::id()));
        if std::fs::create_dir(&group).is_err() {
            return Limit::AddressSpace;
        }
        let limited = Limit::Group(group.clone());
        let write = |file: &str, value: &str| std::fs::write(group.join(file), value);
        if write("memory.max", &LIMIT.to_string()).is_err() {
            return Limit::AddressSpace;
        }
        // Where there is no swap there is no such file either.
        let _ = write("memory.swap.max", "0");
        limited
    }

    fn name(&self) -> &'static str {
        match self {
            Limit::Group(_) => "a control group",
            Limit::AddressSpace => {
                "the address space alone: no control group of the second version can be made here"
            }
        }
    }

    /// Runs this program again under the limit, told by the variable what to do.
    fn run(&self, what: &str) -> Output {
        let mut shell = Command::new("sh");
        shell.arg("-c");
        match self {
            Limit::Group(group) => {
                shell.arg("echo $$ > \"$1\"/cgroup.procs && exec \"$0\"");
                shell.arg(std::env::current_exe().unwrap()).arg(group);
            }
            Limit::AddressSpace => {
                shell.arg(format!("ulimit -v {} && exec \"$0\"", LIMIT / 1024));
                shell.arg(std::env::current_exe().unwrap());
                // Each arena of the allocator reserves 64 MB of addresses, which is no memory.
                shell.env("MALLOC_ARENA_MAX", "2");
            }
        }
        shell.env(CHILD, what).output().unwrap()
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        if let Limit::Group(group) = self {
            // Empty by now; a directory that stays is no reason to fail.
            let _ = std::fs::remove_dir(group);
        }
    }
}

/// The directory of this process's control group of the second version.
fn own_group() -> Option<PathBuf> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    Some(Path::new(mount.split(' ').nth(4)?).join(own))
}

/// Past the harness, which keeps to itself what a test that passes prints.
fn tell(text: &str) {
    let mut stderr = std::io::stderr();
    stderr.write_fmt(format_args!("{text}\n")).unwrap();
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}: {}{}",
        output.status,
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// Without this the other trial would show nothing.
fn whoever_takes_more_is_stopped() -> Result<(), Failed> {
    let limit = Limit::strongest();
    let output = limit.run("hog");
    match output.status.success() {
        true => Err(format!("the limit does not hold: {}", text(&output)).into()),
        false => Ok(()),
    }
}

fn a_large_project_fits_and_answers_exactly() -> Result<(), Failed> {
    let limit = Limit::strongest();
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("limited.db");
    let began = Instant::now();
    make_database(&file);
    let made = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let output = limit.run(file.to_str().unwrap());
    let ran = began.elapsed().as_secs_f64();
    tell(&format!(
        "{} files in {} MiB, limited by {}; made in {made:.1} s, run in {ran:.1} s; {}",
        files(),
        LIMIT >> 20,
        limit.name(),
        text(&output).trim_end()
    ));
    match output.status.success() {
        true => Ok(()),
        false => Err("the limited process has failed".into()),
    }
}

/// More memory than there may be, and touched, so that it is there.
fn hog() {
    let taken = vec![1u8; LIMIT as usize + (LIMIT / 4) as usize];
    println!("{} bytes taken", std::hint::black_box(taken).len());
}

/// What a program does that holds a cache: everything at once, in little memory.
fn work(file: &Path) {
    let cardex = Cardex::builder()
        .database(file)
        .project(PROJECT)
        .max_items(1_000_000)
        .max_bytes(64 << 20)
        .open()
        .unwrap();
    // Half of what the records weigh that were loaded: they have to give room.
    let held = cardex.stats().unwrap().bytes;
    let options = CoordinatorOptions::default()
        .max_bytes(Some((held / 2).max(1 << 20)))
        .and_then(|options| options.check_interval(Duration::from_millis(100)))
        .unwrap();
    let coordinator = CacheCoordinator::new(options);
    coordinator.register(cardex.as_cache()).unwrap();
    coordinator.start().unwrap();
    let loaded = cardex.stats().unwrap();
    assert_eq!((loaded.files, loaded.unreadable), (files(), 0));

    let (done, misses) = (AtomicBool::new(false), cardex.stats().unwrap().misses);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Rng::with_seed(9);
            while !done.load(Ordering::Relaxed) {
                let path = path(random.usize(0..files()));
                let record = cardex.get(&path).unwrap().unwrap();
                assert_eq!(record.path, path);
            }
        });
        let report = cardex.sync(SyncMode::Full).unwrap();
        assert_eq!(report.skipped_total, 0, "{report:?}");
        done.store(true, Ordering::Relaxed);
    });
    assert!(cardex.stats().unwrap().misses > misses, "somebody read");

    let database = open_sql(file);
    let mut random = Rng::with_seed(11);
    for _ in 0..QUERIES {
        compare(&mut random, &cardex, &database, PROJECT);
    }
    let everything = cardex.query(&Query::builder().build().unwrap()).unwrap();
    for start in (0..files()).step_by(files() / 10) {
        let page = Fetch::page(start..start + 200).as_scan();
        let page = cardex.records(&everything, &page).unwrap();
        assert!(page.is_complete() && !page.records.is_empty());
    }
    // Somebody else's statements, with any SQL tool.
    for change in 0..100 {
        let path = path(random.usize(0..files()));
        let of = format!("project_id = (SELECT id FROM projects WHERE name = '{PROJECT}')");
        let sql = match change % 3 {
            0 => format!("DELETE FROM documents WHERE {of} AND path = '{path}'"),
            1 => format!("UPDATE documents SET language = 'go' WHERE {of} AND path = '{path}'"),
            _ => format!(
                "INSERT INTO functions (document_id, ordinal, name)
                 SELECT id, 1000, 'parse' FROM documents WHERE {of} AND path = '{path}'"
            ),
        };
        database.execute_batch(&sql).unwrap();
    }
    cardex.sync(SyncMode::Incremental).unwrap();
    for _ in 0..QUERIES / 4 {
        compare(&mut random, &cardex, &database, PROJECT);
    }

    let began = Instant::now();
    while coordinator.stats().pressure.own.unwrap().share() > Some(0.8) {
        assert!(began.elapsed() < DEADLINE, "the records give room");
        std::thread::yield_now();
    }
    let stats = coordinator.stats();
    assert!(stats.triggers > 0, "{stats:?}");
    let limits = SystemMemory::new().limits();
    println!(
        "{} rounds of eviction, at most {} MiB of addresses and {} MiB of memory, {} limits known",
        stats.triggers,
        status("VmPeak") >> 20,
        status("VmHWM") >> 20,
        limits.len()
    );
}

/// What the kernel counts of this process, in bytes.
fn status(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    let kilobytes = line.split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() << 10
}

fn main() {
    match std::env::var(CHILD) {
        Ok(what) if what == "hog" => hog(),
        Ok(file) => work(Path::new(&file)),
        Err(_) => {
            let trials = vec![
                Trial::test(
                    "whoever_takes_more_is_stopped",
                    whoever_takes_more_is_stopped,
                ),
                Trial::test(
                    "a_large_project_fits_and_answers_exactly",
                    a_large_project_fits_and_answers_exactly,
                ),
            ];
            libtest_mimic::run(&Arguments::from_args(), trials).exit();
        }
    }
}
