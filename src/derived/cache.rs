//! `DerivedCache`: results that know what they were made from. A result is answered only while each of its
//! sources is what it was when the result was made; that is asked anew each time, so nothing depends on
//! whether anybody told of a change, in this process, in another one, or while none was running.
//!
//! What is told takes the results out at once: a graph finds those that a change is about.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::departed::Departed;
use super::stamp::{Seen, Witness};
use crate::cache::{Cache, CacheReport, CacheUsage, Scope};
use crate::dependencies::{DependencyGraph, Source};
use crate::error::Result;
use crate::health::Health;
use crate::kv::KvCache;
use crate::primitives::atomic::{AtomicU64, Ordering};
use crate::stats::Counter;
use crate::tier::{Key, Lifetime};

/// How often a result is asked for anew that is no longer true when it comes, before the caller makes it
/// himself and keeps it from nobody else.
const TRIES: usize = 8;
/// The most sources of one result: with more it is not kept.
const MOST_SOURCES: usize = 1000;

/// Results over a cache that nobody else writes to. A handle: clones are the same cache.
#[derive(Clone)]
pub struct DerivedCache(Arc<Core>);

struct Core {
    kv: KvCache,
    witness: Arc<dyn Witness>,
    graph: DependencyGraph,
    /// The number of the last result that was made here.
    made: AtomicU64,
    /// How many results had edges after they were looked through the last time.
    left: AtomicU64,
    /// What the tiers said has left since then.
    departed: Arc<Departed>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    outdated: Counter,
    unkept: Counter,
    invalidated: Counter,
}

/// What it has done since the start, beside what the cache below it tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DerivedStats {
    /// Results that were found and not answered, as a source of theirs had changed.
    pub outdated: u64,
    /// Results that were made and not kept: a source changed meanwhile, or nobody would hear of it.
    pub unkept: u64,
    /// Results that were taken out because they were told of a change.
    pub invalidated: u64,
    /// Results in the graph, and what they were made from, counted for each.
    pub held: usize,
    /// See [`DerivedStats::held`].
    pub edges: usize,
}

/// A result as it is kept.
#[derive(Serialize, Deserialize)]
struct Made<T> {
    #[serde(rename = "h")]
    head: Head,
    #[serde(rename = "v")]
    value: T,
}

/// What a result was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    /// Tells it from every other result of the key.
    #[serde(rename = "n")]
    number: (u64, u64),
    /// Whether it may be answered to anybody but those whose call made it.
    #[serde(rename = "k")]
    is_kept: bool,
    #[serde(rename = "f")]
    from: Vec<Seen>,
    /// Other results, by key and number.
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    entries: Vec<(String, (u64, u64))>,
}

/// What a result is being made from: to be told of each source before it is read.
#[derive(Debug)]
pub struct Making<'c> {
    cache: &'c DerivedCache,
    from: Vec<Seen>,
    entries: Vec<(Key, (u64, u64))>,
    is_kept: bool,
}

impl Making<'_> {
    /// The result is made from this file or directory, which is not read yet. A source that nobody can
    /// vouch for keeps the result from being kept.
    pub fn uses(&mut self, source: &Source) {
        if self.from.iter().any(|seen| seen.source == *source) {
            return;
        }
        let stamp = self.cache.0.witness.stamp(source);
        let stamp = stamp.inspect_err(|error| tracing::debug!("a source is not known: {error:#}"));
        match stamp {
            Ok(Some(stamp)) if self.from.len() < MOST_SOURCES => self.from.push(Seen {
                source: source.clone(),
                stamp,
            }),
            _ => self.is_kept = false,
        }
    }

    /// Another result, as [`DerivedCache::run`] answers it, from which this one is made, and so from all
    /// that that was made from.
    ///
    /// # Errors
    /// Those of [`DerivedCache::run`].
    pub fn run<T: Serialize + DeserializeOwned>(
        &mut self,
        key: &Key,
        lifetime: Lifetime,
        sources: &[Source],
        make: impl FnOnce(&mut Making<'_>) -> Result<T>,
    ) -> Result<T> {
        let made = self.cache.made(key, lifetime, sources, make)?;
        let head = made.head;
        if !head.is_kept || self.from.len() + head.from.len() > MOST_SOURCES {
            self.is_kept = false;
            return Ok(made.value);
        }
        for seen in head.from {
            // Twice, if it was seen to be another one before: then it is not still both.
            if !self.from.contains(&seen) {
                self.from.push(seen);
            }
        }
        self.entries.push((key.clone(), head.number));
        Ok(made.value)
    }

    /// It is not to be kept, whatever its sources are.
    pub fn keep_nothing(&mut self) {
        self.is_kept = false;
    }

    fn head(self) -> Head {
        let core = &self.cache.0;
        let is_kept = self.is_kept && self.cache.is_still(&self.from);
        let entries = self.entries.into_iter();
        Head {
            number: (nonce(), core.made.fetch_add(1, Ordering::Relaxed)),
            is_kept,
            from: self.from,
            entries: entries
                .map(|(key, number)| (key.to_string(), number))
                .collect(),
        }
    }
}

/// Tells this process' results from those of others: random, and the same as long as it lives.
fn nonce() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    static NONCE: std::sync::LazyLock<u64> =
        std::sync::LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    // JSON's numbers are exact up to here in every reader.
    *NONCE >> 11
}

impl DerivedCache {
    /// Results in a cache that holds nothing else, and a witness of their sources.
    pub fn new(kv: KvCache, witness: Arc<dyn Witness>) -> Self {
        let departed = Arc::<Departed>::default();
        let noted = Arc::clone(&departed);
        kv.tier().on_departure(Arc::new(move |key| noted.note(key)));
        DerivedCache(Arc::new(Core {
            kv,
            witness,
            graph: DependencyGraph::new(),
            made: AtomicU64::default(),
            left: AtomicU64::default(),
            departed,
            counters: Counters::default(),
        }))
    }

    /// The result of the key, made from these files and directories and from what `make` tells of. One
    /// that is there is answered if each of its sources is as it was. Otherwise it is made, once for all
    /// who ask, and kept if no source changed meanwhile.
    ///
    /// # Errors
    /// That of `make`, and those of [`KvCache::get_or_load`]. A source that cannot be looked at keeps the
    /// result from being kept, and nothing else.
    pub fn run<T: Serialize + DeserializeOwned>(
        &self,
        key: &Key,
        lifetime: Lifetime,
        sources: &[Source],
        make: impl FnOnce(&mut Making<'_>) -> Result<T>,
    ) -> Result<T> {
        let made = self.made(key, lifetime, sources, make);
        self.forget_departed();
        made.map(|made| made.value)
    }

    fn made<T: Serialize + DeserializeOwned>(
        &self,
        key: &Key,
        lifetime: Lifetime,
        sources: &[Source],
        make: impl FnOnce(&mut Making<'_>) -> Result<T>,
    ) -> Result<Made<T>> {
        let core = &*self.0;
        let mut make = Some(make);
        let mut build = |own: &mut bool| {
            let mut making = self.making(sources);
            let make = make.take().ok_or_else(made_twice)?;
            let value = make(&mut making)?;
            *own = true;
            let head = making.head();
            if !head.is_kept {
                // A write of the key keeps the cache from keeping it.
                core.counters.unkept.bump();
                // Where that fails it is kept, and answered to nobody.
                let _ = core.kv.delete(key);
                self.look_after(key);
            }
            Ok(Made { head, value })
        };
        let is_refused = |made: &Made<T>| {
            let refused = !self.is_true(&made.head);
            core.counters.outdated.add(refused.into());
            refused
        };
        for _ in 0..TRIES {
            let mut own = false;
            let made = core
                .kv
                .get_or_load_unless(key, lifetime, is_refused, || build(&mut own))?;
            if own {
                if made.head.is_kept {
                    self.note(key);
                }
                return Ok(made);
            }
            // What somebody else made meanwhile may have been begun before a change that the caller
            // knows of.
            if self.is_true(&made.head) {
                if !core.graph.holds(key) {
                    self.note(key);
                }
                return Ok(made);
            }
        }
        build(&mut false)
    }

    fn making(&self, sources: &[Source]) -> Making<'_> {
        let mut making = Making {
            cache: self,
            from: Vec::new(),
            entries: Vec::new(),
            is_kept: true,
        };
        sources.iter().for_each(|source| making.uses(source));
        making
    }

    /// Whether the result may be answered now.
    fn is_true(&self, head: &Head) -> bool {
        let is_still = |(key, number): &(String, (u64, u64))| {
            let key = Key::new(key).ok();
            let head = key.and_then(|key| self.head(&key));
            head.is_some_and(|head| head.number == *number)
        };
        head.is_kept && self.is_still(&head.from) && head.entries.iter().all(is_still)
    }

    fn is_still(&self, from: &[Seen]) -> bool {
        self.0.witness.are_still(from).unwrap_or_else(|error| {
            tracing::debug!("a source is not known: {error:#}");
            false
        })
    }

    /// What the result of the key was made from, if there is one.
    fn head(&self, key: &Key) -> Option<Head> {
        let made = self.0.kv.peek::<Made<IgnoredAny>>(key);
        made.ok().flatten().map(|made| made.head)
    }

    /// Tells the graph of what there is under the key.
    fn note(&self, key: &Key) {
        let graph = &self.0.graph;
        let mut found = self.head(key);
        for _ in 0..TRIES {
            let Some(head) = found else {
                break;
            };
            let sources: Vec<Source> = head.from.into_iter().map(|seen| seen.source).collect();
            let entries = head.entries.iter();
            let entries: Vec<Key> = entries.filter_map(|(key, _)| Key::new(key).ok()).collect();
            graph.record(key, head.number.1, &sources, &entries);
            // It may have left since it was looked at, before the graph knew of it, or another one have
            // come in its place, whose edges these must not hide.
            found = self.head(key);
            if found.as_ref().is_some_and(|now| now.number == head.number) {
                break;
            }
        }
        if found.is_none() {
            self.look_after(key);
        }
        self.sweep_many_edges();
    }

    /// Takes the edges of results out that have left, as their tier told.
    fn forget_departed(&self) {
        // Switched off, it would say of every key that it has none.
        if self.0.kv.is_enabled() {
            let left = self.0.departed.take();
            left.iter().for_each(|key| self.look_after(key));
        }
    }

    /// Takes the edges that the key has out, unless their result is there.
    fn look_after(&self, key: &Key) {
        if let Some(number) = self.0.graph.version(key) {
            self.forget_if_departed(key, number);
        }
    }

    /// Takes the edges of a result out, unless it is there; whether it has left.
    fn forget_if_departed(&self, key: &Key, number: u64) -> bool {
        let head = self.head(key);
        let is_departed = head.is_none_or(|head| head.number.1 != number);
        if is_departed {
            self.0.graph.forget(key, number);
        }
        is_departed
    }

    /// Takes the edges of results out that are no longer there, each time that there are twice as many as
    /// were left the last time: a server does not tell what leaves it, nor what a damaged file has lost.
    fn sweep_many_edges(&self) {
        let (held, _) = self.0.graph.len();
        let left = self.0.left.load(Ordering::Relaxed);
        if held as u64 > 2 * left + 64 {
            self.sweep_edges();
            let (held, _) = self.0.graph.len();
            self.0.left.store(held as u64, Ordering::Relaxed);
        }
    }

    /// Takes the edges of results out that are no longer there; how many results that were.
    pub fn sweep_edges(&self) -> usize {
        let held = self.0.graph.held().into_iter();
        held.filter(|(key, number)| self.forget_if_departed(key, *number))
            .count()
    }

    /// Takes these results out, and those that were made from them; how many left.
    ///
    /// # Errors
    /// Whatever keeps the cache from forgetting.
    pub fn remove(&self, keys: &[Key]) -> Result<usize> {
        let mut all = self.0.graph.dependants_of_entries(keys);
        all.retain(|key| !keys.contains(key));
        all.extend_from_slice(keys);
        self.take_out(&all)
    }

    fn take_out(&self, keys: &[Key]) -> Result<usize> {
        let mut left = 0;
        for key in keys {
            left += usize::from(self.0.kv.delete(key)?);
            self.0.graph.forget_any(key);
        }
        self.0.counters.invalidated.add(left as u64);
        Ok(left)
    }

    /// The cache in which the results are.
    pub fn kv(&self) -> &KvCache {
        &self.0.kv
    }

    /// How it does: as the cache in which the results are.
    pub fn health(&self) -> Health {
        self.0.kv.health()
    }

    /// What it has done since the start.
    pub fn derived_stats(&self) -> DerivedStats {
        self.forget_departed();
        let (core, (held, edges)) = (&self.0, self.0.graph.len());
        DerivedStats {
            outdated: core.counters.outdated.get(),
            unkept: core.counters.unkept.get(),
            invalidated: core.counters.invalidated.get(),
            held,
            edges,
        }
    }
}

fn made_twice() -> crate::error::Error {
    let message = "a result was to be made twice by one call";
    crate::error::Error::new(crate::error::ErrorKind::Internal, message)
}

/// Results that this process has not met since it began are not known to the graph: an invalidation leaves
/// them where they are, on disk or in Redis, and they are not answered when they are asked for.
impl Cache for DerivedCache {
    fn name(&self) -> &str {
        self.0.kv.name()
    }

    fn usage(&self) -> CacheUsage {
        self.0.kv.usage()
    }

    fn evict(&self, entries: usize) -> Result<usize> {
        let left = self.0.kv.evict(entries)?;
        drop(self.0.departed.take());
        self.sweep_edges();
        Ok(left)
    }

    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        let about = self.0.graph.dependants(scope)?;
        self.take_out(&about)
    }

    fn clear(&self) -> Result<()> {
        self.0.kv.clear()?;
        self.0.graph.clear();
        Ok(())
    }

    fn stats(&self) -> Result<CacheReport> {
        Cache::stats(&self.0.kv)
    }
}

impl fmt::Debug for DerivedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DerivedCache")
            .field("kv", &self.0.kv)
            .field("witness", &self.0.witness)
            .finish_non_exhaustive()
    }
}
