//! Many values that are not there, made together: one call of the loader for all that nobody else makes,
//! each key once among all batches that overlap.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::KvCache;
use super::envelope::Envelope;
use super::found::Found;
use super::key::AsKey;
use super::load::{Flying, MAX_LOST, Made, Order, Right, another_type, late, lost};
use super::polls::Polls;
use crate::error::{Error, ErrorKind, Result};
use crate::panics::caught;
use crate::single_flight::{Boarding, Joined, Waited};
use crate::tier::{Key, Lifetime};

/// What is known of each key of a batch, in its order.
struct Batch<T> {
    /// When its keys were looked for, where somebody wants to know how long that took.
    began: Option<Duration>,
    orders: Vec<Option<Order>>,
    stale: Vec<Option<Found>>,
    values: Vec<Option<Result<Option<T>>>>,
}

/// A load that this batch makes: where in the batch, and by which right.
struct Led<'c> {
    at: usize,
    lead: Flying<'c>,
    right: Right<'c>,
}

/// Loads of others that this batch waits for: where in the batch.
type Joins = Vec<(usize, Joined<Option<Envelope>>)>;

impl KvCache {
    /// The values of the keys, in their order; those that are missing are made by one call of `loader`,
    /// which is given their keys and returns what it has of them. As [`KvCache::get_or_load`] otherwise:
    /// a key that is being loaded already, alone or in another batch, is waited for. `None` for what the
    /// loader does not have, which is not kept. All that others make is waited for for
    /// [`KvOptions::load_timeout`](super::KvOptions::load_timeout) in all. The loader is called again for keys whose load was lost
    /// by others.
    ///
    /// # Errors
    /// For each key those of [`KvCache::get_or_load`]; an error of the loader is that of all its keys.
    pub fn get_many_or_load<T: Serialize + DeserializeOwned>(
        &self,
        keys: &[impl AsKey],
        lifetime: Lifetime,
        mut loader: impl FnMut(&[Key]) -> Result<HashMap<Key, T>>,
    ) -> Vec<Result<Option<T>>> {
        let mut batch = self.look_for_batch(keys, lifetime);
        let mut polls = Polls::within(self.0.options.load_timeout);
        for _ in 0..MAX_LOST {
            let missing: Vec<usize> = batch.missing().collect();
            if missing.is_empty() {
                break;
            }
            let (led, joins) = self.board_all(&mut batch, &missing, &mut polls);
            // Those that are led land before any other is waited for.
            self.load_led(led, &mut batch, &mut loader);
            for (at, joined) in joins {
                self.await_joined(at, &joined, &mut batch, &mut polls);
            }
        }
        batch.outcomes()
    }

    /// Makes the values of those keys that have none, as [`KvCache::get_many_or_load`] does, and returns
    /// how many were there to be had, made or not. What fails stops no other.
    pub fn warm<T: Serialize + DeserializeOwned>(
        &self,
        keys: &[impl AsKey],
        lifetime: Lifetime,
        loader: impl FnMut(&[Key]) -> Result<HashMap<Key, T>>,
    ) -> usize {
        let values = self.get_many_or_load::<T>(keys, lifetime, loader);
        values.into_iter().flatten().flatten().count()
    }

    fn look_for_batch<T: DeserializeOwned>(
        &self,
        keys: &[impl AsKey],
        lifetime: Lifetime,
    ) -> Batch<T> {
        let mut batch = Batch {
            began: self.begins(),
            orders: Vec::new(),
            stale: Vec::new(),
            values: Vec::new(),
        };
        for key in keys {
            let order = self.key(key).and_then(|key| {
                let term = self.counted(self.loaded_term(lifetime))?;
                let before = None;
                Ok(Order { key, term, before })
            });
            batch.stale.push(None);
            batch.values.push(order.as_ref().err().cloned().map(Err));
            batch.orders.push(order.ok());
        }
        if !self.is_enabled() {
            return batch;
        }
        let asked: Vec<usize> = batch.missing().collect();
        let keys: Vec<&Key> = asked.iter().filter_map(|at| batch.key(*at)).collect();
        let found = self.look_many(&keys);
        for (at, found) in asked.into_iter().zip(found) {
            self.take_found(at, found, &mut batch);
        }
        batch
    }

    /// Answers with what was found, if it is fresh and can be read.
    fn take_found<T: DeserializeOwned>(
        &self,
        at: usize,
        found: Option<Found>,
        batch: &mut Batch<T>,
    ) {
        let Some(order) = &mut batch.orders[at] else {
            return;
        };
        let is_stale = |found: &Found| found.entry.is_stale();
        let fresh = found.as_ref().filter(|found| !is_stale(found));
        let value = fresh.and_then(|found| self.read(&order.key, found, Envelope::read));
        self.asked(value.is_some(), batch.began);
        order.before = found.as_ref().map(|found| found.entry.version);
        batch.stale[at] = found.filter(is_stale);
        batch.values[at] = value.map(|value| Ok(Some(value)));
    }

    /// Begins the loads of what is missing, or joins those of others.
    fn board_all<'c, T: DeserializeOwned>(
        &'c self,
        batch: &mut Batch<T>,
        missing: &[usize],
        polls: &mut Polls,
    ) -> (Vec<Led<'c>>, Joins) {
        let (mut leads, mut joins): (Vec<(usize, Flying<'_>)>, _) = (Vec::new(), Vec::new());
        for &at in missing {
            let Some(order) = &batch.orders[at] else {
                continue;
            };
            match self.0.flights.board(&order.key) {
                Boarding::Leads(lead) => leads.push((at, lead)),
                Boarding::Joins(joined) => joins.push((at, joined)),
            }
        }
        // All processes ask in one order, so that no two of them wait for each other.
        leads.sort_unstable_by(|(_, one), (_, other)| one.key().cmp(other.key()));
        let mut led = Vec::new();
        for (at, lead) in leads {
            let Some(order) = &batch.orders[at] else {
                continue;
            };
            match self.right_within(order, polls) {
                Right::Needless(envelope) => {
                    lead.land(Ok(Some(envelope.clone())));
                    batch.values[at] = Some(self.opened(at, Ok(Some(envelope)), batch));
                }
                right => led.push(Led { at, lead, right }),
            }
        }
        (led, joins)
    }

    /// Makes what this batch leads, keeps it, and tells those who wait.
    fn load_led<T: Serialize + DeserializeOwned>(
        &self,
        led: Vec<Led<'_>>,
        batch: &mut Batch<T>,
        loader: &mut impl FnMut(&[Key]) -> Result<HashMap<Key, T>>,
    ) {
        if led.is_empty() {
            return;
        }
        let keys: Vec<Key> = led.iter().map(|led| led.lead.key().clone()).collect();
        self.0.counters.loads.add(keys.len() as u64);
        let orders = led.iter().filter_map(|led| batch.orders[led.at].as_ref());
        let refreshes = orders.filter(|order| order.before.is_some()).count();
        self.0.counters.refreshes.add(refreshes as u64);
        let began = self.0.clock.elapsed();
        let loaded = caught(ErrorKind::Internal, || Ok(loader(&keys)));
        let took = self.0.clock.elapsed().saturating_sub(began);
        let cost = took / u32::try_from(keys.len()).unwrap_or(u32::MAX);
        match loaded {
            Ok(Ok(mut values)) => {
                for led in led {
                    let value = values.remove(led.lead.key());
                    let (at, outcome) = self.land_one(led, value, cost, batch);
                    batch.values[at] = Some(outcome);
                }
            }
            Ok(Err(error)) if error.kind() != ErrorKind::Cancelled => {
                for Led { at, lead, right } in led {
                    drop(right);
                    lead.land(Err(error.clone()));
                    let made = self.failed(error.clone());
                    batch.values[at] = Some(self.opened(at, made, batch));
                }
            }
            // Who waits makes it himself.
            Ok(Err(broken)) | Err(broken) => {
                let broken = broken.prefixed("the load of many values");
                for Led { at, lead, right } in led {
                    drop((right, lead));
                    let made = self.failed(broken.clone());
                    batch.values[at] = Some(self.opened(at, made, batch));
                }
            }
        }
    }

    fn land_one<T: Serialize>(
        &self,
        led: Led<'_>,
        value: Option<T>,
        cost: Duration,
        batch: &Batch<T>,
    ) -> (usize, Result<Option<T>>) {
        let Led {
            at,
            lead,
            mut right,
        } = led;
        let sealed = value
            .as_ref()
            .map(|value| Envelope::json(value, self.0.options.schema, cost));
        let made = sealed.transpose();
        if let (Ok(made), Some(order)) = (&made, &batch.orders[at]) {
            self.keep(&lead, order, &mut right, made.as_ref());
        }
        drop(right);
        lead.land(made.clone());
        (at, made.map(|_| value))
    }

    fn await_joined<T: DeserializeOwned>(
        &self,
        at: usize,
        joined: &Joined<Option<Envelope>>,
        batch: &mut Batch<T>,
        polls: &mut Polls,
    ) {
        let Some(key) = batch.key(at) else {
            return;
        };
        let made = match polls.spend(|left| self.wait(key, joined, left)) {
            Waited::Landed(outcome) => outcome,
            Waited::Late => Err(late(key, self.0.options.load_timeout)),
            Waited::Lost => return,
        };
        batch.values[at] = Some(self.opened(at, made, batch));
    }

    /// What was made, as a value; a stale one in place of an error.
    fn opened<T: DeserializeOwned>(
        &self,
        at: usize,
        made: Made,
        batch: &Batch<T>,
    ) -> Result<Option<T>> {
        let Some(envelope) = self.or_stale(made, batch.stale[at].as_ref())? else {
            return Ok(None);
        };
        let unreadable = || match batch.key(at) {
            Some(key) => another_type::<T>(key),
            None => Error::new(ErrorKind::Internal, "a value of no key was loaded"),
        };
        envelope.read().map(Some).ok_or_else(unreadable)
    }
}

impl<T> Batch<T> {
    /// What has no answer yet.
    fn missing(&self) -> impl Iterator<Item = usize> {
        (0..self.values.len()).filter(|at| self.values[*at].is_none())
    }

    fn key(&self, at: usize) -> Option<&Key> {
        self.orders[at].as_ref().map(|order| &order.key)
    }

    fn outcomes(self) -> Vec<Result<Option<T>>> {
        let lost = |order: Option<Order>| match order {
            Some(order) => lost(&order.key),
            None => Error::new(ErrorKind::Internal, "a load of no key was lost"),
        };
        let each = self.values.into_iter().zip(self.orders);
        each.map(|(value, order)| value.unwrap_or_else(|| Err(lost(order))))
            .collect()
    }
}
