//! The coordinator of a process's caches: it knows them all, watches how tight memory is, and lets
//! each give some room before somebody is killed for it. It is an ordinary value; a process may have
//! several, and nothing is registered behind anybody's back.
//!
//! No lock is held while a cache, or a gauge, is called: each may use the coordinator meanwhile.

mod health;
mod options;
mod pace;
mod pressure;
mod registry;
mod round;
mod stats;
mod turn;

use std::fmt;
use std::sync::Arc;

pub use self::options::CoordinatorOptions;
use self::pace::Pace;
pub use self::pressure::{Pressure, PressureGauge};
use self::registry::{Enrolled, Registry};
pub use self::round::{CacheOutcome, RoundCause, RoundReport};
use self::stats::Sums;
pub use self::stats::{CacheEntry, CoordinatorStats};
use self::turn::Turns;
use crate::cache::{Cache, CacheUsage, Scope};
use crate::clock::{Clock, SystemClock};
use crate::error::{ErrorKind, Result};
use crate::machine::SystemMemory;
use crate::panics::caught;
use crate::primitives::Mutex;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::stats::Counter;
use crate::worker::Worker;

/// The caches of a process under one limit on memory.
///
/// Above the threshold of any limit a round begins: each cache gives up a share of its entries, the
/// largest in bytes first, until memory is 0.05 under the threshold. One interval after a round
/// nothing is evicted, and ever longer while rounds do not help. Pressure that comes from outside
/// leaves each cache a tenth of its capacity.
///
/// Dropping it ends its thread. The caches stay as they are.
pub struct CacheCoordinator {
    core: Arc<Core>,
    /// The thread that checks, while the coordinator is started.
    watch: Mutex<Option<Worker>>,
}

struct Core {
    options: Mutex<CoordinatorOptions>,
    gauge: Arc<dyn PressureGauge>,
    clock: Arc<dyn Clock>,
    registry: Registry,
    turns: Turns,
    progress: Mutex<Progress>,
    manual_evictions: Counter,
}

/// What rounds leave behind.
#[derive(Default)]
struct Progress {
    pace: Pace,
    triggers: u64,
    last: Option<RoundReport>,
    /// What is not known of memory, as it was told last.
    told: Vec<String>,
}

impl Progress {
    /// The doubts that were not told yet. One that is gone is told again when it comes back.
    fn untold(&mut self, doubts: Vec<String>) -> Vec<String> {
        let told = std::mem::replace(&mut self.told, doubts.clone());
        let is_new = |doubt: &String| !told.contains(doubt);
        doubts.into_iter().filter(is_new).collect()
    }
}

impl CacheCoordinator {
    /// A coordinator without caches, over the limits of this machine and this process's container.
    pub fn new(options: CoordinatorOptions) -> Self {
        let gauge = Arc::new(SystemMemory::new());
        Self::with_gauge(options, gauge, Arc::new(SystemClock))
    }

    /// The same over another gauge, reading the time from this clock.
    pub fn with_gauge(
        options: CoordinatorOptions,
        gauge: Arc<dyn PressureGauge>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        CacheCoordinator {
            core: Arc::new(Core {
                options: Mutex::new(options),
                gauge,
                clock,
                registry: Registry::default(),
                turns: Turns::default(),
                progress: Mutex::default(),
                manual_evictions: Counter::default(),
            }),
            watch: Mutex::default(),
        }
    }

    /// Enrols a cache. During a round it waits for the next one.
    ///
    /// # Errors
    /// `Coordinator` if its name is empty or taken; nothing changes then.
    pub fn register(&self, cache: Arc<dyn Cache>) -> Result<()> {
        self.core.registry.register(cache)
    }

    /// Enrols a cache in the place of the one of its name, which is handed back, if there is one.
    ///
    /// # Errors
    /// `Coordinator` if its name is empty.
    pub fn replace(&self, cache: Arc<dyn Cache>) -> Result<Option<Arc<dyn Cache>>> {
        self.core.registry.replace(cache)
    }

    /// Forgets a cache; whether there was one of this name. A round in progress does not ask it
    /// afterwards, but may have begun to.
    pub fn unregister(&self, name: &str) -> bool {
        self.core.registry.unregister(name).is_some()
    }

    /// The names of the enrolled caches, in the order of registration.
    pub fn list(&self) -> Vec<String> {
        let all = self.core.registry.all();
        all.iter().map(|enrolled| enrolled.name.clone()).collect()
    }

    /// Measures, and makes a round if memory is tight and the last round was long enough ago; whether
    /// anything was evicted. False too while another round is in progress: that one measures itself.
    pub fn check_pressure(&self) -> bool {
        self.core.check(&AtomicBool::new(false))
    }

    /// Makes a round in which every cache gives up its share, whatever is measured, and counts it as
    /// manual. Waits for a round in progress, at most ten seconds.
    ///
    /// # Errors
    /// `Coordinator` if that was not enough, or a cache asks for it in the middle of a round. What
    /// goes wrong with one cache is in the report.
    pub fn evict(&self) -> Result<RoundReport> {
        self.core.evict()
    }

    /// Lets one cache give up so many entries; returns how many left. Counts as manual.
    ///
    /// # Errors
    /// `NotFound` if there is no such cache; its own error, or `Coordinator` if it panics.
    pub fn evict_from(&self, name: &str, entries: usize) -> Result<usize> {
        let enrolled = self.core.registry.get(name)?;
        self.core.manual_evictions.bump();
        enrolled.with(|cache| cache.evict(entries))
    }

    /// Drops everything that one cache holds.
    ///
    /// # Errors
    /// As [`CacheCoordinator::evict_from`].
    pub fn clear(&self, name: &str) -> Result<()> {
        let enrolled = self.core.registry.get(name)?;
        enrolled.with(|cache| cache.clear())
    }

    /// Lets every cache drop what was made from the files of the scope. One that fails stops no other.
    ///
    /// # Errors
    /// `InvalidPath` or `InvalidPattern` for a scope that makes no sense; no cache is asked then.
    pub fn invalidate(&self, scope: &Scope) -> Result<Vec<CacheOutcome>> {
        scope.matcher()?;
        let all = self.core.registry.all();
        let outcome = |enrolled: &Arc<Enrolled>| CacheOutcome {
            cache: enrolled.name.clone(),
            removed: enrolled.with(|cache| cache.invalidate(scope)),
        };
        Ok(all.iter().map(outcome).collect())
    }

    /// Every cache's report, their sums, and how tight memory is. A cache that cannot tell is listed
    /// with its error.
    pub fn stats(&self) -> CoordinatorStats {
        self.core.stats()
    }

    /// How tight memory is now.
    pub fn pressure(&self) -> Pressure {
        self.core.measure()
    }

    /// Begins to check, on a thread of its own: at once, and then at every interval. Again: nothing
    /// happens.
    ///
    /// # Errors
    /// `Io` if the thread cannot be started.
    pub fn start(&self) -> Result<()> {
        let mut watch = self.watch.lock();
        if watch.is_none() {
            let core = Arc::clone(&self.core);
            let worker = Worker::spawn("cardex-coordinate", move |stop| {
                core.check(stop);
                Some(core.options().interval())
            })?;
            worker.ring();
            *watch = Some(worker);
        }
        Ok(())
    }

    /// Ends the checks, within a second: a cache that is still giving room then is the last one that
    /// was asked. Again: nothing happens. It can be started again.
    pub fn stop(&self) {
        let watch = self.watch.lock().take();
        drop(watch);
    }

    /// Whether it checks by itself.
    pub fn is_started(&self) -> bool {
        self.watch.lock().is_some()
    }

    /// By what it acts now.
    pub fn options(&self) -> CoordinatorOptions {
        self.core.options()
    }

    /// Acts by other options from the next measurement on, which is made at once if it checks by
    /// itself.
    pub fn reconfigure(&self, options: CoordinatorOptions) {
        *self.core.options.lock() = options;
        if let Some(watch) = &*self.watch.lock() {
            watch.ring();
        }
    }
}

impl Core {
    fn options(&self) -> CoordinatorOptions {
        self.options.lock().clone()
    }

    /// A check, and the round that it calls for; whether anything was evicted.
    fn check(&self, stop: &AtomicBool) -> bool {
        let Some(_turn) = self.turns.try_take() else {
            return false;
        };
        let before = self.measure();
        self.tell_unknown(&before);
        let options = self.options();
        let own = before.is_own(options.threshold());
        let is_due = {
            let mut progress = self.progress.lock();
            if before.is_relieved(options.threshold()) {
                progress.pace.relieved();
            }
            let (now, interval) = (self.clock.elapsed(), options.interval());
            before.exceeds(options.threshold()) && progress.pace.allows(now, interval, own)
        };
        if !is_due {
            return false;
        }
        let report = self.round(RoundCause::Pressure, before, stop);
        let evicted = report.evicted();
        if evicted > 0 {
            tracing::info!(
                evicted,
                before = report.before,
                after = report.after,
                "memory is tight: the caches gave room"
            );
        }
        let now = self.clock.elapsed();
        let mut progress = self.progress.lock();
        progress.triggers += 1;
        progress.pace.made(now, report.has_helped(own), own);
        progress.last = Some(report);
        evicted > 0
    }

    fn evict(&self) -> Result<RoundReport> {
        let _turn = self.turns.take()?;
        let report = self.round(RoundCause::Manual, self.measure(), &AtomicBool::new(false));
        self.manual_evictions.bump();
        self.progress.lock().last = Some(report.clone());
        Ok(report)
    }

    /// Asks one cache after the other. Its caller has the turn.
    fn round(&self, cause: RoundCause, before: Pressure, stop: &AtomicBool) -> RoundReport {
        let (at, began) = (self.clock.now(), self.clock.elapsed());
        let mut now = before.clone();
        let mut outcomes = Vec::new();
        // The caches' own limit is theirs to keep, whatever that takes.
        let is_own = before.is_own(self.options().threshold());
        for enrolled in self.in_turn() {
            let is_enough = match cause {
                RoundCause::Pressure => !now.exceeds(self.options().relief()),
                RoundCause::Manual => false,
            };
            if is_enough || stop.load(Ordering::Relaxed) {
                break;
            }
            if !self.registry.holds(&enrolled) {
                continue;
            }
            let is_own = is_own && now.is_own(self.options().relief());
            let is_from_outside = cause == RoundCause::Pressure && !is_own;
            outcomes.push(self.ask(&enrolled, is_from_outside));
            now = self.measure().or_before(&now);
        }
        RoundReport {
            cause,
            at,
            duration: self.clock.elapsed().saturating_sub(began),
            before: before.share(),
            after: now.share(),
            outcomes,
            measured: (before, now),
        }
    }

    /// Lets a cache give up its share.
    fn ask(&self, enrolled: &Enrolled, is_from_outside: bool) -> CacheOutcome {
        let removed = enrolled.usage().and_then(|usage| {
            let spared = match is_from_outside {
                true => round::reserve(&usage),
                false => 0,
            };
            match round::quota(usage.entries, self.options().ratio(), spared) {
                0 => Ok(0),
                quota => enrolled.with(|cache| cache.evict(quota)),
            }
        });
        if let Err(error) = &removed {
            tracing::warn!("{error:#}");
        }
        CacheOutcome {
            cache: enrolled.name.clone(),
            removed,
        }
    }

    /// The caches in the order in which they give room. One that cannot tell its size is asked last,
    /// so that its error is listed.
    fn in_turn(&self) -> Vec<Arc<Enrolled>> {
        let sized = self.registry.all().into_iter().map(|enrolled| {
            let usage = enrolled.usage().unwrap_or(CacheUsage::default());
            (enrolled, usage)
        });
        round::turns(sized.collect(), |enrolled| &enrolled.name)
    }

    fn measure(&self) -> Pressure {
        let limits = caught(ErrorKind::Coordinator, || Ok(self.gauge.limits()));
        let limits = limits.unwrap_or_else(|error| {
            tracing::warn!("the gauge of memory: {error:#}");
            Vec::new()
        });
        let own = self.options().allowed_bytes();
        Pressure::new(limits, own.map(|allowed| (self.accounted_bytes(), allowed)))
    }

    /// What the caches weigh that know it.
    fn accounted_bytes(&self) -> u64 {
        let all = self.registry.all();
        let usages = all.iter().flat_map(|enrolled| enrolled.usage());
        let bytes = usages.filter_map(|usage| usage.bytes);
        bytes.fold(0, u64::saturating_add)
    }

    /// Says once what is not known of memory, and forgets it when it is.
    fn tell_unknown(&self, pressure: &Pressure) {
        let untold = self.progress.lock().untold(pressure.doubts());
        for doubt in untold {
            tracing::warn!("{doubt}");
        }
    }

    fn stats(&self) -> CoordinatorStats {
        let all = self.registry.all();
        let entry = |enrolled: &Arc<Enrolled>| CacheEntry {
            name: enrolled.name.clone(),
            report: enrolled.with(|cache| cache.stats()),
        };
        let caches: Vec<CacheEntry> = all.iter().map(entry).collect();
        let sums = Sums::of(&caches);
        let pressure = self.measure();
        let progress = self.progress.lock();
        CoordinatorStats {
            registered: caches.len(),
            caches,
            total_items: sums.items,
            total_capacity: sums.capacity,
            unlimited: sums.unlimited,
            pressure_threshold: self.options().threshold().as_f64(),
            eviction_ratio: self.options().ratio().as_f64(),
            triggers: progress.triggers,
            manual_evictions: self.manual_evictions.get(),
            pressure,
            last_round: progress.last.clone(),
        }
    }
}

impl Default for CacheCoordinator {
    fn default() -> Self {
        Self::new(CoordinatorOptions::default())
    }
}

impl fmt::Debug for CacheCoordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheCoordinator")
            .field("caches", &self.list())
            .field("options", &self.options())
            .field("started", &self.is_started())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_told_once_until_it_is_known_again() {
        let (a, b) = ("a".to_owned(), "b".to_owned());
        let mut progress = Progress::default();
        assert_eq!(progress.untold(vec![a.clone()]), ["a"]);
        assert!(progress.untold(vec![a.clone()]).is_empty());
        assert_eq!(progress.untold(vec![a.clone(), b]), ["b"]);
        assert!(progress.untold(Vec::new()).is_empty());
        assert_eq!(progress.untold(vec![a]), ["a"]);
    }
}
