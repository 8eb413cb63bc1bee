//! How a record that is not in memory gets there. Each missing path is loaded by one caller, many of
//! them in one batch; a load holds its lease from before it reads the database, and what it read is
//! neither stored nor returned before the index has caught up with it.

use std::sync::Arc;

use smallvec::SmallVec;

use super::MetadataCache;
use super::record::{Body, Record};
use crate::bounded::Inserted;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Moment;
use crate::metadata::FilePath;
use crate::position::Position;
use crate::single_flight::{Boarding, Joined, Lead};
use crate::store::Versioned;

/// A record, or that there is none, or why that is not known.
pub(super) type Loaded = Result<Option<Record>>;

/// How many records are read in one batch: as long as a read transaction is open, and a page of
/// bodies that nothing keeps is in memory.
pub(super) const BATCH: usize = 256;

/// How often a caller takes over a load from one who was lost before it gives up.
const MAX_LOST: usize = 8;

/// What records are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody wants this one.
    Get,
    /// They are of the answer to a query.
    Page,
    /// Somebody goes through many, once.
    Scan,
    /// Memory is being filled at the start.
    Start,
}

impl Purpose {
    fn keep(self) -> Keep {
        match self {
            Purpose::Get | Purpose::Page => Keep::Always,
            Purpose::Scan | Purpose::Start => Keep::IfRoom,
        }
    }
}

/// What becomes of a body that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// It is kept, and others leave if they must.
    Always,
    /// It is kept if nobody has to leave for it.
    IfRoom,
}

type Leads<'c> = SmallVec<[(usize, Lead<'c, FilePath, Option<Record>>); 1]>;
type Joins = SmallVec<[(usize, Joined<Option<Record>>); 1]>;

impl MetadataCache {
    /// The body of a path, if it is in memory and not ahead of the index. Not an access.
    fn resident(&self, path: &FilePath) -> Option<Record> {
        let moment = self.index.moment();
        self.known(self.bodies.map.peek(path)?, moment)
    }

    /// A body that was found in memory after `moment` was taken, unless it is ahead of the index: as
    /// it may be while the snapshot is published that knows it. As long as nothing is published, all
    /// bodies in memory are true of the index's position.
    #[inline]
    pub(super) fn known(&self, body: Arc<Body>, moment: Moment) -> Option<Record> {
        let as_of = moment.position;
        let is_known = self.index.is_still(moment) || as_of.covers(body.version);
        is_known.then_some(Record { body, as_of })
    }

    /// The records of paths that were not found in memory, in their order.
    pub(super) fn resolve(&self, paths: &[&FilePath], purpose: Purpose) -> Vec<Loaded> {
        paths
            .chunks(BATCH)
            .flat_map(|batch| self.resolve_batch(batch, purpose))
            .collect()
    }

    fn resolve_batch(&self, paths: &[&FilePath], purpose: Purpose) -> Vec<Loaded> {
        let mut loaded: Vec<Option<Loaded>> = self.look_for_unknown(paths, purpose);
        for _ in 0..MAX_LOST {
            // Before boarding: a load that is in progress then has not been voided by any pass up to
            // here, so what it brings is true of this position, however long ago it began.
            let as_of = self.index.position();
            let (leads, joins) = self.board(paths, &mut loaded);
            // Those that are led land before any other is waited for.
            self.load_led(leads, purpose, &mut loaded);
            for (at, joined) in joins {
                let seen = |record: Option<Record>| record.map(|record| record.seen_at(as_of));
                loaded[at] = joined.wait().map(|landed| landed.map(seen));
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
    fn look_for_unknown(&self, paths: &[&FilePath], purpose: Purpose) -> Vec<Option<Loaded>> {
        let mut loaded: Vec<Option<Loaded>> = paths.iter().map(|_| None).collect();
        let snapshot = self.index.snapshot();
        let is_unknown = |path: &FilePath| snapshot.find(path.as_str()).is_none();
        let unknown: Vec<usize> = (0..paths.len())
            .filter(|&at| is_unknown(paths[at]))
            .collect();
        if unknown.is_empty() {
            return loaded;
        }
        let (look, is_ours) = self.sync.look();
        let snapshot = self.index.snapshot();
        let mut found = false;
        for at in &unknown {
            match &look {
                Err(error) => loaded[*at] = Some(Err(error.clone())),
                Ok(_) if snapshot.find(paths[*at].as_str()).is_some() => found = true,
                Ok(_) if snapshot.is_complete() => loaded[*at] = Some(Ok(None)),
                Ok(_) => {}
            }
        }
        if is_ours && look.is_ok() && purpose == Purpose::Get {
            let mut counts = self.counters.lock();
            counts.db_lookups += 1;
            counts.db_lookup_hits += u64::from(found);
        }
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
    fn load_led(&self, leads: Leads<'_>, purpose: Purpose, loaded: &mut [Option<Loaded>]) {
        if leads.is_empty() {
            return;
        }
        let paths: Vec<FilePath> = leads.iter().map(|(_, lead)| lead.key().clone()).collect();
        let read = self.read(&paths).unwrap_or_else(|error| {
            let failed = std::iter::repeat_with(|| Err(error.clone()));
            Read::failed(failed.take(paths.len()).collect())
        });
        let caught_up = self.catch_up(&leads, &read, purpose);
        for ((at, lead), body) in leads.into_iter().zip(&read.bodies) {
            let outcome = match &caught_up {
                Err(error) if read.is_ahead(body) => Err(error.clone()),
                _ => body.clone().map(|body| body.map(|body| read.record(body))),
            };
            match &outcome {
                Ok(Some(record)) => self.keep(&lead, record, purpose),
                Ok(None) => {}
                Err(_) => self.counters.lock().load_errors += 1,
            }
            lead.land(outcome.clone());
            loaded[at] = Some(outcome);
        }
    }

    /// Reads the bodies of paths that are led.
    fn read(&self, paths: &[FilePath]) -> Result<Read> {
        // After the leases were taken: whatever changes from here on voids them.
        let mut as_of = self.index.position();
        let mut fetched = self.store.fetch(paths)?;
        if fetched.position < as_of {
            // The log went back: the index has to follow before anything can be compared with it.
            self.sync.incremental()?;
            as_of = self.index.position();
            fetched = self.store.fetch(paths)?;
        }
        let position = fetched.position;
        if position < as_of {
            let message = format!("the database is at {position}, older than the index at {as_of}");
            return Err(Error::new(ErrorKind::Database, message));
        }
        let body = |found: Versioned| {
            self.assert_size(&found.record)?;
            Ok(Body::new(found.record, position.at(found.version)))
        };
        let bodies = fetched.records.into_iter();
        Ok(Read {
            as_of,
            position,
            bodies: bodies.map(|found| found?.map(body).transpose()).collect(),
        })
    }

    /// Waits until the index knows of all that was read. What it did not know is announced to the
    /// pass, which voids our lease, and keeps the body in our stead.
    fn catch_up(&self, leads: &Leads<'_>, read: &Read, purpose: Purpose) -> Result<()> {
        let ahead = leads.iter().zip(&read.bodies);
        let mut ahead = ahead.filter(|(_, body)| read.is_ahead(body)).peekable();
        if ahead.peek().is_none() {
            return Ok(());
        }
        let announce = |body: &Arc<Body>| self.bodies.announce(Arc::clone(body));
        let announced: Vec<_> = ahead
            .filter_map(|((_, lead), body)| Some((lead, body.as_ref().ok()?.as_ref()?)))
            .filter(|_| purpose.keep() == Keep::Always)
            .filter_map(|(lead, body)| lead.store(|| announce(body)))
            .collect();
        let reached = self.sync.reach(read.position);
        let kept = announced.iter().filter(|announced| announced.is_kept());
        self.counters.lock().loads += kept.count() as u64;
        reached
    }

    fn keep(&self, lead: &Lead<'_, FilePath, Option<Record>>, record: &Record, purpose: Purpose) {
        let body = Arc::clone(&record.body);
        // Whatever a store says of its positions, nothing ahead of the index is kept.
        let is_known = || self.index.position().covers(body.version);
        // What was evicted is dropped after the lease is released.
        let inserted = lead.store(|| match purpose.keep() {
            _ if !is_known() => Kept::Offered(false),
            Keep::Always => Kept::Inserted(self.bodies.insert(Arc::clone(&body))),
            Keep::IfRoom => Kept::Offered(self.bodies.offer(Arc::clone(&body))),
        });
        let kept = match inserted {
            Some(Kept::Inserted(inserted)) => inserted.kept,
            Some(Kept::Offered(kept)) => kept,
            // Voided: by a pass, which may have kept it, or by somebody who wants it gone.
            None => false,
        };
        if kept {
            self.counters.lock().loads += 1;
        }
    }
}

/// How a body was stored.
enum Kept {
    Inserted(Inserted<FilePath, Arc<Body>>),
    Offered(bool),
}

/// What a batch read.
struct Read {
    /// The index's position before the read.
    as_of: Position,
    /// The position of the read, not before that.
    position: Position,
    bodies: Vec<Result<Option<Arc<Body>>>>,
}

impl Read {
    fn failed(bodies: Vec<Result<Option<Arc<Body>>>>) -> Self {
        Read {
            as_of: Position::default(),
            position: Position::default(),
            bodies,
        }
    }

    /// Whether the index did not know of it: of a newer version, or that a file it knew is gone.
    fn is_ahead(&self, body: &Result<Option<Arc<Body>>>) -> bool {
        match body {
            Ok(Some(body)) => !self.as_of.covers(body.version),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// A body as of the read, or as of the index's position before it if it was known there already.
    fn record(&self, body: Arc<Body>) -> Record {
        let as_of = if self.as_of.covers(body.version) {
            self.as_of
        } else {
            self.position
        };
        Record { body, as_of }
    }
}
