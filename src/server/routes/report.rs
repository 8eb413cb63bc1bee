//! `/v1/report`: how the caches of derived results do against what they are held to.

use axum::http::Method;

use super::super::call::Call;
use super::super::problem::Problem;
use super::super::reply::Reply;
use super::super::state::State;
use super::super::table::{Access, Action, Answers, Route, schema};
use crate::kv::report::Report;

pub(in super::super) static REPORT: Route = Route {
    method: Method::GET,
    path: "/v1/report",
    doc: "How the caches of derived results of this process do against what they are held to, and what to \
          do about what does not hold.",
    access: Access::Read,
    parameters: &[],
    body: None,
    answer: Answers::Json(schema::<Report>),
    action: Action::Work(report),
};

fn report(state: &State, _: &Call) -> Result<Reply, Problem> {
    match &state.served.results {
        Some(caches) => Reply::json(&caches.report()),
        None => Reply::json(&Report::new(chrono::Utc::now())),
    }
}
