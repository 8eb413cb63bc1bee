//! `/v1/symbols`: the names that the index knows, and how many files have each.

use axum::http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::call::Call;
use super::super::problem::Problem;
use super::super::reply::Reply;
use super::super::state::State;
use super::super::table::{Access, Action, Answers, Parameter, Route, schema};
use super::millis;
use crate::query::{NAME_KINDS, Name};
use crate::suggest;

/// How many names are listed unless it is said.
const DEFAULT_LIMIT: usize = 100;

pub(in super::super) static SYMBOLS: Route = Route {
    method: Method::GET,
    path: "/v1/symbols",
    doc: "The names of functions, classes, cited documents and languages, in their order.",
    access: Access::Read,
    parameters: &[
        Parameter::text("prefix", "Names that begin so."),
        Parameter::text(
            "kind",
            "Only `function`, `class`, `reference` or `language`; several are one after the other.",
        )
        .repeated()
        .formed("^(class|function|language|reference)$"),
        Parameter::count(
            "limit",
            0,
            "List at most this many names: 100 if it is not said.",
        ),
    ],
    body: None,
    answer: Answers::Json(schema::<Symbols<'_>>),
    action: Action::Work(symbols),
};

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Symbols")]
struct Symbols<'a> {
    /// The log position that the answer reflects, exactly.
    as_of: String,
    /// How long ago the database was seen to be in that state, in milliseconds.
    age_ms: u64,
    /// Whether every file of the project was asked: not if rows of some cannot be read.
    complete: bool,
    /// Whether the limit cut names off.
    truncated: bool,
    symbols: Vec<Symbol<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Symbol")]
struct Symbol<'a> {
    kind: &'static str,
    name: &'a str,
    /// How many files have it.
    files: u64,
}

fn symbols(state: &State, call: &Call) -> Result<Reply, Problem> {
    let limit = call.count("limit", DEFAULT_LIMIT, 0..=state.options().max_page)?;
    let prefix = call.text("prefix").unwrap_or_default();
    let kinds = kinds(call)?;
    let age = state.cardex.age()?;
    let snapshot = state.cardex.snapshot()?;
    let mut names: Vec<Name<'_>> = kinds
        .iter()
        .flat_map(|kind| snapshot.names(kind, prefix, limit + 1))
        .collect();
    names.sort_unstable_by_key(|name| (name.name, name.kind));
    let truncated = names.len() > limit;
    names.truncate(limit);
    let symbols = names.into_iter().map(|name| Symbol {
        kind: name.kind,
        name: name.name,
        files: name.files,
    });
    Reply::json(&Symbols {
        as_of: snapshot.position().to_string(),
        age_ms: millis(age),
        complete: snapshot.is_complete(),
        truncated,
        symbols: symbols.collect(),
    })
}

/// The kinds that are asked for; all, if none is.
fn kinds(call: &Call) -> Result<Vec<&'static str>, Problem> {
    let mut kinds = Vec::new();
    for asked in call.all("kind") {
        let known = NAME_KINDS.iter().find(|kind| **kind == asked);
        let kind = known.ok_or_else(|| {
            let help = match suggest::nearest(asked, NAME_KINDS) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("the kinds are {}", NAME_KINDS.join(", ")),
            };
            Problem::invalid(format!("there is no kind of names `{asked}`")).with_help(help)
        })?;
        if !kinds.contains(kind) {
            kinds.push(kind);
        }
    }
    if kinds.is_empty() {
        kinds.extend(NAME_KINDS);
    }
    Ok(kinds)
}
