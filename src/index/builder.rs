//! `SegmentBuilder`: takes files in any order, each with its terms, and makes a segment of them.

use foldhash::fast::RandomState;

use super::column::Column;
use super::finder::Finder;
use super::segment::{Field, NO_LANGUAGE, Segment};
use super::strings::Strings;
use super::terms::{DictionaryBuilder, Term, hash};
use crate::error::{Error, ErrorKind, Result};

/// Collects the files of a segment. A path that is added twice counts as its last addition.
#[derive(Debug)]
pub(crate) struct SegmentBuilder {
    hasher: RandomState,
    paths: Strings,
    languages: Vec<Term>,
    versions: Vec<u64>,
    terms: [DictionaryBuilder; 4],
    pairs: Vec<(Term, Term)>,
    pair_starts: Vec<u32>,
    /// The classes of the current file, by their ordinals there.
    classes: Vec<(i64, Term)>,
    /// Scratch for a language in lower case.
    lower: String,
    /// Something did not fit into 32 bits; [`SegmentBuilder::finish`] says so.
    full: bool,
}

impl SegmentBuilder {
    /// All segments of an index share one hasher, so that a name is hashed once a query.
    pub(crate) fn new(hasher: RandomState) -> Self {
        SegmentBuilder {
            hasher,
            paths: Strings::default(),
            languages: Vec::new(),
            versions: Vec::new(),
            terms: Default::default(),
            pairs: Vec::new(),
            pair_starts: Vec::new(),
            classes: Vec::new(),
            lower: String::new(),
            full: false,
        }
    }

    /// How many files have begun.
    pub(crate) fn len(&self) -> usize {
        self.versions.len()
    }

    /// The paths of the files that have begun, in that order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        (0..self.versions.len()).map(|file| self.paths.get(file as u32))
    }

    /// Begins a file; what follows is about it.
    pub(crate) fn file(&mut self, path: &str, language: Option<&str>, version: u64) {
        self.full |= !self.paths.has_room_for(path);
        if self.full {
            return;
        }
        self.end_file();
        self.paths.push(path);
        self.versions.push(version);
        self.pair_starts.push(self.pairs.len() as u32);
        for dictionary in &mut self.terms {
            dictionary.begin_file();
        }
        let language = language.filter(|name| !name.is_empty()).and_then(|name| {
            let mut lower = std::mem::take(&mut self.lower);
            lower.clear();
            lower.push_str(name);
            lower.make_ascii_lowercase();
            let term = self.add(Field::Language, &lower);
            self.lower = lower;
            term
        });
        self.languages.push(language.unwrap_or(NO_LANGUAGE));
    }

    /// A free function of the file. A name that is empty is not indexed, here and below.
    pub(crate) fn function(&mut self, name: &str) {
        self.add(Field::Function, name);
    }

    /// A class of the file, with its number there; the numbers of a file's classes ascend.
    pub(crate) fn class(&mut self, ordinal: i64, name: &str) {
        if let Some(term) = self.add(Field::Class, name) {
            self.classes.push((ordinal, term));
        }
    }

    /// A method of the class of that number, if there is such a class.
    pub(crate) fn method(&mut self, class_ordinal: i64, name: &str) {
        let Some(method) = self.add(Field::Function, name) else {
            return;
        };
        if let Ok(at) = self
            .classes
            .binary_search_by_key(&class_ordinal, |class| class.0)
        {
            self.pairs.push((self.classes[at].1, method));
        }
    }

    /// A document that the file cites.
    pub(crate) fn reference(&mut self, document: &str) {
        self.add(Field::Reference, document);
    }

    fn add(&mut self, field: Field, name: &str) -> Option<Term> {
        if self.full || name.is_empty() || self.len() == 0 {
            return None;
        }
        let dictionary = &mut self.terms[field as usize];
        let term = dictionary.intern(&self.hasher, name);
        match term {
            Some(term) => self.add_term(field, term),
            None => self.full = true,
        }
        term
    }

    /// Interns a name without giving it to a file: for merging, which knows the names already.
    pub(super) fn intern(&mut self, field: Field, name: &str) -> Term {
        let term = self.terms[field as usize].intern(&self.hasher, name);
        self.full |= term.is_none();
        term.unwrap_or_default()
    }

    /// Gives an interned term to the file begun last.
    pub(super) fn add_term(&mut self, field: Field, term: Term) {
        let dictionary = &mut self.terms[field as usize];
        self.full |= dictionary.total() >= u32::MAX as usize;
        if !self.full {
            dictionary.add(term);
        }
    }

    /// Gives a pair of interned terms to the file begun last.
    pub(super) fn add_pair(&mut self, class: Term, method: Term) {
        self.pairs.push((class, method));
    }

    /// Sorts the pairs of the file that ends here and drops their duplicates.
    fn end_file(&mut self) {
        self.classes.clear();
        let Some(&start) = self.pair_starts.last() else {
            return;
        };
        let start = start as usize;
        if self.pairs.len() > start + 1 {
            self.pairs[start..].sort_unstable();
            let mut keep = start + 1;
            for at in start + 1..self.pairs.len() {
                if self.pairs[at] != self.pairs[keep - 1] {
                    self.pairs[keep] = self.pairs[at];
                    keep += 1;
                }
            }
            self.pairs.truncate(keep);
        }
    }

    /// The segment.
    ///
    /// # Errors
    /// `Internal` if names or paths exceed 4 GiB.
    pub(crate) fn finish(mut self) -> Result<Segment> {
        self.end_file();
        if self.full || u32::try_from(self.pairs.len()).is_err() {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "the index is full: the first {} files hold 4 GiB of names",
                    self.len()
                ),
            )
            .with_help("split the tree into several projects"));
        }
        self.pair_starts.push(self.pairs.len() as u32);
        let order = self.path_order();
        if order
            .iter()
            .enumerate()
            .any(|(rank, &file)| rank as u32 != file)
            || order.len() != self.len()
        {
            self.permute(&order);
        }
        let mut paths = self.paths;
        paths.shrink();
        let hashes = (0..order.len()).map(|rank| hash(&self.hasher, paths.get(rank as u32)));
        let by_path = Finder::new(hashes);
        Ok(Segment {
            hasher: self.hasher,
            by_path,
            paths,
            languages: self.languages.into(),
            versions: Column::new(&self.versions),
            terms: self.terms.map(|dictionary| dictionary.finish(&order)),
            pairs: self.pairs.into(),
            pair_starts: self.pair_starts.into(),
        })
    }

    /// The file of each rank. The sort is linear where the files came in order, as they mostly do.
    fn path_order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        order.sort_by(|&a, &b| self.paths.bytes(a).cmp(self.paths.bytes(b)));
        // The sort is stable: of equal paths the last one came last.
        order.dedup_by(|next, kept| {
            let equal = self.paths.bytes(*next) == self.paths.bytes(*kept);
            if equal {
                *kept = *next;
            }
            equal
        });
        order
    }

    /// Brings the columns into the order of ranks.
    fn permute(&mut self, order: &[u32]) {
        let mut paths = Strings::default();
        let (mut pairs, mut pair_starts) = (Vec::with_capacity(self.pairs.len()), vec![0]);
        for &file in order {
            paths.push(self.paths.get(file));
            let at = file as usize;
            let span = self.pair_starts[at] as usize..self.pair_starts[at + 1] as usize;
            pairs.extend_from_slice(&self.pairs[span]);
            pair_starts.push(pairs.len() as u32);
        }
        self.languages = order
            .iter()
            .map(|&file| self.languages[file as usize])
            .collect();
        self.versions = order
            .iter()
            .map(|&file| self.versions[file as usize])
            .collect();
        (self.paths, self.pairs, self.pair_starts) = (paths, pairs, pair_starts);
    }
}
