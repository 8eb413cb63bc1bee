//! Looking a key up: from the fastest tier down, one look below the first for all who miss it there, and
//! what is found is brought up, unless a change has overtaken it.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use super::Tiered;
use super::copies::Since;
use crate::error::{ErrorKind, Result};
use crate::panics::caught;
use crate::single_flight::{Boarding, Joined, Lead};
use crate::tier::{Entry, Key, KeyPattern};

/// What a look below the first tier has found.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    entry: Entry,
    /// The place of the tier that has it.
    tier: usize,
    /// When that was asked for it, on the clock that never steps: no later than it was true.
    at: Duration,
}

impl Looked {
    /// The entry as it is now.
    fn now(self, now: Duration) -> Option<Entry> {
        self.entry.later(now.saturating_sub(self.at))
    }
}

impl Tiered {
    /// The entry of the key: one request, and one hit or one miss.
    pub(super) fn find(&self, key: &Key) -> Option<Entry> {
        let mut found = [None];
        if !self.is_bypassed() {
            found = [self.parts[0].get(key)];
            self.complete(&[key], &mut found);
        }
        let [found] = found;
        let counter = if found.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        counter.bump();
        found
    }

    /// The same for many keys, in their order.
    pub(super) fn find_many(&self, keys: &[&Key]) -> Vec<Option<Entry>> {
        let mut found = vec![None; keys.len()];
        if !self.is_bypassed() {
            found = self.parts[0].get_many(keys);
            self.complete(keys, &mut found);
        }
        let hits = found.iter().flatten().count() as u64;
        self.hits.add(hits);
        self.misses.add(keys.len() as u64 - hits);
        found
    }

    /// Asks the tiers below for what the first does not have, or has in its grace where another process
    /// may have put a fresh one.
    fn complete(&self, keys: &[&Key], found: &mut [Option<Entry>]) {
        let is_wanting = |entry: &Option<Entry>| match entry {
            None => true,
            Some(entry) => entry.is_stale() && self.is_shared_below(),
        };
        if self.parts.len() < 2 || !found.iter().any(is_wanting) {
            return;
        }
        let places = 0..keys.len();
        let wanting: Vec<usize> = places.filter(|at| is_wanting(&found[*at])).collect();
        let below: Vec<&Key> = wanting.iter().map(|at| keys[*at]).collect();
        for (at, entry) in wanting.into_iter().zip(self.find_below(&below)) {
            let is_better = |entry: &Entry| found[at].is_none() || !entry.is_stale();
            if let Some(entry) = entry.filter(is_better) {
                found[at] = Some(entry);
            }
        }
    }

    fn is_shared_below(&self) -> bool {
        self.shared().is_some_and(|(at, _)| at > 0)
    }

    /// What the tiers below the first have of these keys, each looked up once for all who ask.
    fn find_below(&self, keys: &[&Key]) -> Vec<Option<Entry>> {
        let mut found: Vec<Option<Entry>> = vec![None; keys.len()];
        let mut wanted: Vec<usize> = (0..keys.len()).collect();
        while !wanted.is_empty() {
            let (mut leads, mut joined) = (Vec::new(), Vec::new());
            for at in wanted.drain(..) {
                match self.flights.board(keys[at]) {
                    Boarding::Leads(lead) => leads.push((at, lead)),
                    Boarding::Joins(flight) => joined.push((at, flight)),
                }
            }
            // Before any is waited for: others may wait for these, whom we wait for.
            self.lead(leads, &mut found);
            for (at, flight) in joined {
                match self.join(flight) {
                    Some(entry) => found[at] = entry,
                    None => wanted.push(at),
                }
            }
        }
        found
    }

    /// Somebody else's look; `None` if it was lost.
    fn join(&self, flight: Joined<Option<Looked>>) -> Option<Option<Entry>> {
        // An error is the caller's own look, in the middle of which he asks: as good as not found.
        let looked = flight.wait()?.ok().flatten();
        Some(looked.and_then(|looked| looked.now(self.clock.elapsed())))
    }

    fn lead(
        &self,
        leads: Vec<(usize, Lead<'_, Key, Option<Looked>>)>,
        found: &mut [Option<Entry>],
    ) {
        let keys: Vec<&Key> = leads.iter().map(|(_, lead)| lead.key()).collect();
        let since: Vec<Since> = keys.iter().map(|key| self.overtaken.since(key)).collect();
        let looked = self.look_below(&keys);
        for (((place, lead), looked), since) in leads.into_iter().zip(looked).zip(since) {
            if let Some(looked) = &looked {
                self.promote(&lead, looked, since);
            }
            let entry = looked.clone();
            found[place] = entry.and_then(|looked| looked.now(self.clock.elapsed()));
            lead.land(Ok(looked));
        }
    }

    /// A fresh entry of each key from the first tier that has one, else one in its grace.
    fn look_below(&self, keys: &[&Key]) -> Vec<Option<Looked>> {
        // Somebody may have brought it up since it was missed.
        let at = self.clock.elapsed();
        let again = |key: &&Key| {
            let entry = self.parts[0].peek(key)?;
            Some(Looked { entry, tier: 0, at })
        };
        let mut found: Vec<Option<Looked>> = keys.iter().map(again).collect();
        for (tier, part) in self.parts.iter().enumerate().skip(1) {
            let is_wanting = |place: &usize| match &found[*place] {
                None => true,
                Some(looked) => looked.entry.is_stale(),
            };
            let wanting: Vec<usize> = (0..keys.len()).filter(is_wanting).collect();
            let wanted: Vec<&Key> = wanting.iter().map(|place| keys[*place]).collect();
            let at = self.clock.elapsed();
            for (place, entry) in wanting.into_iter().zip(part.get_many(&wanted)) {
                let is_better = |entry: &Entry| found[place].is_none() || !entry.is_stale();
                if let Some(entry) = entry.filter(is_better) {
                    found[place] = Some(Looked { entry, tier, at });
                }
            }
        }
        found
    }

    /// Brings what was found below to the tiers above, with its own version and end. Not if the key has
    /// been changed since, is being changed, or shares the turn of one that is: nobody waits to bring up.
    fn promote(&self, lead: &Lead<'_, Key, Option<Looked>>, looked: &Looked, since: Since) {
        let (key, entry) = (lead.key(), &looked.entry);
        let Some(term) = entry.term().filter(|_| looked.tier > 0) else {
            return;
        };
        if !self.found_below.are_enough(key) {
            return;
        }
        let Some(_turn) = self.turns.try_take(key) else {
            return;
        };
        // In this order: a removal of many keys that has ended since the first has voided the second.
        if !self.may_copy() || !lead.is_valid() {
            return;
        }
        for part in self.parts[..looked.tier].iter().rev() {
            if part.debts.covers_widely(key) {
                continue;
            }
            let ago = self.clock.elapsed().saturating_sub(looked.at);
            match part.put(key, &entry.value, entry.version, term, ago) {
                Ok(kept) => self.promotions.add(u64::from(kept)),
                Err(_) => self.ring(),
            }
        }
        self.unless_overtaken(key, since);
    }

    /// A fresh entry of the first tier that has one, else one in its grace; uncounted, and left where it
    /// is.
    pub(super) fn look(&self, key: &Key) -> Option<Entry> {
        if self.is_bypassed() {
            return None;
        }
        let mut found: Option<Entry> = None;
        for part in &self.parts {
            match part.peek(key) {
                Some(entry) if !entry.is_stale() => return Some(entry),
                stale => found = found.or(stale),
            }
        }
        found
    }

    /// Visits each key once.
    pub(super) fn list(
        &self,
        pattern: &KeyPattern,
        visit: &mut dyn FnMut(Key) -> ControlFlow<()>,
    ) -> Result<()> {
        if self.is_bypassed() {
            return Ok(());
        }
        let mut visited = HashSet::new();
        let (mut failures, mut panicked, mut is_over) = (Vec::new(), None, false);
        let mut answers = 0;
        for (at, part) in self.parts.iter().enumerate() {
            // Nobody comes after the last; one that is shared may come to a key twice.
            let is_remembered = at + 1 < self.parts.len() || part.tier.is_shared();
            let scanned = part.call(|tier| {
                tier.scan(pattern, &mut |key| {
                    if part.debts.covers(&key) || visited.contains(&key) {
                        return ControlFlow::Continue(());
                    }
                    if is_remembered {
                        visited.insert(key.clone());
                    }
                    // What the visitor does is no doing of the tier.
                    let step = caught(ErrorKind::Internal, || Ok(visit(key)));
                    let step = step.unwrap_or_else(|error| {
                        panicked = Some(error);
                        ControlFlow::Break(())
                    });
                    is_over = step.is_break();
                    step
                })
            });
            if let Some(error) = panicked {
                return Err(error);
            }
            match scanned {
                Ok(()) => answers += 1,
                Err(error) => failures.push(error),
            }
            if is_over {
                return Ok(());
            }
        }
        if answers == 0 {
            return Err(self.nobody("list its keys", &failures));
        }
        Ok(())
    }

    /// How many keys match, as far as that can be told.
    pub(super) fn count(&self, pattern: &KeyPattern) -> usize {
        let mut count = 0;
        let counted = self.list(pattern, &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        });
        if let Err(error) = counted {
            tracing::debug!(%error, "keys are not counted");
        }
        count
    }
}
