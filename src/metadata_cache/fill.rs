//! How a record that is not in memory gets there. Each missing path is loaded by one caller, many of
//! them in one batch; a load holds its lease from before it reads the database, and what it read is
//! neither stored nor returned before the index has caught up with it.

use std::sync::Arc;

use smallvec::SmallVec;

use super::MetadataCache;
use super::record::{Body, Record};
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::FilePath;
use crate::position::Position;
use crate::single_flight::{Boarding, Joined, Lead};
use crate::store::{Fetched, Versioned};

/// A record, or that there is none, or why that is not known.
pub(super) type Loaded = Result<Option<Record>>;

/// How many records are read in one batch: as long as a read transaction is open, and a page of
/// bodies that nothing keeps is in memory.
pub(super) const BATCH: usize = 256;

/// How often a caller takes over a load from one who was lost before it gives up.
const MAX_LOST: usize = 8;

/// What becomes of a body that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// It is kept, and others leave if they must.
    Always,
    /// It is kept if nobody has to leave for it.
    IfRoom,
}

type Leads<'c> = SmallVec<[(usize, Lead<'c, FilePath, Option<Record>>); 1]>;
type Joins = SmallVec<[(usize, Joined<Option<Record>>); 1]>;

impl MetadataCache {
    /// The body of a path, if it is in memory and not ahead of the index. Not an access.
    pub(super) fn resident(&self, path: &FilePath) -> Option<Record> {
        let as_of = self.index.position();
        let body = self.bodies.map.peek(path)?;
        as_of.covers(body.version).then_some(Record { body, as_of })
    }

    /// The records of paths that were not found in memory, in their order.
    pub(super) fn resolve(&self, paths: &[&FilePath], keep: Keep) -> Vec<Loaded> {
        paths
            .chunks(BATCH)
            .flat_map(|batch| self.resolve_batch(batch, keep))
            .collect()
    }

    fn resolve_batch(&self, paths: &[&FilePath], keep: Keep) -> Vec<Loaded> {
        let mut loaded: Vec<Option<Loaded>> = self.look_for_unknown(paths);
        for _ in 0..MAX_LOST {
            let (leads, joins) = self.board(paths, &mut loaded);
            // Those that are led land before any other is waited for.
            self.load_led(leads, keep, &mut loaded);
            for (at, joined) in joins {
                loaded[at] = joined.wait();
            }
            if loaded.iter().all(Option::is_some) {
                break;
            }
        }
        let lost = |path: &FilePath| {
            let message = format!("every load of {path} was lost before it ended");
            Err(Error::new(ErrorKind::Internal, message))
        };
        let each = loaded.into_iter().zip(paths);
        each.map(|(loaded, path)| loaded.unwrap_or_else(|| lost(path)))
            .collect()
    }

    /// Answers for the paths that the index does not know: one shared look at the log, and then
    /// there are no such files. While rows of the project are unreadable a path may be of one of
    /// them, and the database is asked.
    fn look_for_unknown(&self, paths: &[&FilePath]) -> Vec<Option<Loaded>> {
        let mut loaded: Vec<Option<Loaded>> = paths.iter().map(|_| None).collect();
        let snapshot = self.index.snapshot();
        let is_unknown = |path: &FilePath| snapshot.find(path.as_str()).is_none();
        let unknown: Vec<usize> = (0..paths.len())
            .filter(|&at| is_unknown(paths[at]))
            .collect();
        if unknown.is_empty() {
            return loaded;
        }
        let look = self.sync.incremental();
        let snapshot = self.index.snapshot();
        let mut found = 0;
        for at in &unknown {
            match &look {
                Err(error) => loaded[*at] = Some(Err(error.clone())),
                Ok(_) if snapshot.find(paths[*at].as_str()).is_some() => found += 1,
                Ok(_) if snapshot.is_complete() => loaded[*at] = Some(Ok(None)),
                Ok(_) => {}
            }
        }
        let mut counts = self.counters.lock();
        counts.db_lookups += unknown.len() as u64;
        counts.db_lookup_hits += found;
        loaded
    }

    /// Begins the loads of what is not answered yet, or joins those of others.
    fn board(&self, paths: &[&FilePath], loaded: &mut [Option<Loaded>]) -> (Leads<'_>, Joins) {
        let (mut leads, mut joins) = (Leads::new(), Joins::new());
        for (at, path) in paths.iter().enumerate() {
            if loaded[at].is_some() {
                continue;
            }
            match self.bodies.loads.board(path) {
                Boarding::Joins(joined) => joins.push((at, joined)),
                // Somebody may have loaded it between our look at the bodies and now.
                Boarding::Leads(lead) => match self.resident(path) {
                    None => leads.push((at, lead)),
                    Some(record) => {
                        lead.land(Ok(Some(record.clone())));
                        loaded[at] = Some(Ok(Some(record)));
                    }
                },
            }
        }
        (leads, joins)
    }

    /// Reads what we lead in one batch, keeps it, and tells those who wait.
    fn load_led(&self, leads: Leads<'_>, keep: Keep, loaded: &mut [Option<Loaded>]) {
        if leads.is_empty() {
            return;
        }
        // After the leases were taken: whatever changes from here on voids them.
        let as_of = self.index.position();
        let paths: Vec<FilePath> = leads.iter().map(|(_, lead)| lead.key().clone()).collect();
        let (position, records) = match self.fetch(&paths, as_of) {
            Ok(fetched) => (fetched.position, fetched.records),
            Err(error) => {
                let failed = std::iter::repeat_with(|| Err(error.clone()));
                (as_of, failed.take(paths.len()).collect())
            }
        };
        for ((at, lead), found) in leads.into_iter().zip(records) {
            let outcome = found.and_then(|found| {
                let record = found.map(|found| self.record(found, as_of, position));
                record.transpose()
            });
            match &outcome {
                Ok(Some(record)) => self.keep(&lead, record, keep),
                Ok(None) => {}
                Err(_) => self.counters.lock().load_errors += 1,
            }
            lead.land(outcome.clone());
            loaded[at] = Some(outcome);
        }
    }

    /// Reads the records, and waits until the index knows of all that was read.
    fn fetch(&self, paths: &[FilePath], as_of: Position) -> Result<Fetched> {
        let fetched = self.store.fetch(paths)?;
        let is_ahead = |found: &Versioned| {
            let sequence = found.version;
            let version = Position {
                sequence,
                ..fetched.position
            };
            !as_of.covers(version)
        };
        let mut found = fetched.records.iter().flatten();
        if found.any(|found| found.as_ref().is_none_or(is_ahead)) {
            self.sync.reach(fetched.position)?;
        }
        Ok(fetched)
    }

    /// What was read at `position`, as of then, or as of the index's position before the read if it
    /// was in it already.
    fn record(&self, found: Versioned, as_of: Position, position: Position) -> Result<Record> {
        let sequence = found.version;
        let version = Position {
            sequence,
            ..position
        };
        let as_of = if as_of.covers(version) {
            as_of
        } else {
            position
        };
        self.assert_size(&found.record)?;
        let body = Arc::new(Body {
            record: found.record,
            version,
        });
        Ok(Record { body, as_of })
    }

    fn keep(&self, lead: &Lead<'_, FilePath, Option<Record>>, record: &Record, keep: Keep) {
        let body = Arc::clone(&record.body);
        let kept = match keep {
            Keep::Always => {
                // What was evicted is dropped after the lease is released.
                let inserted = lead.store(|| self.bodies.insert(body));
                inserted.is_some_and(|inserted| inserted.kept)
            }
            Keep::IfRoom => lead.store(|| self.bodies.offer(body)).unwrap_or(false),
        };
        if kept {
            self.counters.lock().loads += 1;
        }
    }
}
