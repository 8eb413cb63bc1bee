//! `/v1/query`: the files that match.

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
use crate::metadata::FileMetadata;
use crate::metadata_cache::{Fetch, Page};
use crate::query::{Answer, Query};

/// How many files are listed unless it is said.
const DEFAULT_LIMIT: usize = 100;

pub(in super::super) static QUERY: Route = Route {
    method: Method::GET,
    path: "/v1/query",
    doc: "The files that match every criterion, in path order; every file, if there is none.",
    access: Access::Read,
    parameters: &[
        Parameter::text("language", "Files in this language."),
        Parameter::text(
            "function",
            "Files that define this function or method: `name` or `Class.method`.",
        )
        .repeated(),
        Parameter::text("class", "Files that define this class.").repeated(),
        Parameter::text("reference", "Files that cite this document.").repeated(),
        Parameter::text(
            "path",
            "Files whose path holds a match of this regular expression.",
        )
        .repeated(),
        Parameter::text("glob", "Files whose whole path matches this glob.").repeated(),
        Parameter::count(
            "limit",
            "List at most this many files: 100 if it is not said.",
        ),
        Parameter::flag("count", "List no files: only say how many match."),
        Parameter::flag("explain", "Say also how the query runs."),
        Parameter::flag("records", "Give also the whole record of each file."),
        FRESHNESS,
    ],
    body: None,
    answer: Answers::Json(schema::<Found<'_>>),
    action: Action::Work(query),
};

/// How fresh an answer must be.
pub(super) const FRESHNESS: Parameter = Parameter::text(
    "freshness",
    "How fresh the answer must be: `cached` (the default), `latest`, `maxAge=500ms` or \
     `atLeast=POSITION`.",
);

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Found")]
struct Found<'a> {
    /// The log position that the answer reflects, exactly.
    as_of: String,
    /// How long ago the database was seen to be in that state, in milliseconds.
    age_ms: u64,
    /// Whether every file of the project was asked: not if rows of some cannot be read.
    complete: bool,
    /// How many files match, whatever the limit.
    total: u64,
    /// Whether the limit cut files off.
    truncated: bool,
    /// How long it took to find them, in microseconds.
    took_us: u64,
    /// The query in words.
    query: String,
    hits: Vec<File<'a>>,
    /// How the query runs, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Hit")]
struct File<'a> {
    path: &'a str,
    language: Option<&'a str>,
    /// The log sequence of the file's last change.
    version: u64,
    /// What is known of the file, in exactly that version.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a FileMetadata>,
}

fn query(state: &State, call: &Call) -> Result<Reply, Problem> {
    let query = compile(state, call)?;
    let (explains, with_records) = (call.flag("explain")?, call.flag("records")?);
    state.cardex.refresh(call.freshness()?)?;
    let start = Instant::now();
    let (answer, page) = match with_records {
        false => (state.cardex.query(&query)?, None),
        true => {
            let (answer, page) = state.cardex.query_records(&query, &Fetch::all())?;
            (answer, Some(page))
        }
    };
    let took = start.elapsed();
    let plan = match explains {
        true => Some(state.cardex.snapshot()?.explain(&query).to_string()),
        false => None,
    };
    Reply::json(&Found {
        as_of: answer.as_of().to_string(),
        age_ms: millis(answer.age()),
        complete: answer.is_complete(),
        total: answer.total(),
        truncated: answer.is_truncated(),
        took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        query: query.to_string(),
        hits: hits(&answer, page.as_ref()),
        plan,
    })
}

fn hits<'a>(answer: &'a Answer, page: Option<&'a Page>) -> Vec<File<'a>> {
    let records = page.map_or(&[][..], |page| &page.records);
    let files = answer.hits().enumerate().map(|(at, hit)| File {
        path: hit.path,
        language: hit.language,
        version: hit.version,
        // All of them are there, in the order of the answer, or there is no page.
        record: records.get(at).map(|record| &**record),
    });
    files.collect()
}

fn compile(state: &State, call: &Call) -> Result<Query, Problem> {
    let most = state.options.max_page;
    let limit = call.count("limit", DEFAULT_LIMIT, 0..=most)?;
    let limit = match call.flag("count")? {
        true => 0,
        false => limit,
    };
    let mut builder = Query::builder().limit(limit);
    for field in ["language", "function", "class", "reference", "path", "glob"] {
        for value in call.all(field) {
            builder = builder.field(field, value);
        }
    }
    Ok(builder.build()?)
}
