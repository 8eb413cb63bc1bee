//! Is a structured query answered at memory speed? Cardex against SQLite and tantivy, each with the best
//! index that it offers for the question, against `roaring` for counts, against one search over all
//! paths for path patterns, against the least work that any index must do (`REFQ`), and against the
//! design that cardex began from. Every answer is compared with the peers' before it is timed.
//!
//! `cargo bench --bench query`; `CARDEX_BENCH_SCALE=small` for a short run.

#[path = "../common/mod.rs"]
mod common;
mod lists;
mod paths;
mod questions;
mod source_design;
mod sqlite_peer;
mod tantivy_peer;

use std::hint::black_box;
use std::sync::Arc;

use cardex::{Index, Snapshot};
use roaring::RoaringBitmap;

use self::common::corpus::Corpus;
use self::common::race::{race, report};
use self::common::store::CorpusStore;
use self::common::{Random, small};
use self::lists::{Lists, Reference};
use self::paths::{Arena, loop_over};
use self::questions::{Drawer, Question};
use self::source_design::SourceDesign;
use self::sqlite_peer::Sqlite;
use self::tantivy_peer::{Tantivy, WAYS, Way};

/// How many questions the design that cardex began from is asked: it takes its time.
const SOURCE_QUESTIONS: usize = 4;

/// Commits of these many files each leave as many tiers as 4,096 outstanding files can make: each is
/// more than four times as large as the next, so none is merged with its neighbour.
const OUTSTANDING: [usize; 6] = [3120, 775, 160, 33, 7, 1];

fn main() {
    let sizes: &[(usize, &str)] = match small() {
        true => &[(20_000, "20k")],
        false => &[(100_000, "100k"), (1_000_000, "1m")],
    };
    for &(files, label) in sizes {
        let corpus = Arc::new(Corpus::new(files));
        let bench = Bench::new(&corpus, label);
        let (store, index, sync) = CorpusStore::indexed(&corpus);
        let questions = bench.questions();
        structured(&bench, &questions, &index);
        dense(&bench, &index);
        patterns(&bench, &index);
        source_design(&bench, &questions[0].1, &index);
        let mut random = Random(2);
        for commit in OUTSTANDING {
            store.touch((0..commit).map(|_| random.below(files)));
            sync.incremental().expect("a corpus can be scanned");
        }
        outstanding(&bench, &questions, &index);
    }
}

/// A corpus, and the peers over it.
struct Bench<'c> {
    corpus: &'c Corpus,
    label: &'c str,
    lists: Lists,
    arena: Arena,
    sqlite: Sqlite,
    tantivy: Tantivy,
}

type Cases = [(&'static str, Vec<Question>); 5];

impl<'c> Bench<'c> {
    fn new(corpus: &'c Corpus, label: &'c str) -> Self {
        let lists = Lists::new(corpus);
        Bench {
            corpus,
            label,
            arena: Arena::new(corpus),
            sqlite: Sqlite::new(corpus, &lists).expect("SQLite takes the lists"),
            tantivy: Tantivy::new(corpus).expect("tantivy takes the files"),
            lists,
        }
    }

    fn drawer(&self) -> Drawer<'_> {
        Drawer {
            corpus: self.corpus,
            lists: &self.lists,
            random: Random(1),
        }
    }

    fn questions(&self) -> Cases {
        let mut drawer = self.drawer();
        [
            ("lang+func", drawer.language_function()),
            ("lang+func-frequent", drawer.language_frequent()),
            ("lang+func-foreign", drawer.language_foreign()),
            ("lang+class+ref", drawer.language_class_reference()),
            ("func+func", drawer.two_functions()),
        ]
    }

    /// Asks every question once and compares the answer with `theirs`.
    fn check(
        &self,
        peer: &str,
        questions: &[Question],
        snapshot: &Arc<Snapshot>,
        mut theirs: impl FnMut(usize, &mut Vec<u32>),
    ) {
        let mut found = Vec::new();
        for (at, question) in questions.iter().enumerate() {
            found.clear();
            theirs(at, &mut found);
            let ours = snapshot.search(&question.query);
            let same = ours
                .paths()
                .eq(found.iter().map(|&file| self.arena.path(file)));
            let paths = || ours.paths().collect::<Vec<_>>();
            assert!(same, "{peer}: {}\n{found:?}\n{:?}", question.query, paths());
        }
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

fn ask_ours(index: &Index, questions: &[Question]) {
    for question in questions {
        black_box(index.snapshot().search(black_box(&question.query)));
    }
}

fn structured(bench: &Bench<'_>, cases: &Cases, index: &Index) {
    let reference = Reference::new(bench.corpus, &bench.lists);
    for (case, questions) in cases {
        let mut sqlite = bench
            .sqlite
            .asker(questions)
            .expect("the statements are good");
        let mut ask_sqlite = |at: usize, found: &mut Vec<u32>| {
            sqlite.first(at, found).expect("SQLite answers");
        };
        let tantivy = bench.tantivy.asker(questions).expect("the terms are good");
        let ask_tantivy = |way: Way, at: usize, found: &mut Vec<u32>| {
            tantivy.first(way, at, found).expect("tantivy answers");
        };
        let snapshot = index.snapshot();
        bench.check("sqlite", questions, &snapshot, &mut ask_sqlite);
        for way in WAYS {
            bench.check("tantivy", questions, &snapshot, |at, found| {
                ask_tantivy(way, at, found)
            });
        }
        bench.check("REFQ", questions, &snapshot, |at, found| {
            reference.first(&questions[at], found);
        });
        let count = questions.len();
        let mut found = Vec::new();
        let way = fastest_way(count, &ask_tantivy);
        let all = |ask: &mut dyn FnMut(usize, &mut Vec<u32>), found: &mut Vec<u32>| {
            for at in 0..count {
                found.clear();
                ask(at, found);
                black_box(&mut *found);
            }
        };
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let [ours, sqlite, tantivy, refq] = race(
            count,
            [
                &mut || ask_ours(index, questions),
                &mut || all(&mut ask_sqlite, &mut found),
                &mut || all(&mut |at, found| ask_tantivy(way, at, found), &mut one),
                &mut || {
                    all(
                        &mut |at, found| reference.first(&questions[at], found),
                        &mut two,
                    )
                },
            ],
        );
        let case = format!("{case},first20");
        bench.report(&case, "sqlite", ours, sqlite, Some(8.0));
        bench.report(
            &case,
            &format!("tantivy({way:?})"),
            ours,
            tantivy,
            Some(6.0),
        );
        bench.report(&case, "REFQ", ours, refq, None);
    }
}

/// The way that finds the first files of these questions fastest.
fn fastest_way(count: usize, ask: &impl Fn(Way, usize, &mut Vec<u32>)) -> Way {
    let mut found = Vec::new();
    let mut run = |way| {
        for at in 0..count {
            found.clear();
            ask(way, at, &mut found);
        }
    };
    let times = WAYS.map(|way| {
        let [time] = race(count, [&mut || run(way)]);
        time
    });
    let fastest = (0..WAYS.len()).min_by(|&a, &b| times[a].total_cmp(&times[b]));
    WAYS[fastest.unwrap_or_default()]
}

/// The same questions with changed files in tiers, against peers that know of no change: the changed
/// files hold what they held.
fn outstanding(bench: &Bench<'_>, cases: &Cases, index: &Index) {
    let snapshot = index.snapshot();
    let (files, tiers) = (snapshot.outstanding(), snapshot.tiers());
    let reference = Reference::new(bench.corpus, &bench.lists);
    for (case, questions) in cases {
        let tantivy = bench.tantivy.asker(questions).expect("the terms are good");
        let ask_tantivy = |way: Way, at: usize, found: &mut Vec<u32>| {
            tantivy.first(way, at, found).expect("tantivy answers");
        };
        bench.check("REFQ", questions, &snapshot, |at, found| {
            reference.first(&questions[at], found);
        });
        let way = fastest_way(questions.len(), &ask_tantivy);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let [ours, theirs, refq] = race(
            questions.len(),
            [
                &mut || ask_ours(index, questions),
                &mut || {
                    for at in 0..questions.len() {
                        one.clear();
                        ask_tantivy(way, at, &mut one);
                        black_box(&mut one);
                    }
                },
                &mut || {
                    for question in questions {
                        two.clear();
                        reference.first(question, &mut two);
                        black_box(&mut two);
                    }
                },
            ],
        );
        let case = format!("{case},first20,outstanding={files},tiers={tiers}");
        bench.report(&case, &format!("tantivy({way:?})"), ours, theirs, Some(6.0));
        bench.report(&case, "REFQ", ours, refq, None);
    }
}

/// Counts what two dense lists share.
fn dense(bench: &Bench<'_>, index: &Index) {
    for (case, questions) in bench.drawer().dense() {
        let question = &questions[0];
        let mut bitmaps = question
            .terms
            .iter()
            .map(|term| bitmap(bench.lists.files(term.field, term.term)));
        let one = bitmaps.next().expect("a question has a term");
        let two = match question.language {
            Some(language) => bitmap(&bench.lists.files_in(language)),
            None => bitmaps.next().expect("a question has two lists"),
        };
        let mut sqlite = bench
            .sqlite
            .asker(&questions)
            .expect("the statements are good");
        let tantivy = bench.tantivy.asker(&questions).expect("the terms are good");
        let packed = [&one, &two].map(packed);
        let expected = one.intersection_len(&two);
        assert_eq!(
            index.snapshot().count(&question.query),
            expected,
            "{}",
            question.query
        );
        assert_eq!(sqlite.count(0).expect("SQLite answers"), expected);
        assert_eq!(tantivy.count(0).expect("tantivy answers"), expected);
        let [ours, roaring, runs, tantivy, sqlite] = race(
            10,
            [
                &mut || ten(|| index.snapshot().count(black_box(&question.query))),
                &mut || ten(|| black_box(&one).intersection_len(&two)),
                &mut || ten(|| black_box(&packed[0]).intersection_len(&packed[1])),
                &mut || ten(|| tantivy.count(0).expect("tantivy answers")),
                &mut || ten(|| sqlite.count(0).expect("SQLite answers")),
            ],
        );
        let case = format!("count,{case}");
        bench.report(&case, "roaring", ours, roaring, Some(0.83));
        bench.report(&case, "roaring(runs)", ours, runs, None);
        bench.report(&case, "tantivy", ours, tantivy, None);
        bench.report(&case, "sqlite", ours, sqlite, None);
    }
}

fn bitmap(files: &[u32]) -> RoaringBitmap {
    RoaringBitmap::from_sorted_iter(files.iter().copied()).expect("they are sorted")
}

/// The same, with runs where these are smaller.
fn packed(bitmap: &RoaringBitmap) -> RoaringBitmap {
    let mut packed = bitmap.clone();
    packed.optimize();
    packed
}

fn ten<T>(mut run: impl FnMut() -> T) {
    for _ in 0..10 {
        black_box(run());
    }
}

/// All files whose paths match.
fn patterns(bench: &Bench<'_>, index: &Index) {
    let strings = bench.arena.strings();
    for case in paths::CASES {
        let (query, regex) = (case.query(), case.regex());
        let ours = index.snapshot().search(&query);
        for theirs in [bench.arena.search(&regex), loop_over(&strings, &regex)] {
            let same = ours
                .paths()
                .eq(theirs.iter().map(|&file| bench.arena.path(file)));
            assert!(same, "{query}: {} and {} files", ours.len(), theirs.len());
        }
        let hits = ours.len();
        let [ours, arena, looped] = race(
            1,
            [
                &mut || drop(black_box(index.snapshot().search(&query))),
                &mut || drop(black_box(bench.arena.search(&regex))),
                &mut || drop(black_box(loop_over(&strings, &regex))),
            ],
        );
        let name = format!("path,{},hits={hits}", case.name);
        bench.report(&name, "arena", ours, arena, Some(0.9));
        bench.report(
            &name,
            "loop",
            ours,
            looped,
            case.has_literal.then_some(15.0),
        );
    }
}

fn source_design(bench: &Bench<'_>, questions: &[Question], index: &Index) {
    let questions = &questions[..SOURCE_QUESTIONS];
    let design = SourceDesign::new(bench.corpus);
    for question in questions {
        let theirs = design.first(bench.corpus, question);
        let ours = index.snapshot().search(&question.query);
        assert!(
            ours.paths().eq(theirs.iter().map(String::as_str)),
            "{}",
            question.query
        );
    }
    let [ours, theirs] = race(
        questions.len(),
        [&mut || ask_ours(index, questions), &mut || {
            for question in questions {
                black_box(design.first(bench.corpus, question));
            }
        }],
    );
    bench.report("lang+func,first20", "source-design", ours, theirs, None);
}
