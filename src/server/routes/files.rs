//! `/v1/files/{path}`: all that is known of one file.

use std::time::Instant;

use axum::http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::call::Call;
use super::super::problem::Problem;
use super::super::reply::Reply;
use super::super::state::State;
use super::super::table::{Access, Action, Answers, Parameter, Route, schema};
use super::millis;
use super::query::FRESHNESS;
use crate::error::{Error, ErrorKind};
use crate::metadata::{FileMetadata, FilePath};

pub(in super::super) static FILE: Route = Route {
    method: Method::GET,
    path: "/v1/files/{*path}",
    doc: "All that is known of one file.",
    access: Access::Read,
    parameters: &[
        Parameter::path("path", "The path of the file, from the project's root."),
        FRESHNESS,
    ],
    body: None,
    answer: Answers::Json(schema::<File<'_>>),
    action: Action::Work(file),
};

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "File")]
struct File<'a> {
    /// The log position that the record reflects, exactly.
    as_of: String,
    /// How long ago the database was seen to be in that state, in milliseconds.
    age_ms: u64,
    /// Whether every file of the project is known: not if rows of some cannot be read.
    complete: bool,
    /// The log sequence of the file's last change.
    version: u64,
    record: &'a FileMetadata,
}

fn file(state: &State, call: &Call) -> Result<Reply, Problem> {
    let path = FilePath::new(call.text("path").unwrap_or_default())?;
    state.cardex.refresh(call.freshness()?)?;
    // The look comes before the record: what is found cannot be older than it.
    let (age, start) = (state.cardex.age()?, Instant::now());
    let found = state.cardex.get(&path)?;
    let Some(record) = found else {
        let error = Error::new(ErrorKind::NotFound, format!("`{path}` is not in the index"));
        return Err(error
            .with_help("paths start at the project's root; /v1/query?path= searches them")
            .into());
    };
    Reply::json(&File {
        as_of: record.as_of().to_string(),
        age_ms: millis(age + start.elapsed()),
        complete: state.cardex.snapshot()?.is_complete(),
        version: record.version(),
        record: &record,
    })
}
