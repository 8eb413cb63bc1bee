//! `/v1/sync`: bringing the index up to date, now.

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::call::Call;
use super::super::problem::Problem;
use super::super::reply::Reply;
use super::super::state::State;
use super::super::table::{Access, Action, Answers, Route, schema};
use super::millis;
use crate::sync::SyncMode;

pub(in super::super) static SYNC: Route = Route {
    method: Method::POST,
    path: "/v1/sync",
    doc: "Brings the index up to date with the database: by what the log names, or by everything.",
    access: Access::Change,
    parameters: &[],
    body: Some(schema::<Wanted>),
    answer: Answers::Json(schema::<Report>),
    action: Action::Work(sync),
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Incremental, if it is not said.
    mode: Option<Mode>,
}

/// How the index is brought up to date.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    /// By what the log names.
    #[default]
    Incremental,
    /// By everything, anew.
    Full,
}

impl From<SyncMode> for Mode {
    fn from(mode: SyncMode) -> Self {
        match mode {
            SyncMode::Full => Mode::Full,
            SyncMode::Incremental => Mode::Incremental,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SyncReport")]
struct Report {
    /// How it went about it: everything is read where the log cannot tell.
    mode: Mode,
    /// The position before.
    from: String,
    /// The position after.
    to: String,
    /// Files that were read into the index.
    files: u64,
    /// Deleted files that were taken out of it.
    deleted: u64,
    /// Files that could not be read, the first hundred of them.
    skipped: Vec<Skipped>,
    /// How many there are of those.
    skipped_total: u64,
    duration_ms: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SkippedRow")]
struct Skipped {
    path: String,
    reason: String,
}

fn sync(state: &State, call: &Call) -> Result<Reply, Problem> {
    let Wanted { mode } = call.json()?;
    let mode = mode.unwrap_or_default();
    let report = state.cardex.sync(match mode {
        Mode::Full => SyncMode::Full,
        Mode::Incremental => SyncMode::Incremental,
    })?;
    let skipped = report.skipped.into_iter().map(|row| Skipped {
        path: row.path,
        reason: row.reason,
    });
    Reply::json(&Report {
        mode: report.mode.into(),
        from: report.from.to_string(),
        to: report.to.to_string(),
        files: report.files,
        deleted: report.deleted,
        skipped: skipped.collect(),
        skipped_total: report.skipped_total,
        duration_ms: millis(report.duration),
    })
}
