//! `/openapi.json`: the table of routes in the words of OpenAPI 3.1, with the schemas of the types that
//! are really sent.

use axum::http::Method;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::problem::{OnTheWire, PROBLEM_JSON};
use super::table::{Access, Answers, Kind, Parameter, Place, Route, schema};

/// The document of these routes.
pub(super) fn document<'r>(routes: impl IntoIterator<Item = &'r Route>) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let settings = settings.with(|s| s.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let problem = schema::<OnTheWire<'_>>(&mut generator);
    let mut paths = Map::new();
    for route in routes {
        let path = route.path.replace("{*", "{");
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[name(&route.method)] = operation(route, &mut generator, problem.as_value());
    }
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
            "schemas": generator.take_definitions(true),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn name(method: &Method) -> String {
    method.as_str().to_ascii_lowercase()
}

fn operation(route: &Route, generator: &mut SchemaGenerator, problem: &Value) -> Value {
    let (content_type, schema) = match route.answer {
        Answers::Json(schema) => ("application/json", schema(generator).to_value()),
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
        operation["parameters"] = route.parameters.iter().map(parameter).collect();
    }
    if let Some(body) = route.body {
        let schema = body(generator);
        operation["requestBody"] = json!({"content": {"application/json": {"schema": schema}}});
    }
    if route.access == Access::Change {
        operation["security"] = json!([{"token": []}]);
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    let kind = match parameter.kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Count => json!({"type": "integer", "minimum": 0}),
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
