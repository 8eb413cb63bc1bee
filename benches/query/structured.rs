//! The first files of a structured query, in path order.

use std::hint::black_box;

use cardex::Index;

use crate::common::race::race;
use crate::questions::Question;
use crate::tantivy_peer::{BOOLEAN, BY_HAND, COLUMN, Way};
use crate::{Bench, Cases};

/// Races every case. If files are outstanding in tiers, the peers know nothing of it: the files hold
/// what they held, so answers are the same.
pub(crate) fn run(bench: &Bench<'_>, cases: &Cases, index: &Index) {
    let snapshot = index.snapshot();
    let tiers = match snapshot.outstanding() {
        0 => String::new(),
        files => format!(",outstanding={files},tiers={}", snapshot.tiers()),
    };
    for (case, questions) in cases {
        let mut sqlite = bench
            .sqlite
            .asker(questions)
            .expect("the statements are good");
        let tantivy = bench.tantivy.asker(questions).expect("the terms are good");
        let mut sqlite = Turn::new(questions, |at, found| {
            sqlite.first(at, found).expect("SQLite answers");
        });
        let by = |way: Way| {
            let tantivy = &tantivy;
            Turn::new(questions, move |at, found| {
                tantivy.first(way, at, found).expect("tantivy answers");
            })
        };
        let mut reference = Turn::new(questions, |at, found| {
            bench.reference.first(&questions[at], found);
        });
        let (mut boolean, mut column) = (by(BOOLEAN), by(COLUMN));
        let by_hand = BY_HAND.map(by);
        sqlite.check(bench, "sqlite", index);
        reference.check(bench, "REFQ", index);
        boolean.check(bench, "tantivy", index);
        column.check(bench, "tantivy(column)", index);
        let mut by_hand = fastest(bench, by_hand, index);
        let [ours, sqlite, boolean, column, by_hand, reference] = race(
            questions.len(),
            [
                &mut || ask_ours(index, questions),
                &mut || sqlite.run(),
                &mut || boolean.run(),
                &mut || column.run(),
                &mut || by_hand.run(),
                &mut || reference.run(),
            ],
        );
        let case = format!("{case},first20{tiers}");
        bench.report(
            &case,
            "sqlite",
            ours,
            sqlite,
            tiers.is_empty().then_some(8.0),
        );
        bench.report(&case, "tantivy", ours, boolean, Some(6.0));
        bench.report(&case, "tantivy(column)", ours, column, None);
        bench.report(&case, "tantivy(by-hand)", ours, by_hand, None);
        let outstanding = (!tiers.is_empty()).then_some(0.4);
        bench.report(&case, "REFQ", ours, reference, outstanding);
    }
}

/// Puts every question to the current snapshot.
pub(crate) fn ask_ours(index: &Index, questions: &[Question]) {
    for question in questions {
        black_box(index.snapshot().search(black_box(&question.query)));
    }
}

/// Puts the question of this number and adds what it finds.
type Ask<'q> = dyn FnMut(usize, &mut Vec<u32>) + 'q;

/// A peer's turn: every question once.
pub(crate) struct Turn<'q> {
    questions: &'q [Question],
    ask: Box<Ask<'q>>,
    found: Vec<u32>,
}

impl<'q> Turn<'q> {
    pub(crate) fn new(
        questions: &'q [Question],
        ask: impl FnMut(usize, &mut Vec<u32>) + 'q,
    ) -> Self {
        Turn {
            questions,
            ask: Box::new(ask),
            found: Vec::new(),
        }
    }

    pub(crate) fn run(&mut self) {
        for at in 0..self.questions.len() {
            self.found.clear();
            (self.ask)(at, &mut self.found);
            black_box(&mut self.found);
        }
    }

    pub(crate) fn check(&mut self, bench: &Bench<'_>, peer: &str, index: &Index) {
        let snapshot = index.snapshot();
        for (at, question) in self.questions.iter().enumerate() {
            self.found.clear();
            (self.ask)(at, &mut self.found);
            bench.check(peer, question, &snapshot, &self.found);
        }
    }
}

/// Of two ways to do the same, both right, the faster one.
fn fastest<'q>(bench: &Bench<'_>, mut ways: [Turn<'q>; 2], index: &Index) -> Turn<'q> {
    for way in &mut ways {
        way.check(bench, "tantivy", index);
    }
    let [one, two] = &mut ways;
    let [first, second] = race(1, [&mut || one.run(), &mut || two.run()]);
    let [one, two] = ways;
    if first <= second { one } else { two }
}
