//! The tier on a Redis server, which processes share. Reads, writes and removals are one round trip each;
//! a change of an entry is two, the second of which the server refuses if anybody changed the entry
//! meanwhile.
//!
//! The names of all values carry the epoch of their namespace (see `keys`). Each process remembers the
//! epoch, and each round trip asks for it too: so a clear, by any process, is another epoch, and has
//! its effect for all processes at once. If the server loses the epoch, by being emptied or by an
//! eviction, or is another one than that which it was made on (see `epoch`), the next verb makes another
//! one, and everything is a miss.
//!
//! What an earlier epoch left behind is out of reach. The server ends it when its time is over; whatever
//! never ends is taken out by the `clear` itself, as far as it gets within a time-out, and by `sweep`. A
//! value of another schema that never ends stays until somebody clears the namespace.

mod epoch;
mod keys;
mod lease;
mod options;
mod read;
mod reply;
mod stored;
mod walk;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, Pipeline};

use self::epoch::{Epoch, first};
use self::keys::Names;
pub use self::options::RedisTierOptions;
use self::read::Found;
use self::reply::{bytes, no_reply, number, replies};
use self::stored::{Head, Stay};
use super::{
    Change, Entry, Key, KeyPattern, Lease, Leased, Lifetime, Term, Tier, TierStats, Update,
};
use crate::cache::{Cache, CacheReport, CacheUsage, Scope};
use crate::error::{Error, ErrorKind, Result};
use crate::health::Health;
use crate::redis::{Link, RedisClient, Trouble};
use crate::stats::Counter;

/// How often a transaction is made anew because others changed what it is about. Each of those times,
/// somebody else's was made.
const MAX_CHANGES: u32 = 1000;
/// The most that is waited before it is made anew, so that those who meet come apart.
const MAX_PAUSE: Duration = Duration::from_millis(2);
/// The largest value. Of a longer one, which somebody else put there, nothing is read.
const MAX_VALUE_BYTES: usize = 64 << 20;
/// How many keys one request asks for: others wait meanwhile.
const TOGETHER: usize = 256;

/// A tier on a Redis server, version 6.2 or later. Its verbs do I/O; while the server is away they are
/// errors of kind `Unavailable`, soon at once: see [`RedisClient`]. What a cache loads meanwhile is kept in
/// the tiers above this one, as a copy, and never comes here: see
/// [`KvOptions::cross_process`](crate::kv::KvOptions::cross_process).
///
/// A write whose reply did not come is such an error, too. It was done, or it never will be: the key
/// holds what it held before, or what was written. A value of more than 64 MiB is not kept, and one that is
/// longer on the server is damaged.
///
/// A server without room (`OOM`) that has values of before and no epoch of its own gets one as soon as it has
/// room: each verb takes out some of those values, which nobody can ask for.
///
/// # A server that goes back in time
/// One that is restarted from a snapshot, or whose replica takes its place before it has got everything,
/// holds older values, and removed ones, and nothing about them tells their age. So the epoch is of one
/// instance of a server, and whoever finds it on another makes another epoch: **a server that is started
/// again has lost its values**, also one that had saved all of them. Another instance is another run
/// (`run_id` in `INFO server`) or another history of the data (`master_replid` in `INFO replication`, which
/// is another one, too, when a server gets its first replica, and an hour after it lost the last one). Leases
/// are lost with the values, and with them the locks of [`SharedLocks`](crate::kv::SharedLocks).
///
/// Each connection asks when it is made, and every ten seconds: so a server that takes over the data of
/// another one and is made a master again while connections stay open is noticed within ten seconds. A
/// server that does not allow `INFO` to the user, or whose `INFO` has no `run_id`, is believed whatever it
/// has: let such a one keep no snapshots, or clear the namespace ([`Cache::clear`]) before it is used again. Of masters that replicate
/// each other, all processes must use the same one: each takes the epoch of another for one of before.
pub struct RedisTier {
    name: String,
    ttl: Duration,
    client: Arc<RedisClient>,
    names: Names,
    /// The epoch as it was seen last. Locked for a copy.
    epoch: Mutex<Option<Epoch>>,
    counters: Counters,
    /// How many entries there were when they were counted last.
    entries: AtomicUsize,
    /// Where the next sweep goes on.
    swept_to: Mutex<u64>,
}

#[derive(Debug, Default)]
struct Counters {
    hits: Counter,
    misses: Counter,
    evictions: Counter,
    damaged: Counter,
}

/// What came of one try.
enum Step<T> {
    Done(T),
    /// The epoch is this one by now; `None` if there is none.
    Moved(Option<Epoch>),
    /// Somebody else came between.
    Contested,
}

impl RedisTier {
    /// A tier on the client's server. Nothing is asked yet.
    pub fn new(
        name: impl Into<String>,
        options: RedisTierOptions,
        client: Arc<RedisClient>,
    ) -> Self {
        RedisTier {
            name: name.into(),
            ttl: options.ttl,
            client,
            names: Names::new(&options.namespace, options.schema),
            epoch: Mutex::new(None),
            counters: Counters::default(),
            entries: AtomicUsize::new(0),
            swept_to: Mutex::new(0),
        }
    }

    /// Tries until it is done in the epoch that it was made for.
    fn run<T>(
        &self,
        mut work: impl FnMut(&mut Link, Epoch) -> Result<Step<T>, Trouble>,
    ) -> Result<T> {
        self.client.run(|link| {
            for round in 0..MAX_CHANGES {
                let epoch = self.epoch(link)?;
                let step = work(link, epoch).inspect_err(|trouble| {
                    // It may be what stands in the place of the epoch that is too long.
                    if matches!(trouble, Trouble::TooLong) {
                        self.adopt(None);
                    }
                });
                match step? {
                    Step::Done(done) => return Ok(done),
                    Step::Moved(now) => self.adopt(now),
                    Step::Contested => thread::sleep(pause(round)),
                }
            }
            Err(self.contested().into())
        })
    }

    fn contested(&self) -> Error {
        let message = format!(
            "what is asked of the tier {} was changed by others, each of {MAX_CHANGES} times",
            self.name
        );
        Error::new(ErrorKind::DatabaseBusy, message).with_help("try again")
    }

    /// One transaction that writes: the epoch is asked for beside it, and what was written in another
    /// epoch is out of reach, and taken out.
    fn written(&self, link: &mut Link, epoch: Epoch, name: &str, write: Pipeline) -> Written {
        let Some(replies) = link.tell(&write)? else {
            return Ok(Step::Contested);
        };
        let now = replies.first().and_then(first);
        if now == Some(epoch) {
            return Ok(Step::Done(()));
        }
        let orphan = redis::pipe().cmd("UNLINK").arg(name).clone();
        link.tell_again(&orphan)?;
        Ok(Step::Moved(now))
    }

    /// The beginning of a transaction that writes: it asks for the epoch.
    fn transaction(&self) -> Pipeline {
        let mut pipe = redis::pipe();
        pipe.atomic().add_command(strings([self.names.epoch()]));
        pipe
    }
}

type Written = Result<Step<()>, Trouble>;

/// How long somebody waits who was in somebody else's way for the so many-th time.
fn pause(round: u32) -> Duration {
    let most = (MAX_PAUSE / 16 * (round + 1).min(16)).as_micros() as u64;
    Duration::from_micros(fastrand::u64(0..=most))
}

/// `MGET`, for which whatever is no string is absent.
fn strings(names: impl IntoIterator<Item = impl AsRef<str>>) -> Cmd {
    let mut mget = redis::cmd("MGET");
    for name in names {
        mget.arg(name.as_ref());
    }
    mget
}

/// The command that holds a value, for so many milliseconds or always.
fn set(name: &str, value: &[u8], ms: Option<u64>) -> Cmd {
    let mut set = redis::cmd("SET");
    set.arg(name).arg(value);
    if let Some(ms) = ms {
        set.arg("PX").arg(ms);
    }
    set
}

fn unlink(name: &str) -> Cmd {
    redis::cmd("UNLINK").arg(name).clone()
}

/// Asks for what stands before a value.
fn add_head(pipe: &mut Pipeline, name: &str) {
    let last = stored::HEAD - 1;
    pipe.cmd("GETRANGE").arg(name).arg(0).arg(last);
}

/// Bytes that nobody guesses, and nobody else has.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    use rustix::rand::{GetRandomFlags, getrandom};

    let mut bytes = [0; N];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty());
    match filled {
        Ok(n) if n == N => Ok(bytes),
        _ => Err(Error::new(
            ErrorKind::Io,
            "the system has no random numbers",
        )),
    }
}

impl Tier for RedisTier {
    fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let mut entries = self.get_many(&[key]);
        entries.pop().unwrap_or(Ok(None))
    }

    fn get_many(&self, keys: &[&Key]) -> Vec<Result<Option<Entry>>> {
        let mut entries = Vec::with_capacity(keys.len());
        for keys in keys.chunks(TOGETHER) {
            for (key, found) in keys.iter().zip(self.read_each(keys)) {
                let found = match found {
                    Ok(found) => found,
                    Err(error) => {
                        entries.push(Err(error));
                        continue;
                    }
                };
                let entry = self.whole(key, found);
                let counter = match entry {
                    Some(_) => &self.counters.hits,
                    None => &self.counters.misses,
                };
                counter.bump();
                entries.push(Ok(entry));
            }
        }
        entries
    }

    fn peek(&self, key: &Key) -> Result<Option<Entry>> {
        Ok(match self.read(key)? {
            Found::Entry(_, entry) => Some(entry),
            _ => None,
        })
    }

    fn put(&self, key: &Key, value: Arc<[u8]>, version: u64, term: Term) -> Result<bool> {
        let (head, ms) = Head::new(version, term.resolve(self.ttl)?);
        if value.len() > MAX_VALUE_BYTES {
            self.remove(key)?;
            return Ok(false);
        }
        self.run(|link, epoch| {
            let name = self.names.value(epoch.number, key);
            let mut put = self.transaction();
            put.add_command(set(&name, &head.encode(&name, &value), ms));
            put.add_command(unlink(&self.names.lease(epoch.number, key)));
            self.written(link, epoch, &name, put)
        })?;
        Ok(true)
    }

    /// Tried again if the reply does not come: then the value may have been there although it says
    /// that there was none.
    fn remove(&self, key: &Key) -> Result<bool> {
        self.run(|link, epoch| {
            let name = self.names.value(epoch.number, key);
            // This is no transaction, which a server without room would refuse. The lease leaves first,
            // so that nothing is kept under it from then on; and if the epoch is still the same in the
            // end, it was so all the time.
            let mut remove = redis::pipe();
            remove.add_command(unlink(&self.names.lease(epoch.number, key)));
            remove.cmd("PTTL").arg(&name);
            remove.add_command(unlink(&name));
            remove.add_command(strings([self.names.epoch()]));
            let replies = replies(link.tell_again(&remove)?);
            let [_, pttl, removed, held] = &replies[..] else {
                return Err(no_reply());
            };
            match first(held) {
                Some(now) if now == epoch => {
                    let was_there = Stay::read(number(pttl)).is_there();
                    Ok(Step::Done(was_there && number(removed) == 1))
                }
                now => Ok(Step::Moved(now)),
            }
        })
    }

    fn update(&self, key: &Key, change: &mut Change<'_>) -> Result<Option<Entry>> {
        self.run(|link, epoch| {
            let name = self.names.value(epoch.number, key);
            let (now, found) = self.watched(link, &name)?;
            if now != Some(epoch) {
                return Ok(Step::Moved(now));
            }
            let (old_head, old) = match found {
                Found::Entry(head, entry) => (Some(head), Some(entry)),
                _ => (None, None),
            };
            let mut write = self.transaction();
            let new = match change(old.as_ref())? {
                Update::Leave => return Ok(Step::Done(old)),
                Update::Put {
                    value,
                    version,
                    term,
                } if value.len() <= MAX_VALUE_BYTES => {
                    let (head, set, remaining) = match (term, &old, old_head) {
                        // It keeps its end.
                        (None, Some(old), Some(head)) => {
                            let head = head.with_version(version);
                            let mut set = set(&name, &head.encode(&name, &value), None);
                            set.arg("KEEPTTL");
                            (head, set, old.remaining)
                        }
                        (term, ..) => {
                            let term = term.unwrap_or(Lifetime::Default.into());
                            let times = term.resolve(self.ttl)?;
                            let (head, ms) = Head::new(version, times);
                            let life = times.life.filter(|_| !head.is_endless);
                            (head, set(&name, &head.encode(&name, &value), ms), life)
                        }
                    };
                    write.add_command(set);
                    Some(Entry {
                        value,
                        version,
                        remaining,
                        grace: head.grace,
                    })
                }
                // One that is too large is not kept.
                Update::Remove | Update::Put { .. } => {
                    write.add_command(unlink(&name));
                    None
                }
            };
            write.add_command(unlink(&self.names.lease(epoch.number, key)));
            Ok(match self.written(link, epoch, &name, write)? {
                Step::Done(()) => Step::Done(new),
                Step::Moved(now) => Step::Moved(now),
                Step::Contested => Step::Contested,
            })
        })
    }

    /// The value stays on the server, unless its head has to say something else from now on.
    fn expire(&self, key: &Key, term: Term) -> Result<bool> {
        let (wanted, ms) = Head::new(0, term.resolve(self.ttl)?);
        let expired = self.run(|link, epoch| {
            let name = self.names.value(epoch.number, key);
            let mut watch = redis::pipe();
            watch.cmd("WATCH").arg(self.names.epoch()).arg(&name);
            watch.add_command(strings([self.names.epoch()]));
            watch.cmd("PTTL").arg(&name);
            add_head(&mut watch, &name);
            let replies = link.watch(&watch)?;
            let [_, held, pttl, head] = &replies[..] else {
                return Err(no_reply());
            };
            match first(held) {
                Some(now) if now == epoch => {}
                now => return Ok(Step::Moved(now)),
            }
            if !Stay::read(number(pttl)).is_there() {
                return Ok(Step::Done(Some(false)));
            }
            let head = bytes(head).and_then(Head::told);
            if !head.is_some_and(|head| head.ends_as(&wanted)) {
                return Ok(Step::Done(None));
            }
            let mut expire = self.transaction();
            match ms {
                Some(ms) => expire.cmd("PEXPIRE").arg(&name).arg(ms),
                None => expire.cmd("PERSIST").arg(&name),
            };
            Ok(match link.tell_again(&expire)? {
                Some(_) => Step::Done(Some(true)),
                None => Step::Contested,
            })
        })?;
        if let Some(expired) = expired {
            return Ok(expired);
        }
        let changed = self.update(key, &mut |entry| {
            Ok(entry.map_or(Update::Leave, |entry| Update::Put {
                value: Arc::clone(&entry.value),
                version: entry.version,
                term: Some(term),
            }))
        })?;
        Ok(changed.is_some())
    }

    fn scan(
        &self,
        pattern: &KeyPattern,
        visit: &mut dyn FnMut(Key) -> ControlFlow<()>,
    ) -> Result<()> {
        self.visit(pattern, visit)
    }

    fn remove_matching(&self, pattern: &KeyPattern) -> Result<usize> {
        match pattern.only() {
            Some(key) => Ok(usize::from(self.remove(&key)?)),
            None => self.remove_all(pattern),
        }
    }

    /// The server takes out what has expired. This takes out what clears have left behind, and looks at
    /// a part of the server's keys only; the next sweep goes on from there.
    fn sweep(&self, most: usize) -> Result<usize> {
        self.sweep_orphans(most)
    }

    /// Entries are counted on a server of up to 64,000 keys, and estimated on a larger one; their bytes
    /// are estimated from a few of them, as the server tells them, and `max_bytes` is the server's, 0 if
    /// it has no limit. The server does not tell how many of these expired, or were evicted by itself.
    fn tier_stats(&self) -> Result<TierStats> {
        let count = self.count()?;
        self.entries.store(count.entries, Ordering::Relaxed);
        Ok(TierStats {
            report: self.report(),
            bytes: count.bytes,
            max_bytes: count.max_bytes,
            expirations: 0,
            damaged: self.counters.damaged.get(),
        })
    }

    fn health(&self) -> Health {
        Health {
            name: self.name.clone(),
            ..self.client.health()
        }
    }

    fn ttl(&self) -> Duration {
        self.ttl
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn is_away(&self) -> bool {
        self.client.is_away()
    }

    fn lease(&self, key: &Key, time: Duration) -> Result<Leased> {
        self.take_lease(key, time)
    }

    fn renew(&self, key: &Key, lease: &Lease, time: Duration) -> Result<bool> {
        self.prolong(key, lease, time)
    }

    fn fill(
        &self,
        key: &Key,
        lease: &Lease,
        value: Arc<[u8]>,
        version: u64,
        term: Term,
    ) -> Result<bool> {
        self.fill_under(key, lease, &value, version, term)
    }

    fn release(&self, key: &Key, lease: &Lease) -> Result<()> {
        self.give_back(key, lease)
    }
}

impl RedisTier {
    fn report(&self) -> CacheReport {
        CacheReport::new(self.usage())
            .requests(self.counters.hits.get(), self.counters.misses.get())
            .evictions(self.counters.evictions.get())
    }
}

impl Cache for RedisTier {
    fn name(&self) -> &str {
        &self.name
    }

    /// The entries as they were counted last, by [`Tier::tier_stats`]. They take none of this process's
    /// memory.
    fn usage(&self) -> CacheUsage {
        CacheUsage {
            entries: self.entries.load(Ordering::Relaxed),
            capacity: None,
            bytes: None,
            max_bytes: None,
        }
    }

    /// Whichever come first: the server knows who was used last, and does not tell.
    fn evict(&self, entries: usize) -> Result<usize> {
        let evicted = self.evict_any(entries)?;
        self.counters.evictions.add(evicted as u64);
        Ok(evicted)
    }

    /// Counts what it takes out after the change of the epoch, from which on none of it is returned.
    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        scope.matcher()?;
        self.invalidate_all()
    }

    fn clear(&self) -> Result<()> {
        self.clear_all()
    }

    fn stats(&self) -> Result<CacheReport> {
        Ok(self.report())
    }
}

impl fmt::Debug for RedisTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTier")
            .field("name", &self.name)
            .field("names", &self.names)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}
