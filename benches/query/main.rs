//! Is a structured query answered at memory speed? Cardex against SQLite and tantivy, each with the best
//! index that it offers for the question, against `roaring` for counts, against one search over all
//! paths for path patterns, against the least work that any index must do (`REFQ`), and against the
//! design that cardex began from. Every answer is compared with the peers' before it is timed.
//!
//! `cargo bench --bench query`; `CARDEX_BENCH_SCALE=small` for a short run.

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
