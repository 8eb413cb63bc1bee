//! How many files two dense lists share.

use std::hint::black_box;

use cardex::Index;
use roaring::RoaringBitmap;

use crate::Bench;
use crate::common::race::race;

/// Counts a turn: one count takes too little time to be told from the clock's own.
const COUNTS: usize = 10;

pub(crate) fn run(bench: &Bench<'_>, index: &Index) {
    for (case, questions) in bench.drawer().dense() {
        let question = &questions[0];
        let terms = question.terms.iter();
        let mut lists = terms.map(|term| bitmap(bench.lists.files(term.field, term.term)));
        let one = lists.next().expect("a question has a term");
        let two = match question.language {
            Some(language) => bitmap(&bench.lists.files_in(language)),
            None => lists.next().expect("a question has two lists"),
        };
        let [one_packed, two_packed] = [&one, &two].map(packed);
        let mut sqlite = bench
            .sqlite
            .asker(&questions)
            .expect("the statements are good");
        let tantivy = bench.tantivy.asker(&questions).expect("the terms are good");
        let expected = one.intersection_len(&two);
        let ours = index.snapshot().count(&question.query);
        assert_eq!(ours, expected, "{}", question.query);
        assert_eq!(sqlite.count(0).expect("SQLite answers"), expected);
        assert_eq!(tantivy.count(0).expect("tantivy answers"), expected);
        let [ours, roaring, runs, tantivy, sqlite] = race(
            COUNTS,
            [
                &mut || repeat(|| index.snapshot().count(black_box(&question.query))),
                &mut || repeat(|| black_box(&one).intersection_len(&two)),
                &mut || repeat(|| black_box(&one_packed).intersection_len(&two_packed)),
                &mut || repeat(|| tantivy.count(0).expect("tantivy answers")),
                &mut || repeat(|| sqlite.count(0).expect("SQLite answers")),
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

fn repeat<T>(mut run: impl FnMut() -> T) {
    for _ in 0..COUNTS {
        black_box(run());
    }
}
