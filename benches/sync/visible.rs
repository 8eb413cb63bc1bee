//! How long a commit of another connection takes to be in the answers: while nothing else happens, and
//! while about two thousand are made a second.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use cardex::Cardex;

use crate::common::race::{report, time};
use crate::common::{Random, small};
use crate::copy::{Copy, Foreign};

/// What the slowest commit of a hundred may take.
const IDLE: Duration = Duration::from_millis(50);
const BUSY: Duration = Duration::from_millis(250);
/// How often it is looked whether the index has come to a commit.
const GRAIN: Duration = Duration::from_micros(100);
/// The time between two commits of the busy case.
const PACE: Duration = Duration::from_micros(500);

pub(crate) fn run(copy: &Copy) {
    let cardex = copy.cardex(true);
    let mut foreign = copy.foreign();
    let commits = if small() { 20 } else { 400 };
    let idle = idle(&cardex, &mut foreign, commits);
    tell("visible,idle", &idle, IDLE);
    let lasts = Duration::from_secs(if small() { 1 } else { 5 });
    let (busy, rate) = busy(&cardex, foreign, lasts);
    tell(&format!("visible,{rate:.0}-commits-a-second"), &busy, BUSY);
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

/// One commit after the other, each at another moment of the follower's rest.
fn idle(cardex: &Cardex, foreign: &mut Foreign, commits: usize) -> Vec<f64> {
    let mut random = Random(5);
    let mut times = Vec::new();
    for _ in 0..commits {
        thread::sleep(Duration::from_micros(random.below(15_000) as u64));
        foreign.change();
        let committed = Instant::now();
        let head = foreign.head();
        while sequence(cardex) < head {
            thread::sleep(GRAIN);
        }
        times.push(committed.elapsed().as_nanos() as f64);
    }
    times.sort_by(f64::total_cmp);
    times
}

/// Commits at a pace; another thread notes when each is there. Returns how many a second there were.
fn busy(cardex: &Cardex, mut foreign: Foreign, lasts: Duration) -> (Vec<f64>, f64) {
    let (tell, told) = mpsc::channel::<(Instant, u64)>();
    let begin = Instant::now();
    let writer = thread::spawn(move || {
        let mut due = begin;
        while begin.elapsed() < lasts {
            foreign.change();
            let committed = Instant::now();
            // Whoever waits for them may have ended.
            let _ = tell.send((committed, foreign.head()));
            due += PACE;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        begin.elapsed()
    });
    let mut times = Vec::new();
    for (committed, head) in told {
        while sequence(cardex) < head {
            thread::sleep(GRAIN);
        }
        // One that was there long before it is looked for is counted as seen now: never too early.
        times.push(committed.elapsed().as_nanos() as f64);
    }
    let lasted = writer.join().expect("the writer did not panic");
    let rate = times.len() as f64 / lasted.as_secs_f64();
    times.sort_by(f64::total_cmp);
    (times, rate)
}
