//! `/v1/stats`: everything that a page about the server shows, of one request.

use axum::http::Method;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::super::bus::Bus;
use super::super::call::Call;
use super::super::problem::Problem;
use super::super::reply::Reply;
use super::super::state::State;
use super::super::table::{Access, Action, Answers, Route, schema};
use super::caches::{Cache, all};
use super::health::health;
use super::millis;
use super::sync::Mode;
use crate::coordinator::CoordinatorStats;
use crate::error::{Error, ErrorKind, Result};
use crate::health::Health;
use crate::metadata_cache::CacheStats;

pub(in super::super) static STATS: Route = Route {
    method: Method::GET,
    path: "/v1/stats",
    doc: "What the server serves, what the index holds, how it follows the database, and how all \
          that does.",
    access: Access::Read,
    parameters: &[],
    body: None,
    answer: Answers::Json(schema::<Stats>),
    action: Action::Work(stats),
};

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Stats {
    /// The version of this program.
    version: &'static str,
    root: String,
    database: String,
    /// The log position that the index reflects.
    as_of: String,
    /// How long ago the database was looked at; null before the first time.
    age_ms: Option<u64>,
    uptime_ms: u64,
    index: Index,
    sync: Sync,
    caches: Vec<Cache>,
    /// Where those of derived results hear what is no longer true; null if nothing was to be told yet.
    bus: Option<Bus>,
    pressure: Pressure,
    requests: Requests,
    health: Health,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Index {
    files: usize,
    /// Files whose rows cannot be read; they are not in the index.
    unreadable: u64,
    /// The memory that it takes.
    bytes: usize,
    /// Distinct names of functions and methods: at most so many, exactly once changes are folded in.
    functions: usize,
    classes: usize,
    references: usize,
    languages: Vec<Language>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Language {
    name: String,
    files: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Sync {
    /// The last pass that succeeded; null before the first.
    last: Option<Last>,
    /// The last pass, if it failed.
    failure: Option<Failure>,
    watermark: String,
    /// How far the index may be behind the database; null before the first look.
    lag_ms: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Last {
    at: DateTime<Utc>,
    mode: Mode,
    duration_ms: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Failure {
    at: DateTime<Utc>,
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

/// How tight memory is.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Pressure {
    /// The used share of the tightest limit, 0 and up; null if none is known.
    share: Option<f64>,
    /// Above this share caches give room.
    threshold: f64,
    /// What sets the tightest limit.
    source: Option<String>,
    limits: Vec<Limit>,
    /// How often pressure made caches give room.
    triggers: u64,
}

/// A limit on memory.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "MemoryLimit")]
struct Limit {
    source: String,
    /// Null where it is not known, as below.
    share: Option<f64>,
    used_bytes: Option<u64>,
    limit_bytes: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Requests {
    /// Being worked on, this one among them.
    working: usize,
    /// The most that are worked on at once.
    max_working: usize,
    /// Clients that wait for changes.
    waiting: usize,
    connections: i64,
    max_connections: usize,
}

fn stats(state: &State, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&collect(state)?)
}

/// The same as a value.
///
/// # Errors
/// `NotInitialized` after the shutdown of the cache.
pub(in super::super) fn stats_of(state: &State) -> Result<Value> {
    serde_json::to_value(collect(state)?)
        .map_err(|cause| Error::new(ErrorKind::Internal, "the counts are no JSON").because(cause))
}

fn collect(state: &State) -> Result<Stats> {
    let stats = state.cardex.stats()?;
    let age = stats.age.map(millis);
    let caches = state.caches.stats();
    let (working, waiting) = state.limits.in_use();
    Ok(Stats {
        version: env!("CARGO_PKG_VERSION"),
        root: state.served.root.display().to_string(),
        database: state.served.database.display().to_string(),
        as_of: stats.watermark.to_string(),
        age_ms: age,
        uptime_ms: millis(state.started.elapsed()),
        index: index(state, &stats),
        sync: Sync {
            watermark: stats.watermark.to_string(),
            lag_ms: age,
            last: stats.last_sync.as_ref().map(|last| Last {
                at: last.at,
                mode: last.mode.into(),
                duration_ms: millis(last.duration),
            }),
            failure: stats.last_failure.as_ref().map(|failure| Failure {
                at: failure.at,
                code: failure.error.code(),
                message: format!("{:#}", failure.error),
                help: failure.error.help().map(str::to_owned),
            }),
        },
        caches: all(&caches),
        bus: state.served.results.as_deref().and_then(Bus::of),
        pressure: pressure(&caches),
        requests: Requests {
            working,
            max_working: state.options().max_requests,
            waiting,
            connections: state.metrics.open_connections(),
            max_connections: state.options().max_connections,
        },
        health: health(state),
    })
}

fn pressure(stats: &CoordinatorStats) -> Pressure {
    let tightest = stats.pressure.tightest();
    let limits = stats.pressure.all().map(|limit| Limit {
        source: limit.source().to_owned(),
        share: limit.share(),
        used_bytes: limit.used_bytes(),
        limit_bytes: limit.limit_bytes(),
    });
    Pressure {
        share: stats.memory_share(),
        threshold: stats.pressure_threshold,
        source: tightest.map(|limit| limit.source().to_owned()),
        limits: limits.collect(),
        triggers: stats.triggers,
    }
}

fn index(state: &State, stats: &CacheStats) -> Index {
    // Before the first load there is nothing to count.
    let snapshot = state.cardex.snapshot().ok();
    let languages = snapshot.iter().flat_map(|snapshot| {
        let named = snapshot.languages().into_iter();
        named.map(|(name, files)| Language {
            name: name.to_owned(),
            files,
        })
    });
    Index {
        files: stats.files,
        unreadable: stats.unreadable,
        bytes: snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.memory().total()),
        functions: stats.terms.functions,
        classes: stats.terms.classes,
        references: stats.terms.references,
        languages: languages.collect(),
    }
}
