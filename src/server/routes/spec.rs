//! `/openapi.json`: what there is, for programs.

use axum::http::Method;
use schemars::{Schema, SchemaGenerator};

use super::super::call::Call;
use super::super::openapi;
use super::super::problem::Problem;
use super::super::reply::Reply;
use super::super::state::State;
use super::super::table::{Access, Action, Answers, Route};
use super::ROUTES;

pub(in super::super) static OPENAPI: Route = Route {
    method: Method::GET,
    path: "/openapi.json",
    doc: "This document.",
    access: Access::Open,
    parameters: &[],
    body: None,
    answer: Answers::Json(object),
    action: Action::Work(document),
};

fn object(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({"type": "object"})
}

fn document(state: &State, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&openapi::document(
        ROUTES.iter().copied(),
        state.options().max_page,
        state.reading_wants_token,
    ))
}
