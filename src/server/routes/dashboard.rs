//! `/`: one page for people. It loads nothing from elsewhere, and only its own script runs.

use axum::http::Method;
use rustix::rand::{GetRandomFlags, getrandom};

use super::super::call::Call;
use super::super::problem::Problem;
use super::super::reply::Reply;
use super::super::state::State;
use super::super::table::{Access, Action, Answers, Route};
use crate::error::{Error, ErrorKind};

/// The page; `{{nonce}}` stands where a script or a style says that it is the page's own.
const PAGE_HTML: &str = include_str!("../dashboard.html");

pub(in super::super) static PAGE: Route = Route {
    method: Method::GET,
    path: "/",
    doc: "A page for people.",
    access: Access::Open,
    parameters: &[],
    body: None,
    answer: Answers::Other("text/html; charset=utf-8"),
    action: Action::Now(page),
};

fn page(_: &State, _: &Call) -> Result<Reply, Problem> {
    let nonce = nonce()?;
    let html = PAGE_HTML.replace("{{nonce}}", &nonce);
    let mut reply = Reply::text("text/html; charset=utf-8", html);
    reply.policy = Some(format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ));
    Ok(reply)
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
