//! The index: complete over the project, made of immutable segments in path order, published as a
//! whole by one pointer swap. Readers take no lock, see all of a commit or none of it, and are never
//! stopped by a writer. Nothing here knows of files or databases.

mod bitmap;
mod builder;
mod column;
mod finder;
mod mask;
mod merge;
mod patterns;
mod postings;
mod scope;
mod segment;
mod snapshot;
mod strings;
mod terms;
mod watermark;

use std::fmt;
use std::sync::Arc;

use std::time::Duration;

use foldhash::fast::RandomState;

pub(crate) use self::bitmap::Bitmap;
pub(crate) use self::builder::SegmentBuilder;
pub(crate) use self::patterns::{PathPattern, Syntax};
pub(crate) use self::postings::{Postings, gallop};
pub use self::scope::ScopeMatcher;
pub use self::segment::MemoryUse;
pub(crate) use self::segment::{Field, Segment};
pub(crate) use self::snapshot::{FileId, Layer, Stamp};
pub use self::snapshot::{Hit, Snapshot, TermCounts};
pub(crate) use self::terms::{Term, hash};
pub(crate) use self::watermark::Moment;
use self::watermark::Watermark;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::position::Position;
use crate::primitives::atomic::AtomicBool;
use crate::primitives::{ArcSwap, Mutex};
use crate::worker::Worker;

/// A tier is merged with the one before it while that one is at most this many times as large:
/// sizes stay geometric, so a file is copied a logarithmic number of times before it is folded.
const TIER_RATIO: u32 = 4;
/// The most tiers over a base. One more is merged into the last one. While a fold runs, up to as
/// many again may stand beside those that are being folded.
const MAX_TIERS: usize = 8;
/// The tiers are folded into the base when they hold more files than this and than an eighth of it.
const FOLD_FILES: u32 = 4096;
/// Segments of at least this many files are freed by the worker, not by their last reader.
const LARGE_SEGMENT: u32 = 4096;
/// How long the worker waits before it looks again for large segments that no reader holds.
const RETIRED_CHECK: Duration = Duration::from_millis(500);

/// What one commit, or several, changed: the files that are new or different, and those gone.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) files: SegmentBuilder,
    pub(crate) deleted: Vec<String>,
}

/// The published snapshot, and the way to the next one.
pub struct Index {
    core: Arc<Core>,
    folder: Worker,
}

struct Core {
    hasher: RandomState,
    clock: Arc<dyn Clock>,
    current: ArcSwap<Snapshot>,
    /// The position of that.
    watermark: Watermark,
    /// One writer at a time. Held while a tier is built and published, never while a base is.
    writer: Mutex<Writer>,
    /// Large segments that were replaced, kept until no reader holds them. As many as readers hold.
    retired: Mutex<Vec<Arc<Segment>>>,
}

#[derive(Debug, Default)]
struct Writer {
    /// Counts the bases: a fold of an older one is thrown away.
    generation: u64,
    fold: Option<Fold>,
}

/// A fold in progress.
#[derive(Debug)]
struct Fold {
    /// How many layers are being folded; they are not merged meanwhile.
    layers: usize,
    /// The paths that changed or went since it began.
    touched: Vec<String>,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot();
        f.debug_struct("Index")
            .field("snapshot", &snapshot)
            .finish_non_exhaustive()
    }
}

impl Index {
    /// An empty index, and the thread that folds its tiers.
    ///
    /// # Errors
    /// `Io` if the thread cannot be started.
    pub fn new() -> Result<Self> {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// As [`Index::new`]; ages are told by this clock.
    ///
    /// # Errors
    /// As [`Index::new`].
    pub fn with_clock(clock: Arc<dyn Clock>) -> Result<Self> {
        let core = Arc::new(Core::new(clock)?);
        let folder = Worker::spawn("cardex-fold", {
            let core = Arc::clone(&core);
            move |stop| core.tidy(stop)
        })?;
        Ok(Index { core, folder })
    }

    /// The current snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.core.current.load_full()
    }

    /// The position of the current snapshot.
    pub fn position(&self) -> Position {
        self.core.current.load().position()
    }

    /// The position of the current snapshot, and a way to know whether what is read next is of the
    /// same moment.
    #[inline]
    pub(crate) fn moment(&self) -> Moment {
        let moment = self.core.watermark.moment();
        moment.unwrap_or_else(|| Moment::during_publication(self.position()))
    }

    /// Whether no publication has begun since.
    #[inline]
    pub(crate) fn is_still(&self, moment: Moment) -> bool {
        self.core.watermark.is_still(moment)
    }

    pub(crate) fn builder(&self) -> SegmentBuilder {
        SegmentBuilder::new(self.core.hasher.clone())
    }

    /// Replaces everything by the files of a base and what has changed since that was read. `before`
    /// sees the result when nothing can fail any more and nobody else sees it yet; it runs under the
    /// writer's lock.
    pub(crate) fn replace(
        &self,
        base: Arc<Segment>,
        since: Changes,
        stamp: Stamp,
        before: impl FnOnce(&Snapshot),
    ) -> Result<()> {
        self.core.replace(base, since, stamp, before)?;
        self.folder.ring();
        Ok(())
    }

    /// Lays the changes over what is there. On an error nothing has changed. `before` sees the
    /// files and the deleted paths when nothing can fail any more and nobody else sees them yet; it
    /// runs under the writer's lock.
    pub(crate) fn apply(
        &self,
        changes: Changes,
        stamp: Stamp,
        before: impl FnOnce(&Segment, &[String]),
    ) -> Result<()> {
        if self.core.apply(changes, stamp, before)? {
            self.folder.ring();
        }
        Ok(())
    }

    /// Folds every tier into the base now, in this thread; whether there was anything to fold and
    /// nothing came between.
    ///
    /// # Errors
    /// `Internal` if the result would exceed the limits of a segment.
    pub fn fold(&self) -> Result<bool> {
        let folded = self.core.fold(&AtomicBool::new(false));
        self.folder.ring();
        folded
    }

    /// Folds, with `meanwhile` between the making of the new base and its publication.
    #[cfg(test)]
    pub(crate) fn fold_around(&self, meanwhile: impl FnOnce()) -> Result<bool> {
        let Some(start) = self.core.begin_fold() else {
            meanwhile();
            return Ok(false);
        };
        let layers = &start.snapshot.layers;
        let sources: Vec<_> = layers
            .iter()
            .map(|layer| (&*layer.segment, &layer.mask))
            .collect();
        let stop = AtomicBool::new(false);
        let base = merge::merge(self.core.hasher.clone(), &sources, &stop, |_, _| {})?;
        meanwhile();
        Ok(start.finish(base))
    }
}

impl Core {
    fn new(clock: Arc<dyn Clock>) -> Result<Self> {
        let hasher = RandomState::default();
        let base = Arc::new(SegmentBuilder::new(hasher.clone()).finish()?);
        let snapshot = Snapshot::new(
            vec![Layer::base(base)],
            hasher.clone(),
            Stamp::default(),
            Arc::clone(&clock),
        );
        Ok(Core {
            hasher,
            clock,
            current: ArcSwap::from_pointee(snapshot),
            watermark: Watermark::default(),
            writer: Mutex::default(),
            retired: Mutex::default(),
        })
    }

    fn snapshot_of(&self, layers: Vec<Layer>, stamp: Stamp) -> Arc<Snapshot> {
        let clock = Arc::clone(&self.clock);
        Arc::new(Snapshot::new(layers, self.hasher.clone(), stamp, clock))
    }

    /// Swaps the pointer; whether there are segments to be freed.
    fn publish(&self, next: Arc<Snapshot>) -> bool {
        let before = self.current.swap(next);
        let now = self.current.load();
        let gone = before
            .layers
            .iter()
            .map(|layer| &layer.segment)
            .filter(|old| {
                old.len() >= LARGE_SEGMENT
                    && !now
                        .layers
                        .iter()
                        .any(|layer| Arc::ptr_eq(&layer.segment, old))
            });
        let mut retired = self.retired.lock();
        retired.extend(gone.cloned());
        !retired.is_empty()
    }

    fn replace(
        &self,
        base: Arc<Segment>,
        since: Changes,
        stamp: Stamp,
        before: impl FnOnce(&Snapshot),
    ) -> Result<()> {
        let tier = Arc::new(since.files.finish()?);
        let mut layers = vec![Layer::base(base)];
        lay_over(&mut layers, &self.hasher, &tier, &since.deleted);
        let next = self.snapshot_of(layers, stamp);
        let mut writer = self.writer.lock();
        let publishing = self.watermark.publishing();
        before(&next);
        writer.generation += 1;
        writer.fold = None;
        self.publish(next);
        publishing.reached(stamp.position);
        Ok(())
    }

    /// Publishes the changes; whether there is now work for the folder.
    fn apply(
        &self,
        changes: Changes,
        stamp: Stamp,
        before: impl FnOnce(&Segment, &[String]),
    ) -> Result<bool> {
        // Names are sorted and hashed before the lock is taken.
        let tier = Arc::new(changes.files.finish()?);
        let mut writer = self.writer.lock();
        let now = self.current.load();
        let (position, then) = (stamp.position, now.position());
        if position < then {
            let message = format!("the index is at {then} and does not go back to {position}");
            return Err(Error::new(ErrorKind::Internal, message));
        }
        let mut layers = now.layers.clone();
        lay_over(&mut layers, &self.hasher, &tier, &changes.deleted);
        let frozen = writer.fold.as_ref().map_or(1, |fold| fold.layers);
        self.merge_tiers(&mut layers, frozen)?;
        let publishing = self.watermark.publishing();
        before(&tier, &changes.deleted);
        if let Some(fold) = &mut writer.fold {
            let files = (0..tier.len()).map(|rank| tier.path(rank).to_owned());
            fold.touched.extend(files.chain(changes.deleted));
        }
        let due = fold_is_due(&layers);
        let retires = self.publish(self.snapshot_of(layers, stamp));
        publishing.reached(position);
        Ok(retires || due)
    }

    /// Merges the last tier with those before it, as long as they are of its size.
    fn merge_tiers(&self, layers: &mut Vec<Layer>, frozen: usize) -> Result<()> {
        while layers.len() > frozen {
            let last = &layers[layers.len() - 1];
            if last.live() == 0 {
                layers.pop();
                continue;
            }
            if layers.len() - 1 <= frozen.max(1) {
                return Ok(());
            }
            let before = &layers[layers.len() - 2];
            let similar = before.live() <= last.live().saturating_mul(TIER_RATIO);
            if !similar && layers.len() - frozen <= MAX_TIERS {
                return Ok(());
            }
            let merged = merge_two(&self.hasher, before, last)?;
            layers.truncate(layers.len() - 2);
            layers.push(merged);
        }
        Ok(())
    }

    /// One round of the background thread: folds if it is time, frees what nobody reads.
    fn tidy(&self, stop: &AtomicBool) -> Option<Duration> {
        if fold_is_due(&self.current.load().layers)
            && let Err(error) = self.fold(stop)
            && error.kind() != ErrorKind::Cancelled
        {
            // The tiers stay: answers are as true as before, only slower.
            tracing::error!("folding the index failed: {error:#}");
        }
        let mut retired = self.retired.lock();
        let (held, free) = retired
            .drain(..)
            .partition(|segment| Arc::strong_count(segment) > 1);
        *retired = held;
        let again = (!retired.is_empty()).then_some(RETIRED_CHECK);
        drop(retired);
        drop::<Vec<_>>(free);
        again
    }

    fn fold(&self, stop: &AtomicBool) -> Result<bool> {
        let Some(start) = self.begin_fold() else {
            return Ok(false);
        };
        let sources: Vec<_> = start
            .snapshot
            .layers
            .iter()
            .map(|layer| (&*layer.segment, &layer.mask))
            .collect();
        let base = merge::merge(self.hasher.clone(), &sources, stop, |_, _| {})?;
        Ok(start.finish(base))
    }

    /// Freezes the layers of now; `None` if there is nothing to fold or a fold is running.
    fn begin_fold(&self) -> Option<FoldStart<'_>> {
        let mut writer = self.writer.lock();
        let snapshot = self.current.load_full();
        if writer.fold.is_some() || (snapshot.tiers() == 0 && snapshot.layers[0].mask.len() == 0) {
            return None;
        }
        writer.fold = Some(Fold {
            layers: snapshot.layers.len(),
            touched: Vec::new(),
        });
        Some(FoldStart {
            core: self,
            snapshot,
            generation: writer.generation,
        })
    }
}

/// A fold whose new base is being made. Dropped, also by a panic, it lets the tiers be.
struct FoldStart<'c> {
    core: &'c Core,
    snapshot: Arc<Snapshot>,
    generation: u64,
}

impl FoldStart<'_> {
    /// Puts the new base under the tiers that came since; false if the index was replaced meanwhile.
    fn finish(self, base: Segment) -> bool {
        let mut writer = self.core.writer.lock();
        if writer.generation != self.generation {
            return false;
        }
        let Some(fold) = writer.fold.take() else {
            return false;
        };
        let base = Arc::new(base);
        let now = self.core.current.load();
        let mut layers = vec![Layer::base(Arc::clone(&base))];
        for path in &fold.touched {
            mask_path(&mut layers, &self.core.hasher, path);
        }
        for tier in &now.layers[fold.layers..] {
            let paths = (0..tier.segment.len()).map(|rank| tier.segment.path(rank));
            let base_ranks = paths
                .map(|path| base.paths().lower_bound(path.as_bytes()))
                .collect();
            layers.push(Layer {
                base_ranks,
                ..tier.clone()
            });
        }
        writer.generation += 1;
        self.core
            .publish(self.core.snapshot_of(layers, now.stamp()));
        true
    }
}

impl Drop for FoldStart<'_> {
    fn drop(&mut self) {
        let mut writer = self.core.writer.lock();
        if writer.generation == self.generation {
            writer.fold = None;
        }
    }
}

/// Lays a tier over the layers, and takes the deleted files out of them.
fn lay_over(
    layers: &mut Vec<Layer>,
    hasher: &RandomState,
    tier: &Arc<Segment>,
    deleted: &[String],
) {
    let base_ranks: Arc<[u32]> = (0..tier.len())
        .map(|rank| mask_path(layers, hasher, tier.path(rank)))
        .collect();
    for path in deleted {
        mask_path(layers, hasher, path);
    }
    if tier.len() > 0 {
        layers.push(Layer {
            segment: Arc::clone(tier),
            mask: Default::default(),
            base_ranks,
        });
    }
}

/// Takes the file of this path out of whichever layer it counts in. Returns how many paths of the
/// base come before it.
fn mask_path(layers: &mut [Layer], hasher: &RandomState, path: &str) -> u32 {
    let hash = hash(hasher, path);
    for tier in &mut layers[1..] {
        if let Some(rank) = tier.segment.find(hash, path) {
            tier.mask.insert(rank);
        }
    }
    let base = &mut layers[0];
    match base.segment.find(hash, path) {
        Some(rank) => {
            base.mask.insert(rank);
            rank
        }
        None => base.segment.paths().lower_bound(path.as_bytes()),
    }
}

fn merge_two(hasher: &RandomState, older: &Layer, newer: &Layer) -> Result<Layer> {
    let layers = [older, newer];
    let mut base_ranks = Vec::with_capacity((older.live() + newer.live()) as usize);
    let segment = merge::merge(
        hasher.clone(),
        &layers.map(|layer| (&*layer.segment, &layer.mask)),
        &AtomicBool::new(false),
        |source, rank| base_ranks.push(layers[source].base_ranks[rank as usize]),
    )?;
    Ok(Layer {
        segment: Arc::new(segment),
        mask: Default::default(),
        base_ranks: base_ranks.into(),
    })
}

fn fold_is_due(layers: &[Layer]) -> bool {
    let base = &layers[0];
    let outstanding: u32 = layers[1..].iter().map(Layer::live).sum();
    outstanding.max(base.mask.len()) > FOLD_FILES.max(base.segment.len() / 8)
}
