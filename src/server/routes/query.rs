//! `/v1/query`: the files that match.

use std::time::Instant;

use axum::http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::call::Call;
use super::super::problem::Problem;
use super::super::reply::Reply;
use super::super::state::State;
use super::super::table::{Access, Action, Answers, Parameter, Route, SOMETHING, schema};
use super::millis;
use crate::error::{Error, ErrorKind};
use crate::metadata::FileMetadata;
use crate::metadata_cache::{Fetch, Record};
use crate::query::{Answer, Query};
use crate::units;

/// How many files are listed unless it is said.
const DEFAULT_LIMIT: usize = 100;
/// How many records are fetched at a time.
const BATCH: usize = 64;
/// The records of one answer hold at most so many bytes, and one batch.
const MAX_RECORDS_BYTES: u64 = 64 << 20;
/// How often the files are asked for again because some changed meanwhile.
const MAX_RETRIES: usize = 4;

pub(in super::super) static QUERY: Route = Route {
    method: Method::GET,
    path: "/v1/query",
    doc: "The files that match every criterion, in path order; every file, if there is none.",
    access: Access::Read,
    parameters: &[
        Parameter::text(
            "q",
            "A query as text, such as `lang:rust (fn:a OR fn:b) -path:^tests/`; it must hold beside \
             the other criteria.",
        ),
        Parameter::text("language", "Files in this language.").formed(SOMETHING),
        Parameter::text(
            "function",
            "Files that define this function or method: `name` or `Class.method`.",
        )
        .repeated()
        .formed(SOMETHING),
        Parameter::text("class", "Files that define this class.")
            .repeated()
            .formed(SOMETHING),
        Parameter::text("reference", "Files that cite this document.")
            .repeated()
            .formed(SOMETHING),
        Parameter::text(
            "path",
            "Files whose path holds a match of this regular expression.",
        )
        .repeated()
        .formed(SOMETHING),
        Parameter::text("glob", "Files whose whole path matches this glob.")
            .repeated()
            .formed(SOMETHING),
        Parameter::count(
            "limit",
            0,
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
)
.formed("^(cached|latest|maxAge=[0-9]{1,6}(ms|s|m|h)|atLeast=[0-9a-f]{1,16}:[0-9]{1,18})$");

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
    /// The query in words, for people.
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
    let (answer, records) = match with_records {
        false => (state.cardex.query(&query)?, Vec::new()),
        true => all_records(state, call, &query)?,
    };
    call.assert_wanted()?;
    let took = start.elapsed();
    let plan = explains.then(|| answer.explain().to_string());
    Reply::json(&Found {
        as_of: answer.as_of().to_string(),
        age_ms: millis(answer.age()),
        complete: answer.is_complete(),
        total: answer.total(),
        truncated: answer.is_truncated(),
        took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        query: query.to_string(),
        hits: hits(&answer, &records),
        plan,
    })
}

/// The files, and the records of all of them in exactly the versions that the answer tells: it is asked
/// again if one of them changed meanwhile.
fn all_records(
    state: &State,
    call: &Call,
    query: &Query,
) -> Result<(Answer, Vec<Record>), Problem> {
    let mut tries = 0;
    loop {
        let answer = state.cardex.query(query)?;
        match records(state, call, &answer) {
            Err(error) if error.kind() == ErrorKind::Superseded && tries < MAX_RETRIES => {
                tries += 1
            }
            records => return Ok((answer, records?)),
        }
    }
}

/// The records of an answer, fetched some at a time: so what is held is bounded, whatever they weigh, and
/// soon nothing more is read where nobody waits for them.
fn records(state: &State, call: &Call, answer: &Answer) -> Result<Vec<Record>, Error> {
    let mut records = Vec::with_capacity(answer.len());
    let mut bytes = 0;
    while records.len() < answer.len() {
        call.assert_wanted()?;
        let next = records.len()..records.len() + BATCH;
        let page = state.cardex.records(answer, &Fetch::page(next))?;
        bytes += page
            .records
            .iter()
            .map(|record| record.weight())
            .sum::<u64>();
        records.extend(page.records);
        if bytes > MAX_RECORDS_BYTES {
            let most = units::format_size(MAX_RECORDS_BYTES);
            let message = format!("the records of this answer hold more than {most}");
            let error = Error::new(ErrorKind::InvalidQuery, message);
            return Err(error.with_help("give a smaller limit, or ask for the files one by one"));
        }
    }
    Ok(records)
}

fn hits<'a>(answer: &'a Answer, records: &'a [Record]) -> Vec<File<'a>> {
    let files = answer.hits().enumerate().map(|(at, hit)| File {
        path: hit.path,
        language: hit.language,
        version: hit.version,
        // All of them are there, in the order of the answer, or none is.
        record: records.get(at).map(|record| &**record),
    });
    files.collect()
}

fn compile(state: &State, call: &Call) -> Result<Query, Problem> {
    let most = state.options().max_page;
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
    if let Some(text) = call.text("q") {
        builder = builder.and(Query::parse(text)?);
    }
    Ok(builder.build()?)
}
