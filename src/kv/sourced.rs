//! `SourcedCache`: a cache with the source of its values, read and written by a strategy.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::KvCache;
use super::envelope::Envelope;
use super::finite::Finite;
use super::key::AsKey;
use super::load::{Made, Order, another_type};
use super::pooled::Maker;
use super::source::Source;
use super::strategy::CacheStrategy;
#[cfg(feature = "sqlite")]
use super::write_behind::{Operation, Outcome, Sink, WriteBehind};
use crate::error::{Error, ErrorKind, Result};
use crate::key_turns::KeyTurns;
use crate::panics::caught;
use crate::tier::{Key, Lifetime};

/// The longest that a writer waits for others of the same key, who wait for the source.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cache with the source of its values. A handle: clones are the same.
///
/// A value that is missing is read from the source on one of the cache's threads, once for all who ask,
/// and waited for at most for [`KvOptions::load_timeout`](super::KvOptions::load_timeout). Values live for
/// the cache's default lifetime.
///
/// Whoever writes the source otherwise tells the cache, by [`KvCache::delete`] for example.
#[derive(Clone)]
pub struct SourcedCache(Arc<Inner>);

struct Inner {
    cache: KvCache,
    /// What is asked for a value: the source, or the journal before it.
    reads: Arc<Reads>,
    strategy: CacheStrategy,
    /// Those who write a key to the source and into the cache do both before the next one.
    turns: KeyTurns,
}

struct Reads {
    source: Arc<dyn Source>,
    #[cfg(feature = "sqlite")]
    journal: Option<Arc<WriteBehind>>,
}

impl SourcedCache {
    /// A cache over a source, by any strategy but write-behind.
    ///
    /// # Errors
    /// `InvalidConfig` for write-behind, which needs a journal, and for refresh-ahead if the cache's
    /// options do not say when.
    pub fn new(cache: KvCache, source: Arc<dyn Source>, strategy: CacheStrategy) -> Result<Self> {
        let refuse = |what: &str, help: &str| {
            let message = format!("the cache `{}` {what}", cache.name());
            Err(Error::new(ErrorKind::InvalidConfig, message).with_help(help))
        };
        if strategy == CacheStrategy::WriteBehind {
            return refuse("has no journal to write behind", "give it one");
        }
        let ahead = cache.options().refresh_ahead.as_f64();
        if strategy == CacheStrategy::RefreshAhead && ahead == 0.0 {
            let help = "give refresh_ahead a share of the lifetime, for example 0.2";
            return refuse("is to be refreshed ahead of nothing", help);
        }
        let reads = Reads {
            source,
            #[cfg(feature = "sqlite")]
            journal: None,
        };
        Ok(Self::over(cache, reads, strategy))
    }

    /// A cache whose writes go to its source by a journal: see [`WriteBehind`]. The journal delivers to
    /// the same source: see [`SourceSink`].
    #[cfg(feature = "sqlite")]
    pub fn behind(cache: KvCache, source: Arc<dyn Source>, journal: Arc<WriteBehind>) -> Self {
        let reads = Reads {
            source,
            journal: Some(journal),
        };
        Self::over(cache, reads, CacheStrategy::WriteBehind)
    }

    fn over(cache: KvCache, reads: Reads, strategy: CacheStrategy) -> Self {
        SourcedCache(Arc::new(Inner {
            cache,
            reads: Arc::new(reads),
            strategy,
            turns: KeyTurns::new(PATIENCE),
        }))
    }

    /// The value of the key, from the cache or from the source; `None` if neither has it.
    ///
    /// # Errors
    /// Those of [`KvCache::get_or_load`]; `TimedOut` if the source takes too long: the load goes on.
    pub fn get<T: DeserializeOwned>(&self, key: impl AsKey) -> Result<Option<T>> {
        let cache = &self.0.cache;
        let key = cache.key(key)?;
        let term = cache.counted(cache.loaded_term(Lifetime::Default))?;
        let began = cache.begins();
        let found = cache.is_enabled().then(|| cache.look(&key)).flatten();
        let order = Order {
            before: found.as_ref().map(|found| found.entry.version),
            key,
            term,
        };
        let counters = &cache.0.counters;
        if let Some(found) = &found {
            let (is_stale, options) = (found.entry.is_stale(), cache.options());
            let answers = !is_stale || options.stale_while_revalidate;
            let read = || cache.read(&order.key, found, Envelope::read);
            if let Some(value) = answers.then(read).flatten() {
                cache.asked(true, began);
                counters.stale_answers.add(is_stale.into());
                if is_stale || cache.is_early(found, Lifetime::Default) {
                    let make = self.maker(&order.key);
                    cache.refresh_behind(order, make);
                }
                return Ok(Some(value));
            }
        }
        cache.asked(false, began);
        let stale = found.filter(|found| found.entry.is_stale());
        let made = cache.load_behind(&order, &self.maker(&order.key), stale.as_ref())?;
        let read = |made: Envelope| made.read().ok_or_else(|| another_type::<T>(&order.key));
        made.map(read).transpose()
    }

    /// The values of the keys, in their order: those that are missing are read by one call of the
    /// source, on the caller's thread. So are those that are stale, whatever the options say of stale
    /// values; none is refreshed before its end.
    ///
    /// # Errors
    /// For each key those of [`SourcedCache::get`].
    pub fn get_many<T: DeserializeOwned>(&self, keys: &[impl AsKey]) -> Vec<Result<Option<T>>> {
        let reads = &self.0.reads;
        let lifetime = Lifetime::Default;
        let values = self
            .0
            .cache
            .get_many_or_load(keys, lifetime, |keys| reads.load_many(keys));
        let typed = values.into_iter().map(|value| {
            let Some(value) = value? else {
                return Ok(None);
            };
            let typed = serde_json::from_value(value).map(Some);
            typed.map_err(|cause| {
                let asked = std::any::type_name::<T>();
                let message = format!("a value that was loaded is no {asked}");
                Error::new(ErrorKind::InvalidInput, message).because(cause)
            })
        });
        typed.collect()
    }

    /// Writes a value, by the strategy. When this returns, the value is in the source (in the journal, by
    /// write-behind), and nobody finds an older one here.
    ///
    /// # Errors
    /// That of the source, or of the journal: whether it has the value is not known then, and the cache
    /// has forgotten the key. `CommittedNotApplied` if the source has it, and the cache could not be told:
    /// it may answer with an older one.
    pub fn set<T: Serialize + ?Sized>(&self, key: impl AsKey, value: &T) -> Result<()> {
        let key = self.0.cache.key(key)?;
        let value = serde_json::to_value(Finite(value)).map_err(|cause| {
            let message = format!("the value for {key} cannot be written as JSON");
            Error::new(ErrorKind::InvalidInput, message).because(cause)
        })?;
        self.write(&key, Some(&value))
    }

    /// Forgets a value, in the source and in the cache, in the same way.
    ///
    /// # Errors
    /// Those of [`SourcedCache::set`].
    pub fn delete(&self, key: impl AsKey) -> Result<()> {
        let key = self.0.cache.key(key)?;
        self.write(&key, None)
    }

    /// The cache.
    pub fn cache(&self) -> &KvCache {
        &self.0.cache
    }

    /// How the source is read and written.
    pub fn strategy(&self) -> CacheStrategy {
        self.0.strategy
    }

    fn write(&self, key: &Key, value: Option<&Value>) -> Result<()> {
        let cache = &self.0.cache;
        let _turn = cache.counted(self.0.turns.take(key))?;
        if let Err(error) = caught(ErrorKind::Internal, || self.write_source(key, value)) {
            // The source may have it or not. If the cache cannot forget now, it says so itself.
            let _ = cache.delete(key);
            return cache.counted(Err(error.prefixed(&format!("the source of {key}"))));
        }
        let puts = matches!(
            self.0.strategy,
            CacheStrategy::WriteThrough | CacheStrategy::WriteBehind
        );
        let told = match value.filter(|_| puts) {
            Some(value) => cache.set(key, value, Lifetime::Default),
            None => cache.delete(key),
        };
        told.map(drop).map_err(|cause| {
            let message = format!("{key} is written, but not in the cache");
            Error::new(ErrorKind::CommittedNotApplied, message)
                .with_help("do not write it again: delete the key here when the cache is back")
                .because(cause)
        })
    }

    fn write_source(&self, key: &Key, value: Option<&Value>) -> Result<()> {
        #[cfg(feature = "sqlite")]
        if let Some(journal) = &self.0.reads.journal {
            let cache = &*self.0.cache.0;
            let bytes = value.map(|value| value.to_string().into_bytes().into());
            let version = cache.versions.next(&*cache.clock);
            return journal.write(key, bytes, version).map(drop);
        }
        match value {
            Some(value) => self.0.reads.source.store(key, value),
            None => self.0.reads.source.delete(key),
        }
    }

    /// How the value of a key is made.
    fn maker(&self, key: &Key) -> Maker {
        let (reads, key) = (Arc::clone(&self.0.reads), key.clone());
        let (clock, schema) = (
            Arc::clone(&self.0.cache.0.clock),
            self.0.cache.options().schema,
        );
        Arc::new(move || -> Made {
            let began = clock.elapsed();
            // All who wait have the same source: its panic is the error of all.
            let value = caught(ErrorKind::Internal, || reads.load(&key))
                .map_err(|error| error.prefixed(&format!("the source of {key}")))?;
            let cost = clock.elapsed().saturating_sub(began);
            let seal = |value: Value| Envelope::json(&value, schema, cost);
            value.map(seal).transpose()
        })
    }
}

impl Reads {
    fn load(&self, key: &Key) -> Result<Option<Value>> {
        match self.pending(key) {
            Some(pending) => pending,
            None => self.source.load(key),
        }
    }

    fn load_many(&self, keys: &[Key]) -> Result<std::collections::HashMap<Key, Value>> {
        let (mut values, mut asked) = (std::collections::HashMap::new(), Vec::new());
        for key in keys {
            match self.pending(key) {
                None => asked.push(key.clone()),
                Some(pending) => values.extend(pending?.map(|value| (key.clone(), value))),
            }
        }
        if !asked.is_empty() {
            values.extend(self.source.load_many(&asked)?);
        }
        Ok(values)
    }

    /// What is on its way to the source, which does not have it yet.
    #[cfg(feature = "sqlite")]
    fn pending(&self, key: &Key) -> Option<Result<Option<Value>>> {
        let operation = self.journal.as_ref()?.pending(key)?.operation;
        let value = operation.value.map(|bytes| parsed(key, &bytes));
        Some(value.transpose())
    }

    #[cfg(not(feature = "sqlite"))]
    fn pending(&self, _: &Key) -> Option<Result<Option<Value>>> {
        None
    }
}

#[cfg(feature = "sqlite")]
fn parsed(key: &Key, bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|cause| {
        let message = format!("what is written behind under {key} is no JSON");
        Error::new(ErrorKind::InvalidInput, message).because(cause)
    })
}

/// A source as the sink of a journal: each operation is a write of its own, in order.
#[cfg(feature = "sqlite")]
pub struct SourceSink(pub Arc<dyn Source>);

#[cfg(feature = "sqlite")]
impl Sink for SourceSink {
    fn apply(&self, operations: &[Operation]) -> Vec<Outcome> {
        let apply = |operation: &Operation| match &operation.value {
            Some(bytes) => self
                .0
                .store(&operation.key, &parsed(&operation.key, bytes)?),
            None => self.0.delete(&operation.key),
        };
        operations.iter().map(|one| apply(one).into()).collect()
    }
}

#[cfg(feature = "sqlite")]
impl fmt::Debug for SourceSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceSink").finish_non_exhaustive()
    }
}

impl fmt::Debug for SourcedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourcedCache")
            .field("cache", &self.0.cache)
            .field("strategy", &self.0.strategy)
            .finish_non_exhaustive()
    }
}
