//! `IndexWitness`: what files and directories are like, by asking the change log of their database. It is for
//! results that are made from records: answers to queries, reports, graphs of calls.
//!
//! What the log says of a source is the sequence and the nonce of the last change of it or of anything below
//! it. Every change draws a new nonce, so two logs that say the same saw the same last change, and nothing
//! after it: that holds over a restart, and for a copy of the database that is put back and written to. Only
//! what the log has forgotten can hide: once deleted files were pruned from it, sources whose last change is
//! older than those count as changed.
//!
//! What was asked for once is followed: as long as the log stands still, nothing is read, and when it goes on,
//! only what it names since, once for all sources.

use std::fmt;

use hashbrown::HashMap;
use smol_str::SmolStr;

use super::stamp::{RowStamp, Stamp, Witness};
use crate::cardex::Cardex;
use crate::dependencies::Source;
use crate::error::Result;
use crate::freshness::Freshness;
use crate::position::Position;
use crate::primitives::Mutex;
use crate::store::{ChangeMark, Traces};

/// The most sources that are followed: with more, all are looked up anew.
const MOST_FOLLOWED: usize = 65_536;
/// The most changes that are followed at once: after more, all sources are looked up anew.
const MOST_CHANGES: usize = 10_000;

/// Files and directories of a project, as its database has them.
///
/// What is made must be made by asking this [`Cardex`], or its database: an older view of it, such as a
/// [`Snapshot`](crate::Snapshot) that was taken before, is not what the witness speaks of.
///
/// ```
/// use std::sync::Arc;
/// use cardex::dependencies::Source;
/// use cardex::derived::{DerivedCache, IndexWitness};
/// use cardex::kv::{KvCache, KvOptions};
/// use cardex::tier::{Key, Lifetime, MemoryTier, MemoryTierOptions};
/// use cardex::{Cardex, FileMetadata, Query, SystemClock};
///
/// # let directory = tempfile::tempdir().unwrap();
/// let cardex = Cardex::builder().database(directory.path().join("project.db")).open()?;
/// let clock = Arc::new(SystemClock);
/// let memory = MemoryTier::new("reports", MemoryTierOptions::default(), clock.clone());
/// let kv = KvCache::new("reports", KvOptions::default(), Arc::new(memory), clock);
/// let reports = DerivedCache::new(kv, Arc::new(IndexWitness::new(cardex.clone())));
/// let (key, all) = (Key::new("python-files")?, [Source::ROOT]);
/// let count = || {
///     reports.run(&key, Lifetime::Default, &all, |_| {
///         let python = Query::builder().language("python").build()?;
///         Ok(cardex.query(&python)?.total())
///     })
/// };
/// assert_eq!(count()?, 0);
/// cardex.update(&FileMetadata::builder("a.py").language("python").build()?)?;
/// assert_eq!(count()?, 1);
/// # Ok::<(), cardex::Error>(())
/// ```
pub struct IndexWitness {
    cardex: Cardex,
    freshness: Freshness,
    followed: Mutex<Followed>,
}

impl IndexWitness {
    /// The project of this handle, as it is: a change that is committed before a result is asked for is
    /// known then. Each question looks at the log, which takes microseconds as long as it stands still.
    pub fn new(cardex: Cardex) -> Self {
        IndexWitness {
            cardex,
            freshness: Freshness::Latest,
            followed: Mutex::default(),
        }
    }

    /// The same as fresh as this. With `MaxAge`, results of what changed are still answered for so long;
    /// with `Cached`, until the handle's own queries know of the change, which is also as long as the
    /// database cannot be read: in turn, nothing is read as long as the index stands still.
    #[must_use]
    pub fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }

    /// What the log says of a source, at a position that is as fresh as demanded. `None` if the store keeps
    /// no marks.
    fn known(&self, source: &Source) -> Result<Option<Known>> {
        self.cardex.refresh(self.freshness)?;
        let at = self.cardex.position();
        let mut is_lost = false;
        loop {
            let (since, is_followed) = {
                let followed = self.followed.lock();
                let known = followed.known(source);
                match known {
                    Some(known) if known.position.covers(at) => return Ok(Some(known)),
                    known => (followed.position, known.is_some() && !is_lost),
                }
            };
            let of = (!is_followed).then_some(source.as_str());
            let store = self.cardex.store();
            let Some(traces) = store.traces(since, MOST_CHANGES, of)? else {
                return Ok(None);
            };
            let mut followed = self.followed.lock();
            followed.follow(since, &traces);
            if of.is_some() {
                return Ok(Some(followed.found(source, &traces)));
            }
            // Others may have gone further, which does as well.
            if let Some(known) = followed.known(source)
                && known.position.covers(traces.position)
            {
                return Ok(Some(known));
            }
            is_lost = true;
        }
    }
}

impl Witness for IndexWitness {
    fn stamp(&self, source: &Source) -> Result<Option<Stamp>> {
        let Some(known) = self.known(source)? else {
            return Ok(None);
        };
        // The log may be ahead of the index, from which the result is made next.
        self.cardex.refresh(Freshness::AtLeast(known.position))?;
        Ok(Some(Stamp::Row(RowStamp {
            epoch: known.position.epoch,
            sequence: known.position.sequence,
            pruned_to: known.pruned_to,
            last: known.last.map(|mark| (mark.version, mark.nonce)),
        })))
    }

    fn is_still(&self, source: &Source, stamp: &Stamp) -> Result<bool> {
        let Stamp::Row(was) = stamp else {
            return Ok(false);
        };
        let known = self.known(source)?;
        Ok(known.is_some_and(|known| known.is_still(was)))
    }
}

/// What the log says of a source at a position.
#[derive(Clone, Copy, Debug)]
struct Known {
    position: Position,
    pruned_to: u64,
    last: Option<ChangeMark>,
}

impl Known {
    fn is_still(&self, was: &RowStamp) -> bool {
        let last = self.last.map(|mark| (mark.version, mark.nonce));
        // A deleted file that was pruned since then may have been the last change.
        let is_whole =
            self.pruned_to == was.pruned_to || last.is_some_and(|(seq, _)| self.pruned_to <= seq);
        let is_after = self.position.epoch == was.epoch && self.position.sequence >= was.sequence;
        is_after && is_whole && last == was.last
    }
}

/// The last changes of sources that were asked for, all as of one position.
#[derive(Debug, Default)]
struct Followed {
    position: Position,
    pruned_to: u64,
    last: HashMap<SmolStr, Option<ChangeMark>>,
}

impl Followed {
    fn known(&self, source: &Source) -> Option<Known> {
        self.last.get(source.as_str()).map(|last| Known {
            position: self.position,
            pruned_to: self.pruned_to,
            last: *last,
        })
    }

    /// Goes on to what was read of the log since a position; begins anew where the log could not tell.
    /// What others have gone on to meanwhile is left as it is.
    fn follow(&mut self, since: Position, traces: &Traces) {
        let Some(changes) = &traces.changes else {
            if self.position == since {
                self.last.clear();
                (self.position, self.pruned_to) = (traces.position, traces.pruned_to);
            }
            return;
        };
        let is_next = self.position.covers(since) && traces.position.covers(self.position);
        if !is_next {
            return;
        }
        for (path, mark) in changes {
            for path in Source::and_above(path) {
                if let Some(last) = self.last.get_mut(path) {
                    *last = (*last).max(Some(*mark));
                }
            }
        }
        self.position = traces.position;
        self.pruned_to = self.pruned_to.max(traces.pruned_to);
    }

    /// Takes in a source that was looked up; what is known of it by that alone. What was pruned before that
    /// may be what it does not show.
    fn found(&mut self, source: &Source, traces: &Traces) -> Known {
        if self.position == traces.position {
            if self.last.len() >= MOST_FOLLOWED {
                self.last.clear();
            }
            self.last.insert(source.as_str().into(), traces.last);
            self.pruned_to = self.pruned_to.max(traces.pruned_to);
        }
        Known {
            position: traces.position,
            pruned_to: traces.pruned_to,
            last: traces.last,
        }
    }
}

/// Not the sources: they name files.
impl fmt::Debug for IndexWitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexWitness")
            .field("freshness", &self.freshness)
            .field("followed", &self.followed.lock().last.len())
            .finish_non_exhaustive()
    }
}
