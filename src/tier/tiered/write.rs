//! Changing keys: under the key's turn, in the last tier first. A tier that does not take the change is
//! owed it; whoever had looked the key up before does not bring up what he found.

use std::sync::Arc;
use std::time::Duration;

use super::Tiered;
use super::debts::Wide;
use super::part::Part;
use crate::error::{Error, ErrorKind, Result};
use crate::panics::caught;
use crate::primitives::atomic::{AtomicUsize, Ordering};
use crate::tier::{Change, Entry, Key, KeyPattern, Lease, Lifetime, Term, Tier, Update};

/// What the tiers made of a change.
#[derive(Default)]
struct Tally {
    took: usize,
    /// Whether any of them kept the value, or had it.
    is_true: bool,
    failures: Vec<Error>,
}

impl Tally {
    fn add(&mut self, outcome: Result<bool>) {
        match outcome {
            Ok(is_true) => {
                self.took += 1;
                self.is_true |= is_true;
            }
            Err(error) => self.failures.push(error),
        }
    }
}

/// Nothing is copied between tiers as long as it lives.
struct WideRemoval<'w>(&'w AtomicUsize);

impl Drop for WideRemoval<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Tiered {
    pub(super) fn keep(
        &self,
        key: &Key,
        value: &Arc<[u8]>,
        version: u64,
        term: Term,
    ) -> Result<bool> {
        let (term, began) = (self.resolved(term)?, self.clock.elapsed());
        let _turn = self.turns.take(key)?;
        if self.is_bypassed() {
            self.owe_everywhere(key);
            return Ok(false);
        }
        let since = self.overtaken.since(key);
        let mut tally = Tally::default();
        for part in self.parts.iter().rev() {
            tally.add(self.put_in(part, key, value, version, term, began));
        }
        self.unless_overtaken(key, since);
        self.flights.void(key);
        self.finish(tally, || format!("keep {key}"))
    }

    pub(super) fn forget(&self, key: &Key) -> Result<bool> {
        let _turn = self.turns.take(key)?;
        if self.is_bypassed() {
            self.owe_everywhere(key);
            return Ok(false);
        }
        let mut tally = Tally::default();
        for part in self.parts.iter().rev() {
            tally.add(part.remove(key));
        }
        self.flights.void(key);
        self.finish(tally, || format!("forget {key}"))
    }

    /// Keeps what was made under a lease of the tier at that place, which says whether it is held.
    pub(super) fn keep_leased(
        &self,
        at: usize,
        key: &Key,
        lease: &Lease,
        value: &Arc<[u8]>,
        version: u64,
        term: Term,
    ) -> Result<bool> {
        let (term, began) = (self.resolved(term)?, self.clock.elapsed());
        let _turn = self.turns.take(key)?;
        if self.is_bypassed() {
            return Ok(false);
        }
        let shared = &self.parts[at];
        // A removal that it missed would have voided the lease.
        if shared.debts.covers(key) && !self.pay(at, key) {
            return Err(self.owed(shared, key));
        }
        let others = self.parts.iter().enumerate().rev();
        let others = others.filter(|(place, _)| *place != at);
        let since = self.overtaken.since(key);
        let filled = shared.call(|tier| tier.fill(key, lease, Arc::clone(value), version, term));
        let filled = shared.note(key, filled);
        match &filled {
            Ok(true) => others.for_each(|(_, part)| {
                if self.put_in(part, key, value, version, term, began).is_err() {
                    self.ring();
                }
            }),
            // What others hold may be older than what voided the lease.
            Ok(false) => others.for_each(|(_, part)| {
                if part.remove(key).is_err() {
                    self.ring();
                }
            }),
            Err(_) => self.ring(),
        }
        self.unless_overtaken(key, since);
        self.flights.void(key);
        filled
    }

    /// Keeps a value that was made while the shared tier could not be asked in the tiers that no other
    /// process has, if `may_keep` agrees to what there is: in these, and in the shared one, which may be back.
    pub(super) fn keep_aside(
        &self,
        key: &Key,
        value: &Arc<[u8]>,
        version: u64,
        term: Term,
        ago: Duration,
        may_keep: &dyn Fn(Option<&Entry>) -> bool,
    ) -> Result<bool> {
        let (term, began) = (self.resolved(term)?, self.clock.elapsed());
        let _turn = self.turns.take(key)?;
        // In this order: what voids the value is told by the second, unless it is new since the first.
        let since = self.overtaken.since(key);
        let held = self.parts.iter().filter_map(|part| part.peek(key));
        let held: Vec<Entry> = held.filter(|entry| !entry.is_stale()).collect();
        let is_agreed = match &held[..] {
            [] => may_keep(None),
            held => held.iter().all(|entry| may_keep(Some(entry))),
        };
        if !is_agreed {
            return Ok(false);
        }
        let mut tally = Tally::default();
        for part in self.own_parts().rev() {
            // One below the shared tier holds what is its own without a limit, and a copy as the others do.
            let most = part.tier.ttl();
            let most = term.at_most.map_or(most, |told| told.min(most));
            tally.add(match most.saturating_sub(ago) {
                Duration::ZERO => part.remove(key).map(|_| false),
                left => {
                    let at_most = Some(left);
                    let term = Term { at_most, ..term };
                    self.put_in(part, key, value, version, term, began)
                }
            });
        }
        self.unless_overtaken(key, since);
        self.flights.void(key);
        self.finish(tally, || format!("keep a copy of {key}"))
    }

    /// Changes the entry in the last tier that works, and brings what comes of it to those above. After a
    /// tier that does not work, that is done only where an upper one holds a fresh entry to go on from:
    /// elsewhere nobody knows what the tier that failed holds.
    pub(super) fn change(&self, key: &Key, change: &mut Change<'_>) -> Result<Option<Entry>> {
        let _turn = self.turns.take(key)?;
        if self.is_bypassed() {
            return Err(self.bypassed());
        }
        let (may_copy, since) = (self.may_copy(), self.overtaken.since(key));
        let mut failures = Vec::new();
        for at in (0..self.parts.len()).rev() {
            if self.parts[at].debts.covers(key) && !self.pay(at, key) {
                failures.push(self.owed(&self.parts[at], key));
                continue;
            }
            match self.change_in(at, key, change, may_copy, !failures.is_empty()) {
                Changed::Refused(error) => return Err(error),
                Changed::Left(entry) => return Ok(entry),
                Changed::Unknown => {}
                Changed::Made(entry) => {
                    let began = self.clock.elapsed();
                    // They have missed it, or hold nothing that goes with it.
                    if !failures.is_empty() {
                        self.parts[at + 1..].iter().for_each(|part| part.owe(key));
                        self.ring();
                    }
                    for part in self.parts[..at].iter().rev() {
                        self.follow(part, key, entry.as_ref().filter(|_| may_copy), began);
                    }
                    self.unless_overtaken(key, since);
                    self.flights.void(key);
                    return Ok(entry);
                }
                Changed::Failed { error, is_in_doubt } => {
                    // What wrote nothing holds what it held.
                    if is_in_doubt {
                        self.parts[at].owe(key);
                        self.ring();
                    }
                    failures.push(error);
                }
            }
        }
        self.flights.void(key);
        Err(self.nobody(&format!("change {key}"), &failures))
    }

    /// One tier's part of a change. An entry that it has lost for want of room, and one above it has
    /// not, is the one that is changed; not if others may have removed it. With `needs_entry`, only one
    /// that is fresh is changed, and none is made.
    fn change_in(
        &self,
        at: usize,
        key: &Key,
        change: &mut Change<'_>,
        may_copy: bool,
        needs_entry: bool,
    ) -> Changed {
        let part = &self.parts[at];
        let above = if may_copy && !part.tier.is_shared() {
            let mut above = self.parts[..at].iter();
            above.find_map(|part| part.peek(key).filter(|entry| !entry.is_stale()))
        } else {
            None
        };
        if let Err(error) = part.admit() {
            let is_in_doubt = false;
            return Changed::Failed { error, is_in_doubt };
        }
        let (mut refused, mut is_left, mut left) = (None, true, None);
        let mut is_unknown = false;
        let outcome = caught(ErrorKind::Internal, || {
            part.tier.update(key, &mut |held| {
                let held = held.filter(|held| !needs_entry || !held.is_stale());
                let entry = held.or(above.as_ref());
                is_unknown = needs_entry && entry.is_none();
                if is_unknown {
                    return Ok(Update::Leave);
                }
                let update = caught(ErrorKind::Internal, || change(entry));
                let update = update.inspect_err(|error| refused = Some(error.clone()))?;
                refused = None;
                is_left = update == Update::Leave;
                left = entry.cloned();
                self.told_in_times(update, held, entry)
                    .inspect_err(|error| refused = Some(error.clone()))
            })
        });
        match (outcome, refused) {
            (Err(_), Some(error)) => Changed::Refused(error),
            (outcome, _) => match part.account(outcome) {
                Ok(_) if is_unknown => Changed::Unknown,
                Ok(_) if is_left => Changed::Left(left),
                Ok(entry) => Changed::Made(entry),
                Err(error) => Changed::Failed {
                    error,
                    is_in_doubt: !is_left,
                },
            },
        }
    }

    /// The update with a term that means the same in every tier. An entry that the tier does not hold
    /// keeps what is left to the one above it, or gets what a new one gets.
    fn told_in_times(
        &self,
        update: Update,
        held: Option<&Entry>,
        entry: Option<&Entry>,
    ) -> Result<Update> {
        let Update::Put {
            value,
            version,
            term,
        } = update
        else {
            return Ok(update);
        };
        let term = match (term, held) {
            (None, Some(_)) => None,
            (None, None) => {
                let left = entry.and_then(Entry::term);
                Some(self.resolved(left.unwrap_or(Lifetime::Default.into()))?)
            }
            (Some(term), _) => Some(self.resolved(term)?),
        };
        Ok(Update::Put {
            value,
            version,
            term,
        })
    }

    /// Brings what came of a change below to an upper tier, or takes out what it had.
    fn follow(&self, part: &Part, key: &Key, entry: Option<&Entry>, began: Duration) {
        let copy = entry.and_then(|entry| Some((entry, entry.term()?)));
        let outcome = match copy {
            Some((entry, term)) => self.put_in(part, key, &entry.value, entry.version, term, began),
            None => part.remove(key),
        };
        if outcome.is_err() {
            self.ring();
        }
    }

    /// Puts in one tier what is put in all since `began`.
    fn put_in(
        &self,
        part: &Part,
        key: &Key,
        value: &Arc<[u8]>,
        version: u64,
        term: Term,
        began: Duration,
    ) -> Result<bool> {
        // What would be taken out again when that is paid, key and all, is not put.
        if part.debts.covers_widely(key) && !part.pay_wide_debts() {
            return Err(self.owed(part, key));
        }
        let ago = self.clock.elapsed().saturating_sub(began);
        part.put(key, value, version, term, ago)
    }

    pub(super) fn forget_matching(&self, pattern: &KeyPattern) -> Result<usize> {
        if let Some(key) = pattern.only() {
            return self.forget(&key).map(usize::from);
        }
        let count = self.count(pattern);
        let failures = self.take_out(&Wide::Matching(pattern.clone()))?;
        if failures.len() == self.parts.len() {
            let what = format!("forget what matches {:?}", pattern.as_str());
            return Err(self.nobody(&what, &failures));
        }
        Ok(count)
    }

    pub(super) fn forget_all(&self) -> Result<()> {
        let failures = self.take_out(&Wide::All)?;
        if failures.is_empty() {
            return Ok(());
        }
        Err(self.nobody("be cleared", &failures))
    }

    /// Takes out of every tier what matches, the last first. Returns those that failed.
    fn take_out(&self, wide: &Wide) -> Result<Vec<Error>> {
        let _removal = self.begin_wide_removal()?;
        let mut failures = Vec::new();
        for part in self.parts.iter().rev() {
            if self.is_bypassed() {
                part.owe_wide(wide);
            } else if let Err(error) = part.take_out(wide) {
                failures.push(error);
            }
        }
        match wide {
            Wide::All => self.flights.void_all(),
            Wide::Matching(pattern) => {
                let keys = self.flights.keys().into_iter();
                let matching = keys.filter(|key| pattern.matches(key.as_str()));
                matching.for_each(|key| self.flights.void(&key));
            }
        }
        if !failures.is_empty() {
            self.ring();
        }
        Ok(failures)
    }

    /// When it returns, whoever copied something from one tier to another has ended, and nobody begins.
    fn begin_wide_removal(&self) -> Result<WideRemoval<'_>> {
        self.wide_removals.fetch_add(1, Ordering::SeqCst);
        let removal = WideRemoval(&self.wide_removals);
        self.turns.barrier()?;
        Ok(removal)
    }

    /// Whether something may be copied from one tier to another. For whoever has a turn.
    pub(super) fn may_copy(&self) -> bool {
        self.wide_removals.load(Ordering::SeqCst) == 0
    }

    fn owe_everywhere(&self, key: &Key) {
        self.parts.iter().for_each(|part| part.owe(key));
        self.flights.void(key);
    }

    /// An error of a tier that is owed something about the key, and cannot be put right now.
    fn owed(&self, part: &Part, key: &Key) -> Error {
        let tier = part.tier.name();
        let message = format!("the tier `{tier}` has missed a change of {key}");
        Error::new(ErrorKind::Unavailable, message)
            .with_help("it is used again when it has been put right, which happens by itself")
    }

    /// The same term in times, which mean the same in every tier.
    fn resolved(&self, term: Term) -> Result<Term> {
        let time = term.lifetime.resolve(self.ttl())?;
        let lifetime = time.map_or(Lifetime::Never, Lifetime::For);
        Ok(Term { lifetime, ..term })
    }

    /// A change that some tier took has happened; the others are owed it.
    fn finish(&self, tally: Tally, what: impl Fn() -> String) -> Result<bool> {
        if !tally.failures.is_empty() {
            self.ring();
        }
        if tally.took == 0 {
            return Err(self.nobody(&what(), &tally.failures));
        }
        Ok(tally.is_true)
    }
}

/// What became of a change in one tier.
enum Changed {
    /// The caller's own error: nothing has changed.
    Refused(Error),
    /// The caller left the entry as it is.
    Left(Option<Entry>),
    /// The entry as it is now.
    Made(Option<Entry>),
    /// The tier has no fresh entry, which was needed.
    Unknown,
    /// The tier failed; with `is_in_doubt`, it may have changed it or not.
    Failed { error: Error, is_in_doubt: bool },
}
