//! `Segment`: an immutable part of the index. A file's number is its rank in path order, so every
//! posting list is already in the order of the answer.

use foldhash::fast::RandomState;

use super::column::Column;
use super::finder::Finder;
use super::postings::Postings;
use super::strings::Strings;
use super::terms::{Dictionary, Term};

/// The fields that have posting lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Field {
    Language,
    Function,
    Class,
    Reference,
}

impl Field {
    pub(crate) const ALL: [Field; 4] = [
        Field::Language,
        Field::Function,
        Field::Class,
        Field::Reference,
    ];
}

/// In the language column: the file has no language.
pub(super) const NO_LANGUAGE: Term = Term::MAX;

/// Files in path order, what is known of each, and the lists of who holds which term.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(super) hasher: RandomState,
    pub(super) paths: Strings,
    /// Ranks, hashed by their paths.
    pub(super) by_path: Finder,
    /// The language of each file, as a term of its dictionary.
    pub(super) languages: Box<[Term]>,
    /// The log sequence of each file's last change.
    pub(super) versions: Column,
    /// By [`Field`].
    pub(super) terms: [Dictionary; 4],
    /// The (class, method) pairs of each file, sorted; methods are terms of the functions.
    pub(super) pairs: Box<[(Term, Term)]>,
    /// Where each file's pairs start; one more entry than files.
    pub(super) pair_starts: Box<[u32]>,
}

impl Segment {
    pub(crate) fn len(&self) -> u32 {
        self.paths.len() as u32
    }

    pub(crate) fn hasher(&self) -> &RandomState {
        &self.hasher
    }

    pub(crate) fn paths(&self) -> &Strings {
        &self.paths
    }

    pub(crate) fn path(&self, rank: u32) -> &str {
        self.paths.get(rank)
    }

    pub(crate) fn version(&self, rank: u32) -> u64 {
        self.versions.get(rank)
    }

    /// The rank of the file of this path, whose hash is known.
    pub(crate) fn find(&self, hash: u64, path: &str) -> Option<u32> {
        self.by_path
            .find(hash, |rank| self.paths.bytes(rank) == path.as_bytes())
    }

    pub(crate) fn dictionary(&self, field: Field) -> &Dictionary {
        &self.terms[field as usize]
    }

    pub(crate) fn postings(&self, field: Field, term: Term) -> Postings<'_> {
        self.dictionary(field).postings(term)
    }

    /// The language of a file in lower case.
    pub(crate) fn language(&self, rank: u32) -> Option<&str> {
        match self.languages[rank as usize] {
            NO_LANGUAGE => None,
            term => Some(self.dictionary(Field::Language).name(term)),
        }
    }

    /// The (class, method) pairs of a file, sorted.
    pub(crate) fn pairs(&self, rank: u32) -> &[(Term, Term)] {
        let at = rank as usize;
        &self.pairs[self.pair_starts[at] as usize..self.pair_starts[at + 1] as usize]
    }

    /// What the segment holds of the heap, by part.
    pub(crate) fn memory(&self) -> MemoryUse {
        let mut memory = MemoryUse {
            paths: self.paths.heap_bytes() + self.by_path.heap_bytes(),
            columns: size_of_val(&*self.languages) + self.versions.heap_bytes(),
            pairs: size_of_val(&*self.pairs) + size_of_val(&*self.pair_starts),
            ..MemoryUse::default()
        };
        for field in Field::ALL {
            *memory.of(field) = self.dictionary(field).heap_bytes();
        }
        memory
    }
}

/// Bytes of memory held by the index, by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Paths and the table that finds them.
    pub paths: usize,
    /// The language and version of each file.
    pub columns: usize,
    /// Language terms and their posting lists.
    pub languages: usize,
    /// Function and method names and their posting lists.
    pub functions: usize,
    /// Class names and their posting lists.
    pub classes: usize,
    /// Cited documents and their posting lists.
    pub references: usize,
    /// The (class, method) pairs of each file.
    pub pairs: usize,
    /// Which files of older segments are replaced, and where newer ones belong in path order.
    pub overlay: usize,
}

impl MemoryUse {
    /// All parts together.
    pub fn total(&self) -> usize {
        self.paths
            + self.columns
            + self.languages
            + self.functions
            + self.classes
            + self.references
            + self.pairs
            + self.overlay
    }

    fn of(&mut self, field: Field) -> &mut usize {
        match field {
            Field::Language => &mut self.languages,
            Field::Function => &mut self.functions,
            Field::Class => &mut self.classes,
            Field::Reference => &mut self.references,
        }
    }

    pub(crate) fn add(&mut self, other: MemoryUse) {
        self.paths += other.paths;
        self.columns += other.columns;
        self.pairs += other.pairs;
        self.overlay += other.overlay;
        self.languages += other.languages;
        self.functions += other.functions;
        self.classes += other.classes;
        self.references += other.references;
    }
}
