//! The JSON Schema (draft 2020-12) of a configuration file, made from the table of keys: editors check
//! and complete a `cardex.toml` with it.

use serde_json::{Value, json};

use super::keys::{Key, Kind, UNSET};
use super::named::{Alias, Named};
use super::table::TYPE_KEYS;
use crate::eviction::Strategy;
use crate::extract::Language;
use crate::units;

/// What stands in a file where a variable is replaced is checked when it has been.
const VARIABLE: &str = r"\$\{[^}]+\}";

/// The schema of `cardex.toml` and of the user's configuration file. A size or a duration is checked
/// for its form; its range is in the description, and checked when the file is read.
pub fn schema() -> Value {
    let mut whole = table();
    for named in Named::all() {
        let name = named.name();
        let (sections, last) = name.rsplit_once('.').unwrap_or(("", &name));
        let mut section = &mut whole;
        for name in sections.split('.') {
            let properties = &mut section["properties"];
            if properties.get(name).is_none() {
                properties[name] = table();
            }
            section = &mut properties[name];
        }
        section["properties"][last] = match named.alias {
            Some(alias) => alias_property(alias, named.key),
            None => property(named.key),
        };
    }
    whole["properties"]["types"] = types();
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    whole["title"] = "cardex configuration".into();
    whole
}

fn table() -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": {}})
}

/// The family of types, each with the same keys.
fn types() -> Value {
    let mut each = table();
    for key in TYPE_KEYS {
        let last = key.name.rsplit('.').next().unwrap_or(key.name);
        each["properties"][last] = property(key);
        if let Some(property) = each["properties"][last].as_object_mut() {
            property.remove("default");
        }
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "patternProperties": {"^[a-z][a-z0-9_]{0,49}$": each},
    })
}

/// What one key may be set to.
fn property(key: &Key) -> Value {
    let text = |form: String| json!({"type": "string", "pattern": format!("^({form})$")});
    let mut property = match key.kind {
        Kind::Size(..) | Kind::Memory(_) => text(quantity(units::size_units())),
        Kind::Duration(..) => text(quantity(units::duration_units())),
        Kind::Count(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Switch => json!({"type": "boolean"}),
        Kind::Limit(_) => text(format!("{UNSET}|{}", quantity(units::size_units()))),
        Kind::Ratio(min, max) => {
            let share = |percent: u32| f64::from(percent) / 100.0;
            json!({"type": "number", "minimum": share(min), "maximum": share(max)})
        }
        Kind::OneOf(choices) => json!({"enum": choices}),
        Kind::Strategy => json!({"enum": Strategy::FOR_RECORDS.map(Strategy::name)}),
        Kind::Policy => json!({"enum": Strategy::ALL.map(Strategy::name)}),
        Kind::Prefix => text(format!("[a-z0-9_]{{1,50}}|.*{VARIABLE}.*")),
        Kind::Languages => {
            let known: Vec<&str> = Language::all().map(Language::name).collect();
            json!({"type": "array", "items": {"type": "string", "examples": known}})
        }
        Kind::Patterns | Kind::KeyPatterns => {
            json!({"type": "array", "items": {"type": "string", "minLength": 1}})
        }
        Kind::Database | Kind::Redis | Kind::Address | Kind::File => {
            json!({"type": "string", "minLength": 1})
        }
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

/// What another name of a key may be set to.
fn alias_property(alias: &Alias, key: &Key) -> Value {
    let (min, max) = alias.reads.bounds(key.kind);
    let description = format!("The same as `{}`, in seconds.", key.name);
    json!({"type": "integer", "minimum": min, "maximum": max, "description": description})
}

/// A whole number and one of these units, or a variable.
fn quantity(units: impl Iterator<Item = &'static str>) -> String {
    let units: Vec<&str> = units.collect();
    format!("[0-9]+ *({})|.*{VARIABLE}.*", units.join("|"))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KEYS;

    fn properties() -> impl Iterator<Item = (&'static Key, Value)> {
        let schema = schema();
        KEYS.iter().map(move |key| {
            let (sections, name) = key.name.rsplit_once('.').unwrap();
            let mut table = &schema;
            for section in sections.split('.') {
                table = &table["properties"][section];
                assert_eq!(table["additionalProperties"], false, "{section}");
            }
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
    fn another_name_of_a_key_is_known_too() {
        let schema = schema();
        let seconds = &schema["properties"]["memory_cache"]["properties"]["sync_interval_seconds"];
        assert_eq!(seconds["minimum"], 10);
        assert_eq!(seconds["maximum"], 3600);
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
                Some("number") => {
                    let within = property["minimum"].as_f64() <= default.as_f64()
                        && default.as_f64() <= property["maximum"].as_f64();
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
        let size = format!("^({})$", quantity(units::size_units()));
        let size = regex::Regex::new(&size).unwrap();
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
