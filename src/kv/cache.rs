//! `KvCache`: values of any serialisable type under keys, and the verbs for one key at a time.

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
use super::listeners::Listeners;
use super::monitor::{Monitor, Thresholds};
use super::options::KvOptions;
use super::pool::Pool;
use super::stats::Counters;
use super::switch::Switch;
use super::version::Versions;
use super::watch::Watches;
use crate::clock::Clock;
use crate::error::Result;
use crate::key_turns::KeyTurns;
use crate::single_flight::Flights;
use crate::tier::{Key, Lifetime, Term, Tier, Update};

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
    pub(super) switch: Switch,
    pub(super) turns: KeyTurns,
    /// `None` of a load is that its source has no such value.
    pub(super) flights: Arc<Flights<Key, Option<Envelope>>>,
    pub(super) keeper: Keeper,
    pub(super) pool: Pool,
    pub(super) bulk: Bulk,
    pub(super) watches: Watches,
    pub(super) versions: Versions,
    pub(super) counters: Counters,
    pub(super) listeners: Listeners,
    /// Judges the requests, where somebody wants them judged.
    pub(super) monitor: Option<Monitor>,
    /// What a write of a key drops besides, where anything is declared.
    pub(super) dependants: Option<Dependants>,
}

/// How much longer a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// Until it is removed, or its room is needed.
    Never,
    /// That long, more than 0.
    For(Duration),
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
            switch: Switch::new(options.is_enabled),
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
            listeners: Listeners::default(),
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
}

/// What the verbs are made of.
impl KvCache {
    pub(super) fn key(&self, key: impl AsKey) -> Result<Key> {
        key.as_key().inspect_err(|_| {
            self.0.counters.invalid_keys.bump();
            self.0.counters.errors.bump();
        })
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

impl fmt::Debug for KvCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvCache")
            .field("name", &self.0.name)
            .field("options", &self.0.options)
            .field("is_enabled", &self.is_enabled())
            .finish_non_exhaustive()
    }
}
