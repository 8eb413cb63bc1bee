//! The metadata cache: a complete index of the project, and as many of its records in memory as the
//! budget allows. What it answers never depends on which those are: the index covers every file,
//! and a record that is not in memory is read, by one caller, in the version that the index knows.

mod bodies;
mod coordinated;
mod feed;
mod fill;
mod health;
mod options;
mod page;
mod record;
mod stats;

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use self::bodies::Bodies;
pub use self::feed::ChangeFeed;
use self::fill::{BATCH, Loaded, Purpose};
pub use self::options::CacheOptions;
pub use self::page::{Fetch, Missing, Page};
use self::record::Body;
pub use self::record::Record;
pub use self::stats::CacheStats;
use self::stats::{Base, Counts};
use crate::bounded::{BoundedMap, Limits, RemovalCause};
use crate::cache::Scope;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::freshness::Freshness;
use crate::index::{Hit, Index, Snapshot};
use crate::metadata::{FileMetadata, FilePath};
use crate::position::Position;
use crate::primitives::Mutex;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::query::{Answer, Query};
use crate::stats::Counter;
use crate::store::{ChangeSet, MetadataStore, Removal};
use crate::sync::{Schedule, Seen, SyncMode, SyncReport, Synchronizer};
use crate::worker::Worker;

/// The name of the cache in errors and in a host's registry.
pub(crate) const NAME: &str = "memory_cache";

/// How often [`MetadataCache::query_records`] asks again when what it found changed meanwhile.
const MAX_RETRIES: usize = 4;

/// The cache over one project of a store.
///
/// Queries and hits take no lock that is held across I/O. Verbs that may read or write the database
/// say so; they wait for the database at most for its time-outs, and for a synchronisation pass in
/// progress as long as that reads.
#[derive(Debug)]
pub struct MetadataCache {
    store: Arc<dyn MetadataStore>,
    index: Arc<Index>,
    bodies: Arc<Bodies>,
    sync: Arc<Synchronizer>,
    schedule: Arc<Schedule>,
    /// The thread that follows the database, from the first load to the shutdown.
    follower: Mutex<Option<Worker>>,
    clock: Arc<dyn Clock>,
    options: CacheOptions,
    hits: Counter,
    counters: Mutex<Counts>,
    is_shut_down: AtomicBool,
}

impl MetadataCache {
    /// A cache over a store. It knows nothing until [`MetadataCache::load`].
    ///
    /// # Errors
    /// `Io` if the index's thread cannot be started.
    pub fn new(
        store: Arc<dyn MetadataStore>,
        clock: Arc<dyn Clock>,
        options: CacheOptions,
    ) -> Result<Self> {
        let index = Arc::new(Index::with_clock(Arc::clone(&clock))?);
        let map = BoundedMap::new(options.limits(), options.strategy());
        let bodies = Arc::new(Bodies::new(map));
        let sync = Arc::new(Synchronizer::followed_by(
            Arc::clone(&store),
            Arc::clone(&index),
            Arc::clone(&clock),
            Arc::clone(&bodies) as _,
        ));
        let (change_poll, sync_interval) = options.intervals();
        Ok(MetadataCache {
            store,
            index,
            bodies,
            sync,
            schedule: Arc::new(Schedule::new(change_poll, sync_interval)),
            follower: Mutex::default(),
            clock,
            options,
            hits: Counter::default(),
            counters: Mutex::default(),
            is_shut_down: AtomicBool::new(false),
        })
    }

    /// Loads the whole index, and records up to the capacity, most recently modified first; from then
    /// on a thread follows the database. The options may say otherwise. Reads the database.
    ///
    /// # Errors
    /// Those of the database, if the index cannot be loaded. The cache stays as it is, degraded:
    /// whatever needs the index is a `NotLoaded` error, until a later synchronisation succeeds; where
    /// the database is followed, that comes by itself.
    /// Records that cannot be read are left out, and told to the log.
    pub fn load(&self) -> Result<SyncReport> {
        self.assert_running()?;
        let loaded = self.sync.full();
        if self.options.follows() {
            self.follow_database()?;
        }
        let report = loaded?;
        if self.options.loads_bodies()
            && let Err(error) = self.load_bodies()
        {
            tracing::warn!("records are read when they are wanted, not now: {error:#}");
        }
        Ok(report)
    }

    /// The record of a path; `None` if there is none. A record that is not in memory is read from
    /// the database, by one caller for all who ask for it meanwhile.
    ///
    /// # Errors
    /// Those of the database, where it is needed: a failure is never "absent". `InvalidRecord` if
    /// the record is larger than this cache may read.
    pub fn get(&self, path: &FilePath) -> Result<Option<Record>> {
        self.assert_running()?;
        // The position comes before the body: what is found cannot be older than it.
        let moment = self.index.moment();
        if let Some(body) = self.bodies.map.get(path)
            && let Some(record) = self.known(body, moment)
        {
            self.hits.bump();
            return Ok(Some(record));
        }
        self.counters.lock().misses += 1;
        let mut loaded = self.resolve(&[path], Purpose::Get);
        loaded.pop().unwrap_or(Ok(None))
    }

    /// The records of many paths, in their order: as many gets, but faster, and with one batch of
    /// reads for those that are not in memory.
    ///
    /// # Errors
    /// As [`MetadataCache::get`]; the first one.
    pub fn get_many(&self, paths: &[FilePath]) -> Result<Vec<Option<Record>>> {
        self.assert_running()?;
        let paths: SmallVec<[&FilePath; 64]> = paths.iter().collect();
        let (mut records, missing) = self.probe(&paths, true);
        self.hits.add((paths.len() - missing.len()) as u64);
        if missing.is_empty() {
            return Ok(records);
        }
        self.counters.lock().misses += missing.len() as u64;
        let wanted: Vec<&FilePath> = missing.iter().map(|at| paths[*at]).collect();
        for (at, loaded) in missing.into_iter().zip(self.resolve(&wanted, Purpose::Get)) {
            records[at] = loaded?;
        }
        Ok(records)
    }

    /// The files that match, in path order. Takes no lock and does no I/O.
    ///
    /// # Errors
    /// `NotLoaded` before the first good synchronisation: not known is not the same as none.
    pub fn query(&self, query: &Query) -> Result<Answer> {
        // The look comes before the snapshot: what is found cannot be older than it.
        let looked_at = self.sync.looked_at();
        Ok(self.snapshot()?.search(query).seen_at(looked_at))
    }

    /// As [`MetadataCache::get`], as fresh as demanded. May look at the database.
    ///
    /// # Errors
    /// As there, and those of [`MetadataCache::refresh`].
    pub fn get_with(&self, path: &FilePath, freshness: Freshness) -> Result<Option<Record>> {
        self.refresh(freshness)?;
        self.get(path)
    }

    /// As [`MetadataCache::query`], as fresh as demanded. May look at the database.
    ///
    /// # Errors
    /// As there, and those of [`MetadataCache::refresh`].
    pub fn query_with(&self, query: &Query, freshness: Freshness) -> Result<Answer> {
        self.refresh(freshness)?;
        self.query(query)
    }

    /// Sees to it that later answers are at least this fresh: looks at the log, once, if the last
    /// look does not do. A look at an unchanged log takes microseconds.
    ///
    /// # Errors
    /// `NotFresh`, with its cause, if the demand cannot be met.
    pub fn refresh(&self, freshness: Freshness) -> Result<()> {
        self.assert_running()?;
        let is_met = match freshness {
            Freshness::Cached => true,
            Freshness::MaxAge(age) => {
                let looked_at = self.sync.looked_at();
                let snapshot = self.index.snapshot();
                let looked_at = looked_at.max(snapshot.stamp().looked_at);
                snapshot.is_loaded() && snapshot.age_since(looked_at) <= age
            }
            Freshness::AtLeast(position) => self.index.position().covers(position),
            Freshness::Latest => false,
        };
        if is_met {
            return Ok(());
        }
        let not_fresh = |why: String| {
            let message = format!("the answer cannot be as fresh as demanded ({freshness}): {why}");
            Error::new(ErrorKind::NotFresh, message)
        };
        self.sync
            .incremental()
            .map_err(|cause| not_fresh("the database cannot be read".to_owned()).because(cause))?;
        match freshness {
            Freshness::AtLeast(position) if !self.index.position().covers(position) => {
                let head = self.index.position();
                Err(not_fresh(format!("the database is at {head}")))
            }
            _ => Ok(()),
        }
    }

    /// The current state of the index: many questions can be put to one instant.
    ///
    /// # Errors
    /// As [`MetadataCache::query`].
    pub fn snapshot(&self) -> Result<Arc<Snapshot>> {
        self.assert_running()?;
        let snapshot = self.index.snapshot();
        if snapshot.is_loaded() {
            return Ok(snapshot);
        }
        Err(self.not_loaded())
    }

    /// The records of an answer, in exactly the versions that it found. Those that are not in memory
    /// are read from the database in one batch.
    ///
    /// # Errors
    /// `Superseded` if a file has changed since: ask again, or use
    /// [`MetadataCache::query_records`], which does. Those of the database. None of these where the
    /// caller allows a partial page.
    pub fn records(&self, answer: &Answer, fetch: &Fetch) -> Result<Page> {
        self.assert_running()?;
        let end = fetch.page.end.min(answer.len());
        let start = fetch.page.start.min(end);
        let hits: Vec<Hit<'_>> = answer.hits().skip(start).take(end - start).collect();
        let paths = hits.iter().map(|hit| FilePath::new(hit.path));
        let paths = paths.collect::<Result<Vec<_>>>()?;
        let paths: SmallVec<[&FilePath; 64]> = paths.iter().collect();
        let (mut found, missing) = self.probe(&paths, fetch.is_access);
        let wanted: Vec<&FilePath> = missing.iter().map(|at| paths[*at]).collect();
        let mut page = Page {
            records: Vec::with_capacity(hits.len()),
            missing: Vec::new(),
        };
        let purpose = match fetch.is_access {
            true => Purpose::Page,
            false => Purpose::Scan,
        };
        let mut errors: Vec<Option<Error>> = hits.iter().map(|_| None).collect();
        for (at, loaded) in missing.into_iter().zip(self.resolve(&wanted, purpose)) {
            match loaded {
                Ok(record) => found[at] = record,
                Err(error) => errors[at] = Some(error),
            }
        }
        for ((hit, record), error) in hits.iter().zip(found).zip(errors) {
            let version = answer.as_of().at(hit.version);
            match record.filter(|record| record.body.version == version) {
                Some(record) => page.records.push(record),
                None => {
                    let error = error.unwrap_or_else(|| superseded(hit.path, version));
                    if !fetch.allow_partial {
                        return Err(error);
                    }
                    let path = hit.path.to_owned();
                    page.missing.push(Missing { path, error });
                }
            }
        }
        Ok(page)
    }

    /// Asks, and fetches the records of the answer; asks again if one of them changed meanwhile, so
    /// that all are of the answer's one instant.
    ///
    /// # Errors
    /// Those of [`MetadataCache::query`] and [`MetadataCache::records`]; `Superseded` if files of
    /// the answer changed each of several times that it was asked. Where a partial page is allowed,
    /// they are told as missing then.
    pub fn query_records(&self, query: &Query, fetch: &Fetch) -> Result<(Answer, Page)> {
        let mut tries = 0;
        loop {
            let answer = self.query(query)?;
            let page = self.records(&answer, fetch);
            let is_superseded = |error: &Error| error.kind() == ErrorKind::Superseded;
            let changed = match &page {
                Err(error) => is_superseded(error),
                Ok(page) => page.missing.iter().any(|hit| is_superseded(&hit.error)),
            };
            if !changed || tries == MAX_RETRIES {
                return Ok((answer, page?));
            }
            tries += 1;
        }
    }

    /// Adds or replaces a record: in the database first, then here. When it returns, the next query
    /// knows. Writes the database. Not an access.
    ///
    /// # Errors
    /// `InvalidRecord` for a record that is larger than `max_record_bytes`; those of the database:
    /// then nothing was written. `CommittedNotApplied` if it was, and only the index could not
    /// follow.
    pub fn update(&self, record: &FileMetadata) -> Result<Position> {
        self.assert_running()?;
        // A copy holds no spare room: it weighs what it will weigh when it is read.
        let record = record.clone();
        self.assert_size(&record)?;
        let path = record.path.clone();
        let stored = self.store.put(&record)?;
        {
            let mut counts = self.counters.lock();
            match stored.existed {
                true => counts.updates += 1,
                false => counts.insertions += 1,
            }
        }
        let body = stored.verbatim.then(|| Body::new(record, stored.position));
        let announced = body.map(|body| self.bodies.announce(body));
        self.follow(&path, stored.position)?;
        drop(announced);
        Ok(stored.position)
    }

    /// Removes a record from the database, the index and memory; whether there was one. Writes the
    /// database.
    ///
    /// # Errors
    /// As [`MetadataCache::update`].
    pub fn remove(&self, path: &FilePath) -> Result<Removal> {
        self.assert_running()?;
        let removal = self.store.remove(path)?;
        if !removal.existed {
            // Nothing was written; but others may have removed what the index still knows.
            self.sync.reach(removal.position)?;
            return Ok(removal);
        }
        self.counters.lock().removals += 1;
        drop(self.bodies.map.remove(path, RemovalCause::Explicit));
        self.follow(path, removal.position)?;
        Ok(removal)
    }

    /// Drops every record from memory. No answer changes: the index stays, and so do the counts. A
    /// load in progress does not put back what was dropped.
    ///
    /// # Errors
    /// `NotInitialized` after the shutdown.
    pub fn clear(&self) -> Result<()> {
        self.assert_running()?;
        self.bodies.clear();
        Ok(())
    }

    /// Drops up to `n` records from memory, the next victims first; returns how many.
    ///
    /// # Errors
    /// `NotInitialized` after the shutdown.
    pub fn evict(&self, n: usize) -> Result<usize> {
        self.assert_running()?;
        Ok(self.bodies.map.evict(n).len())
    }

    /// Drops the records of the files of the scope from memory; returns how many. No answer changes. A
    /// load in progress does not put back what was dropped: what it brings is returned, and not kept.
    ///
    /// # Errors
    /// `InvalidPath` or `InvalidPattern` for a scope that makes no sense, `NotInitialized` after the
    /// shutdown.
    pub fn invalidate(&self, scope: &Scope) -> Result<usize> {
        self.assert_running()?;
        Ok(self.bodies.invalidate(&scope.matcher()?))
    }

    /// Sets other limits of memory, and drops at once what is over them. They are taken as they are:
    /// the ranges of [`CacheOptions`] are those of a configuration, which goes on to tell its own.
    ///
    /// # Errors
    /// `NotInitialized` after the shutdown.
    pub fn set_limits(&self, limits: Limits) -> Result<()> {
        self.assert_running()?;
        drop(self.bodies.map.set_limits(limits));
        // A shutdown may have come between.
        if !self.is_running() {
            self.close_memory();
        }
        self.assert_running()
    }

    /// Takes the limits and the intervals of these options, and drops at once what is over the
    /// limits. What else they say is for a cache that is made of them.
    ///
    /// # Errors
    /// `NotInitialized` after the shutdown.
    pub fn reconfigure(&self, options: &CacheOptions) -> Result<()> {
        self.set_limits(options.limits())?;
        let (change_poll, sync_interval) = options.intervals();
        self.schedule.set(change_poll, sync_interval);
        // It may be in a long rest.
        if let Some(follower) = &*self.follower.lock() {
            follower.ring();
        }
        Ok(())
    }

    /// Reads the whole index anew and switches at once: a full synchronisation.
    ///
    /// # Errors
    /// Those of the database; everything stays as it was.
    pub fn rebuild(&self) -> Result<SyncReport> {
        self.sync(SyncMode::Full)
    }

    /// Brings everything up to date with the database, whoever wrote to it: by what the log names
    /// since the last time, or by everything anew.
    ///
    /// # Errors
    /// Those of the database; everything stays as it was.
    pub fn sync(&self, mode: SyncMode) -> Result<SyncReport> {
        self.assert_running()?;
        match mode {
            SyncMode::Full => self.sync.full(),
            SyncMode::Incremental => self.sync.incremental(),
        }
    }

    /// What changed since a position, deletions included: at most `limit` files, in the order of their
    /// last changes. Reads the database.
    ///
    /// # Errors
    /// Those of the database.
    pub fn changes(&self, since: Position, limit: usize) -> Result<ChangeSet> {
        self.assert_running()?;
        self.store.changes(since, limit)
    }

    /// The changes since a position, one set after the other, for a caller that waits for them. From
    /// [`Position::default`] on, the first set is every file.
    ///
    /// # Errors
    /// `NotInitialized` after the shutdown.
    pub fn subscribe(&self, since: Position) -> Result<ChangeFeed> {
        self.assert_running()?;
        let (store, sync) = (Arc::clone(&self.store), Arc::clone(&self.sync));
        Ok(ChangeFeed::new(store, sync, since))
    }

    /// Counts, limits and state, of one instant.
    ///
    /// # Errors
    /// `NotInitialized` after the shutdown.
    pub fn stats(&self) -> Result<CacheStats> {
        self.assert_running()?;
        let (snapshot, seen) = self.sync.seen();
        let now = self.clock.elapsed();
        let counts = self.counters.lock();
        let bodies = self.bodies.map.stats();
        let hits = self.hits.get();
        let removed = RemovalCause::ALL
            .map(|cause| bodies.removed(cause) - counts.base.removed[cause as usize]);
        Ok(CacheStats {
            items: bodies.usage.items,
            max_items: bodies.limits.max_items,
            bytes: bodies.usage.bytes,
            max_bytes: bodies.limits.max_bytes,
            hits: hits - counts.base.hits,
            misses: counts.misses,
            insertions: counts.insertions,
            updates: counts.updates,
            removals: counts.removals,
            loads: counts.loads,
            load_errors: counts.load_errors,
            db_lookups: counts.db_lookups,
            db_lookup_hits: counts.db_lookup_hits,
            files: snapshot.len(),
            unreadable: snapshot.stamp().unreadable,
            terms: snapshot.term_counts(),
            watermark: snapshot.position(),
            age: seen.looked_at.map(|at| now.saturating_sub(at)),
            last_sync: seen.last,
            last_failure: seen.failure,
            removed,
        })
    }

    /// The position that answers reflect now.
    #[cfg(feature = "sqlite")]
    pub(crate) fn position(&self) -> Position {
        self.index.position()
    }

    /// How long ago the last look at the log began that succeeded: what was committed since then may
    /// be missing from what is answered now.
    ///
    /// # Errors
    /// As [`MetadataCache::query`].
    pub fn age(&self) -> Result<Duration> {
        let looked_at = self.sync.looked_at();
        let snapshot = self.snapshot()?;
        Ok(snapshot.age_since(looked_at.max(snapshot.stamp().looked_at)))
    }

    /// Sets every count to 0; nothing else changes.
    ///
    /// # Errors
    /// `NotInitialized` after the shutdown.
    pub fn reset_stats(&self) -> Result<()> {
        self.assert_running()?;
        let mut counts = self.counters.lock();
        let base = Base::new(self.hits.get(), &self.bodies.map.stats());
        *counts = Counts {
            base,
            ..Counts::default()
        };
        Ok(())
    }

    /// Ends the cache's work: every later verb is a `NotInitialized` error, here and in every clone
    /// of a handle. The records are dropped from memory. Again: nothing happens.
    pub fn shutdown(&self) {
        self.is_shut_down.store(true, Ordering::Release);
        let follower = self.follower.lock().take();
        drop(follower);
        self.close_memory();
    }

    /// Drops every record, and leaves no room for what verbs on their way may bring.
    fn close_memory(&self) {
        let nothing = Limits {
            max_items: 0,
            ..self.options.limits()
        };
        drop(self.bodies.map.set_limits(nothing));
        self.bodies.clear();
    }

    /// Whether it was not shut down.
    pub fn is_running(&self) -> bool {
        !self.is_shut_down.load(Ordering::Acquire)
    }

    /// How it was set up.
    pub fn options(&self) -> &CacheOptions {
        &self.options
    }

    /// The database.
    pub fn store(&self) -> &Arc<dyn MetadataStore> {
        &self.store
    }

    /// Looks for the records in memory; what it finds, and the numbers of the others.
    fn probe(
        &self,
        paths: &[&FilePath],
        is_access: bool,
    ) -> (Vec<Option<Record>>, SmallVec<[usize; 64]>) {
        let moment = self.index.moment();
        let bodies = match is_access {
            true => self.bodies.map.get_many(paths),
            false => paths
                .iter()
                .map(|path| self.bodies.map.peek(*path))
                .collect(),
        };
        let mut missing = SmallVec::new();
        let records = bodies.into_iter().enumerate().map(|(at, body)| {
            let record = body.and_then(|body| self.known(body, moment));
            if record.is_none() {
                missing.push(at);
            }
            record
        });
        (records.collect(), missing)
    }

    /// Starts the thread that follows the database, unless it runs already.
    fn follow_database(&self) -> Result<()> {
        let mut follower = self.follower.lock();
        if follower.is_none() && self.is_running() {
            let schedule = Arc::clone(&self.schedule);
            *follower = Some(schedule.follow(Arc::clone(&self.sync))?);
        }
        Ok(())
    }

    /// Fills memory with the records that were modified last, as far as there is room.
    fn load_bodies(&self) -> Result<()> {
        let newest = self.store.newest(self.options.limits().max_items)?;
        let mut loaded = 0;
        for batch in newest.chunks(BATCH) {
            let paths: Vec<&FilePath> = batch.iter().collect();
            let found = self.resolve(&paths, Purpose::Start);
            loaded += batch.len();
            let is_left_out = |(path, found): (&FilePath, Loaded)| match found {
                Ok(record) => record.is_some() && self.bodies.map.peek(path).is_none(),
                Err(error) => {
                    tracing::warn!(%path, "a record is not loaded: {error:#}");
                    false
                }
            };
            if batch.iter().zip(found).any(is_left_out) {
                break;
            }
        }
        // Read in turn from the oldest to the newest: the newest leave last.
        for path in newest[..loaded].iter().rev() {
            self.bodies.map.get(path);
        }
        Ok(())
    }

    /// Brings the index up to date with a commit of our own.
    fn follow(&self, path: &FilePath, position: Position) -> Result<()> {
        self.sync.reach(position).map_err(|cause| {
            let message = format!("{path} is written, at {position}, but not in the index yet");
            Error::new(ErrorKind::CommittedNotApplied, message)
                .with_help("the next synchronisation that succeeds brings it in")
                .because(cause)
        })
    }

    #[inline]
    fn assert_running(&self) -> Result<()> {
        match self.is_shut_down.load(Ordering::Acquire) {
            false => Ok(()),
            true => Err(Error::not_initialized(NAME)),
        }
    }

    fn assert_size(&self, record: &FileMetadata) -> Result<()> {
        let (weight, limit) = (record.weight(), self.options.record_limit_bytes());
        if weight <= limit {
            return Ok(());
        }
        let path = &record.path;
        let message = format!("the record of {path} holds {weight} bytes, more than {limit}");
        Err(Error::new(ErrorKind::InvalidRecord, message)
            .with_help("raise memory_cache.max_record_bytes"))
    }

    fn not_loaded(&self) -> Error {
        let message = "the index has not been loaded from the database yet";
        let error = Error::new(ErrorKind::NotLoaded, message)
            .with_help("it is loaded by the next synchronisation that succeeds");
        match self.sync.seen() {
            (
                _,
                Seen {
                    failure: Some(failure),
                    ..
                },
            ) => error.because(failure.error),
            _ => error,
        }
    }
}

fn superseded(path: &str, version: Position) -> Error {
    let message = format!("{path} has changed since {version}");
    Error::new(ErrorKind::Superseded, message).with_help("ask the query again")
}
