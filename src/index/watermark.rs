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

    /// Begins a publication, which ends when what is returned is dropped. The caller is the only
    /// writer.
    pub(super) fn publishing(&self) -> Publishing<'_> {
        self.generation.fetch_add(1, Ordering::AcqRel);
        Publishing(self)
    }
}

/// A publication in progress.
#[derive(Debug)]
pub(super) struct Publishing<'w>(&'w Watermark);

impl Publishing<'_> {
    /// The position of what has been published.
    pub(super) fn reached(&self, position: Position) {
        self.0.epoch.store(position.epoch, Ordering::Release);
        self.0.sequence.store(position.sequence, Ordering::Release);
    }
}

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        self.0.generation.fetch_add(1, Ordering::AcqRel);
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
        assert!(watermark.moment().is_none());
        drop(publishing);
        assert!(!watermark.is_still(before));
        assert_eq!(watermark.moment().unwrap().position, position);
    }
}
