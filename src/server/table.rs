//! The table of routes: the router, the checks of parameters, bodies and tokens, and `/openapi.json`
//! are all made from it. A route that is not here does not exist.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::call::Call;
use super::problem::Problem;
use super::reply::Reply;
use super::state::State;

/// A route.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: Method,
    /// `{name}` is a part of the path, `{*name}` its rest.
    pub(super) path: &'static str,
    /// What it does, in a sentence.
    pub(super) doc: &'static str,
    pub(super) access: Access,
    pub(super) parameters: &'static [Parameter],
    /// The schema of its body, if it takes one.
    pub(super) body: Option<SchemaOf>,
    pub(super) answer: Answers,
    pub(super) action: Action,
}

/// Makes the schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

pub(super) fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Whom a route answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody.
    Open,
    /// Everybody who is on this machine; where reading wants the token, its bearer.
    Read,
    /// The bearer of the token.
    Change,
}

impl Access {
    /// Whether it is the bearer of the token alone.
    pub(super) fn wants_token(self, reading_wants_token: bool) -> bool {
        match self {
            Access::Open => false,
            Access::Read => reading_wants_token,
            Access::Change => true,
        }
    }
}

/// A parameter of a route.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) kind: Kind,
    pub(super) is_required: bool,
    /// It may stand several times.
    pub(super) repeats: bool,
    /// What a value looks like, as a regular expression, for the document. What is right in form may
    /// still be wrong: a query, a pattern, a position are languages of their own.
    pub(super) form: Option<&'static str>,
    pub(super) doc: &'static str,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
}

/// The form of a text that is not empty.
pub(super) const SOMETHING: &str = r"[\s\S]";
/// The form of a position.
pub(super) const POSITION: &str = "^(start|[0-9a-f]{1,16}:[0-9]{1,18})$";

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// From this number to the size of a page.
    Count(usize),
    Flag,
}

impl Parameter {
    pub(super) const fn text(name: &'static str, doc: &'static str) -> Self {
        Parameter {
            name,
            place: Place::Query,
            kind: Kind::Text,
            is_required: false,
            repeats: false,
            form: None,
            doc,
        }
    }

    /// A number from `least` to the size of a page.
    pub(super) const fn count(name: &'static str, least: usize, doc: &'static str) -> Self {
        Parameter {
            kind: Kind::Count(least),
            ..Parameter::text(name, doc)
        }
    }

    pub(super) const fn flag(name: &'static str, doc: &'static str) -> Self {
        Parameter {
            kind: Kind::Flag,
            ..Parameter::text(name, doc)
        }
    }

    /// A part of the path.
    pub(super) const fn path(name: &'static str, doc: &'static str) -> Self {
        Parameter {
            place: Place::Path,
            is_required: true,
            ..Parameter::text(name, doc)
        }
    }

    pub(super) const fn required(self) -> Self {
        Parameter {
            is_required: true,
            ..self
        }
    }

    pub(super) const fn formed(self, form: &'static str) -> Self {
        Parameter {
            form: Some(form),
            ..self
        }
    }

    pub(super) const fn repeated(self) -> Self {
        Parameter {
            repeats: true,
            ..self
        }
    }
}

/// What a route answers with when all is well.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answers {
    /// JSON of this schema.
    Json(SchemaOf),
    /// Something else, of this content type.
    Other(&'static str),
}

/// How a route comes to its answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    /// From memory, at once, whatever else goes on.
    Now(fn(&State, &Call) -> Result<Reply, Problem>),
    /// It may wait for the database.
    Work(fn(&State, &Call) -> Result<Reply, Problem>),
    /// It may wait for something, and is for whoever watches the server: it is answered while as many
    /// requests are worked on as there may be, too.
    Watch(fn(&State, &Call) -> Result<Reply, Problem>),
    /// It may wait for changes. It also sees the headers.
    Wait(fn(Arc<State>, Call, HeaderMap) -> Waiting),
}

/// A wait, and the answer at its end.
pub(super) type Waiting = Pin<Box<dyn Future<Output = Result<Response<Body>, Problem>> + Send>>;

impl Route {
    pub(super) fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters
            .iter()
            .find(|parameter| parameter.name == name)
    }
}
