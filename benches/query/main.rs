//! Is a structured query answered at memory speed? Cardex against SQLite and tantivy, each with the best
//! index that it offers for the question, against `roaring` for counts, against one search over all
//! paths for path patterns, against the least work that any index must do (`REFQ`), and against the
//! design that cardex began from. Every answer is compared with the peers' before it is timed.
//!
//! `cargo bench --bench query`; `CARDEX_BENCH_SCALE=small` for a short run.
//!
//! On 2 cores (AMD EPYC), 100,000 and 1,000,000 files; a ratio is theirs to ours, so more is better. From
//! run to run the times of the first 20 differ by up to a half:
//!
//! ```text
//! first 20                    ours           SQLite (8)   tantivy (6)  by column    REFQ
//! language, function          0.46  1.35 us  13   5.7     8.1  6.5     3.3  1.9     0.41 0.67
//! language, frequent function 0.33  0.40 us  16   16      9.0  10      3.9  5.1     0.33 0.70
//! language, foreign function  0.56  2.55 us  9.8  2.7     6.7  4.3     4.7  5.5     0.57 1.1
//! language, class, document   0.36  1.11 us  30   14      14   15      9.0  7.9     0.99 1.8
//! two functions               0.61  1.48 us  21   13      6.0  3.5     5.7  3.4     0.67 0.97
//!   the same with 4,096 files outstanding in 6 tiers:
//! language, function          1.46  2.75 us  4.0  3.1     2.6  3.5     1.1  1.1     0.14 0.50
//! language, frequent function 1.17  1.59 us  4.7  4.7     2.5  2.9     1.1  1.4     0.09 0.48
//! language, foreign function  1.44  3.98 us  3.8  1.9     2.6  2.9     1.8  3.7     0.25 0.80
//! language, class, document   1.01  1.70 us  11   9.6     5.3  10      3.4  5.4     0.76 1.5
//! two functions               1.47  2.51 us  8.7  8.2     2.5  2.2     2.3  2.2     0.31 0.67
//!
//! count                       ours           roaring (0.83)
//! language, document          1.01  8.93 us  1.17  1.05
//! two documents               1.00  8.99 us  1.18  1.05
//!
//! all paths that match        ours                arena (0.9)  loop
//! literal-rare                0.24ms    4.34ms    1.0   1.0    6.2   3.7
//! literal-inside              1.47ms    13.44ms   1.1   1.0    2.2   2.5
//! suffix-common               3.08ms    30.16ms   1.4   1.4    1.1   1.1
//! alternation                 0.92ms    8.28ms    1.1   1.0    4.4   3.9
//! no-literal                  16.37ms   0.17s     1.0   1.0    1.1   1.1
//! no-literal-none             3.54ms    37.98ms   1.0   1.1    1.5   1.6
//! prefix                      13.653us  14.096us  43    347    184   1861
//! prefix-and-more             17.52ms   41.62ms   1.0   4.3    1.1   1.6
//! glob-suffix                 0.49ms    7.20ms    1.4   1.2    4.8   3.5
//! glob                        17.77ms   42.05ms   1.0   4.2    1.1   1.6
//!
//! groups, first 20, 20,000 files, on a busy machine (short run)
//!                             ours     SQLite (8)   with 4,096 outstanding in 6 tiers
//! two functions, one of them  1.15 us  7.4          2.78 us  3.0
//!   in a language             1.52 us  6.6          3.77 us  2.9
//! function, not another       1.17 us  8.2          2.47 us  4.2
//! function, not in a language 1.24 us  7.7          2.44 us  4.2
//!
//! the source design, language and function, 100,000 files: 8.48ms
//! ```

#[expect(dead_code, reason = "each bench uses another part of it")]
#[path = "../common/mod.rs"]
mod common;
mod dense;
mod groups;
mod lists;
mod paths;
mod questions;
mod source_design;
mod sqlite_peer;
mod structured;
mod tantivy_peer;

use std::sync::Arc;

use cardex::Snapshot;

use self::common::corpus::Corpus;
use self::common::race::report;
use self::common::store::CorpusStore;
use self::common::{Random, small};
use self::lists::{Lists, Reference};
use self::paths::Arena;
use self::questions::{Drawer, Question};
use self::sqlite_peer::Sqlite;
use self::tantivy_peer::Tantivy;

/// Commits of these many files each leave as many tiers as 4,096 outstanding files can make: each is
/// more than four times as large as the next, so none is merged with its neighbour.
const OUTSTANDING: [usize; 6] = [3120, 775, 160, 33, 7, 1];
/// The files touched are this far apart, so that none is touched twice.
const STRIDE: usize = 7919;

fn main() {
    let sizes: &[(usize, &str)] = match small() {
        true => &[(20_000, "20k")],
        false => &[(100_000, "100k"), (1_000_000, "1m")],
    };
    for &(files, label) in sizes {
        let corpus = Arc::new(Corpus::new(files));
        let lists = Lists::new(&corpus);
        let bench = Bench::new(&corpus, &lists, label);
        let cases = bench.cases();
        let (store, index, sync) = CorpusStore::indexed(&corpus);
        structured::run(&bench, &cases, &index);
        groups::run(&bench, &index);
        dense::run(&bench, &index);
        paths::run(&bench, &index);
        source_design::run(&bench, &cases[0].1, &index);
        let mut touched = (0..).map(|at| at * STRIDE % files);
        for commit in OUTSTANDING {
            store.touch(touched.by_ref().take(commit));
            sync.incremental().expect("a corpus can be scanned");
        }
        structured::run(&bench, &cases, &index);
        groups::run(&bench, &index);
    }
}

/// A corpus, and the peers over it.
struct Bench<'c> {
    corpus: &'c Corpus,
    label: &'c str,
    lists: &'c Lists,
    reference: Reference<'c>,
    arena: Arena,
    sqlite: Sqlite,
    tantivy: Tantivy,
}

/// Questions of several kinds, by name.
type Cases = [(&'static str, Vec<Question>); 5];

impl<'c> Bench<'c> {
    fn new(corpus: &'c Corpus, lists: &'c Lists, label: &'c str) -> Self {
        Bench {
            corpus,
            label,
            reference: Reference::new(corpus, lists),
            arena: Arena::new(corpus),
            sqlite: Sqlite::new(corpus, lists).expect("SQLite takes the lists"),
            tantivy: Tantivy::new(corpus).expect("tantivy takes the files"),
            lists,
        }
    }

    fn drawer(&self) -> Drawer<'_> {
        Drawer {
            corpus: self.corpus,
            lists: self.lists,
            random: Random(1),
        }
    }

    fn cases(&self) -> Cases {
        let mut drawer = self.drawer();
        [
            ("lang+func", drawer.language_function()),
            ("lang+func-frequent", drawer.language_frequent()),
            ("lang+func-foreign", drawer.language_foreign()),
            ("lang+class+ref", drawer.language_class_reference()),
            ("func+func", drawer.two_functions()),
        ]
    }

    /// Compares the answer to a question with a peer's.
    fn check(&self, peer: &str, question: &Question, snapshot: &Arc<Snapshot>, theirs: &[u32]) {
        let ours = snapshot.search(&question.query);
        let theirs = theirs.iter().map(|&file| self.arena.path(file));
        let both = || {
            (
                ours.paths().collect::<Vec<_>>(),
                theirs.clone().collect::<Vec<_>>(),
            )
        };
        assert!(
            ours.paths().eq(theirs.clone()),
            "{peer}: {}: {:?}",
            question.query,
            both()
        );
    }

    fn report(&self, case: &str, peer: &str, ours: f64, theirs: f64, target: Option<f64>) {
        report(
            "query",
            &format!("{case},{}", self.label),
            peer,
            ours,
            theirs,
            target,
        );
    }
}
