//! How a value that is not there is made: once for all who ask, in this process and in those that share
//! the tier. A load holds its place among the flights from before it begins; whatever changes its key
//! voids it, and what a voided load made is answered to those who waited, and never kept.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::KvCache;
use super::envelope::Envelope;
use super::found::Found;
use super::key::AsKey;
use super::leases::{Asked, Kept};
use super::polls::Polls;
use crate::error::{Error, ErrorKind, Result};
use crate::panics::caught;
use crate::single_flight::{Boarding, Joined, Lead, Waited};
use crate::tier::{Key, Lifetime, Term};

/// How often a caller takes over a load from one who was lost before it gives up.
pub(super) const MAX_LOST: usize = 8;

/// What was made: `None` if its source has no such value.
pub(super) type Made = Result<Option<Envelope>>;

/// A load in the hands of whoever makes it.
pub(super) type Flying<'f> = Lead<'f, Key, Option<Envelope>>;

/// Which value is to be made, for how long, and in place of what.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) key: Key,
    pub(super) term: Term,
    /// The version of what is there, stale or to be refreshed.
    pub(super) before: Option<u64>,
}

/// By which right a value is made.
pub(super) enum Right<'k> {
    /// Nobody else may make it, nor change it without our knowledge.
    Alone,
    /// That of a lease.
    Leased(Kept<'k>),
    /// The tier that processes share is away since then: what is made is kept in the others, as a copy,
    /// which leaves like any other when it is in doubt.
    Aside(Duration),
    /// Somebody else's, who takes too long, or the tier did not tell: what is made is answered, and not
    /// kept, as nobody would know of a change of the key meanwhile.
    None,
    /// There is no need: it was made meanwhile.
    Needless(Envelope),
}

impl KvCache {
    /// The value of the key; if there is none, the one that `loader` makes, kept for so long. However
    /// many ask at the same time, in this process and, where its tier is shared, in others, it is made
    /// once, and all get it, or the error: that is not kept. If whoever makes it panics or is cancelled,
    /// one of those who wait makes it with his own loader.
    ///
    /// A write of the key that ends while the value is made keeps it from being kept. A tier that fails is
    /// a miss; while one that processes share is away, what is made is kept in the others alone (see
    /// [`KvOptions::cross_process`](super::KvOptions::cross_process)). While the cache is switched off every call loads, those at the same time together.
    ///
    /// # Errors
    /// That of the loader, `Internal` if it panicked or asks for its own key; `TimedOut` if
    /// somebody else's load takes too long; `InvalidInput` for what is no key, a lifetime of 0, or a value
    /// that is not of this type. A stale value in its grace goes before any error of the loader.
    pub fn get_or_load<T: Serialize + DeserializeOwned>(
        &self,
        key: impl AsKey,
        lifetime: Lifetime,
        loader: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.get_or_load_unless(key, lifetime, |_| false, loader)
    }

    /// As [`KvCache::get_or_load`]; a value that is there and is refused is made anew, and goes before
    /// no error. What somebody else makes meanwhile is answered unasked.
    ///
    /// # Errors
    /// Those of [`KvCache::get_or_load`].
    pub(crate) fn get_or_load_unless<T: Serialize + DeserializeOwned>(
        &self,
        key: impl AsKey,
        lifetime: Lifetime,
        is_refused: impl Fn(&T) -> bool,
        loader: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let key = self.key(key)?;
        let term = self.counted(self.loaded_term(lifetime))?;
        let began = self.begins();
        let found = self.is_enabled().then(|| self.look(&key)).flatten();
        let order = Order {
            before: found.as_ref().map(|found| found.entry.version),
            key,
            term,
        };
        let (mut loader, mut own) = (Some(loader), None);
        let make = || {
            let began = self.0.clock.elapsed();
            let value = loader.take().ok_or_else(loaded_twice)?()?;
            let cost = self.0.clock.elapsed().saturating_sub(began);
            let envelope = Envelope::json(&value, self.0.options.schema, cost)?;
            own = Some(value);
            Ok(Some(envelope))
        };
        let read = |found| self.read(&order.key, found, Envelope::read::<T>);
        let value = found.as_ref().and_then(read);
        let value = value.filter(|value| !is_refused(value));
        let usable = found.as_ref().filter(|_| value.is_some());
        let is_hit = usable.is_some_and(|usable| {
            !usable.entry.is_stale() || self.0.options.stale_while_revalidate
        });
        self.asked(is_hit, began);
        let made = match (usable, value) {
            (Some(usable), Some(value)) if !usable.entry.is_stale() => {
                if self.is_early(usable, lifetime) {
                    self.refresh_here(&order, make);
                }
                return Ok(own.unwrap_or(value));
            }
            (Some(stale), _) if self.0.options.stale_while_revalidate => {
                self.refresh_or_stale(&order, stale, make)
            }
            _ => self.load_here(&order, make),
        };
        if let Some(value) = own {
            return Ok(value);
        }
        let made = self.or_stale(made, usable);
        let envelope = made?.ok_or_else(|| absent(&order.key))?;
        envelope.read().ok_or_else(|| another_type::<T>(&order.key))
    }

    /// Loads by the caller, or joins the load that is in progress.
    fn load_here(&self, order: &Order, make: impl FnOnce() -> Made) -> Made {
        for _ in 0..MAX_LOST {
            let joined = match self.0.flights.board(&order.key) {
                Boarding::Leads(lead) => return self.lead(lead, order, make),
                Boarding::Joins(joined) => joined,
            };
            match self.wait(&order.key, &joined, self.0.options.load_timeout) {
                // A source had none; the caller's own loader may know better.
                Waited::Landed(Ok(None)) | Waited::Lost => {}
                Waited::Landed(outcome) => return outcome,
                Waited::Late => return Err(late(&order.key, self.0.options.load_timeout)),
            }
        }
        Err(lost(&order.key))
    }

    /// Makes the value, keeps it if it may be kept, and tells those who wait.
    pub(super) fn lead(
        &self,
        lead: Flying<'_>,
        order: &Order,
        make: impl FnOnce() -> Made,
    ) -> Made {
        let right = self.right(order);
        self.lead_by(right, lead, order, make)
    }

    /// Makes the value anew while there is one that answers: nobody else's load is waited for. `None`
    /// if another process makes it, or what is made could not be kept.
    pub(super) fn lead_refresh(
        &self,
        lead: Flying<'_>,
        order: &Order,
        make: impl FnOnce() -> Made,
    ) -> Option<Made> {
        match self.right_within(order, &mut Polls::within(Duration::ZERO)) {
            Right::None => None,
            right => Some(self.lead_by(right, lead, order, make)),
        }
    }

    fn lead_by(
        &self,
        mut right: Right<'_>,
        lead: Flying<'_>,
        order: &Order,
        make: impl FnOnce() -> Made,
    ) -> Made {
        if let Right::Needless(envelope) = right {
            lead.land(Ok(Some(envelope.clone())));
            return Ok(Some(envelope));
        }
        self.0.counters.loads.bump();
        self.0.counters.refreshes.add(order.before.is_some().into());
        match caught(ErrorKind::Internal, || Ok(make())) {
            // Who waits makes it himself.
            Err(broken) | Ok(Err(broken)) if is_lost(&broken) => {
                drop((right, lead));
                self.failed(broken)
            }
            Err(panic) => {
                drop((right, lead));
                self.failed(panic.prefixed(&format!("the load of {}", order.key)))
            }
            Ok(Err(error)) => {
                drop(right);
                lead.land(Err(error.clone()));
                self.failed(error)
            }
            Ok(Ok(made)) => {
                self.keep(&lead, order, &mut right, made.as_ref());
                drop(right);
                lead.land(Ok(made.clone()));
                Ok(made)
            }
        }
    }

    pub(super) fn failed(&self, error: Error) -> Made {
        self.0.counters.load_errors.bump();
        self.counted(Err(error))
    }

    /// Waits for somebody else's load of the key. A thread of the pool makes it itself if it still waits
    /// for a thread: all of them may be waiting like this one.
    pub(super) fn wait(
        &self,
        key: &Key,
        joined: &Joined<Option<Envelope>>,
        time: Duration,
    ) -> Waited<Option<Envelope>> {
        self.0.counters.crowd(joined.waiters());
        let pool = &self.0.pool;
        let _awaits = pool.is_own_thread().then(|| pool.awaits(key));
        joined.wait_within(time)
    }

    /// The right to make the value: among processes, perhaps after another one has made it, or has
    /// been waited for.
    fn right(&self, order: &Order) -> Right<'_> {
        self.right_within(order, &mut Polls::within(self.0.options.load_timeout))
    }

    /// As [`KvCache::right`], for as long as the polls last.
    pub(super) fn right_within(&self, order: &Order, polls: &mut Polls) -> Right<'_> {
        if !self.is_enabled() {
            return Right::None;
        }
        if !self.0.tier.is_shared() {
            return match self.made_meanwhile(order) {
                Some(envelope) => Right::Needless(envelope),
                None => Right::Alone,
            };
        }
        // Whoever does not wait for others asks all the same: a lease is how a change by them is known of.
        let is_patient = self.0.options.cross_process;
        polls.anew();
        loop {
            let asked = self.counted(self.0.keeper.ask(&order.key));
            if let Some(envelope) = self.made_meanwhile(order) {
                return Right::Needless(envelope);
            }
            match asked {
                Ok(Asked::Granted(kept)) => return Right::Leased(kept),
                Ok(Asked::Held) if is_patient && polls.wait() => {}
                Err(away) if self.may_keep_aside(&away) => {
                    return Right::Aside(self.0.clock.elapsed());
                }
                Ok(Asked::Held) | Err(_) => return Right::None,
            }
        }
    }

    /// A fresh value that was put since the caller looked.
    fn made_meanwhile(&self, order: &Order) -> Option<Envelope> {
        let entry = self.counted(self.0.tier.peek(&order.key)).ok()??;
        let is_new = !entry.is_stale() && Some(entry.version) != order.before;
        let envelope = is_new.then(|| Envelope::open(&entry.value, self.0.options.schema));
        envelope.flatten()
    }

    /// What was made; a stale value in place of an error.
    pub(super) fn or_stale(&self, made: Made, found: Option<&Found>) -> Made {
        match (made, found) {
            (Err(_), Some(stale)) if stale.entry.is_stale() => {
                self.0.counters.stale_answers.bump();
                Ok(Some(stale.envelope.clone()))
            }
            (made, _) => made,
        }
    }
}

/// Whether the load was not made at all: told to stop.
fn is_lost(error: &Error) -> bool {
    error.kind() == ErrorKind::Cancelled
}

fn loaded_twice() -> Error {
    Error::new(ErrorKind::Internal, "a loader was called twice")
}

pub(super) fn lost(key: &Key) -> Error {
    let message = format!("every load of {key} was lost before it ended");
    Error::new(ErrorKind::Internal, message)
}

pub(super) fn late(key: &Key, time: Duration) -> Error {
    let message = format!("the load of {key} takes longer than {time:?}");
    Error::new(ErrorKind::TimedOut, message)
        .with_help("try again: it goes on; or allow it more time (load_timeout)")
}

fn absent(key: &Key) -> Error {
    Error::new(ErrorKind::NotFound, format!("its source has no {key}"))
}

pub(super) fn another_type<T>(key: &Key) -> Error {
    let asked = std::any::type_name::<T>();
    let message = format!("the value of {key} that was loaded is no {asked}");
    Error::new(ErrorKind::InvalidInput, message).with_help("ask for each key with one type")
}
