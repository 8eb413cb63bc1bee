//! Keys of tool results: the namespace, the tool, and a digest of all three with the arguments, in which
//! the order of named arguments does not matter and everything else does.

use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::namespace::{Level, Namespace};
use crate::error::{Error, ErrorKind, Result};
use crate::tier::Key;

/// How deep arguments may be nested: more than any that a person wrote.
const MAX_DEPTH: usize = 128;

/// The key of what a tool makes of these arguments in a namespace, which is above tools. Its last part
/// is a full SHA-256, in hexadecimal digits, of the namespace, the tool and the arguments in canonical
/// JSON: without blanks, the names of each object in the order of their bytes, numbers as they were
/// given. So 1, "1", true and 1.0 differ.
///
/// # Errors
/// `InvalidInput` for a namespace of a tool, a tool without a name, arguments nested more than 128
/// deep, and names that are too long for a key.
pub fn tool_key(namespace: &Namespace, tool: &str, arguments: &Value) -> Result<Key> {
    let of_tool = namespace.below(Level::Tool, tool)?;
    let mut digest = Sha256::new();
    for part in [namespace.to_string().as_bytes(), tool.as_bytes()] {
        // Their lengths keep the parts apart.
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.update(canonical(arguments)?);
    let digest = digest.finalize();
    let mut text = String::with_capacity(64);
    for byte in digest {
        // A String takes all that is written to it.
        let _ = write!(text, "{byte:02x}");
    }
    of_tool.key(&text)
}

/// The value in canonical JSON.
fn canonical(value: &Value) -> Result<String> {
    let mut text = String::new();
    write_canonical(value, &mut text, 0)?;
    Ok(text)
}

fn write_canonical(value: &Value, text: &mut String, depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        let message = format!("arguments of a tool are nested more than {MAX_DEPTH} deep");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    match value {
        Value::Array(values) => {
            text.push('[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write_canonical(value, text, depth + 1)?;
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (at, (name, value)) in fields.into_iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write_canonical(value, text, depth + 1)?;
            }
            text.push('}');
        }
        plain => text.push_str(&plain.to_string()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(tool: &str, arguments: &Value) -> Key {
        tool_key(&Namespace::global(), tool, arguments).unwrap()
    }

    #[test]
    fn the_order_of_arguments_does_not_matter_and_their_types_do() {
        let one: Value = serde_json::from_str(r#"{"a": 1, "b": {"d": [1, 2], "c": "x"}}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"b":{"c":"x","d":[1,2]},"a":1}"#).unwrap();
        assert_eq!(key("t", &one), key("t", &other));
        assert_eq!(
            canonical(&one).unwrap(),
            r#"{"a":1,"b":{"c":"x","d":[1,2]}}"#
        );
        let values = [
            json!(1),
            json!("1"),
            json!(true),
            json!(1.0),
            json!(null),
            json!("null"),
            json!([1]),
            json!({"1": 1}),
            json!({}),
            json!([]),
            json!(""),
            json!([[1], 2]),
            json!([1, 2]),
            json!([2, 1]),
        ];
        let mut keys: Vec<Key> = values
            .iter()
            .map(|value| key("t", &json!({"a": value})))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), values.len());
        assert_ne!(key("t", &one), key("u", &one));
    }

    #[test]
    fn a_key_names_namespace_and_tool_and_ends_in_a_full_digest() {
        let session = Namespace::global().below(Level::Session, "s").unwrap();
        let arguments = json!({"b": "x", "a": 1});
        let key = tool_key(&session, "grep", &arguments).unwrap();
        let (head, digest) = key.as_str().rsplit_once('=').unwrap();
        assert_eq!(head, "global:session=s:tool=grep:k");
        // As Python's hashlib has it.
        assert_eq!(
            digest,
            "b166f2b33dbc46e4f3a545b7c43924fd5df56806d652352599e61196d9e9136d"
        );
        let other = tool_key(&Namespace::global(), "grep", &arguments).unwrap();
        assert!(!other.as_str().ends_with(digest), "the namespace is in it");
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        let tool = Namespace::global().below(Level::Tool, "t").unwrap();
        assert!(tool_key(&tool, "u", &json!(1)).is_err());
        assert!(tool_key(&Namespace::global(), "", &json!(1)).is_err());
        assert!(tool_key(&Namespace::global(), &"t".repeat(200), &json!(1)).is_err());
        let mut deep = json!(1);
        for _ in 0..200 {
            deep = json!([deep]);
        }
        let error = tool_key(&Namespace::global(), "t", &deep).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
