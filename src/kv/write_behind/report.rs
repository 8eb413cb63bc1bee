//! What a write-behind tells of itself: its counts, and how it does.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::WriteBehind;
use crate::health::{Health, HealthState, Reason};
use crate::stats::Counter;
use crate::tier::KeyPattern;

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: Counter,
    pub(super) refused: Counter,
    pub(super) overtaken: Counter,
    pub(super) commits: Counter,
    pub(super) handed_over: Counter,
    pub(super) delivered: Counter,
    pub(super) failed: Counter,
    pub(super) replayed: Counter,
}

/// What waits, and what was done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WriteBehindStats {
    /// Operations that were accepted and are neither done nor dead.
    pub pending: usize,
    /// Operations that are tried no more.
    pub dead_letters: usize,
    /// What both weigh, in bytes.
    pub bytes: u64,
    /// The most of both.
    pub max_operations: usize,
    /// The most that they may weigh, in bytes.
    pub max_bytes: u64,
    /// Writes that were accepted.
    pub accepted: u64,
    /// Writes that were refused for want of room.
    pub refused: u64,
    /// Accepted ones whose place a later one of their key took before they were handed to the sink.
    pub overtaken: u64,
    /// Transactions in which writes were accepted: as many waits for the disk.
    pub commits: u64,
    /// Operations that were handed to the sink, each time that they were.
    pub handed_over: u64,
    /// Operations that the sink did.
    pub delivered: u64,
    /// Times that the sink did not do one.
    pub failed: u64,
    /// Operations that lay in the journal at the start.
    pub replayed: u64,
}

impl WriteBehind {
    /// What waits, and what was done since the start.
    pub fn stats(&self) -> WriteBehindStats {
        let shared = &self.shared;
        let limits = shared.options.limits();
        let queue = shared.queue.lock();
        let (len, dead_letters, bytes) = (queue.len(), queue.dead(), queue.bytes());
        drop(queue);
        let counters = &shared.counters;
        WriteBehindStats {
            pending: len - dead_letters,
            dead_letters,
            bytes,
            max_operations: limits.operations,
            max_bytes: limits.bytes,
            accepted: counters.accepted.get(),
            refused: counters.refused.get(),
            overtaken: counters.overtaken.get(),
            commits: counters.commits.get(),
            handed_over: counters.handed_over.get(),
            delivered: counters.delivered.get(),
            failed: counters.failed.get(),
            replayed: counters.replayed.get(),
        }
    }

    /// How it does: degraded while there are dead letters, or the sink failed the last time; unhealthy
    /// while there is no room, the journal cannot be written, or after the end. Without I/O.
    pub fn health(&self) -> Health {
        let shared = &self.shared;
        let mut health = Health::healthy("write_behind");
        if shared.stopped.load(Ordering::SeqCst) {
            let reason = Reason::new("not-initialized", "write-behind was shut down");
            return health.but(HealthState::Unhealthy, reason);
        }
        let troubles = shared.troubles.lock();
        let journal = troubles.journal.clone().or(troubles.notes.clone());
        let sink = troubles.sink.clone();
        let is_full = troubles.is_full;
        drop(troubles);
        if let Some(error) = &journal {
            health = health.but(HealthState::Unhealthy, Reason::from(error));
        }
        let stats = self.stats();
        if is_full || stats.pending + stats.dead_letters >= stats.max_operations {
            let message = format!(
                "the journal is full: {} operations of {}, {} bytes of {}",
                stats.pending + stats.dead_letters,
                stats.max_operations,
                stats.bytes,
                stats.max_bytes
            );
            let reason = Reason::new("full", message)
                .with_help("see why the sink is slow or refuses; retry or drop the dead letters");
            health = health.but(HealthState::Unhealthy, reason);
        }
        if let Some(error) = &sink {
            let mut reason = Reason::from(error);
            reason.message = format!("the sink failed: {}", reason.message);
            health = health.but(HealthState::Degraded, reason);
        }
        if let Some(reason) = self.dead_reason(stats.dead_letters) {
            health = health.but(HealthState::Degraded, reason);
        }
        health
    }

    fn dead_reason(&self, count: usize) -> Option<Reason> {
        if count == 0 {
            return None;
        }
        let all = KeyPattern::new("*").ok()?;
        let letter = self.dead_letters(&all).into_iter().next()?;
        let message = format!(
            "{count} acknowledged writes are dead letters; the first, of `{}`, was tried {} times: {}",
            letter.operation.key, letter.tries, letter.error
        );
        let help = "mend what the sink refuses, then retry them; or drop them, and they are lost";
        Some(Reason::new("dead-letters", message).with_help(help))
    }
}
