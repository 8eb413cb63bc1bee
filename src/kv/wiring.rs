//! `Wiring`: how the caches of a program hear what is no longer true, from the program itself and, where
//! they share a Redis server, from other processes. Nothing of it begins before somebody needs it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::KvCache;
#[cfg(feature = "redis")]
use crate::bus::{BusOptions, RedisBus, RedisBusStats, Told};
use crate::bus::{BusStats, Invalidation, InvalidationBus};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::health::Health;
use crate::primitives::Mutex;
#[cfg(feature = "redis")]
use crate::redis::RedisClient;
#[cfg(feature = "redis")]
use crate::single_flight::Flights;

/// The bus of a program, and its node among the processes that share a server.
pub(super) struct Wiring {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    #[cfg(feature = "redis")]
    others: Option<Others>,
}

#[derive(Default)]
struct State {
    bus: Option<Arc<InvalidationBus>>,
    /// Those who joined before there was a bus.
    early: Vec<KvCache>,
}

/// The way to the other processes.
#[cfg(feature = "redis")]
struct Others {
    client: Arc<RedisClient>,
    options: BusOptions,
    /// Whether what they change is forgotten here.
    hears: bool,
    node: Mutex<Option<Arc<RedisBus>>>,
    joining: Flights<(), Arc<RedisBus>>,
}

impl Wiring {
    /// Without other processes.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Wiring {
            clock,
            state: Mutex::default(),
            #[cfg(feature = "redis")]
            others: None,
        }
    }

    /// With those that share the client's server; `hears` if what they change is to be forgotten here.
    #[cfg(feature = "redis")]
    pub(super) fn add_others(
        &mut self,
        client: Arc<RedisClient>,
        options: BusOptions,
        hears: bool,
    ) {
        self.others = Some(Others {
            client,
            options,
            hears,
            node: Mutex::default(),
            joining: Flights::default(),
        });
    }

    /// The bus, whose threads start when it is first asked for.
    ///
    /// # Errors
    /// `Io` if they cannot be started.
    pub(super) fn bus(&self) -> Result<Arc<InvalidationBus>> {
        let mut state = self.state.lock();
        if let Some(bus) = &state.bus {
            return Ok(Arc::clone(bus));
        }
        let bus = InvalidationBus::new(Arc::clone(&self.clock))?;
        for cache in state.early.drain(..) {
            bus.subscribe_keys(Arc::new(cache))?;
        }
        Ok(Arc::clone(state.bus.insert(bus)))
    }

    /// Has the cache take part. One that other processes share tells them what it changes, and when what the
    /// server has missed is gone there (a value that it missed is never brought to it), and hears what they
    /// change. One that has its values alone hears what is invalidated by its name, by others too; it has no
    /// copies that could be in doubt.
    ///
    /// # Errors
    /// `Io` if threads cannot be started; `Coordinator` if its name is taken.
    pub(super) fn join(&self, cache: &KvCache) -> Result<()> {
        #[cfg(feature = "redis")]
        if let Some(others) = self.others.as_ref().filter(|_| cache.tier().is_shared()) {
            let node = others.node(self)?;
            if !others.hears {
                node.speak_for(cache);
                return Ok(());
            }
            return node.share(cache);
        }
        let mut state = self.state.lock();
        match &state.bus {
            Some(bus) => bus.subscribe_keys(Arc::new(cache.clone())),
            None => {
                state.early.push(cache.clone());
                Ok(())
            }
        }
    }

    /// Lets a cache go that has joined.
    pub(super) fn leave(&self, name: &str) {
        let left = {
            let mut state = self.state.lock();
            let place = state.early.iter().position(|cache| cache.name() == name);
            place.map(|place| state.early.remove(place))
        };
        drop(left);
        if let Some(bus) = self.begun() {
            bus.unsubscribe_keys(name);
        }
    }

    /// Tells this process, and the others.
    ///
    /// # Errors
    /// `Io` if threads cannot be started.
    pub(super) fn publish(&self, invalidation: Invalidation) -> Result<()> {
        #[cfg(feature = "redis")]
        if let Some(others) = &self.others {
            others.node(self)?.publish(invalidation);
            return Ok(());
        }
        self.bus()?.publish(invalidation);
        Ok(())
    }

    /// Waits until what was told before has been heard here, and is out to the others, at most so long for
    /// either.
    ///
    /// # Errors
    /// `TimedOut` if that takes longer; `Unavailable` if the others cannot be told now.
    pub(super) fn settle(&self, within: Duration) -> Result<()> {
        if self.begun().is_some_and(|bus| !bus.settle(within)) {
            return Err(late("somebody here who hears what changed", within));
        }
        #[cfg(feature = "redis")]
        if let Some(node) = self.node() {
            return match node.told(within) {
                Told::Sent => Ok(()),
                Told::Waiting => Err(late("the server that tells others what changed", within)),
                Told::Nobody(why) => {
                    let message = "other processes are not told what changed";
                    Err(Error::new(ErrorKind::Unavailable, message).because(why))
                }
            };
        }
        Ok(())
    }

    /// How the way to the others does; `None` as long as nobody needs it.
    pub(super) fn health(&self) -> Option<Health> {
        #[cfg(feature = "redis")]
        return self.node().map(|node| node.health());
        #[cfg(not(feature = "redis"))]
        None
    }

    /// What was told here; `None` as long as there was nobody to tell.
    pub(super) fn stats(&self) -> Option<BusStats> {
        self.begun().map(|bus| bus.stats())
    }

    /// The bus, if there is one already.
    fn begun(&self) -> Option<Arc<InvalidationBus>> {
        self.state.lock().bus.clone()
    }

    #[cfg(feature = "redis")]
    pub(super) fn node_stats(&self) -> Option<RedisBusStats> {
        self.node().map(|node| node.stats())
    }

    /// Whether there is a node among other processes.
    pub(super) fn is_among_others(&self) -> bool {
        #[cfg(feature = "redis")]
        return self.node().is_some();
        #[cfg(not(feature = "redis"))]
        false
    }

    /// Says good-bye to the others, if there are any. Whoever joins or publishes after that begins anew.
    pub(super) fn end(&self) {
        #[cfg(feature = "redis")]
        if let Some(others) = &self.others {
            // It is dropped outside of the lock: it asks the server.
            let node = others.node.lock().take();
            drop(node);
        }
    }

    /// The node, if there is one already.
    #[cfg(feature = "redis")]
    fn node(&self) -> Option<Arc<RedisBus>> {
        self.others.as_ref()?.node.lock().clone()
    }
}

#[cfg(feature = "redis")]
impl Others {
    /// The node, begun if it is not: once for all who want it.
    fn node(&self, wiring: &Wiring) -> Result<Arc<RedisBus>> {
        let begun = || self.node.lock().clone();
        self.joining.once(&(), begun, || {
            let (client, options) = (Arc::clone(&self.client), self.options.clone());
            let clock = Arc::clone(&wiring.clock);
            let node = RedisBus::start(client, options, wiring.bus()?, clock)?;
            Ok(Arc::clone(self.node.lock().insert(Arc::new(node))))
        })
    }
}

fn late(who: &str, within: Duration) -> Error {
    let message = format!("{who} has not come to it within {within:?}");
    Error::new(ErrorKind::TimedOut, message)
}

impl fmt::Debug for Wiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wiring")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
