//! Running a query on a snapshot: the streams of its layers merged into path order, or only counted.

use std::cmp::Ordering;

use super::Query;
use super::criteria::{Criteria, Hashes, hashes};
use super::matches::Matches;
use crate::index::{FileId, Layer, Snapshot};

/// A stream is read in pieces of at most this many files.
const PIECE: usize = 32;

/// The first `limit` files that match, in path order.
pub(super) fn search(snapshot: &Snapshot, query: &Query, limit: usize) -> Vec<FileId> {
    let hashes = hashes(query, &snapshot.layers[0].segment);
    match &snapshot.layers[..] {
        [base] => {
            let mut ranks = Vec::with_capacity(limit.min(PIECE));
            if let Some(mut matches) = Matches::new(query, &hashes, base) {
                matches.fill(limit, &mut ranks);
            }
            ranks
                .into_iter()
                .map(|rank| FileId { layer: 0, rank })
                .collect()
        }
        layers => merged(layers, query, &hashes, limit),
    }
}

/// How many files match.
pub(super) fn count(snapshot: &Snapshot, query: &Query) -> u64 {
    let hashes = hashes(query, &snapshot.layers[0].segment);
    snapshot
        .layers
        .iter()
        .map(|layer| count_layer(layer, query, &hashes))
        .sum()
}

/// The stream of one layer, with its next file and where that stands in path order.
struct Stream<'s> {
    layer: u32,
    of: &'s Layer,
    matches: Matches<'s>,
    /// Read but not taken yet, from `next` on.
    piece: Vec<u32>,
    next: usize,
    /// Twice the number of base paths before the next file, plus one if it is of the base itself: a
    /// file of a tier comes before the base file at whose place it stands.
    place: u64,
}

impl<'s> Stream<'s> {
    fn new(layer: u32, of: &'s Layer, matches: Matches<'s>, limit: usize) -> Option<Self> {
        let piece = Vec::with_capacity(limit.min(PIECE));
        let mut stream = Stream {
            layer,
            of,
            matches,
            piece,
            next: 0,
            place: 0,
        };
        stream.refill(limit).then_some(stream)
    }

    fn rank(&self) -> u32 {
        self.piece[self.next]
    }

    /// Moves to the next file; false at the end. At most `wanted` more are asked for.
    fn advance(&mut self, wanted: usize) -> bool {
        self.next += 1;
        if self.next < self.piece.len() {
            self.find_place();
            return true;
        }
        self.refill(wanted)
    }

    fn refill(&mut self, wanted: usize) -> bool {
        self.piece.clear();
        self.next = 0;
        self.matches.fill(wanted.min(PIECE), &mut self.piece);
        if self.piece.is_empty() {
            return false;
        }
        self.find_place();
        true
    }

    fn find_place(&mut self) {
        let rank = self.rank();
        self.place = match self.layer {
            0 => u64::from(rank) * 2 + 1,
            _ => u64::from(self.of.base_ranks[rank as usize]) * 2,
        };
    }

    fn order(&self, other: &Self) -> Ordering {
        // Only files of two tiers between the same two base files need their paths compared.
        let path = |stream: &Self| stream.of.segment.paths().bytes(stream.rank());
        self.place
            .cmp(&other.place)
            .then_with(|| path(self).cmp(path(other)))
    }
}

fn merged(layers: &[Layer], query: &Query, hashes: &Hashes, limit: usize) -> Vec<FileId> {
    let mut streams = Vec::new();
    for (layer, of) in (0..).zip(layers) {
        let matches = Matches::new(query, hashes, of);
        streams.extend(matches.and_then(|matches| Stream::new(layer, of, matches, limit)));
    }
    let mut found = Vec::with_capacity(limit.min(PIECE));
    // A snapshot has few layers: the least of the heads is found by looking at each.
    while found.len() < limit
        && let Some(at) = (0..streams.len()).min_by(|&a, &b| streams[a].order(&streams[b]))
    {
        let stream: &mut Stream<'_> = &mut streams[at];
        found.push(FileId {
            layer: stream.layer,
            rank: stream.rank(),
        });
        if !stream.advance(limit - found.len()) {
            streams.swap_remove(at);
        }
    }
    found
}

fn count_layer(layer: &Layer, query: &Query, hashes: &Hashes) -> u64 {
    if query.patterns().is_empty() {
        if query.terms().is_empty() {
            return layer.live().into();
        }
        let Some(criteria) = Criteria::find(query, hashes, &layer.segment) else {
            return 0;
        };
        if criteria.sorted.is_empty() && criteria.is_lists_only() {
            return count_words(layer, &criteria);
        }
    }
    Matches::new(query, hashes, layer).map_or(0, Matches::count)
}

/// Counts the members that all of the bitmaps share, less those that are masked.
fn count_words(layer: &Layer, criteria: &Criteria<'_>) -> u64 {
    let lists: smallvec::SmallVec<[&[u64]; 4]> =
        criteria.dense.iter().map(|bits| bits.words()).collect();
    let ones = |word: u64| u64::from(word.count_ones());
    let shared: u64 = match &lists[..] {
        [] => 0,
        [_] => criteria.dense_len.into(),
        [one, two] => one.iter().zip(*two).map(|(a, b)| ones(a & b)).sum(),
        [one, rest @ ..] => (0..one.len())
            .map(|at| ones(rest.iter().fold(one[at], |word, list| word & list[at])))
            .sum(),
    };
    let masked = layer
        .mask
        .pages()
        .flat_map(|(first, page)| (first..).zip(page));
    let masked: u64 = masked
        .filter(|(at, word)| **word != 0 && *at < lists[0].len())
        .map(|(at, word)| ones(lists.iter().fold(*word, |word, list| word & list[at])))
        .sum();
    shared - masked
}
