//! `KvCache`: values of any serialisable type under keys, and the verbs for one key at a time.
//!
//! Whoever writes a key holds its turn, and voids the load of that key before the turn is given back; a
//! load puts its value in a turn too, unless it was voided. So nothing that was loaded before a write
//! is ever put over it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bulk::Bulk;
use super::dependants::Dependants;
use super::envelope::Envelope;
use super::key::AsKey;
use super::leases::Keeper;
use super::monitor::{Assessment, Gauges, Monitor, Thresholds};
use super::options::KvOptions;
use super::pool::Pool;
use super::stats::{Counters, KvStats};
use super::version::Versions;
use super::watch::Watches;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::health::{Health, Reason};
use crate::key_turns::KeyTurns;
use crate::panics::caught;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::primitives::{Mutex, RwLock};
use crate::single_flight::Flights;
use crate::tier::{Entry, Key, KeyPattern, Lifetime, Term, Tier, Update};

/// At most so many expired entries leave when the statistics are asked for: a moment's work.
const SWEPT_BY_STATS: usize = 10_000;

/// So often at most it is cleared before it is switched on, while others cannot forget what they change.
const MOST_CLEARED: usize = 8;

/// The longest that a writer waits for others of the same key: more than the time-outs of any tier.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cache. A handle: clones are the same cache.
///
/// Its verbs may do I/O, as its tier does, and wait at most for that tier's time-outs. Switched off, it
/// finds nothing and keeps nothing; what it is told to change is forgotten underneath, so that nothing
/// old is found when it is switched on again.
#[derive(Clone)]
pub struct KvCache(pub(super) Arc<Core>);

pub(super) struct Core {
    pub(super) name: String,
    pub(super) options: KvOptions,
    pub(super) tier: Arc<dyn Tier>,
    pub(super) clock: Arc<dyn Clock>,
    is_on: AtomicBool,
    /// Switched off together with others.
    is_paused: AtomicBool,
    /// What could not be forgotten while it was switched off: then everything is, before it is
    /// switched on. It is switched under this lock.
    unsure: Mutex<Unsure>,
    pub(super) turns: KeyTurns,
    /// `None` of a load is that its source has no such value.
    pub(super) flights: Arc<Flights<Key, Option<Envelope>>>,
    pub(super) keeper: Keeper,
    pub(super) pool: Pool,
    pub(super) bulk: Bulk,
    pub(super) watches: Watches,
    pub(super) versions: Versions,
    pub(super) counters: Counters,
    listeners: RwLock<Vec<Listener>>,
    /// Judges the requests, where somebody wants them judged.
    monitor: Option<Monitor>,
    /// What a write of a key drops besides, where anything is declared.
    pub(super) dependants: Option<Dependants>,
}

/// How often something could not be forgotten, and of how many of these times everything was since.
#[derive(Debug, Default)]
struct Unsure {
    missed: u64,
    cleared: u64,
}

/// Somebody who wants to know what this process changes.
type Listener = Arc<dyn Fn(KvChange<'_>) + Send + Sync>;

/// How much longer a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// Until it is removed, or its room is needed.
    Never,
    /// That long, more than 0.
    For(Duration),
}

/// What a verb of this process has changed, or may have: an error does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvChange<'c> {
    /// The value of this key.
    Key(&'c Key),
    /// Those of the keys that match.
    Matching(&'c KeyPattern),
    /// All.
    All,
}

/// A value that was found, and how it lies there.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) envelope: Envelope,
}

impl KvCache {
    /// A cache over a tier that nobody else writes to in this process, empty or not.
    pub fn new(
        name: impl Into<String>,
        options: KvOptions,
        tier: Arc<dyn Tier>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::build(name.into(), options, tier, clock, None, None)
    }

    /// The same with a monitor, which is told of each request and how long it took, and with what a write
    /// of a key drops besides.
    pub(super) fn monitored(
        name: &str,
        dependants: Option<Dependants>,
        options: KvOptions,
        tier: Arc<dyn Tier>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let monitor = Monitor::new(name, Thresholds::default(), Arc::clone(&clock));
        let monitor = Some(monitor);
        Self::build(name.to_owned(), options, tier, clock, monitor, dependants)
    }

    fn build(
        name: String,
        options: KvOptions,
        tier: Arc<dyn Tier>,
        clock: Arc<dyn Clock>,
        monitor: Option<Monitor>,
        dependants: Option<Dependants>,
    ) -> Self {
        KvCache(Arc::new(Core {
            name,
            is_on: AtomicBool::new(options.is_enabled),
            is_paused: AtomicBool::new(false),
            unsure: Mutex::default(),
            turns: KeyTurns::new(PATIENCE),
            flights: Arc::default(),
            keeper: Keeper::new(Arc::clone(&tier), Arc::clone(&clock), options.lease),
            pool: Pool::new(options.load_threads),
            options,
            tier,
            clock,
            bulk: Bulk::default(),
            watches: Watches::default(),
            versions: Versions::default(),
            counters: Counters::default(),
            listeners: RwLock::default(),
            monitor,
            dependants,
        }))
    }

    /// The value of the key; `None` if there is none. What cannot be read as such a value, or is of
    /// another schema version, is none: it leaves, and is counted.
    ///
    /// # Errors
    /// `InvalidInput` for what is no key. A tier that fails is a miss, and counted.
    pub fn get<T: DeserializeOwned>(&self, key: impl AsKey) -> Result<Option<T>> {
        self.get_with(key, Envelope::read)
    }

    /// As [`KvCache::get`], without a type: the bytes as they were set, the JSON of any other value.
    ///
    /// # Errors
    /// Those of [`KvCache::get`].
    pub fn get_bytes(&self, key: impl AsKey) -> Result<Option<Vec<u8>>> {
        self.get_with(key, |envelope| Some(envelope.payload().to_vec()))
    }

    fn get_with<R>(
        &self,
        key: impl AsKey,
        read: impl FnOnce(&Envelope) -> Option<R>,
    ) -> Result<Option<R>> {
        let key = self.key(key)?;
        if !self.is_enabled() {
            return Ok(None);
        }
        let began = self.begins();
        let found = self.look(&key).filter(|found| !found.entry.is_stale());
        let value = found.and_then(|found| self.read(&key, &found, read));
        self.asked(value.is_some(), began);
        Ok(value)
    }

    /// As [`KvCache::get`], for who only looks: no request, and no use of the value.
    ///
    /// # Errors
    /// Those of [`KvCache::get`].
    #[cfg(feature = "sqlite")]
    pub(crate) fn peek<T: DeserializeOwned>(&self, key: impl AsKey) -> Result<Option<T>> {
        let key = self.key(key)?;
        if !self.is_enabled() {
            return Ok(None);
        }
        let entry = self.counted(self.0.tier.peek(&key)).unwrap_or(None);
        let entry = entry.filter(|entry| !entry.is_stale());
        let envelope = entry.and_then(|entry| Envelope::open(&entry.value, self.0.options.schema));
        Ok(envelope.and_then(|envelope| envelope.read()))
    }

    /// As [`KvCache::get_bytes`], for who only looks: no request, and no use of the value; what cannot be
    /// read stays where it is. With the value comes how much longer it lives.
    ///
    /// # Errors
    /// Those of [`KvCache::get`].
    pub fn peek_bytes(&self, key: impl AsKey) -> Result<Option<(Vec<u8>, Ttl)>> {
        let key = self.key(key)?;
        if !self.is_enabled() {
            return Ok(None);
        }
        let entry = self.counted(self.0.tier.peek(&key)).unwrap_or(None);
        let entry = entry.filter(|entry| !entry.is_stale());
        Ok(entry.and_then(|entry| {
            let envelope = Envelope::open(&entry.value, self.0.options.schema)?;
            let ttl = entry.fresh().map_or(Ttl::Never, Ttl::For);
            Some((envelope.payload().to_vec(), ttl))
        }))
    }

    /// Keeps the value under the key, in place of the one that it had; whether it is kept: one that
    /// alone exceeds the limits is not, and what its key had before is gone all the same.
    ///
    /// # Errors
    /// `InvalidInput` for what is no key, a lifetime of 0, or a value that JSON cannot hold, and nothing
    /// changes; whatever keeps the tier from keeping.
    pub fn set<T: Serialize + ?Sized>(
        &self,
        key: impl AsKey,
        value: &T,
        lifetime: Lifetime,
    ) -> Result<bool> {
        let (key, term) = (self.key(key)?, self.counted(self.term(lifetime))?);
        let envelope = Envelope::json(value, self.0.options.schema, Duration::ZERO);
        self.put(&key, &self.counted(envelope)?, term)
    }

    /// As [`KvCache::set`], for bytes that are kept as they are. They are read by
    /// [`KvCache::get_bytes`] alone.
    ///
    /// # Errors
    /// Those of [`KvCache::set`].
    pub fn set_bytes(&self, key: impl AsKey, value: &[u8], lifetime: Lifetime) -> Result<bool> {
        let (key, term) = (self.key(key)?, self.counted(self.term(lifetime))?);
        self.put(&key, &Envelope::bytes(value, self.0.options.schema), term)
    }

    /// Forgets the value of the key; whether there was one.
    ///
    /// # Errors
    /// `InvalidInput` for what is no key; whatever keeps the tier from forgetting.
    pub fn delete(&self, key: impl AsKey) -> Result<bool> {
        let key = self.key(key)?;
        if !self.is_enabled() {
            self.pass_by(&key)?;
            return Ok(false);
        }
        self.remove(&key)
    }

    /// Whether [`KvCache::get`] would find a value. No request, and no use of the value.
    ///
    /// # Errors
    /// `InvalidInput` for what is no key. A tier that fails has none, and it is counted.
    pub fn exists(&self, key: impl AsKey) -> Result<bool> {
        Ok(self.ttl(key)?.is_some())
    }

    /// How much longer the value of the key lives; `None` if there is none.
    ///
    /// # Errors
    /// Those of [`KvCache::exists`].
    pub fn ttl(&self, key: impl AsKey) -> Result<Option<Ttl>> {
        let key = self.key(key)?;
        if !self.is_enabled() {
            return Ok(None);
        }
        let entry = self.counted(self.0.tier.peek(&key)).unwrap_or(None);
        let entry = entry.filter(|entry| self.opens(entry));
        Ok(entry.map(|entry| entry.fresh().map_or(Ttl::Never, Ttl::For)))
    }

    /// Gives the value another lifetime, from now on; whether there is one.
    ///
    /// # Errors
    /// `InvalidInput` for what is no key, or a lifetime of 0; whatever keeps the tier from it.
    pub fn expire(&self, key: impl AsKey, lifetime: Lifetime) -> Result<bool> {
        let (key, term) = (self.key(key)?, self.counted(self.term(lifetime))?);
        if !self.is_enabled() {
            self.pass_by(&key)?;
            return Ok(false);
        }
        let mut found = false;
        self.write(&key, || {
            self.0.tier.update(&key, &mut |entry| {
                let entry = entry.filter(|entry| self.opens(entry));
                found = entry.is_some();
                Ok(entry.map_or(Update::Leave, |entry| Update::Put {
                    value: Arc::clone(&entry.value),
                    version: entry.version,
                    term: Some(term),
                }))
            })
        })?;
        Ok(found)
    }

    /// What it holds, and what it has done since the start. Some of what has expired leaves on this
    /// occasion.
    ///
    /// # Errors
    /// Whatever keeps the tier from knowing.
    pub fn stats(&self) -> Result<KvStats> {
        let core = &*self.0;
        // What cannot leave now is counted among the entries.
        let _ = self.counted(core.tier.sweep(SWEPT_BY_STATS));
        let tier = self.counted(core.tier.tier_stats())?;
        let counters = &core.counters;
        Ok(KvStats {
            is_enabled: self.is_enabled(),
            total_entries: tier.report.usage.entries,
            hits: counters.hits.get(),
            misses: counters.misses.get(),
            memory_usage: tier.report.usage.bytes,
            evictions: tier.report.evictions,
            expirations: tier.expirations,
            errors: counters.errors.get(),
            invalid_keys: counters.invalid_keys.get(),
            unreadable: counters.unreadable.get(),
            loads: counters.loads.get(),
            load_errors: counters.load_errors.get(),
            refreshes: counters.refreshes.get(),
            voided: counters.voided.get(),
            stale_answers: counters.stale_answers.get(),
            most_waiters: counters.most_waiters(),
        })
    }

    /// How it does: as its tier does, unless it is switched off. Changes neither data nor counters.
    pub fn health(&self) -> Health {
        let name = &*self.0.name;
        if !self.is_enabled() {
            let reason = Reason::new("disabled", format!("the cache `{name}` is switched off"));
            return Health::disabled(name, reason);
        }
        Health::healthy(name).with_parts(vec![self.0.tier.health()])
    }

    /// What its monitor has found, if it has one; it is judged when it is assessed.
    pub fn monitor(&self) -> Option<&Monitor> {
        self.0.monitor.as_ref()
    }

    /// Judges the last window of requests; `None` if nobody wants them judged.
    pub fn assess(&self) -> Option<Assessment> {
        let monitor = self.0.monitor.as_ref()?;
        let stats = self.0.tier.tier_stats().unwrap_or_default();
        Some(monitor.assess(&Gauges {
            evictions: stats.report.evictions,
            expirations: stats.expirations,
            memory_bytes: stats.report.usage.bytes,
            max_memory_bytes: stats.report.usage.max_bytes,
            waiters: self.0.counters.take_crowd(),
            split_brain: None,
        }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How it keeps its values.
    pub fn options(&self) -> &KvOptions {
        &self.0.options
    }

    /// Where its values lie.
    pub fn tier(&self) -> &Arc<dyn Tier> {
        &self.0.tier
    }

    /// Has the listener called after each verb of this process that has changed something, in the thread
    /// of that verb, under no lock: so it is quick. A value that was loaded where there was none is no
    /// change. Called also if the verb failed, and may have changed it all the same.
    pub fn on_change(&self, listener: impl Fn(KvChange<'_>) + Send + Sync + 'static) {
        self.0.listeners.write().push(Arc::new(listener));
    }

    /// Whether it is switched on.
    pub fn is_enabled(&self) -> bool {
        self.0.is_on.load(Ordering::Acquire) && !self.0.is_paused.load(Ordering::Acquire)
    }

    /// Switches it on, or off. What was kept before it was switched off is found again, unless it was
    /// to change meanwhile; everything is forgotten if that could not be done one by one.
    ///
    /// # Errors
    /// Those of [`KvCache::clear`], and it stays off.
    pub fn set_enabled(&self, enabled: bool) -> Result<()> {
        self.switch(&self.0.is_on, enabled, enabled)
    }

    /// Switches it off together with others, or on again unless it is switched off itself.
    ///
    /// # Errors
    /// Those of [`KvCache::set_enabled`].
    pub(super) fn set_paused(&self, is_paused: bool) -> Result<()> {
        self.switch(&self.0.is_paused, is_paused, !is_paused)
    }

    fn switch(&self, switch: &AtomicBool, to: bool, may_find: bool) -> Result<()> {
        for _ in 0..MOST_CLEARED {
            let missed = {
                let unsure = self.0.unsure.lock();
                if !may_find || unsure.missed == unsure.cleared {
                    // Who misses something from now on sees what it is switched to.
                    switch.store(to, Ordering::Release);
                    return Ok(());
                }
                unsure.missed
            };
            self.clear()?;
            let mut unsure = self.0.unsure.lock();
            unsure.cleared = unsure.cleared.max(missed);
        }
        let message = format!("the cache `{}` is being changed by others", self.0.name);
        Err(Error::new(ErrorKind::DatabaseBusy, message).with_help("try again"))
    }
}

/// What the verbs are made of.
impl KvCache {
    pub(super) fn key(&self, key: impl AsKey) -> Result<Key> {
        key.as_key().inspect_err(|_| {
            self.0.counters.invalid_keys.bump();
            self.0.counters.errors.bump();
        })
    }

    /// When a request begins, where somebody wants to know how long it takes.
    pub(super) fn begins(&self) -> Option<Duration> {
        let monitor = self.0.monitor.as_ref();
        monitor.map(|_| self.0.clock.elapsed())
    }

    /// One request, for one value, which began then.
    pub(super) fn asked(&self, found: bool, began: Option<Duration>) {
        // Switched off, it was not asked.
        if !self.is_enabled() {
            return;
        }
        self.0.counters.asked(found);
        if let (Some(monitor), Some(began)) = (&self.0.monitor, began) {
            let took = self.0.clock.elapsed().saturating_sub(began);
            monitor.record(took, found);
        }
    }

    /// The outcome, counted if it is an error.
    pub(super) fn counted<R>(&self, outcome: Result<R>) -> Result<R> {
        outcome.inspect_err(|error| {
            self.0.counters.errors.bump();
            if error.kind() != ErrorKind::InvalidInput {
                tracing::debug!("cache `{}`: {error:#}", self.0.name);
            }
        })
    }

    /// What the tier has under the key, fresh or stale.
    pub(super) fn look(&self, key: &Key) -> Option<Found> {
        let entry = self.counted(self.0.tier.get(key)).unwrap_or(None)?;
        self.found(key, entry)
    }

    /// The entry with its envelope; what does not open leaves.
    pub(super) fn found(&self, key: &Key, entry: Entry) -> Option<Found> {
        match Envelope::open(&entry.value, self.0.options.schema) {
            Some(envelope) => Some(Found { entry, envelope }),
            None => {
                self.drop_unreadable(key, &entry);
                None
            }
        }
    }

    /// What `read` makes of the value; if nothing, it leaves.
    pub(super) fn read<R>(
        &self,
        key: &Key,
        found: &Found,
        read: impl FnOnce(&Envelope) -> Option<R>,
    ) -> Option<R> {
        let value = read(&found.envelope);
        if value.is_none() {
            self.drop_unreadable(key, &found.entry);
        }
        value
    }

    /// Takes out what cannot be read, unless another value has its place by now.
    fn drop_unreadable(&self, key: &Key, unreadable: &Entry) {
        self.0.counters.unreadable.bump();
        self.0.counters.errors.bump();
        let dropped = self.0.tier.update(key, &mut |entry| {
            let is_still = entry.is_some_and(|entry| entry.value == unreadable.value);
            Ok(match is_still {
                true => Update::Remove,
                false => Update::Leave,
            })
        });
        // It stays unreadable, and will be found so again.
        let _ = self.counted(dropped);
    }

    /// Whether it is fresh, and an envelope of this schema version.
    pub(super) fn opens(&self, entry: &Entry) -> bool {
        !entry.is_stale() && Envelope::open(&entry.value, self.0.options.schema).is_some()
    }

    pub(super) fn put(&self, key: &Key, envelope: &Envelope, term: Term) -> Result<bool> {
        if !self.is_enabled() {
            self.pass_by(key)?;
            return Ok(false);
        }
        self.write(key, || {
            let version = self.0.versions.next(&*self.0.clock);
            self.0.tier.put(key, envelope.sealed(), version, term)
        })
    }

    pub(super) fn remove(&self, key: &Key) -> Result<bool> {
        let removed = self.remove_alone(key);
        self.with_dependants(key, removed)
    }

    /// The same; what depends on the key stays.
    pub(super) fn remove_alone(&self, key: &Key) -> Result<bool> {
        self.write_alone(key, || {
            let tier = &self.0.tier;
            // What is stale is absent, but takes room.
            let is_stale = !self.0.options.grace.is_zero()
                && tier.peek(key)?.is_some_and(|entry| entry.is_stale());
            Ok(tier.remove(key)? && !is_stale)
        })
    }

    /// Makes a write of the key, in its turn; then what is declared to depend on the key leaves.
    pub(super) fn write<R>(&self, key: &Key, write: impl FnOnce() -> Result<R>) -> Result<R> {
        let outcome = self.write_alone(key, write);
        self.with_dependants(key, outcome)
    }

    /// The outcome of a write, after what depends on the key has left: also if the write failed, and may
    /// have changed it all the same.
    fn with_dependants<R>(&self, key: &Key, outcome: Result<R>) -> Result<R> {
        let dropped = self.drop_dependants(key);
        outcome.and_then(|done| dropped.map(|()| done))
    }

    /// Makes a write of the key, in its turn. The load of the key is voided before the turn is given
    /// back, however the write ends: whoever began it may have seen what was there before.
    fn write_alone<R>(&self, key: &Key, write: impl FnOnce() -> Result<R>) -> Result<R> {
        let turn = self.counted(self.0.turns.take(key))?;
        let voids = Voids { cache: self, key };
        let outcome = write();
        drop(voids);
        drop(turn);
        self.tell(KvChange::Key(key));
        self.counted(outcome)
    }

    /// Tells those who want to know. What goes wrong with one of them is his.
    pub(super) fn tell(&self, change: KvChange<'_>) {
        let listeners = {
            let listeners = self.0.listeners.read();
            match listeners.is_empty() {
                true => return,
                false => listeners.clone(),
            }
        };
        for listener in listeners {
            let told = caught(ErrorKind::Internal, || {
                listener(change);
                Ok(())
            });
            if let Err(error) = told {
                tracing::warn!("cache `{}`: a listener: {error:#}", self.0.name);
            }
        }
    }

    /// What becomes of a key that is to change while the cache is switched off: it is forgotten.
    ///
    /// # Errors
    /// Whatever keeps the tier from it, if the cache has been switched on meanwhile.
    pub(super) fn pass_by(&self, key: &Key) -> Result<()> {
        let Err(error) = self.write(key, || self.0.tier.remove(key)) else {
            return Ok(());
        };
        let mut unsure = self.0.unsure.lock();
        if self.is_enabled() {
            return Err(error);
        }
        unsure.missed += 1;
        Ok(())
    }

    /// The term of a value of this lifetime. The default one is jittered.
    pub(super) fn term(&self, lifetime: Lifetime) -> Result<Term> {
        let time = lifetime.resolve(self.0.options.ttl)?;
        let time = match lifetime {
            Lifetime::Default => time.map(|time| self.jittered(time)),
            _ => time,
        };
        Ok(Term {
            lifetime: time.map_or(Lifetime::Never, Lifetime::For),
            grace: self.0.options.grace,
            at_most: None,
        })
    }
}

/// Voids the load of a key when it is dropped.
struct Voids<'c> {
    cache: &'c KvCache,
    key: &'c Key,
}

impl Drop for Voids<'_> {
    fn drop(&mut self) {
        self.cache.0.flights.void(self.key);
        self.cache.0.watches.note(self.key);
    }
}

impl fmt::Debug for KvCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvCache")
            .field("name", &self.0.name)
            .field("options", &self.0.options)
            .field("is_enabled", &self.is_enabled())
            .finish_non_exhaustive()
    }
}
