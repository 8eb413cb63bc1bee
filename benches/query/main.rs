//! Is a structured query answered at memory speed? Cardex against SQLite and tantivy, each with the best
//! index that it offers for the question, against `roaring` for counts, against one search over all
//! paths for path patterns, against the least work that any index must do (`REFQ`), and against the
//! design that cardex began from. Every answer is compared with the peers' before it is timed.
//!
//! `cargo bench --bench query`; `CARDEX_BENCH_SCALE=small` for a short run.
//!
//! On 2 busy cores (AMD EPYC), 100,000 and 1,000,000 files; a ratio is theirs to ours, so more is better:
//!
//! ```text
//! first 20                    ours           SQLite (8)   tantivy (6)  by column    REFQ
//! language, function          1.34  2.36 us  4.8   3.5    2.9   3.8    1.4   1.2    0.28  0.53
//! language, frequent function 0.76  1.03 us  8.2   6.8    4.0   4.1    2.0   2.0    0.21  0.58
//! language, foreign function  1.66  9.88 us  3.6   0.8    2.4   1.2    1.8   1.6    0.30  0.32
//! language, class, document   0.99  2.14 us  12    7.9    5.4   8.0    3.6   4.3    0.79  1.22
//! two functions               1.34  2.30 us  9.8   8.9    2.9   2.5    2.8   2.4    0.51  0.79
//!   the same, 100,000 files, 4,096 outstanding in 6 tiers:
//! language, function          2.28 us        2.7          1.7          0.8          0.24
//! language, frequent function 1.72 us        3.6          1.8          0.9          0.08
//! language, foreign function  2.82 us        2.1          1.4          1.1          0.22
//! language, class, document   1.49 us        8.1          3.7          2.4          0.59
//! two functions               2.08 us        6.4          1.9          1.9          0.34
//!
//! count                       ours           roaring (0.83)
//! language, document          1.01  9.03 us  1.18  1.04
//! two documents               1.04  9.18 us  1.14  1.03
//!
//! all paths that match        ours           arena (0.9)  loop
//! literal-rare                0.32  4.15 ms  0.96  1.01   5.3   4.6
//! literal-inside              1.65  14.2 ms  1.02  1.02   2.1   2.5
//! suffix-common               4.61  44.8 ms  0.82  0.82   0.8   0.8
//! alternation                 0.80  8.32 ms  1.00  1.01   3.9   4.0
//! no-literal                  16.5  170 ms   1.01  1.00   1.2   1.2
//! no-literal-none             3.69  37.1 ms  1.00  1.00   1.5   1.5
//! prefix                      22.4  22.6 us  27    222    118   1216
//! prefix-and-more             17.8  42.4 ms  1.00  4.21   1.1   1.6
//! glob-suffix                 18.5  190 ms   0.04  0.04   0.1   0.1
//! glob                        17.9  42.4 ms  1.00  4.19   1.1   1.6
//!
//! the source design, language and function, 100,000 files: 9.8 ms
//! ```

#[expect(dead_code, reason = "each bench uses another part of it")]
#[path = "../common/mod.rs"]
mod common;
mod dense;
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
        dense::run(&bench, &index);
        paths::run(&bench, &index);
        source_design::run(&bench, &cases[0].1, &index);
        let mut touched = (0..).map(|at| at * STRIDE % files);
        for commit in OUTSTANDING {
            store.touch(touched.by_ref().take(commit));
            sync.incremental().expect("a corpus can be scanned");
        }
        structured::run(&bench, &cases, &index);
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
