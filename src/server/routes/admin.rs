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
    action: Action::Work(stats),
};

pub(in super::super) static EVICT: Route = Route {
    method: Method::POST,
    path: "/api/cache/evict",
    doc: "Has each cache give up its share.",
    access: Access::Change,
    parameters: &[],
    body: Some(schema::<Nothing>),
    answer: Answers::Json(schema::<EvictedOfEach>),
    action: Action::Work(evict_all),
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
    total_items: usize,
    /// Of the caches that have such a limit.
    total_capacity: usize,
    /// How often memory pressure made caches evict.
    pressure_triggered_count: u64,
    /// The used share of the tightest limit on memory; null if none is known.
    system_memory_percent: Option<f64>,
}

fn stats(state: &State, _: &Call) -> Result<Reply, Problem> {
    let stats = state.caches.stats();
    Reply::json(&Stats {
        total_items: stats.total_items,
        total_capacity: stats.total_capacity,
        pressure_triggered_count: stats.triggers,
        system_memory_percent: stats.memory_share().map(|share| share * 100.0),
        caches: all(&stats),
    })
}
