//! The criteria of a query found in one segment: posting lists, and what only a look at a file can
//! tell.

use smallvec::SmallVec;

use super::expression::Conjunction;
use crate::index::{Bitmap, Field, Postings, Segment, Term, hash};

/// Most queries have no more criteria of a kind than this, and need no allocation for them.
pub(super) const FEW: usize = 4;

/// A sorted posting list and how far it has been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sorted<'s> {
    pub(super) ids: &'s [u32],
    pub(super) at: usize,
}

/// What a query looks for, in one segment.
#[derive(Debug, Default)]
pub(super) struct Criteria<'s> {
    /// The shortest first.
    pub(super) sorted: SmallVec<[Sorted<'s>; FEW]>,
    pub(super) dense: SmallVec<[&'s Bitmap; FEW]>,
    /// How many members the smallest bitmap has.
    pub(super) dense_len: u32,
    pub(super) methods: Vec<Method<'s>>,
}

/// The hash of each name of a query, the same for every layer of a snapshot.
pub(super) type Hashes = SmallVec<[u64; FEW]>;

pub(super) fn hashes(all: &Conjunction, segment: &Segment) -> Hashes {
    all.terms
        .iter()
        .map(|(_, name)| hash(segment.hasher(), name))
        .collect()
}

/// The list of criteria that are one name, empty if the segment does not have it; `None` if they are
/// more, or more than a list can tell.
pub(super) fn only_list<'s>(all: &Conjunction, segment: &'s Segment) -> Option<Postings<'s>> {
    match &all.terms[..] {
        [(field, name)]
            if all.patterns.is_empty() && all.groups.is_empty() && !may_be_method(*field, name) =>
        {
            let hash = hash(segment.hasher(), name);
            let term = segment.dictionary(*field).find(hash, name);
            Some(term.map_or(Postings::EMPTY, |term| segment.postings(*field, term)))
        }
        _ => None,
    }
}

impl<'s> Criteria<'s> {
    /// The criteria in this segment; `None` if a name does not occur in it, so that no file of it
    /// can match. The first name that is missing ends the search: in most tiers, that is one probe.
    pub(super) fn find(all: &Conjunction, hashes: &Hashes, segment: &'s Segment) -> Option<Self> {
        let mut terms: SmallVec<[Option<Term>; FEW]> = SmallVec::new();
        for ((field, name), hash) in all.terms.iter().zip(hashes) {
            let term = segment.dictionary(*field).find(*hash, name);
            if term.is_none() && !may_be_method(*field, name) {
                return None;
            }
            terms.push(term);
        }
        let mut criteria = Criteria::default();
        for ((field, name), term) in all.terms.iter().zip(terms) {
            criteria.add(segment, *field, name, term)?;
        }
        if criteria.sorted.len() > 1 {
            criteria.sorted.sort_by_key(|list| list.ids.len());
        }
        Some(criteria)
    }

    fn add(
        &mut self,
        segment: &'s Segment,
        field: Field,
        name: &str,
        term: Option<Term>,
    ) -> Option<()> {
        let list = term.map(|term| segment.postings(field, term));
        if may_be_method(field, name) {
            let method = Method::find(segment, name, list.unwrap_or(Postings::EMPTY));
            if !method.divided.is_empty() {
                self.methods.push(method);
                return Some(());
            }
        }
        match list? {
            Postings::Sorted(ids) => self.sorted.push(Sorted { ids, at: 0 }),
            Postings::Dense { bits, len } => {
                self.dense_len = if self.dense.is_empty() {
                    len
                } else {
                    self.dense_len.min(len)
                };
                self.dense.push(bits);
            }
        }
        Some(())
    }

    /// Whether lists alone decide.
    pub(super) fn is_lists_only(&self) -> bool {
        self.methods.is_empty()
    }
}

fn may_be_method(field: Field, name: &str) -> bool {
    field == Field::Function && name.contains('.')
}

/// A function that may be a `Class.method`: the files that hold a function of the whole name, and
/// those that hold the method in that class.
#[derive(Debug)]
pub(super) struct Method<'s> {
    whole: Postings<'s>,
    /// One entry for each place where the name may divide.
    divided: SmallVec<[Divided<'s>; 1]>,
}

#[derive(Debug)]
struct Divided<'s> {
    class: Term,
    method: Term,
    /// The rarer of the two.
    candidates: Postings<'s>,
}

impl<'s> Method<'s> {
    /// `whole` is the list of the name undivided.
    fn find(segment: &'s Segment, name: &str, whole: Postings<'s>) -> Self {
        let find = |field, name: &str| {
            segment
                .dictionary(field)
                .find(hash(segment.hasher(), name), name)
        };
        let divide = |(at, _)| {
            let class = find(Field::Class, &name[..at])?;
            let method = find(Field::Function, &name[at + 1..])?;
            let classes = segment.postings(Field::Class, class);
            let methods = segment.postings(Field::Function, method);
            let candidates = if classes.len() < methods.len() {
                classes
            } else {
                methods
            };
            Some(Divided {
                class,
                method,
                candidates,
            })
        };
        Method {
            whole,
            divided: name.match_indices('.').filter_map(divide).collect(),
        }
    }

    pub(super) fn holds(&self, segment: &Segment, rank: u32) -> bool {
        let in_pairs = |pair: &Divided<'_>| {
            segment
                .pairs(rank)
                .binary_search(&(pair.class, pair.method))
                .is_ok()
        };
        self.whole.contains(rank) || self.divided.iter().any(in_pairs)
    }

    pub(super) fn files_at_most(&self) -> u32 {
        let pairs = self.divided.iter().map(|pair| pair.candidates.len());
        pairs.fold(self.whole.len(), u32::saturating_add)
    }

    /// Every file that may hold it, in order.
    pub(super) fn candidates(&self) -> Vec<u32> {
        let mut ranks = Vec::with_capacity(self.files_at_most() as usize);
        self.whole.for_each(|rank| ranks.push(rank));
        for pair in &self.divided {
            pair.candidates.for_each(|rank| ranks.push(rank));
        }
        ranks.sort_unstable();
        ranks.dedup();
        ranks
    }
}
