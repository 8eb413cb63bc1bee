//! How long a commit of another process takes to be in the answers: while nothing else happens, and
//! while about two thousand are made a second. Who commits is a child of the bench, which tells when
//! each commit was done; the clock is one that all processes share.

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cardex::Cardex;
use rustix::time::{ClockId, clock_gettime};

use crate::common::race::{report, time};
use crate::common::{Random, small};
use crate::copy::{Copy, Foreign};

/// Names the database that a child process changes.
const CHILD: &str = "CARDEX_BENCH_SYNC_WRITER";
/// What the child is asked for: one commit after a moment, or as many as a second has for a while.
const ONE: u8 = b'1';
const MANY: u8 = b'*';
/// What it says at the end of many.
const END: &str = "end";

/// What the slowest commit of a hundred may take.
const IDLE: Duration = Duration::from_millis(50);
const BUSY: Duration = Duration::from_millis(250);
/// How often it is looked whether the index has come to a commit.
const GRAIN: Duration = Duration::from_micros(100);
/// The time between two commits of the busy case.
const PACE: Duration = Duration::from_micros(500);

/// The time that all processes share, in nanoseconds.
fn now() -> f64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Commits what the parent asks for, and tells of each commit when it was done and where the log ended.
pub(crate) fn child() {
    let path = std::env::var_os(CHILD).expect("the parent names a database");
    let mut foreign = Foreign::to(Path::new(&path));
    let mut commit = || {
        foreign.change();
        let committed = now();
        println!("{committed} {}", foreign.head());
    };
    let mut random = Random(5);
    for asked in std::io::stdin().lock().bytes() {
        match asked.expect("the parent reads to the end") {
            ONE => {
                // Each at another moment of the follower's rest.
                thread::sleep(Duration::from_micros(random.below(15_000) as u64));
                commit();
            }
            _ => {
                let begin = Instant::now();
                let mut due = begin;
                while begin.elapsed() < lasts() {
                    commit();
                    due += PACE;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
                println!("{END}");
            }
        }
    }
}

/// How long many commits are made.
fn lasts() -> Duration {
    Duration::from_secs(if small() { 1 } else { 5 })
}

pub(crate) fn run(copy: &Copy) {
    let cardex = copy.cardex(true);
    let mut writer = Writer::of(copy);
    let commits = if small() { 20 } else { 400 };
    let idle = writer.idle(&cardex, commits);
    tell("visible,idle", &idle, IDLE);
    let (busy, rate) = writer.busy(&cardex);
    let case = format!("visible,{rate:.0}-commits-a-second");
    tell(&case, &busy, BUSY);
    writer.end();
    cardex.shutdown();
}

fn tell(case: &str, times: &[f64], limit: Duration) {
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "bench=sync case={case},p50 peer=none ours={} n={}",
        time(at(50)),
        times.len()
    );
    let limit = limit.as_nanos() as f64;
    report(
        "sync",
        &format!("{case},p99"),
        "limit",
        at(99),
        limit,
        Some(1.0),
    );
}

fn sequence(cardex: &Cardex) -> u64 {
    let snapshot = cardex.snapshot().expect("it is loaded");
    snapshot.position().sequence
}

/// The process that commits.
struct Writer {
    process: Child,
    ask: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
}

impl Writer {
    fn of(copy: &Copy) -> Self {
        let program = std::env::current_exe().expect("this program has a file");
        let mut process = Command::new(program)
            .env(CHILD, &copy.database.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child can be started");
        let ask = process.stdin.take().expect("it is a pipe");
        let told = process.stdout.take().expect("it is a pipe");
        Writer {
            process,
            ask,
            told: BufReader::new(told).lines(),
        }
    }

    fn ask(&mut self, what: u8) {
        self.ask.write_all(&[what]).expect("the child lives");
    }

    /// Waits until the next commit that the child tells of is in the index, and returns how long that
    /// took from the end of the commit, in nanoseconds; nothing when the child has made many. One that
    /// was there long before it is looked for is counted as seen now: never too early.
    fn next(&mut self, cardex: &Cardex) -> Option<f64> {
        let line = self.told.next().expect("the child lives");
        let line = line.expect("the child writes text");
        if line == END {
            return None;
        }
        let (committed, head) = line.split_once(' ').expect("the child tells both");
        let committed: f64 = committed.parse().expect("the child tells a time");
        let head = head.parse().expect("the child tells a sequence");
        while sequence(cardex) < head {
            thread::sleep(GRAIN);
        }
        Some(now() - committed)
    }

    /// One commit after the other.
    fn idle(&mut self, cardex: &Cardex, commits: usize) -> Vec<f64> {
        let mut times = Vec::new();
        for _ in 0..commits {
            self.ask(ONE);
            times.extend(self.next(cardex));
        }
        times.sort_by(f64::total_cmp);
        times
    }

    /// Commits at a pace, and how many a second there were.
    fn busy(&mut self, cardex: &Cardex) -> (Vec<f64>, f64) {
        self.ask(MANY);
        let begin = Instant::now();
        let mut times: Vec<f64> = std::iter::from_fn(|| self.next(cardex)).collect();
        let rate = times.len() as f64 / begin.elapsed().as_secs_f64();
        times.sort_by(f64::total_cmp);
        (times, rate)
    }

    fn end(self) {
        let Writer {
            mut process, ask, ..
        } = self;
        drop(ask);
        let status = process.wait().expect("the child can be waited for");
        assert!(status.success(), "the child failed: {status}");
    }
}
