//! The cache design that cardex began from, written literally: a hash map from each value to the hash set
//! of the paths that hold it. A query copies the sets, intersects the copies, sorts what is left
//! and then cuts it to the limit.

use std::collections::{HashMap, HashSet};
use std::hint::black_box;

use cardex::Index;

use crate::Bench;
use crate::common::corpus::{Corpus, Field};
use crate::common::race::race;
use crate::questions::{LIMIT, Question};
use crate::structured::ask_ours;

/// How many questions it is asked: it takes its time.
const QUESTIONS: usize = 4;

/// The first files of a language that hold a function.
pub(crate) fn run(bench: &Bench<'_>, questions: &[Question], index: &Index) {
    let questions = &questions[..QUESTIONS];
    let design = SourceDesign::new(bench.corpus);
    for question in questions {
        let theirs = design.first(bench.corpus, question);
        let ours = index.snapshot().search(&question.query);
        let same = ours.paths().eq(theirs.iter().map(String::as_str));
        assert!(same, "{}", question.query);
    }
    let [ours, theirs] = race(
        QUESTIONS,
        [&mut || ask_ours(index, questions), &mut || {
            for question in questions {
                black_box(design.first(bench.corpus, question));
            }
        }],
    );
    bench.report("lang+func,first20", "source-design", ours, theirs, None);
}

#[derive(Debug, Default)]
struct SourceDesign {
    language_index: HashMap<String, HashSet<String>>,
    function_index: HashMap<String, HashSet<String>>,
}

impl SourceDesign {
    fn new(corpus: &Corpus) -> Self {
        let mut design = SourceDesign::default();
        for file in 0..corpus.len() {
            let path = corpus.path(file);
            for term in corpus.terms(file, Field::Function) {
                let name = corpus.name(Field::Function, term).into_owned();
                design
                    .function_index
                    .entry(name)
                    .or_default()
                    .insert(path.clone());
            }
            if let Some(language) = corpus.language(file) {
                let name = corpus.languages()[usize::from(language)].to_string();
                design.language_index.entry(name).or_default().insert(path);
            }
        }
        design
    }

    fn first(&self, corpus: &Corpus, question: &Question) -> Vec<String> {
        let language = question
            .language
            .map(|l| &corpus.languages()[usize::from(l)]);
        let language = language.and_then(|name| self.language_index.get(name.as_str()));
        let mut candidates = language.cloned().unwrap_or_default();
        for term in &question.terms {
            let paths = self
                .function_index
                .get(&term.name)
                .cloned()
                .unwrap_or_default();
            candidates = &candidates & &paths;
        }
        let mut found: Vec<String> = candidates.into_iter().collect();
        found.sort();
        found.truncate(LIMIT);
        found
    }
}
