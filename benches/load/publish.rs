//! Publishing one commit of one file while many are outstanding, without a database: what the index alone
//! needs to take a change in and show it.

use std::sync::Arc;
use std::time::Instant;

use crate::common::corpus::Corpus;
use crate::common::race::time;
use crate::common::small;
use crate::common::store::CorpusStore;

/// Commits that leave 4,096 files outstanding, in as many tiers as they can be in.
const OUTSTANDING: [usize; 6] = [3120, 775, 160, 33, 7, 1];
/// The files touched are this far apart, so that none is touched twice.
const STRIDE: usize = 7919;
const COMMITS: usize = 1_000;

pub(crate) fn run((files, label): (usize, &str)) {
    let corpus = Arc::new(Corpus::new(files));
    let (store, index, sync) = CorpusStore::indexed(&corpus);
    let mut touched = (0..).map(|at| at * STRIDE % files);
    for commit in OUTSTANDING {
        store.touch(touched.by_ref().take(commit));
        sync.incremental().expect("a corpus can be scanned");
    }
    let (outstanding, tiers) = (index.snapshot().outstanding(), index.snapshot().tiers());
    let commits = if small() { 100 } else { COMMITS };
    let mut times: Vec<f64> = touched
        .take(commits)
        .map(|file| {
            store.touch([file]);
            let start = Instant::now();
            sync.incremental().expect("a corpus can be scanned");
            start.elapsed().as_nanos() as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "bench=load case=publish,one-file,outstanding={outstanding},tiers={tiers},{label} peer=none \
         ours={} mean={} p99={}",
        time(times[times.len() / 2]),
        time(times.iter().sum::<f64>() / times.len() as f64),
        time(times[times.len() * 99 / 100]),
    );
}
