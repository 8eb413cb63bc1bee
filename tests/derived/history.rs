//! Processes that answer from results, in memory and in a file that outlives them, while files change and
//! processes are killed: no answer is older than what was on disk before it was asked for.
//!
//! `CARDEX_TEST_DERIVED_ANSWERS` sets how many answers are checked (100,000), `CARDEX_TEST_SEED` repeats who
//! is killed when.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::world::World;

const FILES: usize = 20;
const READERS: usize = 3;
/// The place of a child process: told by a variable, without which it is no child.
pub const PLACE: &str = "CARDEX_TEST_DERIVED_PLACE";
pub const TREE: &str = "CARDEX_TEST_DERIVED_TREE";
/// Far more than it takes: a machine that does other work takes its time.
const DEADLINE: Duration = Duration::from_secs(900);

pub fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

/// Puts a number in the place of another one, at once.
pub fn replace(path: &Path, number: u64) {
    let aside = path.with_extension("new");
    fs::write(&aside, number.to_string()).unwrap();
    fs::rename(aside, path).unwrap();
}

pub fn read(path: &Path) -> u64 {
    fs::read_to_string(path).unwrap().parse().unwrap()
}

/// Writers number what they write: first the file, then what may be counted on.
fn write_on(tree: &Path, done: &AtomicBool) {
    let mut random = fastrand::Rng::with_seed(1);
    let mut n = 0;
    while !done.load(Ordering::SeqCst) {
        n += 1;
        let at = random.usize(0..FILES);
        let file = tree.join(format!("d{}/f{at}", at % 4));
        match random.u32(0..10) {
            // In place: a reader may see half of it, and nothing is claimed of that.
            0 => fs::write(&file, n.to_string()).unwrap(),
            _ => replace(&file, n),
        }
        replace(&tree.join(format!("known/f{at}")), n);
        // As fast as a person's tools, not as fast as the disk.
        if n.is_multiple_of(8) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// A process that answers, and compares each answer with what was known before it asked.
#[test]
#[ignore = "the program that the history runs"]
fn reader() {
    let Ok(place) = std::env::var(PLACE) else {
        panic!("{PLACE} is set by the history");
    };
    let tree = PathBuf::from(std::env::var(TREE).unwrap());
    let world = World::durable_at(Path::new(&place), &tree);
    let mut random = fastrand::Rng::new();
    let mut answers = 0_u64;
    loop {
        let at = random.usize(0..FILES);
        let known = read(&tree.join(format!("known/f{at}")));
        let path = format!("d{}/f{at}", at % 4);
        let answered = match random.u32(0..4) {
            0 => world.sum(&format!("d{}", at % 4), &path),
            _ => world.read(&path).0.parse().ok(),
        };
        if let Some(answered) = answered {
            assert!(answered >= known, "{path}: {answered}, {known} was known");
            answers += 1;
        }
        if answers.is_multiple_of(100) {
            println!("answers {answers} made {}", world.made());
        }
    }
}

impl World {
    /// What a tool that reads a whole directory says of one file in it.
    fn sum(&self, directory: &str, path: &str) -> Option<u64> {
        let arguments = serde_json::json!({"dir": directory, "of": path});
        let number = self.run("in_directory", &arguments, |_| {
            Ok(self.contents(path)?.parse::<u64>().ok())
        });
        number.unwrap()
    }
}

/// A process that answers.
struct Reader {
    child: Child,
    counted: Arc<AtomicU64>,
}

impl Reader {
    /// `program` is the name of the test that it runs.
    fn start(program: &str, place: &Path, tree: &Path, total: &Arc<AtomicU64>) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([program, "--exact", "--ignored", "--nocapture"])
            .env(PLACE, place)
            .env(TREE, tree)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let counted = Arc::new(AtomicU64::new(0));
        let (ours, total) = (Arc::clone(&counted), Arc::clone(total));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let count = line.strip_prefix("answers ");
                let count = count.and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
                if let Some(count) = count {
                    total.fetch_add(count - ours.swap(count, Ordering::SeqCst), Ordering::SeqCst);
                }
            }
        });
        Reader { child, counted }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has readers answer so often, and kills one of them every now and then; `beside` is called each time. How
/// often that was.
pub fn kill_readers_until(
    wanted: u64,
    program: &str,
    home: &Path,
    tree: &Path,
    mut beside: impl FnMut(),
) -> u64 {
    let mut random = fastrand::Rng::with_seed(number("CARDEX_TEST_SEED", 7));
    let total = Arc::new(AtomicU64::new(0));
    let start = |n: usize| {
        let place = home.join(format!("reader{n}"));
        Reader::start(program, &place, tree, &total)
    };
    let begun = Instant::now();
    let mut readers: Vec<Reader> = (0..READERS).map(start).collect();
    let every = (wanted / 20).clamp(500, 2000);
    let (mut kills, mut next) = (0, every);
    while total.load(Ordering::SeqCst) < wanted {
        assert!(
            begun.elapsed() < DEADLINE,
            "{total:?} answers within {DEADLINE:?}"
        );
        for reader in &mut readers {
            let ended = reader.child.try_wait().unwrap();
            assert!(ended.is_none(), "a reader found something: {ended:?}");
        }
        if total.load(Ordering::SeqCst) > next {
            next += every;
            kills += 1;
            let n = random.usize(0..READERS);
            // Ended before it begins again: its file has one owner.
            readers[n].child.kill().unwrap();
            readers[n].child.wait().unwrap();
            readers[n] = start(n);
            beside();
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let counted = |reader: &Reader| reader.counted.load(Ordering::SeqCst);
    let last: Vec<u64> = readers.iter().map(counted).collect();
    let took = begun.elapsed();
    eprintln!("{total:?} answers, {kills} kills, {took:.1?}; of the last readers {last:?}");
    kills
}

#[test]
fn no_answer_is_older_than_what_was_known_whoever_is_killed() {
    let wanted = number("CARDEX_TEST_DERIVED_ANSWERS", 100_000);
    let home = tempfile::tempdir().unwrap();
    let tree = home.path().canonicalize().unwrap().join("tree");
    fs::create_dir_all(tree.join("known")).unwrap();
    for at in 0..FILES {
        fs::create_dir_all(tree.join(format!("d{}", at % 4))).unwrap();
        replace(&tree.join(format!("d{}/f{at}", at % 4)), 0);
        replace(&tree.join(format!("known/f{at}")), 0);
    }
    let done = AtomicBool::new(false);
    let kills = std::thread::scope(|scope| {
        let ends = EndsWith(&done);
        scope.spawn(|| write_on(&tree, &done));
        let kills = kill_readers_until(wanted, "history::reader", home.path(), &tree, || {});
        drop(ends);
        kills
    });
    assert!(kills > 10);
}

/// Lets a thread end, also when a test has failed.
struct EndsWith<'d>(&'d AtomicBool);

impl Drop for EndsWith<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
