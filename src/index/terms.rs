//! `Dictionary`: the terms of one field of a segment, and the posting list of each. Built once from
//! numbered terms, read by name ever after.

use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::bitmap::Bitmap;
use super::finder::Finder;
use super::postings::{DENSE_SHARE, Postings};

/// The number of a term in its dictionary.
pub(crate) type Term = u32;

/// An immutable map from names to posting lists.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    finder: Finder,
    /// Where each term's name and list start; one more entry than terms. Whoever compares the name
    /// has the list's place in the same cache line.
    starts: Box<[Starts]>,
    /// Every name, one after the other.
    names: Box<[u8]>,
    /// Every sorted list, one after the other.
    ids: Box<[u32]>,
    /// The lists that are bitmaps, by term; their spans in `ids` are empty.
    dense: Vec<DenseList>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Starts {
    name: u32,
    ids: u32,
}

#[derive(Debug)]
struct DenseList {
    term: Term,
    files: u32,
    bits: Bitmap,
}

impl Dictionary {
    /// The term of a name whose hash is known.
    pub(crate) fn find(&self, hash: u64, name: &str) -> Option<Term> {
        self.finder
            .find(hash, |term| self.name_bytes(term) == name.as_bytes())
    }

    fn name_bytes(&self, term: Term) -> &[u8] {
        let at = term as usize;
        &self.names[self.starts[at].name as usize..self.starts[at + 1].name as usize]
    }

    pub(crate) fn name(&self, term: Term) -> &str {
        // Only whole `str`s are ever stored, so this never takes the second branch.
        std::str::from_utf8(self.name_bytes(term)).unwrap_or_default()
    }

    pub(crate) fn postings(&self, term: Term) -> Postings<'_> {
        let at = term as usize;
        let (from, to) = (
            self.starts[at].ids as usize,
            self.starts[at + 1].ids as usize,
        );
        if from < to {
            return Postings::Sorted(&self.ids[from..to]);
        }
        match self.dense.binary_search_by_key(&term, |list| list.term) {
            Ok(at) => Postings::Dense {
                bits: &self.dense[at].bits,
                len: self.dense[at].files,
            },
            Err(_) => Postings::EMPTY,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.finder.heap_bytes()
            + size_of_val(&*self.starts)
            + size_of_val(&*self.names)
            + size_of_val(&*self.ids)
            + self.dense.capacity() * size_of::<DenseList>()
            + self
                .dense
                .iter()
                .map(|list| list.bits.heap_bytes())
                .sum::<usize>()
    }
}

/// Collects the terms of each file of a segment that is being built, in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct DictionaryBuilder {
    names: Vec<u8>,
    /// Terms, each with the upper half of its name's hash: most probes end without a look elsewhere.
    table: HashTable<(u32, Term)>,
    states: Vec<TermState>,
    /// The distinct terms of each file, one file after the other.
    file_terms: Vec<Term>,
    /// Where each begun file's terms start in `file_terms`.
    file_starts: Vec<u32>,
}

#[derive(Debug)]
struct TermState {
    hash: u64,
    name: u32,
    name_len: u32,
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
        let upper = (hash >> 32) as u32;
        let bytes = name.as_bytes();
        let found = self.table.find(hash, |&(seen, term)| {
            seen == upper && {
                let state = &self.states[term as usize];
                let start = state.name as usize;
                &self.names[start..start + state.name_len as usize] == bytes
            }
        });
        if let Some(&(_, term)) = found {
            return Some(term);
        }
        let start = u32::try_from(self.names.len()).ok()?;
        u32::try_from(self.names.len() + bytes.len()).ok()?;
        let term = self.states.len() as Term;
        self.names.extend_from_slice(bytes);
        self.states.push(TermState {
            hash,
            name: start,
            name_len: bytes.len() as u32,
            last_file: u32::MAX,
            files: 0,
        });
        let states = &self.states;
        self.table
            .insert_unique(hash, (upper, term), |&(_, term)| states[term as usize].hash);
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
        drop(std::mem::take(&mut self.table));
        if order.len() != self.file_starts.len() {
            self.recount(order);
        }
        let files = order.len() as u32;
        let mut starts = Vec::with_capacity(self.states.len() + 1);
        let mut dense = Vec::new();
        let mut next = 0;
        for (term, state) in (0..).zip(&mut self.states) {
            starts.push(Starts {
                name: state.name,
                ids: next,
            });
            if state.files > files / DENSE_SHARE && files >= DENSE_SHARE {
                // From now on `last_file` tells where the term's list is kept.
                state.last_file = dense.len() as u32;
                dense.push(DenseList {
                    term,
                    files: state.files,
                    bits: Bitmap::new(files),
                });
            } else {
                state.last_file = u32::MAX;
                next += state.files;
            }
        }
        starts.push(Starts {
            name: self.names.len() as u32,
            ids: next,
        });
        let ids = self.fill(order, &starts, &mut dense);
        dense.shrink_to_fit();
        Dictionary {
            finder: Finder::new(self.states.iter().map(|state| state.hash)),
            starts: starts.into(),
            names: self.names.into(),
            ids,
            dense,
        }
    }

    /// Writes every list. Ranks arrive in ascending order, so each list comes out sorted.
    fn fill(&mut self, order: &[u32], starts: &[Starts], dense: &mut [DenseList]) -> Box<[u32]> {
        // From now on `files` is where the next rank of a sorted list goes.
        for (state, start) in self.states.iter_mut().zip(starts) {
            state.files = start.ids;
        }
        let total = starts.last().map_or(0, |end| end.ids);
        let mut ids = vec![0; total as usize].into_boxed_slice();
        for (rank, &file) in (0..).zip(order) {
            for at in self.span_of(file) {
                let state = &mut self.states[self.file_terms[at] as usize];
                match state.last_file {
                    u32::MAX => {
                        ids[state.files as usize] = rank;
                        state.files += 1;
                    }
                    at => dense[at as usize].bits.insert(rank),
                }
            }
        }
        ids
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
