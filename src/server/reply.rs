//! `Reply`: what a route answers with, ready to be sent.

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, HeaderName, Response, StatusCode};
use serde::Serialize;

use super::problem::Problem;
use crate::error::{Error, ErrorKind};

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
    /// A `Content-Security-Policy` of its own; without one, nothing may be loaded or run.
    pub(super) policy: Option<String>,
}

impl Reply {
    /// Something else than JSON.
    pub(super) fn text(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Reply {
            status: StatusCode::OK,
            content_type,
            body: body.into(),
            policy: None,
        }
    }

    /// A value as JSON.
    pub(super) fn json(value: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(value).map_err(|cause| {
            Error::new(ErrorKind::Internal, "an answer cannot be written as JSON").because(cause)
        })?;
        Ok(Reply::text("application/json", body))
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        let policy = self.policy.map(HeaderValue::try_from);
        if let Some(Ok(policy)) = policy {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

/// What every answer says, whatever it is: it is what it says, for nobody else's page, not to be kept.
pub(super) fn harden(headers: &mut HeaderMap) {
    const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";
    let fixed = [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    for (name, value) in fixed {
        let name = HeaderName::from_static(name);
        headers.insert(name, HeaderValue::from_static(value));
    }
    let unless_said = [
        (CONTENT_SECURITY_POLICY, NOTHING),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in unless_said {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}
