//! The bus of a server's derived results, as it is shown: what was told there, and how this process stands
//! among those that share a Redis server.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::bus::Origin;
use crate::health::HealthState;
use crate::kv::Caches;

/// What the bus has done since the start.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bus {
    /// Whether other processes are told and heard; healthy where there are none.
    pub(super) state: HealthState,
    /// Events by their origin: `sync`, `watch`, `redis`, `api`.
    pub(super) events: BTreeMap<String, u64>,
    /// Deliveries that were made once for several equal events.
    pub(super) coalesced: u64,
    /// How often so many events waited that details were forgotten.
    pub(super) overflows: u64,
    /// How often a cache could not forget, or a hook failed.
    pub(super) failures: u64,
    /// Deliveries that wait.
    pub(super) waiting: u64,
    /// This process among the others; null if it shares no cache.
    pub(super) node: Option<Node>,
}

/// A process among those that share a server.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "BusNode")]
pub(super) struct Node {
    pub(super) name: String,
    /// How many others are known.
    pub(super) nodes: u64,
    /// Messages with events that were sent.
    pub(super) messages: u64,
    /// Attempts to publish that failed.
    pub(super) failed: u64,
    /// Messages of others that were heard, heartbeats included.
    pub(super) heard: u64,
    /// Events that wait to be told.
    pub(super) waiting: u64,
    /// How often all copies left because a message may have been missed.
    pub(super) doubts: u64,
    /// Why, the last time.
    pub(super) last_doubt: Option<&'static str>,
}

impl Bus {
    /// That of these caches; `None` if nothing was to be told yet.
    pub(super) fn of(caches: &Caches) -> Option<Self> {
        let stats = caches.bus_stats()?;
        let health = caches.bus_health();
        let events = |origin: &str| {
            let count = stats.by_origin.get(origin).copied();
            (origin.to_owned(), count.unwrap_or_default())
        };
        Some(Bus {
            state: health.map_or(HealthState::Healthy, |health| health.state),
            events: Origin::NAMES.map(events).into(),
            coalesced: stats.coalesced,
            overflows: stats.overflows,
            failures: stats.failures + stats.hook_failures,
            waiting: stats.waiting as u64,
            node: Node::of(caches),
        })
    }
}

impl Node {
    #[cfg(feature = "redis")]
    fn of(caches: &Caches) -> Option<Self> {
        let stats = caches.node_stats()?;
        Some(Node {
            name: stats.node,
            nodes: stats.nodes as u64,
            messages: stats.messages,
            failed: stats.failed,
            heard: stats.heard,
            waiting: stats.waiting as u64,
            doubts: stats.doubts,
            last_doubt: stats.last_doubt,
        })
    }

    #[cfg(not(feature = "redis"))]
    fn of(_: &Caches) -> Option<Self> {
        None
    }
}
