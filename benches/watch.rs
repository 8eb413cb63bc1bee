//! How long does it take from a save until another process sees it? 200 saves in turn into a tree that
//! `cardex watch` follows as a process of its own, each looked for in the database by this one, with the
//! default debounce of 100 ms; alone, and while files that nobody waits for are written all the time.
//!
//! `cargo bench --bench watch --features full`; `CARDEX_BENCH_SCALE=small` for a short run, which only
//! prints. The promise: 99 of 100 within 300 ms.
//!
//! Last table (two cores shared with other work, a load of LOAD; the command in release):
//!
//! ```text
//! TABLE
//! ```

#![expect(clippy::expect_used, reason = "a bench that cannot work ends")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cardex::FilePath;
use cardex::store::{MetadataStore, SqliteOptions, SqliteStore};

const LIMIT: Duration = Duration::from_millis(300);
const DEADLINE: Duration = Duration::from_secs(60);
/// The rest between two looks.
const REST: Duration = Duration::from_micros(500);
const FILES: usize = 1000;

/// A command that follows a tree, ended when it is dropped.
struct Following(Child);

impl Following {
    fn start(root: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cardex"))
            .args(["watch", "-q", "--format", "jsonl", "-C"])
            .arg(root)
            .env_clear()
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it has an output")).lines();
        let first = lines.next().expect("it tells of its start");
        assert!(first.expect("in text").contains("\"start\""));
        // It is read to its end, so that nobody waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Following(child)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn path(file: usize) -> String {
    format!("d{}/f{file}.py", file % 40)
}

fn save(root: &Path, path: &str, name: &str) {
    fs::write(root.join(path), format!("def {name}(): pass\n")).expect("it is written");
}

/// How long each save takes to be seen, from the shortest to the longest.
fn run(root: &Path, store: &SqliteStore, saves: usize) -> Vec<Duration> {
    let mut took: Vec<Duration> = (0..saves)
        .map(|turn| {
            let (file, name) = (path(turn * 7 % FILES), format!("save_{turn}"));
            let start = Instant::now();
            save(root, &file, &name);
            let file = FilePath::new(&file).expect("it is a path");
            loop {
                let found = store.get(&file).expect("it can be read");
                let functions = found.map(|found| found.record.functions);
                let mut functions = functions.into_iter().flatten();
                if functions.any(|function| function.name.as_deref() == Some(&*name)) {
                    break start.elapsed();
                }
                assert!(start.elapsed() < DEADLINE, "{name} is not seen");
                std::thread::sleep(REST);
            }
        })
        .collect();
    took.sort_unstable();
    took
}

fn print(case: &str, took: &[Duration]) {
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    let (p50, p99, most) = (at(50), at(99), at(100));
    let ratio = LIMIT.as_secs_f64() / p99.as_secs_f64();
    let verdict = if p99 <= LIMIT { "ok" } else { "short" };
    println!(
        "{case:<34} p50 {p50:>9.1?}  p99 {p99:>9.1?}  most {most:>9.1?}  limit {LIMIT:?}  ratio {ratio:.2} {verdict}"
    );
}

fn main() {
    let saves = match std::env::var("CARDEX_BENCH_SCALE") {
        Ok(scale) if scale == "small" => 20,
        _ => 200,
    };
    let place = tempfile::tempdir().expect("there is room");
    let root: PathBuf = place.path().join("tree");
    for directory in 0..40 {
        fs::create_dir_all(root.join(format!("d{directory}"))).expect("there is room");
    }
    for file in 0..FILES {
        save(&root, &path(file), "first");
    }
    let _following = Following::start(&root);
    let file = root.join(".cardex/cardex.db");
    let store = SqliteStore::open(file, "default", SqliteOptions::default()).expect("it opens");
    print("a save until another sees it", &run(&root, &store, saves));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = 0;
            while !is_over.load(Ordering::Relaxed) {
                save(
                    &root,
                    &format!("d0/other{}.py", turn % 100),
                    &format!("o{turn}"),
                );
                turn += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        print(
            "  while 200 others a second are made",
            &run(&root, &store, saves),
        );
        is_over.store(true, Ordering::Relaxed);
    });
}
