//! The position of the published snapshot, for those who read it at every call: three words that are
//! read without a locked instruction, and a way to know that nothing was published meanwhile (a
//! sequence lock: <https://en.wikipedia.org/wiki/Seqlock>).

use crate::position::Position;
use crate::primitives::atomic::{AtomicU64, Ordering, fence};

/// The position of the published snapshot. One writer at a time.
#[derive(Debug, Default)]
pub(super) struct Watermark {
    /// Odd while something is being published.
    generation: AtomicU64,
    epoch: AtomicU64,
    sequence: AtomicU64,
}

/// A time between two publications.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    generation: u64,
    /// The position of the snapshot that is published then.
    pub(crate) position: Position,
}

impl Moment {
    /// One that is over already: only its position tells what is of it.
    pub(super) fn during_publication(position: Position) -> Self {
        Moment {
            generation: 1,
            position,
        }
    }
}

impl Watermark {
    /// The present moment; `None` while something is being published.
    #[inline]
    pub(super) fn moment(&self) -> Option<Moment> {
        let generation = self.generation.load(Ordering::Acquire);
        let position = Position {
            epoch: self.epoch.load(Ordering::Acquire),
            sequence: self.sequence.load(Ordering::Acquire),
        };
        let moment = Moment {
            generation,
            position,
        };
        self.is_still(moment).then_some(moment)
    }

    /// Whether no publication has begun since: what was read since then is of that moment.
    #[inline]
    pub(super) fn is_still(&self, moment: Moment) -> bool {
        // Reads before this come before the one after it.
        fence(Ordering::Acquire);
        moment.generation.is_multiple_of(2)
            && self.generation.load(Ordering::Relaxed) == moment.generation
    }

    /// Begins a publication. The caller is the only writer.
    pub(super) fn publishing(&self) -> Publishing<'_> {
        // One that broke off has left it odd.
        let generation = (self.generation.load(Ordering::Relaxed) + 1) | 1;
        self.generation.swap(generation, Ordering::AcqRel);
        Publishing {
            watermark: self,
            generation,
        }
    }
}

/// A publication in progress. One that is dropped without having reached a position broke off: until
/// the next one ends there are no moments, and positions are told by the snapshot alone.
#[derive(Debug)]
pub(super) struct Publishing<'w> {
    watermark: &'w Watermark,
    generation: u64,
}

impl Publishing<'_> {
    /// Ends it: the snapshot of this position is published.
    pub(super) fn reached(self, position: Position) {
        let watermark = self.watermark;
        watermark.epoch.store(position.epoch, Ordering::Release);
        watermark
            .sequence
            .store(position.sequence, Ordering::Release);
        watermark
            .generation
            .store(self.generation + 1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_ends_when_a_publication_begins() {
        let watermark = Watermark::default();
        let before = watermark.moment().unwrap();
        assert_eq!(before.position, Position::default());
        assert!(watermark.is_still(before));
        let position = Position {
            epoch: 1,
            sequence: 2,
        };
        let publishing = watermark.publishing();
        assert!(watermark.moment().is_none() && !watermark.is_still(before));
        publishing.reached(position);
        assert!(!watermark.is_still(before));
        let after = watermark.moment().unwrap();
        assert_eq!(after.position, position);
        // One that breaks off ends no moment wrongly, and the next one mends it.
        let _ = watermark.publishing();
        assert!(watermark.moment().is_none() && !watermark.is_still(after));
        watermark.publishing().reached(position);
        assert!(watermark.moment().is_some() && !watermark.is_still(after));
    }
}
