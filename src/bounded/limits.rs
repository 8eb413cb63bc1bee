//! The vocabulary of a bounded map: what it may hold, what it holds, and why entries leave.

/// An overflow by count evicts at most this share of the map: one entry in so many.
const BATCH_SHARE: usize = 10;

/// What a map may hold. Both limits hold, whichever is reached first; 0 keeps nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub max_items: usize,
    /// The sum of the weights given at insertion, in bytes.
    pub max_bytes: u64,
    /// How many entries an overflow by count evicts at once, so that the next inserts find room:
    /// at least 1 and at most 10 % of `max_items`, whatever this says.
    pub eviction_batch: usize,
}

impl Limits {
    #[inline]
    pub(super) fn batch(&self) -> usize {
        let share = (self.max_items / BATCH_SHARE).max(1);
        self.eviction_batch.clamp(1, share)
    }

    /// Whether an entry of this weight fits at all.
    #[inline]
    pub(super) fn admit(&self, weight: u64) -> bool {
        self.max_items > 0 && weight <= self.max_bytes
    }

    pub(super) fn exceeded_by(&self, usage: Usage) -> bool {
        usage.items > self.max_items || usage.bytes > self.max_bytes
    }
}

/// Why a value left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemovalCause {
    /// Somebody asked for it.
    Explicit,
    /// A newer value came for its key (and was kept, or was too large to be).
    Replaced,
    /// Its time was over.
    Expired,
    /// Another entry needed its room, or the limits were lowered.
    Capacity,
    /// Memory was needed elsewhere.
    Pressure,
    /// What it was made from has changed.
    Invalidated,
}

impl RemovalCause {
    /// Every cause, in the order in which they are shown.
    pub const ALL: [RemovalCause; 6] = [
        RemovalCause::Explicit,
        RemovalCause::Replaced,
        RemovalCause::Expired,
        RemovalCause::Capacity,
        RemovalCause::Pressure,
        RemovalCause::Invalidated,
    ];
}

/// What a map holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Entries.
    pub items: usize,
    /// The sum of their weights, in bytes.
    pub bytes: u64,
}

/// Usage and counts since the start, of one instant. The values stored less the values removed are
/// the items held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BoundedStats {
    /// What is held.
    pub usage: Usage,
    /// What may be held.
    pub limits: Limits,
    /// Values stored, under new keys or in place of older values.
    pub stored: u64,
    removed: [u64; RemovalCause::ALL.len()],
}

impl BoundedStats {
    pub(super) fn new(limits: Limits) -> Self {
        BoundedStats {
            usage: Usage::default(),
            limits,
            stored: 0,
            removed: [0; RemovalCause::ALL.len()],
        }
    }

    #[inline]
    pub(super) fn count_removed(&mut self, cause: RemovalCause, n: u64) {
        self.removed[cause as usize] += n;
    }

    /// How many values left for this cause.
    pub fn removed(&self, cause: RemovalCause) -> u64 {
        self.removed[cause as usize]
    }
}
