//! `Caches`: one cache a type, made when it is first asked for, over the tiers of the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::KvCache;
use super::report::Report;
use super::source::Source;
use super::sourced::SourcedCache;
use super::stats::KvStats;
use super::strategy::CacheStrategy;
use super::tier_set::TierSet;
use super::types::CacheType;
use super::weak::WeakCache;
use super::wiring::Wiring;
#[cfg(feature = "sqlite")]
use super::write_behind::WriteBehind;
#[cfg(feature = "redis")]
use crate::bus::{BusOptions, RedisBusStats};
use crate::bus::{BusStats, Invalidation, InvalidationBus};
use crate::cache::{Cache, CacheReport};
use crate::clock::Clock;
use crate::coordinator::CacheCoordinator;
use crate::error::{Error, ErrorKind, Result};
use crate::health::{Health, HealthState, Reason};
use crate::panics::caught;
use crate::primitives::Mutex;
use crate::single_flight::Flights;
use crate::suggest;

/// The predefined type whose values are not kept.
const WEAK: &str = "weak_cache";
/// How many values it knows.
const WEAK_ITEMS: usize = 128;

/// Values of any type that somebody else owns.
pub type AnyWeakCache = WeakCache<dyn std::any::Any + Send + Sync>;

/// The caches of a program, one a type, on one bus: see [`Caches::bus`].
///
/// Dropped, it leaves the coordinator first, says good-bye to other processes, then lets go of the caches, in the reverse order of their
/// making, and of the tiers last. Whoever has a cache of it may keep it.
pub struct Caches {
    coordinator: Option<Arc<CacheCoordinator>>,
    state: Mutex<State>,
    making: Flights<String, KvCache>,
    weak: Arc<AnyWeakCache>,
    wiring: Wiring,
    clock: Arc<dyn Clock>,
    tiers: TierSet,
}

#[derive(Default)]
struct State {
    defined: BTreeMap<String, CacheType>,
    /// In the order of their making.
    made: Vec<KvCache>,
    /// Those that have a source.
    sourced: BTreeSet<String>,
    is_paused: bool,
    has_weak: bool,
    guests: Vec<Guest>,
}

/// Somebody who is shown each cache.
type Guest = Arc<dyn Fn(&KvCache) -> Result<()> + Send + Sync>;

/// What all caches hold and have done.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CachesStats {
    /// By name; or what keeps a cache from telling.
    pub caches: BTreeMap<String, Result<KvStats, String>>,
    /// Entries of all.
    pub total_entries: usize,
    /// Answered requests of all.
    pub hits: u64,
    /// Requests of all that were not answered.
    pub misses: u64,
    /// The answered share of all requests; 0.0 before the first.
    pub hit_rate: f64,
    /// What was told on the bus; `None` as long as there was nothing to tell.
    pub bus: Option<BusStats>,
    /// How this process stands among those that share the Redis server; `None` unless it has a cache that
    /// is shared.
    #[cfg(feature = "redis")]
    pub node: Option<RedisBusStats>,
}

impl Caches {
    /// Without a cache yet. Each one that is made is enrolled with the coordinator, if there is one and
    /// the cache is switched on.
    pub fn new(
        tiers: TierSet,
        coordinator: Option<Arc<CacheCoordinator>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Caches {
            coordinator,
            state: Mutex::default(),
            making: Flights::default(),
            weak: Arc::new(WeakCache::new(WEAK, WEAK_ITEMS)),
            wiring: Wiring::new(Arc::clone(&clock)),
            clock,
            tiers,
        }
    }

    /// The same, on a bus among the processes that share the Redis server of the tiers, if there is one:
    /// what one changes in a cache that they share, the others forget in their own tiers. `hears` if that
    /// is to be forgotten here, too. The node begins with the first such cache.
    #[cfg(feature = "redis")]
    pub(super) fn among_others(mut self, options: BusOptions, hears: bool) -> Self {
        if let Some(client) = self.tiers.redis_client().cloned() {
            self.wiring.add_others(client, options, hears);
        }
        self
    }

    /// Defines a type, or says otherwise of one that is predefined.
    ///
    /// # Errors
    /// `InvalidConfig` if there is a cache of it already, or another type has its prefix.
    pub fn define(&self, known: CacheType) -> Result<()> {
        let refuse = |what: String, help: &str| {
            Err(Error::new(ErrorKind::InvalidConfig, what).with_help(help))
        };
        let name = known.name();
        if CacheType::own_name(name) != name || name == WEAK {
            let what = format!("`{name}` is the name of something else");
            return refuse(what, "define it by another name");
        }
        let mut state = self.state.lock();
        if state.made.iter().any(|cache| cache.name() == name) {
            let what = format!("there is a cache `{name}` already");
            return refuse(what, "define types before their caches are asked for");
        }
        let prefix = known.its_prefix();
        if let Some(other) = state
            .types()
            .find(|other| other.its_prefix() == prefix && other.name() != name)
        {
            let what = format!("`{}` has the prefix {prefix:?} of `{name}`", other.name());
            return refuse(what, "give each type a prefix of its own");
        }
        state.defined.insert(name.to_owned(), known);
        Ok(())
    }

    /// Has each cache shown to the guest when it is made, before anybody has it, and before it is on the bus.
    /// One that he refuses is not made.
    ///
    /// # Errors
    /// `InvalidConfig` if there is a cache already.
    pub fn on_make(
        &self,
        guest: impl Fn(&KvCache) -> Result<()> + Send + Sync + 'static,
    ) -> Result<()> {
        let mut state = self.state.lock();
        if let Some(made) = state.made.first() {
            let message = format!("the cache `{}` is made already", made.name());
            return Err(Error::new(ErrorKind::InvalidConfig, message)
                .with_help("say who is shown caches before they are asked for"));
        }
        state.guests.push(Arc::new(guest));
        Ok(())
    }

    /// The cache of a type, by its name or another one that it has: the same one each time.
    ///
    /// # Errors
    /// `NotFound` if there is no such type; `InvalidConfig` if its backend is none that there is;
    /// `Coordinator` if somebody else has its name there; whatever keeps its tiers from being used.
    pub fn get(&self, name: &str) -> Result<KvCache> {
        let name = CacheType::own_name(name).to_owned();
        self.making
            .once(&name, || self.made(&name), || self.make(&name))
    }

    /// The bus of these caches, whose threads start when it is first asked for: each cache forgets what is
    /// invalidated there, and whoever wants to hear of it subscribes, or has a hook called. What is published
    /// there stays in this process: see [`Caches::publish`].
    ///
    /// # Errors
    /// `Io` if the threads cannot be started.
    pub fn bus(&self) -> Result<Arc<InvalidationBus>> {
        self.wiring.bus()
    }

    /// Tells everybody, in a moment: who is on the bus of this process, and the other processes, if there is
    /// a bus among them. Those whom a server that is away keeps from hearing it are told later.
    ///
    /// # Errors
    /// `Io` if threads cannot be started.
    pub fn publish(&self, invalidation: Invalidation) -> Result<()> {
        self.wiring.publish(invalidation)
    }

    /// Waits until what was published or changed before has been heard in this process, and is out to the
    /// others, at most so long for either. Whom a message does not reach finds that out within three heartbeats.
    ///
    /// # Errors
    /// `TimedOut` if that takes longer; `Unavailable`, at once, if the others cannot be told now.
    pub fn settle(&self, within: Duration) -> Result<()> {
        self.wiring.settle(within)
    }

    /// The cache of a type with the source of its values, read and written by the strategy of the type: a
    /// program gives the source, its configuration says how it is used. Once a type: keep it, or clone it.
    ///
    /// # Errors
    /// Those of [`Caches::get`] and of [`SourcedCache::new`]; `InvalidConfig` for a type that is written
    /// behind, which needs a journal, and if the cache has a source already.
    pub fn sourced(&self, name: &str, source: Arc<dyn Source>) -> Result<SourcedCache> {
        self.with_source(name, |cache, strategy| {
            SourcedCache::new(cache, source, strategy)
        })
    }

    /// The same with a journal, which delivers to the same source, for a type that may be written behind:
    /// see [`SourcedCache::behind`]. With any other strategy nothing is put into it.
    ///
    /// # Errors
    /// Those of [`Caches::sourced`].
    #[cfg(feature = "sqlite")]
    pub fn sourced_with(
        &self,
        name: &str,
        source: Arc<dyn Source>,
        journal: Arc<WriteBehind>,
    ) -> Result<SourcedCache> {
        self.with_source(name, |cache, strategy| match strategy {
            CacheStrategy::WriteBehind => Ok(SourcedCache::behind(cache, source, journal)),
            strategy => SourcedCache::new(cache, source, strategy),
        })
    }

    fn with_source(
        &self,
        name: &str,
        join: impl FnOnce(KvCache, CacheStrategy) -> Result<SourcedCache>,
    ) -> Result<SourcedCache> {
        let name = CacheType::own_name(name);
        let cache = self.get(name)?;
        let sourced = join(cache, self.known(name)?.its_strategy())?;
        // Two with one source would not wait for one another's writes.
        if !self.state.lock().sourced.insert(name.to_owned()) {
            let message = format!("the cache `{name}` has a source already");
            return Err(Error::new(ErrorKind::InvalidConfig, message)
                .with_help("keep the one that was made, and clone it"));
        }
        Ok(sourced)
    }

    /// The cache of values that are not kept: gone when their last owner lets go of them.
    ///
    /// # Errors
    /// `Coordinator` if somebody else has its name there.
    pub fn weak(&self) -> Result<Arc<AnyWeakCache>> {
        let is_new = !std::mem::replace(&mut self.state.lock().has_weak, true);
        if is_new && let Err(error) = self.enrol(Arc::clone(&self.weak) as Arc<dyn Cache>) {
            self.state.lock().has_weak = false;
            return Err(error);
        }
        Ok(Arc::clone(&self.weak))
    }

    /// The caches that were made so far, in that order.
    pub fn list(&self) -> Vec<KvCache> {
        self.state.lock().made.clone()
    }

    /// Every type that is defined, predefined ones too, in the order of their names.
    pub fn types(&self) -> Vec<CacheType> {
        let mut types: Vec<CacheType> = self.state.lock().types().collect();
        types.sort_unstable_by(|one, other| one.name().cmp(other.name()));
        types
    }

    /// Switches all caches off, or on again those that are not switched off themselves, and those that
    /// are made later.
    ///
    /// # Errors
    /// Those of [`KvCache::set_enabled`]; the other caches are switched all the same.
    pub fn set_enabled(&self, enabled: bool) -> Result<()> {
        self.state.lock().is_paused = !enabled;
        let switched = self
            .list()
            .into_iter()
            .map(|cache| cache.set_paused(!enabled));
        // Every cache is switched before an error is told.
        let switched: Vec<Result<()>> = switched.collect();
        switched.into_iter().collect()
    }

    /// What the caches hold and have done. One that cannot tell is listed with its error.
    pub fn stats(&self) -> CachesStats {
        let told = self.list().into_iter().map(|cache| {
            let stats = cache.stats().map_err(|error| format!("{error:#}"));
            (cache.name().to_owned(), stats)
        });
        let caches: BTreeMap<String, Result<KvStats, String>> = told.collect();
        let all = || caches.values().flatten();
        let (hits, misses) = (all().map(|s| s.hits).sum(), all().map(|s| s.misses).sum());
        CachesStats {
            total_entries: all().map(|stats| stats.total_entries).sum(),
            hits,
            misses,
            hit_rate: CacheReport::default().requests(hits, misses).hit_rate(),
            caches,
            bus: self.bus_stats(),
            #[cfg(feature = "redis")]
            node: self.node_stats(),
        }
    }

    /// What was told on the bus; `None` as long as there was nothing to tell. Asks no cache.
    pub fn bus_stats(&self) -> Option<BusStats> {
        self.wiring.stats()
    }

    /// How this process stands among those that share the Redis server; `None` unless it has a cache that is
    /// shared. Asks no cache, and not the server.
    #[cfg(feature = "redis")]
    pub fn node_stats(&self) -> Option<RedisBusStats> {
        self.wiring.node_stats()
    }

    /// How the bus among processes does; `None` if there is none. Asks nobody.
    pub fn bus_health(&self) -> Option<Health> {
        self.wiring.health()
    }

    /// How the caches do: as bad as the worst of them, healthy if there is none. It is degraded without a
    /// file that there should be, while a cache was judged to do badly, and while other processes are not
    /// told what changes, or not heard.
    pub fn health(&self) -> Health {
        let caches = self.list();
        let parts = caches.iter().map(judged).chain(self.bus_health()).collect();
        let health = Health::healthy("caches").with_parts(parts);
        match self.tiers.absent() {
            Some(why) => health.but(HealthState::Degraded, Reason::from(why)),
            None => health,
        }
    }

    /// How each cache does against what it is held to, judged now over the last window of its requests.
    pub fn report(&self) -> Report {
        let caches = self.list();
        caches.iter().for_each(|cache| drop(cache.assess()));
        let monitors = caches.iter().filter_map(KvCache::monitor);
        monitors.fold(Report::new(self.clock.now()), Report::cache)
    }

    /// Judges each cache: what is found is in the health, in the log, and with who listens.
    pub fn assess(&self) {
        self.list().iter().for_each(|cache| drop(cache.assess()));
    }

    /// Why a type lacks the file that it would take; `None` if it lacks nothing.
    ///
    /// # Errors
    /// `NotFound` if there is no such type.
    pub fn absent_tier(&self, name: &str) -> Result<Option<Error>> {
        let known = self.known(CacheType::own_name(name))?;
        Ok(self.tiers.lacks(&known))
    }

    /// Says good-bye to other processes, and closes the file, if there is one, for an end in good order while
    /// others may still have a cache of these. Whoever uses one opens the file again; one that other
    /// processes share is switched off, since nobody tells it any more what they change.
    pub fn close(&self) {
        if self.wiring.is_among_others() {
            let shared = |cache: &KvCache| cache.tier().is_shared();
            for cache in self.list().into_iter().filter(shared) {
                // Nothing is in doubt of what is switched off.
                let _ = cache.set_paused(true);
            }
            self.wiring.end();
        }
        #[cfg(feature = "sqlite")]
        if let Some(file) = self.tiers.disk_file() {
            file.close();
        }
    }

    /// The tiers that the caches take their shares of.
    pub fn tiers(&self) -> &TierSet {
        &self.tiers
    }

    fn made(&self, name: &str) -> Option<KvCache> {
        let state = self.state.lock();
        let made = state.made.iter().find(|cache| cache.name() == name);
        made.cloned()
    }

    /// Makes the cache and enrols it. Its caller leads the making of it.
    fn make(&self, name: &str) -> Result<KvCache> {
        let known = self.known(name)?;
        let tier = self.tiers.tier_of(&known, &self.clock)?;
        let options = known.its_options().clone();
        let (dependants, clock) = (known.dependants()?, Arc::clone(&self.clock));
        let cache = KvCache::monitored(name, dependants, options, tier, clock);
        if known.its_options().is_enabled {
            self.enrol(Arc::new(cache.clone()))?;
        }
        let guests = self.state.lock().guests.clone();
        let show = |guest: Guest| caught(ErrorKind::Internal, || guest(&cache));
        let shown = guests.into_iter().try_for_each(show);
        if let Err(error) = shown.and_then(|()| self.wiring.join(&cache)) {
            if let Some(coordinator) = &self.coordinator {
                coordinator.unregister(name);
            }
            return Err(error);
        }
        let mut state = self.state.lock();
        // Nothing is in doubt of a new cache: this does nothing else.
        let paused = cache.set_paused(state.is_paused);
        state.made.push(cache.clone());
        drop(state);
        paused.map(|()| cache)
    }

    fn known(&self, name: &str) -> Result<CacheType> {
        let state = self.state.lock();
        let known = state.types().find(|known| known.name() == name);
        known.ok_or_else(|| {
            let error = Error::new(
                ErrorKind::NotFound,
                format!("no type of cache is named `{name}`"),
            );
            let names: Vec<CacheType> = state.types().collect();
            match suggest::nearest(name, names.iter().map(CacheType::name)) {
                Some(near) => error.with_help(format!("did you mean `{near}`?")),
                None => error.with_help("define it first"),
            }
        })
    }

    fn enrol(&self, cache: Arc<dyn Cache>) -> Result<()> {
        match &self.coordinator {
            Some(coordinator) => coordinator.register(cache),
            None => Ok(()),
        }
    }
}

/// How a cache does, and how it was judged, unless nobody asked it for long.
fn judged(cache: &KvCache) -> Health {
    let health = cache.health();
    let last = cache.monitor().and_then(|monitor| monitor.last());
    let is_bad = |state| matches!(state, HealthState::Degraded | HealthState::Unhealthy);
    match last.filter(|last| is_bad(last.state)) {
        Some(last) => {
            let judged = last.health(cache.name());
            let reasons = judged.reasons.into_iter();
            // It answers all the same, if not as often or as soon as it should.
            reasons.fold(health, |health, why| health.but(HealthState::Degraded, why))
        }
        None => health,
    }
}

impl State {
    /// Those that are defined, and the predefined ones that are not.
    fn types(&self) -> impl Iterator<Item = CacheType> {
        let rest = CacheType::all_predefined().filter(|name| !self.defined.contains_key(*name));
        let defined = self.defined.values().cloned();
        defined.chain(rest.filter_map(CacheType::predefined))
    }
}

impl Drop for Caches {
    fn drop(&mut self) {
        let mut state = std::mem::take(&mut *self.state.lock());
        if let Some(coordinator) = &self.coordinator {
            for cache in &state.made {
                if cache.options().is_enabled {
                    coordinator.unregister(cache.name());
                }
            }
            if state.has_weak {
                coordinator.unregister(WEAK);
            }
        }
        self.wiring.end();
        while let Some(cache) = state.made.pop() {
            // Somebody may keep the bus.
            self.wiring.leave(cache.name());
            drop(cache);
        }
    }
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caches")
            .field("tiers", &self.tiers)
            .field("made", &self.list())
            .finish_non_exhaustive()
    }
}
