//! `Snapshot`: one consistent state of the index, complete over the project. It is a base and a few
//! small tiers of newer files laid over it; whoever holds one keeps all of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::mask::Mask;
use super::segment::{Field, MemoryUse, Segment};
use super::terms::hash;
use crate::clock::Clock;
use crate::position::Position;

/// A segment in a snapshot: the base, or a tier over it.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) segment: Arc<Segment>,
    /// Files of the segment that a newer layer holds, or that were deleted.
    pub(crate) mask: Mask,
    /// Of a tier: how many paths of the base come before each file. Streams of several layers merge
    /// by this integer. Empty for the base itself.
    pub(crate) base_ranks: Arc<[u32]>,
}

impl Layer {
    pub(crate) fn base(segment: Arc<Segment>) -> Self {
        Layer {
            segment,
            mask: Mask::default(),
            base_ranks: Arc::new([]),
        }
    }

    /// How many files of the layer count.
    pub(crate) fn live(&self) -> u32 {
        self.segment.len() - self.mask.len()
    }
}

/// Where a file is in a snapshot; it means nothing in another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub(crate) layer: u32,
    pub(crate) rank: u32,
}

/// One file of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hit<'s> {
    /// Its path.
    pub path: &'s str,
    /// Its language, in ASCII lower case.
    pub language: Option<&'s str>,
    /// The log sequence of its last change.
    pub version: u64,
}

/// How many distinct names the index holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TermCounts {
    /// Languages.
    pub languages: usize,
    /// Names of functions and methods.
    pub functions: usize,
    /// Names of classes.
    pub classes: usize,
    /// Cited documents.
    pub references: usize,
}

/// What is known of a state of the index as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stamp {
    /// The log position that it reflects.
    pub(crate) position: Position,
    /// When the look at the log began that found it, by the clock's elapsed time.
    pub(crate) looked_at: Duration,
    /// How many files of the project could not be read, and are not in the index.
    pub(crate) unreadable: u64,
}

/// One state of the index, of one position of the log. It does not change, takes no lock to read,
/// and lives as long as somebody holds it.
#[derive(Debug)]
pub struct Snapshot {
    /// The base first, then the tiers from old to new. No path counts in two of them.
    pub(crate) layers: Vec<Layer>,
    pub(crate) hasher: RandomState,
    stamp: Stamp,
    clock: Arc<dyn Clock>,
    files: u32,
}

impl Snapshot {
    pub(crate) fn new(
        layers: Vec<Layer>,
        hasher: RandomState,
        stamp: Stamp,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let files = layers.iter().map(Layer::live).sum();
        Snapshot {
            layers,
            hasher,
            stamp,
            clock,
            files,
        }
    }

    /// The log position that it reflects: every commit at or below it, none above.
    pub fn position(&self) -> Position {
        self.stamp.position
    }

    /// How long ago the look at the log began that made this snapshot. The project may have been
    /// looked at since, and found unchanged.
    pub fn age(&self) -> Duration {
        self.age_since(self.stamp.looked_at)
    }

    pub(crate) fn age_since(&self, looked_at: Duration) -> Duration {
        self.clock.elapsed().saturating_sub(looked_at)
    }

    /// Whether it holds every file of the project: not if the rows of some could not be read.
    pub fn is_complete(&self) -> bool {
        self.stamp.unreadable == 0
    }

    /// Whether it was ever loaded from a database.
    pub(crate) fn is_loaded(&self) -> bool {
        self.stamp.position.epoch != 0
    }

    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// How many files the project has.
    pub fn len(&self) -> usize {
        self.files as usize
    }

    /// Whether the project has no file.
    pub fn is_empty(&self) -> bool {
        self.files == 0
    }

    /// The file of this path (in normal form), if the project has it.
    pub fn file(&self, path: &str) -> Option<Hit<'_>> {
        self.find(path).map(|id| self.hit(id))
    }

    pub(crate) fn find(&self, path: &str) -> Option<FileId> {
        let hash = hash(&self.hasher, path);
        self.layers.iter().zip(0u32..).find_map(|(layer, at)| {
            let rank = layer.segment.find(hash, path)?;
            (!layer.mask.contains(rank)).then_some(FileId { layer: at, rank })
        })
    }

    pub(crate) fn hit(&self, id: FileId) -> Hit<'_> {
        let segment = &self.layers[id.layer as usize].segment;
        Hit {
            path: segment.path(id.rank),
            language: segment.language(id.rank),
            version: segment.version(id.rank),
        }
    }

    /// Each language with the number of its files, in the order of their names. Files without a
    /// language count in none. It goes through all files.
    pub fn languages(&self) -> Vec<(&str, u64)> {
        let mut counts = BTreeMap::new();
        for Layer { segment, mask, .. } in &self.layers {
            let live = (0..segment.len()).filter(|rank| !mask.contains(*rank));
            for language in live.filter_map(|rank| segment.language(rank)) {
                *counts.entry(language).or_default() += 1;
            }
        }
        counts.into_iter().collect()
    }

    /// How many files stand in tiers, to be folded into the base.
    pub fn outstanding(&self) -> usize {
        self.layers[1..]
            .iter()
            .map(|tier| tier.live() as usize)
            .sum()
    }

    /// How many tiers lie over the base.
    pub fn tiers(&self) -> usize {
        self.layers.len() - 1
    }

    /// Bytes of memory held, by part. Parts shared with other snapshots count in each of them.
    pub fn memory(&self) -> MemoryUse {
        let mut memory = MemoryUse::default();
        for layer in &self.layers {
            memory.add(layer.segment.memory());
            memory.overlay += layer.mask.heap_bytes() + size_of_val(&*layer.base_ranks);
        }
        memory
    }

    /// How many distinct names there are. A name that stands in several layers counts in each, so
    /// the numbers are exact after a fold and an upper bound otherwise.
    pub fn term_counts(&self) -> TermCounts {
        let of = |field| {
            self.layers
                .iter()
                .map(|l| l.segment.dictionary(field).len())
                .sum()
        };
        TermCounts {
            languages: of(Field::Language),
            functions: of(Field::Function),
            classes: of(Field::Class),
            references: of(Field::Reference),
        }
    }
}
