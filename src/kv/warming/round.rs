//! One round of warming: each loader is called once, on one of a few threads.

use std::sync::Arc;
use std::time::Duration;

use super::pacer::Pacer;
use super::report::Warmed;
use super::room::Room;
use super::{Made, Named, StopSign, Warmer, Warmth};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::kv::KvCache;
use crate::kv::envelope::Envelope;
use crate::panics::caught;
use crate::primitives::atomic::{AtomicUsize, Ordering};
use crate::primitives::{Condvar, Mutex, thread};
use crate::tier::{Key, Lifetime};

/// How long loaders may take to see their stop sign before they are left behind.
const STOP_WAIT: Duration = Duration::from_millis(500);
/// How often whoever waits looks whether it was stopped.
const LOOK: Duration = Duration::from_millis(20);

/// A round, shared by its threads. One that is left behind keeps nothing: it sees the stop sign first.
pub(super) struct Round {
    cache: KvCache,
    lifetime: Lifetime,
    clock: Arc<dyn Clock>,
    pacer: Arc<Pacer>,
    room: Room,
    loaders: Vec<Named>,
    next: AtomicUsize,
    stop: StopSign,
    outcomes: Mutex<Vec<Option<Warmed>>>,
    done: Condvar,
}

impl Round {
    pub(super) fn new(warmer: &Warmer, loaders: Vec<Named>) -> Arc<Self> {
        let tier = Arc::clone(warmer.cache.tier());
        Arc::new(Round {
            cache: warmer.cache.clone(),
            lifetime: warmer.options.lifetime,
            clock: Arc::clone(&warmer.clock),
            pacer: Arc::clone(&warmer.pacer),
            room: Room::of(tier, warmer.options.share),
            outcomes: Mutex::new(vec![None; loaders.len()]),
            loaders,
            next: AtomicUsize::new(0),
            stop: StopSign::default(),
            done: Condvar::new(),
        })
    }

    pub(super) fn stop(&self) {
        self.stop.0.store(true, Ordering::Relaxed);
        self.done.notify_all();
    }

    /// Makes it, and returns what came of each loader.
    ///
    /// # Errors
    /// `Io` if no thread can be started.
    pub(super) fn make(self: &Arc<Self>, workers: usize, timeout: Duration) -> Result<Vec<Warmed>> {
        for started in 0..workers.min(self.loaders.len()) {
            let round = Arc::clone(self);
            let thread = thread::Builder::new().name("cardex-warm".to_owned());
            match thread.spawn(move || round.work()) {
                Ok(_) => {}
                // Fewer do it too.
                Err(error) if started > 0 => tracing::warn!(%error, "too few threads for warming"),
                Err(error) => {
                    let message = "cannot start a thread for warming";
                    return Err(Error::new(ErrorKind::Io, message).because(error));
                }
            }
        }
        self.wait(timeout);
        Ok(self.take_outcomes())
    }

    /// Waits until all is done, or until it was stopped and those who see it have ended.
    fn wait(&self, timeout: Duration) {
        let end = std::time::Instant::now() + timeout;
        let mut outcomes = self.outcomes.lock();
        let is_open = |outcomes: &mut Vec<Option<Warmed>>| outcomes.iter().any(Option::is_none);
        while is_open(&mut outcomes) && !self.stop.is_up() {
            if std::time::Instant::now() >= end {
                self.stop();
            }
            self.done.wait_while_for(&mut outcomes, is_open, LOOK);
        }
        self.done.wait_while_for(&mut outcomes, is_open, STOP_WAIT);
        // Nothing is kept from here on, whoever is still at work.
        self.stop();
    }

    fn take_outcomes(&self) -> Vec<Warmed> {
        let outcomes = self.outcomes.lock();
        let pairs = outcomes.iter().zip(&self.loaders);
        let taken = pairs.map(|(outcome, named)| {
            let left_behind = || Warmed {
                loader: named.name.clone(),
                error: Some("it was not done in time, or was stopped".to_owned()),
                ..Warmed::default()
            };
            outcome.clone().unwrap_or_else(left_behind)
        });
        taken.collect()
    }

    /// What each thread does.
    fn work(&self) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(named) = self.loaders.get(at).filter(|_| !self.stop.is_up()) else {
                return;
            };
            let warmed = self.warm(named);
            self.outcomes.lock()[at] = Some(warmed);
            self.done.notify_all();
        }
    }

    fn warm(&self, named: &Named) -> Warmed {
        let mut warmed = Warmed {
            loader: named.name.clone(),
            ..Warmed::default()
        };
        // Whatever changes from here on is not kept.
        let watch = self.cache.watch();
        let began = self.clock.elapsed();
        let made = caught(ErrorKind::Internal, || (named.loader)(&self.stop));
        let cost = self.clock.elapsed().saturating_sub(began);
        let kept = made
            .and_then(|made| self.entries(&named.name, made, cost))
            .and_then(|entries| {
                for (key, envelope) in entries {
                    self.keep(&watch, &key, &envelope, &mut warmed)?;
                }
                Ok(())
            });
        warmed.error = kept.err().map(|error| format!("{error:#}"));
        warmed
    }

    /// What a loader made, ready to be put. Nothing of it is, if one of its keys is none.
    fn entries(&self, name: &str, made: Warmth, cost: Duration) -> Result<Vec<(Key, Envelope)>> {
        let entries = match made.0 {
            Made::One(value) => vec![(name.to_owned(), value)],
            Made::Many(entries) => entries,
        };
        let each = u32::try_from(entries.len()).unwrap_or(u32::MAX).max(1);
        let ready = entries.into_iter().map(|(key, value)| {
            let envelope = Envelope::json(&value, self.cache.options().schema, cost / each)?;
            Ok((Key::new(&key)?, envelope))
        });
        ready.collect()
    }

    /// Puts one entry, if there is room and its key was not changed meanwhile.
    fn keep(
        &self,
        watch: &crate::kv::watch::Watch<'_>,
        key: &Key,
        envelope: &Envelope,
        warmed: &mut Warmed,
    ) -> Result<()> {
        let reserved = self.room.reserve(key, envelope.payload().len());
        let Some(reserved) = reserved else {
            warmed.left_out += 1;
            return Ok(());
        };
        if !self.pacer.wait(&*self.clock, &self.stop.0) {
            let message = "it was stopped before all was kept";
            return Err(Error::new(ErrorKind::Cancelled, message));
        }
        let term = self.cache.term(self.lifetime)?;
        let kept = self.cache.put_watched(watch, key, envelope, term);
        drop(reserved);
        match kept? {
            true => warmed.kept += 1,
            false => warmed.left_out += 1,
        }
        Ok(())
    }
}
