//! `Flights`: one load a key at a time, shared by all who ask; an invalidation beats the load that
//! began before it; a leader that breaks hands over, and nobody waits for good.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use libtest_mimic::Trial;
use shuttle::thread::{self, JoinHandle};

use crate::error::{Error, ErrorKind, Result};
use crate::explore::{claim, join};
use crate::primitives::Mutex;
use crate::single_flight::{Boarding, Flights, Lead};

pub(crate) fn claims() -> Vec<Trial> {
    vec![
        claim(
            "flights: two fills of a key are one load at a time",
            10_000,
            one_load,
        ),
        claim(
            "flights: an invalidation beats the load before it",
            10_000,
            void_beats,
        ),
        claim("flights: all are voided at once", 10_000, void_all_beats),
        claim(
            "flights: an invalidation beside another one has its effect when it returns",
            10_000,
            voids_beside_each_other,
        ),
        claim(
            "flights: a leader that breaks hands over",
            10_000,
            hand_over,
        ),
        claim("flights: an error is told and not remembered", 5000, errors),
    ]
}

/// A place that is loaded from, the flights to it, and the copy that they fill.
#[derive(Default)]
struct Airport {
    flights: Flights<u8, u32>,
    /// What is true now: the number of the last change of each key.
    truth: Mutex<[u32; 2]>,
    /// What is kept, if anything.
    copy: Mutex<[Option<u32>; 2]>,
    /// The last change of each key that everybody may count on.
    announced: Mutex<[u32; 2]>,
    /// Loads in progress, and loads that have ended.
    loading: Mutex<[(u32, u32); 2]>,
}

fn spawn(airport: &Arc<Airport>, body: impl FnOnce(&Airport) + Send + 'static) -> JoinHandle<()> {
    let airport = Arc::clone(airport);
    thread::spawn(move || body(&airport))
}

impl Airport {
    /// As a cache does it: the copy, or one load of it for all.
    fn get(&self, key: u8) -> Result<u32> {
        self.get_by(key, |_| Ok(()))
    }

    fn get_by(&self, key: u8, before: impl Fn(&Self) -> Result<()>) -> Result<u32> {
        let slot = usize::from(key);
        loop {
            if let Some(value) = self.copy.lock()[slot] {
                return Ok(value);
            }
            match self.flights.board(&key) {
                Boarding::Leads(lead) => {
                    let outcome = before(self).map(|()| self.load(&lead));
                    lead.land(outcome.clone());
                    return outcome;
                }
                Boarding::Joins(joined) => {
                    if let Some(outcome) = joined.wait() {
                        return outcome;
                    }
                }
            }
        }
    }

    fn load(&self, lead: &Lead<'_, u8, u32>) -> u32 {
        let slot = usize::from(*lead.key());
        self.loading.lock()[slot].0 += 1;
        let value = self.truth.lock()[slot];
        lead.store(|| self.copy.lock()[slot] = Some(value));
        let mut loading = self.loading.lock();
        loading[slot].0 -= 1;
        loading[slot].1 += 1;
        value
    }

    /// As a cache does it: change, void, drop the copy. Whoever asks from now on sees the change.
    fn change(&self, key: u8) -> u32 {
        let number = {
            let mut truth = self.truth.lock();
            truth[usize::from(key)] += 1;
            truth[usize::from(key)]
        };
        self.flights.void(&key);
        self.copy.lock()[usize::from(key)] = None;
        self.announced.lock()[usize::from(key)] = number;
        number
    }

    /// Nothing is left in the air, and no copy is older than the truth.
    fn at_rest(&self) {
        let (truth, copy) = (*self.truth.lock(), *self.copy.lock());
        for (copy, truth) in copy.iter().zip(&truth) {
            assert!(
                copy.is_none_or(|copy| copy == *truth),
                "{copy:?} of {truth}"
            );
        }
        assert!(matches!(self.flights.board(&0), Boarding::Leads(_)));
        assert!(matches!(self.flights.board(&1), Boarding::Leads(_)));
    }
}

fn one_load() {
    let airport = Arc::new(Airport::default());
    let get = |airport: &Airport| {
        let alone = |airport: &Airport| {
            assert_eq!(airport.loading.lock()[0].0, 0, "somebody else loads it");
            Ok(())
        };
        assert_eq!(airport.get_by(0, alone).unwrap(), 0);
    };
    join([
        spawn(&airport, get),
        spawn(&airport, get),
        spawn(&airport, get),
    ]);
    assert!(airport.loading.lock()[0].1 <= 3);
    airport.at_rest();
}

fn void_beats() {
    let airport = Arc::new(Airport::default());
    let asks = |airport: &Airport| {
        for _ in 0..2 {
            let announced = airport.announced.lock()[0];
            assert!(airport.get(0).unwrap() >= announced);
        }
    };
    join([
        spawn(&airport, |airport| {
            airport.change(0);
            let number = airport.change(0);
            assert!(airport.get(0).unwrap() >= number, "its own change");
            let number = airport.change(0);
            assert!(airport.get(0).unwrap() >= number, "its own change");
        }),
        spawn(&airport, asks),
        spawn(&airport, asks),
    ]);
    airport.at_rest();
}

fn void_all_beats() {
    let airport = Arc::new(Airport::default());
    join([
        spawn(&airport, |airport| {
            *airport.truth.lock() = [5, 6];
            airport.flights.void_all();
            *airport.copy.lock() = [None; 2];
            assert_eq!((airport.get(1).unwrap(), airport.get(0).unwrap()), (6, 5));
        }),
        spawn(&airport, |airport| drop((airport.get(0), airport.get(1)))),
        spawn(&airport, |airport| drop((airport.get(1), airport.get(0)))),
    ]);
    airport.at_rest();
}

/// Whoever clears has voided the load, or is about to; who changes the key next may not count on that.
fn voids_beside_each_other() {
    let airport = Arc::new(Airport::default());
    let clears = |airport: &Airport| {
        airport.flights.void_all();
        *airport.copy.lock() = [None; 2];
    };
    join([
        spawn(&airport, |airport| drop(airport.get(0))),
        spawn(&airport, clears),
        spawn(&airport, |airport| {
            let number = airport.change(0);
            assert!(airport.get(0).unwrap() >= number, "its own change");
        }),
    ]);
    airport.at_rest();
}

/// One thread breaks in the middle of its load: the others come through.
fn hand_over() {
    let airport = Arc::new(Airport::default());
    join([
        spawn(&airport, |airport| {
            let breaks = |_: &Airport| resume_unwind(Box::new("the loader breaks"));
            let _ = catch_unwind(AssertUnwindSafe(|| airport.get_by(0, breaks)));
        }),
        spawn(&airport, |airport| assert_eq!(airport.get(0).unwrap(), 0)),
        spawn(&airport, |airport| assert_eq!(airport.get(0).unwrap(), 0)),
    ]);
    airport.at_rest();
}

fn errors() {
    let airport = Arc::new(Airport::default());
    join([
        spawn(&airport, |airport| {
            let fails = |_: &Airport| Err(Error::new(ErrorKind::DatabaseBusy, "down"));
            let _ = airport.get_by(0, fails);
        }),
        spawn(&airport, |airport| {
            if let Err(error) = airport.get(0) {
                assert_eq!(error.kind(), ErrorKind::DatabaseBusy);
                assert_eq!(airport.get(0).unwrap(), 0, "the second load is our own");
            }
        }),
    ]);
    airport.at_rest();
}
