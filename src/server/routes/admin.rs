//! `/api/cache`: what dashboards of older systems ask, in their words.

use axum::http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::call::Call;
use super::super::problem::Problem;
use super::super::reply::Reply;
use super::super::state::State;
use super::super::table::{Access, Action, Answers, Parameter, Route, schema};
use super::caches::{Cache, Cleared, EvictedOfEach, Nothing, all, clear, evict_all};

pub(in super::super) static STATS: Route = Route {
    method: Method::GET,
    path: "/api/cache/stats",
    doc: "The caches of this process and their sums.",
    access: Access::Read,
    parameters: &[],
    body: None,
    answer: Answers::Json(schema::<Stats>),
    action: Action::Now(stats),
};

pub(in super::super) static EVICT: Route = Route {
    method: Method::POST,
    path: "/api/cache/evict",
    doc: "Evicts a fifth of the entries of each cache.",
    access: Access::Change,
    parameters: &[],
    body: Some(schema::<Nothing>),
    answer: Answers::Json(schema::<EvictedOfEach>),
    action: Action::Work(evict),
};

pub(in super::super) static CLEAR: Route = Route {
    method: Method::POST,
    path: "/api/cache/clear/{name}",
    doc: "Drops every entry of a cache from memory.",
    access: Access::Change,
    parameters: &[Parameter::path("name", "The name of the cache.")],
    body: Some(schema::<Nothing>),
    answer: Answers::Json(schema::<Cleared>),
    action: Action::Work(clear),
};

/// Sums over the caches, in snake case.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CacheStats")]
struct Stats {
    caches: Vec<Cache>,
    total_items: u64,
    /// Null if some cache has no such limit.
    total_capacity: Option<u64>,
    /// How often memory pressure made caches evict.
    pressure_triggered_count: u64,
    /// Null if it is not known.
    system_memory_percent: Option<f64>,
}

fn stats(state: &State, _: &Call) -> Result<Reply, Problem> {
    let told = state.caches.list();
    let capacities = told.iter().map(|cache| cache.capacity);
    Reply::json(&Stats {
        total_items: told.iter().map(|cache| cache.entries).sum(),
        total_capacity: capacities.sum(),
        pressure_triggered_count: 0,
        system_memory_percent: None,
        caches: all(state),
    })
}

fn evict(state: &State, call: &Call) -> Result<Reply, Problem> {
    let Nothing {} = call.json()?;
    evict_all(state, call)
}
