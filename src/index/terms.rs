//! `Dictionary`: the terms of one field of a segment, and the posting list of each. Built once from
//! numbered terms, read by name ever after.

use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::bitmap::Bitmap;
use super::postings::{DENSE_SHARE, Postings};
use super::strings::Strings;

/// The number of a term in its dictionary.
pub(crate) type Term = u32;

/// An immutable map from names to posting lists.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    names: Strings,
    /// Terms, hashed by their names.
    table: HashTable<Term>,
    /// Where each term's list starts in `ids`; one more entry than terms.
    starts: Box<[u32]>,
    /// Every sorted list, one after the other.
    ids: Box<[u32]>,
    /// The lists that are bitmaps, by term; their spans in `ids` are empty.
    dense: Vec<(Term, u32, Bitmap)>,
}

impl Dictionary {
    /// The term of a name whose hash is known.
    pub(crate) fn find(&self, hash: u64, name: &str) -> Option<Term> {
        let name = name.as_bytes();
        self.table
            .find(hash, |&term| self.names.bytes(term) == name)
            .copied()
    }

    pub(crate) fn name(&self, term: Term) -> &str {
        self.names.get(term)
    }

    pub(crate) fn postings(&self, term: Term) -> Postings<'_> {
        let at = term as usize;
        let (from, to) = (self.starts[at] as usize, self.starts[at + 1] as usize);
        if from < to {
            return Postings::Sorted(&self.ids[from..to]);
        }
        match self.dense.binary_search_by_key(&term, |entry| entry.0) {
            Ok(at) => Postings::Dense {
                bits: &self.dense[at].2,
                len: self.dense[at].1,
            },
            Err(_) => Postings::EMPTY,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.names.heap_bytes()
            + self.table.allocation_size()
            + size_of_val(&*self.starts)
            + size_of_val(&*self.ids)
            + self.dense.capacity() * size_of::<(Term, u32, Bitmap)>()
            + self
                .dense
                .iter()
                .map(|entry| entry.2.heap_bytes())
                .sum::<usize>()
    }
}

/// Collects the terms of each file of a segment that is being built, in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct DictionaryBuilder {
    names: Strings,
    table: HashTable<Term>,
    states: Vec<TermState>,
    /// The distinct terms of each file, one file after the other.
    file_terms: Vec<Term>,
    /// Where each begun file's terms start in `file_terms`.
    file_starts: Vec<u32>,
}

#[derive(Debug)]
struct TermState {
    hash: u64,
    /// The file that last held the term, to collapse its duplicates there; `u32::MAX` at first.
    last_file: u32,
    files: u32,
}

impl DictionaryBuilder {
    /// From here on, terms belong to the next file.
    pub(crate) fn begin_file(&mut self) {
        self.file_starts.push(self.file_terms.len() as u32);
    }

    /// The term of a name, new if need be; `None` if the dictionary is full.
    pub(crate) fn intern(&mut self, hasher: &RandomState, name: &str) -> Option<Term> {
        let hash = hash(hasher, name);
        let bytes = name.as_bytes();
        let found = self.table.find(hash, |&term| {
            // The hash is compared first: it lies beside what the caller touches next.
            self.states[term as usize].hash == hash && self.names.bytes(term) == bytes
        });
        if let Some(&term) = found {
            return Some(term);
        }
        if !self.names.has_room_for(name) {
            return None;
        }
        let term = self.names.len() as Term;
        self.names.push(name);
        self.states.push(TermState {
            hash,
            last_file: u32::MAX,
            files: 0,
        });
        self.table
            .insert_unique(hash, term, |&term| self.states[term as usize].hash);
        Some(term)
    }

    /// Says that the file begun last holds the term; again is no different from once.
    pub(crate) fn add(&mut self, term: Term) {
        let file = self.file_starts.len() as u32 - 1;
        let state = &mut self.states[term as usize];
        if state.last_file != file {
            state.last_file = file;
            state.files += 1;
            self.file_terms.push(term);
        }
    }

    /// How many terms the files hold in all.
    pub(crate) fn total(&self) -> usize {
        self.file_terms.len()
    }

    /// The distinct terms of a begun file, in order of arrival.
    pub(crate) fn terms_of(&self, file: u32) -> &[Term] {
        &self.file_terms[self.span_of(file)]
    }

    fn span_of(&self, file: u32) -> Range<usize> {
        let file = file as usize;
        let to = self
            .file_starts
            .get(file + 1)
            .map_or(self.file_terms.len(), |&to| to as usize);
        self.file_starts[file] as usize..to
    }

    /// The dictionary. `order` names the file of each rank; files that it leaves out leave no trace
    /// in any list.
    pub(crate) fn finish(mut self, order: &[u32]) -> Dictionary {
        let files = order.len() as u32;
        if order.len() != self.file_starts.len() {
            self.recount(order);
        }
        let mut starts = Vec::with_capacity(self.states.len() + 1);
        let mut dense = Vec::new();
        let mut next = 0;
        for (term, state) in self.states.iter_mut().enumerate() {
            starts.push(next);
            if state.files > files / DENSE_SHARE && files >= DENSE_SHARE {
                // From now on `last_file` tells where the term's list is kept.
                state.last_file = dense.len() as u32;
                dense.push((term as Term, state.files, Bitmap::new(files)));
            } else {
                state.last_file = u32::MAX;
                next += state.files;
            }
        }
        starts.push(next);
        let mut ids = vec![0; next as usize].into_boxed_slice();
        // Ranks arrive in ascending order, so each list comes out sorted. `cursor` is where the
        // next rank of a term goes.
        let mut cursor = starts.clone();
        for (rank, &file) in order.iter().enumerate() {
            for &term in self.terms_of(file) {
                match self.states[term as usize].last_file {
                    u32::MAX => {
                        let at = &mut cursor[term as usize];
                        ids[*at as usize] = rank as u32;
                        *at += 1;
                    }
                    at => dense[at as usize].2.insert(rank as u32),
                }
            }
        }
        self.names.shrink();
        let states = self.states;
        self.table.shrink_to_fit(|&term| states[term as usize].hash);
        dense.shrink_to_fit();
        Dictionary {
            names: self.names,
            table: self.table,
            starts: starts.into(),
            ids,
            dense,
        }
    }

    /// Counts each term's files anew, those in `order` only.
    fn recount(&mut self, order: &[u32]) {
        for state in &mut self.states {
            state.files = 0;
        }
        for &file in order {
            for at in self.span_of(file) {
                self.states[self.file_terms[at] as usize].files += 1;
            }
        }
    }
}

/// The hash of a name or path, the same in every segment of a snapshot.
pub(crate) fn hash(hasher: &RandomState, text: &str) -> u64 {
    std::hash::BuildHasher::hash_one(hasher, text.as_bytes())
}
