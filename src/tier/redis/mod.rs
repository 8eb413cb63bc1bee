//! The tier on a Redis server, which processes share. Reads, writes and removals are one round trip each;
//! a change of an entry is two, the second of which the server refuses if anybody changed the entry
//! meanwhile.
//!
//! The names of all values carry the epoch of their namespace (see `keys`). Each process remembers the
//! epoch, and each round trip asks for it too: so a clear, by any process, is another epoch, and has
//! its effect for all processes at once. If the server loses the epoch, by being emptied or by an
//! eviction, the next verb makes another one, and everything is a miss.
//!
//! What an earlier epoch left behind is out of reach. The server ends it when its time is over; whatever
//! never ends is taken out by the `clear` itself, as far as it gets within a time-out, and by `sweep`. A
//! value of another schema that never ends stays until somebody clears the namespace.

mod keys;
mod lease;
mod stored;
mod walk;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, Pipeline, Value};

use self::keys::{Epoch, Names};
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
/// The largest value. Of one that somebody else put there no more than this is read, before it is judged.
const MAX_VALUE_BYTES: usize = 64 << 20;
/// The most that is read of each value where many are asked for together: a longer one is asked for again,
/// alone.
const MAX_BYTES_TOGETHER: usize = 1 << 20;
/// How many keys one transaction asks for: others wait meanwhile.
const TOGETHER: usize = 256;

/// Where a tier on a Redis server keeps its values, and for how long. Options can only be valid: what is
/// out of range is refused when it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisTierOptions {
    namespace: String,
    schema: u32,
    ttl: Duration,
}

impl RedisTierOptions {
    /// Values of this namespace live for 7200 seconds. Tiers of one namespace share their values, in one
    /// process or in several.
    ///
    /// # Errors
    /// `InvalidConfig` unless it has 1 to 100 letters, digits, `_`, `-` and `.`.
    pub fn new(namespace: &str) -> Result<Self> {
        keys::check_namespace(namespace)?;
        Ok(RedisTierOptions {
            namespace: namespace.to_owned(),
            schema: 0,
            ttl: Duration::from_secs(7200),
        })
    }

    /// The version of what the values are made of, 0 at first: those of another one are not seen.
    #[must_use]
    pub fn schema(mut self, schema: u32) -> Self {
        self.schema = schema;
        self
    }

    /// How long a value lives that is put with the default lifetime. The server counts milliseconds.
    ///
    /// # Errors
    /// `InvalidConfig` if it is 0.
    pub fn ttl(mut self, ttl: Duration) -> Result<Self> {
        if ttl.is_zero() {
            let range = "a positive duration";
            return Err(Error::out_of_range("tiers.redis.ttl", "0s", range));
        }
        self.ttl = ttl;
        Ok(self)
    }
}

/// A tier on a Redis server, version 6.2 or later. Its verbs do I/O; while the server is away they are
/// errors of kind `Unavailable`, soon at once: see [`RedisClient`]. What a cache loads meanwhile is kept in
/// the tiers above this one, as a copy, and never comes here: see
/// [`KvOptions::cross_process`](crate::kv::KvOptions::cross_process).
///
/// A write whose reply did not come is such an error, too. It was done, or it never will be: the key
/// holds what it held before, or what was written. A value of more than 64 MiB is not kept, and one that is
/// longer on the server is damaged.
///
/// # A server that goes back in time
/// One that is restarted from a snapshot, or whose replica takes its place before it has got everything,
/// holds older values, and removed ones, under the epoch of before: they are answered until they end, as
/// nothing about them tells their age. Let such a server keep no snapshots, or empty the namespace
/// ([`Cache::clear`]) before it is used again. A bus on the same server does that by itself where it sees
/// that the server is another one.
pub struct RedisTier {
    name: String,
    ttl: Duration,
    client: Arc<RedisClient>,
    names: Names,
    /// The number of the epoch as it was seen last; 0 before.
    epoch: AtomicU64,
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

/// What the server holds under a key.
enum Found {
    Absent,
    Entry(Entry),
    Damaged,
    /// More than was asked for.
    Long,
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
            epoch: AtomicU64::new(0),
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
                match work(link, epoch)? {
                    Step::Done(done) => return Ok(done),
                    Step::Moved(now) => self.adopt(now),
                    Step::Contested => thread::sleep(pause(round)),
                }
            }
            let message = format!(
                "what is asked of the tier {} was changed by others, each of {MAX_CHANGES} times",
                self.name
            );
            let busy = Error::new(ErrorKind::DatabaseBusy, message).with_help("try again");
            Err(busy.into())
        })
    }

    /// The epoch as it was seen last; made if there is none.
    fn epoch(&self, link: &mut Link) -> Result<Epoch, Trouble> {
        if let Some(epoch) = Epoch::known(self.epoch.load(Ordering::Relaxed)) {
            return Ok(epoch);
        }
        let (name, mine) = (self.names.epoch(), Epoch::random()?);
        let mut make = redis::pipe();
        make.cmd("SET").arg(&name).arg(mine.to_string()).arg("NX");
        make.add_command(strings([&name]));
        let found = replies(link.tell_again(&make)?).get(1).and_then(first);
        let epoch = match found {
            Some(epoch) => epoch,
            // Something else has the name.
            None => {
                let mut make = redis::pipe();
                make.cmd("SET").arg(&name).arg(mine.to_string());
                link.tell_again(&make)?;
                mine
            }
        };
        self.adopt(Some(epoch));
        Ok(epoch)
    }

    fn adopt(&self, epoch: Option<Epoch>) {
        self.epoch
            .store(epoch.map_or(0, Epoch::number), Ordering::Relaxed);
    }

    /// What the server holds under each of the keys. This is no transaction, which a server without room
    /// would refuse.
    fn read(&self, keys: &[&Key]) -> Result<Vec<Found>> {
        let limit = match keys {
            [_] => MAX_VALUE_BYTES,
            _ => MAX_BYTES_TOGETHER,
        };
        self.run(|link, epoch| {
            let names: Vec<String> = keys
                .iter()
                .map(|key| self.names.value(epoch, key))
                .collect();
            let mut read = redis::pipe();
            self.add_read(&mut read, &names, limit);
            let (now, held) = held(&names, &link.ask_each(&read)?, limit)?;
            if now != Some(epoch) {
                return Ok(Step::Moved(now));
            }
            let found: Option<Vec<Found>> = held.into_iter().map(|held| held.found).collect();
            Ok(found.map_or(Step::Contested, Step::Done))
        })
    }

    /// Asks for the values, as far as the limit and a byte more, how long they stay, and their heads again:
    /// if those are still the same, all that was read of a value is of one moment. Before and after them
    /// it asks for the epoch: if that is the same in the end, it was so all the time.
    fn add_read(&self, pipe: &mut Pipeline, names: &[String], limit: usize) {
        let epoch = self.names.epoch();
        pipe.add_command(strings([&epoch]));
        for name in names {
            let last = stored::HEAD + limit;
            pipe.cmd("GETRANGE").arg(name).arg(0).arg(last);
            pipe.cmd("PTTL").arg(name);
            add_head(pipe, name);
        }
        pipe.add_command(strings([&epoch]));
    }

    /// The entry of a key, if it is whole. A damaged one leaves.
    fn whole(&self, key: &Key, found: Found) -> Option<Entry> {
        match found {
            Found::Absent | Found::Long => None,
            Found::Entry(entry) => Some(entry),
            Found::Damaged => {
                self.counters.damaged.bump();
                tracing::warn!(tier = self.name, %key, "a damaged value on the Redis server");
                if let Err(error) = self.discard(key) {
                    tracing::warn!(tier = self.name, %key, %error, "cannot take it out");
                }
                None
            }
        }
    }

    /// Takes a value out if it is damaged still.
    fn discard(&self, key: &Key) -> Result<()> {
        self.run(|link, epoch| {
            let name = self.names.value(epoch, key);
            let (now, held) = self.watched(link, &name)?;
            if now != Some(epoch) {
                return Ok(Step::Moved(now));
            }
            match held.found {
                Some(Found::Damaged) => {}
                Some(_) => return Ok(Step::Done(())),
                None => return Ok(Step::Contested),
            }
            let mut remove = redis::pipe();
            remove.atomic().cmd("UNLINK").arg(&name);
            Ok(match link.tell_again(&remove)? {
                Some(_) => Step::Done(()),
                None => Step::Contested,
            })
        })
    }

    /// The epoch, and what is held under the name, both watched from now on.
    fn watched(&self, link: &mut Link, name: &str) -> Result<(Option<Epoch>, Held), Trouble> {
        let names = [name.to_owned()];
        let mut watch = redis::pipe();
        watch.cmd("WATCH").arg(self.names.epoch()).arg(name);
        self.add_read(&mut watch, &names, MAX_VALUE_BYTES);
        let replies = link.watch(&watch)?;
        let replies = replies.get(1..).unwrap_or_default();
        let (now, mut held) = held(&names, replies, MAX_VALUE_BYTES)?;
        Ok((now, held.pop().ok_or_else(no_reply)?))
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
        pipe.atomic().add_command(strings([&self.names.epoch()]));
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

/// The epoch in a reply to [`strings`] that asked for it first.
fn first(reply: &Value) -> Option<Epoch> {
    array(reply).first().and_then(Epoch::read)
}

fn replies(replies: Option<Vec<Value>>) -> Vec<Value> {
    replies.unwrap_or_default()
}

fn array(reply: &Value) -> &[Value] {
    match reply {
        Value::Array(values) => values,
        _ => &[],
    }
}

fn bytes(reply: &Value) -> Option<&[u8]> {
    match reply {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

fn text(reply: &Value) -> Option<&str> {
    std::str::from_utf8(bytes(reply)?).ok()
}

/// The number in a reply; what is none is as good as "not there".
fn number(reply: &Value) -> i64 {
    match reply {
        Value::Int(number) => *number,
        _ => -2,
    }
}

/// What is held under a name.
struct Held {
    /// `None` if somebody changed it while it was read.
    found: Option<Found>,
    head: Option<Head>,
}

/// The epoch and what is held under the names, of the replies to [`RedisTier::add_read`].
fn held(
    names: &[String],
    replies: &[Value],
    limit: usize,
) -> Result<(Option<Epoch>, Vec<Held>), Trouble> {
    let [before, rest @ .., now] = replies else {
        return Err(no_reply());
    };
    for epoch in [before, now] {
        refused(epoch)?;
    }
    let (rest, []) = rest.as_chunks::<3>() else {
        return Err(no_reply());
    };
    if rest.len() != names.len() {
        return Err(no_reply());
    }
    let mut held = Vec::with_capacity(names.len());
    for (name, [value, pttl, head]) in names.iter().zip(rest) {
        held.push(match bytes(value) {
            // As the server says of what is not there.
            Some([]) if number(pttl) == -2 => Held::nothing(),
            Some(bytes)
                if bytes.get(..stored::HEAD).unwrap_or(bytes)
                    != self::bytes(head).unwrap_or_default() =>
            {
                Held::changed()
            }
            Some(bytes) => Held::read(name, bytes, Stay::read(number(pttl)), limit),
            None => {
                refused(value)?;
                Held::nothing()
            }
        });
    }
    Ok((first(now), held))
}

/// A refusal, but for that of what is no string, which is as good as not there.
fn refused(reply: &Value) -> Result<(), Trouble> {
    match reply {
        Value::ServerError(refusal) if refusal.code() != "WRONGTYPE" => {
            Err(redis::RedisError::from(refusal.clone()).into())
        }
        _ => Ok(()),
    }
}

impl Held {
    fn nothing() -> Self {
        Held {
            found: Some(Found::Absent),
            head: None,
        }
    }

    /// Somebody changed it while it was read.
    fn changed() -> Self {
        Held {
            found: None,
            head: None,
        }
    }

    fn read(name: &str, bytes: &[u8], stay: Stay, limit: usize) -> Self {
        if bytes.len() > stored::HEAD + limit && limit < MAX_VALUE_BYTES {
            return Held {
                found: Some(Found::Long),
                head: None,
            };
        }
        let whole = Some(bytes).filter(|bytes| bytes.len() <= stored::HEAD + limit);
        let Some((head, value)) = whole.and_then(|bytes| Head::decode(name, bytes)) else {
            return Held {
                found: Some(Found::Damaged),
                head: None,
            };
        };
        let found = match head.entry(value, stay) {
            Ok(Some(entry)) => Found::Entry(entry),
            Ok(None) => Found::Absent,
            Err(stored::Endless) => Found::Damaged,
        };
        Held {
            found: Some(found),
            head: Some(head),
        }
    }
}

/// A reply that is not what was asked for.
fn no_reply() -> Trouble {
    let what = "the reply is none to what was asked";
    Trouble::Server((redis::ErrorKind::Parse, what).into())
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
            let found = match self.read(keys) {
                Ok(found) => found,
                Err(error) => {
                    entries.extend(keys.iter().map(|_| Err(error.clone())));
                    continue;
                }
            };
            for (key, found) in keys.iter().zip(found) {
                let found = match found {
                    Found::Long => match self.read(&[key]) {
                        Ok(mut found) => found.pop().unwrap_or(Found::Absent),
                        Err(error) => {
                            entries.push(Err(error));
                            continue;
                        }
                    },
                    found => found,
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
        Ok(match self.read(&[key])?.pop() {
            Some(Found::Entry(entry)) => Some(entry),
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
            let name = self.names.value(epoch, key);
            let mut put = self.transaction();
            put.add_command(set(&name, &head.encode(&name, &value), ms));
            put.add_command(unlink(&self.names.lease(epoch, key)));
            self.written(link, epoch, &name, put)
        })?;
        Ok(true)
    }

    /// Tried again if the reply does not come: then the value may have been there although it says
    /// that there was none.
    fn remove(&self, key: &Key) -> Result<bool> {
        self.run(|link, epoch| {
            let name = self.names.value(epoch, key);
            // This is no transaction, which a server without room would refuse. The lease leaves first,
            // so that nothing is kept under it from then on; and if the epoch is still the same in the
            // end, it was so all the time.
            let mut remove = redis::pipe();
            remove.add_command(unlink(&self.names.lease(epoch, key)));
            remove.cmd("PTTL").arg(&name);
            remove.add_command(unlink(&name));
            remove.add_command(strings([&self.names.epoch()]));
            let replies = replies(link.tell_again(&remove)?);
            let [_, pttl, removed, held] = &replies[..] else {
                return Err(no_reply());
            };
            match first(held) {
                Some(now) if now == epoch => {
                    let was_there = Stay::read(number(pttl)) != Stay::Gone;
                    Ok(Step::Done(was_there && number(removed) == 1))
                }
                now => Ok(Step::Moved(now)),
            }
        })
    }

    fn update(&self, key: &Key, change: &mut Change<'_>) -> Result<Option<Entry>> {
        self.run(|link, epoch| {
            let name = self.names.value(epoch, key);
            let (now, held) = self.watched(link, &name)?;
            if now != Some(epoch) {
                return Ok(Step::Moved(now));
            }
            let old = match held.found {
                Some(Found::Entry(entry)) => Some(entry),
                Some(Found::Absent | Found::Damaged | Found::Long) => None,
                None => return Ok(Step::Contested),
            };
            let mut write = self.transaction();
            let new = match change(old.as_ref())? {
                Update::Leave => return Ok(Step::Done(old)),
                Update::Put {
                    value,
                    version,
                    term,
                } if value.len() <= MAX_VALUE_BYTES => {
                    let (head, set, remaining) = match (term, &old, held.head) {
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
            write.add_command(unlink(&self.names.lease(epoch, key)));
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
            let name = self.names.value(epoch, key);
            let mut watch = redis::pipe();
            watch.cmd("WATCH").arg(self.names.epoch()).arg(&name);
            watch.add_command(strings([&self.names.epoch()]));
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
            if Stay::read(number(pttl)) == Stay::Gone {
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
