//! Tiers above each other, the fastest first: itself a tier. What is asked for is looked for from the
//! first to the last, and brought up; what is written goes to the last first, which keeps it longest.
//!
//! A tier that fails makes no caller's verb fail as long as another one does what is asked. It is then
//! *owed* the change: it may hold an older value of that key, or one that was removed, and is not asked
//! for the key until it has been put right (`debts`, `repair`). A time-out counts as a failure.
//!
//! Whoever changes a key holds its turn, and voids what was being looked up for it, before he is done:
//! so nothing that was read before a change is brought up after it. A removal of many keys waits until
//! those who began before it have ended, and until it ends nothing is copied from one tier to another.
//!
//! What tiers that outlive the process are owed is written down where there is a `ledger`.

mod breaker;
mod copies;
mod debts;
mod hits;
mod ledger;
mod part;
mod read;
mod repair;
mod write;

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use self::copies::Overtaken;
pub use self::debts::Owed;
use self::hits::Hits;
use self::ledger::Ledger;
use self::part::Part;
use self::read::Looked;
use super::{
    Change, DepartureListener, Entry, Key, KeyPattern, Lease, Leased, Term, Tier, TierStats,
};
use crate::cache::{Cache, CacheReport, CacheUsage, Scope};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::health::{Health, HealthState, Reason};
use crate::key_turns::KeyTurns;
use crate::primitives::Mutex;
use crate::primitives::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::single_flight::Flights;
use crate::stats::Counter;
use crate::worker::Worker;

/// How tiers work together. Options can only be valid: what is out of range is refused when it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TieredOptions {
    promote_after: u32,
    bypass_after: u32,
    probe_interval: Duration,
    max_owed_keys: usize,
    patience: Duration,
    repair_interval: Option<Duration>,
    ledger: Option<PathBuf>,
}

impl Default for TieredOptions {
    /// A value is brought up when it is found; a tier is let alone after 5 failures in a row, and asked
    /// again after a second; it is owed at most 10,000 keys one by one, and put right once a second;
    /// the turn of a key is waited for for 30 seconds.
    fn default() -> Self {
        TieredOptions {
            promote_after: 1,
            bypass_after: 5,
            probe_interval: Duration::from_secs(1),
            max_owed_keys: 10_000,
            patience: Duration::from_secs(30),
            repair_interval: Some(Duration::from_secs(1)),
            ledger: None,
        }
    }
}

impl TieredOptions {
    /// A value is brought up the so many-th time that it is found in a lower tier, 1 to 1000. Counts
    /// are kept for some thousand keys; who is not among them is counted from the beginning.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn promote_after(mut self, hits: u32) -> Result<Self> {
        if !(1..=1000).contains(&hits) {
            return Err(Error::out_of_range("promote_after", hits, "1 to 1000"));
        }
        self.promote_after = hits;
        Ok(self)
    }

    /// A tier is let alone after so many failures in a row, 1 or more.
    ///
    /// # Errors
    /// `InvalidConfig` if it is 0.
    pub fn bypass_after(mut self, failures: u32) -> Result<Self> {
        if failures == 0 {
            return Err(Error::out_of_range("bypass_after", failures, "1 or more"));
        }
        self.bypass_after = failures;
        Ok(self)
    }

    /// How long a tier that is let alone rests before one verb finds out whether it is back.
    #[must_use]
    pub fn probe_interval(mut self, time: Duration) -> Self {
        self.probe_interval = time;
        self
    }

    /// The most keys that a tier is owed one by one. Above that, it is owed all that it holds, and is
    /// cleared when it is back.
    #[must_use]
    pub fn max_owed_keys(mut self, keys: usize) -> Self {
        self.max_owed_keys = keys;
        self
    }

    /// How long the turn of a key is waited for: longer than the tiers' own time-outs together.
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// How often a thread of its own tries to put right what is owed, once something is; never if
    /// `None`: then [`Tiered::repair`] does it, when it is called.
    #[must_use]
    pub fn repair_interval(mut self, time: Option<Duration>) -> Self {
        self.repair_interval = time;
        self
    }

    /// A file in which it is written what the tiers that are no memory of this process are owed, so
    /// that the next process knows it: see [`Tiered`]. It belongs to one `Tiered` of one process.
    #[must_use]
    pub fn ledger(mut self, file: impl Into<PathBuf>) -> Self {
        self.ledger = Some(file.into());
        self
    }
}

/// Tiers above each other, the fastest first.
///
/// It returns the value of the last change of a key that was acknowledged, or nothing, whichever tiers
/// fail and come back meanwhile; a change that no tier took is an error, and has either happened or
/// not. What a lower tier misses is seen by those who share it: until it has been put right, other
/// processes may read there what was changed here.
///
/// # When the process ends
/// What a tier is owed is in memory, and, with [`TieredOptions::ledger`], in a file as well: it is written
/// there before the change is acknowledged, and the next process with the same file and the same names
/// of tiers begins with it. It is not forced to the disk: when the whole machine breaks down it may be
/// lost. Without such a file, a process that ends while a tier that outlives it is owed something
/// ([`Tiered::is_owed`]) leaves it there for the next one, which may find what was changed or removed
/// before, until that expires.
pub struct Tiered {
    name: String,
    parts: Box<[Part]>,
    options: TieredOptions,
    clock: Arc<dyn Clock>,
    turns: KeyTurns,
    flights: Flights<Key, Option<Looked>>,
    overtaken: Overtaken,
    found_below: Hits,
    /// How many removals of many keys are under way: nothing is copied between tiers meanwhile. Looked
    /// at by whoever has a turn.
    wide_removals: AtomicUsize,
    is_bypassed: AtomicBool,
    hits: Counter,
    misses: Counter,
    promotions: Counter,
    /// Started when something is owed for the first time.
    worker: Mutex<Option<Worker>>,
    /// Whether it will look at what is owed from now on, without being rung.
    is_awake: AtomicBool,
    ledger: Option<Arc<Ledger>>,
    me: Weak<Tiered>,
}

/// How one of the tiers does in this company.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TierState {
    /// Its name.
    pub name: String,
    /// What it says of itself. It is asked once for a request of the whole that reaches it, and more
    /// often where the whole has to be sure.
    pub stats: Result<TierStats>,
    /// Verbs that it failed at.
    pub failures: u64,
    /// What it is owed.
    pub owed: Owed,
    /// Whether it is let alone after failures.
    pub is_let_alone: bool,
}

impl Tiered {
    /// These tiers, the fastest first. Their time is that of the clock.
    ///
    /// # Errors
    /// `InvalidConfig` if there is none; `Io` if the ledger cannot be opened.
    pub fn new(
        name: impl Into<String>,
        tiers: Vec<Arc<dyn Tier>>,
        options: TieredOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let name = name.into();
        if tiers.is_empty() {
            let message = format!("`{name}` has no tiers");
            return Err(Error::new(ErrorKind::InvalidConfig, message)
                .with_help("switch one on, for example the one in memory"));
        }
        let last = tiers.len() - 1;
        let part = |(at, tier)| Part::new(tier, at == last, &options, Arc::clone(&clock));
        let mut parts: Box<[Part]> = tiers.into_iter().enumerate().map(part).collect();
        let ledger = options.ledger.as_deref();
        let ledger = ledger.map(|file| Self::open_ledger(file, &mut parts, &options));
        let ledger = ledger.transpose()?;
        let tiered = Arc::new_cyclic(|me| Tiered {
            name,
            parts,
            turns: KeyTurns::new(options.patience),
            flights: Flights::default(),
            overtaken: Overtaken::new(),
            found_below: Hits::new(options.promote_after),
            wide_removals: AtomicUsize::new(0),
            is_bypassed: AtomicBool::new(false),
            hits: Counter::default(),
            misses: Counter::default(),
            promotions: Counter::default(),
            worker: Mutex::new(None),
            is_awake: AtomicBool::new(false),
            ledger,
            me: Weak::clone(me),
            options,
            clock,
        });
        if tiered.is_owed() {
            tiered.ring();
        }
        Ok(tiered)
    }

    fn open_ledger(
        file: &Path,
        parts: &mut [Part],
        options: &TieredOptions,
    ) -> Result<Arc<Ledger>> {
        let mut lasting: Vec<&mut Part> = Vec::new();
        lasting.extend(parts.iter_mut().filter(|part| !part.is_memory()));
        let debts = lasting.iter();
        let debts = debts.map(|part| (part.tier.name().to_owned(), Arc::clone(&part.debts)));
        let ledger = Arc::new(Ledger::open(file, debts.collect(), options)?);
        for part in lasting {
            part.ledger = Some(Arc::clone(&ledger));
        }
        Ok(ledger)
    }

    /// How each tier does, the fastest first.
    pub fn tiers(&self) -> Vec<TierState> {
        self.parts.iter().map(Part::state).collect()
    }

    /// How many values were brought up so far.
    pub fn promotions(&self) -> u64 {
        self.promotions.get()
    }

    /// Lets all tiers alone, or uses them again. Meanwhile nothing is found, nothing is kept, what is
    /// changed or removed is owed, and no tier is asked.
    pub fn set_bypass(&self, is_bypassed: bool) {
        self.is_bypassed.store(is_bypassed, Ordering::Release);
        if !is_bypassed && self.is_owed() {
            self.ring();
        }
    }

    /// Whether all tiers are let alone on purpose.
    pub fn is_bypassed(&self) -> bool {
        self.is_bypassed.load(Ordering::Acquire)
    }

    /// Whether any tier is owed a change.
    pub fn is_owed(&self) -> bool {
        self.parts.iter().any(|part| part.debts.is_any())
    }

    fn last(&self) -> &Part {
        &self.parts[self.parts.len() - 1]
    }

    /// The tier that other processes share, with its place.
    fn shared(&self) -> Option<(usize, &Part)> {
        let mut parts = self.parts.iter().enumerate().rev();
        parts.find(|(_, part)| part.tier.is_shared())
    }

    /// The tiers that no other process has, the fastest first.
    fn own_parts(&self) -> impl DoubleEndedIterator<Item = &Part> {
        self.parts.iter().filter(|part| !part.tier.is_shared())
    }

    /// An error in place of what cannot be done while all tiers are let alone.
    fn bypassed(&self) -> Error {
        let message = format!("all tiers of `{}` are switched off", self.name);
        Error::new(ErrorKind::Unavailable, message).with_help("switch its bypass off")
    }

    /// An error of a verb that none of these tiers did.
    fn nobody(&self, what: &str, failures: &[Error]) -> Error {
        let told: Vec<String> = failures.iter().map(|error| format!("{error:#}")).collect();
        let message = format!("`{}` cannot {what}: {}", self.name, told.join("; "));
        let kind = failures.first().map_or(ErrorKind::Unavailable, Error::kind);
        let error = Error::new(kind, message);
        match failures.iter().find_map(Error::help) {
            Some(help) => error.with_help(help),
            None => error,
        }
    }
}

impl Tier for Tiered {
    /// A tier that fails is one that does not have it.
    fn get(&self, key: &Key) -> Result<Option<Entry>> {
        Ok(self.find(key))
    }

    fn get_many(&self, keys: &[&Key]) -> Vec<Result<Option<Entry>>> {
        self.find_many(keys).into_iter().map(Ok).collect()
    }

    fn peek(&self, key: &Key) -> Result<Option<Entry>> {
        Ok(self.look(key))
    }

    /// Kept by the last tier that takes it, and by those above it. A value that any tier keeps is kept.
    /// What the term says of how long it is held at most counts in each tier that it is put in now; what
    /// comes up later is held for that tier's own time, and never after its end.
    ///
    /// # Errors
    /// `InvalidInput` for a lifetime of 0; that of the last tier, if no tier took it; `DatabaseBusy` if
    /// the key is being changed by others for too long.
    fn put(&self, key: &Key, value: Arc<[u8]>, version: u64, term: Term) -> Result<bool> {
        self.keep(key, &value, version, term)
    }

    /// An error if no tier took it, as of [`Tiered::put`].
    fn remove(&self, key: &Key) -> Result<bool> {
        self.forget(key)
    }

    /// Made in the last tier that works, of which the ones above get the result. While a tier is down,
    /// it goes on from a fresh entry above it, and is an error for a key of which there is none: what the
    /// tier holds is not known. When a tier is back that others share, an entry that was changed without
    /// it begins anew there, for what others made of it meanwhile is not known.
    fn update(&self, key: &Key, change: &mut Change<'_>) -> Result<Option<Entry>> {
        self.change(key, change)
    }

    /// Each key once, of the tiers that answer: what can be found there is listed.
    ///
    /// # Errors
    /// That of the first tier, if none answers; `Internal` if the visitor panics.
    fn scan(
        &self,
        pattern: &KeyPattern,
        visit: &mut dyn FnMut(Key) -> ControlFlow<()>,
    ) -> Result<()> {
        self.list(pattern, visit)
    }

    /// An error if no tier did it, as of [`Tiered::put`]. The count is that of the keys that matched
    /// before.
    fn remove_matching(&self, pattern: &KeyPattern) -> Result<usize> {
        self.forget_matching(pattern)
    }

    /// The sum over the tiers: an entry leaves each of them.
    fn sweep(&self, most: usize) -> Result<usize> {
        let (mut swept, mut failures) = (0, Vec::new());
        for part in &self.parts {
            match part.call(|tier| tier.sweep(most - swept)) {
                Ok(n) => swept = most.min(swept + n),
                Err(error) => failures.push(error),
            }
        }
        if failures.len() == self.parts.len() {
            return Err(self.nobody("be swept", &failures));
        }
        Ok(swept)
    }

    /// The requests are those of the whole, and the entries those of the tier that has most of them. The
    /// rest sums over the tiers: what leaves a tier for want of room, or expires in it, may do so in
    /// another one too.
    fn tier_stats(&self) -> Result<TierStats> {
        let mut sum = TierStats {
            report: self.stats()?,
            ..TierStats::default()
        };
        for stats in self.tiers().into_iter().filter_map(|tier| tier.stats.ok()) {
            let entries = &mut sum.report.usage.entries;
            *entries = stats.report.usage.entries.max(*entries);
            sum.bytes += stats.bytes;
            sum.max_bytes = sum.max_bytes.saturating_add(stats.max_bytes);
            sum.expirations += stats.expirations;
            sum.damaged += stats.damaged;
        }
        Ok(sum)
    }

    /// Degraded if a tier does not work, unhealthy if none does.
    fn health(&self) -> Health {
        let parts: Vec<Health> = self.parts.iter().map(Part::health).collect();
        let worst = HealthState::worst(parts.iter().map(|part| part.state));
        let works = |part: &Health| !matches!(part.state, HealthState::Unhealthy);
        let state = match worst {
            HealthState::Unhealthy if parts.iter().any(works) => HealthState::Degraded,
            state => state,
        };
        let mut health = Health::healthy(&*self.name);
        (health.state, health.parts) = (state, parts);
        if self.is_bypassed() {
            let reason = Reason::new("bypassed", "all tiers are switched off")
                .with_help("switch the bypass off");
            health = health.but(HealthState::Degraded, reason);
        }
        health
    }

    fn repair(&self) -> bool {
        Tiered::repair(self)
    }

    /// That of the last tier.
    fn ttl(&self) -> Duration {
        self.last().tier.ttl()
    }

    fn is_shared(&self) -> bool {
        self.shared().is_some()
    }

    fn forget_copies(&self, pattern: &KeyPattern) -> Result<usize> {
        Ok(self.drop_copies(pattern))
    }

    fn is_away(&self) -> bool {
        self.shared().is_some_and(|(_, part)| part.tier.is_away())
    }

    fn has_copies(&self) -> bool {
        self.shared().is_some() && self.own_parts().next().is_some() && !self.is_bypassed()
    }

    fn keep_copy(
        &self,
        key: &Key,
        value: Arc<[u8]>,
        version: u64,
        term: Term,
        ago: Duration,
        may_keep: &dyn Fn(Option<&Entry>) -> bool,
    ) -> Result<bool> {
        match self.has_copies() {
            true => self.keep_aside(key, &value, version, term, ago, may_keep),
            false => Ok(false),
        }
    }

    fn on_repair(&self, listener: Arc<dyn Fn() + Send + Sync>) {
        for part in self.parts.iter().filter(|part| part.tier.is_shared()) {
            part.on_paid(Arc::clone(&listener));
        }
    }

    fn on_departure(&self, listener: DepartureListener) {
        // Those above it hold nothing for longer than a copy lives.
        if let Some(last) = self.parts.last() {
            last.tier.on_departure(listener);
        }
    }

    /// Of the tier that is shared.
    fn lease(&self, key: &Key, time: Duration) -> Result<Leased> {
        match self.shared() {
            Some(_) if self.is_bypassed() => Err(self.bypassed()),
            Some((_, part)) => part.call(|tier| tier.lease(key, time)),
            None => Ok(Leased::Granted(Lease::default())),
        }
    }

    fn renew(&self, key: &Key, lease: &Lease, time: Duration) -> Result<bool> {
        match self.shared() {
            Some(_) if self.is_bypassed() => Err(self.bypassed()),
            Some((_, part)) => part.call(|tier| tier.renew(key, lease, time)),
            None => Ok(true),
        }
    }

    /// The shared tier decides: what it refuses, or cannot take, no other tier keeps by this.
    fn fill(
        &self,
        key: &Key,
        lease: &Lease,
        value: Arc<[u8]>,
        version: u64,
        term: Term,
    ) -> Result<bool> {
        match self.shared() {
            Some((at, _)) => self.keep_leased(at, key, lease, &value, version, term),
            None => self.keep(key, &value, version, term),
        }
    }

    fn release(&self, key: &Key, lease: &Lease) -> Result<()> {
        match self.shared() {
            Some(_) if self.is_bypassed() => Ok(()),
            Some((_, part)) => part.call(|tier| tier.release(key, lease)),
            None => Ok(()),
        }
    }
}

impl Cache for Tiered {
    fn name(&self) -> &str {
        &self.name
    }

    /// Of the tiers in memory alone: what a coordinator can win back.
    fn usage(&self) -> CacheUsage {
        let usages = self.parts.iter().map(|part| part.tier.usage());
        let sum = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
        let none = CacheUsage {
            entries: 0,
            capacity: Some(0),
            bytes: Some(0),
            max_bytes: Some(0),
        };
        let usages: Vec<CacheUsage> = usages.collect();
        if usages.iter().all(|usage| usage.bytes.is_none()) {
            // None is memory: what the tiers hold, as far as it is known, counts once.
            return CacheUsage {
                entries: usages.iter().map(|usage| usage.entries).max().unwrap_or(0),
                capacity: None,
                bytes: None,
                max_bytes: None,
            };
        }
        let usages = usages.iter().filter(|usage| usage.bytes.is_some());
        usages.fold(none, |whole, part| CacheUsage {
            entries: whole.entries + part.entries,
            capacity: whole
                .capacity
                .and_then(|capacity| Some(capacity.saturating_add(part.capacity?))),
            bytes: sum(whole.bytes, part.bytes),
            max_bytes: sum(whole.max_bytes, part.max_bytes),
        })
    }

    /// From the tiers in memory, the lower ones first: what they give up the upper ones may still hold.
    fn evict(&self, entries: usize) -> Result<usize> {
        let mut given = 0;
        for part in self.parts.iter().rev().filter(|part| part.is_memory()) {
            given += part.call(|tier| tier.evict(entries - given))?;
        }
        Ok(given)
    }

    /// Everything: see [`Tier`].
    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        scope.matcher()?;
        let count = self.count(&KeyPattern::all());
        self.clear().map(|()| count)
    }

    /// # Errors
    /// That of a tier that was not cleared, which is named; it is owed that, and finds nothing until
    /// then.
    fn clear(&self) -> Result<()> {
        self.forget_all()
    }

    /// Each request counts once. Evictions are those of all tiers: what left an upper one may still be
    /// found in a lower one.
    fn stats(&self) -> Result<CacheReport> {
        let evictions = self.tiers().into_iter();
        let evictions = evictions.filter_map(|tier| Some(tier.stats.ok()?.report.evictions));
        Ok(CacheReport::new(self.usage())
            .requests(self.hits.get(), self.misses.get())
            .evictions(evictions.sum()))
    }
}

impl fmt::Debug for Tiered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tiers: Vec<&str> = self.parts.iter().map(|part| part.tier.name()).collect();
        f.debug_struct("Tiered")
            .field("name", &self.name)
            .field("tiers", &tiers)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
