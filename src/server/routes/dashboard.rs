//! `/`: one page for people, and `/v1/page`, its pieces alone. It loads nothing from elsewhere, and
//! only its own script runs.

use std::time::Instant;

use axum::http::Method;
use rustix::rand::{GetRandomFlags, getrandom};

use super::super::call::Call;
use super::super::page::{self, Asked, MAX_HITS, Told};
use super::super::problem::Problem;
use super::super::reply::Reply;
use super::super::state::State;
use super::super::table::{Access, Action, Answers, Parameter, Route};
use super::millis;
use super::stats::stats_of;
use crate::error::{Error, ErrorKind};
use crate::query::Query;

/// Whatever is younger is fresh to a person.
const LEAST_FRESH_MS: u64 = 1000;

const HTML: &str = "text/html; charset=utf-8";

const QUERY: Parameter = Parameter::text("q", "A query, to be answered on the page.");

pub(in super::super) static PAGE: Route = Route {
    method: Method::GET,
    path: "/",
    doc: "A page for people. Where reading wants the token, it is empty until that is entered.",
    access: Access::Open,
    parameters: &[QUERY],
    body: None,
    answer: Answers::Other(HTML),
    action: Action::Work(page),
};

pub(in super::super) static PIECES: Route = Route {
    method: Method::GET,
    path: "/v1/page",
    doc: "What the page for people shows, without its frame.",
    access: Access::Read,
    parameters: &[QUERY],
    body: None,
    answer: Answers::Other(HTML),
    action: Action::Work(pieces),
};

fn page(state: &State, call: &Call) -> Result<Reply, Problem> {
    let nonce = nonce()?;
    let query = call.text("q").unwrap_or_default();
    let html = match state.reading_wants_token {
        true => page::document(&nonce, query, None),
        false => told(state, query, |told| {
            page::document(&nonce, query, Some(told))
        })?,
    };
    let mut reply = Reply::text(HTML, html);
    reply.policy = Some(format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; \
         connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ));
    Ok(reply)
}

fn pieces(state: &State, call: &Call) -> Result<Reply, Problem> {
    let query = call.text("q").unwrap_or_default();
    Ok(Reply::text(HTML, told(state, query, page::pieces)?))
}

/// Hands over what there is to tell.
fn told<T>(state: &State, query: &str, tell: impl FnOnce(&Told<'_>) -> T) -> Result<T, Problem> {
    let asked = ask(state, query);
    Ok(tell(&Told {
        stats: &stats_of(state)?,
        samples: &state.samples.all(),
        recent: &state.samples.recent(),
        asked,
        fresh_ms: millis(state.cardex.options().intervals().0 * 2).max(LEAST_FRESH_MS),
    }))
}

fn ask(state: &State, query: &str) -> Asked {
    let query = query.trim();
    if query.is_empty() {
        return Asked::Nothing;
    }
    let found = || {
        let query = Query::builder().and(Query::parse(query)?);
        let query = query.limit(MAX_HITS).build()?;
        let start = Instant::now();
        let answer = state.cardex.query(&query)?;
        let took = start.elapsed().as_micros();
        Ok::<_, Error>(Asked::Found {
            took_us: u64::try_from(took).unwrap_or(u64::MAX),
            plan: answer.explain().to_string(),
            answer: Box::new(answer),
        })
    };
    found().unwrap_or_else(Asked::Refused)
}

/// A number that nobody can guess, another one for each page.
fn nonce() -> Result<String, Error> {
    let mut bytes = [0; 16];
    // So few bytes come whole or not at all.
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(|cause| {
        Error::new(ErrorKind::Io, "the system has no random numbers").because(cause)
    })?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}
