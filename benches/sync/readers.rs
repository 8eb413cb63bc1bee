//! What a query notices of a full synchronisation that goes on beside it.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cardex::{Cardex, Query, SyncMode};

use crate::common::race::report;
use crate::common::small;
use crate::copy::Copy;

/// Beside a full pass, the slowest query of a hundred takes at most 1.5 times as long.
const TARGET: f64 = 0.67;

pub(crate) fn run(copy: &Copy) {
    let cardex = copy.cardex(false);
    let lasts = Duration::from_secs(if small() { 1 } else { 3 });
    let idle = times(&cardex, lasts);
    let stop = AtomicBool::new(false);
    let (busy, passes) = thread::scope(|scope| {
        let passes = scope.spawn(|| {
            let mut passes = 0;
            while !stop.load(Ordering::Relaxed) {
                cardex.sync(SyncMode::Full).expect("it can be read");
                passes += 1;
            }
            passes
        });
        let busy = times(&cardex, lasts);
        stop.store(true, Ordering::Relaxed);
        (busy, passes.join().expect("the passes did not panic"))
    });
    assert!(passes > 0);
    let label = copy.database.label;
    for (share, name, target) in [(50, "p50", None), (99, "p99", Some(TARGET))] {
        let at = |times: &[f64]| times[(times.len() - 1) * share / 100];
        let case = format!("query-during-full-sync,{name},{label}");
        report("sync", &case, "idle", at(&busy), at(&idle), target);
    }
}

/// How long each query took, in order, by the clock.
fn times(cardex: &Cardex, lasts: Duration) -> Vec<f64> {
    let query = Query::builder().language("java").function("run").limit(20);
    let query = query.build().expect("it makes sense");
    let found = cardex.query(&query).expect("it is loaded").total();
    assert!(found > 0, "the query has something to do");
    let begin = Instant::now();
    let mut times = Vec::new();
    while begin.elapsed() < lasts {
        let start = Instant::now();
        black_box(cardex.query(&query).expect("it is loaded").total());
        times.push(start.elapsed().as_nanos() as f64);
    }
    times.sort_by(f64::total_cmp);
    times
}
