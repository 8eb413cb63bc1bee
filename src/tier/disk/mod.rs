//! The tier on disk: a space in an SQLite file, which outlives the process. Each row has a digest, so
//! that a damaged one is no answer; a damaged file is moved aside, and an empty one takes its place.
//!
//! Nothing is written when something is found. So who leaves first when room is needed is whoever was
//! written first, however often it was read.

mod condition;
mod copy;
mod doom;
mod file;
mod files;
mod guard;
mod options;
mod readers;
mod row;
mod rows;
mod schema;
mod space;
mod sweeper;
mod tally;
mod turn;
mod view;

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use self::copy::Restored;
use self::doom::Touched;
pub use self::file::DiskFile;
use self::file::Stop;
pub use self::options::{DiskFileOptions, DiskTierOptions};
use self::row::{Instant, Times};
use self::rows::{Finder, Found, Listed};
use self::schema::Database;
use self::space::Space;
use self::tally::Tally;
use super::{
    Change, DepartureListener, Entry, Key, KeyPattern, Lifetime, Term, Tier, TierStats, Update,
};
use crate::cache::{Cache, CacheReport, CacheUsage, Scope};
use crate::clock::Clock;
use crate::error::Result;
use crate::health::Health;

/// How many expired rows a write takes out on its way: more than it adds, so that they come to an end.
const SWEPT_BY_PUT: usize = 16;
/// The most rows that one transaction takes out, or that are listed together: others wait meanwhile.
const TOGETHER: usize = 1024;
/// The most expired rows that are taken out before a tier can be used; the rest follows in the
/// background.
const SWEPT_AT_OPEN: usize = 64 * TOGETHER;
/// Pages that a row may take beside those of its value: its own, splits on the way to it in the table
/// and in three indexes, and the count of changes.
const SPARE_PAGES: u64 = 20;

/// A tier in a file. What it holds outlives the process; it sees nothing of the file's other tiers.
///
/// Its verbs do I/O. Those that change something do so one at a time; those that look something up wait
/// for neither.
pub struct DiskTier {
    file: Arc<DiskFile>,
    space: Arc<Space>,
    options: DiskTierOptions,
}

impl DiskTier {
    /// The tier of this name in a file that others may share, and takes out what has expired.
    ///
    /// # Errors
    /// `InvalidInput` if the file has a tier of this name already; those of [`DiskFile::open`].
    pub fn over(
        file: &Arc<DiskFile>,
        name: impl AsRef<str>,
        options: DiskTierOptions,
    ) -> Result<Self> {
        let tier = DiskTier {
            file: Arc::clone(file),
            space: file.add_space(name.as_ref())?,
            options,
        };
        let space = &tier.space;
        let operation = "count the entries";
        file.change(operation, Touched::Nothing, |database, _| {
            space.set_entries(rows::count(&database.conn, &space.name)?);
            Ok(())
        })?;
        if tier.sweep(SWEPT_AT_OPEN)? == SWEPT_AT_OPEN {
            file.ring();
        }
        Ok(tier)
    }

    /// A tier in a file of its own, with the options of both.
    ///
    /// # Errors
    /// Those of [`DiskFile::open`].
    pub fn open(
        name: impl AsRef<str>,
        path: impl AsRef<Path>,
        options: DiskTierOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let file = DiskFile::open(path, options.file.clone(), clock)?;
        Self::over(&file, name, options)
    }

    /// The path of its file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The file that it is in.
    pub fn file(&self) -> &Arc<DiskFile> {
        &self.file
    }

    fn name(&self) -> &str {
        &self.space.name
    }

    /// What is found under a key. What could not be taken out when it should have been is not.
    fn look_up(&self, key: &Key) -> Result<Found<Entry>> {
        if self.file.doom().takes(&self.space.name, key) {
            return Ok(Found::Nothing);
        }
        let now = self.file.now();
        self.file.read("look up a key", now, |conn| {
            rows::find(conn, self.name(), key, now)
        })
    }

    /// Counts what a look-up found, and takes out what is damaged.
    fn counted(&self, key: &Key, found: Found<Entry>) -> Option<Entry> {
        match found {
            Found::Value(entry) => {
                self.space.hits.bump();
                return Some(entry);
            }
            Found::Damaged => self.discard(key),
            Found::Nothing | Found::Expired => {}
        }
        self.space.misses.bump();
        None
    }

    /// Takes out the row of a key if it is damaged.
    fn discard(&self, key: &Key) {
        let now = self.file.now();
        let operation = "remove a damaged entry";
        let done = self.file.change(operation, Touched::Nothing, |db, tally| {
            // Somebody may have written another one meanwhile.
            if let Found::Damaged = rows::find(&db.conn, self.name(), key, now)? {
                rows::delete(&db.conn, self.name(), key)?;
                tally.of(self.name()).damaged += 1;
            }
            Ok(())
        });
        let (file, error) = (self.path().display(), done.err());
        tracing::warn!(%file, %key, ?error, "a damaged cache entry is dropped");
    }

    /// Changes what concerns one key.
    fn change_entry<R>(
        &self,
        operation: &str,
        key: &Key,
        work: impl FnMut(&Database, &mut Tally) -> Result<R, Stop>,
    ) -> Result<R> {
        let touched = Touched::Entry(&self.space.name, key);
        self.file.change(operation, touched, work)
    }

    /// Keeps a value in place of the row of its key, in whatever state that is; whether it is kept.
    fn replace(
        &self,
        database: &Database,
        tally: &mut Tally,
        key: &Key,
        new: &New<'_>,
    ) -> rusqlite::Result<bool> {
        let (conn, space) = (&database.conn, self.name());
        rows::take_expired(conn, space, new.now, SWEPT_BY_PUT, tally)?;
        if rows::delete(conn, space, key)? {
            tally.of(space).removed += 1;
        }
        // A page of a long value holds all but four bytes of it.
        let pages = SPARE_PAGES + new.value.len() as u64 / (database.page_size - 4);
        if pages + SPARE_PAGES > database.max_pages {
            return Ok(false);
        }
        self.make_room(database, tally, pages, new.now)?;
        rows::insert(conn, space, key, new.value, new.version, new.times)?;
        tally.of(space).added += 1;
        Ok(true)
    }

    /// Makes room for one more row, of so many pages: among the entries of this tier, and among the
    /// bytes of the file, in which any tier's leave. What has expired goes first, then what was written
    /// first.
    fn make_room(
        &self,
        database: &Database,
        tally: &mut Tally,
        pages: u64,
        now: Instant,
    ) -> rusqlite::Result<()> {
        let (conn, space) = (&database.conn, self.name());
        let most = self.options.max_items as u64;
        while self
            .space
            .entries()
            .saturating_add_signed(tally.of(space).grown())
            >= most
        {
            let expired = rows::take_expired(conn, space, now, 1, tally)?;
            if expired == 0 && rows::take_oldest(conn, space, 1, tally)? == 0 {
                break;
            }
        }
        let mut expired = None;
        while database.used_pages()? + pages > database.max_pages {
            let expired = match &mut expired {
                Some(spaces) => spaces,
                None => expired.insert(rows::spaces(conn)?),
            };
            let mut taken = 0;
            while taken == 0
                && let Some(space) = expired.last()
            {
                taken = rows::take_expired(conn, space, now, 1, tally)?;
                if taken == 0 {
                    expired.pop();
                }
            }
            if taken == 0 && rows::take_oldest_of_all(conn, 1, tally)? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Goes through the rows whose keys may match, some at a time, in the order of their keys. What is
    /// to be done with them says where to go on from; `None` ends it.
    fn walk(
        &self,
        pattern: &KeyPattern,
        mut some: impl FnMut(&[u8], &str) -> Result<Option<Vec<u8>>>,
    ) -> Result<()> {
        let prefix = pattern.prefix();
        let mut from = prefix.clone().into_bytes();
        while let Some(next) = some(&from, &prefix)? {
            from = next;
        }
        Ok(())
    }

    /// Takes out rows some at a time, until it has taken out so many or finds no more.
    fn take(
        &self,
        operation: &str,
        most: usize,
        take: impl Fn(&Database, usize, &mut Tally) -> rusqlite::Result<usize>,
    ) -> Result<usize> {
        let mut left = most;
        while left > 0 {
            let n = TOGETHER.min(left);
            let touched = Touched::Nothing;
            let taken = self
                .file
                .change(operation, touched, |db, tally| Ok(take(db, n, tally)?))?;
            left -= taken.min(left);
            if taken < n {
                break;
            }
        }
        Ok(most - left)
    }
}

/// Where to go on from after these rows; `None` if they are the last.
fn after(listed: &[Listed]) -> Option<Vec<u8>> {
    let last = listed.last().filter(|_| listed.len() == TOGETHER)?;
    let mut next = last.key.clone();
    next.push(0);
    Some(next)
}

/// A value to be kept.
struct New<'v> {
    value: &'v [u8],
    version: u64,
    times: Times,
    now: Instant,
}

impl Tier for DiskTier {
    fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let found = self.look_up(key)?;
        Ok(self.counted(key, found))
    }

    /// All of one instant.
    fn get_many(&self, keys: &[&Key]) -> Vec<Result<Option<Entry>>> {
        let doom = self.file.doom();
        let doomed = keys.iter().map(|key| doom.takes(&self.space.name, key));
        let doomed: Vec<bool> = doomed.collect();
        let now = self.file.now();
        let found = self.file.read("look up keys", now, |conn| {
            let is_alone = conn.is_autocommit();
            let _instant = is_alone.then(|| conn.unchecked_transaction()).transpose()?;
            let mut finder = Finder::new(conn, self.name(), now)?;
            let keys = keys.iter().zip(&doomed);
            let found = keys.map(|(key, doomed)| match doomed {
                true => Ok(Found::Nothing),
                false => finder.entry(key),
            });
            found.collect::<rusqlite::Result<Vec<_>>>()
        });
        match found {
            Ok(found) => {
                let found = keys.iter().zip(found);
                found
                    .map(|(key, found)| Ok(self.counted(key, found)))
                    .collect()
            }
            Err(error) => keys.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn peek(&self, key: &Key) -> Result<Option<Entry>> {
        Ok(match self.look_up(key)? {
            Found::Value(entry) => Some(entry),
            Found::Nothing | Found::Expired | Found::Damaged => None,
        })
    }

    fn put(&self, key: &Key, value: Arc<[u8]>, version: u64, term: Term) -> Result<bool> {
        let now = self.file.now();
        let new = New {
            value: &value,
            version,
            times: Times::from(now, term.resolve(self.options.ttl)?),
            now,
        };
        self.change_entry("keep a value", key, |database, tally| {
            Ok(self.replace(database, tally, key, &new)?)
        })
    }

    fn remove(&self, key: &Key) -> Result<bool> {
        let now = self.file.now();
        self.change_entry("remove a key", key, |database, tally| {
            Ok(remove(database, tally, self.name(), key, now)?)
        })
    }

    /// In one transaction, in which `change` is called: no other change of the file is made meanwhile,
    /// so it had better be quick.
    fn update(&self, key: &Key, change: &mut Change<'_>) -> Result<Option<Entry>> {
        let now = self.file.now();
        self.change_entry("change an entry", key, |database, tally| {
            let found = rows::find_with_times(&database.conn, self.name(), key, now)?;
            let old = match found {
                Found::Value(old) => Some(old),
                Found::Nothing | Found::Expired | Found::Damaged => None,
            };
            let update = change(old.as_ref().map(|(entry, _)| entry)).map_err(Stop::Caller)?;
            let (value, version, term) = match update {
                Update::Leave => return Ok(old.map(|(entry, _)| entry)),
                Update::Remove => {
                    remove(database, tally, self.name(), key, now)?;
                    return Ok(None);
                }
                Update::Put {
                    value,
                    version,
                    term,
                } => (value, version, term),
            };
            let times = match (term, old) {
                // It keeps its ends.
                (None, Some((_, times))) => times,
                (term, _) => {
                    let term = term.unwrap_or(Lifetime::Default.into());
                    let times = term.resolve(self.options.ttl).map_err(Stop::Caller)?;
                    Times::from(now, times)
                }
            };
            let new = New {
                value: &value,
                version,
                times,
                now,
            };
            if !self.replace(database, tally, key, &new)? {
                return Ok(None);
            }
            let remaining = times.remaining(now);
            Ok(remaining.map(|remaining| Entry {
                grace: times.grace(),
                value,
                version,
                remaining,
            }))
        })
    }

    fn expire(&self, key: &Key, term: Term) -> Result<bool> {
        let now = self.file.now();
        let times = Times::from(now, term.resolve(self.options.ttl)?);
        self.change_entry("change the end of an entry", key, |database, tally| {
            let found = rows::renew(&database.conn, self.name(), key, now, times)?;
            if let Found::Damaged = found {
                remove(database, tally, self.name(), key, now)?;
            }
            Ok(matches!(found, Found::Value(())))
        })
    }

    /// In the order of the keys. Rows that are damaged are not visited.
    fn scan(
        &self,
        pattern: &KeyPattern,
        visit: &mut dyn FnMut(Key) -> ControlFlow<()>,
    ) -> Result<()> {
        if let Some(key) = pattern.only() {
            if self.peek(&key)?.is_some() {
                // Nobody comes after it.
                let _ = visit(key);
            }
            return Ok(());
        }
        self.walk(pattern, |from, prefix| {
            let now = self.file.now();
            let listed = self.file.read("list the keys", now, |conn| {
                rows::list(conn, self.name(), from, prefix, TOGETHER, now)
            })?;
            let next = after(&listed);
            for (key, lives) in listed.into_iter().filter_map(|listed| listed.whole) {
                let is_wanted = lives
                    && pattern.matches(key.as_str())
                    && !self.file.doom().takes(&self.space.name, &key);
                if is_wanted && visit(key).is_break() {
                    return Ok(None);
                }
            }
            Ok(next)
        })
    }

    fn remove_matching(&self, pattern: &KeyPattern) -> Result<usize> {
        if let Some(key) = pattern.only() {
            return Ok(usize::from(self.remove(&key)?));
        }
        let mut removed = 0;
        self.walk(pattern, |from, prefix| {
            let now = self.file.now();
            let operation = "remove keys";
            let (next, n) = self
                .file
                .change(operation, Touched::Many, |database, tally| {
                    let conn = &database.conn;
                    let listed = rows::list(conn, self.name(), from, prefix, TOGETHER, now)?;
                    let mut removed = 0;
                    for row in &listed {
                        let moves = tally.of(self.name());
                        let counter = match &row.whole {
                            Some((key, _)) if !pattern.matches(key.as_str()) => continue,
                            Some((_, true)) => {
                                removed += 1;
                                &mut moves.removed
                            }
                            Some((_, false)) => &mut moves.expired,
                            // Nobody can get it.
                            None => &mut moves.damaged,
                        };
                        *counter += rows::delete_one(conn, row.seq)?;
                    }
                    Ok((after(&listed), removed))
                })?;
            removed += n;
            Ok(next)
        })?;
        Ok(removed)
    }

    fn sweep(&self, most: usize) -> Result<usize> {
        let now = self.file.now();
        self.take("take out what has expired", most, |database, n, tally| {
            rows::take_expired(&database.conn, self.name(), now, n, tally)
        })
    }

    fn on_departure(&self, listener: DepartureListener) {
        // The first one stays.
        let _ = self.space.departures.set(listener);
    }

    /// The bytes, and the most that they may be, are those of the file, whatever tiers share it. All that
    /// a file held, and lost, counts as one that was found damaged.
    fn tier_stats(&self) -> Result<TierStats> {
        Ok(TierStats {
            report: self.stats()?,
            bytes: self.file.bytes(),
            max_bytes: self.file.max_bytes(),
            expirations: self.space.expirations.get(),
            damaged: self.space.damaged.get() + self.file.rebuilds(),
        })
    }

    /// Degraded while the file cannot be used, and from when a damaged one was moved aside until the
    /// next start.
    fn health(&self) -> Health {
        self.file.condition().health(self.name())
    }

    fn ttl(&self) -> Duration {
        self.options.ttl
    }
}

/// Takes the row of a key out; whether it held a value that lives.
fn remove(
    database: &Database,
    tally: &mut Tally,
    space: &str,
    key: &Key,
    now: Instant,
) -> rusqlite::Result<bool> {
    let was = rows::find(&database.conn, space, key, now)?;
    if !rows::delete(&database.conn, space, key)? {
        return Ok(false);
    }
    let moves = tally.of(space);
    match was {
        Found::Expired => moves.expired += 1,
        Found::Damaged => moves.damaged += 1,
        Found::Nothing | Found::Value(_) => {
            moves.removed += 1;
            return Ok(true);
        }
    }
    Ok(false)
}

impl Cache for DiskTier {
    fn name(&self) -> &str {
        self.name()
    }

    /// As the last verb left it. Without bytes: those of the file are no memory of this process.
    fn usage(&self) -> CacheUsage {
        CacheUsage {
            entries: self.space.entries() as usize,
            capacity: Some(self.options.max_items),
            bytes: None,
            max_bytes: None,
        }
    }

    /// What has expired goes first.
    fn evict(&self, entries: usize) -> Result<usize> {
        let now = self.file.now();
        self.take("give room", entries, |database, n, tally| {
            let (conn, space) = (&database.conn, self.name());
            let expired = rows::take_expired(conn, space, now, n, tally)?;
            let evicted = rows::take_oldest(conn, space, n - expired, tally)?;
            Ok(expired + evicted)
        })
    }

    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        scope.matcher()?;
        let (mut dropped, mut last) = (0, None);
        loop {
            let operation = "drop everything";
            let n = self.file.change(operation, Touched::Many, |db, tally| {
                let (conn, space) = (&db.conn, self.name());
                // What is put from now on may stay.
                if last.is_none() {
                    last = rows::last(conn, space)?;
                }
                let Some(last) = last else { return Ok(0) };
                Ok(rows::take_up_to(conn, space, last, TOGETHER, tally)?)
            })?;
            dropped += n;
            if n < TOGETHER {
                return Ok(dropped);
            }
        }
    }

    fn clear(&self) -> Result<()> {
        self.invalidate(&Scope::All).map(drop)
    }

    fn stats(&self) -> Result<CacheReport> {
        Ok(CacheReport::new(self.usage())
            .requests(self.space.hits.get(), self.space.misses.get())
            .evictions(self.space.evictions.get()))
    }
}

impl fmt::Debug for DiskTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskTier")
            .field("name", &self.name())
            .field("file", &self.file)
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}
