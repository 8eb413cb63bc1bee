//! The race: ours and theirs in turns, in one thread, and the median of each. Ratios hold where
//! absolute times drift. What is counted is the thread's own processor time: it is the time that
//! passes on a machine that does nothing else, and hardly moves on one that does.

use std::time::{Duration, Instant};

use super::small;

/// A case goes on for this many rounds, or until it has taken this long, but three at least.
const ROUNDS: usize = 21;
const BUDGET: Duration = Duration::from_secs(20);
/// A turn goes on for this long: what the others left in the processor's caches is forgotten early
/// in it, as it would be in a program that does nothing else.
const TURN: Duration = Duration::from_millis(10);

/// One runner: does all of a case's operations once. It is called again and again.
pub(crate) type Runner<'r> = &'r mut dyn FnMut();

/// The median time of one of the `operations` that each runner does a call, in nanoseconds.
pub(crate) fn race<const N: usize>(operations: usize, runners: [Runner<'_>; N]) -> [f64; N] {
    let (rounds, budget, turn) = match small() {
        true => (3, Duration::from_secs(1), Duration::from_millis(1)),
        false => (ROUNDS, BUDGET, TURN),
    };
    let mut times = [const { Vec::new() }; N];
    let begin = Instant::now();
    while times[0].len() < 3 || (times[0].len() < rounds && begin.elapsed() < budget) {
        for (at, times) in times.iter_mut().enumerate() {
            let (start, worked) = (Instant::now(), processor_time());
            let mut runs = 0;
            while runs == 0 || start.elapsed() < turn {
                runners[at]();
                runs += 1;
            }
            let worked = processor_time().saturating_sub(worked);
            times.push(worked.as_nanos() as f64 / (runs * operations) as f64);
        }
    }
    times.map(median)
}

/// How long this thread has worked.
pub(crate) fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    // Neither field is negative on a clock that counts from the thread's start.
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints a case: the ratio is theirs to ours, at least the target if there is one.
pub(crate) fn report(
    bench: &str,
    case: &str,
    peer: &str,
    ours: f64,
    theirs: f64,
    target: Option<f64>,
) {
    let ratio = theirs / ours;
    let verdict = match target {
        None => String::new(),
        Some(target) if ratio >= target => format!(" target={target} ok"),
        Some(target) => format!(" target={target} short"),
    };
    println!(
        "bench={bench} case={case} peer={peer} ours={} theirs={} ratio={ratio:.2}{verdict}",
        time(ours),
        time(theirs),
    );
}

/// A time for people, from nanoseconds.
pub(crate) fn time(nanos: f64) -> String {
    match nanos {
        ..1e5 => format!("{:.3}us", nanos / 1e3),
        ..1e8 => format!("{:.2}ms", nanos / 1e6),
        _ => format!("{:.2}s", nanos / 1e9),
    }
}
