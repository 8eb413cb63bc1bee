//! The fields of a query by name: one table for whoever takes queries as text.

use super::QueryBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Field, PathPattern, Syntax};

/// The names of the fields that [`QueryBuilder::field`] knows.
pub const QUERY_FIELDS: [&str; 7] = [
    "language",
    "function",
    "class",
    "reference",
    "path",
    "glob",
    "limit",
];

impl QueryBuilder {
    /// A criterion by the name of its field, one of [`QUERY_FIELDS`]; `limit` takes a whole number.
    /// An unknown field, a negative limit and an empty value are errors of
    /// [`QueryBuilder::build`].
    ///
    /// ```
    /// use cardex::Query;
    ///
    /// let error = Query::builder().field("langage", "rust").build().unwrap_err();
    /// assert_eq!(error.to_string(), "unknown query field `langage`");
    /// assert_eq!(error.help(), Some("did you mean `language`?"));
    /// ```
    pub fn field(self, name: &str, value: &str) -> Self {
        match name {
            "language" => self.language(value),
            "function" => self.function(value),
            "class" => self.class(value),
            "reference" => self.reference(value),
            "path" => self.path_regex(value),
            "glob" => self.path_glob(value),
            "limit" => match parse_limit(value) {
                Ok(limit) => self.limit(limit),
                Err(error) => self.fail(error),
            },
            _ => self.fail(unknown_field(name)),
        }
    }

    fn fail(self, error: Error) -> Self {
        QueryBuilder(self.0.and(Err(error)))
    }
}

fn parse_limit(value: &str) -> Result<usize> {
    value.parse().map_err(|_| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let reason = match value.strip_prefix('-') {
            Some(rest) if digits(rest) => "is negative",
            None if digits(value) => "is too large",
            _ => "is no whole number",
        };
        Error::new(ErrorKind::InvalidQuery, format!("limit `{value}` {reason}"))
            .with_help("give the most files to list, 0 or more, or leave it out for all")
    })
}

fn unknown_field(name: &str) -> Error {
    let error = Error::new(
        ErrorKind::InvalidQuery,
        format!("unknown query field `{name}`"),
    );
    match crate::suggest::nearest(name, QUERY_FIELDS) {
        Some(meant) => error.with_help(format!("did you mean `{meant}`?")),
        None => error.with_help(format!("the fields are {}", QUERY_FIELDS.join(", "))),
    }
}

/// The field that has posting lists and this name.
pub(super) fn term_field(name: &str) -> Option<Field> {
    Field::ALL.into_iter().find(|&field| name_of(field) == name)
}

pub(super) fn name_of(field: Field) -> &'static str {
    match field {
        Field::Language => "language",
        Field::Function => "function",
        Field::Class => "class",
        Field::Reference => "reference",
    }
}

pub(super) fn describe_term(field: Field, name: &str) -> String {
    format!("{} = {name}", name_of(field))
}

pub(super) fn describe_pattern(pattern: &PathPattern) -> String {
    match pattern.syntax() {
        Syntax::Regex => format!("path ~ {}", pattern.text()),
        Syntax::Glob => format!("glob = {}", pattern.text()),
    }
}
