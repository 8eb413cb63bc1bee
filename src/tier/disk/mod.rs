//! The tier on disk: an SQLite file of its own, which outlives the process. Each row has a digest, so
//! that a damaged one is no answer; a damaged file is moved aside, and an empty one takes its place.
//!
//! Nothing is written when something is found. So who leaves first when room is needed is whoever was
//! written first, however often it was read.

mod file;
mod row;
mod turn;

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, params};

use self::file::{Fault, FileLimits};
use self::row::{Instant, Stored, Times};
use self::turn::{Turn, Turns};
use super::{Change, Entry, Key, KeyPattern, Lifetime, Term, Tier, TierStats, Update};
use crate::cache::{Cache, CacheReport, CacheUsage, Scope};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::health::Health;
use crate::machine;
use crate::stats::Counter;

const MIB: u64 = 1 << 20;
/// How many expired rows a write takes out on its way: more than it adds, so that they come to an end.
const SWEPT_BY_PUT: usize = 16;
/// The most that one transaction takes out of what is swept or evicted: others wait meanwhile.
const TOGETHER: usize = 1024;
/// Pages that a row may take beside those of its value: its own, and splits on the way to it in the
/// table and in two indexes.
const SPARE_PAGES: u64 = 16;

/// The limits of a tier on disk. Options can only be valid: what is out of range is refused when it is
/// set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskTierOptions {
    max_items: usize,
    max_bytes: u64,
    ttl: Duration,
    timeout: Duration,
}

impl Default for DiskTierOptions {
    /// 1,000,000 entries, 500 MB, 3600 seconds; the file is waited for for 5 seconds.
    fn default() -> Self {
        DiskTierOptions {
            max_items: 1_000_000,
            max_bytes: 500_000_000,
            ttl: Duration::from_secs(3600),
            timeout: Duration::from_secs(5),
        }
    }
}

impl DiskTierOptions {
    /// At most this many entries, 1 to 1,000,000.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_items(mut self, items: usize) -> Result<Self> {
        if !(1..=1_000_000).contains(&items) {
            let range = "1 to 1000000";
            return Err(Error::out_of_range("tiers.disk.max_items", items, range));
        }
        self.max_items = items;
        Ok(self)
    }

    /// The file never takes more than this many bytes, 1 MiB to 1 TiB. Its log beside it takes a few
    /// MiB more, or as much as the largest value.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_bytes(mut self, bytes: u64) -> Result<Self> {
        if !(MIB..=MIB * MIB).contains(&bytes) {
            let (value, range) = (format!("{bytes}B"), "1MiB to 1TiB");
            return Err(Error::out_of_range("tiers.disk.max_bytes", value, range));
        }
        self.max_bytes = bytes;
        Ok(self)
    }

    /// How long a value lives that is put with the default lifetime.
    ///
    /// # Errors
    /// `InvalidConfig` if it is 0.
    pub fn ttl(mut self, ttl: Duration) -> Result<Self> {
        if ttl.is_zero() {
            let range = "a positive duration";
            return Err(Error::out_of_range("tiers.disk.ttl", "0s", range));
        }
        self.ttl = ttl;
        Ok(self)
    }

    /// How long a verb waits for other threads to be done with the file.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// A tier in a file. Its verbs do I/O, one at a time, and wait for their turn at most for the time-out.
pub struct DiskTier {
    name: String,
    options: DiskTierOptions,
    path: PathBuf,
    clock: Arc<dyn Clock>,
    boot: [u8; 16],
    connection: Turns<Open>,
    /// What the last transaction left, for those who may not do I/O.
    entries: AtomicU64,
    bytes: AtomicU64,
    counters: Counters,
    /// Held as long as the tier lives, and let go of after the connection.
    _lock: std::fs::File,
}

/// The open file; `None` after a fault that kept it from being opened again.
#[derive(Debug)]
struct Open(Option<Connection>);

#[derive(Debug, Default)]
struct Counters {
    hits: Counter,
    misses: Counter,
    expirations: Counter,
    evictions: Counter,
    damaged: Counter,
}

/// What a transaction took out, counted once it is committed.
#[derive(Clone, Copy, Debug, Default)]
struct Gone {
    expired: usize,
    evicted: usize,
    damaged: usize,
}

impl Gone {
    fn all(&self) -> u64 {
        (self.expired + self.evicted + self.damaged) as u64
    }
}

impl DiskTier {
    /// Opens the file, made (mode 0600) if it is missing, and takes out what has expired. A damaged file,
    /// and one of another version, is moved aside to `NAME.corrupt-1` and so on (at most three are kept),
    /// with a warning in the log.
    ///
    /// # Errors
    /// `DatabaseBusy` if another process, or another tier, has the file; `DatabaseCorrupt` for a database
    /// of something else, which is left as it is; `Io`, `Database`.
    pub fn open(
        name: impl Into<String>,
        path: impl AsRef<Path>,
        options: DiskTierOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let path = crate::store::absolute(path.as_ref())?;
        let lock = crate::store::own(&path, "cache file")?;
        let tier = DiskTier {
            name: name.into(),
            options,
            path,
            clock,
            boot: boot(),
            connection: Turns::new(Open(None)),
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            counters: Counters::default(),
            _lock: lock,
        };
        tier.sweep(usize::MAX)?;
        Ok(tier)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn now(&self) -> Instant {
        Instant::now(&*self.clock, self.boot)
    }

    fn turn(&self) -> Result<Turn<'_, Open>> {
        let turn = self.connection.take(self.options.timeout);
        turn.ok_or_else(|| {
            let message = format!("the cache file {} is busy", self.path.display());
            Error::new(ErrorKind::DatabaseBusy, message)
                .with_help("try again, or give the tier a longer time-out")
        })
    }

    /// Does something with the open file. If the file turns out to be damaged it is moved aside, and
    /// this is done once more, with an empty one.
    fn with<R>(
        &self,
        operation: &str,
        work: impl Fn(&Connection) -> rusqlite::Result<R>,
    ) -> Result<R> {
        let mut turn = self.turn()?;
        match self.attempt(&mut turn, operation, &work) {
            Ok(done) => Ok(done),
            Err(Fault::Failed(error)) => Err(error),
            Err(Fault::Damaged(reason)) => {
                turn.0 = None;
                file::move_aside(&self.path, &reason)?;
                self.counters.damaged.bump();
                match self.attempt(&mut turn, operation, &work) {
                    Ok(done) => Ok(done),
                    Err(Fault::Failed(error)) => Err(error),
                    Err(Fault::Damaged(reason)) => {
                        turn.0 = None;
                        let name = self.path.display();
                        let message = format!("cannot {operation}: {name} is damaged: {reason}");
                        Err(Error::new(ErrorKind::DatabaseCorrupt, message))
                    }
                }
            }
        }
    }

    fn attempt<R>(
        &self,
        open: &mut Open,
        operation: &str,
        work: impl Fn(&Connection) -> rusqlite::Result<R>,
    ) -> Result<R, Fault> {
        let fail = |cause| file::fault(&self.path, operation, cause);
        if open.0.is_none() {
            let limits = FileLimits {
                max_bytes: self.options.max_bytes,
                timeout: self.options.timeout,
            };
            let (conn, rebuilt) =
                file::open_or_rebuild(&self.path, &limits).map_err(Fault::Failed)?;
            self.counters.damaged.add(u64::from(rebuilt));
            let count = conn.query_row("SELECT count(*) FROM entries", [], |row| {
                row.get::<_, i64>(0).map(i64::unsigned_abs)
            });
            self.entries.store(count.map_err(fail)?, Ordering::Relaxed);
            self.bytes
                .store(used_bytes(&conn).map_err(fail)?, Ordering::Relaxed);
            open.0 = Some(conn);
        }
        match &open.0 {
            Some(conn) => work(conn).map_err(fail),
            None => unreachable!("it was just opened"),
        }
    }

    /// Changes the file in one transaction, and takes note of what it holds then. The work returns what
    /// it is for, how many rows were added, and how many removed for another cause than those of `Gone`.
    fn change<R>(
        &self,
        operation: &str,
        work: impl Fn(&Connection, &mut Gone) -> rusqlite::Result<(R, i64)>,
    ) -> Result<R> {
        self.with(operation, |conn| {
            let tx = conn.unchecked_transaction()?;
            let mut gone = Gone::default();
            let (done, grown) = work(&tx, &mut gone)?;
            tx.commit()?;
            let held = self.entries.load(Ordering::Relaxed);
            let held = held.saturating_add_signed(grown);
            let held = held.saturating_sub(gone.all());
            self.entries.store(held, Ordering::Relaxed);
            self.bytes.store(used_bytes(conn)?, Ordering::Relaxed);
            self.counters.expirations.add(gone.expired as u64);
            self.counters.evictions.add(gone.evicted as u64);
            self.counters.damaged.add(gone.damaged as u64);
            Ok(done)
        })
    }

    /// Makes room for one more row, of so many pages: what has expired leaves first, then what was
    /// written first. So many rows were taken out already
    /// for this one to replace them.
    fn make_room(
        &self,
        conn: &Connection,
        pages: u64,
        replaced: u64,
        gone: &mut Gone,
    ) -> rusqlite::Result<()> {
        let now = self.now();
        let most = self.options.max_bytes / file::page_size(conn)?;
        let held = self.entries.load(Ordering::Relaxed);
        let held = held.saturating_sub(replaced);
        loop {
            let left = held.saturating_sub(gone.all());
            let free = most.saturating_sub(used_pages(conn)?);
            if left < self.options.max_items as u64 && pages <= free {
                return Ok(());
            }
            if take_expired(conn, now, 1)? == 1 {
                gone.expired += 1;
            } else if take_oldest(conn, 1)? == 1 {
                gone.evicted += 1;
            } else {
                return Ok(());
            }
        }
    }

    /// Takes out a row that is damaged.
    fn discard(&self, seq: i64) -> Result<()> {
        self.change("remove a damaged entry", |conn, gone| {
            gone.damaged = conn.execute("DELETE FROM entries WHERE seq = ?1", [seq])?;
            Ok(((), 0))
        })?;
        tracing::warn!(file = %self.path.display(), "a damaged cache entry was dropped");
        Ok(())
    }
}

/// Which boot of which machine this is: only of the same one do the times since the boot compare.
fn boot() -> [u8; 16] {
    let name = machine::boot_name().unwrap_or_else(|| {
        // Not known: of this process alone.
        use std::hash::BuildHasher;
        let random = || foldhash::fast::RandomState::default().hash_one(0);
        format!("{:x}{:x}{}", random(), random(), std::process::id())
    });
    let mut boot = [0; 16];
    boot.copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..16]);
    boot
}

fn take_expired(conn: &Connection, now: Instant, most: usize) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM entries WHERE seq IN
         (SELECT seq FROM entries WHERE ends_ns <= ?1 ORDER BY ends_ns, seq LIMIT ?2)",
    )?
    .execute(params![now.wall_ns, most as i64])
}

fn take_oldest(conn: &Connection, most: usize) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM entries WHERE seq IN (SELECT seq FROM entries ORDER BY seq LIMIT ?1)",
    )?
    .execute([most as i64])
}

/// Pages that hold something; the others are used again before the file grows.
fn used_pages(conn: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let used = pragma("page_count")? - pragma("freelist_count")?;
    Ok(u64::try_from(used).unwrap_or(0))
}

fn used_bytes(conn: &Connection) -> rusqlite::Result<u64> {
    Ok(used_pages(conn)? * file::page_size(conn)?)
}

/// What was found under a key.
enum Found {
    Nothing,
    Expired,
    Damaged(i64),
    Value(Entry),
}

fn find(conn: &Connection, key: &Key, now: Instant) -> rusqlite::Result<Found> {
    let mut select = conn.prepare_cached(file::SELECT)?;
    let mut rows = select.query([key.as_str()])?;
    let Some(row) = rows.next()? else {
        return Ok(Found::Nothing);
    };
    let Some(stored) = Stored::read(row, key) else {
        return Ok(Found::Damaged(row.get(0)?));
    };
    Ok(match stored.times.remaining(now) {
        None => Found::Expired,
        Some(remaining) => Found::Value(Entry {
            value: stored.value.into(),
            version: stored.version,
            remaining,
            grace: Duration::ZERO,
        }),
    })
}

impl Tier for DiskTier {
    fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let now = self.now();
        let found = self.with("look up a key", |conn| find(conn, key, now))?;
        if let Found::Value(entry) = found {
            self.counters.hits.bump();
            return Ok(Some(entry));
        }
        self.counters.misses.bump();
        if let Found::Damaged(seq) = found {
            self.discard(seq)?;
        }
        Ok(None)
    }

    fn put(&self, key: &Key, value: Arc<[u8]>, version: u64, term: Term) -> Result<bool> {
        let now = self.now();
        let times = Times::from(now, term.resolve(self.options.ttl)?.held);
        let stored = Stored {
            version,
            times,
            value: &value,
        };
        let digest = stored.digest(key);
        let (boot_ns, boot) = stored.boot();
        self.change("keep a value", |conn, gone| {
            let replaced = conn
                .prepare_cached("DELETE FROM entries WHERE key = ?1")?
                .execute([key.as_str()])? as i64;
            gone.expired += take_expired(conn, now, SWEPT_BY_PUT)?;
            let page = file::page_size(conn)?;
            // A page of a long value holds all but four bytes of it.
            let pages = SPARE_PAGES + value.len() as u64 / (page - 4);
            if pages + SPARE_PAGES > self.options.max_bytes / page {
                return Ok((false, -replaced));
            }
            self.make_room(conn, pages, replaced as u64, gone)?;
            conn.prepare_cached(file::INSERT)?.execute(params![
                key.as_str(),
                version.cast_signed(),
                now.wall_ns,
                boot_ns,
                boot,
                times.lifetime_ns,
                times.ends_ns(),
                digest,
                &*value,
            ])?;
            Ok((true, 1 - replaced))
        })
    }

    fn peek(&self, key: &Key) -> Result<Option<Entry>> {
        let now = self.now();
        let found = self.with("look up a key", |conn| find(conn, key, now))?;
        Ok(match found {
            Found::Value(entry) => Some(entry),
            _ => None,
        })
    }

    fn update(&self, key: &Key, change: &mut Change<'_>) -> Result<Option<Entry>> {
        let old = self.peek(key)?;
        match change(old.as_ref())? {
            Update::Leave => return Ok(old),
            Update::Remove => {
                self.remove(key)?;
            }
            Update::Put {
                value,
                version,
                term,
            } => {
                let left = old.as_ref().and_then(Entry::term);
                let term = term.or(left).unwrap_or(Lifetime::Default.into());
                self.put(key, value, version, term)?;
            }
        }
        self.peek(key)
    }

    fn scan(
        &self,
        pattern: &KeyPattern,
        visit: &mut dyn FnMut(Key) -> ControlFlow<()>,
    ) -> Result<()> {
        let keys: Vec<String> = self.with("list the keys", |conn| {
            let mut select = conn.prepare_cached("SELECT key FROM entries")?;
            let keys = select.query_map([], |row| row.get(0))?;
            keys.collect()
        })?;
        for key in keys.iter().filter(|key| pattern.matches(key)) {
            if visit(Key::new(key)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn remove_matching(&self, pattern: &KeyPattern) -> Result<usize> {
        let mut keys = Vec::new();
        self.scan(pattern, &mut |key| {
            keys.push(key);
            ControlFlow::Continue(())
        })?;
        let mut removed = 0;
        for key in &keys {
            removed += usize::from(self.remove(key)?);
        }
        Ok(removed)
    }

    fn remove(&self, key: &Key) -> Result<bool> {
        let now = self.now();
        self.change("remove a key", |conn, gone| {
            let was = find(conn, key, now)?;
            let removed = conn
                .prepare_cached("DELETE FROM entries WHERE key = ?1")?
                .execute([key.as_str()])?;
            match was {
                Found::Expired => gone.expired += removed,
                Found::Damaged(_) => gone.damaged += removed,
                Found::Nothing | Found::Value(_) => {
                    return Ok((removed > 0, -(removed as i64)));
                }
            }
            Ok((false, 0))
        })
    }

    fn sweep(&self, most: usize) -> Result<usize> {
        let now = self.now();
        let mut swept = 0;
        loop {
            let n = TOGETHER.min(most - swept);
            let taken = self.change("take out what has expired", |conn, gone| {
                gone.expired = take_expired(conn, now, n)?;
                Ok((gone.expired, 0))
            })?;
            swept += taken;
            if taken < TOGETHER {
                return Ok(swept);
            }
        }
    }

    fn tier_stats(&self) -> Result<TierStats> {
        Ok(TierStats {
            report: self.stats()?,
            bytes: self.bytes.load(Ordering::Relaxed),
            max_bytes: self.options.max_bytes,
            expirations: self.counters.expirations.get(),
            damaged: self.counters.damaged.get(),
        })
    }

    fn health(&self) -> Health {
        Health::healthy(&*self.name)
    }

    fn ttl(&self) -> Duration {
        self.options.ttl
    }
}

impl Cache for DiskTier {
    fn name(&self) -> &str {
        &self.name
    }

    /// As the last verb left it. Without bytes: those of the file are no memory of this process.
    fn usage(&self) -> CacheUsage {
        CacheUsage {
            entries: self.entries.load(Ordering::Relaxed) as usize,
            capacity: Some(self.options.max_items),
            bytes: None,
            max_bytes: None,
        }
    }

    /// What has expired goes first.
    fn evict(&self, entries: usize) -> Result<usize> {
        let now = self.now();
        let mut left = entries;
        while left > 0 {
            let n = TOGETHER.min(left);
            let taken = self.change("give room", |conn, gone| {
                gone.expired = take_expired(conn, now, n)?;
                gone.evicted = take_oldest(conn, n - gone.expired)?;
                Ok((gone.expired + gone.evicted, 0))
            })?;
            left -= taken;
            if taken < n {
                break;
            }
        }
        Ok(entries - left)
    }

    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        scope.matcher()?;
        self.change("drop everything", |conn, _| {
            let removed = conn.execute("DELETE FROM entries", [])?;
            Ok((removed, -(removed as i64)))
        })
    }

    fn clear(&self) -> Result<()> {
        self.invalidate(&Scope::All).map(drop)
    }

    fn stats(&self) -> Result<CacheReport> {
        Ok(CacheReport::new(self.usage())
            .requests(self.counters.hits.get(), self.counters.misses.get())
            .evictions(self.counters.evictions.get()))
    }
}

impl fmt::Debug for DiskTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskTier")
            .field("name", &self.name)
            .field("path", &self.path)
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}
