//! What is counted of a cache, and how it does.

use std::time::Duration;

use super::KvCache;
use super::monitor::{Assessment, Gauges, Monitor};
use super::stats::KvStats;
use crate::error::{ErrorKind, Result};
use crate::health::{Health, Reason};

/// At most so many expired entries leave when the statistics are asked for: a moment's work.
const SWEPT_BY_STATS: usize = 10_000;

impl KvCache {
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
}
