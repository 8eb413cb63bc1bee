//! Putting tiers right that have missed changes. A tier below gets the current value, from one above it
//! that took it, where nobody else writes it; everywhere else what may be old is taken out, which is
//! always true. A shared tier may have got a newer value from another process meanwhile.

use std::time::Duration;

use super::Tiered;
use super::part::Part;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::tier::Key;
use crate::worker::Worker;

/// So many keys of a tier are put right in one round of the thread: others want to use it too.
const BATCH: usize = 256;

impl Tiered {
    /// Puts right what the tiers have missed, as far as they answer. Returns whether nothing is owed
    /// any more.
    pub fn repair(&self) -> bool {
        let never = AtomicBool::new(false);
        while self.repair_some(&never) && self.is_owed() {}
        !self.is_owed()
    }

    /// One batch for each tier; whether any debt was paid.
    fn repair_some(&self, stop: &AtomicBool) -> bool {
        if self.is_bypassed() {
            return false;
        }
        let places = 0..self.parts.len();
        let paid = places.map(|at| self.repair_part(at, stop));
        let has_paid = paid.fold(false, |any, paid| any | paid);
        if let Some(ledger) = &self.ledger {
            ledger.forget_what_is_paid();
        }
        has_paid
    }

    fn repair_part(&self, at: usize, stop: &AtomicBool) -> bool {
        let part = &self.parts[at];
        if !part.debts.is_any() {
            return false;
        }
        let was_wide = part.debts.widest().is_some();
        if !part.pay_wide_debts() {
            return false;
        }
        let mut paid = was_wide;
        for key in part.debts.keys(BATCH) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            // Somebody changes it: then the tier gets that, or the next round comes.
            let Some(_turn) = self.turns.try_take(&key) else {
                continue;
            };
            if part.debts.covers(&key) && !self.pay(at, &key) {
                break;
            }
            paid = true;
        }
        paid
    }

    /// Puts one key of a tier right; whether that was done. For whoever has the key's turn.
    pub(super) fn pay(&self, at: usize, key: &Key) -> bool {
        let part = &self.parts[at];
        if !part.pay_wide_debts() {
            return false;
        }
        if !part.debts.covers(key) {
            return true;
        }
        let (began, since) = (self.clock.elapsed(), self.overtaken.since(key));
        let may_have = !part.tier.is_shared() && self.may_copy();
        let above = self.parts[..at].iter().filter(|_| may_have);
        let current = above.filter_map(|part: &Part| part.peek(key)).next();
        let paid = match current.and_then(|entry| Some((entry.term()?, entry))) {
            Some((term, entry)) => {
                let ago = self.clock.elapsed().saturating_sub(began);
                part.put(key, &entry.value, entry.version, term, ago)
            }
            None => part.remove(key),
        };
        self.unless_overtaken(key, since);
        if paid.is_ok() {
            part.tell_paid();
        }
        paid.is_ok()
    }

    /// Something is owed: the thread, started the first time, sees to it.
    pub(super) fn ring(&self) {
        let Some(interval) = self.options.repair_interval else {
            return;
        };
        if self.is_awake.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut worker = self.worker.lock();
        if worker.is_none() {
            let me = self.me.clone();
            let round = move |stop: &AtomicBool| me.upgrade()?.repair_round(stop, interval);
            match Worker::spawn("tier-repair", round) {
                Ok(started) => *worker = Some(started),
                Err(error) => {
                    tracing::warn!(%error, "what a tier has missed waits to be put right")
                }
            }
        }
        if let Some(worker) = &*worker {
            worker.ring();
        }
    }

    fn repair_round(&self, stop: &AtomicBool, interval: Duration) -> Option<Duration> {
        // Before it looks: who owes something from now on rings.
        self.is_awake.store(false, Ordering::SeqCst);
        self.repair_some(stop);
        if !self.is_owed() || self.is_bypassed() {
            return None;
        }
        self.is_awake.store(true, Ordering::SeqCst);
        Some(interval)
    }
}
