//! A tier among others: what it fails at, or panics at, is counted and told, and concerns it alone.

use std::sync::Arc;
use std::time::Duration;

use super::breaker::Breaker;
use super::debts::{Debts, Wide};
use super::ledger::{Ledger, Missed};
use super::{TierState, TieredOptions};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::health::{Health, HealthState, Reason};
use crate::panics::caught;
use crate::primitives::Mutex;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::stats::Counter;
use crate::tier::{Entry, Key, Term, Tier};

/// One of the tiers.
pub(super) struct Part {
    pub(super) tier: Arc<dyn Tier>,
    pub(super) debts: Arc<Debts>,
    /// Where its debts are written down, if it outlives the process.
    pub(super) ledger: Option<Arc<Ledger>>,
    /// The longest that it holds a value; `None` in the last tier.
    pub(super) at_most: Option<Duration>,
    breaker: Breaker,
    clock: Arc<dyn Clock>,
    failures: Counter,
    /// Whether somebody pays a wide debt at this moment.
    paying: AtomicBool,
    payments: Mutex<Payments>,
}

/// Whom a paid debt is told.
#[derive(Default)]
struct Payments {
    listener: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Whether one was paid before there was a listener.
    is_untold: bool,
}

impl Part {
    pub(super) fn new(
        tier: Arc<dyn Tier>,
        is_last: bool,
        options: &TieredOptions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Part {
            debts: Arc::new(Debts::new(options.max_owed_keys)),
            ledger: None,
            at_most: (!is_last).then(|| tier.ttl()),
            breaker: Breaker::new(options.bypass_after, options.probe_interval),
            clock,
            failures: Counter::default(),
            paying: AtomicBool::new(false),
            payments: Mutex::default(),
            tier,
        }
    }

    /// What the verb returns, unless the tier is let alone.
    pub(super) fn call<R>(&self, verb: impl FnOnce(&dyn Tier) -> Result<R>) -> Result<R> {
        self.admit()?;
        let outcome = caught(ErrorKind::Internal, || verb(&*self.tier));
        self.account(outcome)
    }

    /// Whether it may be asked; who is told so asks, and says what came of it.
    pub(super) fn admit(&self) -> Result<()> {
        if self.breaker.admits(|| self.clock.elapsed()) {
            return Ok(());
        }
        let message = format!(
            "the tier `{}` is let alone after failures",
            self.tier.name()
        );
        Err(Error::new(ErrorKind::Unavailable, message)
            .with_help("it is asked again now and then, and used when it answers"))
    }

    /// Counts what came of a verb. An error names the tier.
    pub(super) fn account<R>(&self, outcome: Result<R>) -> Result<R> {
        outcome
            .inspect(|_| self.breaker.succeeded())
            .map_err(|error| {
                if is_of_the_input(&error) {
                    return error;
                }
                self.failures.bump();
                if self.breaker.failed(self.clock.elapsed()) {
                    let tier = self.tier.name();
                    tracing::warn!(tier, %error, "a tier is let alone until it answers again");
                }
                error.prefixed(&format!("the tier `{}`", self.tier.name()))
            })
    }

    /// The key's entry, as `get` of the tier tells it, if the tier can be asked for it.
    pub(super) fn get(&self, key: &Key) -> Option<Entry> {
        if self.debts.covers(key) {
            return None;
        }
        self.call(|tier| tier.get(key)).ok().flatten()
    }

    /// The same for many keys, in their order. One failure among them is one of the tier.
    pub(super) fn get_many(&self, keys: &[&Key]) -> Vec<Option<Entry>> {
        let asked = |key: &&&Key| !self.debts.covers(key);
        let wanted: Vec<&Key> = keys.iter().filter(asked).copied().collect();
        let found = match &wanted[..] {
            [] => Vec::new(),
            [key] => vec![self.call(|tier| tier.get(key)).ok().flatten()],
            keys => self.get_together(keys),
        };
        let mut found = wanted.iter().zip(found).peekable();
        let entry = |key: &&Key| {
            let (_, entry) = found.next_if(|(wanted, _)| std::ptr::eq(**wanted, *key))?;
            entry
        };
        keys.iter().map(entry).collect()
    }

    fn get_together(&self, keys: &[&Key]) -> Vec<Option<Entry>> {
        let mut found = Vec::with_capacity(keys.len());
        let outcome = self.call(|tier| {
            let mut failure = None;
            for outcome in tier.get_many(keys) {
                found.push(outcome.unwrap_or_else(|error| {
                    failure = Some(error);
                    None
                }));
            }
            failure.map_or(Ok(()), Err)
        });
        drop(outcome);
        // What a tier left out is as good as not found.
        found.resize(keys.len(), None);
        found
    }

    /// As [`Part::get`], for those who only look.
    pub(super) fn peek(&self, key: &Key) -> Option<Entry> {
        if self.debts.covers(key) {
            return None;
        }
        self.call(|tier| tier.peek(key)).ok().flatten()
    }

    /// Gives the tier the key's value for this term, told a while ago. What it does not take is owed.
    /// For whoever has the key's turn, where the tier is owed nothing wide of it.
    pub(super) fn put(
        &self,
        key: &Key,
        value: &Arc<[u8]>,
        version: u64,
        term: Term,
        ago: Duration,
    ) -> Result<bool> {
        let Some(term) = term.later(ago) else {
            return self.remove(key).map(|_| false);
        };
        let at_most = [term.at_most, self.at_most].into_iter().flatten().min();
        let term = Term { at_most, ..term };
        let outcome = self.call(|tier| tier.put(key, Arc::clone(value), version, term));
        self.note(key, outcome)
    }

    /// Takes the key out of the tier, or owes it that. Whether it was there for all that is known: what
    /// was owed was not. For whoever has the key's turn.
    pub(super) fn remove(&self, key: &Key) -> Result<bool> {
        let was_owed = self.debts.covers(key);
        let outcome = self.call(|tier| tier.remove(key));
        self.note(key, outcome).map(|there| there && !was_owed)
    }

    /// Settles what the key is owed, or owes it.
    pub(super) fn note<R>(&self, key: &Key, outcome: Result<R>) -> Result<R> {
        match &outcome {
            Ok(_) => self.debts.settle(key),
            Err(_) => self.owe(key),
        }
        outcome
    }

    /// The tier has missed a change of the key.
    pub(super) fn owe(&self, key: &Key) {
        if self.debts.owe(key)
            && let Some(ledger) = &self.ledger
        {
            ledger.note(self.tier.name(), Missed::Key(key));
        }
    }

    /// The tier has missed a removal of many keys.
    pub(super) fn owe_wide(&self, wide: &Wide) {
        self.debts.owe_wide(wide);
        if let Some(ledger) = &self.ledger {
            ledger.note(self.tier.name(), Missed::Wide(wide));
        }
    }

    /// Does what the tier is owed beyond single keys. Returns whether nothing of that is left; not if
    /// somebody else is at it.
    pub(super) fn pay_wide_debts(&self) -> bool {
        if self.debts.widest().is_none() {
            return true;
        }
        if self.paying.swap(true, Ordering::AcqRel) {
            return false;
        }
        let _paying = Paying(&self.paying);
        while let Some(wide) = self.debts.widest() {
            if self.take_out(&wide).is_err() {
                return false;
            }
            self.tell_paid();
        }
        true
    }

    /// Calls the listener when a debt was paid, and at once if that was so before; the first one that was
    /// given stays.
    pub(super) fn on_paid(&self, listener: Arc<dyn Fn() + Send + Sync>) {
        let is_untold = {
            let mut payments = self.payments.lock();
            if payments.listener.is_some() {
                return;
            }
            payments.listener = Some(Arc::clone(&listener));
            std::mem::take(&mut payments.is_untold)
        };
        if is_untold {
            listener();
        }
    }

    pub(super) fn tell_paid(&self) {
        let listener = {
            let mut payments = self.payments.lock();
            payments.is_untold = payments.listener.is_none();
            payments.listener.clone()
        };
        if let Some(listener) = listener {
            listener();
        }
    }

    /// Takes out everything, or what matches, and settles it; owes it if that fails.
    pub(super) fn take_out(&self, wide: &Wide) -> Result<()> {
        let mark = self.debts.mark();
        let outcome = self.call(|tier| match wide {
            Wide::All => tier.clear(),
            Wide::Matching(pattern) => tier.remove_matching(pattern).map(drop),
        });
        match &outcome {
            Ok(()) => self.debts.settle_wide(wide, mark),
            Err(_) => self.owe_wide(wide),
        }
        outcome
    }

    /// Whether its bytes are memory of this process, which a coordinator can win back.
    pub(super) fn is_memory(&self) -> bool {
        self.tier.usage().bytes.is_some()
    }

    pub(super) fn state(&self) -> TierState {
        TierState {
            name: self.tier.name().to_owned(),
            stats: caught(ErrorKind::Internal, || self.tier.tier_stats()),
            failures: self.failures.get(),
            owed: self.debts.owed(),
            is_let_alone: self.breaker.is_open(),
        }
    }

    /// Its own health, and what is wrong with it in this company.
    pub(super) fn health(&self) -> Health {
        let own = || Ok(self.tier.health());
        let mut health = caught(ErrorKind::Internal, own).unwrap_or_else(|error| {
            Health::healthy(self.tier.name()).but(HealthState::Unknown, Reason::from(&error))
        });
        if self.breaker.is_open() {
            let message = "it failed several times in a row, and is let alone until it answers";
            let reason = Reason::new("let-alone", message)
                .with_help("see why the tier fails; it is used again by itself");
            health = health.but(HealthState::Unhealthy, reason);
        }
        let owed = self.debts.owed();
        if !owed.is_nothing() {
            let what = if owed.is_whole {
                "all that it holds".to_owned()
            } else {
                format!("{} keys and {} patterns", owed.keys, owed.patterns)
            };
            let message = format!("it missed changes of {what}, and is not asked for these");
            let reason = Reason::new("owed", message).with_help("this is put right by itself");
            health = health.but(HealthState::Degraded, reason);
        }
        if self
            .ledger
            .as_ref()
            .is_some_and(|ledger| ledger.has_failed())
        {
            let message =
                "what it is owed cannot be written down, and would be forgotten by a crash";
            let reason = Reason::new("ledger", message)
                .with_help("see whether the disk is full; the log names the file");
            health = health.but(HealthState::Degraded, reason);
        }
        health
    }
}

/// Gives the right to pay back, also after a panic.
struct Paying<'p>(&'p AtomicBool);

impl Drop for Paying<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Whether the caller asked for what no tier can do: no failure of the tier.
fn is_of_the_input(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput
            | ErrorKind::InvalidPattern
            | ErrorKind::InvalidPath
            | ErrorKind::InvalidRecord
    )
}
