//! `Tree`: the files of one layer that match a query with alternatives or denials, in path order. What
//! is rarest drives, names or alternatives; everything else checks its files. A denial never drives:
//! it hides files from what does, which is every file if there is nothing else.
//!
//! A name that the layer does not have empties the criteria that must hold with it. So an alternative
//! that needs it goes, and a denial of it hides nothing.

use super::criteria::{Hashes, hashes};
use super::expression::{Conjunction, Group};
use super::matches::{Matches, PIECE, count_in_pieces};
use crate::index::Layer;

/// A stream of ranks once it is started; before that, a check of ranks.
#[derive(Debug)]
pub(super) struct Tree<'s> {
    /// The names and patterns that must hold.
    flat: Matches<'s>,
    alternatives: Vec<AnyOf<'s>>,
    denials: Vec<Tree<'s>>,
    /// The first of the alternatives drives, and not `flat`.
    is_led: bool,
}

impl<'s> Tree<'s> {
    /// The matches in a layer; `None` if there cannot be any.
    pub(super) fn new(all: &'s Conjunction, hashes: &Hashes, layer: &'s Layer) -> Option<Self> {
        let flat = Matches::idle(all, hashes, layer)?;
        let (mut alternatives, mut denials) = (Vec::new(), Vec::new());
        for group in &all.groups {
            match group {
                Group::AnyOf(branches) => alternatives.push(AnyOf::new(branches, layer)?),
                Group::Not(denied) => denials.extend(Tree::inner(denied, layer)),
            }
        }
        Some(Tree {
            flat,
            alternatives,
            denials,
            is_led: false,
        })
    }

    fn inner(all: &'s Conjunction, layer: &'s Layer) -> Option<Self> {
        Tree::new(all, &hashes(all, &layer.segment), layer)
    }

    /// At most so many files match.
    fn at_most(&self) -> u32 {
        let groups = self.alternatives.iter().map(AnyOf::at_most);
        groups.fold(self.flat.at_most(), u32::min)
    }

    /// Chooses what drives, here and in the groups that do. From here on, files are read.
    pub(super) fn start(&mut self) {
        let groups = (0..).zip(self.alternatives.iter().map(AnyOf::at_most));
        match groups.min_by_key(|(_, files)| *files) {
            Some((rarest, files)) if files < self.flat.at_most() => {
                self.alternatives.swap(0, rarest);
                self.alternatives[0].start(self.flat.range());
                self.is_led = true;
            }
            _ => self.flat.start(),
        }
    }

    fn narrow(&mut self, range: (u32, u32)) {
        self.flat.narrow(range);
    }

    /// Appends matches until `found` holds `most` or there are no more.
    pub(super) fn fill(&mut self, most: usize, found: &mut Vec<u32>) {
        while found.len() < most {
            let start = found.len();
            let wanted = most.min(start.saturating_add(PIECE));
            match self.is_led {
                true => self.alternatives[0].fill(wanted, found),
                false => self.flat.fill(wanted, found),
            }
            let is_end = found.len() < wanted;
            let mut kept = start;
            for at in start..found.len() {
                if self.is_left(found[at]) {
                    found[kept] = found[at];
                    kept += 1;
                }
            }
            found.truncate(kept);
            if is_end {
                return;
            }
        }
    }

    /// How many matches there are.
    pub(super) fn count(mut self) -> u64 {
        self.start();
        count_in_pieces(|most, found| self.fill(most, found))
    }

    /// Whether a file that the driver found also passes the others. Ranks only grow.
    fn is_left(&mut self, rank: u32) -> bool {
        let (led, checked) = self.alternatives.split_at_mut(usize::from(self.is_led));
        (led.is_empty() || self.flat.holds(rank))
            && checked.iter_mut().all(|group| group.holds(rank))
            && !self.denials.iter_mut().any(|denied| denied.holds(rank))
    }

    /// Whether a file matches, masked or not. Ranks only grow, and whoever asks this reads nothing.
    fn holds(&mut self, rank: u32) -> bool {
        self.flat.holds(rank) && self.is_left(rank)
    }
}

/// Alternatives, of which one must hold. Those that no file of the layer fits are left out.
#[derive(Debug)]
struct AnyOf<'s> {
    branches: Vec<Branch<'s>>,
}

impl<'s> AnyOf<'s> {
    /// `None` if no file of the layer fits any of them.
    fn new(branches: &'s [Conjunction], layer: &'s Layer) -> Option<Self> {
        let branches: Vec<_> = branches
            .iter()
            .filter_map(|branch| Tree::inner(branch, layer))
            .map(Branch::new)
            .collect();
        (!branches.is_empty()).then_some(AnyOf { branches })
    }

    fn at_most(&self) -> u32 {
        let branches = self.branches.iter().map(|branch| branch.tree.at_most());
        branches.fold(0, u32::saturating_add)
    }

    fn start(&mut self, range: (u32, u32)) {
        for branch in &mut self.branches {
            branch.tree.narrow(range);
            branch.tree.start();
            branch.read();
        }
    }

    /// Merges the branches: a file of several is appended once.
    fn fill(&mut self, most: usize, found: &mut Vec<u32>) {
        while found.len() < most {
            let heads = self.branches.iter().map(|branch| branch.head);
            let next = heads.min().unwrap_or(END);
            if next == END {
                return;
            }
            found.push(next);
            for branch in &mut self.branches {
                if branch.head == next {
                    branch.advance();
                }
            }
        }
    }

    fn holds(&mut self, rank: u32) -> bool {
        let mut branches = self.branches.iter_mut();
        branches.any(|branch| branch.tree.holds(rank))
    }
}

/// What a branch that has ended has next: no rank is this large.
const END: u32 = u32::MAX;
/// A branch is read at most so far ahead.
const AHEAD: usize = 64;

/// One of several alternatives. It is read ahead in pieces that double: never much farther than it is
/// asked for, since the next match of a rare one may be a long way off.
#[derive(Debug)]
struct Branch<'s> {
    tree: Tree<'s>,
    /// The first rank that has not been given.
    head: u32,
    ahead: Vec<u32>,
    at: usize,
    /// How many are read ahead the next time; 0 after the end.
    piece: usize,
}

impl<'s> Branch<'s> {
    fn new(tree: Tree<'s>) -> Self {
        Branch {
            tree,
            head: END,
            ahead: Vec::new(),
            at: 0,
            piece: 2,
        }
    }

    fn advance(&mut self) {
        self.at += 1;
        match self.ahead.get(self.at) {
            Some(&rank) => self.head = rank,
            None => self.read(),
        }
    }

    fn read(&mut self) {
        self.ahead.clear();
        self.at = 0;
        self.tree.fill(self.piece, &mut self.ahead);
        self.piece = match self.ahead.len() < self.piece {
            true => 0,
            false => (self.piece * 2).min(AHEAD),
        };
        self.head = self.ahead.first().copied().unwrap_or(END);
    }
}
