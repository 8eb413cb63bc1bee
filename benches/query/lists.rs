//! `Lists`: the sorted posting list of each term, from which the peers are filled and the questions
//! drawn; and `Reference`, the least that any index must do: find each name by one unlocked probe, step
//! through the rarest list, look at a column for the language and gallop through the other lists.

use hashbrown::HashMap;
use smol_str::SmolStr;

use crate::common::corpus::{Corpus, FIELDS, Field, Term};
use crate::questions::{LIMIT, Question};

/// Every posting list, by [`Field`] and term.
#[derive(Debug)]
pub(crate) struct Lists {
    starts: [Vec<u32>; 3],
    files: [Vec<u32>; 3],
    /// The language of each file; `u16::MAX` if it has none.
    pub(crate) languages: Vec<u16>,
    language_count: usize,
}

impl Lists {
    pub(crate) fn new(corpus: &Corpus) -> Self {
        let language = |file| corpus.language(file).unwrap_or(u16::MAX);
        let mut lists = Lists {
            starts: Default::default(),
            files: Default::default(),
            languages: (0..corpus.len()).map(language).collect(),
            language_count: corpus.languages().len(),
        };
        for field in FIELDS {
            // starts[term + 1] is where the term's next file goes, and in the end where they end.
            let mut starts = vec![0; corpus.term_count(field) + 2];
            for term in (0..corpus.len()).flat_map(|file| corpus.terms(file, field)) {
                starts[term as usize + 2] += 1;
            }
            for at in 2..starts.len() {
                starts[at] += starts[at - 1];
            }
            let mut files = vec![0; starts[starts.len() - 1] as usize];
            for file in 0..corpus.len() {
                for term in corpus.terms(file, field) {
                    let at: &mut u32 = &mut starts[term as usize + 1];
                    files[*at as usize] = file as u32;
                    *at += 1;
                }
            }
            (lists.starts[field as usize], lists.files[field as usize]) = (starts, files);
        }
        lists
    }

    pub(crate) fn files(&self, field: Field, term: Term) -> &[u32] {
        let (starts, term) = (&self.starts[field as usize], term as usize);
        &self.files[field as usize][starts[term] as usize..starts[term + 1] as usize]
    }

    /// The terms of a field that occur, the most frequent first.
    pub(crate) fn by_files(&self, field: Field) -> Vec<Term> {
        let terms = 0..self.starts[field as usize].len() as Term - 2;
        let mut terms: Vec<Term> = terms
            .filter(|&t| !self.files(field, t).is_empty())
            .collect();
        terms.sort_by_key(|&term| std::cmp::Reverse(self.files(field, term).len()));
        terms
    }

    pub(crate) fn files_in(&self, language: u16) -> Vec<u32> {
        let files = (0..).zip(&self.languages);
        files
            .filter(|(_, of)| **of == language)
            .map(|(file, _)| file)
            .collect()
    }

    /// The language of the most files.
    pub(crate) fn first_language(&self) -> u16 {
        let languages = 0..self.language_count as u16;
        let first = languages.max_by_key(|&language| self.files_in(language).len());
        first.expect("there are languages")
    }
}

/// The least work that answers a question.
#[derive(Debug)]
pub(crate) struct Reference<'c> {
    lists: &'c Lists,
    terms: [HashMap<SmolStr, Term>; 3],
    languages: HashMap<SmolStr, (u16, Vec<u32>)>,
    names: Vec<SmolStr>,
}

impl<'c> Reference<'c> {
    pub(crate) fn new(corpus: &Corpus, lists: &'c Lists) -> Self {
        let terms = FIELDS.map(|field| {
            let terms = lists.by_files(field).into_iter();
            terms
                .map(|term| (corpus.name(field, term).into(), term))
                .collect()
        });
        let numbered = (0..).zip(corpus.languages());
        let languages =
            numbered.map(|(number, name)| (name.clone(), (number, lists.files_in(number))));
        Reference {
            lists,
            terms,
            languages: languages.collect(),
            names: corpus.languages().to_vec(),
        }
    }

    pub(crate) fn first(&self, question: &Question, found: &mut Vec<u32>) {
        let language = question
            .language
            .map(|language| &self.names[usize::from(language)]);
        let language = language.map(|name| &self.languages[name]);
        let list = |at: usize| {
            let term = question.terms.get(at)?;
            let number = self.terms[term.field as usize].get(term.name.as_str())?;
            Some(self.lists.files(term.field, *number))
        };
        match (list(0), list(1), language) {
            (Some(one), None, Some((number, files))) if one.len() <= files.len() => {
                self.in_language(one.iter().copied(), *number, found);
            }
            (Some(one), None, Some((_, files))) => found.extend(both(files, one).take(LIMIT)),
            (Some(one), Some(two), None) => found.extend(both(one, two).take(LIMIT)),
            (Some(one), Some(two), Some((number, _))) => {
                self.in_language(both(one, two), *number, found);
            }
            _ => unreachable!("a question names one or two known terms"),
        }
    }

    fn in_language(&self, files: impl Iterator<Item = u32>, language: u16, found: &mut Vec<u32>) {
        let matching = files.filter(|&file| self.lists.languages[file as usize] == language);
        found.extend(matching.take(LIMIT));
    }
}

/// What two sorted lists share: the shorter one drives, the longer one is galloped through.
fn both<'l>(one: &'l [u32], two: &'l [u32]) -> impl Iterator<Item = u32> + 'l {
    let (short, mut long) = if one.len() <= two.len() {
        (one, two)
    } else {
        (two, one)
    };
    short.iter().copied().filter(move |&file| {
        let mut reach = 1;
        while reach < long.len() && long[reach] < file {
            reach *= 2;
        }
        let near = &long[..(reach + 1).min(long.len())];
        long = &long[near.partition_point(|&other| other < file)..];
        long.first() == Some(&file)
    })
}
