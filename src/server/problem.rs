//! `Problem`: an error as RFC 9457 has it on the wire. The library's errors keep their codes, which
//! are those of the command line; what only a server can refuse has codes of its own.

use std::error::Error as _;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{Error, ErrorKind};

/// The content type of a problem.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// An error of a request, ready to be answered.
#[derive(Clone, Debug)]
pub(super) struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    detail: String,
    help: Option<String>,
    excerpt: Option<Excerpt>,
    header: Option<(HeaderName, HeaderValue)>,
}

/// A problem on the wire.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct OnTheWire<'p> {
    /// Always `about:blank`: the code tells what it is.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// What is wrong, in a sentence that names the input.
    detail: &'p str,
    /// A stable code in kebab case, the same as on the command line.
    code: &'static str,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'p str>,
    /// The bad place of the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    excerpt: Option<&'p Excerpt>,
}

/// A piece of the input with the bad place in it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Excerpt {
    /// The input, or the line of it that matters.
    text: String,
    /// The first bad byte of `text`.
    start: usize,
    /// The byte after the last bad one.
    end: usize,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Problem(Box::new(Inner {
            status,
            code,
            detail: detail.into(),
            help: None,
            excerpt: None,
            header: None,
        }))
    }

    /// A parameter, a path or a body that is not what the route takes.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "invalid-request", detail)
    }

    pub(super) fn foreign(what: &str, value: &str) -> Self {
        let detail = format!("the {what} `{value}` is none of this server");
        Problem::new(StatusCode::FORBIDDEN, "foreign-request", detail)
            .with_help("ask it by the address that it listens on")
    }

    pub(super) fn no_route(path: &str) -> Self {
        let detail = format!("there is nothing at {path}");
        Problem::new(StatusCode::NOT_FOUND, "no-such-route", detail)
            .with_help("/openapi.json lists what there is")
    }

    pub(super) fn no_method(method: &str, path: &str) -> Self {
        let detail = format!("{path} does not answer to {method}");
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
    }

    pub(super) fn unauthorized(detail: &str, challenge: &'static str) -> Self {
        let mut problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
        problem.0.header = Some((WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
        problem
    }

    /// A changing verb of a server that has no token.
    pub(super) fn read_only() -> Self {
        let detail = "this server has no token, so nobody can change anything through it";
        Problem::new(StatusCode::FORBIDDEN, "read-only", detail)
            .with_help("start it with --token-file FILE, or set server.token_file")
    }

    pub(super) fn too_large(limit: u64) -> Self {
        let detail = format!("the body has more than {limit} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
    }

    pub(super) fn not_json(found: &str) -> Self {
        let detail = format!("the body is `{found}` and not application/json");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Problem::new(status, "unsupported-media-type", detail)
    }

    /// Everybody who may be worked for is being worked for.
    pub(super) fn busy(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).again_later()
    }

    pub(super) fn timed_out(what: &str) -> Self {
        let detail = format!("{what} took longer than server.request_timeout");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timed-out", detail).again_later()
    }

    /// The client takes too long to send its body.
    pub(super) fn slow_body() -> Self {
        let detail = "the body did not come within server.request_timeout";
        Problem::new(StatusCode::REQUEST_TIMEOUT, "slow-body", detail)
    }

    pub(super) fn panicked() -> Self {
        Error::new(ErrorKind::Internal, "an answer panicked").into()
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    fn again_later(mut self) -> Self {
        self.0.header = Some((RETRY_AFTER, HeaderValue::from_static("1")));
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let problem = *self.0;
        let body = OnTheWire {
            r#type: "about:blank",
            title: problem.status.canonical_reason().unwrap_or("Error"),
            status: problem.status.as_u16(),
            detail: &problem.detail,
            code: problem.code,
            help: problem.help.as_deref(),
            excerpt: problem.excerpt.as_ref(),
        };
        // Strings and numbers always serialise.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = problem.status;
        let content_type = HeaderValue::from_static(PROBLEM_JSON);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        if let Some((name, value)) = problem.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// An error of the library, its causes included.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let excerpt = error.excerpt().map(|excerpt| Excerpt {
            text: excerpt.text.clone(),
            start: excerpt.at.start,
            end: excerpt.at.end,
        });
        let status = match error.kind() {
            // The database was read, and is not there yet: nothing of the server's can cure that.
            ErrorKind::NotFresh if error.source().is_none() => StatusCode::PRECONDITION_FAILED,
            kind => status(kind),
        };
        let mut problem = Problem::new(status, error.code(), format!("{error:#}"));
        problem.0.help = error.help().map(str::to_owned);
        problem.0.excerpt = excerpt;
        match status {
            StatusCode::SERVICE_UNAVAILABLE => problem.again_later(),
            _ => problem,
        }
    }
}

/// The status that says who can do something about an error, and whether it may pass.
fn status(kind: ErrorKind) -> StatusCode {
    use ErrorKind as Kind;
    match kind {
        Kind::InvalidPath
        | Kind::InvalidRecord
        | Kind::InvalidQuery
        | Kind::InvalidPattern
        | Kind::InvalidConfig
        | Kind::InvalidInput => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Superseded => StatusCode::CONFLICT,
        Kind::LogPruned => StatusCode::GONE,
        Kind::Database
        | Kind::DatabaseBusy
        | Kind::Cancelled
        | Kind::Full
        | Kind::NotInitialized
        | Kind::NotLoaded
        | Kind::NotFresh
        | Kind::TimedOut
        | Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Io
        | Kind::DatabaseCorrupt
        | Kind::SchemaTooNew
        | Kind::CommittedNotApplied
        | Kind::Component
        | Kind::Coordinator
        | Kind::Extraction
        | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn an_error_keeps_its_code_its_causes_its_help_and_its_place() {
        let error = Error::new(ErrorKind::InvalidPattern, "pattern `a(` is invalid")
            .with_excerpt("a(", 1..2)
            .with_help("close the group")
            .because(Error::new(ErrorKind::Internal, "unclosed group"));
        let response = Problem::from(error).into_response();
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Bad Request", "status": 400,
            "detail": "pattern `a(` is invalid: unclosed group", "code": "invalid-pattern",
            "help": "close the group", "excerpt": {"text": "a(", "start": 1, "end": 2},
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn what_may_pass_is_told_to_come_again() {
        for kind in [
            ErrorKind::NotLoaded,
            ErrorKind::DatabaseBusy,
            ErrorKind::Unavailable,
        ] {
            let response = Problem::from(Error::new(kind, "no")).into_response();
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()[RETRY_AFTER], "1");
        }
        let corrupt = Problem::from(Error::new(ErrorKind::DatabaseCorrupt, "no")).into_response();
        assert_eq!(corrupt.status(), 500);
        assert!(!corrupt.headers().contains_key(RETRY_AFTER));
    }
}
