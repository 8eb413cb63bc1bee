//! The race: ours and theirs in turns, in one thread, and the median of each. Ratios hold where
//! absolute times drift.

use std::time::{Duration, Instant};

use super::small;

/// A case goes on for this many rounds, or until it has taken this long, but three at least.
const ROUNDS: usize = 31;
const BUDGET: Duration = Duration::from_secs(20);

/// One runner: does all of a case's operations once.
pub(crate) type Runner<'r> = &'r mut dyn FnMut();

/// The median time of one of the `operations` that each runner does a turn, in nanoseconds.
pub(crate) fn race<const N: usize>(operations: usize, runners: [Runner<'_>; N]) -> [f64; N] {
    let (rounds, budget) = match small() {
        true => (3, Duration::from_secs(1)),
        false => (ROUNDS, BUDGET),
    };
    let mut times = [const { Vec::new() }; N];
    let begin = Instant::now();
    while times[0].len() < 3 || (times[0].len() < rounds && begin.elapsed() < budget) {
        for (at, times) in times.iter_mut().enumerate() {
            let start = Instant::now();
            runners[at]();
            times.push(start.elapsed().as_nanos() as f64 / operations as f64);
        }
    }
    times.map(median)
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
