//! Running a query on a snapshot: the streams of its layers merged into path order, or only counted.

use std::cmp::Ordering;

use super::Query;
use super::plan::{Leaf, Matches, leaves};
use crate::index::{FileId, Layer, Postings, Snapshot};

/// The first `limit` files that match, in path order.
pub(super) fn search(snapshot: &Snapshot, query: &Query, limit: usize) -> Vec<FileId> {
    if limit == 0 {
        return Vec::new();
    }
    match &snapshot.layers[..] {
        [base] => {
            let matches = Matches::new(query, base).into_iter().flatten();
            matches
                .take(limit)
                .map(|rank| FileId { layer: 0, rank })
                .collect()
        }
        layers => merged(layers, query, limit),
    }
}

/// How many files match.
pub(super) fn count(snapshot: &Snapshot, query: &Query) -> u64 {
    snapshot
        .layers
        .iter()
        .map(|layer| count_layer(layer, query))
        .sum()
}

/// The stream of one layer, with its next file and where that stands in path order.
struct Stream<'s> {
    layer: u32,
    of: &'s Layer,
    matches: Matches<'s>,
    rank: u32,
    /// Twice the number of base paths before the file, plus one if it is of the base itself: a file
    /// of a tier comes before the base file at whose place it stands.
    place: u64,
}

impl<'s> Stream<'s> {
    /// Moves to the next file; false at the end.
    fn advance(&mut self) -> bool {
        let Some(rank) = self.matches.next() else {
            return false;
        };
        self.rank = rank;
        self.place = match self.layer {
            0 => u64::from(rank) * 2 + 1,
            _ => u64::from(self.of.base_ranks[rank as usize]) * 2,
        };
        true
    }

    fn order(&self, other: &Self) -> Ordering {
        // Only files of two tiers between the same two base files need their paths compared.
        let path = |stream: &Self| stream.of.segment.paths().bytes(stream.rank);
        self.place
            .cmp(&other.place)
            .then_with(|| path(self).cmp(path(other)))
    }
}

fn merged(layers: &[Layer], query: &Query, limit: usize) -> Vec<FileId> {
    let mut streams: Vec<Stream<'_>> = (0u32..)
        .zip(layers)
        .filter_map(|(layer, of)| {
            let matches = Matches::new(query, of)?;
            let mut stream = Stream {
                layer,
                of,
                matches,
                rank: 0,
                place: 0,
            };
            stream.advance().then_some(stream)
        })
        .collect();
    let mut found = Vec::new();
    // A snapshot has few layers: the least of the heads is found by looking at each.
    while found.len() < limit
        && let Some(at) = (0..streams.len()).min_by(|&a, &b| streams[a].order(&streams[b]))
    {
        let stream = &mut streams[at];
        found.push(FileId {
            layer: stream.layer,
            rank: stream.rank,
        });
        if !stream.advance() {
            streams.swap_remove(at);
        }
    }
    found
}

fn count_layer(layer: &Layer, query: &Query) -> u64 {
    if query.terms().is_empty() && query.patterns().is_empty() {
        return layer.live().into();
    }
    let Some(leaves) = leaves(query, &layer.segment) else {
        return 0;
    };
    let mut words: smallvec::SmallVec<[&[u64]; 4]> = smallvec::SmallVec::new();
    for leaf in &leaves {
        match leaf {
            Leaf::Language(_, list) | Leaf::List(list) => match list {
                Postings::Dense { bits, .. } => words.push(bits.words()),
                Postings::Sorted(_) => break,
            },
            Leaf::Method(_) | Leaf::Pattern(_) => break,
        }
    }
    if words.len() == leaves.len() {
        return count_words(layer, &words);
    }
    Matches::new(query, layer).map_or(0, |matches| matches.count() as u64)
}

/// Counts the members that all of the bitmaps share, less those that are masked.
fn count_words(layer: &Layer, lists: &[&[u64]]) -> u64 {
    let shared = match lists {
        [] => 0,
        [one] => one.iter().map(|word| u64::from(word.count_ones())).sum(),
        [one, two] => one
            .iter()
            .zip(*two)
            .map(|(a, b)| u64::from((a & b).count_ones()))
            .sum(),
        [one, rest @ ..] => (0..one.len())
            .map(|at| rest.iter().fold(one[at], |word, list| word & list[at]))
            .map(|word| u64::from(word.count_ones()))
            .sum(),
    };
    let masked: u64 = layer
        .mask
        .pages()
        .flat_map(|(first, page)| (first..).zip(page))
        .filter(|(at, word)| **word != 0 && *at < lists[0].len())
        .map(|(at, word)| lists.iter().fold(*word, |word, list| word & list[at]))
        .map(|word| u64::from(word.count_ones()))
        .sum();
    shared - masked
}
