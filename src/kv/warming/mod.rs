//! Warming: values are made before anybody asks for them, by loaders that have a name, a few at a time and
//! no faster than a rate. What was changed while a loader worked is not kept from it, and what is hot does
//! not leave for what might be asked for.
//!
//! ```
//! use std::sync::Arc;
//!
//! use cardex::SystemClock;
//! use cardex::kv::warming::{Warmer, WarmerOptions, Warmth};
//! use cardex::kv::{KvCache, KvOptions};
//! use cardex::tier::{MemoryTier, MemoryTierOptions};
//!
//! let clock = Arc::new(SystemClock);
//! let tier = Arc::new(MemoryTier::new("pages", MemoryTierOptions::default(), clock.clone()));
//! let cache = KvCache::new("pages", KvOptions::default(), tier, clock.clone());
//! let warmer = Warmer::new(cache.clone(), WarmerOptions::default(), clock);
//! warmer.loader("front", |_| Warmth::one(&"welcome"))?;
//! warmer.loader("pages", |_| Warmth::many([("page:1", "one"), ("page:2", "two")]))?;
//! let report = warmer.warm()?;
//! assert_eq!((report.kept(), report.is_complete()), (3, true));
//! assert_eq!(cache.get::<String>("page:2")?.as_deref(), Some("two"));
//! # Ok::<(), cardex::Error>(())
//! ```

mod pacer;
mod report;
mod room;
mod round;
#[cfg(feature = "cli")]
mod schedule;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use self::pacer::Pacer;
pub use self::report::{Warmed, WarmingReport};
use self::round::Round;
#[cfg(feature = "cli")]
pub use self::schedule::WarmingSchedule;
use super::KvCache;
use super::finite::Finite;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::passes::Passes;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::primitives::{Mutex, RwLock};
use crate::ratio::Ratio;
use crate::tier::Lifetime;

/// The most loaders at work.
pub const MAX_WARMING_WORKERS: usize = 10;
/// The most loaders of a warmer.
const MAX_LOADERS: usize = 1000;
/// How many reports are kept.
const REPORTS_KEPT: usize = 10;

/// How a cache is warmed. Options can only be valid: what is out of range is refused when it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmerOptions {
    workers: usize,
    rate: u32,
    share: Ratio,
    lifetime: Lifetime,
    timeout: Duration,
}

impl Default for WarmerOptions {
    /// 10 loaders at work, 1000 entries a second, a tenth of the cache where others must leave for them,
    /// the cache's own lifetime, ten minutes for a round.
    fn default() -> Self {
        WarmerOptions {
            workers: MAX_WARMING_WORKERS,
            rate: 1000,
            share: Ratio::percent(10),
            lifetime: Lifetime::Default,
            timeout: Duration::from_secs(600),
        }
    }
}

impl WarmerOptions {
    /// At most this many loaders work at the same time, 1 to 10.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn workers(mut self, workers: usize) -> Result<Self> {
        if !(1..=MAX_WARMING_WORKERS).contains(&workers) {
            return Err(Error::out_of_range("warming.workers", workers, "1 to 10"));
        }
        self.workers = workers;
        Ok(self)
    }

    /// At most this many entries are put in any second, 1 to 1,000,000.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn rate(mut self, entries: u32) -> Result<Self> {
        if !(1..=1_000_000).contains(&entries) {
            return Err(Error::out_of_range("warming.rate", entries, "1 to 1000000"));
        }
        self.rate = entries;
        Ok(self)
    }

    /// When the cache is full, a round puts at most this share of what it may hold, by count and by
    /// bytes; 0.0 to 1.0.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn share(mut self, share: f64) -> Result<Self> {
        let ratio = Ratio::new(share);
        let refuse = || Error::out_of_range("warming.share", share, "0.0 to 1.0");
        self.share = ratio.ok_or_else(refuse)?;
        Ok(self)
    }

    /// How long what was warmed lives.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// What a round takes at most. Loaders that are not done then are left behind, and nothing of theirs
    /// is kept any more.
    ///
    /// # Errors
    /// `InvalidConfig` if it is 0.
    pub fn timeout(mut self, time: Duration) -> Result<Self> {
        if time.is_zero() {
            let range = "a positive duration";
            return Err(Error::out_of_range("warming.timeout", "0s", range));
        }
        self.timeout = time;
        Ok(self)
    }
}

/// What a loader made.
#[derive(Clone, Debug, PartialEq)]
pub struct Warmth(Made);

#[derive(Clone, Debug, PartialEq)]
enum Made {
    One(Value),
    Many(Vec<(String, Value)>),
}

impl Warmth {
    /// One value, under the name of the loader.
    ///
    /// # Errors
    /// `InvalidInput` if JSON cannot hold it.
    pub fn one(value: &(impl Serialize + ?Sized)) -> Result<Self> {
        Ok(Warmth(Made::One(json(value)?)))
    }

    /// Many values under keys of their own.
    ///
    /// # Errors
    /// `InvalidInput` if JSON cannot hold one of them.
    pub fn many<K: Into<String>, V: Serialize>(
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self> {
        let entries = entries.into_iter();
        let entries = entries.map(|(key, value)| Ok((key.into(), json(&value)?)));
        Ok(Warmth(Made::Many(entries.collect::<Result<_>>()?)))
    }
}

fn json(value: &(impl Serialize + ?Sized)) -> Result<Value> {
    serde_json::to_value(Finite(value)).map_err(|cause| {
        let message = "a warmed value cannot be written as JSON";
        Error::new(ErrorKind::InvalidInput, message).because(cause)
    })
}

/// Tells a loader that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub struct StopSign(Arc<AtomicBool>);

impl StopSign {
    /// Whether what it makes would be thrown away.
    pub fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

type Loader = Arc<dyn Fn(&StopSign) -> Result<Warmth> + Send + Sync>;

/// A loader and its name.
#[derive(Clone)]
struct Named {
    name: String,
    loader: Loader,
}

/// Warms one cache.
pub struct Warmer {
    cache: KvCache,
    options: WarmerOptions,
    clock: Arc<dyn Clock>,
    pacer: Arc<Pacer>,
    loaders: RwLock<Vec<Named>>,
    rounds: Passes<Arc<WarmingReport>>,
    /// The round that is made now.
    running: Mutex<Option<Arc<Round>>>,
    reports: Mutex<VecDeque<Arc<WarmingReport>>>,
}

impl Warmer {
    /// One without loaders. Its cache is to be in memory, or on disk: of what other processes change in
    /// a tier that they share, nothing is known here, and nothing is kept there.
    pub fn new(cache: KvCache, options: WarmerOptions, clock: Arc<dyn Clock>) -> Self {
        Warmer {
            cache,
            pacer: Arc::new(Pacer::new(options.rate)),
            options,
            clock,
            loaders: RwLock::default(),
            rounds: Passes::default(),
            running: Mutex::default(),
            reports: Mutex::default(),
        }
    }

    /// Adds a loader. Its name is also the key of the value that it makes, if it makes just one.
    ///
    /// # Errors
    /// `InvalidInput` if there is one of that name; `Full` above a thousand.
    pub fn loader(
        &self,
        name: impl Into<String>,
        loader: impl Fn(&StopSign) -> Result<Warmth> + Send + Sync + 'static,
    ) -> Result<()> {
        let (name, loader) = (name.into(), Arc::new(loader));
        let mut loaders = self.loaders.write();
        if loaders.iter().any(|one| one.name == name) {
            let message = format!("there is a loader `{name}` already");
            return Err(Error::new(ErrorKind::InvalidInput, message)
                .with_help("give each loader a name of its own"));
        }
        if loaders.len() == MAX_LOADERS {
            let message = format!("`{name}` would be more than {MAX_LOADERS} loaders");
            return Err(
                Error::new(ErrorKind::Full, message).with_help("let one loader make many values")
            );
        }
        loaders.push(Named { name, loader });
        Ok(())
    }

    /// Calls every loader, keeps what they make, and tells what came of each. While a round is made,
    /// others who ask get what comes of that one.
    ///
    /// # Errors
    /// `Io` if no thread can be started; `Internal` from within a loader. Errors of loaders are in the
    /// report.
    pub fn warm(&self) -> Result<Arc<WarmingReport>> {
        self.rounds
            .join(|| self.make_round(&AtomicBool::new(false)))
    }

    /// As [`Warmer::warm`], in a round that ends when the flag is up and [`Warmer::stop`] is called after
    /// that, also if it begins in between.
    #[cfg(feature = "cli")]
    fn warm_until(&self, ended: &AtomicBool) -> Result<Arc<WarmingReport>> {
        self.rounds.join(|| self.make_round(ended))
    }

    /// Ends the round that is made now: whoever waits for it has its report within a second, loaders see
    /// their [`StopSign`], and nothing is put any more.
    pub fn stop(&self) {
        if let Some(round) = &*self.running.lock() {
            round.stop();
        }
    }

    /// The last reports, the newest first, at most ten.
    pub fn reports(&self) -> Vec<Arc<WarmingReport>> {
        self.reports.lock().iter().rev().cloned().collect()
    }

    fn make_round(&self, ended: &AtomicBool) -> Result<Arc<WarmingReport>> {
        let loaders = self.loaders.read().clone();
        let (at, began) = (self.clock.now(), self.clock.elapsed());
        let round = Round::new(self, loaders);
        *self.running.lock() = Some(Arc::clone(&round));
        if ended.load(Ordering::SeqCst) {
            round.stop();
        }
        let outcome = round.make(self.options.workers, self.options.timeout);
        *self.running.lock() = None;
        let took = self.clock.elapsed().saturating_sub(began);
        let report = Arc::new(WarmingReport {
            at,
            took_ms: took.as_secs_f64() * 1000.0,
            loaders: outcome?,
        });
        for failed in report.loaders.iter().filter(|one| one.error.is_some()) {
            let cache = self.cache.name();
            tracing::warn!(cache, "warming {failed}");
        }
        let mut reports = self.reports.lock();
        if reports.len() == REPORTS_KEPT {
            reports.pop_front();
        }
        reports.push_back(Arc::clone(&report));
        Ok(report)
    }
}

impl Drop for Warmer {
    /// Loaders that are left behind by an earlier round put nothing either.
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Warmer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let loaders = self.loaders.read();
        let names: Vec<&String> = loaders.iter().map(|one| &one.name).collect();
        f.debug_struct("Warmer")
            .field("cache", &self.cache)
            .field("options", &self.options)
            .field("loaders", &names)
            .finish_non_exhaustive()
    }
}
