//! `/openapi.json`: the table of routes in the words of OpenAPI 3.1, with the schemas of the types that
//! are really sent.

use axum::http::Method;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::problem::{OnTheWire, PROBLEM_JSON};
use super::table::{Answers, Kind, Parameter, Place, Route, schema};

/// The document of these routes, of a server whose pages hold at most so many things, and where reading
/// wants the token or not.
pub(super) fn document<'r>(
    routes: impl IntoIterator<Item = &'r Route>,
    max_page: usize,
    reading_wants_token: bool,
) -> Value {
    let settings = SchemaSettings::draft2020_12();
    let settings = settings.with(|s| s.definitions_path = "/components/schemas".into());
    // What is sent has every field, what is taken may leave some out.
    let mut generators = Generators {
        answers: settings.clone().for_serialize().into_generator(),
        bodies: settings.for_deserialize().into_generator(),
    };
    let problem = schema::<OnTheWire<'_>>(&mut generators.answers);
    let mut paths = Map::new();
    for route in routes {
        let path = route.path.replace("{*", "{");
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        let mut operation = operation(route, &mut generators, problem.as_value(), max_page);
        if route.access.wants_token(reading_wants_token) {
            operation["security"] = json!([{"token": []}]);
        }
        methods[name(&route.method)] = operation;
    }
    let mut schemas = generators.bodies.take_definitions(true);
    schemas.extend(generators.answers.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "cardex",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "An indexed cache of source-file metadata. Every answer about files tells \
                which position of the database's change log it reflects, and how old that is.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

/// What makes the schemas of what is sent, and of what is taken.
struct Generators {
    answers: SchemaGenerator,
    bodies: SchemaGenerator,
}

impl Generators {
    /// Whether a body of this schema must have some field: without any, it may be left out.
    fn wants_something(&self, body: &Schema) -> bool {
        let named = body.get("$ref").and_then(Value::as_str);
        let named = named.and_then(|path| path.rsplit('/').next());
        let schema = named.and_then(|name| self.bodies.definitions().get(name));
        let required = schema.unwrap_or(body.as_value()).get("required");
        required
            .and_then(Value::as_array)
            .is_some_and(|fields| !fields.is_empty())
    }
}

fn name(method: &Method) -> String {
    method.as_str().to_ascii_lowercase()
}

fn operation(
    route: &Route,
    generators: &mut Generators,
    problem: &Value,
    max_page: usize,
) -> Value {
    let (content_type, schema) = match route.answer {
        Answers::Json(schema) => (
            "application/json",
            schema(&mut generators.answers).to_value(),
        ),
        Answers::Other(content_type) => (content_type, json!({"type": "string"})),
    };
    let mut operation = json!({
        "summary": route.doc,
        "responses": {
            "200": {"description": "OK", "content": {content_type: {"schema": schema}}},
            "default": {
                "description": "A problem (RFC 9457)",
                "content": {PROBLEM_JSON: {"schema": problem}},
            },
        },
    });
    if !route.parameters.is_empty() {
        let parameters = route.parameters.iter();
        let parameters = parameters.map(|of| parameter(of, max_page));
        operation["parameters"] = parameters.collect();
    }
    if let Some(body) = route.body {
        let schema = body(&mut generators.bodies);
        operation["requestBody"] = json!({
            "required": generators.wants_something(&schema),
            "content": {"application/json": {"schema": schema}},
        });
    }
    operation
}

fn parameter(parameter: &Parameter, max_page: usize) -> Value {
    let kind = match parameter.kind {
        Kind::Text => match parameter.form {
            Some(form) => json!({"type": "string", "pattern": form}),
            None => json!({"type": "string"}),
        },
        Kind::Count(least) => json!({"type": "integer", "minimum": least, "maximum": max_page}),
        Kind::Flag => json!({"type": "boolean"}),
    };
    let schema = match parameter.repeats {
        true => json!({"type": "array", "items": kind}),
        false => kind,
    };
    json!({
        "name": parameter.name,
        "in": match parameter.place { Place::Path => "path", Place::Query => "query" },
        "required": parameter.is_required,
        "description": parameter.doc,
        "schema": schema,
    })
}
