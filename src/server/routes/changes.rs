//! `/v1/changes`: what changed since a position; as soon as something does, for whoever waits.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, Method};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::super::blocking;
use super::super::call::Call;
use super::super::problem::Problem;
use super::super::reply::Reply;
use super::super::state::State;
use super::super::table::{Access, Action, Answers, POSITION, Parameter, Route, Waiting, schema};
use crate::freshness::Freshness;
use crate::position::Position;
use crate::store::ChangeSet;

/// The longest wait: proxies and clients give up not much later.
const MAX_WAIT: Duration = Duration::from_secs(60);

pub(in super::super) static CHANGES: Route = Route {
    method: Method::GET,
    path: "/v1/changes",
    doc: "The files that changed since a position, and those that went, in the order of their last \
          changes. Queries made after it know them.",
    access: Access::Read,
    parameters: &[
        Parameter::text(
            "since",
            "A position, as answers tell it in `asOf` and `position`; `start` for every file.",
        )
        .required()
        .formed(POSITION),
        Parameter::count(
            "limit",
            1,
            "List at most this many files: 1,000 if it is not said.",
        ),
        Parameter::text(
            "wait",
            "Where nothing has changed, wait so long for it: `10s`, at most `1m`.",
        )
        .formed("^([0-9]{1,4}ms|[0-5]?[0-9]s|[01]m)$"),
    ],
    body: None,
    answer: Answers::Json(schema::<Changes<'_>>),
    action: Action::Wait(changes),
};

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Changes")]
struct Changes<'a> {
    /// Where to go on from.
    position: String,
    /// The log could not tell what changed since that position (it is of another database, or too
    /// old): these are the project's files, and others may have gone.
    fresh_instance: bool,
    /// Whether the limit cut files off: the next call finds them.
    truncated: bool,
    changes: Vec<Change<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Change")]
struct Change<'a> {
    path: &'a str,
    /// The log sequence of its last change.
    version: u64,
    /// Whether it does not exist any more.
    deleted: bool,
}

fn changes(state: Arc<State>, call: Call, _: HeaderMap) -> Waiting {
    Box::pin(async move {
        let since = call.position("since")?.unwrap_or_default();
        let limit = call.count(
            "limit",
            state.options().max_page,
            1..=state.options().max_page,
        )?;
        let wait = call.duration("wait", MAX_WAIT)?;
        let set = match wait.is_zero() {
            true => read(&state, since, limit).await?,
            false => wait_for(&state, since, limit, wait).await?,
        };
        Ok(reply(&set)?.into_response())
    })
}

/// The changes, as soon as there are any; an empty set at the end of the wait, or of the server.
async fn wait_for(
    state: &Arc<State>,
    since: Position,
    limit: usize,
    wait: Duration,
) -> Result<Arc<ChangeSet>, Problem> {
    let _waiter = state.limits.waiter()?;
    let end = Instant::now() + wait;
    let mut stopping = state.stopping.clone();
    let mut listener = state.feed.listen();
    let mut set = read(state, since, limit).await?;
    while set.changes.is_empty() && !set.is_fresh_instance {
        tokio::select! {
            () = listener.changed() => {}
            () = sleep_until(end) => break,
            // Only the server itself holds the other end.
            _ = stopping.wait_for(|stop| *stop) => break,
        }
        set = match listener.since(set.position) {
            Some(told) if told.changes.len() <= limit => told,
            _ => read(state, set.position, limit).await?,
        };
    }
    Ok(set)
}

/// What changed since a position; the index knows it, too.
pub(super) async fn read(
    state: &Arc<State>,
    since: Position,
    limit: usize,
) -> Result<Arc<ChangeSet>, Problem> {
    blocking::run(state, move |state| {
        let set = state.cardex.changes(since, limit)?;
        state.cardex.refresh(Freshness::AtLeast(set.position))?;
        Ok(Arc::new(set))
    })
    .await
}

fn reply(set: &ChangeSet) -> Result<Reply, Problem> {
    let changes = set.changes.iter().map(|change| Change {
        path: &change.path,
        version: change.version,
        deleted: change.is_deleted,
    });
    Reply::json(&Changes {
        position: set.position.to_string(),
        fresh_instance: set.is_fresh_instance,
        truncated: set.is_truncated,
        changes: changes.collect(),
    })
}
