//! `Flights`: many who miss the same thing share one load of it. A load holds a lease from before it
//! begins; an invalidation voids the lease, and what a voided load brings may be answered to those
//! who waited for it, but is never stored.

use std::borrow::Borrow;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use crate::error::{Error, ErrorKind, Result};
use crate::primitives::thread::{self, ThreadId};
use crate::primitives::{Condvar, Mutex};

/// How often the making of something is taken over from one who was lost.
const MAX_LOST: usize = 8;

/// The loads in progress. At most one a key that is not voided.
#[derive(Debug)]
pub(crate) struct Flights<K, V> {
    /// Taken before a flight's state, never after.
    table: Mutex<HashMap<K, Arc<Flight<V>>>>,
}

/// What a caller is to do about a key.
#[derive(Debug)]
pub(crate) enum Boarding<'f, K: Eq + Hash, V: Clone> {
    /// Load it.
    Leads(Lead<'f, K, V>),
    /// Wait for somebody else's load of it.
    Joins(Joined<V>),
}

/// A load in progress, in the hands of whoever makes it. Dropped before it has landed, also by a
/// panic, it is lost, and one of those who wait has to load.
#[derive(Debug)]
pub(crate) struct Lead<'f, K: Eq + Hash, V: Clone> {
    flights: Table<'f, K, V>,
    key: K,
    flight: Arc<Flight<V>>,
}

/// A place among those who wait for a load.
#[derive(Debug)]
pub(crate) struct Joined<V>(Arc<Flight<V>>);

/// Where a load is listed: a load that is handed to another thread keeps the list.
#[derive(Debug)]
enum Table<'f, K, V> {
    Lent(&'f Flights<K, V>),
    Kept(Arc<Flights<K, V>>),
}

impl<K, V> Deref for Table<'_, K, V> {
    type Target = Flights<K, V>;

    fn deref(&self) -> &Flights<K, V> {
        match self {
            Table::Lent(flights) => flights,
            Table::Kept(flights) => flights,
        }
    }
}

/// How a wait ended that had a bound.
#[derive(Debug)]
pub(crate) enum Waited<V> {
    /// With the outcome of the load.
    Landed(Result<V>),
    /// The load was lost: whoever waited may lead the next one.
    Lost,
    /// The load goes on.
    Late,
}

#[derive(Debug)]
struct Flight<V> {
    state: Mutex<State<V>>,
    landed: Condvar,
}

#[derive(Debug)]
struct State<V> {
    valid: bool,
    /// Who makes it; nobody while it is handed over.
    leader: Option<ThreadId>,
    outcome: Outcome<V>,
}

#[derive(Debug)]
enum Outcome<V> {
    Pending,
    Landed(Result<V>),
    Lost,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Flights {
            table: Mutex::new(HashMap::new()),
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Flights<K, V> {
    /// Begins a load of the key, or joins the one that is in progress. Whoever leads several loads
    /// lands them all before it waits for any.
    pub(crate) fn board(&self, key: &K) -> Boarding<'_, K, V> {
        self.board_from(Table::Lent(self), key)
    }

    /// As [`Flights::board`]; the load may be handed to another thread.
    pub(crate) fn board_kept(self: &Arc<Self>, key: &K) -> Boarding<'static, K, V>
    where
        K: 'static,
        V: 'static,
    {
        self.board_from(Table::Kept(Arc::clone(self)), key)
    }

    fn board_from<'f>(&self, flights: Table<'f, K, V>, key: &K) -> Boarding<'f, K, V> {
        let mut table = self.table.lock();
        if let Some(flight) = table.get(key) {
            return Boarding::Joins(Joined(Arc::clone(flight)));
        }
        let flight = Arc::new(Flight {
            state: Mutex::new(State {
                valid: true,
                leader: Some(thread::current().id()),
                outcome: Outcome::Pending,
            }),
            landed: Condvar::new(),
        });
        table.insert(key.clone(), Arc::clone(&flight));
        drop(table);
        Boarding::Leads(Lead {
            flights,
            key: key.clone(),
            flight,
        })
    }

    /// What is found, or else made: by one of those who want it, for all of them. `found` finds what was
    /// made before.
    ///
    /// # Errors
    /// Those of `make`, which everybody gets who waited for it.
    pub(crate) fn once(
        &self,
        key: &K,
        found: impl Fn() -> Option<V>,
        make: impl Fn() -> Result<V>,
    ) -> Result<V> {
        for _ in 0..MAX_LOST {
            if let Some(found) = found() {
                return Ok(found);
            }
            match self.board(key) {
                Boarding::Leads(lead) => {
                    let made = found().map_or_else(&make, Ok);
                    lead.land(made.clone());
                    return made;
                }
                Boarding::Joins(joined) => {
                    if let Some(made) = joined.wait() {
                        return made;
                    }
                }
            }
        }
        let message = "what many wait for was lost again and again while it was made";
        Err(Error::new(ErrorKind::Internal, message))
    }

    /// Voids the load of a key that is in progress. Whoever asks from now on begins another one.
    pub(crate) fn void<Q: Eq + Hash + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        let mut table = self.table.lock();
        let flight = table.remove(key);
        // Under the table's lock: whoever does not find the load there may count on that it is void.
        if let Some(flight) = &flight {
            flight.state.lock().valid = false;
        }
        drop(table);
    }

    /// What is being loaded at this moment.
    pub(crate) fn keys(&self) -> Vec<K> {
        self.table.lock().keys().cloned().collect()
    }

    /// Voids every load in progress.
    pub(crate) fn void_all(&self) {
        let mut table = self.table.lock();
        let flights = std::mem::take(&mut *table);
        // Under the table's lock, as in `void`.
        for flight in flights.values() {
            flight.state.lock().valid = false;
        }
        drop(table);
    }
}

impl<K: Eq + Hash, V: Clone> Lead<'_, K, V> {
    /// What is being loaded.
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    /// Runs `store` unless the lease was voided; so an invalidation comes either before it (and
    /// nothing is stored) or after it (and removes what was stored). `store` must be short: an
    /// invalidation waits for it.
    pub(crate) fn store<T>(&self, store: impl FnOnce() -> T) -> Option<T> {
        let state = self.flight.state.lock();
        state.valid.then(store)
    }

    /// Whether the lease still holds. Who stores where that takes I/O holds the turn of the key, which
    /// whoever voids it holds too, and asks after he has it.
    pub(crate) fn is_valid(&self) -> bool {
        self.flight.state.lock().valid
    }

    /// Lets whoever leads so far wait too, until another thread takes it over.
    pub(crate) fn hand_over(&self) -> Joined<V> {
        self.flight.state.lock().leader = None;
        Joined(Arc::clone(&self.flight))
    }

    /// This thread makes it from now on.
    pub(crate) fn take_over(&self) {
        self.flight.state.lock().leader = Some(thread::current().id());
    }

    /// Hands the outcome to those who wait. An error is shared by them and remembered by nobody.
    pub(crate) fn land(self, outcome: Result<V>) {
        self.end(Outcome::Landed(outcome));
    }

    /// Ends the flight, the first time that it is called.
    fn end(&self, outcome: Outcome<V>) {
        let mut table = self.flights.table.lock();
        // A voided flight has left already, and another one may have its place.
        if table
            .get(&self.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
        {
            table.remove(&self.key);
        }
        drop(table);
        let mut state = self.flight.state.lock();
        if matches!(state.outcome, Outcome::Pending) {
            state.outcome = outcome;
            drop(state);
            self.flight.landed.notify_all();
        }
    }
}

impl<K: Eq + Hash, V: Clone> Drop for Lead<'_, K, V> {
    fn drop(&mut self) {
        self.end(Outcome::Lost);
    }
}

impl<V: Clone> Joined<V> {
    /// Waits for the outcome, as long as the load takes; `None` if it was lost.
    ///
    /// # Errors
    /// That of the load; `Internal` if the caller itself makes it.
    pub(crate) fn wait(self) -> Option<Result<V>> {
        let mut state = self.0.state.lock();
        loop {
            match state.ended() {
                Some(Waited::Landed(outcome)) => return Some(outcome),
                Some(_) => return None,
                None => self.0.landed.wait(&mut state),
            }
        }
    }

    /// As [`Joined::wait`], and no longer than this. Again: the same, or what has come since.
    pub(crate) fn wait_within(&self, time: Duration) -> Waited<V> {
        let mut state = self.0.state.lock();
        if let Some(ended) = state.ended() {
            return ended;
        }
        let is_pending = |state: &mut State<V>| matches!(state.outcome, Outcome::Pending);
        self.0.landed.wait_while_for(&mut state, is_pending, time);
        state.ended().unwrap_or(Waited::Late)
    }

    /// How many wait for the load at this moment, about.
    pub(crate) fn waiters(&self) -> usize {
        // Two more know it: the list, and whoever leads it.
        Arc::strong_count(&self.0).saturating_sub(2).max(1)
    }
}

impl<V: Clone> State<V> {
    /// What came of it, also for who would wait for himself; `None` while it goes on.
    fn ended(&self) -> Option<Waited<V>> {
        match &self.outcome {
            Outcome::Landed(outcome) => Some(Waited::Landed(outcome.clone())),
            Outcome::Lost => Some(Waited::Lost),
            Outcome::Pending if self.leader == Some(thread::current().id()) => {
                let message = "a load asks for what it is loading";
                let error = Error::new(ErrorKind::Internal, message);
                Some(Waited::Landed(Err(error)))
            }
            Outcome::Pending => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// The outcome of `load`, or of the load of the key that somebody else has begun.
    fn load<K: Clone + Eq + Hash, V: Clone>(
        flights: &Flights<K, V>,
        key: K,
        load: impl FnOnce(&Lead<'_, K, V>) -> Result<V>,
    ) -> Result<V> {
        loop {
            match flights.board(&key) {
                Boarding::Leads(lead) => {
                    let outcome = load(&lead);
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

    #[test]
    fn those_who_join_share_one_load() {
        const CALLERS: usize = 1000;
        let flights = Flights::<u32, u64>::default();
        let Boarding::Leads(lead) = flights.board(&7) else {
            panic!("nobody else loads");
        };
        let joined = std::array::from_fn::<_, CALLERS, _>(|_| match flights.board(&7) {
            Boarding::Joins(joined) => joined,
            Boarding::Leads(_) => panic!("one load is in progress"),
        });
        std::thread::scope(|scope| {
            let waiting = joined.map(|joined| scope.spawn(|| joined.wait().unwrap().unwrap()));
            lead.land(Ok(42));
            for caller in waiting {
                assert_eq!(caller.join().unwrap(), 42);
            }
        });
        assert!(flights.table.lock().is_empty());
    }

    #[test]
    fn an_invalidation_beats_the_load_that_began_before_it() {
        let flights = Flights::<&str, u32>::default();
        let stored = AtomicUsize::new(0);
        let store = |n| stored.store(n, Ordering::SeqCst);
        let value = load(&flights, "a", |lead| {
            assert!(lead.is_valid());
            flights.void("a");
            assert!(!lead.is_valid());
            assert!(lead.store(|| store(1)).is_none());
            // Another load may begin at once, and lands on its own.
            assert_eq!(load(&flights, "a", |_| Ok(2)).unwrap(), 2);
            Ok(1)
        });
        assert_eq!(value.unwrap(), 1, "answered");
        assert_eq!(stored.load(Ordering::SeqCst), 0, "not stored");
        let value = load(&flights, "a", |lead| {
            lead.store(|| store(3));
            Ok(3)
        });
        assert_eq!((value.unwrap(), stored.load(Ordering::SeqCst)), (3, 3));
        load(&flights, "a", |lead| {
            flights.void_all();
            assert!(lead.store(|| ()).is_none());
            Ok(4)
        })
        .unwrap();
    }

    #[test]
    fn errors_reach_everybody_and_are_not_remembered() {
        let flights = Flights::<u32, u32>::default();
        let failed = load(&flights, 1, |_| {
            Err(Error::new(ErrorKind::Database, "down"))
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Database);
        assert_eq!(load(&flights, 1, |_| Ok(5)).unwrap(), 5);
    }

    #[test]
    fn a_panic_hands_the_load_to_one_who_waits() {
        let flights = Flights::<u32, u32>::default();
        let began = Barrier::new(2);
        std::thread::scope(|scope| {
            let leader = scope.spawn(|| {
                let broken = || {
                    load(&flights, 1, |_| {
                        began.wait();
                        panic!("the loader breaks")
                    })
                };
                assert!(catch_unwind(AssertUnwindSafe(broken)).is_err());
            });
            began.wait();
            assert_eq!(load(&flights, 1, |_| Ok(9)).unwrap(), 9);
            leader.join().unwrap();
        });
    }

    #[test]
    fn a_load_that_is_handed_over_lands_for_who_began_it() {
        let flights = Arc::new(Flights::<u32, u32>::default());
        let Boarding::Leads(lead) = flights.board_kept(&1) else {
            panic!("nobody else loads");
        };
        let joined = lead.hand_over();
        assert!(matches!(joined.wait_within(Duration::ZERO), Waited::Late));
        let leads = std::thread::spawn(move || {
            lead.take_over();
            lead.land(Ok(3));
        });
        leads.join().unwrap();
        let landed = joined.wait_within(Duration::ZERO);
        assert!(matches!(landed, Waited::Landed(Ok(3))));
        assert!(matches!(flights.board(&1), Boarding::Leads(_)));
    }

    #[test]
    fn a_load_that_asks_for_itself_is_an_error_and_no_deadlock() {
        let flights = Flights::<u32, u32>::default();
        let outcome = load(&flights, 1, |_| load(&flights, 1, |_| Ok(1)));
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Internal);
    }
}
