//! `/v1/caches`: the caches of this process, and emptying them.

use std::collections::BTreeMap;

use axum::http::Method;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::super::bus::Bus;
use super::super::caches::{Round, Told};
use super::super::call::Call;
use super::super::problem::Problem;
use super::super::reply::Reply;
use super::super::state::State;
use super::super::table::{Access, Action, Answers, Parameter, Route, schema};
use crate::coordinator::CoordinatorStats;

const NAME: Parameter = Parameter::path("name", "The name of the cache.");

pub(in super::super) static LIST: Route = Route {
    method: Method::GET,
    path: "/v1/caches",
    doc: "The caches of this process, with what they hold and how well they do, and their bus.",
    access: Access::Read,
    parameters: &[],
    body: None,
    answer: Answers::Json(schema::<Caches>),
    action: Action::Work(list),
};

pub(in super::super) static EVICT: Route = Route {
    method: Method::POST,
    path: "/v1/caches/{name}/evict",
    doc: "Evicts so many entries of a cache, the next victims first. No answer depends on it.",
    access: Access::Change,
    parameters: &[NAME],
    body: Some(schema::<Entries>),
    answer: Answers::Json(schema::<Evicted>),
    action: Action::Work(evict),
};

pub(in super::super) static EVICT_ALL: Route = Route {
    method: Method::POST,
    path: "/v1/evict",
    doc: "Has each cache give up its share (`coordinator.eviction_ratio`), however tight memory is.",
    access: Access::Change,
    parameters: &[],
    body: Some(schema::<Nothing>),
    answer: Answers::Json(schema::<EvictedOfEach>),
    action: Action::Work(evict_all),
};

pub(in super::super) static CLEAR: Route = Route {
    method: Method::POST,
    path: "/v1/caches/{name}/clear",
    doc: "Drops every entry of a cache from memory. No answer depends on it.",
    access: Access::Change,
    parameters: &[NAME],
    body: Some(schema::<Nothing>),
    answer: Answers::Json(schema::<Cleared>),
    action: Action::Work(clear),
};

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Caches {
    caches: Vec<Cache>,
    /// Where those of derived results hear what is no longer true; null if nothing was to be told yet.
    bus: Option<Bus>,
}

/// What a cache holds, and how well it does.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cache {
    name: String,
    entries: u64,
    /// The most entries it may hold; null if there is no such limit.
    capacity: Option<u64>,
    /// What they weigh; null if it does not know.
    bytes: Option<u64>,
    /// The most they may weigh; null if there is no such limit.
    max_bytes: Option<u64>,
    hits: u64,
    misses: u64,
    /// The share of gets that were hits, 0 to 1; 0 before the first one.
    hit_rate: f64,
    /// Entries that left because room was needed.
    evictions: u64,
    /// Why it could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<Told> for Cache {
    fn from(told: Told) -> Self {
        let hit_rate = match told.hits + told.misses {
            0 => 0.0,
            gets => told.hits as f64 / gets as f64,
        };
        Cache {
            name: told.name,
            entries: told.entries,
            capacity: told.capacity,
            bytes: told.bytes,
            max_bytes: told.max_bytes,
            hits: told.hits,
            misses: told.misses,
            hit_rate,
            evictions: told.evictions,
            error: told.error.map(|error| format!("{error:#}")),
        }
    }
}

/// Every cache of these.
pub(super) fn all(stats: &CoordinatorStats) -> Vec<Cache> {
    let told = stats.caches.iter().map(Told::from);
    told.map(Cache::from).collect()
}

fn list(state: &State, _: &Call) -> Result<Reply, Problem> {
    let caches = all(&state.caches.stats());
    let bus = state.served.results.as_deref().and_then(Bus::of);
    Reply::json(&Caches { caches, bus })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Entries {
    /// How many.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(max = u32::MAX))]
    entries: u32,
}

/// A whole number, also one that is written as `5.0`: to JSON they are the same.
fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let number = f64::deserialize(from)?;
    let is_whole = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
    let most = u32::MAX;
    let wrong = || D::Error::custom(format!("{number} is no whole number from 0 to {most}"));
    // Every such number is one of a u32.
    is_whole.then_some(number as u32).ok_or_else(wrong)
}

#[derive(Serialize, JsonSchema)]
struct Evicted {
    cache: String,
    /// How many really left.
    evicted: u64,
}

fn evict(state: &State, call: &Call) -> Result<Reply, Problem> {
    let Entries { entries } = call.json()?;
    let cache = call.text("name").unwrap_or_default();
    let entries = usize::try_from(entries).unwrap_or(usize::MAX);
    let evicted = state.caches.evict(cache, entries)?;
    let cache = cache.to_owned();
    Reply::json(&Evicted { cache, evicted })
}

/// What each cache gave.
#[derive(Serialize, JsonSchema)]
pub(super) struct EvictedOfEach {
    /// How many entries really left each cache.
    evicted: BTreeMap<String, u64>,
    /// Why others gave none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    errors: BTreeMap<String, String>,
}

pub(super) fn evict_all(state: &State, call: &Call) -> Result<Reply, Problem> {
    let Nothing {} = call.json()?;
    let Round { evicted, errors } = state.caches.evict_all()?;
    Reply::json(&EvictedOfEach { evicted, errors })
}

/// No body, or an empty object.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Serialize, JsonSchema)]
pub(super) struct Cleared {
    /// `cleared`.
    status: &'static str,
    cache: String,
}

pub(super) fn clear(state: &State, call: &Call) -> Result<Reply, Problem> {
    let Nothing {} = call.json()?;
    let cache = call.text("name").unwrap_or_default().to_owned();
    state.caches.clear(&cache)?;
    let status = "cleared";
    Reply::json(&Cleared { status, cache })
}
