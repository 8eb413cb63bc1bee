//! A process may be killed at every step of an operation's life: while it is accepted, before and after
//! the journal is on the disk, while it is delivered, between the sink's commit and the journal's,
//! while what lay in the journal is replayed, and during the end. No acknowledged operation is lost,
//! those of a key have their effects in order, and each effect is made once.
//!
//! `CARDEX_TEST_JOURNAL_KILLS` sets how many are killed (300), a sixth at each step.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cardex::SystemClock;
use cardex::kv::write_behind::{Operation, Outcome, Sink, WriteBehind, WriteBehindOptions};
use fastrand::Rng;

use crate::sinks::SqliteSink;
use crate::*;

/// Where a child dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// At any moment of a stream of writes: before, while and after the journal waits for the disk.
    Accepting,
    /// With the sink, before its transaction is committed.
    Delivering,
    /// With the sink, after its transaction was committed, before the journal knows.
    Delivered,
    /// At any moment after it opened a journal that is not empty.
    Replaying,
    /// At any moment of the end.
    Ending,
    /// At any moment.
    Anywhere,
}

const STEPS: [Step; 6] = [
    Step::Accepting,
    Step::Delivering,
    Step::Delivered,
    Step::Replaying,
    Step::Ending,
    Step::Anywhere,
];
const STEP: &str = "CARDEX_TEST_JOURNAL_KILL_STEP";
const FOLDER: &str = "CARDEX_TEST_JOURNAL_KILL_FOLDER";
const SEED: &str = "CARDEX_TEST_JOURNAL_KILL_SEED";
const FIRST: &str = "CARDEX_TEST_JOURNAL_KILL_FIRST";
/// How many keys are written to, by as many threads as they are divided among.
const KEYS: u64 = 12;
const THREADS: u64 = 3;
/// Each child numbers its versions from a round thousand on.
const VERSIONS: u64 = 1_000_000;
/// Lives that a journal survives before everything is delivered and looked at.
const LIVES: usize = 5;

fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    loop {
        std::thread::park();
    }
}

fn die_after(time: Duration) {
    std::thread::spawn(move || {
        let moment = Instant::now() + time;
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        die();
    });
}

/// Dies within the so-manieth delivery.
struct Deadly {
    sink: SqliteSink,
    step: Step,
    left: AtomicU32,
}

impl Sink for Deadly {
    fn apply(&self, operations: &[Operation]) -> Vec<Outcome> {
        let is_last = self.left.fetch_sub(1, Ordering::SeqCst) == 1;
        self.sink.apply_with(operations, &|moment| {
            if is_last
                && matches!(
                    (self.step, moment),
                    (Step::Delivering, "before") | (Step::Delivered, "after")
                )
            {
                die();
            }
        })
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn options() -> WriteBehindOptions {
    // Small batches: many deliveries to die within.
    quick().full_wait(LONG).batch(5).unwrap()
}

/// The program that is killed: says what it tries, and what was acknowledged.
#[test]
#[ignore = "it is run, and killed, by the other test"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    std::thread::spawn(|| {
        std::thread::sleep(LONG);
        std::process::exit(3);
    });
    let step = std::env::var(STEP).unwrap();
    let step = STEPS.into_iter().find(|one| format!("{one:?}") == step);
    let step = step.unwrap();
    let mut random = Rng::with_seed(number(SEED).unwrap());
    let first = number(FIRST).unwrap();
    let micros = |random: &mut Rng, most| Duration::from_micros(random.u64(..most));
    let sink = Arc::new(Deadly {
        sink: SqliteSink::open(&folder.join("source.db")),
        step,
        left: AtomicU32::new(random.u32(1..12)),
    });
    if step == Step::Replaying {
        die_after(micros(&mut random, 20_000));
    }
    let file = folder.join("writes.journal");
    let journal = WriteBehind::open(file, options(), sink, Arc::new(SystemClock)).unwrap();
    match step {
        Step::Accepting => die_after(micros(&mut random, 30_000)),
        Step::Anywhere => die_after(micros(&mut random, 60_000)),
        _ => {}
    }
    let many = if step == Step::Ending { 40 } else { u64::MAX };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (journal, mut random) = (&journal, random.fork());
            scope.spawn(move || {
                for n in 0..many {
                    let key_number = random.u64(..KEYS / THREADS) * THREADS + thread;
                    let version = first + n;
                    let value = random.u32(..4) != 0;
                    let value = value.then(|| version.to_string().into_bytes().into());
                    say("try", key_number, version);
                    let key = key(&format!("k{key_number}"));
                    journal.write(&key, value, version).unwrap();
                    say("done", key_number, version);
                }
            });
        }
    });
    die_after(micros(&mut random, 3_000));
    journal.shutdown();
    loop {
        std::thread::park();
    }
}

/// A line in one piece: what is read is whole.
fn say(what: &str, key: u64, version: u64) {
    let line = format!("\n{what} {key} {version}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// The versions of a key that were tried, and the last one that was acknowledged.
#[derive(Debug, Default)]
struct Told {
    tried: Vec<u64>,
    acknowledged: u64,
}

/// What children said of each key.
#[derive(Debug, Default)]
struct History(Vec<Told>);

impl History {
    fn live_and_die(&mut self, folder: &Path, step: Step, life: u64, random: &mut Rng) -> usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kills::child", "--exact", "--ignored", "--nocapture"])
            .env(FOLDER, folder)
            .env(STEP, format!("{step:?}"))
            .env(SEED, random.u64(..).to_string())
            .env(FIRST, (life * VERSIONS + 1).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            let [what @ ("try" | "done"), key, version] = words[..] else {
                continue;
            };
            let told = &mut self.0[key.parse::<usize>().unwrap()];
            let version = version.parse().unwrap();
            if what == "try" {
                told.tried.push(version);
            } else {
                told.acknowledged = version;
                acknowledged += 1;
            }
        }
        let status = child.wait().unwrap();
        assert_eq!(
            status.signal(),
            Some(9),
            "{step:?}: it died of nothing else"
        );
        acknowledged
    }

    /// What is in the journal or at the source is no older than what was acknowledged.
    fn assert_held(&self, sink: &SqliteSink, journal: &WriteBehind) {
        for (at, told) in self.0.iter().enumerate() {
            let name = format!("k{at}");
            let pending = journal.pending(&key(&name));
            let stored = sink.value(&name).map(|(version, _)| version);
            let pending = pending.map(|pending| pending.operation.version);
            let held = pending.max(stored).unwrap_or(0);
            assert!(held >= told.acknowledged, "{name}: {held} of {told:?}");
        }
    }

    /// Everything is at the source, each effect once, in order.
    fn assert_delivered(&self, sink: &SqliteSink) {
        let mut last = vec![0; self.0.len()];
        for (name, _, version) in sink.effects() {
            let at: usize = name[1..].parse().unwrap();
            assert!(version > last[at], "{name}: {version} after {}", last[at]);
            assert!(self.0[at].tried.contains(&version), "{name}: {version}");
            last[at] = version;
        }
        for (at, told) in self.0.iter().enumerate() {
            let name = format!("k{at}");
            assert!(
                last[at] >= told.acknowledged,
                "{name}: {} of {told:?}",
                last[at]
            );
            if let Some((version, Some(value))) = sink.value(&name) {
                assert_eq!(value, version.to_string().into_bytes());
            }
        }
    }
}

#[test]
fn whenever_it_is_killed_no_acknowledged_operation_is_lost_and_each_effect_is_made_once() {
    let kills = number("CARDEX_TEST_JOURNAL_KILLS").unwrap_or(300);
    let mut random = Rng::with_seed(number("CARDEX_TEST_SEED").unwrap_or_else(|| {
        let seed = fastrand::u64(..);
        println!("CARDEX_TEST_SEED={seed}");
        seed
    }));
    let (mut place, mut history) = (Place::new(), History::default());
    let (mut acknowledged, mut replayed, mut effects) = ([0; 6], 0, 0);
    let start = Instant::now();
    let mut lives = 0;
    for life in 1..=kills {
        history.0.resize_with(KEYS as usize, Told::default);
        let at = random.usize(..STEPS.len());
        acknowledged[at] += history.live_and_die(place.0.path(), STEPS[at], life, &mut random);
        lives += 1;
        let source = place.0.path().join("source.db");
        if lives < LIVES && life < kills && random.u32(..4) != 0 {
            continue;
        }
        let sink = Arc::new(SqliteSink::open(&source));
        // Nothing is delivered yet: what is pending is what lay in the journal.
        let held = crate::sinks::Scripted::new(|_| crate::sinks::Act::Vanish);
        let journal = place.open(options().shutdown_wait(Duration::ZERO), held);
        history.assert_held(&sink, &journal);
        replayed += journal.stats().replayed;
        drop(journal);
        if lives >= LIVES || life == kills {
            let journal = place.open(options(), sink.clone());
            assert_eq!(journal.flush(LONG), 0);
            assert_eq!(journal.stats().dead_letters, 0);
            drop(journal);
            history.assert_delivered(&sink);
            effects += sink.effects().len();
            (place, history, lives) = (Place::new(), History::default(), 0);
        }
    }
    println!(
        "{kills} killed, acknowledged {acknowledged:?} by step, {replayed} replayed, {effects} effects, {:?}",
        start.elapsed()
    );
    if kills >= 100 {
        assert!(acknowledged.iter().sum::<usize>() > 100 && replayed > 20 && effects > 100);
    }
}
