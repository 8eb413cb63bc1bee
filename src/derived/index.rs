//! `IndexWitness`: what files and directories are like, by asking the change log of their database. It is for
//! results that are made from records: answers to queries, reports, graphs of calls.
//!
//! What the log says of a source is the sequence and the nonce of the last change of it or of anything below
//! it. Every change draws a new nonce, so two logs that say the same saw the same last change, and nothing
//! after it: that holds over a restart, and for a copy of the database that is put back and written to. Only
//! what the log has forgotten can hide. So once deleted files were pruned from it, sources whose last change is
//! older than those count as changed, and their results are made once more.
//!
//! What was asked for once is followed: as long as the log stands still, nothing is read, and when it goes on,
//! only what it names since, once for all sources.

use std::fmt;

use hashbrown::HashMap;
use smol_str::SmolStr;

use super::stamp::{RowStamp, Seen, Stamp, Witness};
use crate::cardex::Cardex;
use crate::dependencies::Source;
use crate::error::Result;
use crate::freshness::Freshness;
use crate::position::Position;
use crate::primitives::Mutex;
use crate::store::{ChangeMark, Pruned, Traces};

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
    /// known then. Each question, of all sources of a result, looks at the log once, which takes microseconds as
    /// long as it stands still.
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

    /// A position that is as fresh as demanded.
    fn now(&self) -> Result<Position> {
        self.cardex.refresh(self.freshness)?;
        Ok(self.cardex.position())
    }

    /// What the log says of a source, at this position or after it. `None` if the store keeps no marks.
    fn known(&self, source: &Source, at: Position) -> Result<Option<Known>> {
        let mut is_lost = false;
        loop {
            let (since, is_followed) = {
                let followed = self.followed.lock();
                match followed.known(source) {
                    Some(known) if known.position.covers(at) => return Ok(Some(known)),
                    known => (followed.position, known.is_some() && !is_lost),
                }
            };
            let of = (!is_followed).then_some(source.as_str());
            let traces = self.cardex.store().traces(since, MOST_CHANGES, of)?;
            let Some(traces) = traces else {
                return Ok(None);
            };
            let mut followed = self.followed.lock();
            if let Some(known) = followed.take_in(source, since, &traces, of.is_some()) {
                return Ok(Some(known));
            }
            // Next, it is looked up.
            is_lost = true;
        }
    }

    fn is_still_at(&self, at: Position, source: &Source, stamp: &Stamp) -> Result<bool> {
        let Stamp::Row(was) = stamp else {
            return Ok(false);
        };
        let known = self.known(source, at)?;
        Ok(known.is_some_and(|known| known.is_still(was)))
    }
}

impl Witness for IndexWitness {
    fn stamp(&self, source: &Source) -> Result<Option<Stamp>> {
        let Some(known) = self.known(source, self.now()?)? else {
            return Ok(None);
        };
        // The log may be ahead of the index, from which the result is made next.
        self.cardex.refresh(Freshness::AtLeast(known.position))?;
        Ok(Some(Stamp::Row(known.stamp())))
    }

    fn is_still(&self, source: &Source, stamp: &Stamp) -> Result<bool> {
        self.is_still_at(self.now()?, source, stamp)
    }

    fn are_still(&self, seen: &[Seen]) -> Result<bool> {
        if seen.is_empty() {
            return Ok(true);
        }
        let at = self.now()?;
        for seen in seen {
            if !self.is_still_at(at, &seen.source, &seen.stamp)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What the log says of a source at a position.
#[derive(Clone, Copy, Debug)]
struct Known {
    position: Position,
    pruned: Pruned,
    last: Option<ChangeMark>,
}

impl Known {
    fn stamp(&self) -> RowStamp {
        RowStamp {
            epoch: self.position.epoch,
            sequence: self.position.sequence,
            pruned_to: self.pruned.to,
            pruned_nonce: self.pruned.nonce,
            last: self.last.map(|mark| (mark.version, mark.nonce)),
        }
    }

    fn is_still(&self, was: &RowStamp) -> bool {
        let last = self.last.map(|mark| (mark.version, mark.nonce));
        // A deleted file that was pruned, then or since, may have been the last change.
        let pruned = Pruned {
            to: was.pruned_to,
            nonce: was.pruned_nonce,
        };
        let pruned_to = self.pruned.to.max(was.pruned_to);
        let is_whole = self.pruned == pruned || last.is_some_and(|(seq, _)| pruned_to <= seq);
        let is_after = self.position.epoch == was.epoch && self.position.sequence >= was.sequence;
        is_after && is_whole && last == was.last
    }
}

/// The last changes of sources that were asked for, all as of one position.
#[derive(Debug, Default)]
struct Followed {
    position: Position,
    pruned: Pruned,
    last: HashMap<SmolStr, Option<ChangeMark>>,
}

impl Followed {
    fn known(&self, source: &Source) -> Option<Known> {
        self.last.get(source.as_str()).map(|last| Known {
            position: self.position,
            pruned: self.pruned,
            last: *last,
        })
    }

    /// Takes in what was read of the log since a position, and of the source, if it was looked up there: what
    /// is known of the source then. `None` if it was not, and is not followed any more.
    fn take_in(
        &mut self,
        source: &Source,
        since: Position,
        traces: &Traces,
        is_looked_up: bool,
    ) -> Option<Known> {
        self.follow(since, traces);
        if is_looked_up {
            return Some(self.found(source, traces));
        }
        // Others may have gone further, which does as well.
        let known = self.known(source);
        known.filter(|known| known.position.covers(traces.position))
    }

    /// Goes on to what was read of the log since a position; begins anew where the log could not tell.
    /// What others have gone on to meanwhile is left as it is.
    fn follow(&mut self, since: Position, traces: &Traces) {
        let Some(changes) = &traces.changes else {
            if self.position == since {
                self.last.clear();
                (self.position, self.pruned) = (traces.position, traces.pruned);
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
        self.pruned = self.pruned.max(traces.pruned);
    }

    /// Takes in a source that was looked up; what is known of it by that alone. What was pruned before that
    /// may be what it does not show.
    fn found(&mut self, source: &Source, traces: &Traces) -> Known {
        if self.position == traces.position {
            if self.last.len() >= MOST_FOLLOWED {
                self.last.clear();
            }
            self.last.insert(source.as_str().into(), traces.last);
            self.pruned = self.pruned.max(traces.pruned);
        }
        Known {
            position: traces.position,
            pruned: traces.pruned,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    const SOURCES: [&str; 8] = ["", "a", "a/b", "a/b/c", "a/d", "ab", "e", "e/f"];
    const FILES: [&str; 5] = ["a/b/c", "a/d", "ab", "e/f", "a/b/g"];

    /// A log as a database keeps it, and all that ever happened to it, oldest first.
    #[derive(Clone, Default)]
    struct Log {
        epoch: u64,
        rows: BTreeMap<&'static str, (ChangeMark, bool)>,
        pruned: Pruned,
        head: u64,
        happened: Vec<(&'static str, ChangeMark)>,
    }

    impl Log {
        fn position(&self) -> Position {
            Position {
                epoch: self.epoch,
                sequence: self.head,
            }
        }

        fn change(&mut self, path: &'static str, is_there: bool, nonce: i64) {
            self.head += 1;
            let mark = ChangeMark {
                version: self.head,
                nonce,
            };
            self.rows.insert(path, (mark, is_there));
            self.happened.push((path, mark));
        }

        fn prune(&mut self, nonce: i64) {
            let gone = self.rows.values().filter(|(_, is_there)| !is_there);
            let Some(last) = gone.map(|(mark, _)| mark.version).max() else {
                return;
            };
            let to = self.pruned.to.max(last);
            self.pruned = Pruned { to, nonce };
            self.rows.retain(|_, (_, is_there)| *is_there);
        }

        fn touches(source: &str, path: &str) -> bool {
            Source::and_above(path).any(|above| above == source)
        }

        fn read(&self, since: Position, of: Option<&str>) -> Traces {
            let reaches = since.epoch == self.epoch
                && since.sequence <= self.head
                && since.sequence >= self.pruned.to;
            let rows = self.rows.iter();
            let rows = rows.map(|(path, (mark, _))| ((*path).to_owned(), *mark));
            let new = rows.filter(|(_, mark)| mark.version > since.sequence);
            let touching = |of: &str| {
                let rows = self.rows.iter();
                let rows = rows.filter(|(path, _)| Self::touches(of, path));
                rows.map(|(_, (mark, _))| *mark).max()
            };
            Traces {
                position: self.position(),
                pruned: self.pruned,
                changes: reaches.then(|| new.collect()),
                last: of.and_then(touching),
            }
        }

        /// The files that there are below a source, and which change made each of them.
        fn contents(&self, source: &str) -> Vec<(&'static str, ChangeMark)> {
            let rows = self.rows.iter();
            let there =
                rows.filter(|(path, (_, is_there))| *is_there && Self::touches(source, path));
            there.map(|(path, (mark, _))| (*path, *mark)).collect()
        }
    }

    /// A stamp, and the log as it was then.
    struct Stamped {
        source: &'static str,
        stamp: RowStamp,
        log: Log,
    }

    /// One who has read, and whose turn comes later.
    struct Reader {
        source: &'static str,
        since: Position,
        traces: Traces,
        is_looked_up: bool,
        log: Log,
    }

    #[test]
    fn what_was_pruned_after_the_last_change_then_or_now_may_hide_one() {
        let mark = |version| ChangeMark { version, nonce: 7 };
        let known = |sequence, to| Known {
            position: Position { epoch: 1, sequence },
            pruned: Pruned { to, nonce: 3 },
            last: Some(mark(16)),
        };
        let is_still = |then: Known, now: Known| now.is_still(&then.stamp());
        assert!(is_still(known(17, 0), known(20, 0)));
        assert!(is_still(known(17, 9), known(20, 12)), "both before it");
        assert!(is_still(known(18, 17), known(20, 17)), "the same");
        assert!(!is_still(known(17, 0), known(20, 18)), "pruned since");
        assert!(
            !is_still(known(17, 17), known(17, 0)),
            "pruned in another history"
        );
        assert!(!is_still(known(20, 0), known(17, 0)), "before that");
        let other = Known {
            pruned: Pruned { to: 17, nonce: 4 },
            ..known(20, 17)
        };
        assert!(!is_still(known(18, 17), other), "as far, and another one");
        let none = Known {
            last: None,
            ..other
        };
        assert!(
            is_still(none, none)
                && !is_still(
                    none,
                    Known {
                        last: None,
                        ..known(20, 17)
                    }
                )
        );
    }

    /// Readers that take their turns in any order, logs that are pruned, put back and replaced, processes that
    /// begin anew: what counts as still the same is the same, and nothing happened to it meanwhile.
    #[test]
    fn what_is_still_the_same_did_not_change_in_between() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut still, mut changed) = (0, 0);
        for _ in 0..1000 {
            let (mut log, mut followed) = (Log::default(), Followed::default());
            log.epoch = 1;
            let mut older = log.clone();
            let mut nonce = 0;
            let mut readers: Vec<Reader> = Vec::new();
            let mut stamps: Vec<Stamped> = Vec::new();
            for _ in 0..200 {
                match random.u32(0..44) {
                    0..4 => {
                        nonce += 1;
                        log.prune(nonce);
                    }
                    4 => older = log.clone(),
                    5..7 => {
                        // Put back in place: seen by who follows it, and not by who begins then.
                        let epoch = log.epoch;
                        log = older.clone();
                        log.epoch = epoch;
                        if random.bool() {
                            log.epoch += 1;
                        } else {
                            (followed, readers) = (Followed::default(), Vec::new());
                        }
                    }
                    7 => {
                        // That a log went back is forgotten.
                        log.epoch = 1;
                        (followed, readers) = (Followed::default(), Vec::new());
                    }
                    8..16 => {
                        nonce += 1;
                        let path = FILES[random.usize(0..FILES.len())];
                        log.change(path, random.u32(0..3) > 0, nonce);
                    }
                    16..30 => {
                        let source = SOURCES[random.usize(0..SOURCES.len())];
                        let path = Source::under(
                            Path::new("/"),
                            if source.is_empty() { "." } else { source },
                        );
                        let is_followed = followed.known(&path.unwrap()).is_some();
                        let is_looked_up = !is_followed || random.u32(0..4) == 0;
                        let of = is_looked_up.then_some(source);
                        readers.push(Reader {
                            source,
                            since: followed.position,
                            traces: log.read(followed.position, of),
                            is_looked_up,
                            log: log.clone(),
                        });
                    }
                    _ if readers.is_empty() => {}
                    _ => {
                        let reader = readers.swap_remove(random.usize(0..readers.len()));
                        let named = if reader.source.is_empty() {
                            "."
                        } else {
                            reader.source
                        };
                        let source = Source::under(Path::new("/"), named).unwrap();
                        let known = followed.take_in(
                            &source,
                            reader.since,
                            &reader.traces,
                            reader.is_looked_up,
                        );
                        let Some(known) = known else { continue };
                        // It may be known as of a later reader's position.
                        let now = match known.position == reader.log.position() {
                            true => &reader.log,
                            false if known.position == log.position() => &log,
                            false => continue,
                        };
                        for was in stamps.iter().filter(|was| was.source == reader.source) {
                            if !known.is_still(&was.stamp) {
                                changed += 1;
                                continue;
                            }
                            still += 1;
                            let (before, after) =
                                (was.log.contents(was.source), now.contents(was.source));
                            assert_eq!(before, after, "{:?} {known:?}", was.stamp);
                            let is_same_history = now.happened.starts_with(&was.log.happened);
                            let since = now.happened.iter().skip(was.log.happened.len());
                            let happened = since.filter(|(path, _)| Log::touches(was.source, path));
                            assert!(!is_same_history || happened.count() == 0, "{:?}", was.stamp);
                        }
                        stamps.push(Stamped {
                            source: reader.source,
                            stamp: known.stamp(),
                            log: now.clone(),
                        });
                    }
                }
            }
        }
        assert!(still > 5_000 && changed > 5_000, "{still} {changed}");
    }
}
