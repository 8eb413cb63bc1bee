//! `Tree`: the files of one layer that match a query with alternatives or denials, in path order. What
//! is rarest drives, names or alternatives; everything else checks its files. A denial never drives:
//! it hides files from what does, which is every file if there is nothing else.
//!
//! A name that the layer does not have empties the criteria that must hold with it. So an alternative
//! that needs it goes, and a denial of it hides nothing.

use smallvec::SmallVec;

use super::criteria::{Hashes, Sorted, hashes, only_list};
use super::expression::{Conjunction, Group};
use super::matches::Matches;
use crate::index::{Bitmap, Layer, Postings, gallop};

/// What a stream that has ended has next: no rank is this large.
const END: u32 = u32::MAX;
/// Names and patterns are read ahead by no more than this.
const MOST_AHEAD: usize = 256;

/// A stream of ranks once it is started; before that, a check of ranks.
#[derive(Debug)]
pub(super) struct Tree<'s> {
    /// The names and patterns that must hold, if there are any; else every file that counts.
    flat: Matches<'s>,
    has_flat: bool,
    alternatives: SmallVec<[AnyOf<'s>; 1]>,
    denials: SmallVec<[Part<'s>; 2]>,
    /// The first of the alternatives drives, and not `flat`.
    is_led: bool,
    /// What was read of `flat` while it drives, in pieces that double: never much farther than is
    /// asked for, since its next match may be a long way off.
    ahead: Vec<u32>,
    at: usize,
    piece: usize,
}

impl<'s> Tree<'s> {
    /// The matches in a layer; `None` if there cannot be any.
    pub(super) fn new(all: &'s Conjunction, hashes: &Hashes, layer: &'s Layer) -> Option<Self> {
        // Most tiers lack a name, and then there is nothing more to do: alternatives first, since
        // what stands beside them is often a language.
        let mut alternatives = SmallVec::new();
        for group in &all.groups {
            if let Group::AnyOf(branches) = group {
                alternatives.push(AnyOf::new(branches, layer)?);
            }
        }
        let flat = Matches::idle(all, hashes, layer)?;
        let mut denials = SmallVec::new();
        for group in &all.groups {
            if let Group::Not(denied) = group {
                denials.extend(Part::new(denied, layer));
            }
        }
        Some(Tree {
            flat,
            has_flat: !(all.terms.is_empty() && all.patterns.is_empty()),
            alternatives,
            denials,
            is_led: false,
            ahead: Vec::new(),
            at: 0,
            piece: 0,
        })
    }

    /// At most so many files match.
    fn at_most(&self) -> u32 {
        let groups = self.alternatives.iter().map(AnyOf::at_most);
        groups.fold(self.flat.at_most(), u32::min)
    }

    /// Chooses what drives, here and in the groups that do. From here on files are read, probably so
    /// many to begin with.
    fn start(&mut self, expected: usize) {
        self.piece = expected.clamp(1, MOST_AHEAD);
        let groups = (0..).zip(self.alternatives.iter().map(AnyOf::at_most));
        match groups.min_by_key(|(_, files)| *files) {
            Some((rarest, files)) if files < self.flat.at_most() => {
                self.alternatives.swap(0, rarest);
                self.alternatives[0].start(self.flat.range());
                self.is_led = true;
            }
            _ => {
                self.flat.start();
                self.ahead.reserve(self.piece);
            }
        }
    }

    /// Appends the first matches until `found` holds `most`.
    pub(super) fn first(&mut self, most: usize, found: &mut Vec<u32>) {
        self.start(most);
        while found.len() < most {
            match self.next() {
                END => return,
                rank => found.push(rank),
            }
        }
    }

    /// How many matches there are.
    pub(super) fn count(mut self) -> u64 {
        self.start(MOST_AHEAD);
        let mut count = 0;
        while self.next() != END {
            count += 1;
        }
        count
    }

    fn next(&mut self) -> u32 {
        loop {
            let rank = match self.is_led {
                true => self.alternatives[0].next(),
                false => self.next_flat(),
            };
            if rank == END || self.is_left(rank) {
                return rank;
            }
        }
    }

    fn next_flat(&mut self) -> u32 {
        if self.at == self.ahead.len() {
            self.ahead.clear();
            self.at = 0;
            self.flat.fill(self.piece, &mut self.ahead);
            self.piece = (self.piece * 2).min(MOST_AHEAD);
        }
        match self.ahead.get(self.at) {
            Some(&rank) => {
                self.at += 1;
                rank
            }
            None => END,
        }
    }

    /// Whether a file that the driver found also passes the others. Ranks only grow.
    fn is_left(&mut self, rank: u32) -> bool {
        let (led, checked) = self.alternatives.split_at_mut(usize::from(self.is_led));
        // Alternatives know no mask.
        (led.is_empty() || !self.flat.is_masked(rank) && (!self.has_flat || self.flat.holds(rank)))
            && checked.iter_mut().all(|group| group.holds(rank))
            && !self.denials.iter_mut().any(|denied| denied.holds(rank))
    }

    /// Whether a file matches, masked or not. Ranks only grow, and whoever asks this reads nothing.
    fn holds(&mut self, rank: u32) -> bool {
        (!self.has_flat || self.flat.holds(rank)) && self.is_left(rank)
    }
}

/// Alternatives, of which one must hold. Those that no file of the layer fits are left out.
#[derive(Debug)]
struct AnyOf<'s> {
    branches: SmallVec<[Branch<'s>; 2]>,
    /// Where it ends, once it is started.
    to: u32,
}

/// An alternative, and the first file of it that has not been given.
#[derive(Debug)]
struct Branch<'s> {
    part: Part<'s>,
    head: u32,
}

impl<'s> AnyOf<'s> {
    /// `None` if no file of the layer fits any of them.
    fn new(branches: &'s [Conjunction], layer: &'s Layer) -> Option<Self> {
        let mut any_of = AnyOf {
            branches: SmallVec::new(),
            to: END,
        };
        for branch in branches {
            let part = Part::new(branch, layer);
            any_of
                .branches
                .extend(part.map(|part| Branch { part, head: END }));
        }
        (!any_of.branches.is_empty()).then_some(any_of)
    }

    fn at_most(&self) -> u32 {
        let branches = self.branches.iter().map(|branch| branch.part.at_most());
        branches.fold(0, u32::saturating_add)
    }

    fn start(&mut self, range: (u32, u32)) {
        self.to = range.1;
        for branch in &mut self.branches {
            branch.part.start(range);
            branch.head = branch.part.next();
        }
    }

    /// Merges the branches: a file of several is given once.
    fn next(&mut self) -> u32 {
        let heads = self.branches.iter().map(|branch| branch.head);
        let next = heads.min().unwrap_or(END);
        if next >= self.to {
            return END;
        }
        for branch in &mut self.branches {
            if branch.head == next {
                branch.head = branch.part.next();
            }
        }
        next
    }

    fn holds(&mut self, rank: u32) -> bool {
        let mut branches = self.branches.iter_mut();
        branches.any(|branch| branch.part.holds(rank))
    }
}

/// What an alternative or a denial is: mostly one name, and so one list.
#[derive(Debug)]
enum Part<'s> {
    Sorted(Sorted<'s>),
    Dense {
        bits: &'s Bitmap,
        files: u32,
        /// The next rank to look at.
        from: u32,
    },
    Tree(Box<Tree<'s>>),
}

/// How far a tree among alternatives is read ahead to begin with.
const FIRST_PIECE: usize = 2;

impl<'s> Part<'s> {
    /// `None` if no file of the layer fits it.
    fn new(all: &'s Conjunction, layer: &'s Layer) -> Option<Self> {
        match only_list(all, &layer.segment) {
            Some(Postings::Sorted([])) => None,
            Some(Postings::Sorted(ids)) => Some(Part::Sorted(Sorted { ids, at: 0 })),
            Some(Postings::Dense { bits, len }) => Some(Part::Dense {
                bits,
                files: len,
                from: 0,
            }),
            None => {
                let tree = Tree::new(all, &hashes(all, &layer.segment), layer)?;
                Some(Part::Tree(Box::new(tree)))
            }
        }
    }

    fn at_most(&self) -> u32 {
        match self {
            Part::Sorted(list) => list.ids.len() as u32,
            Part::Dense { files, .. } => *files,
            Part::Tree(tree) => tree.at_most(),
        }
    }

    /// From here on, files of this range are read; it may give some that are later, too.
    fn start(&mut self, range: (u32, u32)) {
        match self {
            Part::Sorted(list) => gallop(list.ids, &mut list.at, range.0),
            Part::Dense { from, .. } => *from = range.0,
            Part::Tree(tree) => {
                tree.flat.narrow(range);
                tree.start(FIRST_PIECE);
            }
        }
    }

    fn next(&mut self) -> u32 {
        match self {
            Part::Sorted(list) => {
                let next = list.ids.get(list.at).copied();
                list.at += 1;
                next.unwrap_or(END)
            }
            Part::Dense { bits, from, .. } => match bits.next_from(*from) {
                Some(rank) => {
                    *from = rank + 1;
                    rank
                }
                None => END,
            },
            Part::Tree(tree) => tree.next(),
        }
    }

    fn holds(&mut self, rank: u32) -> bool {
        match self {
            Part::Sorted(list) => list.holds(rank),
            Part::Dense { bits, .. } => bits.contains(rank),
            Part::Tree(tree) => tree.holds(rank),
        }
    }
}
