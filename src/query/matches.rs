//! `Matches`: the files of one layer that match, in path order. The rarest criterion drives; the
//! others check its files, and where one of them has a later file next, the driver leaps to it. Of
//! alternatives and denials it knows nothing: those are `tree`'s.

use super::criteria::{Criteria, Hashes, Method, Sorted};
use super::expression::Conjunction;
use crate::index::{Layer, PathPattern, gallop};

/// A path pattern counts as a list of this share of the files when the driver is chosen: to search
/// the arena costs about as much as to try the pattern on a third of its paths one by one.
pub(super) const PATTERN_SHARE: u32 = 3;

/// A stream of ranks, read in pieces.
#[derive(Debug)]
pub(super) struct Matches<'s> {
    layer: &'s Layer,
    criteria: Criteria<'s>,
    patterns: &'s [PathPattern],
    driver: Driver,
    /// The next rank to look at, and the end.
    from: u32,
    to: u32,
}

#[derive(Debug)]
enum Driver {
    All,
    /// The shortest sorted list.
    Sorted,
    /// All bitmaps at once, a word at a time. They are never shorter than a sorted list.
    Dense,
    /// Where the rarest method may be.
    Method {
        ids: Vec<u32>,
        at: usize,
    },
    /// The pattern of this number.
    Pattern(usize),
}

impl<'s> Matches<'s> {
    /// The matches in a layer, to be read; `None` if there cannot be any.
    pub(super) fn new(all: &'s Conjunction, hashes: &Hashes, layer: &'s Layer) -> Option<Self> {
        let mut matches = Self::idle(all, hashes, layer)?;
        matches.start();
        Some(matches)
    }

    /// The same without a driver: for whoever only asks [`Matches::holds`], or starts it later.
    pub(super) fn idle(all: &'s Conjunction, hashes: &Hashes, layer: &'s Layer) -> Option<Self> {
        let segment = &*layer.segment;
        let criteria = Criteria::find(all, hashes, segment)?;
        let (mut from, mut to) = (0, segment.len());
        for pattern in &all.patterns {
            let (low, high) = pattern.range(segment.paths());
            (from, to) = (from.max(low), to.min(high));
        }
        Some(Matches {
            layer,
            criteria,
            patterns: &all.patterns,
            driver: Driver::All,
            from,
            to,
        })
    }

    /// Chooses the driver.
    pub(super) fn start(&mut self) {
        self.driver = Driver::choose(&self.criteria, self.patterns, self.layer.segment.len());
    }

    /// The ranks outside of which nothing matches.
    pub(super) fn range(&self) -> (u32, u32) {
        (self.from, self.to)
    }

    /// Leaves out the ranks outside of these. To be said before anything is read.
    pub(super) fn narrow(&mut self, (from, to): (u32, u32)) {
        (self.from, self.to) = (self.from.max(from), self.to.min(to));
    }

    /// At most so many files match, by what would drive; a pattern counts as what it costs.
    pub(super) fn at_most(&self) -> u32 {
        let files = self.layer.segment.len();
        let sorted = self.criteria.sorted.first();
        let list = match sorted {
            Some(list) => Some(list.ids.len() as u32),
            None => (!self.criteria.dense.is_empty()).then_some(self.criteria.dense_len),
        };
        let methods = self.criteria.methods.iter().map(Method::files_at_most);
        let pattern = (!self.patterns.is_empty()).then_some(files / PATTERN_SHARE);
        list.into_iter()
            .chain(methods)
            .chain(pattern)
            .fold(files, u32::min)
    }

    /// Whether a file of the layer does not count any more.
    pub(super) fn is_masked(&self, rank: u32) -> bool {
        self.layer.mask.contains(rank)
    }

    /// Whether a file matches, masked or not. Ranks only grow from call to call, and whoever asks
    /// this reads nothing.
    pub(super) fn holds(&mut self, rank: u32) -> bool {
        (self.from..self.to).contains(&rank) && self.is_shared(rank) && self.verify(rank)
    }

    /// Appends matches until `found` holds `most` or there are no more.
    pub(super) fn fill(&mut self, most: usize, found: &mut Vec<u32>) {
        match self.driver {
            Driver::Sorted => self.fill_from_list(most, found),
            Driver::Dense => self.fill_from_words(most, found),
            _ => self.fill_one_by_one(most, found),
        }
    }

    /// How many matches there are from here on.
    pub(super) fn count(mut self) -> u64 {
        const PIECE: usize = 1024;
        let whole = self.layer.mask.len() == 0 && (self.from, self.to) == (0, self.layer.live());
        if whole && self.patterns.is_empty() && self.criteria.is_lists_only() {
            match (
                &self.driver,
                &self.criteria.sorted[..],
                &self.criteria.dense[..],
            ) {
                (Driver::All, ..) => return self.to.into(),
                (_, [one], []) => return one.ids.len() as u64,
                _ => {}
            }
        }
        let (mut found, mut count) = (Vec::with_capacity(PIECE), 0);
        loop {
            found.clear();
            self.fill(PIECE, &mut found);
            count += found.len() as u64;
            if found.len() < PIECE {
                return count;
            }
        }
    }

    fn fill_from_list(&mut self, most: usize, found: &mut Vec<u32>) {
        let mut at = self.criteria.sorted[0].at;
        let ids = self.criteria.sorted[0].ids;
        gallop(ids, &mut at, self.from);
        while found.len() < most
            && let Some(&rank) = ids.get(at)
            && rank < self.to
        {
            match self.criteria.next_shared(rank) {
                Some(next) if next == rank => {
                    at += 1;
                    if !self.layer.mask.contains(rank) && self.verify(rank) {
                        found.push(rank);
                    }
                }
                Some(next) => gallop(ids, &mut at, next),
                None => at = ids.len(),
            }
        }
        self.criteria.sorted[0].at = at;
    }

    fn fill_from_words(&mut self, most: usize, found: &mut Vec<u32>) {
        let words = self.criteria.dense[0].words().len();
        let mut at = self.from as usize / 64;
        while found.len() < most && at < words && self.from < self.to {
            let all = |word: u64, bits: &&crate::index::Bitmap| word & bits.words()[at];
            let shared = self
                .criteria
                .dense
                .iter()
                .fold(!self.layer.mask.word(at), all);
            let mut word = shared & (!0 << (self.from % 64));
            at += 1;
            self.from = at as u32 * 64;
            while word != 0 {
                let rank = (at as u32 - 1) * 64 + word.trailing_zeros();
                if rank >= self.to {
                    break;
                }
                if found.len() == most {
                    self.from = rank;
                    break;
                }
                word &= word - 1;
                if self.verify(rank) {
                    found.push(rank);
                }
            }
        }
    }

    fn fill_one_by_one(&mut self, most: usize, found: &mut Vec<u32>) {
        while found.len() < most
            && self.from < self.to
            && let Some(rank) = self.next_candidate()
            && rank < self.to
        {
            self.from = rank + 1;
            if self.is_shared(rank) && !self.layer.mask.contains(rank) && self.verify(rank) {
                found.push(rank);
            }
        }
        if found.len() < most {
            self.from = self.to;
        }
    }

    fn next_candidate(&mut self) -> Option<u32> {
        match &mut self.driver {
            Driver::Method { ids, at, .. } => {
                gallop(ids, at, self.from);
                ids.get(*at).copied()
            }
            Driver::Pattern(number) => {
                let paths = self.layer.segment.paths();
                self.patterns[*number].next_match(paths, self.from, self.to)
            }
            _ => Some(self.from),
        }
    }

    /// Whether a file is in all lists.
    fn is_shared(&mut self, rank: u32) -> bool {
        self.criteria.sorted.iter_mut().all(|list| list.holds(rank))
            && self.criteria.dense.iter().all(|bits| bits.contains(rank))
    }

    /// Whether a file that all lists share also fits what no list can tell.
    fn verify(&self, rank: u32) -> bool {
        let segment = &*self.layer.segment;
        let known = match self.driver {
            Driver::Pattern(number) => number,
            _ => usize::MAX,
        };
        let mut patterns = (0..)
            .zip(self.patterns)
            .filter(|(number, _)| *number != known);
        self.criteria
            .methods
            .iter()
            .all(|method| method.holds(segment, rank))
            && patterns.all(|(_, pattern)| pattern.matches(segment.paths().bytes(rank)))
    }
}

impl Driver {
    /// The criterion that at most the fewest files fit.
    fn choose(criteria: &Criteria<'_>, patterns: &[PathPattern], files: u32) -> Self {
        let method = criteria
            .methods
            .iter()
            .min_by_key(|method| method.files_at_most());
        let mut least = u32::MAX;
        let mut driver = Driver::All;
        if let Some(list) = criteria.sorted.first() {
            (least, driver) = (list.ids.len() as u32, Driver::Sorted);
        } else if !criteria.dense.is_empty() {
            (least, driver) = (criteria.dense_len, Driver::Dense);
        }
        if let Some(method) = method.filter(|method| method.files_at_most() < least) {
            least = method.files_at_most();
            driver = Driver::Method {
                ids: method.candidates(),
                at: 0,
            };
        }
        if !patterns.is_empty() && files / PATTERN_SHARE < least {
            driver = Driver::Pattern(0);
        }
        driver
    }
}

impl Criteria<'_> {
    /// The first file from `rank` on that may be in every list but the first sorted one: `rank`
    /// itself if it is in all of them.
    fn next_shared(&mut self, rank: u32) -> Option<u32> {
        for bits in &self.dense {
            if !bits.contains(rank) {
                return bits.next_from(rank);
            }
        }
        for list in &mut self.sorted[1..] {
            if !list.holds(rank) {
                return list.ids.get(list.at).copied();
            }
        }
        Some(rank)
    }
}

impl Sorted<'_> {
    /// Whether the list holds a rank; ranks only grow.
    pub(super) fn holds(&mut self, rank: u32) -> bool {
        gallop(self.ids, &mut self.at, rank);
        self.ids.get(self.at) == Some(&rank)
    }
}
