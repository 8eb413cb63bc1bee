//! A pattern of keys with places for an entity's type and id.

use crate::error::{Error, ErrorKind, Result};
use crate::tier::KeyPattern;

/// `user:*:{type}:{id}`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kv) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Pattern(String),
    Type,
    Id,
}

impl Template {
    /// # Errors
    /// `InvalidPattern` for a text that can be no pattern, or with another placeholder.
    pub(in crate::kv) fn new(text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut pattern = String::new();
        let mut rest = text.char_indices();
        while let Some((at, c)) = rest.next() {
            match c {
                '\\' => {
                    pattern.push(c);
                    pattern.extend(rest.next().map(|(_, c)| c));
                }
                '{' => {
                    let inside = &text[at + 1..];
                    let end = inside.find('}');
                    let part = match end.map(|end| &inside[..end]) {
                        Some("type") => Part::Type,
                        Some("id") => Part::Id,
                        _ => return Err(unknown(text, at, end)),
                    };
                    parts.push(Part::Pattern(std::mem::take(&mut pattern)));
                    parts.push(part);
                    rest.by_ref().find(|(_, c)| *c == '}');
                }
                c => pattern.push(c),
            }
        }
        parts.push(Part::Pattern(pattern));
        let template = Template(parts);
        // What is too long or empty is so for a short entity, too.
        template.of("t", "i")?;
        Ok(template)
    }

    /// How many places it has for an id.
    pub(in crate::kv) fn ids(&self) -> usize {
        self.0.iter().filter(|part| **part == Part::Id).count()
    }

    /// The pattern for a type and an id, both escaped already.
    ///
    /// # Errors
    /// `InvalidPattern` if it becomes too long.
    pub(in crate::kv) fn of(&self, kind: &str, id: &str) -> Result<KeyPattern> {
        let parts = self.0.iter().map(|part| match part {
            Part::Pattern(pattern) => pattern,
            Part::Type => kind,
            Part::Id => id,
        });
        KeyPattern::new(&parts.collect::<String>())
    }
}

fn unknown(text: &str, at: usize, end: Option<usize>) -> Error {
    let end = end.map_or(text.len(), |end| at + end + 2);
    let message = format!("the pattern {text:?} has an unknown placeholder");
    Error::new(ErrorKind::InvalidPattern, message)
        .with_excerpt(text, at..end)
        .with_help("`{id}` and `{type}` are known; a brace of the key is written `\\{`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(template: &str) -> String {
        let template = Template::new(template).unwrap();
        template.of("order", "a\\*b").unwrap().as_str().to_owned()
    }

    #[test]
    fn placeholders_stand_for_type_and_id_and_the_rest_stays_a_pattern() {
        assert_eq!(of("user:*:orders"), "user:*:orders");
        assert_eq!(of("{type}:{id}:*"), "order:a\\*b:*");
        assert_eq!(of("{id}{id}"), "a\\*ba\\*b");
        assert_eq!(of("a\\{id}[x-z]"), "a\\{id}[x-z]");
    }

    #[test]
    fn other_placeholders_are_refused_with_their_place() {
        for (text, place) in [("a:{user}", 2..8), ("{id", 0..3), ("x{}", 1..3)] {
            let error = Template::new(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidPattern, "{text}");
            assert_eq!(error.excerpt().unwrap().at, place, "{text}");
        }
        assert!(Template::new("").is_err());
    }
}
