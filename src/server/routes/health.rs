//! How the server does, for whoever watches it: alive, ready, healthy, and its counts.

use axum::http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::call::Call;
use super::super::metrics::{OPENMETRICS, PLAIN, as_plain};
use super::super::problem::Problem;
use super::super::reply::Reply;
use super::super::state::State;
use super::super::table::{Access, Action, Answers, Route, schema};
use crate::error::{Error, ErrorKind};
use crate::health::Health;

pub(in super::super) static LIVE: Route = Route {
    method: Method::GET,
    path: "/livez",
    doc: "Whether the server runs: always, where it answers.",
    access: Access::Open,
    parameters: &[],
    body: None,
    answer: Answers::Json(schema::<Status>),
    action: Action::Now(live),
};

pub(in super::super) static READY: Route = Route {
    method: Method::GET,
    path: "/readyz",
    doc: "Whether the index is loaded, and queries can be asked; a problem of status 503 if not.",
    access: Access::Open,
    parameters: &[],
    body: None,
    answer: Answers::Json(schema::<Status>),
    action: Action::Now(ready),
};

pub(in super::super) static HEALTH: Route = Route {
    method: Method::GET,
    path: "/healthz",
    doc: "How well it does, with reasons; of status 503 if it cannot be asked.",
    access: Access::Read,
    parameters: &[],
    body: None,
    answer: Answers::Json(schema::<Health>),
    action: Action::Watch(healthy),
};

pub(in super::super) static METRICS: Route = Route {
    method: Method::GET,
    path: "/metrics",
    doc: "The counts of server and caches in the OpenMetrics format, or in the text format that came \
          before it, where `Accept` asks for `text/plain`.",
    access: Access::Read,
    parameters: &[],
    body: None,
    answer: Answers::Other(OPENMETRICS),
    action: Action::Watch(metrics),
};

#[derive(Serialize, JsonSchema)]
struct Status {
    status: &'static str,
}

fn live(_: &State, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&Status { status: "live" })
}

fn ready(state: &State, _: &Call) -> Result<Reply, Problem> {
    state.cardex.snapshot()?;
    Reply::json(&Status { status: "ready" })
}

/// The health of the whole.
pub(super) fn health(state: &State) -> Health {
    let mut parts = vec![state.cardex.health(), state.caches.stats().health()];
    if let Some(caches) = &state.served.results {
        let mut results = caches.health();
        "results".clone_into(&mut results.name);
        parts.push(results);
    }
    #[cfg(feature = "watch")]
    parts.extend(state.served.watcher.iter().map(|watcher| watcher.health()));
    Health::healthy("cardex").with_parts(parts)
}

fn healthy(state: &State, _: &Call) -> Result<Reply, Problem> {
    let health = health(state);
    let status = match health.state.serves() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok(Reply::json(&health)?.with_status(status))
}

fn metrics(state: &State, call: &Call) -> Result<Reply, Problem> {
    let text = state
        .metrics
        .text(state.limits.in_use())
        .map_err(|_| Error::new(ErrorKind::Internal, "the counts cannot be written as text"))?;
    let wants_plain = call.accept.contains("text/plain") && !call.accept.contains("openmetrics");
    Ok(match wants_plain {
        true => Reply::text(PLAIN, as_plain(&text)),
        false => Reply::text(OPENMETRICS, text),
    })
}
