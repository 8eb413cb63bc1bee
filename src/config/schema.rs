//! The JSON Schema (draft 2020-12) of a configuration file, made from the table of keys: editors check
//! and complete a `cardex.toml` with it.

use serde_json::{Map, Value, json};

use super::keys::{KEYS, Key, Kind};
use crate::eviction::Strategy;
use crate::extract::Language;
use crate::units;

/// What stands in a file where a variable is replaced is checked when it has been.
const VARIABLE: &str = r"\$\{[^}]+\}";

/// The schema of `cardex.toml` and of the user's configuration file. A size or a duration is checked
/// for its form; its range is in the description, and checked when the file is read.
pub fn schema() -> Value {
    let mut sections = Map::new();
    for key in KEYS {
        let (section, name) = key.name.split_once('.').unwrap_or(("", key.name));
        let table = sections.entry(section).or_insert_with(
            || json!({"type": "object", "additionalProperties": false, "properties": {}}),
        );
        table["properties"][name] = property(key);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "cardex configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": sections,
    })
}

/// What one key may be set to.
fn property(key: &Key) -> Value {
    let text = |pattern: String| json!({"type": "string", "pattern": pattern});
    let mut property = match key.kind {
        Kind::Size(..) | Kind::Memory(_) => text(quantity(units::size_units())),
        Kind::Duration(..) => text(quantity(units::duration_units())),
        Kind::Count(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Switch => json!({"type": "boolean"}),
        Kind::Strategy => json!({"enum": Strategy::ALL.map(Strategy::name)}),
        Kind::Languages => {
            let known: Vec<&str> = Language::all().map(Language::name).collect();
            json!({"type": "array", "items": {"type": "string", "examples": known}})
        }
        Kind::Patterns => json!({"type": "array", "items": {"type": "string", "minLength": 1}}),
        Kind::Database | Kind::Address => json!({"type": "string", "minLength": 1}),
        Kind::File => json!({"type": "string"}),
    };
    property["description"] = format!("{} {}.", key.doc, capitalised(&key.kind.to_string())).into();
    // The defaults of the table are TOML; so are those of the schema, read.
    let default = format!("value = {}", key.default_text());
    if let Ok(table) = default.parse::<toml::Table>()
        && let Ok(value) = serde_json::to_value(&table["value"])
    {
        property["default"] = value;
    }
    property
}

/// A whole number and one of these units, or a variable.
fn quantity(units: impl Iterator<Item = &'static str>) -> String {
    let units: Vec<&str> = units.collect();
    format!("^([0-9]+ *({})|.*{VARIABLE}.*)$", units.join("|"))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties() -> impl Iterator<Item = (&'static Key, Value)> {
        let schema = schema();
        KEYS.iter().map(move |key| {
            let (section, name) = key.name.split_once('.').unwrap();
            let table = &schema["properties"][section];
            assert_eq!(table["additionalProperties"], false, "{section}");
            (key, table["properties"][name].clone())
        })
    }

    #[test]
    fn every_key_has_a_type_a_description_and_its_default() {
        for (key, property) in properties() {
            let has_type = property.get("type").or(property.get("enum")).is_some();
            assert!(has_type, "{}: {property}", key.name);
            let description = property["description"].as_str().unwrap();
            assert!(description.starts_with(key.doc), "{description}");
            assert!(property.get("default").is_some(), "{}", key.name);
        }
    }

    #[test]
    fn a_default_is_what_its_own_schema_asks_for() {
        for (key, property) in properties() {
            let default = &property["default"];
            match property["type"].as_str() {
                Some("integer") => {
                    let within = property["minimum"].as_u64() <= default.as_u64()
                        && default.as_u64() <= property["maximum"].as_u64();
                    assert!(within, "{}", key.name);
                }
                Some("boolean") => assert!(default.is_boolean(), "{}", key.name),
                Some("array") => assert!(default.is_array(), "{}", key.name),
                Some("string") => {
                    let pattern = property["pattern"].as_str().unwrap_or("^.+$");
                    let pattern = regex::Regex::new(pattern).unwrap();
                    assert!(pattern.is_match(default.as_str().unwrap()), "{}", key.name);
                }
                _ => assert!(property["enum"].as_array().unwrap().contains(default)),
            }
        }
    }

    #[test]
    fn quantities_want_a_unit_that_is_known_or_a_variable() {
        let size = regex::Regex::new(&quantity(units::size_units())).unwrap();
        for (text, fits) in [
            ("64MiB", true),
            ("64 MiB", true),
            ("${LIMIT}", true),
            ("64", false),
            ("64Mib", false),
            ("-1B", false),
        ] {
            assert_eq!(size.is_match(text), fits, "{text}");
        }
    }
}
