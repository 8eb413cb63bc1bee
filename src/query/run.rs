//! Running a query on a snapshot: the streams of its layers merged into path order, or only counted.

use super::Query;
use super::criteria::{Criteria, Hashes, hashes};
use super::matches::Matches;
use super::tree::Tree;
use crate::index::{FileId, Layer, Snapshot};

/// Room for an answer's files is made for at most this many before they are found.
const PIECE: usize = 32;

/// The first `limit` files that match, in path order.
pub(super) fn search(snapshot: &Snapshot, query: &Query, limit: usize) -> Vec<FileId> {
    let hashes = hashes(query.all(), &snapshot.layers[0].segment);
    match &snapshot.layers[..] {
        [base] => {
            let mut ranks = Vec::with_capacity(limit.min(PIECE));
            fill(query, &hashes, base, limit, &mut ranks);
            ranks
                .into_iter()
                .map(|rank| FileId { layer: 0, rank })
                .collect()
        }
        layers => merged(layers, query, &hashes, limit),
    }
}

/// Appends the first files of a layer that match, until there are `most`.
fn fill(query: &Query, hashes: &Hashes, layer: &Layer, most: usize, found: &mut Vec<u32>) {
    let all = query.all();
    if all.groups.is_empty() {
        if let Some(mut matches) = Matches::new(all, hashes, layer) {
            matches.fill(most, found);
        }
    } else if let Some(mut tree) = Tree::new(all, hashes, layer) {
        tree.first(most, found);
    }
}

/// How many files match.
pub(super) fn count(snapshot: &Snapshot, query: &Query) -> u64 {
    let hashes = hashes(query.all(), &snapshot.layers[0].segment);
    snapshot
        .layers
        .iter()
        .map(|layer| count_layer(layer, query, &hashes))
        .sum()
}

/// A file found in a layer, and its place in path order: twice the number of base paths before it,
/// plus one if it is of the base itself. A file of a tier comes before the base file at whose place
/// it stands.
type Placed = (u64, FileId);

/// Each layer gives its own first files; together they are put in order and cut. Tiers are small and
/// give few, and the runs of the layers are in order already.
fn merged(layers: &[Layer], query: &Query, hashes: &Hashes, limit: usize) -> Vec<FileId> {
    let mut ranks = Vec::with_capacity(limit.min(PIECE));
    let mut found: Vec<Placed> = Vec::with_capacity(limit.min(PIECE));
    let mut layers_found = 0;
    for (layer, of) in (0..).zip(layers) {
        ranks.clear();
        fill(query, hashes, of, limit, &mut ranks);
        layers_found += usize::from(!ranks.is_empty());
        found.extend(ranks.iter().map(|&rank| {
            let place = match layer {
                0 => u64::from(rank) * 2 + 1,
                _ => u64::from(of.base_ranks[rank as usize]) * 2,
            };
            (place, FileId { layer, rank })
        }));
    }
    if layers_found > 1 {
        // Only files of two tiers between the same two base files need their paths compared.
        let path = |id: FileId| layers[id.layer as usize].segment.paths().bytes(id.rank);
        found.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| path(a.1).cmp(path(b.1))));
        found.truncate(limit);
    }
    found.into_iter().map(|(_, id)| id).collect()
}

fn count_layer(layer: &Layer, query: &Query, hashes: &Hashes) -> u64 {
    let all = query.all();
    if !all.groups.is_empty() {
        return Tree::new(all, hashes, layer).map_or(0, Tree::count);
    }
    if all.patterns.is_empty() {
        if all.terms.is_empty() {
            return layer.live().into();
        }
        let Some(criteria) = Criteria::find(all, hashes, &layer.segment) else {
            return 0;
        };
        if criteria.sorted.is_empty() && criteria.is_lists_only() {
            return count_words(layer, &criteria);
        }
    }
    Matches::new(all, hashes, layer).map_or(0, Matches::count)
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
