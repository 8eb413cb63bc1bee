//! The invalidation bus: one type of event from the database, the file system, other processes and
//! callers, to every cache and every hook. Whoever publishes never waits; what waits is bounded, equal
//! events wait once, and too many of a scope become all of that scope.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use cardex::SystemClock;
//! use cardex::bus::{Invalidation, InvalidationBus};
//! use cardex::kv::{KvCache, KvOptions};
//! use cardex::tier::{KeyPattern, Lifetime, MemoryTier, MemoryTierOptions};
//!
//! let clock = Arc::new(SystemClock);
//! let tier = Arc::new(MemoryTier::new("users", MemoryTierOptions::default(), clock.clone()));
//! let users = KvCache::new("users", KvOptions::default(), tier, clock.clone());
//! users.set("7:name", &"Ada", Lifetime::Default)?;
//!
//! let bus = InvalidationBus::new(clock)?;
//! bus.subscribe_keys(Arc::new(users.clone()))?;
//! bus.hook("audit", |invalidation| {
//!     println!("{}: {}", invalidation.cause, invalidation.what);
//!     Ok(())
//! })?;
//! bus.publish(Invalidation::keys("users", KeyPattern::new("7:*")?, "user 7 was renamed"));
//! assert!(bus.settle(Duration::from_secs(5)));
//! assert!(!users.exists("7:name")?);
//! # Ok::<(), cardex::Error>(())
//! ```

mod event;
mod files;
mod keyed;
mod lane;
mod queue;
#[cfg(feature = "redis")]
mod redis;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

pub use self::event::{Invalidation, MAX_SCOPES, Origin, Reach, What, full_key};
pub use self::files::FileChanges;
#[cfg(feature = "watch")]
pub(crate) use self::files::scopes_of;
pub use self::keyed::KeyedCache;
use self::lane::Lane;
#[cfg(feature = "redis")]
pub use self::redis::{BusOptions, RedisBus, RedisBusStats, Told};
use crate::cache::Cache;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::kv::invalidation::InvalidationLog;
use crate::panics::caught;
use crate::primitives::{Mutex, RwLock};
use crate::stats::Counter;

/// How many events wait in a lane at most; above that, details are forgotten.
const CAPACITY: usize = 1024;
/// Causes that are counted one by one at most; the others are counted together.
const MAX_CAUSES: usize = 64;
const OTHER_CAUSES: &str = "others";

/// Somebody else's part of an invalidation.
type Hook = Arc<dyn Fn(&Invalidation) -> Result<()> + Send + Sync>;

/// Takes events to whoever has subscribed. Three threads deliver: one what leaves this process's own
/// tiers, which asks no server; one what asks servers, or is made from files; one calls the hooks. None
/// holds up another, and the error or panic of one subscriber stops no other.
#[derive(Debug)]
pub struct InvalidationBus {
    hub: Arc<Hub>,
    copies: Lane,
    everywhere: Lane,
    hooks: Lane,
}

/// Who has subscribed, and what was done.
struct Hub {
    subscribers: RwLock<Subscribers>,
    log: InvalidationLog,
    published: Mutex<Published>,
    failures: Counter,
    hook_failures: Counter,
}

#[derive(Clone, Default)]
struct Subscribers {
    caches: Vec<Arc<dyn Cache>>,
    keyed: Vec<Arc<dyn KeyedCache>>,
    hooks: Vec<(String, Hook)>,
}

#[derive(Clone, Debug, Default)]
struct Published {
    by_origin: BTreeMap<&'static str, u64>,
    by_cause: BTreeMap<String, u64>,
}

/// What a bus has done since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BusStats {
    /// Events that were published, by the name of their origin.
    pub by_origin: BTreeMap<String, u64>,
    /// The same by their cause, of which 64 are told apart.
    pub by_cause: BTreeMap<String, u64>,
    /// Deliveries that were made once for several equal events.
    pub coalesced: u64,
    /// How often so many waited that details were forgotten.
    pub overflows: u64,
    /// How often a cache could not forget.
    pub failures: u64,
    /// How often a hook failed.
    pub hook_failures: u64,
    /// Deliveries that wait now.
    pub waiting: usize,
}

impl InvalidationBus {
    /// One that nobody has subscribed to.
    ///
    /// # Errors
    /// `Io` if its threads cannot be started.
    pub fn new(clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let hub = Arc::new(Hub {
            subscribers: RwLock::default(),
            log: InvalidationLog::new(clock),
            published: Mutex::default(),
            failures: Counter::default(),
            hook_failures: Counter::default(),
        });
        let lane = |name, deliver: fn(&Hub, &Invalidation)| {
            let hub = Arc::clone(&hub);
            Lane::new(name, CAPACITY, move |event| deliver(&hub, event))
        };
        Ok(Arc::new(InvalidationBus {
            copies: lane("bus-copies", Hub::forget_copies)?,
            everywhere: lane("bus-caches", Hub::forget)?,
            hooks: lane("bus-hooks", Hub::call_hooks)?,
            hub,
        }))
    }

    /// Has the cache invalidated when files have changed.
    ///
    /// # Errors
    /// `Coordinator` if its name is taken.
    pub fn subscribe(&self, cache: Arc<dyn Cache>) -> Result<()> {
        let mut subscribers = self.hub.subscribers.write();
        let names = subscribers.caches.iter().map(|cache| cache.name());
        check_new("cache of files", cache.name(), names)?;
        subscribers.caches.push(cache);
        Ok(())
    }

    /// Has the cache forget keys when somebody says so.
    ///
    /// # Errors
    /// `Coordinator` if its name is taken.
    pub fn subscribe_keys(&self, cache: Arc<dyn KeyedCache>) -> Result<()> {
        let mut subscribers = self.hub.subscribers.write();
        let names = subscribers.keyed.iter().map(|cache| cache.name());
        check_new("cache of keys", cache.name(), names)?;
        subscribers.keyed.push(cache);
        Ok(())
    }

    /// Has the hook called for every event, after it was published and beside the caches, by a thread
    /// of the bus. Its error or panic is logged, counted, and stops nobody.
    ///
    /// # Errors
    /// `Coordinator` if the name is taken.
    pub fn hook(
        &self,
        name: &str,
        hook: impl Fn(&Invalidation) -> Result<()> + Send + Sync + 'static,
    ) -> Result<()> {
        let mut subscribers = self.hub.subscribers.write();
        let names = subscribers.hooks.iter().map(|(name, _)| name.as_str());
        check_new("hook", name, names)?;
        subscribers.hooks.push((name.to_owned(), Arc::new(hook)));
        Ok(())
    }

    /// Lets the caches and the hook of this name go; whether there was any.
    pub fn unsubscribe(&self, name: &str) -> bool {
        let mut subscribers = self.hub.subscribers.write();
        let before = subscribers.len();
        let mut rest = subscribers.clone();
        rest.caches.retain(|cache| cache.name() != name);
        rest.keyed.retain(|cache| cache.name() != name);
        rest.hooks.retain(|(hook, _)| hook != name);
        let is_less = rest.len() < before;
        // What leaves is dropped outside of the lock: it may be somebody else's code.
        let left = std::mem::replace(&mut *subscribers, rest);
        drop(subscribers);
        drop(left);
        is_less
    }

    /// Lets the cache of keys of this name go.
    pub(crate) fn unsubscribe_keys(&self, name: &str) {
        let mut subscribers = self.hub.subscribers.write();
        let is_it = |cache: &Arc<dyn KeyedCache>| cache.name() == name;
        let place = subscribers.keyed.iter().position(is_it);
        let left = place.map(|place| subscribers.keyed.remove(place));
        // It is dropped outside of the lock: it may be somebody else's code.
        drop(subscribers);
        drop(left);
    }

    /// Tells everybody. Never waits: they hear of it in a moment, each event of a lane after those that
    /// were published before it. An event whose scopes make no sense is refused by each cache, and told.
    pub fn publish(&self, invalidation: Invalidation) {
        self.hub.count(&invalidation);
        match &invalidation.what {
            What::Files(_) => self.everywhere.push(invalidation.clone()),
            What::Keys { .. } => {
                self.copies.push(invalidation.clone());
                if invalidation.what.is_everywhere() {
                    self.everywhere.push(invalidation.clone());
                }
            }
            What::Revalidate { .. } => self.copies.push(invalidation.clone()),
        }
        self.hooks.push(invalidation);
    }

    /// Waits until what was published before has been delivered; false if that takes longer.
    pub fn settle(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        let lanes = [&self.copies, &self.everywhere, &self.hooks];
        let mut lanes = lanes.into_iter();
        lanes.all(|lane| lane.settle(end.saturating_duration_since(Instant::now())))
    }

    /// The last events as the caches made them, the newest first.
    pub fn log(&self) -> &InvalidationLog {
        &self.hub.log
    }

    /// What it has done since it was made.
    pub fn stats(&self) -> BusStats {
        let published = self.hub.published.lock().clone();
        let lanes = [&self.copies, &self.everywhere, &self.hooks];
        let counts = lanes.map(Lane::counts);
        let by_origin = published.by_origin.into_iter();
        BusStats {
            by_origin: by_origin.map(|(name, n)| (name.to_owned(), n)).collect(),
            by_cause: published.by_cause,
            coalesced: counts.iter().map(|counts| counts.coalesced).sum(),
            overflows: counts.iter().map(|counts| counts.overflows).sum(),
            failures: self.hub.failures.get(),
            hook_failures: self.hub.hook_failures.get(),
            waiting: lanes.map(Lane::waiting).iter().sum(),
        }
    }
}

impl Subscribers {
    fn len(&self) -> usize {
        self.caches.len() + self.keyed.len() + self.hooks.len()
    }
}

impl Hub {
    fn count(&self, invalidation: &Invalidation) {
        let mut published = self.published.lock();
        *published
            .by_origin
            .entry(invalidation.origin.name())
            .or_default() += 1;
        let causes = &mut published.by_cause;
        let is_new = !causes.contains_key(&invalidation.cause);
        let cause = match is_new && causes.len() >= MAX_CAUSES {
            true => OTHER_CAUSES,
            false => &invalidation.cause,
        };
        *causes.entry(cause.to_owned()).or_default() += 1;
    }

    /// What leaves the tiers of this process.
    fn forget_copies(&self, invalidation: &Invalidation) {
        let keyed = self.subscribers.read().keyed.clone();
        for cache in keyed {
            if let What::Revalidate { cache: name } = &invalidation.what {
                if name.as_ref().is_none_or(|name| name == cache.name()) {
                    let outcome = caught(ErrorKind::Internal, || cache.revalidate());
                    self.note(invalidation, cache.name(), "its copies", &outcome);
                }
                continue;
            }
            for pattern in invalidation.what.patterns_of(cache.name()) {
                let outcome = caught(ErrorKind::Internal, || cache.forget_copies(&pattern));
                // Otherwise the rest is still to be done, and tells of the whole.
                if !invalidation.what.is_everywhere() || outcome.is_err() {
                    self.note(invalidation, cache.name(), pattern.as_str(), &outcome);
                }
            }
        }
    }

    /// What leaves the tiers that others have, too, and what was made from files.
    fn forget(&self, invalidation: &Invalidation) {
        let subscribers = self.subscribers.read().clone();
        if let What::Files(scopes) = &invalidation.what {
            for cache in &subscribers.caches {
                let forget = || {
                    let left = scopes.iter().map(|scope| cache.invalidate(scope));
                    left.sum::<Result<usize>>()
                };
                let outcome = caught(ErrorKind::Internal, forget);
                let what = invalidation.what.to_string();
                self.note(invalidation, cache.name(), &what, &outcome);
            }
            return;
        }
        for cache in &subscribers.keyed {
            for pattern in invalidation.what.patterns_of(cache.name()) {
                let outcome = caught(ErrorKind::Internal, || cache.forget(&pattern));
                self.note(invalidation, cache.name(), pattern.as_str(), &outcome);
            }
        }
    }

    fn note(&self, event: &Invalidation, cache: &str, what: &str, outcome: &Result<usize>) {
        if let Err(error) = outcome {
            self.failures.bump();
            tracing::warn!(cache, what, "cannot forget: {error:#}");
        }
        let pattern = format!("{cache}: {what}");
        self.log.note(&event.cause, &pattern, outcome);
    }

    fn call_hooks(&self, invalidation: &Invalidation) {
        let hooks = self.subscribers.read().hooks.clone();
        for (name, hook) in hooks {
            let called = caught(ErrorKind::Internal, || hook(invalidation));
            if let Err(error) = called {
                self.hook_failures.bump();
                tracing::warn!(name, "a hook failed: {error:#}");
                let what = format!("the hook `{name}`");
                self.log.note(&invalidation.cause, &what, &Err(error));
            }
        }
    }
}

fn check_new<'n>(what: &str, name: &str, mut names: impl Iterator<Item = &'n str>) -> Result<()> {
    if names.all(|taken| taken != name) {
        return Ok(());
    }
    let message = format!("the bus has a {what} named `{name}` already");
    Err(Error::new(ErrorKind::Coordinator, message).with_help("let that one go first"))
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subscribers = self.subscribers.read();
        f.debug_struct("Hub")
            .field("subscribers", &subscribers.len())
            .finish_non_exhaustive()
    }
}
