//! From a request to its answer: the router that is made of the table, and what every route has in
//! common: tokens, parameters, bodies, time-outs, counting.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{Method, Response};
use axum::routing::{MethodFilter, on};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_http::catch_panic::CatchPanicLayer;

use super::blocking;
use super::call::Call;
use super::problem::Problem;
use super::routes::ROUTES;
use super::state::State;
use super::table::{Action, Route};

/// The router of every route.
pub(super) fn router(state: &Arc<State>) -> Router {
    let mut router = Router::new();
    for &route in ROUTES {
        let state = Arc::clone(state);
        let handler = move |request: Request| answer(Arc::clone(&state), route, request);
        router = router.route(route.path, on(filter(&route.method), handler));
    }
    router
        .method_not_allowed_fallback(|request: Request| async move {
            Problem::no_method(request.method().as_str(), request.uri().path()).into_response()
        })
        .fallback(|request: Request| async move {
            Problem::no_route(request.uri().path()).into_response()
        })
        .layer(CatchPanicLayer::custom(|_: Box<dyn Any + Send>| {
            tracing::error!("an answer panicked");
            Problem::panicked().into_response()
        }))
}

/// A GET answers HEAD, too.
fn filter(method: &Method) -> MethodFilter {
    match *method {
        Method::POST => MethodFilter::POST,
        _ => MethodFilter::GET,
    }
}

async fn answer(state: Arc<State>, route: &'static Route, request: Request) -> Response<Body> {
    let start = Instant::now();
    let response = match dispatch(&state, route, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    // A wait takes as long as its client wants.
    let took = (!matches!(route.action, Action::Wait(_))).then(|| start.elapsed());
    state
        .metrics
        .answered(route, response.status().as_u16(), took);
    response
}

async fn dispatch(
    state: &Arc<State>,
    route: &'static Route,
    request: Request,
) -> Result<Response<Body>, Problem> {
    if route.access.wants_token(state.reading_wants_token) {
        state.auth.check(request.headers())?;
    }
    let uri = request.uri();
    let mut call = Call::parse(route, uri.path(), uri.query().unwrap_or_default())?;
    let headers = request.headers().clone();
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    call.accept = accept.unwrap_or_default().to_owned();
    if route.body.is_some() {
        call.body = read_body(state, request).await?;
    }
    // Dropped with this future, when the client has gone or was told that it took too long.
    let asker = Arc::new(());
    call.asker = Arc::downgrade(&asker);
    match route.action {
        Action::Now(reply) => Ok(reply(state, &call)?.into_response()),
        Action::Work(reply) => {
            let reply = blocking::run(state, move |state| reply(state, &call)).await?;
            Ok(reply.into_response())
        }
        Action::Watch(reply) => {
            let permit = state.limits.watcher()?;
            let reply = blocking::under(permit, state, move |state| reply(state, &call)).await?;
            Ok(reply.into_response())
        }
        Action::Wait(wait) => wait(Arc::clone(state), call, headers).await,
    }
}

/// The body, which must be JSON, short and quick.
async fn read_body(state: &State, request: Request) -> Result<Bytes, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).cloned();
    let limit = state.options().max_body_bytes;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let body = Limited::new(request.into_body(), most).collect();
    let body = tokio::time::timeout(state.options().request_timeout, body).await;
    let body = body.map_err(|_| Problem::slow_body())?;
    let body = body.map_err(|cause| match cause.is::<LengthLimitError>() {
        true => Problem::too_large(limit),
        false => Problem::invalid("the body ends before its end"),
    })?;
    let body = body.to_bytes();
    let kind = kind.as_ref().map(|kind| kind.to_str().unwrap_or("?"));
    let essence = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    match essence {
        Some(kind) if kind.eq_ignore_ascii_case("application/json") => Ok(body),
        None if body.is_empty() => Ok(body),
        kind => Err(Problem::not_json(kind.unwrap_or_default())),
    }
}
