//! How a query is run on one segment: the rarest criterion drives, the others check its files.
//! [`Plan`] is the same in words, for `explain`.

use std::fmt;

use smallvec::SmallVec;

use super::{Query, fields};
use crate::index::{Field, Layer, PathPattern, Postings, Segment, Snapshot, Term, gallop, hash};

/// A path pattern counts as a list of this share of the files when the driver is chosen: to search
/// the arena costs about as much as to try the pattern on a third of its paths one by one.
const PATTERN_SHARE: u32 = 3;

/// A criterion found in one segment.
#[derive(Debug)]
pub(super) enum Leaf<'s> {
    /// Checked by the language column.
    Language(Term, Postings<'s>),
    List(Postings<'s>),
    Method(Box<Method<'s>>),
    Pattern(&'s PathPattern),
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

impl Method<'_> {
    pub(super) fn holds(&self, segment: &Segment, rank: u32) -> bool {
        self.whole.contains(rank) || self.divided.iter().any(|pair| pair.holds(segment, rank))
    }

    fn files_at_most(&self) -> u32 {
        self.divided.iter().fold(self.whole.len(), |sum, pair| {
            sum.saturating_add(pair.candidates.len())
        })
    }

    /// Every file that may hold it, in order.
    fn candidates(&self) -> Vec<u32> {
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

impl Divided<'_> {
    fn holds(&self, segment: &Segment, rank: u32) -> bool {
        segment
            .pairs(rank)
            .binary_search(&(self.class, self.method))
            .is_ok()
    }
}

impl<'s> Leaf<'s> {
    /// The criterion in this segment; `None` if no file of it can match.
    fn find(segment: &'s Segment, field: Field, name: &str) -> Option<Leaf<'s>> {
        let dictionary = segment.dictionary(field);
        let find = |field: Field, name: &str| {
            segment
                .dictionary(field)
                .find(hash(segment.hasher(), name), name)
        };
        let term = find(field, name);
        match field {
            Field::Language => Some(Leaf::Language(term?, dictionary.postings(term?))),
            Field::Function if name.contains('.') => {
                let whole = term.map_or(Postings::EMPTY, |term| dictionary.postings(term));
                let divided: SmallVec<_> = name
                    .match_indices('.')
                    .filter_map(|(at, _)| {
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
                    })
                    .collect();
                if divided.is_empty() {
                    return term.map(|_| Leaf::List(whole));
                }
                Some(Leaf::Method(Box::new(Method { whole, divided })))
            }
            _ => Some(Leaf::List(dictionary.postings(term?))),
        }
    }

    /// An upper bound of the files that match, to choose the driver by.
    fn files_at_most(&self, segment: &Segment) -> u32 {
        match self {
            Leaf::Language(_, list) | Leaf::List(list) => list.len(),
            Leaf::Method(method) => method.files_at_most(),
            Leaf::Pattern(_) => segment.len() / PATTERN_SHARE,
        }
    }
}

/// The leaves of a query in one segment, the rarest first; `None` if no file can match.
pub(super) fn leaves<'s>(query: &'s Query, segment: &'s Segment) -> Option<Leaves<'s>> {
    let mut leaves = Leaves::new();
    for (field, name) in query.terms() {
        leaves.push(Leaf::find(segment, *field, name)?);
    }
    leaves.extend(query.patterns().iter().map(Leaf::Pattern));
    if leaves.len() > 1 {
        leaves.sort_by_key(|leaf| leaf.files_at_most(segment));
    }
    Some(leaves)
}

pub(super) type Leaves<'s> = SmallVec<[Leaf<'s>; 4]>;

/// The files of one layer that match, in path order.
#[derive(Debug)]
pub(super) struct Matches<'s> {
    layer: &'s Layer,
    driver: Driver<'s>,
    checks: SmallVec<[Check<'s>; 4]>,
    /// The next rank to look at, and the end.
    from: u32,
    to: u32,
}

#[derive(Debug)]
enum Driver<'s> {
    All,
    Sorted { ids: &'s [u32], at: usize },
    Dense(Postings<'s>),
    Owned { ids: Vec<u32>, at: usize },
    Pattern(&'s PathPattern),
}

#[derive(Debug)]
enum Check<'s> {
    Language(Term),
    Sorted { ids: &'s [u32], at: usize },
    Dense(Postings<'s>),
    Method(Box<Method<'s>>),
    Pattern(&'s PathPattern),
}

impl<'s> Matches<'s> {
    pub(super) fn new(query: &'s Query, layer: &'s Layer) -> Option<Self> {
        let segment = &*layer.segment;
        let mut leaves = leaves(query, segment)?.into_iter();
        let (mut from, mut to) = (0, segment.len());
        for pattern in query.patterns() {
            let (low, high) = pattern.range(segment.paths());
            (from, to) = (from.max(low), to.min(high));
        }
        let mut checks = SmallVec::new();
        let driver = match leaves.next() {
            None => Driver::All,
            Some(Leaf::Language(_, list) | Leaf::List(list)) => Driver::list(list),
            Some(Leaf::Method(method)) => {
                let ids = method.candidates();
                checks.push(Check::Method(method));
                Driver::Owned { ids, at: 0 }
            }
            Some(Leaf::Pattern(pattern)) => Driver::Pattern(pattern),
        };
        checks.extend(leaves.map(|leaf| match leaf {
            Leaf::Language(term, _) => Check::Language(term),
            Leaf::List(Postings::Sorted(ids)) => Check::Sorted { ids, at: 0 },
            Leaf::List(dense) => Check::Dense(dense),
            Leaf::Method(method) => Check::Method(method),
            Leaf::Pattern(pattern) => Check::Pattern(pattern),
        }));
        Some(Matches {
            layer,
            driver,
            checks,
            from,
            to,
        })
    }
}

impl Iterator for Matches<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let layer = self.layer;
        while let Some(rank) = self.driver.next(&layer.segment, self.from, self.to) {
            self.from = rank + 1;
            if !layer.mask.contains(rank)
                && self
                    .checks
                    .iter_mut()
                    .all(|check| check.holds(&layer.segment, rank))
            {
                return Some(rank);
            }
        }
        self.from = self.to;
        None
    }
}

impl<'s> Driver<'s> {
    fn list(list: Postings<'s>) -> Self {
        match list {
            Postings::Sorted(ids) => Driver::Sorted { ids, at: 0 },
            dense => Driver::Dense(dense),
        }
    }

    /// The first candidate in `from..to`; `from` only grows.
    fn next(&mut self, segment: &Segment, from: u32, to: u32) -> Option<u32> {
        let next = match self {
            Driver::All => Some(from),
            Driver::Sorted { ids, at } => next_sorted(ids, at, from),
            Driver::Owned { ids, at } => next_sorted(ids, at, from),
            Driver::Dense(Postings::Dense { bits, .. }) => bits.next_from(from),
            Driver::Dense(Postings::Sorted(_)) => None,
            Driver::Pattern(pattern) => pattern.next_match(segment.paths(), from, to),
        };
        next.filter(|&rank| rank < to)
    }
}

fn next_sorted(ids: &[u32], at: &mut usize, from: u32) -> Option<u32> {
    // All but the first step of a narrowed range go to the neighbour.
    gallop(ids, at, from);
    ids.get(*at).copied()
}

impl Check<'_> {
    /// Whether a candidate matches; candidates only grow.
    fn holds(&mut self, segment: &Segment, rank: u32) -> bool {
        match self {
            Check::Language(term) => segment.has_language(rank, *term),
            Check::Sorted { ids, at } => {
                gallop(ids, at, rank);
                ids.get(*at) == Some(&rank)
            }
            Check::Dense(list) => list.contains(rank),
            Check::Method(method) => method.holds(segment, rank),
            Check::Pattern(pattern) => pattern.matches(segment.paths().bytes(rank)),
        }
    }
}

/// How a query runs on a snapshot, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The query in words.
    pub query: String,
    /// The base first, then the tiers from old to new.
    pub layers: Vec<LayerPlan>,
}

/// How a query runs on one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerPlan {
    /// How many files of the layer count.
    pub files: u64,
    /// The driver first, then the checks in their order; empty if all files match or none can.
    pub steps: Vec<PlanStep>,
    /// No file of the layer can match: a name does not occur in it.
    pub empty: bool,
}

/// One criterion in a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanStep {
    /// How it is looked up: `sorted list`, `bitmap`, `column`, `pair list`, `arena search`,
    /// `path by path`.
    pub access: &'static str,
    /// The criterion in words.
    pub criterion: String,
    /// At most this many files match it; a guess for a pattern.
    pub files: u64,
}

impl Plan {
    pub(super) fn new(query: &Query, snapshot: &Snapshot) -> Plan {
        let layers = snapshot
            .layers
            .iter()
            .map(|layer| LayerPlan::new(query, layer))
            .collect();
        Plan {
            query: query.to_string(),
            layers,
        }
    }
}

impl LayerPlan {
    fn new(query: &Query, layer: &Layer) -> LayerPlan {
        let segment = &*layer.segment;
        let mut steps = Vec::new();
        let mut empty = false;
        for (field, name) in query.terms() {
            match Leaf::find(segment, *field, name) {
                Some(leaf) => steps.push((leaf, fields::describe_term(*field, name))),
                None => empty = true,
            }
        }
        for pattern in query.patterns() {
            steps.push((Leaf::Pattern(pattern), fields::describe_pattern(pattern)));
        }
        // The same stable sort by the same key as when the query runs.
        steps.sort_by_key(|(leaf, _)| leaf.files_at_most(segment));
        if empty {
            steps.clear();
        }
        let steps = steps
            .into_iter()
            .enumerate()
            .map(|(at, (leaf, criterion))| PlanStep {
                access: access(&leaf, at == 0),
                criterion,
                files: leaf.files_at_most(segment).into(),
            });
        LayerPlan {
            files: layer.live().into(),
            steps: steps.collect(),
            empty,
        }
    }
}

fn access(leaf: &Leaf<'_>, drives: bool) -> &'static str {
    match leaf {
        Leaf::Language(..) if !drives => "column",
        Leaf::Language(_, list) | Leaf::List(list) => match list {
            Postings::Sorted(_) => "sorted list",
            Postings::Dense { .. } => "bitmap",
        },
        Leaf::Method(_) => "pair list",
        Leaf::Pattern(_) if drives => "arena search",
        Leaf::Pattern(_) => "path by path",
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "query  {}", self.query)?;
        for (at, layer) in self.layers.iter().enumerate() {
            let name = if at == 0 {
                "base".to_owned()
            } else {
                format!("tier {at}")
            };
            writeln!(f, "{name}  {} files", layer.files)?;
            if layer.empty {
                writeln!(f, "  none   a name does not occur here")?;
            } else if layer.steps.is_empty() {
                writeln!(f, "  all    every file in path order")?;
            }
            for (step, plan) in layer.steps.iter().enumerate() {
                let role = if step == 0 { "drive" } else { "check" };
                let (criterion, access, files) = (&plan.criterion, plan.access, plan.files);
                writeln!(
                    f,
                    "  {role}  {criterion}  ({access}, at most {files} files)"
                )?;
            }
        }
        Ok(())
    }
}
